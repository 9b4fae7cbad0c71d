"""Several listeners, a console and a worker write at once: nobody waits in a circle, and no phone becomes two."""

import itertools
import random
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from devices import batch, inventory
from devices.models import Alarm, LiveEvent, Phone
from devices.trust import Verdict
from provisioning.jobs import moves
from provisioning.models import Job, Notify
from sipmcast import desk, silence, status
from tests import cast

pytestmark = [pytest.mark.db, pytest.mark.django_db(transaction=True)]
SECONDS = 60
MACS = [f"000B82{n:06X}" for n in range(200)]
ROUNDS = 6


def at_once(*calls: Callable[[], object]) -> None:
    """Run each in a thread and a connection of its own; the first error is raised."""
    errors: list[BaseException] = []
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> None:
        try:
            start.wait(SECONDS)
            call()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for one in threads:
        one.start()
    for one in threads:
        one.join(SECONDS)
        assert not one.is_alive()
    if errors:
        raise errors[0]


def listener(seed: int) -> Callable[[], None]:
    """It hears every phone some times, in an order of its own."""
    order = random.Random(seed)

    def hear() -> None:
        for _ in range(ROUNDS):
            heard = order.sample(MACS, len(MACS))
            for first in range(0, len(heard), 50):
                batch_of_50 = [cast.sighting(mac, f"10.0.0.{seed}") for mac in heard[first : first + 50]]
                assert all(one.phone_id for one in inventory.record_sightings(batch_of_50, cast.unknown))

    return hear


def test_two_listeners_that_hear_the_same_phones_store_each_once():
    at_once(listener(1), listener(2), listener(3))
    assert sorted(Phone.objects.values_list("mac", flat=True)) == MACS
    told = LiveEvent.objects.values_list("mac", flat=True)
    assert set(told) == set(MACS)


def test_whoever_else_writes_phones_does_not_wait_in_a_circle():
    inventory.record_sightings([cast.sighting(mac, "10.0.0.1") for mac in MACS], cast.unknown)
    ids = dict(Phone.objects.values_list("pk", "source_host"))

    def verdicts() -> None:
        for turn in range(ROUNDS * 4):
            said = Verdict.MATCH if turn % 2 else Verdict.MISMATCH
            inventory.record_verdicts([(pk, "10.0.0.1", said) for pk in reversed(list(ids))])

    def reached() -> None:
        for turn in range(ROUNDS * 4):
            rows = [(pk, bool(turn % 2), float(turn)) for pk in random.Random(turn).sample(list(ids), len(ids))]
            assert len(batch.update(Phone, ("pk", "online", "rtt_ms"), rows)) == len(ids)

    at_once(listener(1), listener(2), verdicts, reached)
    assert Phone.objects.count() == len(MACS)


def test_what_two_of_them_forget_is_forgotten_once():
    inventory.record_sightings([cast.sighting(mac) for mac in MACS], cast.unknown)
    before = timezone.now() + timedelta(seconds=1)

    def forget() -> None:
        while inventory.forget_unheard(before, 20):
            pass

    at_once(forget, forget, forget)
    assert not Phone.objects.exists()
    assert LiveEvent.objects.filter(kind="forgotten").count() == len(MACS)


def test_two_listeners_of_one_site_and_one_of_another_tell_each_phone_once():
    """Both of the one site have the same place, as after a restart that overlaps; the other has the same address."""
    for mac in MACS[:40]:
        inventory.record_sightings([cast.sighting(mac)], cast.match, site="berlin")
        cast.save(Phone.objects.get(mac=mac))
    sends: dict[str, list[int]] = {"berlin#1": [], "berlin#2": [], "munich#1": []}

    def tell(name: str) -> Callable[[], None]:
        def run() -> None:
            for _ in range(ROUNDS):
                plan = desk.look(cast.LEGS, name, {}, 15, name.partition("#")[0])
                sends[name] += [one.notify_id for one in plan.sends]
                desk.upkeep(cast.LEGS, name, set(sends[name]), name.partition("#")[0])

        return run

    with cast.neighbours_say(Verdict.MATCH):
        at_once(*(tell(name) for name in sends))
    told = [one for some in sends.values() for one in some]
    assert len(told) == len(set(told)) == 40 and sends["munich#1"] == []
    assert set(Notify.objects.values_list("state", flat=True)) == {"sending"}


def test_of_many_workers_one_raises_the_alarm_and_orders_the_job(monkeypatch):
    monkeypatch.setattr(moves, "AT_ONCE", 1)  # who waits for the phone of the one must not take another one's meanwhile
    for mac in MACS[:3]:
        inventory.record_sightings([cast.sighting(mac)], cast.match, site="berlin")
        cast.save(Phone.objects.get(mac=mac))
    Phone.objects.update(site_moved_at=timezone.now())
    status.heartbeat("pbx/berlin#1", "berlin", status.Said(["eth0"], "", {}))

    def work() -> None:
        seconds = itertools.count(0.0, 5.0)
        watch = silence.Watch(lambda: next(seconds))
        for _ in range(ROUNDS * 2):
            watch.look()
        moves.follow()

    at_once(work, work, work)
    assert Alarm.objects.get().count == 1
    assert Job.objects.count() == 1
