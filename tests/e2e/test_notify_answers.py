"""What a phone may say to our NOTIFY, and what the technician then reads."""

from dataclasses import dataclass
from datetime import datetime

import pytest

from tests.support.site import SOON_SECONDS, wait_for
from tests.support.strict_phone import TRANSACTION_SECONDS, StrictPhone
from tests.support.world import World

pytestmark = pytest.mark.net


@dataclass
class Slow:
    """Phones whose 32 s run while the other tests of this module do."""

    silent: StrictPhone
    """It never answers."""
    refuser: StrictPhone
    """It answers 403, and is then switched off and on."""


@pytest.fixture(scope="module", autouse=True)
def slow(world: World) -> Slow:
    phones = Slow(world.phone(), world.phone())
    for phone in (phones.silent, phones.refuser):
        phone.boot()
        world.site.assign(phone.mac)
    phones.refuser.answer(phones.refuser.await_notify(), 403, "Forbidden")
    wait_for(lambda: world.site.phone(phones.refuser.mac)["stage_reason"], SOON_SECONDS, "the reason is written")
    phones.refuser.boot()
    phones.silent.await_notify()
    return phones


@pytest.mark.parametrize(
    ("status", "reason", "state"),
    [
        (403, "Forbidden", "refused"),
        pytest.param(489, "Bad Event", "refused", marks=pytest.mark.long),
        (500, "Server Internal Error", "refused"),
    ],
)
def test_a_refusal_is_on_record_with_its_reason(world: World, status: int, reason: str, state: str):
    phone = world.phone()
    phone.boot()
    world.site.assign(phone.mac)
    phone.answer(phone.await_notify(), status, reason)
    wait_for(lambda: world.site.phone(phone.mac)["stage_reason"], SOON_SECONDS, "the reason is written")
    shown = world.site.phones()[phone.mac]
    assert shown["stage"] == "assigned"
    assert f"{status} {reason}" in shown["stage_reason"]
    first = world.site.notifies(phone.mac)[0]
    assert (first["state"], first["status"], first["reason"]) == (state, status, reason)
    phone.listen(0.0)  # copies that were on their way before the answer
    assert phone.listen(1.5) == [], "it was answered: nothing is resent"


def test_a_phone_that_missed_the_first_copies_is_reached_by_a_resend(world: World):
    phone = world.phone()
    phone.boot()
    world.site.assign(phone.mac)
    first, second, third = (phone.await_notify() for _ in range(3))
    assert first.message.raw == second.message.raw == third.message.raw
    phone.be_provisioned(third)
    assert world.site.stage(phone.mac) == "applied"


def test_a_save_while_the_listener_is_down_waits_and_goes_out_when_it_returns(world: World):
    phone = world.phone(lan=1)
    phone.boot()
    assert world.site.stop("listen") == 0, "SIGTERM is an orderly end"
    try:
        world.site.assign(phone.mac)
        assert [row["state"] for row in world.site.notifies(phone.mac)] == ["waiting"]
        assert world.site.stage(phone.mac) == "assigned"
        assert phone.listen(0.5) == []
    finally:
        world.site.start("listen")
    phone.be_provisioned()
    assert world.site.stage(phone.mac) == "applied"


def test_a_later_save_replaces_what_was_owed(world: World):
    phone = world.phone()
    phone.boot()
    world.site.assign(phone.mac, name="First")
    old = phone.await_notify()
    world.site.assign(phone.mac, name="Second")
    new = phone.await_notify()
    while new.transaction == old.transaction:  # copies of the old one that were on their way
        new = phone.await_notify()
    phone.be_provisioned(new)
    assert phone.values["P3"] == "Second"
    assert phone.get(old.url).status == 404
    assert [row["state"] for row in world.site.notifies(phone.mac)] == ["superseded", "delivered"]
    assert world.site.stage(phone.mac) == "applied"


def test_no_answer_for_32_seconds_is_on_record(world: World, slow: Slow):
    """Stands late, so that the time has run meanwhile. The listener was even restarted in between."""
    phone = slow.silent
    wait_for(
        lambda: world.site.notifies(phone.mac)[0]["state"] == "unanswered",
        TRANSACTION_SECONDS + SOON_SECONDS,
        "32 s are over",
    )
    assert "did not answer" in world.site.phones()[phone.mac]["stage_reason"]
    phone.listen(0.2)
    assert len(phone.transactions()) == 1
    # RFC 3261 17.1.2.2: after 0, .5, 1.5, 3.5, 7.5, 11.5 … s: 11, and one more for the restart.
    assert 2 <= len(phone.notifies) <= 12
    phone.boot()
    phone.be_provisioned()
    assert world.site.stage(phone.mac) == "applied"


def test_a_refused_notify_is_sent_again_when_the_phone_starts_up_but_not_within_32_s(world: World, slow: Slow):
    phone = slow.refuser
    phone.be_provisioned(phone.await_notify(TRANSACTION_SECONDS + SOON_SECONDS))
    assert len(phone.transactions()) == 2
    first, second = (datetime.fromisoformat(row["first_sent_at"]) for row in world.site.notifies(phone.mac))
    assert (second - first).total_seconds() >= TRANSACTION_SECONDS
    shown = world.site.phones()[phone.mac]
    assert (shown["stage"], shown["stage_reason"]) == ("applied", "")
