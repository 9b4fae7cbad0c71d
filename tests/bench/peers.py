"""Whom the product is measured against: a bare responder in C, and Kamailio with two children that only answers.

Both join the group for real, on the PBX machine's interface, and store nothing.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.ground import GROUP, PORT, Ground, Missing
from tests.support.parts import SEARCH_PATH
from tests.support.site import wait_for

START_SECONDS = 20
STOP_SECONDS = 10
KAMAILIO = f"""#!KAMAILIO
debug=0
log_stderror=yes
fork=yes
children=2
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
mcast="eth0"
maxbuffer=4000000
listen=udp:{GROUP}:{PORT}
loadmodule "sl.so"
request_route {{
    if (method == "SUBSCRIBE") {{
        sl_send_reply("200", "OK");
    }}
    exit;
}}
"""


@contextmanager
def responder(ground: Ground, url: str = "") -> Iterator[int]:
    """The floor: two system calls for each datagram. With a URL it sends each phone a NOTIFY too. Its pid."""
    command = ground.pbx.command(str(ground.responder), GROUP, str(PORT), ground.pbx.address, *filter(None, [url]))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the bare responder does not start")
        yield process.pid
    finally:
        process.kill()
        process.wait()


@contextmanager
def kamailio(ground: Ground) -> Iterator[None]:
    """Debian's Kamailio on the group, with a receive buffer as large as ours."""
    program = shutil.which("kamailio", path=SEARCH_PATH)
    if program is None:
        raise Missing("there is no Kamailio: apt-get install kamailio")
    folder = ground.folder / "kamailio"
    folder.mkdir(exist_ok=True)
    (folder / "kamailio.cfg").write_text(KAMAILIO, encoding="utf-8")
    words = [program, "-f", str(folder / "kamailio.cfg"), "-DD", "-E", "-m", "64", "-Y", str(folder), "-w", str(folder)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(ground.pbx.command(*words), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for(lambda: _listens(ground), START_SECONDS, lambda: (folder / "log").read_text(errors="replace"))
        yield
    finally:
        process.terminate()  # the main process ends its children
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(ground: Ground) -> bool:
    """Is the group's port bound on the PBX machine?"""
    sockets = subprocess.run(
        ground.pbx.command("cat", "/proc/net/udp"), capture_output=True, text=True, check=True, timeout=START_SECONDS
    )
    return f":{PORT:04X} " in sockets.stdout
