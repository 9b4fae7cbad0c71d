"""How many phones that nobody assigned may be added: whoever floods, a real phone gets in. Time is a number we pass."""

import tracemalloc

import pytest

from devices.newcomers import BURST, MODEST, NewPhones

FLOOD, PHONE = "10.0.0.66", "10.0.0.20"
START = 1_700_000_000.0
HOUR = 3600.0


def admitted(bound: NewPhones, source: str, count: int, now: float = START) -> int:
    return sum(bound.admit(source, now) for _ in range(count))


def test_a_source_may_add_so_many_in_an_hour_and_no_more():
    bound = NewPhones(per_source=100, overall=1000)
    assert admitted(bound, FLOOD, 500) == 100
    assert admitted(bound, FLOOD, 500, START + HOUR - 61) == 0
    assert admitted(bound, PHONE, 1) == 1


def test_the_hour_slides():
    bound = NewPhones(per_source=100, overall=1000)
    assert admitted(bound, FLOOD, 60) == 60
    assert admitted(bound, FLOOD, 60, START + HOUR / 2) == 40
    assert admitted(bound, FLOOD, 100, START + HOUR + 60) == 60
    assert admitted(bound, FLOOD, 1000, START + 3 * HOUR) == 100


def test_sources_that_use_up_everything_leave_room_for_one_who_comes_alone():
    bound = NewPhones(per_source=300, overall=1000)
    assert sum(admitted(bound, f"10.0.1.{n}", 300) for n in range(10)) <= 1000 + 10 * MODEST
    assert admitted(bound, PHONE, 1) == 1
    assert admitted(bound, PHONE, 50) == MODEST - 1, "modest, or as all others"


def test_even_the_reserve_has_an_end():
    """Random source addresses: each of them comes alone."""
    bound = NewPhones(per_source=300, overall=1000)
    assert sum(bound.admit(f"10.{n // 65536}.{n // 256 % 256}.{n % 256}", START) for n in range(5000)) == 1200


def test_what_could_not_be_stored_does_not_count():
    bound = NewPhones(per_source=5, overall=10)
    for _ in range(100):
        assert admitted(bound, PHONE, 5) == 5
        for _ in range(5):
            bound.give_back(PHONE)
    assert admitted(bound, PHONE, 6) == 5
    bound.give_back("10.9.9.9")


@pytest.mark.parametrize("back", [61.0, HOUR, 30 * 86_400.0])
def test_a_clock_that_goes_back_locks_nobody_out(back):
    bound = NewPhones(per_source=5, overall=10)
    admitted(bound, FLOOD, 100)
    assert admitted(bound, FLOOD, 100, START - back) == 5


class TestBursts:
    def test_a_source_with_many_new_macs_in_a_minute_is_named_the_busiest_first(self):
        bound = NewPhones(per_source=100, overall=1000)
        admitted(bound, FLOOD, 500)
        admitted(bound, PHONE, BURST)
        admitted(bound, "10.0.0.67", BURST + 1)
        assert bound.bursts(START) == [(FLOOD, 500), ("10.0.0.67", BURST + 1)]

    def test_it_is_over_after_a_minute(self):
        bound = NewPhones(per_source=100, overall=1000)
        admitted(bound, FLOOD, 500)
        assert bound.bursts(START + 49) and not bound.bursts(START + 61)


def test_a_flood_of_sources_does_not_take_memory():
    bound = NewPhones(per_source=12_000, overall=50_000)
    tracemalloc.start()
    try:
        for n in range(200_000):
            bound.admit(f"10.{n // 65536}.{n // 256 % 256}.{n % 256}", START + n / 1000)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 25_000_000
