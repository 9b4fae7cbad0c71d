"""How long a phone waits for the 200 to its SUBSCRIBE, beside a bare echo of the same datagram over the same cable.

Eight phones in network namespaces of their own, one after the other, five boots each; the first boot is that of an
unknown phone. The listener runs alone. The echo shows what the machine and the measuring itself cost.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.report import Part, Table, median_of, ratio
from tests.support.netns import Lab
from tests.support.site import POLL_SECONDS, SOON_SECONDS
from tests.support.strict_phone import GROUP, StrictPhone
from tests.support.world import World

PHONES = 8
BOOTS = 5  # of each; the first one is of an unknown phone
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


def main(repeats: int) -> Part:
    """Once per repeat; each repeat boots eight phones five times."""
    part = Part("latency", "One phone at a time", __doc__ or "")
    answers, echoes, stored = [], [], []
    for _ in range(repeats):
        for all_of_them, these in zip((answers, echoes, stored), _once(), strict=True):
            all_of_them += these
    table = Table("Milliseconds", ["", "median (least … most)", "figures"])
    for name, seconds in (("SUBSCRIBE to 200", answers), ("bare UDP echo", echoes), ("new phone in the store", stored)):
        table.add(name, median_of([1000 * one for one in seconds], 2), len(seconds))
    part.add(table)
    part.say(f"Ratio of the medians, 200 to echo: {ratio(answers, echoes)}")
    return part


def _once() -> tuple[list[float], list[float], list[float]]:
    lab = Lab("bench")
    try:
        with tempfile.TemporaryDirectory(prefix="gspnp-bench-") as folder:
            world = World(lab, Path(folder))
            try:
                world.site.prepare()
                world.site.start("listen")
                StrictPhone.boot(world.phone())  # the first one warms up: modules, caches, the neighbour table
                with echoing(world):
                    return measure(world)
            finally:
                world.close()
    finally:
        lab.close()
