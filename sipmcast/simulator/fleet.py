"""Many phones on one event loop, the progress a person sees, and the verdict.

A fleet knows phones only by their results. SIGINT and SIGTERM end every phone in order and still print what
is known.
"""

import asyncio
import contextlib
import json
import signal
from collections import Counter
from time import monotonic
from typing import TextIO

from sipmcast.simulator.options import Options, PhoneSetup, Timings
from sipmcast.simulator.phone import Phone
from sipmcast.simulator.result import STAGES, THROUGH, Result
from sipmcast.simulator.wire import resolve_interface

BAR_WIDTH = 30
REDRAW_SECONDS = 0.2
FILES_PER_PHONE = 3  # its UDP socket, a connection, and one to spare


def setups(options: Options) -> list[PhoneSetup]:
    """One setup per phone: MACs count up, models take turns, everything else is shared."""
    address, index = resolve_interface(options.interface, options.group)
    seed = options.seed or 0
    first, models = options.first_mac(seed), options.models()
    wrap = 2**48 if options.mac else 2**24  # random MACs stay under their vendor's prefix
    timings = Timings(
        pnp_wait=options.pnp_wait,
        wait_assign=options.wait_assign,
        reboot=options.reboot_time,
        quiet=options.quiet,
    )
    return [
        PhoneSetup(
            mac=f"{first - first % wrap + (first + number) % wrap:012X}",
            model=models[number % len(models)],
            firmware=options.firmware,
            address=address,
            interface_index=index,
            group=options.group,
            port=options.port,
            option66=options.option66,
            stored_path=options.stored_path,
            ca=options.ca,
            boots_max=options.boots_max,
            timeout=options.timeout,
            start_after=number * options.stagger,
            stay=options.stay,
            faults=options.fault_wishes(),
            seed=f"{seed}/{number}",
            timings=timings,
        )
        for number in range(options.count)
    ]


class Progress:
    """A bar that redraws itself on a terminal, else a line whenever the counts have changed."""

    def __init__(self, stream: TextIO, total: int):
        self._stream = stream
        self._total = total
        self._tty = stream.isatty()
        self._last = ""
        self._due = 0.0

    def show(self, phones: list[Phone], last: bool = False) -> None:
        """Write the counts if they changed, not oftener than a person can read."""
        if not last and monotonic() < self._due:
            return
        text = self._text(phones)
        if text != self._last:
            self._stream.write(f"\r{text}\x1b[K" if self._tty else f"{text}\n")
            self._last = text
        if last and self._tty:
            self._stream.write("\n")
        self._stream.flush()
        self._due = monotonic() + REDRAW_SECONDS

    def _text(self, phones: list[Phone]) -> str:
        ended = Counter(phone.result.outcome for phone in phones if phone.result.outcome)
        stages = Counter(phone.result.stage for phone in phones if not phone.result.outcome)
        counts = [f"{ended[name]} {name}" for name in (THROUGH, "failed", "stopped") if ended[name] or name == THROUGH]
        counts += [f"{stages[stage]} {stage}" for stage in STAGES if stages[stage]]
        text = f"{sum(ended.values())}/{self._total} phones done: {', '.join(counts)}"
        if not self._tty:
            return text
        filled = BAR_WIDTH * sum(ended.values()) // self._total
        return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {text}"


class Fleet:
    """Phones that live at the same time."""

    def __init__(self, phones: list[PhoneSetup], progress: TextIO | None = None):
        self._dirty = True
        self.phones = [Phone(setup, self._changed) for setup in phones]
        self._progress = Progress(progress, len(phones)) if progress else None

    async def live(self) -> list[Result]:
        """Let all phones live to their end and return their results in order."""
        loop = asyncio.get_running_loop()
        caught = []
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):  # not the main thread
                loop.add_signal_handler(number, self.stop)
                caught.append(number)
        showing = asyncio.ensure_future(self._show())
        try:
            return await asyncio.gather(*(phone.live() for phone in self.phones))
        finally:
            showing.cancel()
            if self._progress:
                self._progress.show(self.phones, last=True)
            for number in caught:
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """End every phone that is still alive."""
        for phone in self.phones:
            phone.stop()

    def _changed(self, phone: Phone) -> None:
        self._dirty = True

    async def _show(self) -> None:
        while self._progress:
            if self._dirty:
                self._dirty = False
                self._progress.show(self.phones)
            await asyncio.sleep(REDRAW_SECONDS)


def allow_open_files(phones: int) -> None:
    """Raise this process's limit on open files as far as so many phones need and the system allows."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        needed = 256 + FILES_PER_PHONE * phones
        if soft != resource.RLIM_INFINITY and soft < needed:
            most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def run(options: Options, out: TextIO, err: TextIO) -> int:
    """Run the whole fleet, write the report, and return the exit code: 0 only if every phone got through."""
    allow_open_files(options.count)
    results = asyncio.run(Fleet(setups(options), err).live())
    failed = [result for result in results if result.outcome != THROUGH]
    if options.json:
        for result in results:
            out.write(json.dumps(result.as_json(), ensure_ascii=False) + "\n")
    else:
        for result in failed:
            out.write(f"{result.mac} {result.model} {result.outcome} at {result.stage}: {result.reason}\n")
        out.write(f"{len(results) - len(failed)} of {len(results)} phones got through (--seed {options.seed})\n")
    return 1 if failed else 0
