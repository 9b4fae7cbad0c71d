"""Limits of the phones' door, and what strangers try there: the one refusal all the same, and an alarm afterwards."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import pytest
from django.db import OperationalError, connection

from devices import alarms, decoys, newcomers
from devices.choices import AlarmKind
from devices.models import Alarm, LiveEvent, Phone
from provisioning import attempts
from provisioning.door import app, delivery, later, watch
from provisioning.door.http import Request
from provisioning.door.names import ALL, BURST, BURST_OF_ALL, SLOW_BURST, Names
from provisioning.door.store import in_store
from provisioning.door.turns import AT_ONCE, Turns
from provisioning.downloads import Offer
from provisioning.models import PathKind
from provisioning.plain import heard, missed
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]  # `db` where rows are what it is about
SCANNER = "10.0.0.66"
SLOWLY = {"GSPNP_HTTP_RATE_PER_SOURCE": 1}
TOGETHER = {"GSPNP_HTTP_RATE": 2}
BURST_ALLOWED = int(app.BURST_SECONDS)
DECOY = "000B82DEC001"


@pytest.fixture(autouse=True)
def fresh_door(monkeypatch):
    app._limits.cache_clear()
    app._lines.cache_clear()
    monkeypatch.setattr(heard, "_bound", None)
    yield
    app._limits.cache_clear()


def raised() -> list[tuple[str, str, str, int]]:
    watch.flush()
    return [(one.kind, one.source, one.mac, one.count) for one in alarms.open_alarms()]


# --- limits -------------------------------------------------------------------------------------------------------
def test_an_address_beyond_its_rate_gets_the_one_refusal_and_the_phone_beside_it_its_file():
    version = cast.assigned()
    cast.sent(version)
    path = cast.first_path(version)
    elsewhere = cast.ask("/nothing", host=cast.STRANGER, settings=SLOWLY)
    asked = [cast.ask("/healthz", host=SCANNER, settings=SLOWLY) for _ in range(BURST_ALLOWED + 10)]
    assert [one.status for one in asked] == [200] * BURST_ALLOWED + [404] * 10
    assert asked[-1] == elsewhere
    assert cast.ask(path, settings=SLOWLY).status == 200
    assert raised() == [(AlarmKind.FLOOD, SCANNER, "", 10)]


def test_what_is_refused_unread_costs_no_look_up(django_assert_num_queries):
    for _ in range(BURST_ALLOWED):
        cast.ask("/healthz", host=SCANNER, settings=SLOWLY)
    with django_assert_num_queries(0):
        assert cast.ask(f"/cfg{cast.MAC}", host=SCANNER, settings=SLOWLY).status == 404


def test_all_together_have_a_limit_and_who_asks_for_little_is_let_in_beside_it():
    greedy = ["10.0.1.1", "10.0.1.2", "10.0.1.3"]
    statuses = [cast.ask("/healthz", host=host, settings=TOGETHER).status for _ in range(60) for host in greedy]
    assert 404 in statuses
    assert cast.ask("/healthz", host="10.0.2.1", settings=TOGETHER).status == 200
    assert (AlarmKind.FLOOD, "") in [alarm[:2] for alarm in raised()]
    assert "GSPNP_HTTP_RATE " in alarms.words(Alarm.objects.get(source=""))


def test_one_host_of_ipv6_is_one_source_whatever_addresses_it_makes():
    hosts = [f"fd00::{number:x}" for number in range(1, BURST_ALLOWED + 5)]
    assert [cast.ask("/healthz", host=host, settings=SLOWLY).status for host in hosts][-1] == 404
    assert cast.ask("/healthz", host="fd00:0:0:1::1", settings=SLOWLY).status == 200


def test_one_host_of_ipv6_that_takes_another_address_for_each_name_tries_names():
    for number in range(BURST_ALLOWED + 10):
        cast.ask(f"/cfg000B82{number:06X}", host=f"fd00::{number + 1:x}", settings=SLOWLY)
    assert sorted(alarm[:2] for alarm in raised()) == [
        (AlarmKind.FLOOD, "fd00::/64"), (AlarmKind.NAMES, "fd00::/64")
    ]  # fmt: skip


async def test_who_asks_for_much_at_once_waits_for_his_own_and_for_nobody_elses():
    turns, busy, done = Turns(2), asyncio.Event(), []

    async def ask(source: str) -> None:
        async with turns.of(source):
            done.append(source)
            if source == SCANNER:
                await busy.wait()

    flood = [asyncio.create_task(ask(SCANNER)) for _ in range(50)]
    await asyncio.sleep(0)
    await ask(cast.HOST)
    assert done == [SCANNER, SCANNER, cast.HOST] and len(turns) == 1
    flood[-1].cancel()
    busy.set()
    await asyncio.gather(*flood, return_exceptions=True)
    assert len(done) == 50 and len(turns) == 0


@pytest.mark.parametrize("module", [attempts, heard, missed], ids=lambda one: one.__name__)
def test_one_address_leaves_room_for_the_phone_beside_it(monkeypatch, module):
    monkeypatch.setattr(module, "HELD_PER_SOURCE", 5)
    monkeypatch.setattr(module, "HELD_AT_MOST", 8)
    for number in range(20):
        mac = f"000B82{number:06X}"
        cast.ask(f"/cfg{mac}.xml", host=SCANNER, **says_it_is(mac))
    assert len(module._held) == 5
    cast.ask(f"/cfg{cast.MAC}.xml", **says_it_is(cast.MAC))
    assert len(module._held) == 6


@pytest.mark.db
@pytest.mark.parametrize("module", [attempts, heard, missed, watch], ids=lambda one: one.__name__)
async def test_who_asks_while_others_are_written_down_is_written_down_next(monkeypatch, module):
    done: list[int] = []

    def flush() -> int:
        done.append(len(module._held))
        module._held.clear()
        if len(done) == 1:
            module._held["another"] = 1
        return 0

    monkeypatch.setattr(later, "FLUSH_SECONDS", 0)
    monkeypatch.setattr(module, "_held", {"one": 1})
    monkeypatch.setattr(module, "_counted", {}, raising=False)
    monkeypatch.setattr(module, "flush", flush)
    await asyncio.wait_for(module._later.run(), 10)
    assert done == [1, 1]


@pytest.mark.db
@pytest.mark.parametrize("module", [attempts, heard, missed, watch], ids=lambda one: one.__name__)
async def test_what_is_written_of_strangers_keeps_no_phone_waiting(monkeypatch, module):
    begun, go_on = threading.Event(), threading.Event()

    def flush() -> int:  # as it waits for SQLite's lock
        module._held.clear()
        begun.set()
        assert go_on.wait(20)
        return 0

    monkeypatch.setattr(later, "FLUSH_SECONDS", 0)
    monkeypatch.setattr(module, "_held", {"one": 1})
    monkeypatch.setattr(module, "_counted", {}, raising=False)
    monkeypatch.setattr(module, "flush", flush)
    written = asyncio.create_task(module._later.run())
    await asyncio.to_thread(begun.wait, 20)
    try:
        assert await asyncio.wait_for(in_store(lambda: "a file"), 10) == "a file"
    finally:
        go_on.set()
        await written


@pytest.mark.db
@pytest.mark.parametrize("headers", [{}, {"if-none-match": "its own"}], ids=["file", "tag"])
async def test_downloads_of_one_address_are_written_in_turn_too(monkeypatch, headers):
    there, most = [], []

    async def in_store(*_asked: object) -> None:
        there.append(None)
        most.append(len(there))
        await asyncio.sleep(0.01)
        there.pop()

    monkeypatch.setattr(delivery, "in_store", in_store)
    monkeypatch.setattr(Offer, "etag", "tag")
    monkeypatch.setattr(Offer, "content_type", "text/xml")
    offer = Offer(cast.MAC, None, b"x" * 100, None, PathKind.STEADY, "cfg", False)
    tag = {name: '"tag"' for name in headers}
    request = Request("GET", "/p", tag, SCANNER)

    async def download() -> None:
        given = await delivery.serve(request, offer, SCANNER)
        if given.pieces is not None:
            assert b"".join([piece async for piece in given.pieces]) == offer.content

    await asyncio.gather(*(download() for _ in range(20)))
    assert len(most) == 20 and max(most) == AT_ONCE


def test_a_flood_of_requests_does_not_fill_the_log_and_the_phone_beside_it_stands_there(caplog):
    caplog.set_level("INFO")
    for path in ("/nothing", f"/cfg{cast.OTHER_MAC}", "/gxp1600fw.bin", f"/phonebook/{'A' * 22}/phonebook.xml"):
        for _ in range(30):
            cast.ask(path, host=SCANNER)
    cast.ask(f"/cfg{cast.MAC}")
    lines = [record.getMessage() for record in caplog.records if " asked for " in record.getMessage()]
    burst = int(app.LINES_PER_SOURCE * app.LINES_BURST_SECONDS)
    assert burst <= len(lines) <= burst * 2 and lines[-1] == f"{cast.HOST} asked for cfg{cast.MAC}: refused"


async def test_firmware_is_looked_for_in_turn_too(monkeypatch):
    there, most, go_on = [], [], asyncio.Event()

    async def firmware(*_asked: object) -> None:
        there.append(None)
        most.append(len(there))
        await go_on.wait()
        there.pop()

    async def nothing(*_asked: object) -> None:
        return None

    monkeypatch.setattr(app.serving, "firmware", firmware)
    monkeypatch.setattr(app, "in_store", nothing)
    monkeypatch.setattr(watch, "in_vain", lambda *_asked: None)
    flood = [Request("GET", "/gxp1600fw.bin", {}, SCANNER) for _ in range(20)]
    asked = [asyncio.create_task(app.answer(one)) for one in flood]
    await asyncio.sleep(0.05)
    go_on.set()
    assert {one.status for one in await asyncio.gather(*asked)} == {404}
    assert len(most) == 20 and max(most) == AT_ONCE


# --- decoys ---------------------------------------------------------------------------------------------------------
@pytest.mark.db
@pytest.mark.parametrize(
    "path",
    [f"/cfg{DECOY}", f"/provisioning/cfg{DECOY.lower()}.xml", f"/cfg{DECOY}.bin", f"/p/{'A' * 22}/cfg{DECOY}.xml",
     f"/%63fg{DECOY}"],
)  # fmt: skip
def test_whoever_asks_for_a_decoy_gets_the_one_refusal_and_raises_an_alarm(path):
    decoys.add(DECOY, by="tess")
    assert cast.ask(path, host=SCANNER) == cast.ask("/nothing", host=cast.STRANGER)
    assert raised() == [(AlarmKind.DECOY_HTTP, SCANNER, DECOY, 1)]
    event = LiveEvent.objects.latest("id")
    assert SCANNER in event.text and "00:0B:82:DE:C0:01" in event.text and "A" * 22 not in event.text


def test_a_decoy_among_thousands_of_names_of_one_second_is_not_lost(monkeypatch):
    decoys.add(DECOY, by="tess")
    assert cast.ask("/nothing", host=SCANNER).status == 404
    watch.flush()  # it knows the decoys now
    monkeypatch.setattr(watch, "HELD_PER_SOURCE", 3)
    for number in range(10):
        cast.ask(f"/cfg0000000000{number:02}", host=SCANNER)
    cast.ask(f"/cfg{DECOY}", host=SCANNER)
    assert (AlarmKind.DECOY_HTTP, SCANNER, DECOY, 1) in raised()


def test_a_decoy_asked_for_from_no_allowed_network_or_by_another_method_raises_it_too():
    decoys.add(DECOY, by="tess")
    cast.ask(f"/cfg{DECOY}", host="8.8.8.8")
    cast.ask(f"/cfg{DECOY}", host=SCANNER, method="POST")
    assert {alarm[1] for alarm in raised()} == {"8.8.8.8", SCANNER}


def test_a_phone_that_was_listed_is_no_decoy():
    decoys.add(cast.MAC, by="tess")
    cast.seen()
    cast.ask(f"/cfg{cast.MAC}")
    assert raised() == []


@pytest.mark.db
def test_what_was_tried_while_the_database_was_busy_is_told_afterwards(monkeypatch):
    decoys.add(DECOY, by="tess")
    cast.ask("/nothing", host=cast.STRANGER)
    watch.flush()
    cast.ask(f"/cfg{DECOY}", host=SCANNER)
    for number in range(BURST + 1):
        cast.ask(f"/cfg000B82{number:06X}", host=SCANNER)
    with monkeypatch.context() as busy:
        busy.setattr(alarms, "raise_alarm", Mock(side_effect=OperationalError("database is locked")))
        assert raised() == []
    assert raised() == [(AlarmKind.DECOY_HTTP, SCANNER, DECOY, 1), (AlarmKind.NAMES, SCANNER, "", BURST + 1)]


def says_it_is(mac: str) -> dict[str, str]:
    return {"user-agent": f"Grandstream Model HW GXP1628 SW 1.0.4.138 DevId {mac.lower()}"}


def test_a_decoy_stays_one_whatever_the_request_says_of_itself():
    decoys.add(DECOY, by="tess")
    for _ in range(2):
        assert cast.ask(f"/cfg{DECOY}.xml", host=SCANNER, **says_it_is(DECOY)).status == 404
        heard.flush()
    assert raised() == [(AlarmKind.DECOY_HTTP, SCANNER, DECOY, 1)]
    assert not Phone.objects.exists()


def test_a_decoy_and_a_burst_are_seen_where_what_leads_here_is_handed_out_too(settings):
    settings.GSPNP_PLAIN_BOOTSTRAP = True
    decoys.add(DECOY, by="tess")
    assert cast.ask(f"/cfg{DECOY}.xml", host=SCANNER).status == 200
    for number in range(BURST + 1):
        assert cast.ask(f"/cfg000B82{number:06X}.xml", host=SCANNER).status == 200
    assert {alarm[:3] for alarm in raised()} == {
        (AlarmKind.DECOY_HTTP, SCANNER, DECOY), (AlarmKind.NAMES, SCANNER, "")
    }  # fmt: skip


# --- names ----------------------------------------------------------------------------------------------------------
@pytest.mark.db
def test_a_burst_of_unknown_names_raises_one_alarm_that_counts_on():
    for number in range(BURST + 5):
        cast.ask(f"/cfg000B82{number:06X}.xml", host=SCANNER)
    assert raised() == [(AlarmKind.NAMES, SCANNER, "", BURST + 5)]
    for number in range(100, 110):
        cast.ask(f"/cfg000B82{number:06X}.xml", host=SCANNER)
    assert raised() == [(AlarmKind.NAMES, SCANNER, "", BURST + 15)]


def test_secrets_that_are_tried_for_one_phone_are_names_too():
    cast.assigned()
    for number in range(BURST + 1):
        cast.ask(f"/p/{number:022}/cfg{cast.MAC}.xml", host=SCANNER)
    assert [alarm[:2] for alarm in raised()] == [(AlarmKind.NAMES, SCANNER)]


def test_every_phone_by_its_plain_name_from_one_address_is_a_burst_and_a_phone_that_asks_for_itself_is_none():
    for number in range(BURST + 5):
        cast.seen(f"000B82{number:06X}", f"10.0.3.{number + 1}")
    for number in range(BURST + 5):
        cast.ask(f"/cfg000B82{number:06X}.xml", host=f"10.0.3.{number + 1}")
    assert raised() == []
    for number in range(BURST + 5):
        cast.ask(f"/cfg000B82{number:06X}.xml", host=SCANNER)
    assert [alarm[:2] for alarm in raised()] == [(AlarmKind.NAMES, SCANNER)]


def test_a_site_behind_one_address_that_starts_up_is_no_burst():
    for number in range(60):
        cast.seen(f"000B82{number:06X}", cast.HOST)
    for number in range(60):
        for name in (f"cfg000B82{number:06X}", f"cfg000B82{number:06X}.xml", "cfggxp1628.xml", "cfg.xml", "ring1.bin"):
            cast.ask(f"/{name}")
    assert raised() == []


def test_whoever_says_of_each_name_that_it_is_this_phone_tries_names_all_the_same(clock):
    for number in range(BURST + 1):
        mac = f"000B82{number:06X}"
        cast.ask(f"/cfg{mac}.xml", host=SCANNER, **says_it_is(mac))
    heard.flush()
    assert Phone.objects.filter(source_host=SCANNER).count() == BURST + 1
    assert raised() == [(AlarmKind.NAMES, SCANNER, "", BURST + 1)]
    clock.forward(hours=2)  # phones of a site that are known for long are no news
    alarms.dismiss(alarms.open_alarms()[0].pk, "tess")
    watch._names = Names()
    for number in range(BURST + 1):
        cast.ask(f"/cfg000B82{number:06X}.xml", host=SCANNER)
    assert raised() == []


def test_who_invents_many_phones_by_their_plain_names_raises_the_alarm_that_sip_raises():
    for number in range(newcomers.BURST + 1):
        mac = f"000B82{number:06X}"
        cast.ask(f"/cfg{mac}.xml", host=SCANNER, **says_it_is(mac))
    heard.flush()
    assert (AlarmKind.PHONES, SCANNER, "", newcomers.BURST + 1) in raised()


def test_names_of_one_source_over_time():
    names = Names()
    for number in range(SLOW_BURST + 1):
        names.add(SCANNER, str(number), number * 10.0)
    assert names.bursts({SCANNER}, SLOW_BURST * 10.0) == [(SCANNER, SLOW_BURST + 1)]
    assert names.bursts({SCANNER}, SLOW_BURST * 10.0 + 3600) == []


def test_names_of_many_sources_together():
    names = Names()
    for number in range(BURST_OF_ALL + 1):
        names.add(f"10.1.{number >> 8}.{number & 255}", str(number), 1.0)
    assert names.bursts({"10.1.0.1"}, 2.0) == [(ALL, BURST_OF_ALL + 1)]
    assert names.bursts({"10.1.0.1"}, 70.0) == []


def test_one_that_is_loud_does_not_hide_many_that_are_not():
    names = Names()
    for number in range(BURST_OF_ALL * 3):
        names.add(SCANNER, str(number), 1.0)
    assert [source for source, _ in names.bursts({SCANNER}, 2.0)] == [SCANNER]
    for number in range(BURST_OF_ALL + 1):
        names.add(SCANNER, f"more {number}", 3.0)
        names.add(f"10.1.{number >> 8}.{number & 255}", str(number), 3.0)
    assert [source for source, _ in names.bursts({SCANNER, "10.1.0.1"}, 4.0)] == [SCANNER, ALL]


# --- alarms ---------------------------------------------------------------------------------------------------------
@pytest.mark.db
def test_a_person_dismisses_an_alarm_once_and_it_says_who_and_when(clock):
    alarms.raise_alarm(AlarmKind.DECOY_HTTP, SCANNER, mac=DECOY)
    (alarm,) = alarms.open_alarms()
    assert alarms.dismiss(alarm.pk, "tess") and not alarms.dismiss(alarm.pk, "tom")
    alarm.refresh_from_db()
    assert (alarm.dismissed_by, alarm.dismissed_at) == ("tess", clock.at)
    assert alarms.raise_alarm(AlarmKind.DECOY_HTTP, SCANNER, mac=DECOY)  # it is asked for again: a new one


@pytest.mark.db
def test_a_burst_that_was_dismissed_does_not_come_back_with_its_next_request(clock):
    alarms.raise_alarm(AlarmKind.NAMES, SCANNER, count=30)
    alarms.dismiss(alarms.open_alarms()[0].pk, "tess")
    assert not alarms.raise_alarm(AlarmKind.NAMES, SCANNER, count=31) and alarms.open_alarms() == []
    clock.forward(seconds=61)
    assert alarms.raise_alarm(AlarmKind.NAMES, SCANNER, count=25)


@pytest.mark.db
def test_strangers_with_many_addresses_cannot_fill_the_disk(clock, monkeypatch):
    monkeypatch.setattr(alarms, "OPEN_AT_MOST", 5)
    monkeypatch.setattr(alarms, "KEPT_AT_MOST", 7)
    for number in range(50):
        alarms.raise_alarm(AlarmKind.DECOY_SIP, f"10.2.0.{number}", mac=DECOY)
    assert len(alarms.open_alarms()) == 6 and LiveEvent.objects.count() == 6
    others = Alarm.objects.get(source="")
    assert others.count == 45 and "More than one address" in alarms.words(others)
    for number in range(20):
        clock.forward(seconds=1)
        for alarm in alarms.open_alarms():
            alarms.dismiss(alarm.pk, "tess")
        alarms.raise_alarm(AlarmKind.DECOY_SIP, f"10.2.1.{number}", mac=DECOY)
    assert Alarm.objects.exclude(dismissed_at=None).count() <= 7


@pytest.mark.db
def test_forged_addresses_do_not_hide_who_asked_for_a_decoy(clock):
    for number in range(alarms.OPEN_AT_MOST + 10):
        alarms.raise_alarm(AlarmKind.PHONES, f"10.2.0.{number}", count=70)
        alarms.raise_alarm(AlarmKind.FLOOD_SIP, f"10.2.0.{number}")
    alarms.raise_alarm(AlarmKind.DECOY_HTTP, SCANNER, mac=DECOY)
    clock.forward(seconds=1)
    alarms.raise_alarm(AlarmKind.PHONES, "10.2.0.1", count=80)
    first = alarms.open_alarms()[0]
    assert (first.kind, first.source, first.mac) == (AlarmKind.DECOY_HTTP, SCANNER, DECOY)


@pytest.mark.db
def test_a_clock_that_went_back_silences_no_alarm(clock):
    alarms.raise_alarm(AlarmKind.NAMES, SCANNER, count=30)
    alarms.dismiss(alarms.open_alarms()[0].pk, "tess")
    clock.forward(hours=-5)
    assert alarms.raise_alarm(AlarmKind.NAMES, SCANNER, count=31)
    told = LiveEvent.objects.count()
    clock.forward(hours=-5)
    alarms.raise_alarm(AlarmKind.NAMES, SCANNER, count=32)
    assert LiveEvent.objects.count() == told + 1


@pytest.mark.db
def test_open_pages_are_told_of_one_that_goes_on_now_and_then(clock):
    for _ in range(10):
        alarms.raise_alarm(AlarmKind.FLOOD, SCANNER, count=5)
        clock.forward(seconds=10)
    assert alarms.open_alarms()[0].count == 50 and LiveEvent.objects.count() == 3


# --- decoys that an operator lists or makes ---------------------------------------------------------------------------
@pytest.mark.db
def test_decoys_that_are_made_stand_near_real_phones_and_are_none_of_them():
    cast.seen()
    made = decoys.make(20, by="tess")
    assert len({one.mac for one in made}) == 20 and cast.MAC not in {one.mac for one in made}
    assert all(abs(int(one.mac, 16) - int(cast.MAC, 16)) <= decoys.NEAR for one in made)


@pytest.mark.parametrize(
    ("mac", "words"), [(cast.MAC, "is a phone in the list"), ("nonsense", "not a hex"), (DECOY, "a decoy already")]
)
def test_what_cannot_be_a_decoy_is_said(mac, words):
    cast.seen()
    decoys.add(DECOY, by="tess")
    with pytest.raises(decoys.CannotBeDecoy, match=words):
        decoys.add(mac, by="tess")
    assert Phone.objects.count() == 1


@pytest.mark.db
@pytest.mark.django_db(transaction=True)
def test_processes_that_raise_the_same_alarm_at_once_make_one_that_counts_all():
    def raise_some(_number: int) -> None:
        try:
            for _ in range(5):
                alarms.raise_alarm(AlarmKind.DECOY_HTTP, SCANNER, mac=DECOY)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(raise_some, range(4)))
    assert [one.count for one in alarms.open_alarms()] == [20]
