"""A GXP16xx as a stranger would write it from the vendor's guide and the RFCs: it forgives nothing.

Standard library only; it shares no code with the server nor with `sipmcast/simulator`. It is driven step by step by
the test's own thread: what arrives meanwhile waits in its socket. Whatever the server does wrong raises `Wrong`.
"""

import re
import secrets
import select
import socket
import struct
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.support.netns import Host, inside

GROUP = "224.0.1.75"
SUBSCRIBE_WAITS = (0.5, 1.0, 2.0, 4.0, 4.0)  # after each of the five sends: RFC 3261 17.1.2.2
NOTIFY_SECONDS = 30.0  # bounds of what hangs, not measures
HTTP_SECONDS = 30.0
SO_TIMESTAMPNS = 35  # asm-generic/socket.h
TRANSACTION_SECONDS = 32.0  # RFC 3261 17.1.2.2: 64 * T1

Endpoint = tuple[str, int]


class Wrong(AssertionError):
    """The server broke a rule of the guide or of an RFC."""


def arrived_at(ancillary: list[tuple[int, int, bytes]]) -> float:
    """When the kernel received a datagram, however late it is read; on the clock of time.perf_counter."""
    (stamp,) = (data for level, kind, data in ancillary if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS))
    seconds, nanoseconds = struct.unpack("@qq", stamp[:16])
    ago = max(0.0, time.time() - seconds - nanoseconds / 1e9)
    return time.perf_counter() - ago  # in this order a pause between the two clocks makes it later, never earlier


def must(condition: object, rule: str) -> None:
    if not condition:
        raise Wrong(rule)


@dataclass(frozen=True)
class Message:
    """A SIP message, read strictly: CRLF only, no folding, exact Content-Length."""

    start: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    raw: bytes
    source: Endpoint
    at: float

    @classmethod
    def read(cls, raw: bytes, source: Endpoint, at: float) -> "Message":
        head, empty_line, body = raw.partition(b"\r\n\r\n")
        must(empty_line, f"no empty line: {raw!r}")
        must(not re.search(rb"(?<!\r)\n|\r(?!\n)", head), "a line does not end in CRLF")
        start, *lines = head.decode("utf-8").split("\r\n")
        headers = []
        for line in lines:
            found = re.fullmatch(r"([A-Za-z][A-Za-z0-9-]*): ?(\S.*|)", line)
            must(found, f"no header line: {line!r}")
            headers.append((found[1].lower(), found[2]))
        message = cls(start, tuple(headers), body, raw, source, at)
        must(message.one("content-length") == str(len(body)), f"Content-Length is not {len(body)}: {raw!r}")
        return message

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def one(self, name: str) -> str:
        values = self.all(name)
        must(len(values) == 1, f"{len(values)} {name} headers in {self.start!r}")
        return values[0]


@dataclass(frozen=True)
class Notify:
    """A NOTIFY that obeys every rule we know. Two with the same `transaction` are one and the same."""

    message: Message
    url: str
    transaction: tuple[str, str]  # Call-ID, branch


@dataclass(frozen=True)
class HttpAnswer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Subscribe:
    """What the phone says at one boot; a resend has the same bytes."""

    raw: bytes
    via: str
    branch: str
    from_: str
    to: str
    call_id: str
    cseq: str


