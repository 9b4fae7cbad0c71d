"""How many configuration files a second: `python -m tests.bench.render`.

On SQLite as the product sets it up (WAL, synchronous FULL), with files of 300 settings for GXP1628. *XML* is the text
from a prepared tree. *Stored* is everything from the rows in memory to the commit: layers merged, keys arranged, the
file rendered, read back and checked, encrypted for the phone where its format says so, encrypted for the database, and
written with its NOTIFY, in the transactions of a job. *Job* is a change of a layer as the worker carries it out, from
the order to its end, with the reading of its phones. It is repeated among more and more phones, of which it always
touches as many; the last one touches all.
"""

import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

REPEATS = 3
CHILD = "--child"
TEXTS = 4000
STORED = 1000
SETTINGS = 300
SIZES = (100, 1000, 10_000, 100_000)  # phones in the database
TOUCHED = 100  # of them, in a site of their own: as many in each size
ALL = 10_000  # phones of the big job
GOALS = {"XML": 8000.0, "stored": 1500.0, "job": ALL / 15}


def layer_of(count: int) -> dict[str, str]:
    """Settings of a site, with their factory values, until a file has `count` of them."""
    from devices.catalog import MODELS
    from provisioning.gxp import catalogue, layers
    from provisioning.gxp.pvalues import COMPUTED, OWNED
    from tests.bench import arrange

    model = MODELS[arrange.MODEL]
    there = set(arrange.texts(1))
    rows = (row for row in catalogue.SETTINGS.values() if row.applies_to(model.name) and row.name not in there)
    free = (row for row in rows if not row.secret and row.name not in OWNED and row.name not in COMPUTED)
    good = {row.name: row.default for row in free if not layers.problems({row.name: row.default})}
    return dict(list(good.items())[: count - len(there)])


def child() -> None:
    """Measure with the database of DATABASE_URL; prints one JSON line."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    gc.collect()
    gc.freeze()  # as the worker does
    result = {"XML": _xml()}
    for size in SIZES:
        _fill(size)
        if size == SIZES[1]:
            result["stored xml"] = _stored("xml")
            result["stored encrypted"] = _stored("encrypted")
            result["stored binary"] = _stored("binary")
        result[f"job among {size}"] = _job(size)
        if size == ALL:
            result["job of all"] = _job(size, everybody=True)
    print(json.dumps(result))


def _xml() -> float:
    from provisioning.gxp import document
    from tests.bench import arrange

    layer = layer_of(SETTINGS)
    texts = [document.in_order({**arrange.texts(number), **layer}) for number in range(1, 101)]
    assert len(texts[0]) == SETTINGS
    return _rate(TEXTS, lambda number: document.written("000B82000001", texts[number % 100]))


def _rate(count: int, do: Callable[[int], object]) -> float:
    began = time.perf_counter()
    for number in range(count):
        do(number)
    return count / (time.perf_counter() - began)


def _fill(size: int) -> None:
    """So many phones that applied their files yesterday; the first of them at the site "few"."""
    from devices.choices import Stage
    from devices.models import Phone
    from provisioning.layers import store
    from tests.bench import arrange

    there = Phone.objects.count()
    for numbers in arrange.chunks(there, size - there):
        arrange.arrange(Stage.APPLIED, numbers, "10.71.1.1", "phones")
    Phone.objects.filter(pk__in=list(Phone.objects.order_by("pk").values_list("pk", flat=True)[:TOUCHED])).update(
        site="few"
    )
    for site in ("", "few"):
        layer = store.find("site", site)
        if layer.pk is None:
            store.save(layer, layer_of(SETTINGS), by="bench")


def _stored(file_format: str) -> float:
    """Versions a second for phones whose rows are in memory, in bites of a job."""
    from devices import batch
    from devices.models import Phone
    from provisioning.jobs import rerender
    from provisioning.layers import store
    from provisioning.models import Job

    layer = store.find("site", "")
    store.save(layer, {**layer_of(SETTINGS), "syslog_server": f"192.0.2.{layer.version}", "file_format": file_format},
               by="bench")  # fmt: skip
    ids = Phone.objects.filter(site="").order_by("pk").values_list("pk", flat=True)
    rows = rerender._read(list(ids[:STORED]))
    job = Job(title="bench", created_by="bench", pace_per_second=5.0)
    gc.collect()
    began = time.perf_counter()
    made = (rerender._next(job, phone, rows.files[phone.pk], rows) for phone in rows.phones)
    bites = batch.bites((one for one in made if one is not None), rerender.STORED_AT_ONCE)
    stored = sum(rerender._store(job, bite)[0] for bite in bites)
    taken = time.perf_counter() - began
    assert stored == len(rows.phones)
    return stored / taken


def _job(size: int, everybody: bool = False) -> float:
    """Phones a second of a job; afterwards each has one version more."""
    from provisioning import changing
    from provisioning.jobs import runner
    from provisioning.layers import store
    from provisioning.models import Job

    layer = store.find("site", "" if everybody else "few")
    values = dict(layer.values)
    values["syslog_server"] = "192.0.2.2" if values.get("syslog_server") == "192.0.2.1" else "192.0.2.1"
    if everybody:
        values["file_format"] = "encrypted"
    began = time.perf_counter()
    _, job = changing.change(layer, values, by="bench")
    runner.run.func(job.pk)
    taken = time.perf_counter() - began
    job = Job.objects.get(pk=job.pk)
    wanted = size - TOUCHED if everybody else TOUCHED
    assert (job.changed, job.failed) == (wanted, 0), f"{job.changed} changed, {job.failed} failed of {job.total}"
    return job.changed / taken


def _run(url: str) -> dict[str, float]:
    environment = {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "gspnp.settings"}
    done = subprocess.run([sys.executable, "-m", "tests.bench.render", CHILD], env=environment, check=True,
                          stdout=subprocess.PIPE, text=True)  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    from tests.support import environment  # noqa: F401  # the developer's settings are hidden

    with tempfile.TemporaryDirectory(prefix="gspnp-bench-") as folder:
        runs = [_run(f"sqlite:///{Path(folder, f'{repeat}.sqlite3')}") for repeat in range(REPEATS)]
    print(f"{'what':24}{'a second':>10}{'us each':>10}{'goal a second':>15}")
    for name in runs[0]:
        rate = statistics.median(run[name] for run in runs)
        goal = next((goal for start, goal in GOALS.items() if name.startswith(start) and "among" not in name), None)
        print(f"{name:24}{rate:10,.0f}{1e6 / rate:10,.0f}{goal and format(goal, ',.0f') or '':>15}")
    return 0


if __name__ == "__main__":
    if CHILD in sys.argv:
        child()
    else:
        sys.exit(main())
