"""Power returns: 10,000 different phones within 2 s, each with its own address, on SQLite and on PostgreSQL.

All four processes run, and a technician's list of phones is open (the live WebSocket, and the rows fetched anew 60 ms
after a change, as the page does). New: never seen before. Owed: assigned while they had no power; each must get its
NOTIFY, and answers it at once. Applied: they have their file; they get a 200 and, watched for 10 s, no NOTIFY (they
fetch nothing here; after 60 s the listener would ask them why). "Answered too early" counts phones whose 200 had come
before their row could be read. Times are the phone's: from its first SUBSCRIBE to the 200, to the NOTIFY, to the page.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.bench.ground import Ground, Load, Missing, prepared, result_of
from tests.bench.page import Page
from tests.bench.product import Product
from tests.bench.report import Part, Table, median_of
from tests.bench.store_reader import StoreReader
from tests.bench.watch import Times, Watch
from tests.support.netns import inside

PHONES = 10_000
RATE = 5_000
SHAPES = ("new", "owed", "applied")
QUIET_SECONDS = {"new": 3.0, "owed": 3.0, "applied": 10.0}
LIMIT_SECONDS = 60.0
PAGE_SECONDS = 10.0  # how long the page may lag behind before we stop waiting for it
FIRST = 0


@dataclass
class Storm:
    """What one storm came to."""

    result: dict[str, Any]
    early: int
    looks: int
    stored: int
    growth_bytes: int
    told_ms: list[float] = field(default_factory=list)
    shown_ms: list[float] = field(default_factory=list)


def databases_of(ground: Ground, part: Part, stack: ExitStack) -> Iterator[tuple[str, Any]]:
    """Name and a maker of settings of each database that this machine has."""
    yield "SQLite", lambda: {}
    try:
        from tests.support.servers import PostgreSQL  # only here: psycopg may not be installed
    except ImportError as error:
        part.say(f"PostgreSQL is not measured: {error}")
        return
    with inside(ground.pbx.namespace):
        try:
            server = PostgreSQL()
            server.start()
        except (AssertionError, pytest.fail.Exception) as error:
            part.say(f"PostgreSQL is not measured: {error}")
            return
    stack.callback(server.remove)

    def settings() -> Mapping[str, str]:
        with inside(ground.pbx.namespace):
            return {"DATABASE_URL": server.migrated()}

    yield "PostgreSQL", settings


@contextmanager
def _open_page(product: Product) -> Iterator[Page]:
    page = Page(product)
    try:
        yield page
    finally:
        page.close()


def _wait_for_page(page: Page, newest: int) -> None:
    deadline = time.monotonic() + PAGE_SECONDS
    while time.monotonic() < deadline and page.seen_at(newest)[1] is None:
        time.sleep(0.05)


def _storm(ground: Ground, shape: str, name: str, settings: Mapping[str, str]) -> Storm:
    """One storm at a site of its own."""
    load = Load(PHONES, FIRST, rate=RATE, notifies=PHONES * (shape == "owed"), quiet_seconds=QUIET_SECONDS[shape],
                limit_seconds=LIMIT_SECONDS)  # fmt: skip
    with Product(ground, name, settings) as product:
        product.arrange(shape, PHONES, FIRST)
        product.start()
        ground.run(Load(200, FIRST + PHONES, window=10))  # warm, with other phones
        each = ground.folder / f"{name}.times"
        times = Times(each, load)
        begun, before = time.time(), product.memory_bytes
        with _open_page(product) as page:
            with Watch(product, times, None if shape == "new" else begun) as watch:
                result = result_of(ground.start(load, each), load)
            reader = StoreReader(product)
            events = reader.first_events(begun)
            _wait_for_page(page, max(events.values(), default=0))
            storm = Storm(result, len(watch.early), watch.looks, len(reader.macs(begun)) if shape != "new" else
                          sum(mac in events for mac in times.macs), product.memory_bytes - before)  # fmt: skip
            reader.close()
        for mac, sent in times.sent().items():
            told, shown = page.seen_at(events[mac]) if mac in events else (None, None)
            storm.told_ms.append(1000 * (told - sent) if told else float("inf"))
            storm.shown_ms.append(1000 * (shown - sent) if shown else float("inf"))
    return storm


def _add(figures: dict[str, list[float]], storm: Storm) -> None:
    result = storm.result
    answer, notify = result.get("answer_ms", {}), result.get("notify_ms", {})
    for name, value in {
        "answered": result["answered"], "first_try": result["first_try"], "stored": storm.stored,
        "early": storm.early, "looks": storm.looks,
        "answer_p99": answer.get("p99", 0.0), "answer_max": answer.get("max", 0.0),
        "told": max(storm.told_ms), "shown": max(storm.shown_ms), "notified": result["notified"],
        "notify_max": notify.get("max", 0.0), "second": result["notify_transactions"] - result["notified"],
        "growth": storm.growth_bytes / 1e6,
    }.items():  # fmt: skip
        figures[name].append(value)


ROWS = {
    "answered": ("answered", 0),
    "first_try": ("answered before the first resend (500 ms)", 0),
    "answer_p99": ("200, p99, ms", 0),
    "answer_max": ("200, the last one, ms", 0),
    "stored": ("in the database", 0),
    "early": ("answered too early", 0),
    "looks": ("looks at the database meanwhile", 0),
    "told": ("page told of the last phone, ms", 0),
    "shown": ("rows fetched after that, the last phone, ms", 0),
    "notified": ("notified", 0),
    "notify_max": ("NOTIFY, the last one, ms", 0),
    "second": ("second NOTIFYs", 0),
    "growth": ("listener's memory grew by, MB", 1),
}


def main(repeats: int) -> Part:
    part = Part("storm", "10,000 phones within 2 s", __doc__ or "")
    with ExitStack() as stack:
        ground = stack.enter_context(prepared("storm"))
        databases = list(databases_of(ground, part, stack))
        figures: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for repeat in range(repeats):
            for shape in SHAPES:
                for name, settings in databases:
                    try:
                        storm = _storm(ground, shape, f"{name}-{shape}-{repeat}", settings())
                    except Missing as missing:
                        part.say(str(missing))
                        return part
                    _add(figures[shape, name], storm)
        for shape in SHAPES:
            table = Table(f"10,000 {shape} phones within 2 s", ["", *(name for name, _ in databases)])
            for key, (words, digits) in ROWS.items():
                table.add(words, *(median_of(figures[shape, name][key], digits) for name, _ in databases))
            part.add(table)
    return part
