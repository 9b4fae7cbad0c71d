"""A small server for the phone simulator: real datagrams on loopback, real HTTP, no mocks.

It shares no code with the simulator or with ours; it knows just enough SIP to be right, and wrong.
"""

import asyncio
import dataclasses
import re
import socket
import struct
from collections.abc import Awaitable, Callable

from sipmcast.simulator import Phone, PhoneSetup, Result, Timings
from sipmcast.simulator.faults import parse_faults

GROUP = "224.0.1.75"
MAC = "000B82273B89"
LOW = MAC.lower()
FAST = Timings(
    t1=0.15, t2=0.3, pnp_wait=0.2, wait_assign=0.5, reboot=0.02, quiet=0.12,
    http_timeout=3.0, http_attempts=2, retry_wait=0.02, close_wait=0.3,
)  # fmt: skip
FIRST, STEADY = "/p/firstSecret1234567890", "/p/steadySecret123456789"


def field(message: str, name: str) -> str:
    """One header's value, or an empty text."""
    found = re.search(rf"^{name}:[ ]*(.*?)\r$", message, re.MULTILINE)
    return found[1] if found else ""


def document(host: str, folder: str = STEADY, mac: str | None = LOW, **values: str) -> bytes:
    """A plain configuration file whose P237 leads back to `folder`."""
    settings = {"P271": "1", "P35": "1001", "P237": host + folder, "P212": "1", "P145": "0", **values}
    items = "".join(f"<{name}>{value}</{name}>" for name, value in settings.items())
    owner = f"<mac>{mac}</mac>" if mac else ""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<gs_provision version="1">{owner}<config version="1">'
    return (text + items + "</config></gs_provision>").encode()


