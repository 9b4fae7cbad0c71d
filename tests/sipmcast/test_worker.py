"""The worker between agent and store: stored first and answered then, or answered all the same and held."""

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from unittest.mock import AsyncMock, patch

import pytest
from django.db import OperationalError

from devices.inventory import Heard
from provisioning.outage import Outage
from sipmcast import desk, held, helpers, pulse, scribe, transcripts, worker
from sipmcast.calls import Send
from sipmcast.events import NotifyTimedOut, PhoneSighted
from sipmcast.journal import Journal
from sipmcast.roll_call import RollCall
from tests import cast

AWAY = OperationalError("database is locked")
BOUND_SECONDS = 20


class Agent:
    """Remembers which held SUBSCRIBEs were answered, and what was to be sent."""

    def __init__(self) -> None:
        self.answered: list[str] = []
        self.withheld: list[str] = []
        self.room = 1000
        self.sent: list[int] = []
        self.cancelled: list[int] = []
        self.counters: Counter[str] = Counter()
        self.journal = Journal()

    def answer(self, key: str, now: float) -> None:
        self.answered.append(key)

    def withhold(self, key: str) -> None:
        self.withheld.append(key)

    def notify(self, token: int, datagram: bytes, *_: object, **__: object) -> None:
        if not datagram:
            raise ValueError("no request")
        self.sent.append(token)

    def cancel(self, token: int) -> None:
        self.cancelled.append(token)


class Listener:
    """No sockets: the worker is what is tested."""

    def __init__(self) -> None:
        self.agent = Agent()
        self.legs = [cast.LEG]
        self.trouble: dict[str, str] = {}
        self.warnings: list[str] = []
        self.over_limit: dict[str, int] = {}

    def kernel_drops(self) -> int:
        return 0

    def pump(self) -> None:
        """Nothing to send."""


