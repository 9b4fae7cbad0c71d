"""What a technician waits for, on SQLite, with all four processes as `make run` has them.

The list: one HTTP request after the other from another machine, signed in, among 100,000 phones of which 90,000 have an
account. A change: a phone is ignored or heeded over HTTP; from the end of that request until an open page was told by
its live socket, and until it had fetched its rows, as the page does; with and without a Redis. Browsers: 50 open lists,
each with its live socket and its own fetching of rows, while 2,000 new phones appear within 2 s.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import pytest

from tests.bench.ground import Ground, Load, mac_of, prepared, result_of
from tests.bench.page import Browser, Page
from tests.bench.product import Product
from tests.bench.report import Part, Table, median_of, percentile
from tests.bench.store_reader import StoreReader
from tests.support.netns import inside
from tests.support.redis_server import RedisServer

LISTED, SEEN = 90_000, 10_000
ASKED = 30
CHANGES = 60
CHANGE_PAUSE_SECONDS = 0.25
BROWSERS = 50
NEWCOMERS, NEWCOMERS_RATE = 2_000, 1_000
WAIT_SECONDS = 20.0
PATHS = {
    "the first page": "/",
    "its rows": "/rows/",
    "the last page": "/rows/?page=2000",
    "sorted by extension": "/rows/?sort=extension",
    "only those that are applied": "/rows/?stage=applied",
    "a part of a MAC": "/rows/?q=82%3A12%3A34",
    "an extension": "/rows/?q=54321",
    "a name that nobody has": "/rows/?q=Nobody+at+all",
}

Figures = dict[str, list[float]]


def _list(ground: Ground, repeat: int, figures: Figures) -> None:
    with Product(ground, f"list-{repeat}") as product:
        product.arrange("listed", LISTED)
        product.arrange("seen", SEEN, LISTED)
        product.start()
        browser = Browser(product)
        for words, path in PATHS.items():
            browser.ask("GET", path)
            waits = []
            for _ in range(ASKED):
                status, _, seconds = browser.ask("GET", path)
                assert status == 200, f"{path}: {status}"
                waits.append(1000 * seconds)
            figures[words].append(percentile(waits, 50))


def _changes(ground: Ground, name: str, settings: Mapping[str, str], figures: Figures) -> None:
    """From the end of each change until the page was told, and until its rows were there."""
    told_ms, shown_ms = [], []
    with Product(ground, name, settings) as product:
        product.arrange("seen", 100)
        product.start()
        browser = Browser(product)
        browser.ask("GET", "/")
        with _open(product) as page:
            time.sleep(1)
            for number in range(CHANGES):
                before = len(page.told)
                action = "ignore" if number % 2 == 0 else "heed"
                status, body, _ = browser.ask("POST", f"/phones/{mac_of(number // 2)}/{action}/", "host=")
                changed = time.time()
                assert status == 200, body
                told, shown = _shown(page, before)
                told_ms.append(1000 * max(0.0, told - changed))
                shown_ms.append(1000 * (shown - changed))
                time.sleep(CHANGE_PAUSE_SECONDS)
    for what, values in (("told", told_ms), ("shown", shown_ms)):
        figures[f"{what} p50"].append(percentile(values, 50))
        figures[f"{what} p99"].append(percentile(values, 99))


def _shown(page: Page, before: int) -> tuple[float, float]:
    """When the page was told of something new, and when rows that it asked for after that had come."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if len(page.told) > before:
            told = page.told[before][1]
            shown = next((done for begun, done in list(page.fetched) if begun >= told), None)
            if shown is not None:
                return told, shown
        time.sleep(0.001)
    raise RuntimeError("the page is not told")


@contextmanager
def _open(product: Product) -> Iterator[Page]:
    page = Page(product)
    try:
        yield page
    finally:
        page.close()


def _browsers(ground: Ground, repeat: int, figures: Figures) -> None:
    load = Load(NEWCOMERS, 0, rate=NEWCOMERS_RATE, quiet_seconds=2.0, limit_seconds=60.0)
    with Product(ground, f"browsers-{repeat}") as product, ExitStack() as stack:
        product.start()
        ground.run(Load(50, NEWCOMERS, window=10))  # warm, with other phones
        pages = [stack.enter_context(_open(product)) for _ in range(BROWSERS)]
        begun = time.time()
        result = result_of(ground.start(load), load)
        reader = StoreReader(product)
        newest = max(reader.first_events(begun).values())
        reader.close()
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline and any(page.seen_at(newest)[1] is None for page in pages):
            time.sleep(0.05)
        seen = [page.seen_at(newest) for page in pages]
        figures["answered"].append(result["answered"])
        figures["open"].append(sum(page.is_open for page in pages))
        figures["complete"].append(sum(shown is not None for _, shown in seen))
        figures["told"].append(max((told - begun for told, _ in seen if told), default=float("inf")))
        figures["shown"].append(max((shown - begun for _, shown in seen if shown), default=float("inf")))


def main(repeats: int) -> Part:
    part = Part("console", "The console", __doc__ or "")
    lists: Figures = defaultdict(list)
    embedded: Figures = defaultdict(list)
    woken: Figures = defaultdict(list)
    browsers: Figures = defaultdict(list)
    with prepared("console") as ground:
        redis = redis_on(ground, part)
        try:
            for repeat in range(repeats):
                _list(ground, repeat, lists)
                _changes(ground, f"changes-{repeat}", {}, embedded)
                if redis is not None:
                    _changes(ground, f"redis-{repeat}", {"REDIS_URL": redis.url}, woken)
                _browsers(ground, repeat, browsers)
        finally:
            if redis is not None:
                redis.kill()
    part.add(_table("The list of 100,000 phones, p50 of a request", "ms", {words: lists[words] for words in PATHS}))
    table = Table("From a change to the open page, ms", ["", "embedded", "with Redis"])
    for what in embedded:
        table.add(what, median_of(embedded[what], 0), median_of(woken[what], 0) if woken else "not measured")
    part.add(table)
    table = Table("50 open lists while 2,000 new phones appear within 2 s", ["", "median (least … most)"])
    for key, words in {
        "answered": "phones answered", "open": "browsers whose live socket is still there",
        "complete": "browsers that show the last phone",
        "told": "the last browser told of the last phone, s after the first SUBSCRIBE",
        "shown": "the last browser's rows, s after the first SUBSCRIBE",
    }.items():  # fmt: skip
        table.add(words, median_of(browsers[key], 0 if key in ("answered", "open", "complete") else 1))
    part.add(table)
    return part


def _table(title: str, unit: str, figures: Mapping[str, list[float]]) -> Table:
    table = Table(title, ["", f"{unit}, median (least … most)"])
    for words, values in figures.items():
        table.add(words, median_of(values, 0))
    return table


def redis_on(ground: Ground, part: Part) -> RedisServer | None:
    with inside(ground.pbx.namespace):
        try:
            server = RedisServer()
            server.start()
        except (AssertionError, pytest.fail.Exception) as error:
            part.say(f"Redis is not measured: {error}")
            return None
    return server