class Pbx:
    """Hears SUBSCRIBEs on the group, answers, notifies once, serves files; each habit can be a bad one."""

    def __init__(self) -> None:
        self.statuses: list[int] = []  # answers before the first 200; 0 is silence
        self.alter_answer: Callable[[str], str] = lambda text: text
        self.alter_notify: Callable[[str], str] = lambda text: text
        self.notified_boots = {1}  # counted by Call-ID
        self.notify_after = 0.0
        self.resends = 0  # of a NOTIFY, until it is answered
        self.url = ""
        self.files: dict[str, bytes] = {}
        self.raw: dict[str, bytes] = {}  # whole HTTP answers, head and all
        self.on_get: Callable[[str], None] = lambda path: None
        self.on_head: Callable[[str, str], None] = lambda head, path: None  # before it is answered
        self.subscribes: list[str] = []
        self.heard_at: list[float] = []
        self.boots: list[str] = []
        self.answers: list[str] = []  # to NOTIFYs
        self.gets: list[str] = []
        self.agents: set[str] = set()
        self.contact = ("", 0)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Pbx":
        loop = asyncio.get_running_loop()
        self.group = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.group.bind((GROUP, 0))
        member = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton("127.0.0.1"))
        self.group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        self.group.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        self.sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sip.bind(("127.0.0.1", 0))
        self.sip.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        for sock, heard in ((self.group, self._subscribed), (self.sip, self._answered)):
            sock.setblocking(False)
            loop.add_reader(sock, self._drain, sock, heard)
        self.http = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.group.getsockname()[1]
        self.host = f"127.0.0.1:{self.http.sockets[0].getsockname()[1]}"
        self.offer(document(self.host))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for sock in (self.group, self.sip):
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        self.http.close()

    def offer(self, body: bytes, first: str = f"{FIRST}/cfg{LOW}", steady: str = f"{STEADY}/cfg{LOW}.xml") -> None:
        """Serve one file by a first path, which goes into the NOTIFY, and by a steady one."""
        self.url = f"http://{self.host}{first}"
        self.files = {first: body, steady: body}

    def _drain(self, sock: socket.socket, heard: Callable[[str, tuple[str, int]], None]) -> None:
        while True:
            try:
                data, source = sock.recvfrom(65535)
            except BlockingIOError:
                return
            heard(data.decode(), source)

    def _subscribed(self, text: str, source: tuple[str, int]) -> None:
        self.subscribes.append(text)
        self.heard_at.append(asyncio.get_running_loop().time())
        call_id = field(text, "Call-ID")
        new = call_id not in self.boots
        if new:
            self.boots.append(call_id)
        status = self.statuses.pop(0) if self.statuses else 200
        if status:
            answer = self.alter_answer(self._answer(text, source, status))
            self.sip.sendto(answer.encode(), source)
        if new and len(self.boots) in self.notified_boots:
            self.contact = source
            self.start(self._notify(source, len(self.boots)))

    def _answer(self, text: str, source: tuple[str, int], status: int) -> str:
        via = field(text, "Via").replace(";rport", f";rport={source[1]};received={source[0]}")
        tag = field(text, "Call-ID").partition("-")[0]
        return (
            f"SIP/2.0 {status} Whatever\r\nVia: {via}\r\nFrom: {field(text, 'From')}\r\n"
            f"To: {field(text, 'To')};tag={tag}\r\nCall-ID: {field(text, 'Call-ID')}\r\n"
            f"CSeq: {field(text, 'CSeq')}\r\nExpires: 0\r\nContent-Length: 0\r\n\r\n"
        )

    def start(self, work: Awaitable[None]) -> None:
        """Do something beside, until the server ends."""
        self._tasks.add(asyncio.ensure_future(work))

    async def _notify(self, to: tuple[str, int], number: int) -> None:
        await asyncio.sleep(self.notify_after)
        before = len(self.answers)
        for _ in range(1 + self.resends):
            self.sip.sendto(self.alter_notify(self.notify(to, number)).encode(), to)
            await asyncio.sleep(0.05)
            if len(self.answers) > before:
                return

    def notify(self, to: tuple[str, int], number: int) -> str:
        """A correct NOTIFY; the same number gives the same bytes."""
        host, port = self.sip.getsockname()
        return (
            f"NOTIFY sip:{to[0]}:{to[1]} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bKn{number};rport\r\n"
            f"Max-Forwards: 70\r\nContact: <sip:{host}:{port}>\r\nTo: <sip:{to[0]}:{to[1]}>\r\n"
            f"From: <sip:{host}:{port}>;tag=e32c0d70\r\nCall-ID: n{number}-{to[1]}\r\nCSeq: 1 NOTIFY\r\n"
            "Content-Type: application/url\r\nEvent: ua-profile\r\n"
            f"Subscription-State: terminated;reason=timeout\r\n"
            f"Content-Length: {len(self.url)}\r\n\r\n{self.url}"
        )

    def _answered(self, text: str, source: tuple[str, int]) -> None:
        self.answers.append(text)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1]
        self.agents.add(field(head, "User-Agent"))
        self.gets.append(path)
        self.on_head(head, path)
        body = self.files.get(path)
        answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        if body is not None:
            answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s" % (
                len(body),
                body,
            )
        writer.write(self.raw.get(path, answer))
        self.on_get(path)
        writer.close()


def phone_setup(pbx: Pbx, faults: str = "", **changes: object) -> PhoneSetup:
    """A fast GXP1628 on loopback that talks to this server."""
    setup = PhoneSetup(mac=MAC, port=pbx.port, faults=parse_faults(faults), timings=FAST, timeout=15.0)
    return dataclasses.replace(setup, **changes)  # type: ignore[arg-type]


def meet(prepare: Callable[[Pbx], None] = lambda pbx: None, faults: str = "", **changes: object) -> tuple[Pbx, Result]:
    """One phone and one server, from the first boot to the phone's result."""

    async def scene() -> tuple[Pbx, Result]:
        async with Pbx() as pbx:
            prepare(pbx)
            return pbx, await Phone(phone_setup(pbx, faults, **changes)).live()

    return asyncio.run(scene())


def timings(**changes: float) -> Timings:
    """The fast timings with some of them changed."""
    return dataclasses.replace(FAST, **changes)  # type: ignore[arg-type]
