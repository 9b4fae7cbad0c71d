"""How long phones take from stage to stage, read from their events: whoever wrote them, and whenever."""

import pytest

from devices import inventory, stage_times
from devices.choices import EventKind
from devices.models import LiveEvent, Phone
from devices.stage_times import StageTimes
from tests import cast

pytestmark = [pytest.mark.db, pytest.mark.django_db]


def steps() -> dict[tuple[str, str], tuple[float, float]]:
    """(from, to) -> how many, and seconds all together."""
    found: dict[tuple[str, str], list[float]] = {}
    for family in (*stage_times.STEP.collect(), *stage_times.WAY.collect()):
        for sample in family.samples:
            key = (sample.labels.get("since", "save"), sample.labels.get("stage", "proof"))
            if sample.name.endswith(("_count", "_sum")):
                found.setdefault(key, [0.0, 0.0])[sample.name.endswith("_sum")] = sample.value
    return {key: (count, seconds) for key, (count, seconds) in found.items() if count}


@pytest.fixture(autouse=True)
def nothing_yet():
    stage_times.STEP.clear()
    stage_times.WAY._metric_init()  # it has no labels: to clear it does nothing


WHOLE_WAY = {
    ("seen", "assigned"): (1, 10), ("assigned", "notified"): (1, 2), ("notified", "fetched"): (1, 3),
    ("fetched", "applied"): (1, 40), ("save", "proof"): (1, 45),
}  # fmt: skip


def go_the_way(clock) -> None:
    phone = cast.seen()
    clock.forward(10)
    version = cast.save(phone).config_file
    clock.forward(2)
    cast.delivered(version)
    clock.forward(3)
    cast.download(cast.first_path(version))
    clock.forward(40)
    cast.download(cast.steady_path(version))


def test_each_step_is_told_once_and_the_way_as_a_whole(clock):
    times = StageTimes()
    times.look()
    go_the_way(clock)
    assert times.look() > 4
    assert times.look() == 0
    assert steps() == WHOLE_WAY


def test_a_reader_that_begins_late_looks_up_where_a_phone_stood(clock):
    version = cast.assigned()
    times = StageTimes()
    times.look()
    clock.forward(7)
    cast.delivered(version)
    times.look()
    assert steps() == {("assigned", "notified"): (1, 7)}


def test_what_happened_while_nobody_read_is_told_by_the_next_reader(clock):
    cast.seen(cast.OTHER_MAC, "10.0.0.21")  # long before
    clock.forward(3600)
    stopped_at = clock.at
    clock.forward(5)
    go_the_way(clock)
    StageTimes(since=stopped_at).look()
    assert steps() == WHOLE_WAY


def test_a_new_reader_without_a_predecessor_begins_now(clock):
    go_the_way(clock)
    StageTimes().look()
    assert steps() == {}


def test_words_at_the_same_stage_and_a_way_back_are_no_step(clock):
    times = StageTimes()
    times.look()
    version = cast.assigned()
    clock.forward(5)
    inventory.tell(version.phone_id, EventKind.NOTIFY, "Something.")
    cast.save(Phone.objects.get(pk=version.phone_id))  # begins anew
    clock.forward(1)
    inventory.ignore(version.phone_id, "tess")
    times.look()
    assert steps() == {("seen", "assigned"): (1, 0)}


def test_a_clock_that_went_back_gives_no_negative_time(clock):
    times = StageTimes()
    times.look()
    version = cast.assigned()
    clock.forward(-3600)
    cast.delivered(version)
    times.look()
    assert steps()["assigned", "notified"] == (1, 0)


def test_what_is_remembered_is_bounded(clock, monkeypatch):
    monkeypatch.setattr(stage_times, "REMEMBERED", 3)
    times = StageTimes()
    times.look()
    for number in range(6):
        cast.seen(f"000B8200000{number}", f"10.0.0.{30 + number}")
    times.look()
    assert len(times._reached) == 3


def test_it_asks_for_unknown_phones_only_so_often(clock, monkeypatch, django_assert_max_num_queries):
    monkeypatch.setattr(stage_times, "LOOKED_UP", 2)
    versions = [cast.assigned(f"000B8200000{number}", f"10.0.0.{30 + number}") for number in range(5)]
    times = StageTimes()
    times.look()
    for version in versions:
        LiveEvent.objects.create(mac=version.phone.mac, kind="stage", stage="notified", text="", at=clock.at)
    with django_assert_max_num_queries(2 + 2):
        times.look()
    assert steps() == {("assigned", "notified"): (2, 0)}
