"""What a process counts of itself, for Prometheus. A metric is defined beside what it counts; here they meet.

Label values are of fixed sets, or named by the operator (a site). Never a MAC, a path, an address, or anything that a
phone says: whoever sends datagrams must not fill a database of metrics, nor write into it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import prometheus_client
from django.conf import settings
from django.db.backends.signals import connection_created
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from devices import networks

# Headers by which a proxy tells that it passes a request on. From a proxy on this machine everybody comes by loopback.
PASSED_ON = ("x-forwarded-", "forwarded", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip", "via")
FACTS_SECONDS = 10.0  # what the database says is read at most so often, however many ask

REGISTRY = prometheus_client.CollectorRegistry()
prometheus_client.ProcessCollector(registry=REGISTRY)  # CPU, memory, open files, start
prometheus_client.disable_created_metrics()

F = TypeVar("F", CounterMetricFamily, GaugeMetricFamily)

DATABASE = prometheus_client.Histogram(
    "gspnp_database_seconds",
    "Time that this process waited for its database.",
    ["what"],
    registry=None,
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_BEGIN, _QUERY, _COMMIT = "begin", "query", "commit"
_waits = {what: DATABASE.labels(what) for what in (_BEGIN, _QUERY, _COMMIT)}


def may_read(peer: str, header_names: Iterable[str]) -> bool:
    """May whoever asks read the metrics? The peer of the connection counts, and no header of his can help him."""
    passed_on = any(name.lower().startswith(PASSED_ON) for name in header_names)
    return not passed_on and networks.within(networks.plain_host(peer), settings.GSPNP_METRICS_NETWORKS)


def exposition(accept: str = "") -> tuple[str, bytes]:
    """Content type and body of an answer to /metrics."""
    encode, content_type = choose_encoder(accept)
    return content_type, encode(REGISTRY)


def counter(name: str, text: str, values: Mapping[str, float], label: str) -> CounterMetricFamily:
    """A family of counts that somebody else keeps, by the values of one label."""
    return _filled(CounterMetricFamily(name, text, labels=[label]), values)


def gauge(name: str, text: str, values: Mapping[str, float], label: str) -> GaugeMetricFamily:
    """The same for what goes up and down."""
    return _filled(GaugeMetricFamily(name, text, labels=[label]), values)


def _filled(family: F, values: Mapping[str, float]) -> F:
    for value, count in values.items():
        family.add_metric([value], count)
    return family


class Reading(Collector):
    """What is read at the moment in which it is asked for. `read` must not take long, and not raise."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        return ()  # else it would be read when it is registered

    def collect(self) -> Iterable[Metric]:
        return self._read()


@contextmanager
def reading(read: Callable[[], Iterable[Metric]]) -> Iterator[None]:
    """Show this as long as the block lasts."""
    collector = Reading(read)
    REGISTRY.register(collector)
    try:
        yield
    finally:
        REGISTRY.unregister(collector)


def show(metric: Collector) -> None:
    """Show this from here on; once is enough."""
    if metric not in _shown:
        _shown.append(metric)
        REGISTRY.register(metric)


_shown: list[Collector] = []

facts: list[Callable[[], Iterable[Metric]]] = []
"""What the database says of the whole installation: an app appends its reader when it is ready. One process of the
installation shows them, so that no sum counts them twice; the worker does."""


def watch_database() -> None:
    """Measure what this process's connections do from here on."""
    connection_created.connect(_watch, dispatch_uid="gspnp.metrics")
    show(DATABASE)


def waited(what: str, seconds: float) -> None:
    """So long for the database: "begin", "query" or "commit"."""
    _waits[what].observe(seconds)


_waited: Callable[[str, float], None] = waited


def tell_waits(tell: Callable[[str, float], None]) -> None:
    """This process shows no metrics: whoever started it counts these waits (`waited`) as its own."""
    global _waited
    _waited = tell


def _watch(connection: Any, **_: object) -> None:
    if _timed not in connection.execute_wrappers:
        connection.execute_wrappers.append(_timed)
    for name, measured in (("_commit", _COMMIT), ("_start_transaction_under_autocommit", _BEGIN)):
        # SQLite's is where a writer waits for its turn; PostgreSQL has no statement of its own for it.
        if hasattr(connection, name) and name not in vars(connection):
            setattr(connection, name, _measuring(getattr(connection, name), measured))


def _measuring(do: Callable[[], Any], measured: str) -> Callable[[], Any]:
    def measure() -> Any:
        begun = time.perf_counter()
        try:
            return do()
        finally:
            _waited(measured, time.perf_counter() - begun)

    return measure


def _timed(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    if sql.startswith("BEGIN"):  # SQLite's, which is measured as what it is
        return execute(sql, params, many, context)
    begun = time.perf_counter()
    try:
        return execute(sql, params, many, context)
    finally:
        _waited(_QUERY, time.perf_counter() - begun)
