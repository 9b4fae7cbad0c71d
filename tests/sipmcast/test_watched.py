"""What a listener shows: its own counters as they are, nothing that a stranger has said, and whether it is ready."""

import time
from datetime import timedelta
from types import SimpleNamespace

import pytest

from provisioning import readiness
from sipmcast import watched
from sipmcast.agent import Agent
from sipmcast.held import Held
from sipmcast.models import STALE_SECONDS, ListenerStatus
from sipmcast.pulse import Pulse
from sipmcast.status import metrics_of_all
from tests import cast
from tests.support.families import values


def listener(**counters: int) -> SimpleNamespace:
    agent = Agent(b"key")
    agent.counters.update(counters)
    return SimpleNamespace(agent=agent, legs=[cast.LEG], trouble={}, kernel_drops=lambda: 3)


def test_the_agents_counters_are_shown_as_they_are():
    counting = listener(
        received=100, sighted=40, foreign=2, absorbed=3, replayed=4, answered=40, answered_unstored=5, refused=2,
        notify_sent=10, notify_answered=9, notify_agreed=7, notify_refused=2, notify_timed_out=1, over_limit=6,
        store_away=1, not_multicast=8, bad_via=1,
    )  # fmt: skip
    pulse = Pulse(Held(), beaten_at=time.monotonic())
    found = values(watched.of_listener(counting, pulse))
    assert 0 <= found.pop("gspnp_listener_beat_seconds") < 20
    assert found == {
        "gspnp_sip_received_total": 100, "gspnp_sip_subscribes_total{ours}": 40,
        "gspnp_sip_subscribes_total{foreign}": 2,
        "gspnp_sip_subscribes_total{repeat_absorbed}": 3, "gspnp_sip_subscribes_total{repeat_answered}": 4,
        "gspnp_sip_answers_total{repeat}": 4, "gspnp_sip_answers_total{refusal}": 2,
        "gspnp_sip_answers_total{stored}": 35, "gspnp_sip_answers_total{unstored}": 5,
        "gspnp_sip_requests_sent_total{notify}": 10,
        "gspnp_notifies_ended_total{agreed}": 7, "gspnp_notifies_ended_total{refused}": 2,
        "gspnp_notifies_ended_total{timed_out}": 1, "gspnp_sip_thrown_away_total{over_limit}": 6,
        "gspnp_sip_ignored_total": 9, "gspnp_listener_kernel_drops_total": 3, "gspnp_listener_store_away_total": 1,
        "gspnp_listener_interfaces": 1,
    }  # fmt: skip


def test_there_are_as_many_series_whatever_strangers_send():
    quiet = {sample for family in watched.of_listener(listener(), Pulse(Held())) for sample in names(family)}
    noisy = listener(**{f"reason_{number}": 1 for number in range(500)})
    assert {sample for family in watched.of_listener(noisy, Pulse(Held())) for sample in names(family)} == quiet


def names(family) -> list[tuple]:
    return [(sample.name, *sample.labels.values()) for sample in family.samples]


@pytest.mark.parametrize(
    ("legs", "beaten_ago", "ready"),
    [([cast.LEG], 1, True), ([], 1, False), ([cast.LEG], STALE_SECONDS + 1, False), ([cast.LEG], None, False)],
)
def test_it_is_ready_while_it_hears_and_the_database_hears_of_it(legs, beaten_ago, ready):
    hearing = listener()
    hearing.legs = legs
    beaten_at = None if beaten_ago is None else time.monotonic() - beaten_ago
    assert readiness.examine(watched.checks(hearing, Pulse(Held(), beaten_at=beaten_at))).ready is ready


@pytest.mark.db
@pytest.mark.django_db
def test_a_site_is_as_old_as_its_youngest_listener(clock):
    for name, site, ago in (("a", "berlin", 1), ("b", "berlin", 400), ("c", "paris", 100), ("d", "closed", 8 * 86_400)):
        ListenerStatus.objects.create(
            name=name, site=site, started_at=clock.at, heartbeat_at=clock.at - timedelta(seconds=ago)
        )
    found = values(metrics_of_all())
    assert found == {
        "gspnp_listeners{berlin}": 1,
        "gspnp_listener_heartbeat_age_seconds{berlin}": 1,
        "gspnp_listener_heartbeat_age_seconds{paris}": 100,
    }
