"""How many sightings a second are stored durably, and what of that is Python: `python -m tests.bench.store`.

SQLite as it is set up for the product (WAL, synchronous FULL) and a PostgreSQL of its own (fsync on), one after the
other in each repeat. "new" phones were never heard; "known" ones were heard before, at the same address, and start up
again; "moved" ones have got another address.
"""

import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SIZES = (50, 200, 500)
PHONES = 3000
REPEATS = 3
CHILD = "--child"
KINDS = ("new", "known", "moved")


def child() -> None:
    """Measure with the database of DATABASE_URL; prints one JSON line."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    connection.ensure_connection()
    _warm_up()
    gc.collect()
    gc.freeze()  # a full collection looks at all that Django has loaded: 60 ms that belong to no sighting
    print(json.dumps({f"{kind} {size}": _measure(kind, size) for size in SIZES for kind in KINDS}))


def _warm_up() -> None:
    from devices import inventory
    from tests import cast

    inventory.record_sightings([cast.sighting(f"00FFFF{number:06X}") for number in range(500)], cast.unknown)


def _batches(size: int, network: int) -> Iterator[list]:
    from tests import cast

    for first in range(0, PHONES, size):
        yield [
            cast.sighting(f"{size:04X}82{number:06X}", f"10.{network}.{number // 250}.{number % 250}")
            for number in range(first, min(first + size, PHONES))
        ]


def _measure(kind: str, size: int) -> tuple[float, float, float]:
    """Microseconds for one sighting: by the clock, of CPU, and of CPU outside of statements."""
    from django.db import connection

    from devices import inventory
    from devices.models import Phone
    from tests import cast

    Phone.objects.update(last_seen_at=cast.NOON)  # long ago: nothing is a repeat
    batches = list(_batches(size, 1 if kind == "moved" else 0))
    in_database = 0.0

    def timed(execute, sql, params, many, context):
        nonlocal in_database
        began = time.thread_time()
        try:
            return execute(sql, params, many, context)
        finally:
            in_database += time.thread_time() - began

    commit = connection._commit

    def timed_commit():
        timed(lambda *_: commit(), "", None, False, {})

    connection._commit = timed_commit
    began, cpu_began = time.perf_counter(), time.thread_time()
    with connection.execute_wrapper(timed):
        for batch in batches:
            inventory.record_sightings(batch, cast.unknown)
    taken, cpu = time.perf_counter() - began, time.thread_time() - cpu_began
    del connection._commit
    return 1e6 * taken / PHONES, 1e6 * cpu / PHONES, 1e6 * (cpu - in_database) / PHONES


def _run(url: str) -> dict[str, tuple[float, float, float]]:
    environment = {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "gspnp.settings"}
    done = subprocess.run([sys.executable, "-m", "tests.bench.store", CHILD], env=environment, check=True,
                          stdout=subprocess.PIPE, text=True)  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    from tests.support import environment  # noqa: F401  # the developer's settings are hidden
    from tests.support.servers import running

    results: dict[str, list[dict[str, tuple[float, float, float]]]] = {"SQLite": [], "PostgreSQL": []}
    with running() as server, tempfile.TemporaryDirectory(prefix="gspnp-bench-") as folder:
        for repeat in range(REPEATS):
            results["SQLite"].append(_run(f"sqlite:///{Path(folder, f'{repeat}.sqlite3')}"))
            results["PostgreSQL"].append(_run(server.migrated()))
    print(
        f"{'database':12}{'phones':>8}{'batch':>7}{'stored a second':>17}{'us each':>9}{'us CPU':>8}{'us outside':>12}"
    )
    for name, runs in results.items():
        for key in runs[0]:
            kind, size = key.split()
            each, cpu, outside = (statistics.median(run[key][place] for run in runs) for place in range(3))
            print(f"{name:12}{kind:>8}{size:>7}{1e6 / each:17,.0f}{each:9.1f}{cpu:8.1f}{outside:12.1f}")
    return 0


if __name__ == "__main__":
    if CHILD in sys.argv:
        child()
    else:
        sys.exit(main())
