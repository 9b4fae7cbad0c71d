"""What a listener shows of itself: the agent's own counters, read when they are asked for, and how its store does.

Nothing is counted a second time on the way of a datagram. Its database work is done by helper processes
(sipmcast/helpers.py): what is measured here is how long the listener waited for them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from devices.metrics import REGISTRY, counter
from provisioning.readiness import OK, Check, Checks
from sipmcast.listener import Listener
from sipmcast.models import STALE_SECONDS
from sipmcast.pulse import Pulse

HELPERS = prometheus_client.Histogram(
    "gspnp_listener_store_seconds",
    "Time that the listener waited for its database: to store what was heard, and for all else.",
    ["what"],
    registry=REGISTRY,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
STORE, OUTBOX = HELPERS.labels("heard"), HELPERS.labels("outbox")

# Label value -> the agent's own name. What is not named here, a reason of `Ignored`, is below `gspnp_sip_ignored`.
SUBSCRIBES = {
    "ours": "sighted", "foreign": "foreign", "repeat_absorbed": "absorbed", "repeat_answered": "replayed",
    "too_many_new": "new_over_limit", "doctor": "doctor",
}  # fmt: skip
ANSWERS = {"repeat": "replayed", "refusal": "refused", "options": "options"}
NOTIFIES = {
    "agreed": "notify_agreed", "refused": "notify_refused", "timed_out": "notify_timed_out",
    "no_room": "notify_no_room",
}  # fmt: skip
SENT = {"notify": "notify_sent", "notify_resumed": "notify_resent", "resend": "resent", "options": "ping_sent"}
PINGS = {"answered": "ping_answered", "timed_out": "ping_timed_out"}
THROWN_AWAY = (
    "not_allowed", "over_limit", "gave_way", "damaged", "fault", "send_full", "send_failed", "bad_source",
    "response_on_group", "stray_response",
)  # fmt: skip
_SINGLE = ("received", "answered", "answered_unstored", "store_away", "notify_answered")
_NAMED = {
    *SUBSCRIBES.values(), *ANSWERS.values(), *NOTIFIES.values(), *SENT.values(), *PINGS.values(), *THROWN_AWAY,
    *_SINGLE,
}  # fmt: skip


def of_listener(listener: Listener, pulse: Pulse) -> Iterable[Metric]:
    """Everything of one listener; call it in its event loop."""
    counters = dict(listener.agent.counters)
    yield from _of_sip(counters)
    yield _counted("gspnp_listener_kernel_drops", "Datagrams that the kernel threw away.", listener.kernel_drops())
    yield _counted("gspnp_listener_store_away", "How often the store went away.", counters.get("store_away", 0))
    yield _counted("gspnp_listener_lost", "Sightings for which there was no room.", pulse.held.lost)
    yield _counted("gspnp_listener_transcripts_lost", "Exchanges not kept.", listener.agent.journal.lost)
    yield GaugeMetricFamily("gspnp_listener_held", "Phones held in memory until they are stored.", len(pulse.held))
    yield GaugeMetricFamily("gspnp_listener_store_is_away", "1 while the store is away.", int(pulse.is_away))
    yield GaugeMetricFamily("gspnp_listener_interfaces", "Interfaces that are listened on.", len(listener.legs))
    yield GaugeMetricFamily("gspnp_listener_deaf_interfaces", "Interfaces that cannot be.", len(listener.trouble))
    ago = -1.0 if pulse.beaten_at is None else time.monotonic() - pulse.beaten_at
    yield GaugeMetricFamily("gspnp_listener_beat_seconds", "Age of the last heartbeat stored; -1: none yet.", ago)


def _of_sip(counters: Mapping[str, int]) -> Iterable[Metric]:
    def of(names: Mapping[str, str]) -> dict[str, float]:
        return {value: counters.get(name, 0) for value, name in names.items()}

    yield _counted("gspnp_sip_received", "Datagrams looked at.", counters.get("received", 0))
    yield counter("gspnp_sip_subscribes", "SUBSCRIBEs, by what came of them.", of(SUBSCRIBES), "result")
    unstored = counters.get("answered_unstored", 0)
    answers = of(ANSWERS) | {"stored": counters.get("answered", 0) - unstored, "unstored": unstored}
    yield counter("gspnp_sip_answers", "Answers sent; unstored: the store was slow or away.", answers, "kind")
    yield counter("gspnp_sip_requests_sent", "Requests sent.", of(SENT), "kind")
    yield counter("gspnp_notifies_ended", "NOTIFY transactions, by how they ended.", of(NOTIFIES), "outcome")
    yield counter("gspnp_pings_ended", "OPTIONS, by how they ended.", of(PINGS), "outcome")
    thrown = {name: float(counters.get(name, 0)) for name in THROWN_AWAY}
    yield counter("gspnp_sip_thrown_away", "Datagrams of which nothing came.", thrown, "reason")
    ignored = sum(count for name, count in counters.items() if name not in _NAMED)
    yield _counted("gspnp_sip_ignored", "Messages that could not be understood, or were not for us.", ignored)


def _counted(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, value)


def checks(listener: Listener, pulse: Pulse) -> Checks:
    """Of a listener: is anything open, and does the database hear from it? It asks no database itself."""

    def interfaces() -> Check:
        return Check(OK if listener.legs else "nothing can be heard: its log says why")

    def heartbeat() -> Check:
        fresh = pulse.beaten_at is not None and time.monotonic() - pulse.beaten_at < STALE_SECONDS
        return Check(OK if fresh else "no sign of life is stored: is the database away?")

    return {"interfaces": interfaces, "heartbeat": heartbeat}
