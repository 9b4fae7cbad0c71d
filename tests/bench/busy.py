"""A working day at its worst: 2,000 SUBSCRIBEs a second, a job that renders 10,000 phones anew, and a person who saves.

The SUBSCRIBEs are those of 10,000 applied phones that start up again and again. The job saves one phone after the
other in a process of its own, without a pause; each phone is owed a NOTIFY and answers it. The person
posts the assignment drawer of one phone after the other over HTTP, signed in, with a pause; one save after the other
is timed from the request to the end of the answer. All on SQLite; first the saves alone, then amid all that.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

from devices.catalog import DEFAULT_CODECS, MODELS, slots
from tests.bench.ground import Ground, Load, host_of, mac_of, prepared, result_of
from tests.bench.page import Browser
from tests.bench.product import Product
from tests.bench.report import Part, Table, median_of, percentile
from tests.support.site import ROOT

MODEL = MODELS["GXP1628"]
STARTING, RERENDERED, SAVED = 0, 10_000, 20_000
PHONES = 10_000
SAVES = 250
CALM_SAVES = 50
PAUSE_SECONDS = 0.05
RATE = 2_000
SECONDS = 25
ROUNDS = RATE * SECONDS // PHONES
STOP_SECONDS = 20


def _fields(number: int) -> str:
    """The drawer of a phone that was seen, as a browser posts it."""
    fields: dict[str, object] = {"version": 0, "seen_host": host_of(number)}
    for account in range(1, MODEL.accounts + 1):
        for name in ("user_id", "password", "display_name", "sip_server", "auth_id", "voicemail"):
            fields[f"account-{account}-{name}"] = ""
        fields[f"account-{account}-codecs"] = list(DEFAULT_CODECS)
    for slot in slots(MODEL):
        fields |= {f"key-{slot.name}-{name}": "" for name in ("mode", "value", "label")}
        fields[f"key-{slot.name}-account"] = "1"
    fields |= {"account-1-user_id": str(number), "account-1-password": "s3cr3t", "account-1-sip_server": "10.71.1.1"}
    return urlencode(fields, doseq=True)


def _save(browser: Browser, first: int, count: int, until: float) -> tuple[list[float], list[str]]:
    """Milliseconds of each save, and what was refused."""
    waits, refusals = [], []
    for number in range(first, first + count):
        if time.monotonic() > until:
            break
        status, body, seconds = browser.ask("POST", f"/phones/{mac_of(number)}/assign/", _fields(number))
        waits.append(1000 * seconds)
        if status != 200 or "message" not in json.loads(body):
            refusals.append(f"{status} {body[:200]!r}")
        time.sleep(PAUSE_SECONDS)
    return waits, refusals


@contextmanager
def _job(product: Product) -> Iterator[Callable[[], int]]:
    """The re-rendering, under way; the call ends it and says how many phones it did."""
    words = ["-m", "tests.bench.rerender", str(RERENDERED), str(PHONES)]
    with (product.site.folder / "job.log").open("wb") as log:
        process = subprocess.Popen(
            product.ground.pbx.command(sys.executable, *words), stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT,
            env=product.environment,
        )  # fmt: skip

    def end() -> int:
        process.terminate()
        said, _ = process.communicate(timeout=STOP_SECONDS)
        if process.returncode:
            raise RuntimeError(f"the job failed: {product.site.log('job')[-2000:]}")
        return int(said)

    try:
        assert process.stdout is not None
        process.stdout.readline()  # "begins"
        yield end
    finally:
        process.kill()
        process.wait()


def _busy(ground: Ground, repeat: int, figures: dict[str, list[float]]) -> list[str]:
    """One repeat; what went wrong."""
    load = Load(PHONES, STARTING, rounds=ROUNDS, rate=RATE, silent=PHONES + CALM_SAVES + SAVES,
                limit_seconds=SECONDS + 30.0)  # fmt: skip
    with Product(ground, f"busy-{repeat}") as product:
        product.arrange("applied", PHONES, STARTING)
        product.arrange("applied", PHONES, RERENDERED)
        product.arrange("seen", CALM_SAVES + SAVES, SAVED)
        product.start()
        browser = Browser(product)
        browser.ask("GET", "/")
        calm, refusals = _save(browser, SAVED, CALM_SAVES, time.monotonic() + SECONDS)
        with _job(product) as end_job:
            storm, begun = ground.start(load), time.monotonic()
            waits, more = _save(browser, SAVED + CALM_SAVES, SAVES, begun + SECONDS)
            result = result_of(storm, load)
            seconds = time.monotonic() - begun
            rerendered = end_job()
    answer = result.get("answer_ms", {})
    for name, value in {
        "calm_p50": percentile(calm, 50), "calm_p99": percentile(calm, 99),
        "p50": percentile(waits, 50), "p99": percentile(waits, 99), "max": max(waits), "saves": len(waits),
        "rerendered": rerendered, "rendered_rate": rerendered / seconds, "answered": result["answered"],
        "resent": result["resent"], "answer_p50": answer.get("p50", 0.0), "answer_p99": answer.get("p99", 0.0),
        "answer_max": answer.get("max", 0.0),
    }.items():  # fmt: skip
        figures.setdefault(name, []).append(value)
    return refusals + more


ROWS = {
    "calm_p50": "a save while nothing else happens, p50, ms",
    "calm_p99": "the same, p99, ms",
    "p50": "a save amid all that, p50, ms",
    "p99": "the same, p99, ms",
    "max": "the same, the worst, ms",
    "saves": "saves",
    "rerendered": "phones rendered anew meanwhile",
    "rendered_rate": "the same, a second",
    "answered": f"SUBSCRIBEs answered, of {PHONES * ROUNDS:,}",
    "resent": "SUBSCRIBEs that were sent again",
    "answer_p50": "200, p50, ms",
    "answer_p99": "200, p99, ms",
    "answer_max": "200, the worst, ms",
}


def main(repeats: int) -> Part:
    part = Part("busy", "A console save amid load", __doc__ or "")
    figures: dict[str, list[float]] = {}
    with prepared("busy") as ground:
        for repeat in range(repeats):
            for refusal in _busy(ground, repeat, figures)[:3]:
                part.say(f"A save was refused: {refusal}")
    table = Table("Saving while 2,000 SUBSCRIBEs a second come and a job renders", ["", "median (least … most)"])
    for name, words in ROWS.items():
        table.add(words, median_of(figures[name], 1 if "ms" in words else 0))
    part.add(table)
    return part
