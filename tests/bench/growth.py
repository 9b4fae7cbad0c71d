"""What a phone costs, and whether that stays the same when there are many: `python -m tests.bench growth`."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.ground import Ground, prepared
from tests.bench.product import Product, cpu_seconds, family
from tests.bench.report import Part, Table, median_of
from tests.support.site import DATABASE, ROOT, wait_for

METHOD = """
Simulated phones (`simulate_phones`) go the whole way, from the first SUBSCRIBE to the proof that they applied their
file: two boots, two downloads, one NOTIFY each. They are plugged in one after the other, wait, and are assigned one
after the other by `manage.py assign`; all live on the loopback of the machine that the product runs on. Before them
the database holds so many others that are in use. The product is all four processes on SQLite; the phones use the same
cores.

CPU is what each process of the product, with its helpers, used from the first SUBSCRIBE to the last proof, less what
it uses in the same time when nothing happens, for each phone. At rest: what it used in a minute before they came, with
all the others there, none of which answers when it is asked whether it is still there. Memory is what each process
held at the end. Disk is by how much the database grew, for each phone.
"""
ROUNDS = ((1_000, 0), (1_000, 9_000), (1_000, 99_000), (10_000, 0))  # phones that go the way, others there before
FIRST_MAC = 0x000B82A00000
PACE_PER_SECOND = 50  # plugged in
PROCESSES = ("listen", "phones", "console", "work")
# All of these phones have one address.
SETTINGS = {"GSPNP_HTTP_RATE_PER_SOURCE": "100000", "GSPNP_HTTP_CONNECTIONS_PER_SOURCE": "2000"}
IDLE_SECONDS = 60.0  # four times the list of phones to ask is read anew, once a minute what is old is looked for
ASSIGN_SECONDS = 1_800
WAY_SECONDS = 300


@dataclass(frozen=True)
class Cost:
    """What one round came to."""

    through: int
    cpu_ms: dict[str, float]
    """By process, for each phone."""
    memory_mb: dict[str, float]
    disk_bytes: float
    """For each phone."""
    assign_ms: float
    rest_ms: dict[str, float]
    """By process, CPU in a second in which no phone does anything."""


def memory_bytes(pid: int) -> int:
    """Proportional set size: what several processes share is counted once."""
    total = 0
    for one in family(pid):
        lines = Path(f"/proc/{one}/smaps_rollup").read_text(encoding="ascii").splitlines()
        total += 1024 * int(next(line.split()[1] for line in lines if line.startswith("Pss:")))
    return total


def spent(product: Product) -> dict[str, float]:
    return {name: cpu_seconds(product.site.process(name).pid) for name in PROCESSES}


def disk_bytes(product: Product) -> int:
    """The database with all that was written to it."""
    product.python("tests.bench.growth")
    return (product.site.folder / DATABASE).stat().st_size


def whole_way(product: Product, count: int) -> tuple[int, float]:
    """Plug them in, assign them when the last was heard; how many got through, and the time to assign a phone."""
    plugging_in = count / PACE_PER_SECOND
    command = [
        "-m", "sipmcast.simulator", "--count", str(count), "--mac", f"{FIRST_MAC:012X}", "--interface", "lo", "--json",
        "--stagger", str(1 / PACE_PER_SECOND), "--wait-assign", str(plugging_in + ASSIGN_SECONDS), "--seed", "1",
        "--timeout", str(plugging_in + ASSIGN_SECONDS + WAY_SECONDS),
    ]  # fmt: skip
    simulator = subprocess.Popen(
        product.ground.pbx.command(sys.executable, *command), cwd=ROOT, env=product.environment,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        wait_for(lambda: heard(product) == count, plugging_in + WAY_SECONDS, f"all {count} phones are heard")
        assign_ms = assigned(product, count)
        said, _ = simulator.communicate(timeout=WAY_SECONDS)
    finally:
        simulator.kill()
    return sum(json.loads(line)["outcome"] == "through" for line in said.splitlines()), assign_ms


def heard(product: Product) -> int:
    question = "SELECT count(*) AS phones FROM devices_phone WHERE stage = 'seen'"
    return int(product.site.rows(question)[0]["phones"])


def assigned(product: Product, count: int) -> float:
    """Milliseconds for each phone: its file is made, its NOTIFY owed."""
    started = time.perf_counter()
    product.site.assign_all([f"{FIRST_MAC + number:012X}" for number in range(count)], seconds=ASSIGN_SECONDS)
    return 1000 * (time.perf_counter() - started) / count


def measured(ground: Ground, count: int, others: int, name: str) -> Cost:
    with Product(ground, name, SETTINGS) as product:
        if others:
            product.arrange("listed", others)
        product.start()
        before_bytes, idle = disk_bytes(product), spent(product)
        time.sleep(IDLE_SECONDS)  # what each of them uses when nothing happens
        before = spent(product)
        a_second = {one: (before[one] - idle[one]) / IDLE_SECONDS for one in PROCESSES}
        started = time.perf_counter()
        through, assign_ms = whole_way(product, count)
        seconds = time.perf_counter() - started
        after = spent(product)
        return Cost(
            through,
            {one: 1000 * (after[one] - before[one] - a_second[one] * seconds) / count for one in PROCESSES},
            {one: memory_bytes(product.site.process(one).pid) / 1e6 for one in PROCESSES},
            (disk_bytes(product) - before_bytes) / count,
            assign_ms,
            {one: 1000 * used for one, used in a_second.items()},
        )


def main(repeats: int) -> Part:
    """`repeats` is for the small rounds; 10,000 phones take four minutes and go once."""
    part = Part("growth", "What a phone costs", METHOD)
    columns = {f"{count:,} among {others + count:,}": (count, others) for count, others in ROUNDS}
    costs: dict[str, list[Cost]] = {title: [] for title in columns}
    with prepared("benchgrow") as ground:
        for turn in range(repeats):
            for title, (count, others) in columns.items():
                if turn and count * 5 > ROUNDS[-1][0]:
                    continue
                costs[title].append(measured(ground, count, others, f"growth-{turn}-{count}-{others}"))
    part.add(_table(costs))
    return part


def _table(costs: dict[str, list[Cost]]) -> Table:
    def row(words: str, figure: Callable[[Cost], float], digits: int = 0) -> list[str]:
        return [words, *(median_of([figure(one) for one in some], digits) for some in costs.values())]

    rows = [row("went the whole way", lambda cost: cost.through)]
    for name in PROCESSES:
        rows.append(row(f"CPU of {name}, ms a phone", lambda cost, name=name: cost.cpu_ms[name], 1))
    rows.append(row("CPU of all, ms a phone", lambda cost: sum(cost.cpu_ms.values()), 1))
    for name in PROCESSES:
        rows.append(row(f"memory of {name}, MB", lambda cost, name=name: cost.memory_mb[name]))
    rows.append(row("disk, KB a phone", lambda cost: cost.disk_bytes / 1000, 1))
    rows.append(row("to assign one, ms", lambda cost: cost.assign_ms, 1))
    for name in PROCESSES:
        rows.append(row(f"CPU of {name} at rest, ms a second", lambda cost, name=name: cost.rest_ms[name], 1))
    return Table("Phones that go the whole way, among others", ("", *costs), rows)


def checkpoint() -> None:
    """Run with the site's settings: what is in the log goes into the file."""
    import django

    django.setup()
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


if __name__ == "__main__":
    checkpoint()
