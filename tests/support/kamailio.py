"""Kamailio as the PBX of a test: two children that answer OPTIONS with 200 and say nothing to anything else."""

import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from gspnp.run import die_with_parent
from tests.support.netns import Host
from tests.support.parts import require
from tests.support.site import SOON_SECONDS, STOP_SECONDS, wait_for

LOOK_SECONDS = 0.1  # how often a plain PBX looks whether its time is over
SERVER = "kamailio of the suite"
CONFIGURATION = """#!KAMAILIO
debug=1
log_stderror=yes
fork=yes
children=2
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
server_header="Server: {server}"
listen=udp:{address}:{port}

loadmodule "sl.so"
loadmodule "pv.so"

request_route {{
    if ($rm == "OPTIONS") {{
        sl_send_reply("200", "OK");
    }}
    exit;
}}
"""


class Kamailio:
    """One Kamailio on a host, until it is closed; it dies with the suite, and its children with it."""

    def __init__(self, host: Host, folder: Path, address: str, port: int = 5060) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        file, self.log = folder / "kamailio.cfg", folder / "kamailio.log"
        file.write_text(CONFIGURATION.format(server=SERVER, address=address, port=port), encoding="utf-8")
        command = [require("kamailio"), "-DD", "-E", "-m", "16", "-M", "4", "-f", str(file), "-Y", str(folder),
                   "-w", str(folder)]  # fmt: skip
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                host.command(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
                # Its main process ends the children, but only if it is asked to end.
                preexec_fn=partial(die_with_parent, signal.SIGTERM),
            )  # fmt: skip
        try:
            wait_for(lambda: self._answers(host, port), SOON_SECONDS, lambda: f"Kamailio answers: {self.said()}")
        except AssertionError:
            self.close()
            raise

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)

    def _answers(self, host: Host, port: int) -> bool:
        """Does it speak? Asked from its own host, so that a test's phones are not needed for it."""
        assert self._process.poll() is None, f"Kamailio has ended: {self.said()}"
        with host.socket() as asking:
            asking.settimeout(0.2)
            asking.bind((host.address, 0))
            asking.sendto(options(asking.getsockname(), (host.address, port), "start"), (host.address, port))
            try:
                return SERVER.encode() in asking.recv(65_535)
            except (TimeoutError, ConnectionRefusedError):
                return False


def options(source: tuple[str, int], destination: tuple[str, int], number: object) -> bytes:
    """An OPTIONS as a phone or a trunk sends it; `number` makes it its own transaction."""
    (host, port), (there, their_port) = source, destination
    lines = (
        f"OPTIONS sip:{there}:{their_port} SIP/2.0",
        f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK-{number};rport",
        f"From: <sip:phone@{host}>;tag={number}",
        f"To: <sip:{there}>",
        f"Call-ID: {number}@{host}",
        "CSeq: 1 OPTIONS",
        "Max-Forwards: 70",
        "Content-Length: 0",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@contextmanager
def answering(pbx: socket.socket) -> Iterator[None]:
    """A plain socket in the place of a PBX: a thread answers each OPTIONS meanwhile."""
    ended = threading.Event()
    pbx.settimeout(LOOK_SECONDS)
    thread = threading.Thread(target=_answer, args=[pbx, ended])
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _answer(pbx: socket.socket, ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            datagram, source = pbx.recvfrom(65_535)
        except TimeoutError:
            continue
        if datagram.startswith(b"OPTIONS "):  # on 0.0.0.0 it hears the group too; that is its own affair
            echoed = datagram.split(b"\r\n", 1)[1]
            pbx.sendto(b"SIP/2.0 200 OK\r\nServer: " + SERVER.encode() + b"\r\n" + echoed, source)
