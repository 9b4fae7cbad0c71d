"""`make bench`, or `python -m tests.bench [PART...]`: measure, print, and write docs/benchmarks.md.

As root, because everything happens in network namespaces of its own. A part whose tools are missing says so and the
others go on. A run of some parts writes nothing, unless --renew says that they take the place of the old ones.
"""

import argparse
import importlib
import importlib.util
import io
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from tests.support import environment  # noqa: F401  # before anything is started: the developer's settings are hidden

os.environ["CI"] = "1"  # a missing part is an error that this part reports, never a skipped test

from tests.bench import (  # noqa: E402
    answer_latency,
    answers,
    boot,
    browsers,
    busy,
    console,
    downloads,
    growth,
    hotspots,
    refusals,
    report,
    storm,
)
from tests.bench.ground import Missing  # noqa: E402
from tests.bench.report import Part  # noqa: E402

REPEATS = 3


class Tee(io.StringIO):
    """Keeps what is printed, and prints it."""

    def write(self, text: str) -> int:
        sys.__stdout__.write(text)  # type: ignore[union-attr]
        return super().write(text)


def _other(name: str, title: str) -> Callable[[int], Part]:
    """A part that stands in a module of its own and prints its table."""

    def run(repeats: int) -> Part:
        if importlib.util.find_spec(f"tests.bench.{name}") is None:
            return Part(name, title, "There is no such part here.")
        module = importlib.import_module(f"tests.bench.{name}")
        part = Part(name, title, module.__doc__ or "")
        with redirect_stdout(Tee()) as said:
            module.main()
        part.pieces.append(f"```\n{said.getvalue().strip()}\n```\n")
        return part

    return run


PARTS: dict[str, Callable[[int], Part]] = {
    "answers": answers.main,
    "storm": storm.main,
    "boot": boot.main,
    "busy": busy.main,
    "console": console.main,
    "list": _other("console_list", "The list of phones, among ten million events"),
    "browsers": browsers.main,
    "latency": answer_latency.main,
    "refusals": refusals.main,
    "downloads": downloads.main,
    "growth": growth.main,
    "codec": _other("codec", "The codec alone"),
    "store": _other("store", "The store alone"),
    "render": _other("render", "Configuration files"),
}
ON_REQUEST: dict[str, Callable[[int], Part]] = {"hotspots": hotspots.main}


def measure(name: str, repeats: int) -> Part:
    """One part; what stops it is told in its place."""
    try:
        return (PARTS | ON_REQUEST)[name](repeats)
    except (Missing, pytest.fail.Exception) as missing:  # the latter is how tests/support says it
        return Part(name, name.capitalize(), f"Not measured: {missing}.", failed=True)
    except Exception as error:
        traceback.print_exc()
        return Part(name, name.capitalize(), f"Not measured: {type(error).__name__}.", failed=True)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join((*PARTS, *ON_REQUEST))}; default: all")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="how often each is measured (%(default)s)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the document there, whatever was measured")
    parser.add_argument(
        "--renew", action="store_true", help="put these parts into the document in place of the old ones"
    )
    options = parser.parse_args(words)
    unknown = set(options.parts) - set(PARTS) - set(ON_REQUEST)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if os.geteuid():
        print("this makes network namespaces: run it as root", file=sys.stderr)
        return 2
    parts = [measure(name, options.repeats) for name in options.parts or PARTS]
    if options.renew:
        report.renew(parts)
    elif options.write or not options.parts:
        report.write(parts, options.write or report.DOCUMENT)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
