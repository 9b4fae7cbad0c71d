"""The list of phones: what its URL means, and what it says when there is nothing to list."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from devices.choices import Stage
from devices.models import Phone
from gspnp.console.listening import Listening
from gspnp.console.rows import NEXT_WORDS, rows_of
from gspnp.console.tables import PAGE_ROWS
from provisioning import settling
from provisioning.models import Notify, NotifyState
from sipmcast.models import ListenerStatus
from tests import cast
from tests.console.conftest import person, signed_in

pytestmark = pytest.mark.django_db


def macs(answer) -> list[str]:
    return re.findall(r'<tr[^>]* data-mac="([0-9A-F]{12})"', answer.content.decode())


def row(answer, mac: str) -> str:
    return re.search(rf'<tr[^>]* data-mac="{mac}".*?</tr>', answer.content.decode(), re.DOTALL)[0]


@pytest.fixture
def three(db) -> list[str]:
    """Three phones: seen, assigned as 1001 Tess, seen."""
    cast.seen("000B82000001", "10.0.0.21", model="GXP1610", firmware="1.0.3.6")
    cast.assigned("000B82000002", "10.0.0.22")
    cast.seen("000B82000003", "10.0.0.23", model="GXP1630")
    return ["000B82000001", "000B82000002", "000B82000003"]


def test_a_stranger_is_sent_to_the_sign_in_and_a_script_is_told():
    answer = Client(headers={"host": "localhost"}).get("/?q=1001")
    assert answer.status_code == 302
    assert answer["Location"] == "/admin/login/?next=/%3Fq%3D1001"
    answer = Client(headers={"host": "localhost", "X-Requested-With": "fetch"}).get("/rows/")
    assert answer.status_code == 401
    assert Client(headers={"host": "localhost"}).get("/phones.json").status_code == 401


def test_without_the_permission_there_is_a_clear_page_and_no_phone(three):
    answer = signed_in(person("nobody")).get("/")
    assert answer.status_code == 403
    assert "Ask an administrator" in answer.content.decode()
    assert not macs(answer)


def test_the_first_run_says_where_it_listens_and_how_to_try_it_without_a_phone(console, listener):
    words = console.get("/").content.decode()
    assert "Listening for phones" in words
    assert "eth7 (10.0.0.1)" in words
    assert ".venv/bin/python manage.py simulate_phones --interface lo --count 3" in words
    assert "<table" not in words
    assert re.search(r'id="chips" class="gs-chips"[^>]* hidden', words), "a script fills them and keeps the element"


def test_a_silent_listener_is_said_at_the_first_run_and_above_the_list(console, listener):
    listener.heartbeat_at = timezone.now() - timedelta(seconds=16)
    listener.save()
    assert "The listener is not running" in console.get("/").content.decode()
    cast.seen()
    words = console.get("/").content.decode()
    assert 'data-testid="listener-away"' in words
    assert "listen_pnp" in words


def test_every_interface_of_every_listener_is_named_once(console, listener):
    now = timezone.now()
    both = ["eth7 (10.0.0.1)", "eth8 (10.0.1.1)"]
    ListenerStatus.objects.create(name="lab2", started_at=now, heartbeat_at=now, interfaces=both)
    assert "On <strong>eth7 (10.0.0.1), eth8 (10.0.1.1)</strong>" in console.get("/").content.decode()


def test_the_listeners_trouble_is_shown(console, listener):
    listener.trouble = "eth9 is gone; plug the cable in"
    listener.save()
    assert "eth9 is gone" in console.get("/").content.decode()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("00:0b:82:00:00:02", [1]),
        ("000b.8200.0003", [2]),
        ("000001", [0]),
        ("1001", [1]),
        ("tess", [1]),
        ("gxp1610", [0]),
        ("10.0.0.23", [2]),
        ("1.0.3.6", [0]),
        ("no such phone", []),
        ("\0", [0, 1, 2]),
        ("%", []),
    ],
)
def test_search_takes_what_a_technician_has_at_hand(console, three, query, found):
    assert sorted(macs(console.get("/", {"q": query}))) == [three[at] for at in found]


def test_search_finds_models_and_firmware_also_among_more_than_anybody_has(console, monkeypatch):
    monkeypatch.setattr("gspnp.console.search.KINDS_READ", 3)
    for number in range(5):
        cast.seen(f"000B820000{number:02X}", f"10.0.1.{number + 1}", firmware=f"9.{number}", model=f"ÄGXP{number}")
    found = [macs(console.get("/", {"q": query})) for query in ("9.", "9.4", "ägxp3", "nobody")]
    assert [len(phones) for phones in found] == [5, 1, 1, 0]


def test_search_ignores_the_case_of_letters_outside_ascii(console):
    phone = cast.seen()
    cast.save(phone, cast.draft(display_name="Jörg Öztürk"))
    for text in ("ÖZTÜRK", "ozturk", "jo\u0308rg", "Jorg Oztürk"):
        assert macs(console.get("/", {"q": text})) == [cast.MAC], text
    assert macs(console.get("/", {"q": "o%t"})) == []


def test_each_stage_has_a_count_and_filters(console, three):
    words = console.get("/").content.decode()
    counts = dict(re.findall(r'data-chip="(\w+)".*?<b data-count>(\d+)</b>', words))
    assert counts == {"all": "3", "seen": "2", "assigned": "1", "notified": "0", "fetched": "0", "applied": "0"}
    assert macs(console.get("/", {"stage": "assigned"})) == [three[1]]


def test_ignored_phones_leave_the_list_and_are_found_by_filter_and_search(console, three):
    cast.seen("0004132F0011", "10.0.0.40", vendor="snom", model="snom720", ours=False)
    assert "0004132F0011" not in macs(console.get("/"))
    assert macs(console.get("/", {"stage": "ignored"})) == ["0004132F0011"]
    assert macs(console.get("/", {"q": "snom"})) == ["0004132F0011"]
    assert "Seen, not ours: snom." in row(console.get("/", {"q": "snom"}), "0004132F0011")


def test_needs_attention_finds_alarms_and_phones_that_stopped(console, three):
    Phone.objects.filter(mac=three[0]).update(alarm="000B82000001 now claims 10.0.0.9.", alarm_at=timezone.now())
    Phone.objects.filter(mac=three[1]).update(stage_reason="It did not answer.")
    assert sorted(macs(console.get("/", {"stage": "attention"}))) == three[:2]
    Phone.objects.filter(mac=three[2]).update(neighbour="mismatch")
    assert sorted(macs(console.get("/", {"stage": "attention"}))) == three


@pytest.mark.parametrize("column", ["mac", "model", "address", "firmware", "stage", "seen", "new", "vendor"])
def test_every_column_sorts_both_ways(console, three, column):
    up = macs(console.get("/", {"sort": column}))
    down = macs(console.get("/", {"sort": f"-{column}"}))
    assert sorted(up) == sorted(down) == three
    if column in ("mac", "address"):
        assert (up, down) == (three, three[::-1])


def test_extensions_sort_as_numbers_and_stages_as_the_way_goes(console, three):
    for mac, extension in zip(three, ("1000", "99", "200"), strict=True):
        cast.save(Phone.objects.get(mac=mac), cast.draft(user_id=extension))
    assert macs(console.get("/", {"sort": "extension"})) == [three[1], three[2], three[0]]
    Phone.objects.filter(mac=three[1]).update(stage=Stage.APPLIED)
    Phone.objects.filter(mac=three[0]).update(stage=Stage.SEEN)
    assert macs(console.get("/", {"sort": "stage"})) == [three[0], three[2], three[1]]


@pytest.mark.parametrize("page", ["0", "-1", "9" * 40, "9" * 5000, "0" * 5000, "x", "²"], ids=lambda page: page[:9])
def test_a_senseless_page_or_sort_is_the_default(console, three, page):
    assert sorted(macs(console.get("/", {"page": page, "sort": "password", "stage": "' OR 1"}))) == three


def test_pages_show_every_phone_once(console):
    cast_of = [cast.sighting(f"000B8200{n:04X}", f"10.0.{n // 200}.{n % 200 + 1}") for n in range(PAGE_ROWS + 7)]
    cast.inventory.record_sightings(cast_of, cast.unknown)
    first, second = console.get("/"), console.get("/?page=2")
    assert len(macs(first)) == PAGE_ROWS
    assert len(macs(second)) == 7
    assert not set(macs(first)) & set(macs(second))
    assert f"1–{PAGE_ROWS} of {PAGE_ROWS + 7}" in first.content.decode()


def test_the_fragment_shows_the_same_rows_as_the_page(console, three):
    whole, part = console.get("/?sort=mac"), console.get("/rows/?sort=mac")
    assert [row(whole, mac) for mac in three] == [row(part, mac) for mac in three]
    assert "<html" not in part.content.decode()


def test_a_phone_whose_notify_waits_for_a_silent_listener_says_so(console):
    cast.assigned()
    assert "Waiting for the listener, which is not running." in row(console.get("/"), cast.MAC)


def test_the_reason_why_a_phone_stopped_stands_below_its_stage(console, listener):
    version = cast.assigned()
    notify = cast.sent(version)
    cast.answered(notify, 403, "Forbidden")
    assert "403 Forbidden" in row(console.get("/"), cast.MAC)


def claimed_by(host: str) -> None:
    """Another address says that it is the phone."""
    Phone.objects.update(
        alarm=f"It now claims {host}.",
        alarm_at=timezone.now(),
        claimed_host=host,
        claimed_port=5060,
        claimed_at=timezone.now(),
        claimed_interface="eth0",
        claimed_local_host=cast.OURS,
    )


def test_an_alarm_can_be_accepted_and_the_phone_is_owed_a_notify_there(console):
    version = cast.assigned()
    cast.delivered(version)
    claimed_by(cast.STRANGER)
    words = console.get("/").content.decode()
    assert "It is that phone: use 10.0.0.99" in words
    assert re.search(rf'data-act="accept"[^>]* data-host="{cast.STRANGER}"', words)
    assert console.post(f"/phones/{cast.MAC}/accept/", {"host": cast.STRANGER}).status_code == 200
    phone = Phone.objects.get()
    assert (phone.source_host, phone.alarm) == (cast.STRANGER, "")
    assert cast.owed(phone.pk) is not None
    answer = console.post(f"/phones/{cast.MAC}/accept/", {"host": cast.STRANGER})
    assert (answer.status_code, answer.json()["message"]) == (409, "This claim is settled already.")


@pytest.mark.parametrize("shown", [cast.STRANGER, "", "x", "::g"])
def test_a_claim_that_is_another_by_now_is_not_accepted(console, shown):
    cast.assigned()
    claimed_by("10.0.5.66")
    answer = console.post(f"/phones/{cast.MAC}/accept/", {"host": shown})
    assert answer.status_code == 409
    assert answer.json()["message"] == "Now 10.0.5.66 claims to be this phone. Look again."
    phone = Phone.objects.get()
    assert (phone.source_host, phone.claimed_host) == (cast.HOST, "10.0.5.66")


def test_an_alarm_can_be_dismissed_and_the_address_stays(console):
    cast.assigned()
    Phone.objects.update(alarm="It now claims 10.0.0.99.", alarm_at=timezone.now(), claimed_host=cast.STRANGER)
    assert console.post(f"/phones/{cast.MAC}/dismiss/").status_code == 200
    phone = Phone.objects.get()
    assert (phone.source_host, phone.claimed_host, phone.alarm) == (cast.HOST, None, "")


def test_actions_need_their_permission_and_a_post(viewer, console):
    cast.assigned()
    browser = signed_in(viewer)
    for action in ("notify", "ignore", "forget", "accept", "dismiss"):
        assert browser.post(f"/phones/{cast.MAC}/{action}/", headers={"X-Requested-With": "fetch"}).status_code == 403
        assert console.get(f"/phones/{cast.MAC}/{action}/").status_code == 405
    assert Phone.objects.get().stage == Stage.ASSIGNED
    assert 'data-act="assign"' not in browser.get("/").content.decode()


def test_notify_again_ignore_and_forget(console, listener):
    version = cast.assigned()
    first = cast.owed(version.phone_id)
    answer = console.post(f"/phones/{cast.MAC}/notify/", {"host": cast.HOST})
    assert answer.json()["message"] == "Asked. What the phone does is shown here."
    assert cast.owed(version.phone_id).pk != first.pk
    assert console.post(f"/phones/{cast.MAC}/ignore/").status_code == 200
    assert Phone.objects.get().stage == Stage.IGNORED
    assert console.post(f"/phones/{cast.MAC}/forget/").status_code == 200
    assert not Phone.objects.exists()
    assert console.post("/phones/000B82FFFFFF/forget/").status_code == 404


def test_notify_again_goes_to_the_address_that_was_shown_or_nowhere(console, listener):
    version = cast.assigned()
    first = cast.owed(version.phone_id)
    assert f'data-host="{cast.HOST}"' in row(console.get("/"), cast.MAC)
    Phone.objects.update(source_host=cast.STRANGER)
    answer = console.post(f"/phones/{cast.MAC}/notify/", {"host": cast.HOST})
    assert answer.status_code == 409
    assert cast.STRANGER in answer.json()["message"]
    assert console.post(f"/phones/{cast.MAC}/notify/").status_code == 409
    assert cast.owed(version.phone_id).pk == first.pk


def test_plain_http_beyond_loopback_is_warned_of(console):
    assert 'data-testid="plain-http"' not in console.get("/").content.decode()
    assert 'data-testid="plain-http"' in console.get("/", headers={"host": "testserver"}).content.decode()
    assert 'data-testid="plain-http"' not in console.get("/", headers={"host": "127.0.0.1:8000"}).content.decode()


def test_the_json_has_the_names_of_the_contract(console, three):
    phones = console.get("/phones.json").json()
    assert {phone["mac"] for phone in phones} == set(three)
    names = {"mac", "vendor", "model", "firmware", "stage", "stage_reason", "contact", "first_seen_at", "last_seen_at"}
    assert names <= set(phones[0])


def test_health_needs_no_sign_in():
    answer = Client().get(reverse("admin:index").replace("admin/", "healthz"))
    assert (answer.status_code, answer.content) == (200, b"ok")


@pytest.mark.parametrize("path", ["/phones/zzz/", "/phones/000B8227/", "/phones/000B82FFFFFF/"])
def test_an_unknown_mac_is_not_found(console, path):
    assert console.get(path).status_code == 404


def test_a_mac_in_any_spelling_leads_to_the_phone(console):
    cast.seen()
    assert console.get("/phones/00:0b:82:27:3b:89/").status_code == 200


def test_notify_again_is_a_button_where_the_words_speak_of_it(console, viewer, listener):
    phone = cast.assigned().phone
    Phone.objects.filter(pk=phone.pk).update(stage_reason="It did not answer. Press “Notify again” in a minute.")
    page, row = console.get(f"/phones/{cast.MAC}/").content.decode(), console.get("/").content.decode()
    assert 'data-act="notify"' in row
    assert 'data-key="notify-here"' in page
    assert 'data-act="notify"' not in signed_in(viewer).get("/").content.decode()
    Phone.objects.filter(pk=phone.pk).update(stage_reason="Something else.")
    assert 'data-act="notify"' not in console.get("/").content.decode()


def test_a_row_that_was_read_just_before_the_answer_does_not_say_that_nobody_told_the_phone(db):
    version = cast.assigned()
    read_before = Phone.objects.prefetch_related("accounts").get()
    cast.delivered(version)
    [row] = rows_of([read_before], Listening(running=True))
    assert row.words == str(NEXT_WORDS[Stage.NOTIFIED])
    with cast.stopped_clock(timezone.now() + timedelta(minutes=1)):
        [row] = rows_of([read_before], Listening(running=True))
    assert row.words == str(NEXT_WORDS[Stage.ASSIGNED]), "later it is what it says"


def test_when_a_phone_is_asked_again_ages(console, listener):
    notify = cast.sent(cast.assigned())
    assert settling.unanswered(notify.pk)
    again = timezone.localtime(Notify.objects.get(state=NotifyState.WAITING).next_at).isoformat(timespec="milliseconds")
    for url in ("/", f"/phones/{cast.MAC}/"):
        page = console.get(url).content.decode()
        assert f'Next try: <time datetime="{again}"' in page
        assert "10 minutes" not in page


def test_all_says_whom_it_leaves_out(console, three):
    words = console.get("/").content.decode()
    assert 'title="Without the ignored and the retired ones: those have filters of their own"' in words
    assert words.count("Without the ignored") == 1


def test_who_signs_out_is_told_so_on_the_page_for_signing_in(administrator):
    page = signed_in(administrator).post("/admin/logout/", follow=True)
    assert page.redirect_chain == [("/admin/login/", 302)]
    words = page.content.decode()
    assert "You are signed out." in words and 'name="password"' in words and "quality time" not in words
