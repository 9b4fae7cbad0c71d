"""What waits for the store: who gives way, what is kept, and what it costs."""

from unittest.mock import patch

import pytest

from sipmcast import held
from tests import cast


class Watched(str):
    """An address that counts how often any address is looked up."""

    looked_up = 0

    def __hash__(self) -> int:
        Watched.looked_up += 1
        return super().__hash__()


def mac(number: int) -> str:
    return f"000B82{number:06X}"


def filled(sources: int, each: int = 1) -> held.Held:
    made = held.Held()
    for number in range(sources * each):
        made.add(cast.sighting(mac(number), Watched(f"host {number % sources}")), [f"key {number}"])
    return made


def test_a_newcomer_displaces_nobody_who_has_no_more_than_it():
    with patch.object(held, "HELD_SIGHTINGS", 10):
        made = filled(10)
        made.add(cast.sighting(mac(99), "newcomer"), ["late"])
        assert (len(made), made.lost) == (10, 1)
        assert [one.mac for one, _ in made.take(99)] == [mac(number) for number in range(10)]


@pytest.mark.parametrize("each", [1, 2, 7])
def test_forged_addresses_do_not_make_a_drop_dearer(each: int):
    work = {}
    for sources in (10, 2000):
        with patch.object(held, "HELD_SIGHTINGS", sources * each):
            made, late = filled(sources, each), cast.sighting(mac(0xFFFFFF), Watched("newcomer"))
            Watched.looked_up = 0
            made.add(late, [])
            work[sources] = Watched.looked_up
            assert (len(made), made.lost) == (sources * each, 1)
    assert work[10] == work[2000] <= 20


def test_a_phone_that_never_stops_keeps_few_transactions_and_its_newest_words():
    made = held.Held()
    for number in range(1000):
        made.add(cast.sighting(firmware=str(number)), [f"key {number}"])
    ((sighting, keys),) = made.take(9)
    assert sighting.firmware == "999"
    assert keys == [f"key {number}" for number in range(held.KEYS_PER_PHONE)]


def test_the_list_that_was_given_stays_the_givers():
    made, given = held.Held(), ["a"]
    made.add(cast.sighting(), given)
    made.add(cast.sighting(), ["b"])
    assert given == ["a"]


def test_what_is_given_back_comes_first_and_yields_to_newer_words():
    made = filled(3)
    taken = made.take(2)
    made.add(cast.sighting(mac(1), "host 1", firmware="newer"), ["again"])
    made.give_back(taken)
    back = made.take(9)
    assert [one.mac for one, _ in back] == [mac(0), mac(1), mac(2)]
    assert (back[1][0].firmware, back[1][1]) == ("newer", ["again"])
    assert (len(made), made.lost) == (0, 0)


def test_the_bound_holds_when_something_is_given_back():
    with patch.object(held, "HELD_SIGHTINGS", 10):
        made = filled(10)
        taken = made.take(4)
        for number in range(4):
            made.add(cast.sighting(mac(100 + number), "flooder"), [])
        made.give_back(taken)
        assert (len(made), made.lost) == (10, 4)
        assert {one.mac for one, _ in made.take(99)} >= {mac(number) for number in range(4, 10)}
        assert len(made) == 0
