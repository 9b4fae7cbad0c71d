"""50 open lists of phones, and what happens to a phone: how long until each of them was told, and until it shows it.

All four processes run, with a Redis, on SQLite and on PostgreSQL. Applied phones start up again, each once, at an even
rate; each SUBSCRIBE changes what the list says of its phone. The 50 have those on top that were seen last, so that each
change is one of what each of them shows. Times run from the SUBSCRIBE on the wire, as the phone's kernel sent it, to
the WebSocket frame that covers its event at each of the 50 (told), and to the end of the rows that this page asked for
after that, compressed, as its scripts do it (shown); every pair of a phone and a page counts.
One more list is open in a Chromium on the phones' machine and looks at the last phone: when its row changed there
is the page's own word (a MutationObserver). Pages, phones, Chromium and product share the cores. CPU is the console's
while phones start up, of one core.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from playwright.sync_api import Browser, Page

from tests.bench.console import redis_on
from tests.bench.ground import Ground, Load, Missing, mac_of, prepared, result_of
from tests.bench.page import CONSOLE_PORT
from tests.bench.product import Product, cpu_seconds
from tests.bench.report import Part, Table, median_of, percentile, whole
from tests.bench.store_reader import StoreReader
from tests.bench.storm import databases_of
from tests.bench.watch import Times
from tests.support.browser import chromium_on
from tests.support.site import ROOT

PAGES = 50
SECONDS = {100: 8.0, 2_000: 3.0}  # by phones a second
GOALS_MS = {100: 100, 2_000: 500}
CLUMP = {100: 1, 2_000: 10}
WARM_PHONES = 50
WAIT_SECONDS = 60.0
WAIT_AFTER_SECONDS = 6.0
# In the page: which moments its row has named, and when. Once a phone is heard its row names that moment.
WATCH_ROW = """mac => {
  const moment = () => document.querySelector(`tr[data-mac="${mac}"] .gs-col-seen time`)?.dateTime;
  let before = moment();
  window.benchMoments = [];
  new MutationObserver(() => {
    if (moment() && moment() !== before) window.benchMoments.push([Date.parse((before = moment())), Date.now()]);
  }).observe(document.getElementById("list"), { subtree: true, childList: true, attributes: true });
  return before ?? "";
}"""

Figures = dict[str, list[float]]


@contextmanager
def _open_pages(product: Product) -> Iterator[subprocess.Popen[str]]:
    """All of them, in a process of their own on the phones' machine."""
    ground = product.ground
    words = [sys.executable, "-m", "tests.bench.open_pages", ground.pbx.address, product.session, str(PAGES)]
    process = subprocess.Popen(
        ground.phones.command(*words), cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "open\n":
            raise RuntimeError("the pages cannot be opened")
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def _chromium(product: Product, browser: Browser, mac: str) -> Iterator[Page]:
    """A list in a real browser, of this phone."""
    url = f"http://{product.ground.pbx.address}:{CONSOLE_PORT}"
    context = browser.new_context()
    context.add_cookies([{"name": "sessionid", "value": product.session, "url": url}])
    try:
        page = context.new_page()
        page.goto(f"{url}/?q={mac}")
        page.wait_for_selector("[data-testid=connection][data-state=live]", state="attached")
        if not page.evaluate(WATCH_ROW, mac):
            raise RuntimeError("Chromium does not show the phone")
        yield page
    finally:
        context.close()


def _waits(pages: list[dict[str, Any]], sent: Mapping[str, float], events: Mapping[str, int]) -> Iterator[
    tuple[float, float]
]:  # fmt: skip
    """For each phone and page: milliseconds until told, and until shown."""
    for page in pages:
        newest = [last for last, _ in page["told"]]
        asked = [begun for begun, _ in page["fetched"]]
        for mac, at in sent.items():
            place = bisect_left(newest, events.get(mac, sys.maxsize))  # one that was never stored is never shown
            told = page["told"][place][1] if place < len(newest) else float("inf")
            rows = bisect_left(asked, told)
            shown = page["fetched"][rows][1] if rows < len(asked) else float("inf")
            yield 1000 * (told - at), 1000 * (shown - at)


def _run(product: Product, browser: Browser, rate: int, first: int, figures: Figures) -> None:
    ground, count = product.ground, int(rate * SECONDS[rate])
    load = Load(count, first, rate=rate, clump=CLUMP[rate], quiet_seconds=0.2)
    each = ground.folder / f"{product.site.folder.name}-{rate}.times"
    last = mac_of(first + count - 1)
    with _open_pages(product) as opened, _chromium(product, browser, last) as page:
        begun, before = time.time(), cpu_seconds(product.site.process("console").pid)
        result = result_of(ground.start(load, each), load)
        used = cpu_seconds(product.site.process("console").pid) - before
        time.sleep(WAIT_AFTER_SECONDS)  # until the slowest page has its rows
        moments = page.evaluate("window.benchMoments")
        said, _ = opened.communicate(timeout=WAIT_SECONDS)
    pages = json.loads(said)
    reader = StoreReader(product)
    events, sent = reader.first_events(begun), Times(each, load).sent()
    reader.close()
    heard = 1000 * int(sent[last])  # the row's moment may be one of whole seconds
    changed_at = next((at / 1000 for moment, at in moments if moment >= heard), float("inf"))
    waits = list(_waits(pages, sent, events))
    told, shown = [one for one, _ in waits], [one for _, one in waits]
    for name, value in {
        "answered": result["answered"], "open": sum(one["open"] for one in pages),
        "told_p50": percentile(told, 50), "told_p99": percentile(told, 99), "told_max": max(told),
        "shown_p50": percentile(shown, 50), "shown_p99": percentile(shown, 99), "shown_max": max(shown),
        "chromium": 1000 * (changed_at - sent[last]),
        "messages": sum(len(one["told"]) for one in pages) / PAGES,
        "fetches": sum(len(one["fetched"]) for one in pages) / PAGES,
        "cpu": 100 * used / SECONDS[rate],
    }.items():  # fmt: skip
        figures[name].append(value)


ROWS = {
    "answered": ("phones answered", 0),
    "open": ("pages whose live socket is still there", 0),
    "told_p50": ("a page is told of a phone, p50, ms", 0),
    "told_p99": ("the same, p99, ms", 0),
    "told_max": ("the same, the worst, ms", 0),
    "shown_p50": ("a page has the rows after that, p50, ms", 0),
    "shown_p99": ("the same, p99, ms", 0),
    "shown_max": ("the same, the worst, ms", 0),
    "chromium": ("the last phone's row has changed in Chromium, ms", 0),
    "messages": ("messages to each page", 0),
    "fetches": ("times that a page fetched its rows", 0),
    "cpu": ("CPU of the console, %", 0),
}


def _measure(ground: Ground, name: str, settings: Mapping[str, str], browser: Browser, figures: Mapping) -> None:
    """Both rates at one site, with phones of their own."""
    with Product(ground, name, settings) as product:
        numbers = {rate: int(rate * seconds) for rate, seconds in SECONDS.items()}
        product.arrange("applied", WARM_PHONES + sum(numbers.values()))
        product.site.manage("collectstatic", "--no-input", "--verbosity", "0")  # for Chromium
        product.start()
        ground.run(Load(WARM_PHONES, 0, window=10))
        first = WARM_PHONES
        for rate, count in numbers.items():
            _run(product, browser, rate, first, figures[rate])
            first += count


def main(repeats: int) -> Part:
    part = Part("browsers", "What 50 open lists see", __doc__ or "")
    with ExitStack() as stack:
        ground = stack.enter_context(prepared("browsers"))
        redis = redis_on(ground, part)
        if redis is None:
            raise Missing("there is no Redis: apt-get install redis-server")
        stack.callback(redis.kill)
        on = list(databases_of(ground, part, stack))
        browser = stack.enter_context(chromium_on(ground.phones, ground.folder))
        figures: dict[str, dict[int, Figures]] = {
            name: {rate: defaultdict(list) for rate in SECONDS} for name, _ in on
        }  # fmt: skip
        for repeat in range(repeats):
            for name, settings in on:
                given = {**settings(), "REDIS_URL": redis.url}
                _measure(ground, f"{name}-{repeat}", given, browser, figures[name])
        for rate in SECONDS:
            table = Table(f"{whole(rate)} phones a second on {PAGES} open lists", ["", *figures])
            for key, (words, digits) in ROWS.items():
                table.add(words, *(median_of(of_one[rate][key], digits) for of_one in figures.values()))
            part.add(table)
            part.say(f"Goal: p99 under {GOALS_MS[rate]} ms.")
    return part