class Store:
    """Stands where the writer thread would call `desk`; can be taken away."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.stage = "seen"
        self.also_at: str | None = None
        self.bites: list[int] = []
        self.macs: set[str] = set()
        self.settled: list[object] = []
        self.plans: list[desk.Plan] = []
        self.decoys: set[str] = set()
        self.alarms: list[tuple] = []

    def store(self, sightings, _site) -> desk.Stored:
        if self.error:
            raise self.error
        if any(one.model == "poison" for one in sightings):
            raise ValueError("cannot be stored")
        self.bites.append(len(sightings))
        self.macs |= {one.mac for one in sightings}
        heard = [
            Heard(None, one.mac, "", False, True)
            if one.model == "too many"
            else Heard(7, one.mac, self.stage, True, also_at=self.also_at)
            for one in sightings
        ]
        heard = [one for one in heard if one.mac not in self.decoys]
        announced = [(one.source_host, one.mac) for one in sightings if one.mac in self.decoys]
        return desk.Stored(heard, [("10.0.0.66", 70)] if announced else [], announced)

    def alarm(self, *said: object) -> None:
        if self.error:
            raise self.error
        self.alarms.append(said)

    def owe(self, _phone_ids) -> None:
        if self.error:
            raise self.error

    def settle(self, events, _legs) -> list[Send]:
        if self.error:
            raise self.error
        self.settled += events
        return []

    def look(self, *_: object) -> desk.Plan:
        if self.error:
            raise self.error
        return self.plans.pop(0) if self.plans else desk.Plan()

    def upkeep(self, *_: object) -> desk.Plan:
        if self.error:
            raise self.error
        return desk.Plan()

    def heartbeat(self, *_: object) -> None:
        """Heard."""


@pytest.fixture
def store():
    made = Store()
    with (
        patch.multiple(
            desk,
            store=made.store,
            owe=made.owe,
            settle=made.settle,
            look=made.look,
            upkeep=made.upkeep,
            alarm=made.alarm,
        ),
        patch.object(worker, "heartbeat", made.heartbeat),
        patch.object(RollCall, "step", AsyncMock()),
    ):
        yield made


@pytest.fixture
async def running(store):
    """A worker at work, without waits between its steps."""
    with patch.multiple(worker, STORE_AWAY_SECONDS=0.01, POLL_SECONDS=0.01, AFTER_FAILURE_SECONDS=0.01):
        made = worker.Worker("", "pbx#1", helpers.Thread("store"), helpers.Thread("outbox"))
        made.listener = Listener()
        tasks = [asyncio.create_task(one) for one in made.loops()]
        yield made
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        made.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(BOUND_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


def heard(number: int, **about) -> PhoneSighted:
    return PhoneSighted(f"key {number}", cast.sighting(f"000B8200{number:04X}", f"10.0.{number // 200}.9", **about))


async def test_a_phone_is_answered_after_it_was_stored(running, store):
    running.deliver(heard(1))
    await until(lambda: running.listener.agent.answered)
    assert store.macs == {"000B82000001"}


async def test_a_decoy_is_answered_like_a_phone_and_told_of_afterwards(running, store):
    store.decoys = {"000B82000001"}
    running.listener.over_limit = {"10.0.0.67": 9}
    running.deliver(heard(1))
    await until(lambda: _all_told(store))
    assert set(running.listener.agent.answered) == {"key 1"} and not running.listener.agent.withheld
    bursts, decoys, over = ({key: value for said in store.alarms for key, value in said[at].items()} for at in range(3))
    assert (bursts, decoys, over) == ({"10.0.0.66": 70}, {("10.0.0.9", "000B82000001"): 1}, {"10.0.0.67": 9})


def _all_told(store: Store) -> bool:
    return all(any(said[at] for said in store.alarms) for at in range(3))


async def test_in_a_storm_nobody_is_answered_before_being_stored(running, store):
    with patch.object(worker, "ANSWER_ANYWAY_SECONDS", BOUND_SECONDS):
        for number in range(1200):
            running.deliver(heard(number))
    answered = running.listener.agent.answered
    order: list[tuple[int, int]] = []
    real = store.store
    with patch.object(desk, "store", lambda *batch: (order.append((len(answered), sum(store.bites))), real(*batch))[1]):
        await until(lambda: len(answered) >= 1200)
    assert all(answers <= stored for answers, stored in order)
    assert len(store.macs) == 1200


class Handed(helpers.Thread):
    """Notes how many were answered whenever a batch is handed over to the store."""

    def __init__(self, answered: list[str]) -> None:
        super().__init__("store")
        self.answered, self.at = answered, list[int]()

    async def run(self, call, *arguments):
        self.at.append(len(self.answered))
        return await super().run(call, *arguments)


async def test_the_store_has_the_next_batch_while_the_one_before_is_answered(running, store):
    running._store_helper = handed = Handed(running.listener.agent.answered)
    with patch.object(worker, "ANSWER_ANYWAY_SECONDS", BOUND_SECONDS):
        for number in range(3 * desk.STORE_AT_ONCE):
            running.deliver(heard(number))
        await until(lambda: len(running.listener.agent.answered) >= 3 * desk.STORE_AT_ONCE)
    assert handed.at == [0, 0, desk.STORE_AT_ONCE]


async def test_a_store_that_is_away_delays_no_answer_and_loses_no_phone(running, store):
    store.error = AWAY
    for number in range(5):
        running.deliver(heard(number))
    await until(lambda: len(set(running.listener.agent.answered)) == 5)
    assert store.macs == set()
    store.error = None
    await until(lambda: len(store.macs) == 5)


async def test_one_poisonous_sighting_does_not_take_the_others_with_it(running, store):
    for number in range(3):
        running.deliver(heard(number, model="poison" if number == 1 else "GXP1628"))
    await until(lambda: len(running.listener.agent.answered) >= 3)
    assert store.macs == {"000B82000000", "000B82000002"}


async def test_how_a_notify_ended_is_recorded_when_the_store_is_back(running, store):
    store.error = AWAY
    running.deliver(NotifyTimedOut(7))
    await until(lambda: running.listener.agent.counters["store_away"])
    store.error = None
    await until(lambda: store.settled)
    assert store.settled == [NotifyTimedOut(7)]


async def test_a_fault_of_ours_in_one_step_is_not_the_end(running, store):
    store.error = ZeroDivisionError("a bug")
    running.deliver(NotifyTimedOut(7))
    await asyncio.sleep(0)
    store.error = None
    await until(lambda: store.settled)


async def test_a_row_whose_bytes_are_no_request_ends_and_the_others_leave(running, store):
    phone = (cast.HOST, 5060)
    broken = Send(1, (1, "profile"), "z9hG4bK1", b"", phone, cast.LEG)
    store.plans.append(desk.Plan(sends=[broken, Send(2, (2, "profile"), "z9hG4bK2", b"NOTIFY", phone, cast.LEG)]))
    await until(lambda: store.settled)
    assert store.settled == [NotifyTimedOut(1)]
    assert running.listener.agent.sent == [2]


async def test_a_later_notify_ends_the_copies_of_the_one_that_it_replaces(running, store):
    """They name a path that is dead by now: a phone that starts up meanwhile would follow it."""
    about = ((1, "profile"), (1, "reboot"), (2, "profile"), (1, "profile"), (1, "profile"))
    for number, one in enumerate(about, 1):
        send = Send(number, one, f"z9hG4bK{number}", b"NOTIFY", (cast.HOST, 5060), cast.LEG)
        store.plans.append(desk.Plan(sends=[send], more=True))
    await until(lambda: running.listener.agent.sent == [1, 2, 3, 4, 5])
    assert running.listener.agent.cancelled == [1, 4]


def test_what_is_held_is_bounded_and_the_newest_stay():
    made = held.Held()
    with patch.object(held, "HELD_SIGHTINGS", 3):
        for number in range(5):
            made.add(cast.sighting(f"000B8200000{number}"), [f"key {number}"])
    assert [sighting.mac[-1] for sighting, _ in made.take(10)] == ["2", "3", "4"]
    assert made.lost == 2


def test_a_phone_that_is_held_twice_is_stored_once_and_answered_twice():
    made = held.Held()
    made.add(cast.sighting(firmware="1"), ["a"])
    made.add(cast.sighting(firmware="2"), ["b"])
    ((sighting, keys),) = made.take(10)
    assert (sighting.firmware, keys) == ("2", ["a", "b"])


async def test_a_phone_beyond_the_bound_on_new_ones_is_never_answered(running, store):
    with patch.object(worker, "ANSWER_ANYWAY_SECONDS", BOUND_SECONDS):
        running.deliver(heard(1, model="too many"))
        running.deliver(heard(2))
    await until(lambda: running.listener.agent.answered)
    assert (running.listener.agent.answered, running.listener.agent.withheld) == (["key 2"], ["key 1"])


async def test_what_happened_while_the_store_was_away_is_told_when_it_is_back(running, store):
    store.error = AWAY
    running.deliver(heard(1))
    await until(lambda: running.listener.agent.answered)
    store.error = None
    await until(lambda: store.macs)
    assert "The database was away" in running.pulse.warnings(0, time.monotonic())[0]


async def test_how_many_were_held_is_told_of_the_outage_and_not_of_its_end(running, store):
    """When the store has taken the first ones it is back, and they are held no longer."""
    store.error = AWAY
    with patch.object(worker, "STORE_AWAY_SECONDS", 0.01):
        for number in range(120):
            running.deliver(heard(number))
        await until(lambda: len(running.listener.agent.answered) == 120)
        store.error = None
        await until(lambda: len(store.macs) == 120)
    assert "; 120 phones were held meanwhile, 0 were lost" in running.pulse.warnings(0, time.monotonic())[0]


class Ago:
    """A clock that goes so many seconds after the real one."""

    seconds = 0.0

    def __call__(self) -> float:
        return time.monotonic() - self.seconds


def pulse_of(ago: Ago) -> pulse.Pulse:
    return pulse.Pulse(held.Held(), outage=Outage(ago))


def fallen(seconds_ago: float, made: pulse.Pulse, ago: Ago, listener) -> None:
    """The store has been away for so long, and is back."""
    ago.seconds = seconds_ago
    made.gone(listener, AWAY, math.inf)
    ago.seconds = 0.0
    made.back()


def test_who_learns_late_that_the_store_was_away_says_nothing_new():
    ago, fake, before = Ago(), Listener(), time.monotonic()
    made = pulse_of(ago)
    fallen(40.0, made, ago, fake)
    made.gone(fake, AWAY, before)  # its wait began before the store was back
    assert not made.is_away and fake.agent.counters["store_away"] == 1
    made.gone(fake, AWAY, time.monotonic())
    assert made.is_away


def test_a_batch_given_to_the_store_just_before_it_was_back_that_hangs_is_the_next_outage():
    ago, fake = Ago(), Listener()
    made = pulse_of(ago)
    with made.storing(1):
        made.storing_since = time.monotonic() - 30.5
        with patch.object(pulse, "SLOW_STORE_SECONDS", 60.0):  # it did not hang yet when the store was back
            fallen(30.0, made, ago, fake)
        assert not made.is_away and not made.is_slow()
        made.outage.back_at = time.monotonic() - 30.0
        assert made.is_slow()
        made.gone(fake, AWAY, made.waiting_since)
    assert made.is_away and fake.agent.counters["store_away"] == 2


def test_a_short_outage_does_not_hide_a_long_one_while_that_is_told():
    ago, fake = Ago(), Listener()
    made = pulse_of(ago)
    fallen(40.0, made, ago, fake)
    fallen(0.0, made, ago, fake)
    assert "away for 40 s" in made.warnings(0, time.monotonic())[0]
    fallen(50.0, made, ago, fake)
    assert "away for 50 s" in made.warnings(0, time.monotonic())[0]
    made.held.lost = 7  # what was lost is said however short it was
    fallen(3.0, made, ago, fake)
    assert "7 were lost" in made.warnings(0, time.monotonic())[0]


async def test_that_the_clock_was_set_back_is_said_for_an_hour(running, store):
    store.plans = [desk.Plan(set_back_seconds=3600)]
    await until(lambda: running.pulse.warnings(0, time.monotonic()))
    (words,) = running.pulse.warnings(0, time.monotonic())
    assert words.startswith("The clock of this machine was set back by 3600 s") and "NTP" in words
    assert running.pulse.warnings(0, time.monotonic() + pulse.RECALL_SECONDS + 1) == []


async def test_that_another_sites_listener_hears_the_same_lan_is_said_until_a_day_has_passed(running, store):
    store.also_at = "berlin"
    running.deliver(heard(1))
    await until(lambda: running.pulse.warnings(0, time.monotonic()))
    assert "at site berlin hears the same phones" in running.pulse.warnings(0, time.monotonic())[0]
    assert running.pulse.warnings(0, time.monotonic() + 90_000) == []


def test_a_flood_from_one_source_delays_and_displaces_nobody_else():
    made = held.Held()
    with patch.object(held, "HELD_SIGHTINGS", 100):
        made.add(cast.sighting(cast.OTHER_MAC, "10.0.0.21"), ["phone"])
        for number in range(500):
            made.add(cast.sighting(f"000B8200{number:04X}", "10.0.0.66"), [])
    assert (len(made), made.lost) == (100, 401)
    assert cast.OTHER_MAC in [sighting.mac for sighting, _ in made.take(2)]


def test_what_could_not_be_stored_is_held_again_and_its_transactions_were_answered():
    made = held.Held()
    for number in range(4):
        made.add(cast.sighting(f"000B8200000{number}", f"10.0.0.{number}"), [f"key {number}"])
    taken = made.take(2)
    assert made.release() == ["key 2", "key 3"]
    made.give_back(taken)
    assert [(one.mac[-1], keys) for one, keys in made.take(9)] == [("0", []), ("1", []), ("2", []), ("3", [])]
    assert len(made) == 0


async def test_a_store_that_hangs_is_said_to_be_away(running, store):
    with patch.object(pulse, "SLOW_STORE_SECONDS", 0.0), patch.object(worker, "ANSWER_ANYWAY_SECONDS", 0.01):
        released = threading.Event()
        real = store.store
        with patch.object(desk, "store", lambda *batch: (released.wait(BOUND_SECONDS), real(*batch))[1]):
            running.deliver(heard(1))
            await until(lambda: running.listener.agent.counters["store_away"])
            assert running.listener.agent.answered == ["key 1"]
            released.set()
            await until(lambda: store.macs)


async def test_a_start_is_owed_from_when_it_was_heard(running, store):
    owed: list[object] = []
    store.stage = "applied"
    with patch.object(desk, "owe", owed.append):
        running.deliver(heard(1, heard_at=1_000_000.0))
        await until(lambda: owed)
    assert owed == [{7: datetime.fromtimestamp(1_000_000.0, UTC)}]


async def test_what_was_said_is_written_when_no_phone_waits_and_kept_while_the_store_is_away(running):
    log, calls, errors = running.listener.agent.journal, [], [AWAY, ValueError("odd"), None]

    def store(exchanges, now, at) -> int:
        calls.append([one.mac for one in exchanges])
        if error := errors.pop(0):
            raise error
        return 1

    with patch.object(transcripts, "store", store), patch.object(scribe, "IDLE_SECONDS", 0.01):
        log.heard("one", cast.MAC, b"SUBSCRIBE", (cast.HOST, 5060), cast.LEG, time.monotonic() - 10, True)
        await until(lambda: len(calls) == 2)  # away first, and then a fault of ours, which is not tried for ever
        log.heard("two", cast.OTHER_MAC, b"SUBSCRIBE", (cast.HOST, 5060), cast.LEG, time.monotonic() - 10, True)
        await until(lambda: len(calls) == 3)
    assert calls == [[cast.MAC], [cast.MAC], [cast.OTHER_MAC]]


async def test_a_fault_in_what_writes_down_what_was_said_does_not_end_the_listener(running):
    log, looks = running.listener.agent.journal, []

    def ripe(now, limit):
        looks.append(now)
        raise KeyError("ours")

    with patch.object(log, "ripe", ripe):
        await until(lambda: len(looks) == 3)


async def test_phones_that_never_stop_coming_do_not_keep_what_was_said_from_being_written():
    """Each counts for 200 ms: five a second are enough for that there is always one. More is written than these bring,
    with a NOTIFY each."""
    log, written, clock = Journal(), [], [1_000.0]
    for number in range(1_000):
        log.heard(f"{number}", cast.MAC, b"SUBSCRIBE", (cast.HOST, 5060), cast.LEG, 900.0, True)

    async def call(store, some, *when) -> None:
        written.extend(some)

    made = scribe.Scribe(log, call, lambda: True)
    with patch.object(scribe, "time", SimpleNamespace(monotonic=lambda: clock[0], time=lambda: clock[0])):
        while clock[0] < 1_010.0:
            clock[0] += await made.bite()
    assert 150 < len(written) < 250  # in ten seconds
