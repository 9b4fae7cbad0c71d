"""Everybody in turn, however much one of them sends."""

import random
from collections import Counter

import pytest

from sipmcast.fair import FairQueue

FLOODER = "10.0.0.66"


def filled(limit: int, count: int) -> FairQueue[str]:
    queue: FairQueue[str] = FairQueue(limit)
    for number in range(count):
        queue.put(FLOODER, f"flood {number}")
    return queue


def test_one_source_is_served_in_order():
    queue = filled(10, 3)
    assert [queue.take() for _ in range(3)] == ["flood 0", "flood 1", "flood 2"]
    assert len(queue) == 0
    with pytest.raises(KeyError):
        queue.take()


def test_a_phone_is_next_whatever_waits_from_others():
    queue = filled(1000, 900)
    queue.put("10.0.0.20", "phone")
    assert "phone" in [queue.take(), queue.take()]


def test_a_full_queue_takes_a_phone_in_and_the_flooders_newest_gives_way():
    queue = filled(100, 250)
    assert len(queue) == 100
    assert not queue.put("10.0.0.20", "phone")
    assert len(queue) == 100
    taken = [queue.take() for _ in range(100)]
    assert "phone" in taken[:2] and taken[-1] == "flood 98"


def test_many_flooders_share_and_the_bound_holds():
    queue: FairQueue[str] = FairQueue(100)
    for number in range(5000):
        queue.put(f"10.0.0.{number % 50}", str(number))
        queue.put(FLOODER, "flood")
    assert len(queue) == 100
    queue.put("10.0.1.1", "phone")
    assert "phone" in [queue.take() for _ in range(52)]


def test_more_sources_than_places_is_still_bounded():
    queue: FairQueue[int] = FairQueue(10)
    for number in range(1000):
        queue.put(f"host {number}", number)
    assert len(queue) == 10
    assert len({queue.take() for _ in range(10)}) == 10


def test_a_newcomer_displaces_nobody_who_has_no_more_than_he():
    queue: FairQueue[str] = FairQueue(10)
    for number in range(10):
        assert queue.put(f"10.0.0.{number}", f"first of {number}")
    assert not queue.put("10.0.1.1", "newcomer")
    assert not queue.put("10.0.0.3", "second of 3")
    assert [queue.take() for _ in range(10)] == [f"first of {number}" for number in range(10)]
    assert len(queue) == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_bound_and_the_order_hold_whatever_comes(seed: int):
    dice, limit = random.Random(seed), 20
    queue: FairQueue[tuple[str, int]] = FairQueue(limit)
    waiting, last = 0, Counter[str]()
    for number in range(1, 3000):
        if dice.random() < 0.6:
            source = f"10.0.0.{min(dice.randrange(1, 40), dice.randrange(1, 40))}"
            waiting += queue.put(source, (source, number))
        elif waiting:
            source, taken = queue.take()
            waiting -= 1
            assert taken > last[source], "a source's own are in the order in which they came"
            last[source] = taken
        assert len(queue) == waiting <= limit
    assert len([queue.take() for _ in range(waiting)]) == waiting and not queue


class Watched(str):
    """An address that counts how often any address is looked up."""

    looked_up = 0

    def __hash__(self) -> int:
        Watched.looked_up += 1
        return super().__hash__()


def work_of_a_drop(sources: int, each: int) -> int:
    """How many addresses are looked up to take one more in, where so many wait."""
    queue: FairQueue[int] = FairQueue(sources * each)
    for number in range(sources * each):
        queue.put(Watched(f"host {number % sources}"), number)
    newcomer = Watched("newcomer")
    Watched.looked_up = 0
    assert not queue.put(newcomer, 0)
    return Watched.looked_up


@pytest.mark.parametrize("each", [1, 2, 7])
def test_forged_addresses_do_not_make_a_drop_dearer(each: int):
    """Else a flood from many addresses freezes the event loop, datagram by datagram."""
    assert work_of_a_drop(4000, each) == work_of_a_drop(10, each) <= 20
