"""Everybody in turn, however much one of them sends."""

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
