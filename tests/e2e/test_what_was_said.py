"""The last exchange with a phone, and what it tried in vain, as the real processes put them on record."""

import json

import pytest

from tests.support.site import SOON_SECONDS, wait_for
from tests.support.world import World

pytestmark = pytest.mark.net


def said(world: World, mac: str, kind: str) -> list[dict]:
    rows = world.site.rows(
        "SELECT t.messages FROM sipmcast_transcript t JOIN devices_phone p ON p.id = t.phone_id "
        "WHERE p.mac = ? AND t.kind = ?", mac, kind,
    )  # fmt: skip
    return json.loads(rows[0]["messages"]) if rows else []


def tried(world: World, mac: str) -> list[tuple]:
    rows = world.site.rows(
        "SELECT a.kind, a.source_host, a.name FROM provisioning_attempt a JOIN devices_phone p ON p.id = a.phone_id "
        "WHERE p.mac = ?", mac,
    )  # fmt: skip
    return [tuple(row.values()) for row in rows]


def test_what_a_phone_said_is_written_down_before_anybody_assigns_it(world: World):
    phone = world.phone()
    phone.boot()
    wait_for(lambda: said(world, phone.mac, "subscribe"), SOON_SECONDS, "what it said is on record")
    heard, answered = said(world, phone.mac, "subscribe")
    assert heard["text"].startswith("SUBSCRIBE sip:MAC%3A") and heard["group"] and not heard["sent"]
    assert answered["text"].startswith("SIP/2.0 200 OK") and answered["sent"]


def test_a_notify_is_written_down_with_its_resend_and_answer_and_without_its_secret(world: World):
    phone = world.phone()
    phone.boot()
    world.site.assign(phone.mac)
    secret = phone.await_notify().message.raw.rpartition(b"/p/")[2].split(b"/")[0].decode()
    assert len(secret) == 22
    phone.answer(phone.await_notify(), 489, "Bad Event")
    wait_for(lambda: len(said(world, phone.mac, "notify")) == 2, SOON_SECONDS, "the answer is on record")
    asked, answered = said(world, phone.mac, "notify")
    assert asked["repeats"] >= 1 and "/p/********/" in asked["text"]
    assert "SIP/2.0 489 Bad Event" in answered["text"] and not answered["sent"]
    assert secret not in str(said(world, phone.mac, "notify"))


def test_a_phone_that_asks_by_its_plain_name_is_on_record(world: World):
    phone = world.phone()
    phone.boot()
    world.site.assign(phone.mac)
    phone.answer(phone.await_notify())  # and does not fetch
    name = f"cfg{phone.mac.lower()}.xml"
    assert phone.get(f"http://{phone.notifies[0].url.split('/')[2]}/{name}").status == 404
    wait_for(lambda: tried(world, phone.mac), SOON_SECONDS, "what it tried is on record")
    assert tried(world, phone.mac) == [("plain", phone.address, name)]
