"""Where the listener's time goes: microseconds per phone, by function and thread, for each kind of phone.

First at full load: CPU time by thread, from /proc, and of a few named stages (stages.py). Then under cProfile, at a
load that leaves room (clumps of 50, 250 a second), so that threads seldom wait for each other. cProfile makes every
Python call dearer: its figures show shares and order, not sums. Run alone: `python -m tests.bench hotspots`.
"""

import json
import os
import pstats
import sys
from pathlib import Path
from typing import Any

from tests.bench.ground import Ground, Load, prepared
from tests.bench.product import Product, thread_seconds
from tests.bench.report import Part, Table, whole
from tests.support.site import ROOT

PHONES = 5_000
WINDOW = 512
PROFILED_PHONES = 1_000
GENTLE = {"rate": 250, "clump": 50}
LINES = 18
COLUMNS = ("calls", "own µs", "with callees µs")
SHAPES = ("new", "seen", "applied", "owed")
WAITING = ("<method 'poll' of", "<method 'get' of '_queue", "<method 'acquire' of", "time.sleep")
STARTING = ("<module>", "importlib", "_compiler.py", "_parser.py", "marshal", "builtins.compile", "builtins.exec")


def _run(ground: Ground, shape: str, folder: Path, module: str) -> tuple[dict[str, Any], dict[str, float], int]:
    """One load at a fresh site, its listener under that module: result, CPU seconds by thread, phones that count."""
    profiled = module == "profiled"
    count = PROFILED_PHONES if profiled else PHONES
    how: dict[str, Any] = GENTLE if profiled else {"window": WINDOW}
    with Product(ground, folder.name) as product:
        product.arrange(shape, count)
        to = folder if profiled else folder / "stages.json"
        product.start_listener(f"exec {sys.executable} -m tests.bench.{module} {to} listen_pnp --keep-trying")
        pid = product.site.process("listen").pid
        before = thread_seconds(pid)
        load = Load(count, notifies=count * (shape == "owed"), quiet_seconds=1, limit_seconds=40, **how)
        result = ground.run(load)
        used = {name: spent - before.get(name, 0.0) for name, spent in thread_seconds(pid).items()}
        product.site.stop("listen")  # by SIGTERM: only then the figures are written
        return result, used, max(1, result["notified"] if shape == "owed" else result["answered"])


def _where(place: tuple[str, int, str]) -> str:
    path, line, name = place
    if path.startswith(str(ROOT)):
        return f"{os.path.relpath(path, ROOT)}:{line} {name}"
    return f"{'/'.join(Path(path).parts[-2:])}:{line} {name}" if line else name


def ranked(profile: Path, count: int, ours: bool) -> list[tuple[str, str, str, str]]:
    """The dearest functions of one thread: those of the project by all they call, the others by their own time."""
    lines = []
    for place, (_, calls, own, total, _) in pstats.Stats(str(profile)).stats.items():  # type: ignore[attr-defined]
        if place[0].startswith(str(ROOT)) or not ours:
            lines.append((total if ours else own, place, calls, own, total))
    lines.sort(reverse=True)
    named = [(_where(place), calls, own, total) for _, place, calls, own, total in lines]
    return [
        (name, f"{calls / count:.2f}", f"{1e6 * own / count:.0f}", f"{1e6 * total / count:.0f}")
        for name, calls, own, total in named
        if not any(word in name for word in (*WAITING, *STARTING))
    ][:LINES]


def staged(file: Path, count: int) -> list[list[str]]:
    """The stages of all threads, the dearest first."""
    spent = json.loads(file.read_text(encoding="utf-8"))
    lines = [(own, thread, name, calls, total) for thread, stages in spent.items()
             for name, (calls, own, total) in stages.items()]  # fmt: skip
    return [
        [f"{thread}: {name}", f"{calls / count:.2f}", f"{1e6 * own / count:.1f}", f"{1e6 * total / count:.1f}"]
        for own, thread, name, calls, total in sorted(lines, reverse=True)
    ]


def _stages(ground: Ground, part: Part, shape: str) -> None:
    folder = ground.folder / f"stages-{shape}"
    folder.mkdir()
    result, used, count = _run(ground, shape, folder, "stages")
    threads = ", ".join(f"{name} {1e6 * spent / count:.0f}" for name, spent in used.items())
    seconds = result["answer_seconds"]
    part.say(f"{shape}: {whole(count)} phones, {seconds:.2f} s to the last 200. CPU µs per phone: {threads}.")
    part.add(Table(f"{shape}, CPU time of the stages at full load", ["stage", *COLUMNS],
                   staged(folder / "stages.json", count)))  # fmt: skip


def _profiles(ground: Ground, part: Part, shape: str) -> None:
    folder = ground.folder / f"profile-{shape}"
    folder.mkdir()
    _, _, count = _run(ground, shape, folder, "profiled")
    for profile in sorted(folder.glob("*.prof")):
        for ours in (True, False):
            title = f"{shape}, {profile.stem}, {'by all they call' if ours else 'by own time'}"
            part.add(Table(title, ["function", *COLUMNS], [list(row) for row in ranked(profile, count, ours)]))


def main(repeats: int) -> Part:
    """Once, whatever `repeats` says: this is read, not compared."""
    part = Part("hotspots", "Where the listener's time goes", __doc__ or "")
    with prepared("hotspots") as ground:
        for shape in SHAPES:
            _stages(ground, part, shape)
        for shape in SHAPES:
            _profiles(ground, part, shape)
    return part