@dataclass
class StrictPhone:
    """One phone on its host. `mac` is what it says of itself; its hardware address is the host's affair."""

    host: Host
    mac: str
    model: str = "GXP1628"
    firmware: str = "1.0.2.7"
    port: int = 5060
    group_port: int = 5060
    loopback: bool = False

    boots: int = 0
    sent_at: float = 0.0  # when the last SUBSCRIBE left, on the clock of time.perf_counter
    answered_at: float = 0.0  # when the kernel received its 200
    server: str = ""  # who answered: the address of our own LAN, or something is wrong
    notifies: list[Notify] = field(default_factory=list)  # every copy that arrived, in order
    values: dict[str, str] = field(default_factory=dict)  # what is flashed: P-value -> text
    file: bytes = b""
    _socket: socket.socket | None = None
    _subscribe: Subscribe | None = None
    _answers: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return "127.0.0.1" if self.loopback else self.host.address

    # --- boot -----------------------------------------------------------------------------------------------------

    def power_on(self) -> None:
        """Open the SIP port; a phone that restarts has forgotten what was on its way to it."""
        self.power_off()
        with inside(self.host.namespace):
            opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            opened.bind((self.address, self.port))
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(self.address))
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        opened.setblocking(False)
        self.port = opened.getsockname()[1]
        self._socket = opened
        self._subscribe = None

    def power_off(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def boot(self) -> None:
        """Start up and be answered 200, as every boot begins."""
        self.power_on()
        self.boots += 1
        self.subscribe()

    def subscribe(self) -> None:
        """SUBSCRIBE up to five times with the same bytes, until the 200."""
        for wait in SUBSCRIBE_WAITS:
            self.send_subscribe()
            if self.await_200(wait):
                return
        raise Wrong(f"{self.mac}: no answer to five SUBSCRIBEs")

    def send_subscribe(self) -> float:
        """One send; the next ones repeat it. When it left."""
        if self._subscribe is None:
            self._subscribe = self._new_subscribe()
        self.sent_at = time.perf_counter()
        self.opened.sendto(self._subscribe.raw, (GROUP, self.group_port))
        return self.sent_at

    def echo_subscribe(self, port: int, seconds: float) -> float:
        """The same datagram to another port of the group, where somebody sends it back: how long that took."""
        assert self._subscribe is not None, "no SUBSCRIBE was sent"
        sent_at = time.perf_counter()
        self.opened.sendto(self._subscribe.raw, (GROUP, port))
        message = self._next_message(seconds)
        must(message is not None and message.raw == self._subscribe.raw, f"no echo from port {port}")
        return message.at - sent_at

    def await_200(self, seconds: float) -> bool:
        """Has the answer come in this time? A NOTIFY that overtakes it is kept."""
        deadline = time.perf_counter() + seconds
        while (message := self._next_message(deadline - time.perf_counter())) is not None:
            if message.start.startswith("SIP/2.0 "):
                self._check_200(message)
                self.answered_at = message.at
                self.server = message.source[0]
                return True
            self._take_request(message)
        return False

    def _new_subscribe(self) -> Subscribe:
        """The guide's SUBSCRIBE, with this phone's names in it."""
        aor = f"sip:MAC%3A{self.mac}@{GROUP}"
        branch, here = f"z9hG4bK{secrets.randbelow(10**9)}", f"{self.address}:{self.port}"
        said = Subscribe(
            raw=b"", via=f"SIP/2.0/UDP {here};branch={branch};rport", branch=branch,
            from_=f"<{aor}>;tag={secrets.randbelow(10**9)}", to=f"<{aor}>",
            call_id=f"{secrets.randbelow(10**9)}-{self.port}-1@BHC.BI.DC.BJH", cseq="20000 SUBSCRIBE",
        )  # fmt: skip
        lines = (
            f"SUBSCRIBE {aor} SIP/2.0",
            f"Via: {said.via}",
            f"From: {said.from_}",
            f"To: {said.to}",
            f"Call-ID: {said.call_id}",
            f"CSeq: {said.cseq}",
            f"Contact: <sip:{here}>",
            "X-Grandstream-PBX: true",
            "Max-Forwards: 70",
            f"User-Agent: Grandstream {self.model} {self.firmware}",
            "Expires: 0",
            "Supported: replaces, path, timer",
            'Event: ua-profile;profile-type="device";vendor="Grandstream";'
            f'model="{self.model}";version="{self.firmware}"',
            "Accept: application/url",
            "Allow: INVITE, ACK, OPTIONS, CANCEL, BYE, SUBSCRIBE, NOTIFY, INFO, REFER, UPDATE, MESSAGE",
            "Content-Length: 0",
        )
        said.raw = ("\r\n".join(lines) + "\r\n\r\n").encode()
        return said

    def _check_200(self, answer: Message) -> None:
        """RFC 3261 8.2.6 and 18.2.1, RFC 3581 4."""
        said = self._subscribe
        assert said is not None
        must(re.fullmatch(r"SIP/2\.0 200 \S.*", answer.start), f"not a 200: {answer.start}")
        sent_by, *parameters = answer.one("via").split(";")
        must(sent_by == said.via.split(";")[0], f"Via sent-by was changed: {answer.one('via')}")
        must(f"branch={said.branch}" in parameters, f"Via branch was changed: {answer.one('via')}")
        must(f"received={self.address}" in parameters, f"Via lacks received: {answer.one('via')}")
        must(f"rport={self.port}" in parameters, f"Via lacks rport: {answer.one('via')}")
        must(answer.one("from") == said.from_, f"From was changed: {answer.one('from')}")
        to, _, tag = answer.one("to").partition(";tag=")
        must(to == said.to, f"To was changed: {answer.one('to')}")
        must(re.fullmatch(r"[A-Za-z0-9.!%*_+`'~-]+", tag), f"To has no tag: {answer.one('to')}")
        must(answer.one("call-id") == said.call_id, "Call-ID was changed")
        must(answer.one("cseq") == said.cseq, "CSeq was changed")
        must(answer.one("expires") == "0", f"Expires is {answer.one('expires')}")
        contact = re.fullmatch(r"<sip:([0-9.]+):(\d+)>", answer.one("contact"))
        must(contact and contact[1] == answer.source[0], f"Contact is elsewhere: {answer.one('contact')}")

    # --- NOTIFY ---------------------------------------------------------------------------------------------------

    def await_notify(self, seconds: float = NOTIFY_SECONDS) -> Notify:
        """The next NOTIFY that arrives, a first one or a copy; it is not answered yet."""
        notify = self.next_notify(seconds)
        if notify is None:
            raise Wrong(f"{self.mac}: no NOTIFY within {seconds:g} s")
        return notify

    def next_notify(self, seconds: float) -> Notify | None:
        """As above, or None. A copy of one that was answered gets the same answer again (RFC 3261 17.2.2)."""
        deadline = time.perf_counter() + seconds
        while (message := self._next_message(deadline - time.perf_counter())) is not None:
            if message.start.startswith("SIP/2.0 "):
                continue  # a late copy of the 200
            notify = self._take_request(message)
            answered = self._answers.get(notify.transaction)
            if answered is not None:
                self.answer(notify, *answered)
            return notify
        return None

    def listen(self, seconds: float) -> list[Notify]:
        """Every NOTIFY that arrives in this time."""
        deadline = time.perf_counter() + seconds
        came = []
        while (notify := self.next_notify(deadline - time.perf_counter())) is not None:
            came.append(notify)
        return came

    def answer(self, notify: Notify, status: int = 200, reason: str = "OK") -> None:
        """Reply to where the NOTIFY came from (RFC 3261 18.2.2, RFC 3581 4)."""
        self._answers[notify.transaction] = (status, reason)
        message = notify.message
        lines = (
            f"SIP/2.0 {status} {reason}",
            f"Via: {message.one('via')};received={message.source[0]}".replace(";rport", f";rport={message.source[1]}"),
            f"From: {message.one('from')}",
            f"To: {message.one('to')};tag={secrets.randbelow(10**9)}",
            f"Call-ID: {message.one('call-id')}",
            f"CSeq: {message.one('cseq')}",
            f"User-Agent: Grandstream {self.model} {self.firmware}",
            "Content-Length: 0",
        )
        self.opened.sendto(("\r\n".join(lines) + "\r\n\r\n").encode(), message.source)

    def transactions(self) -> list[tuple[str, str]]:
        """The different NOTIFY transactions that this phone has ever seen, in order."""
        return list(dict.fromkeys(notify.transaction for notify in self.notifies))

    def _take_request(self, message: Message) -> Notify:
        notify = self._check_notify(message)
        for earlier in self.notifies:
            if earlier.transaction == notify.transaction:
                must(earlier.message.raw == message.raw, "a resent NOTIFY has other bytes than the first")
        self.notifies.append(notify)
        return notify

    def _check_notify(self, notify: Message) -> Notify:
        """The guide, step 3; RFC 3261 8.1.1, RFC 6665 4.2."""
        must(notify.start == f"NOTIFY sip:{self.address}:{self.port} SIP/2.0", f"not for us: {notify.start}")
        via = re.fullmatch(r"SIP/2\.0/UDP ([0-9.]+):(\d+);branch=(z9hG4bK[^;]+);rport", notify.one("via"))
        must(via, f"Via: {notify.one('via')}")
        must((via[1], int(via[2])) == notify.source, f"Via {via[0]} is not the sender {notify.source}")
        must(re.fullmatch(r"[1-9]\d{0,2}", notify.one("max-forwards")), "Max-Forwards")
        must(re.fullmatch(r"<sip:[^>]+>;tag=[^;]+", notify.one("from")), f"From: {notify.one('from')}")
        must(notify.one("to") == f"<sip:{self.address}:{self.port}>", f"To: {notify.one('to')}")
        must(notify.one("contact") == f"<sip:{via[1]}:{via[2]}>", f"Contact: {notify.one('contact')}")
        must(re.fullmatch(r"\d+ NOTIFY", notify.one("cseq")), f"CSeq: {notify.one('cseq')}")
        call_id = notify.one("call-id")
        must(re.fullmatch(r"\S+", call_id), f"Call-ID: {call_id}")
        must(self._subscribe is None or call_id != self._subscribe.call_id, "Call-ID is the SUBSCRIBE's")
        must(notify.one("event") == "ua-profile", f"Event: {notify.one('event')}")
        must(notify.one("subscription-state").startswith("terminated"), "Subscription-State")
        must(notify.one("content-type") == "application/url", f"Content-Type: {notify.one('content-type')}")
        url = notify.body.decode("ascii")
        place = re.fullmatch(rf"http://([0-9.]+):\d+/p/[A-Za-z0-9_-]{{22}}/cfg{self.mac}", url)
        must(place and place[1] == notify.source[0], f"URL: {url}")
        return Notify(notify, url, (call_id, via[3]))

    # --- files ----------------------------------------------------------------------------------------------------

    def get(self, url: str, **headers: str) -> HttpAnswer:
        """One download in a connection of its own, with an exact length."""
        raw = self.open_download(url, **headers)
        with raw:
            data = b""
            while piece := raw.recv(65_536):
                data += piece
        return self.read_http(data)

    def open_download(self, url: str, **headers: str) -> socket.socket:
        """A connection on which the GET is sent and nothing is read yet."""
        parts = urlsplit(url)
        with inside(self.host.namespace):
            asking = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        asking.settimeout(HTTP_SECONDS)
        asking.bind((self.address, 0))
        asking.connect((str(parts.hostname), parts.port or 80))
        agent = f"Grandstream Model HW {self.model} SW {self.firmware} DevId {self.mac.lower()}"
        lines = [f"GET {parts.path} HTTP/1.1", f"Host: {parts.netloc}", f"User-Agent: {agent}"]
        lines.append("Connection: Close")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        asking.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return asking

    @staticmethod
    def read_http(data: bytes) -> HttpAnswer:
        head, empty_line, body = data.partition(b"\r\n\r\n")
        must(empty_line, f"no HTTP answer: {data!r}")
        status, *lines = head.decode("latin-1").split("\r\n")
        must(re.fullmatch(r"HTTP/1\.[01] \d{3} .*", status), f"HTTP status line: {status}")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            must(name.lower() not in headers, f"two {name} headers")
            headers[name.lower()] = value.strip()
        must("transfer-encoding" not in headers, "chunks instead of a length")
        promised = headers.get("content-length")
        must(promised == str(len(body)), f"{len(body)} bytes came, {promised} were promised")
        return HttpAnswer(int(status.split()[1]), headers, body)

    def flash(self, answer: HttpAnswer) -> bool:
        """Take a file in; False if it is the one that is there already (the phone's checksum)."""
        must(answer.status == 200, f"download: {answer.status}")
        if answer.body == self.file:
            return False
        self.values = self._read_values(answer.body)
        self.file = answer.body
        return True

    def _read_values(self, document: bytes) -> dict[str, str]:
        """Shape: PG2011, PG2012 (formats.md a1 to a3)."""
        must(document.startswith(b"<?xml "), "no XML declaration")
        root = ElementTree.fromstring(document)
        must((root.tag, root.attrib) == ("gs_provision", {"version": "1"}), f"root {root.tag} {root.attrib}")
        must([child.tag for child in root] == ["mac", "config"], "children of the root")
        mac, config = root
        must(mac.text == self.mac.lower(), f"the file is for {mac.text}")
        must(config.attrib == {"version": "1"}, f"config {config.attrib}")
        values: dict[str, str] = {}
        for setting in config:
            must(re.fullmatch(r"P\d+", setting.tag), f"element {setting.tag}")
            must(setting.tag not in values, f"{setting.tag} stands twice")
            must(not len(setting) and not setting.attrib, f"{setting.tag} is not a plain text")
            values[setting.tag] = setting.text or ""
        return values

    def fetch_stored(self) -> HttpAnswer:
        """The second download: where the flashed file says, cfg<mac> first and cfg<mac>.xml then (PG2012)."""
        must(self.values.get("P212") == "1", "P212 is not HTTP")
        place = self.values.get("P237", "")
        must(re.fullmatch(r"[0-9.]+:\d+/p/[A-Za-z0-9_-]{22}", place), f"P237: {place}")
        for name in (f"cfg{self.mac.lower()}", f"cfg{self.mac.lower()}.xml"):
            answer = self.get(f"http://{place}/{name}")
            if answer.status == 200:
                return answer
            must(answer.status == 404, f"{name}: {answer.status}")
        raise Wrong("the stored path has no file")

    # --- the whole way --------------------------------------------------------------------------------------------

    def be_provisioned(self, notify: Notify | None = None) -> None:
        """From the NOTIFY to the second download, which must bring nothing new."""
        notify = notify or self.await_notify()
        self.answer(notify)
        must(self.flash(self.get(notify.url)), "the first download brought nothing new")
        self.come_back()

    def come_back(self, quiet_seconds: float = 0.7) -> None:
        """The boot after flashing: SUBSCRIBE, 200 and nothing more; then the file once more, and no other boot."""
        self.boot()
        unexpected = self.listen(quiet_seconds)
        must(not unexpected, "a NOTIFY at the second boot")
        must(not self.flash(self.fetch_stored()), "the second download differs from the first: a third boot")

    @property
    def opened(self) -> socket.socket:
        """The SIP socket of a phone that is on."""
        assert self._socket is not None, "the phone is off"
        return self._socket

    def next_datagram(self, seconds: float) -> bytes | None:
        """The next datagram as it came, unread."""
        message = self._next_message(seconds)
        return None if message is None else message.raw

    def _next_message(self, seconds: float) -> Message | None:
        """The next datagram, or None when the time is over; what already lies there is read even then."""
        ready, _, _ = select.select([self.opened], [], [], max(0.0, seconds))
        if not ready:
            return None
        try:
            raw, ancillary, _, source = self.opened.recvmsg(65_535, 64)
        except ConnectionRefusedError:  # an ICMP answer: nobody was there
            return self._next_message(seconds)
        return Message.read(raw, source, arrived_at(ancillary))
