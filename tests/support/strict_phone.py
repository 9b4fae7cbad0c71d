"""A GXP16xx as a stranger would write it from the vendor's guide and the RFCs: it forgives nothing.

Standard library only; it shares no code with the server nor with `sipmcast/simulator`. It is driven step by step by
the test's own thread: what arrives meanwhile waits in its socket. Whatever the server does wrong raises `Wrong`.
"""

import secrets
import select
import socket
import time
from dataclasses import dataclass, field

from tests.support.netns import inside
from tests.support.strict_digest import Lock, must_go_on
from tests.support.strict_files import Downloads
from tests.support.strict_sip import (
    SO_TIMESTAMPNS,
    Message,
    Notify,
    Subscribe,
    Wrong,
    arrived_at,
    check_200,
    check_options,
    must,
    read_notify,
    reply,
)

__all__ = ["GROUP", "TRANSACTION_SECONDS", "Notify", "StrictPhone", "Wrong"]

GROUP = "224.0.1.75"
SUBSCRIBE_WAITS = (0.5, 1.0, 2.0, 4.0, 4.0)  # after each of the five sends: RFC 3261 17.1.2.2
NOTIFY_SECONDS = 30.0  # bounds of what hangs, not measures
TRANSACTION_SECONDS = 32.0  # RFC 3261 17.1.2.2: 64 * T1


@dataclass
class StrictPhone(Downloads):
    """One phone on its host; its hardware address is the host's affair."""

    folder: bool = False  # it expects to be told a folder
    options_status: int = 200  # what it answers to OPTIONS; 0: nothing

    boots: int = 0
    sent_at: float = 0.0  # when the last SUBSCRIBE left, on the clock of time.perf_counter
    answered_at: float = 0.0  # when the kernel received its 200
    server: str = ""  # who answered: the address of our own LAN, or something is wrong
    notifies: list[Notify] = field(default_factory=list)  # every copy that arrived, in order
    options: list[Message] = field(default_factory=list)  # every OPTIONS likewise
    _socket: socket.socket | None = None
    _subscribe: Subscribe | None = None
    _answers: dict[tuple[str, str], bytes] = field(default_factory=dict)

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

    @property
    def is_on(self) -> bool:
        return self._socket is not None

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
                check_200(message, self._said, (self.address, self.port))
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

    @property
    def _said(self) -> Subscribe:
        assert self._subscribe is not None, "no SUBSCRIBE was sent"
        return self._subscribe

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
                self.opened.sendto(answered, message.source)
            return notify
        return None

    def listen(self, seconds: float) -> list[Notify]:
        """Every NOTIFY that arrives in this time."""
        deadline = time.perf_counter() + seconds
        came = []
        while (notify := self.next_notify(deadline - time.perf_counter())) is not None:
            came.append(notify)
        return came

    def next_transaction(self, seconds: float = NOTIFY_SECONDS) -> Notify:
        """The next NOTIFY that is no copy of an earlier one."""
        known = set(self.transactions())
        deadline = time.perf_counter() + seconds
        while (notify := self.next_notify(deadline - time.perf_counter())) is not None:
            if notify.transaction not in known:
                return notify
        raise Wrong(f"{self.mac}: no further NOTIFY within {seconds:g} s")

    def answer(self, notify: Notify, status: int = 200, reason: str = "OK", *more: str) -> None:
        """Reply to where the NOTIFY came from (RFC 3261 18.2.2, RFC 3581 4)."""
        said = reply(notify.message, status, reason, f"Grandstream {self.model} {self.firmware}", *more)
        self._answers[notify.transaction] = said
        self.opened.sendto(said, notify.message.source)

    def challenge(self, notify: Notify, lock: Lock, stale: bool = False) -> None:
        """Ask for a password instead of doing it."""
        self.answer(notify, lock.status, "Unauthorized", *lock.challenge(stale))

    def await_login(self, notify: Notify, lock: Lock, stale: bool = False) -> tuple[Notify, bool]:
        """Challenge it and get the next try, which is strictly looked at: (that try, whether it knows the password)."""
        self.challenge(notify, lock, stale)
        second = self.next_transaction()
        must_go_on(notify, second)
        return second, lock.opened_by(second)

    def transactions(self) -> list[tuple[str, str]]:
        """The different NOTIFY transactions that this phone has ever seen, in order."""
        return list(dict.fromkeys(notify.transaction for notify in self.notifies))

    def logins(self) -> list[Notify]:
        """The first copies of those that answered a challenge."""
        first = {notify.transaction: notify for notify in reversed(self.notifies)}
        return [first[one] for one in self.transactions() if first[one].has_login]

    def _take_request(self, message: Message) -> Notify:
        name = "" if self.folder else f"cfg{self.mac}"
        notify = read_notify(message, self.address, self.port, name)
        for earlier in self.notifies:
            if earlier.transaction == notify.transaction:
                must(earlier.message.raw == message.raw, "a resent NOTIFY has other bytes than the first")
        call_id = message.one("call-id")
        must(self._subscribe is None or call_id != self._subscribe.call_id, "Call-ID is the SUBSCRIBE's")
        self.notifies.append(notify)
        return notify

    def _take_options(self, message: Message) -> None:
        check_options(message, self.address, self.port)
        self.options.append(message)
        if self.options_status:
            said = reply(message, self.options_status, "Whatever", f"Grandstream {self.model} {self.firmware}")
            self.opened.sendto(said, message.source)

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
        """The next datagram but OPTIONS, which may come at any time and are answered; None when the time is over."""
        deadline = time.perf_counter() + seconds
        while (message := self._read_datagram(deadline - time.perf_counter())) is not None:
            if not message.start.startswith("OPTIONS "):
                return message
            self._take_options(message)
        return None

    def _read_datagram(self, seconds: float) -> Message | None:
        """The next datagram, or None when the time is over; what already lies there is read even then."""
        ready, _, _ = select.select([self.opened], [], [], max(0.0, seconds))
        if not ready:
            return None
        try:
            raw, ancillary, _, source = self.opened.recvmsg(65_535, 64)
        except ConnectionRefusedError:  # an ICMP answer: nobody was there
            return self._read_datagram(seconds)
        return Message.read(raw, source, arrived_at(ancillary))
