"""How long a phone waits for the 200 to its SUBSCRIBE, beside a bare echo of the same datagram over the same cable.

Run as root: `python -m tests.bench.answer_latency`. Everything happens in network namespaces of its own. The exit
code is 1 if a median is over its limit. The echo shows what the machine and the measuring itself cost.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import environment  # noqa: F401  # before anything is started: the developer's settings are hidden
from tests.support.netns import Lab
from tests.support.site import POLL_SECONDS, SOON_SECONDS
from tests.support.strict_phone import GROUP, StrictPhone
from tests.support.world import World

PHONES = 8
BOOTS = 5  # of each; the first one is of an unknown phone
ANSWER_SECONDS = 0.05
STORED_SECONDS = 1.0
ECHO_PORT = 5099
ECHO = f"""
import socket, sys
echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
echo.bind(("", {ECHO_PORT}))
membership = socket.inet_aton("{GROUP}") + socket.inet_aton(sys.argv[1])
echo.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
print("ready", flush=True)
while True:
    echo.sendto(*echo.recvfrom(65535))
"""


@contextmanager
def echoing(world: World) -> Iterator[None]:
    """The peer: on the same machine as the listener and in the same group, with nothing to think about."""
    process = subprocess.Popen(
        world.pbx.command(sys.executable, "-c", ECHO, world.pbx.address), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", "the echo does not start"
        yield
    finally:
        process.kill()
        process.wait()


def measure(world: World) -> tuple[list[float], list[float], list[float]]:
    """Seconds to each 200, to each echo, and until each new phone was found in the store."""
    phones = [world.phone() for _ in range(PHONES)]
    answers, echoes, stored = [], [], []
    for boot in range(BOOTS):
        for phone in phones:
            phone.power_on()
            sent_at = phone.send_subscribe()
            if not phone.await_200(SOON_SECONDS):
                raise SystemExit(f"{phone.mac}: no 200 within {SOON_SECONDS} s")
            answers.append(phone.answered_at - sent_at)
            while not boot and not world.site.stage(phone.mac):
                if time.perf_counter() > sent_at + SOON_SECONDS:
                    raise SystemExit(f"{phone.mac}: not in the store within {SOON_SECONDS} s")
                time.sleep(POLL_SECONDS)
            if not boot:
                stored.append(time.perf_counter() - sent_at)
            echoes.append(phone.echo_subscribe(ECHO_PORT, SOON_SECONDS))
    return answers, echoes, stored


def line(name: str, seconds: list[float]) -> str:
    median, worst = statistics.median(seconds), max(seconds)
    return f"{name:24} median {1000 * median:8.2f} ms   worst {1000 * worst:8.2f} ms   n = {len(seconds)}"


def main() -> int:
    if os.geteuid():
        print("this makes network namespaces: run it as root", file=sys.stderr)
        return 2
    lab = Lab("bench")
    try:
        with tempfile.TemporaryDirectory(prefix="gspnp-bench-") as folder:
            world = World(lab, Path(folder))
            try:
                world.site.prepare()
                world.site.start("listen")
                StrictPhone.boot(world.phone())  # the first one warms up: modules, caches, the neighbour table
                with echoing(world):
                    answers, echoes, stored = measure(world)
            finally:
                world.close()
    finally:
        lab.close()
    answer, echo = statistics.median(answers), statistics.median(echoes)
    print(line("SUBSCRIBE to 200", answers))
    print(line("bare UDP echo", echoes))
    print(f"{'ratio of the medians':24} {answer / echo:15.1f}")
    print(line("new phone in the store", stored))
    status = 0
    for what, median, limit in (
        ("the 200", answer, ANSWER_SECONDS),
        ("the store", statistics.median(stored), STORED_SECONDS),
    ):
        if median > limit:
            print(f"too slow: {what} takes {1000 * median:.1f} ms, the limit is {1000 * limit:.0f} ms", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
