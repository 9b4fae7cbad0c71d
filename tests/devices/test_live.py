"""Live events: everything after the last id that a reader has, in order, and never a secret."""

import json

import pytest
from django.db import transaction

from devices import live
from devices.choices import EventKind
from tests import cast

pytestmark = [pytest.mark.db, pytest.mark.django_db, pytest.mark.usefixtures("clock")]


def test_a_reader_gets_what_came_after_its_last_id_in_order_and_bounded():
    assert (live.newest_id(), live.after(0)) == (0, [])
    phone = cast.seen()
    start = live.newest_id()
    live.append(live.event(phone, EventKind.CHANGED, f"event {n}", cast.NOON) for n in range(5))
    assert [row.text for row in live.after(start)] == [f"event {n}" for n in range(5)]
    assert [row.text for row in live.after(start, limit=2)] == ["event 0", "event 1"]
    assert live.after(live.newest_id()) == []


def test_an_effect_that_is_rolled_back_is_not_told():
    phone = cast.seen()
    start = live.newest_id()
    with pytest.raises(RuntimeError), transaction.atomic():
        live.append([live.event(phone, EventKind.STAGE, "never happened", cast.NOON)])
        raise RuntimeError
    assert live.after(start) == []


def test_the_whole_way_is_told_in_order_with_its_stages_and_no_secret(clock):
    version = cast.applied(cast.assigned())
    rows = live.after(0)
    stages = [row.stage for row in rows if row.kind == EventKind.STAGE]
    assert stages == ["assigned", "notified", "fetched", "applied"]
    told = json.dumps([live.compact(row) for row in rows])
    for secret in (cast.PASSWORD, version.first_secret, version.steady_secret, "/p/"):
        assert secret not in told


def test_a_long_text_is_cut_and_compact_is_json():
    phone = cast.seen()
    row = live.event(phone, EventKind.REASON, "<script>" + "x" * 1000, cast.NOON)
    live.append([row])
    (stored,) = live.after(live.newest_id() - 1)
    assert len(stored.text) == 300
    assert json.loads(json.dumps(live.compact(stored)))["mac"] == cast.MAC
