"""The rounds in which phones are asked whether they are there; time is a number that the test passes."""

import random

from sipmcast.rounds import CATCH_UP, JITTER, Rounds

INTERVAL = 10.0
PHONES = 200
STEP = 0.25  # how often the worker looks
MOST_IN_A_SECOND = 60


def asked(rounds: Rounds, start: float, seconds: float) -> list[tuple[float, int]]:
    """Who is asked when, if one looks as often as the worker does."""
    found = []
    for number in range(int(seconds / STEP)):
        now = start + number * STEP
        found += [(now, phone) for phone in rounds.due(now)]
    return found


def busiest_second(when: list[tuple[float, int]]) -> int:
    times = sorted(at for at, _ in when)
    return max(sum(1 for at in times if start <= at < start + 1.0) for start in times)


def followed(count: int = PHONES, seed: int = 1) -> Rounds:
    rounds = Rounds(INTERVAL, random.Random(seed))
    rounds.follow(range(count), 0.0)
    return rounds


def test_two_hundred_phones_every_ten_seconds_make_no_burst() -> None:
    for seed in range(5):
        when = asked(followed(seed=seed), 0.0, 120.0)
        assert busiest_second(when) <= MOST_IN_A_SECOND
        assert len(when) >= PHONES * 120 / INTERVAL * 0.9


def test_each_phone_is_asked_once_in_each_interval_more_or_less() -> None:
    last: dict[int, float] = {}
    gaps = []
    for at, phone in asked(followed(), 0.0, 120.0):
        if phone in last:
            gaps.append(at - last[phone])
        last[phone] = at
    assert set(last) == set(range(PHONES))
    assert min(gaps) >= INTERVAL * (1 - JITTER) - STEP
    # Longer only by a look, and by what the bound on a burst puts off.
    assert max(gaps) <= INTERVAL * (1 + JITTER) + 4 * STEP


def test_phones_that_started_together_do_not_stay_together() -> None:
    when = asked(followed(), 0.0, 300.0)
    by_phone: dict[int, list[float]] = {}
    for at, phone in when:
        by_phone.setdefault(phone, []).append(at)
    assert len({tuple(times) for times in by_phone.values()}) == PHONES


def test_all_phones_at_once_are_spread_over_the_first_round() -> None:
    assert busiest_second(asked(followed(5_000), 0.0, INTERVAL)) <= 5_000 / INTERVAL * 1.5


def test_however_late_we_are_what_was_missed_comes_back_slowly() -> None:
    """The process was stopped for an hour: everybody is due, and still not everybody is asked in one moment."""
    rounds = followed(1_000)
    asked(rounds, 0.0, 20.0)
    after = asked(rounds, 3_600.0, 20.0)
    assert {phone for _, phone in after} == set(range(1_000))
    # What the hour owes in one look, and then three times the average.
    assert busiest_second(after) <= 1_000 / INTERVAL * CATCH_UP * 2


def test_who_is_gone_is_not_asked_and_who_is_new_waits_at_most_one_interval() -> None:
    rounds = followed(10)
    asked(rounds, 0.0, 20.0)
    rounds.follow({3, 77}, 20.0)
    assert len(rounds) == 2
    when = asked(rounds, 20.0, INTERVAL + 2 * STEP)
    assert {phone for _, phone in when} == {3, 77}


def test_following_the_same_phones_again_changes_nothing() -> None:
    one, other = followed(), followed()
    for number in range(40):
        other.follow(range(PHONES), number * STEP)
        assert one.due(number * STEP) == other.due(number * STEP)


def test_nobody_to_ask_is_no_trouble() -> None:
    rounds = Rounds(INTERVAL)
    assert rounds.due(0.0) == []
    rounds.follow((), 1.0)
    assert asked(rounds, 1.0, 30.0) == []
