"""The asyncio skin over the agent: sockets in, agent, sockets out, and one timer.

It keeps one pair of sockets per interface, follows interfaces as they come and go, and hands what the agent hears to
the worker. It knows no database.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from devices import networks
from devices.limits import Limits
from sipmcast import sockets
from sipmcast.agent import Agent
from sipmcast.events import Event, Ignored, Leg
from sipmcast.fair import FairQueue
from sipmcast.sip.grammar import MAX_DATAGRAM_BYTES
from sipmcast.sockets import CannotListen, Interface, LegSockets

log = logging.getLogger(__name__)

DATAGRAM_BYTES = MAX_DATAGRAM_BYTES + 128  # what is larger is refused anyway; a raw socket adds its headers
DRAIN_LIMIT = 10_000  # datagrams taken from one socket in a turn: what the kernel cannot keep it throws away
SERVE_LIMIT = 250  # datagrams looked at in a turn: a few milliseconds, in which nothing else happens
SERVE_LIMIT_PRESSED = 50  # under pressure, so that sockets are drained in time
WAITING_LIMIT = 8_192  # datagrams that wait to be looked at, of all sources together
OVER_LIMIT_SOURCES = 20  # that are told of at once
PRESSED_ABOVE = 1_000  # as many waiting mean that more comes than can be carried: each source gets its share only
LOOK_SECONDS = 5.0
LINES_PER_SECOND = 20


Heard = tuple[bytes, tuple[str, int], LegSockets, bool]  # datagram, source, where, and whether on the group


@dataclass(frozen=True)
class Options:
    """Where and how to listen; see design, settings."""

    interfaces: Sequence[str]
    group: str
    port: int
    sip_port: int
    receive: str
    allowed_networks: Sequence[str] = field(default_factory=tuple)
    per_second: float = 20_000.0
    source_per_second: float = 3_000.0


class Listener:
    """All legs of this process, and the one agent behind them."""

    def __init__(self, options: Options, agent: Agent, deliver: Callable[[Event], None]) -> None:
        self.options = options
        self.agent = agent
        self.trouble: dict[str, str] = {}
        self._deliver = deliver
        self._legs: dict[Interface, LegSockets] = {}
        self._by_leg: dict[Leg, LegSockets] = {}
        self._waiting: FairQueue[Heard] = FairQueue(WAITING_LIMIT)
        self._serving = False
        self.over_limit: dict[str, int] = {}
        """Whose datagrams were thrown away because there were too many, and how many since it was emptied."""
        self._limits = Limits(options.per_second, options.source_per_second, time.monotonic())
        self._dropped = 0  # on legs that are closed
        self._timer: asyncio.TimerHandle | None = None
        self._lines = (0.0, 0)

    @property
    def legs(self) -> list[Leg]:
        return list(self._by_leg)

    @property
    def warnings(self) -> list[str]:
        """What does not stop us but should be looked at, with the remedy."""
        return [words for opened in self._legs.values() for words in opened.warnings]

    def kernel_drops(self) -> int:
        """Datagrams that the kernel threw away because we did not read fast enough."""
        return self._dropped + sockets.kernel_drops(self._legs.values())

    def look(self) -> None:
        """Open what is new, close what is gone; a refusing interface is a warning that names the remedy."""
        wanted = sockets.find_interfaces(self.options.interfaces)
        for interface in [one for one in self._legs if one not in wanted]:
            log.warning("%s (%s) is gone: not listening there any more", interface.name, interface.host)
            self._close(interface)
        for opened in sockets.deaf(self._legs.values()):
            log.warning("%s has left the group: joining it again", opened.interface.name)
            self._close(opened.interface)
        trouble, opened_now = {}, []
        for interface in [one for one in wanted if one not in self._legs]:
            try:
                opened_now.append(self._open(interface))
            except CannotListen as error:
                trouble[interface.name] = str(error)
        for opened in opened_now:  # after the last of them: who waits for the first line finds all of them open
            self._tell_of(opened)
        trouble.update(sockets.missing(self.options.interfaces, wanted))
        for name, words in trouble.items():
            if self.trouble.get(name) != words:
                log.warning("cannot listen on %s", words)
        self.trouble = trouble
        self.agent.own_hosts = frozenset(leg.host for leg in self._by_leg)

    def close(self) -> None:
        for interface in list(self._legs):
            self._close(interface)
        if self._timer is not None:
            self._timer.cancel()

    async def follow(self) -> None:
        """Look for interfaces until cancelled: when the kernel says that one changed, and now and then anyway."""
        changed = asyncio.Event()
        news = sockets.open_address_news()
        loop = asyncio.get_running_loop()
        if news is not None:
            loop.add_reader(news, sockets.drain, news, changed.set)
        try:
            while True:
                try:
                    self.look()
                except OSError as error:
                    log.error("cannot look at this machine's interfaces (%s); trying again", error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await changed.wait()
                changed.clear()
        finally:
            if news is not None:
                loop.remove_reader(news)
                news.close()

    def _open(self, interface: Interface) -> LegSockets:
        options = self.options
        opened = sockets.open_leg(interface, options.group, options.port, options.sip_port, options.receive)
        self._legs[interface] = self._by_leg[opened.leg] = opened
        for words in opened.warnings:
            log.warning("%s", words)
        loop = asyncio.get_running_loop()
        loop.add_reader(opened.guard, sockets.turn_away, opened.guard)
        loop.add_reader(opened.group, self._read, opened, True)
        loop.add_reader(opened.unicast, self._read, opened, False)
        return opened

    def _tell_of(self, opened: LegSockets) -> None:
        options, interface = self.options, opened.interface
        log.info(
            "listening on %s (%s) for %s:%d%s, sending from port %d",
            interface.name, interface.host, options.group, options.port,
            " by raw socket" if opened.raw else "", opened.leg.port,
        )  # fmt: skip

    def _close(self, interface: Interface) -> None:
        opened = self._legs.pop(interface)
        del self._by_leg[opened.leg]
        loop = asyncio.get_running_loop()
        loop.remove_reader(opened.guard)
        loop.remove_reader(opened.group)
        loop.remove_reader(opened.unicast)
        self._dropped += opened.drops()
        opened.close()

    def _read(self, opened: LegSockets, group: bool) -> None:
        """Drain one socket; what came waits behind what its own source has sent before, and behind nobody else's."""
        heard = opened.group if group else opened.unicast
        counters, now = self.agent.counters, time.monotonic()
        for _ in range(DRAIN_LIMIT):
            try:
                datagram, source = heard.recvfrom(DATAGRAM_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                log.warning("%s: cannot read (%s)", opened.interface.name, error)
                break
            if not networks.allowed(source[0], self.options.allowed_networks):
                counters["not_allowed"] += 1
            elif not self._limits.admit(source[0], now, len(self._waiting) > PRESSED_ABOVE):
                counters["over_limit"] += 1
                self._count_over(source[0])
            elif not self._waiting.put(source[0], (datagram, source, opened, group)):
                counters["gave_way"] += 1
        if not self._serving:
            self._serve()

    def _count_over(self, host: str) -> None:
        """For an alarm; a few sources only, for they can be forged. "" is all together."""
        who = host if self._limits.is_over(host) else ""
        if who in self.over_limit or len(self.over_limit) < OVER_LIMIT_SOURCES:
            self.over_limit[who] = self.over_limit.get(who, 0) + 1

    def _serve(self) -> None:
        """Look at what waits, as much as fits into one turn, then let the agent's answers out."""
        limit = SERVE_LIMIT_PRESSED if len(self._waiting) > PRESSED_ABOVE else SERVE_LIMIT
        now, at = time.monotonic(), time.time()
        for _ in range(min(limit, len(self._waiting))):
            try:
                self._look_at(*self._waiting.take(), now, at)
            except Exception:  # a fault of ours: one datagram must not make the listener deaf to all others
                self.agent.counters["fault"] += 1
                if self._may_log():
                    log.exception("a datagram could not be worked on")
        self._serving = len(self._waiting) > 0
        if self._serving:
            asyncio.get_running_loop().call_soon(self._serve)
        self.pump()

    def _look_at(
        self, datagram: bytes, source: tuple[str, int], opened: LegSockets, group: bool, now: float, at: float
    ) -> None:
        if group and opened.raw:
            datagram, port = sockets.unwrap(datagram)
            source = (source[0], port)
            if not port:
                self.agent.counters["damaged"] += 1
                return
        self.agent.receive(datagram, source, opened.leg, now, at, group=group)

    def pump(self) -> None:
        """Send what the agent wants sent, deliver its events, set the timer; call it after every use of the agent."""
        for outgoing in self.agent.take_datagrams():
            opened = self._by_leg.get(outgoing.leg)
            if opened is None:
                continue  # its interface went away; a retransmission finds the new one
            try:
                opened.send(outgoing.datagram, outgoing.destination)
            except BlockingIOError:
                self.agent.counters["send_full"] += 1  # as if lost on the way: whoever waits for it asks again
            except OSError as error:
                self.agent.counters["send_failed"] += 1
                if self._may_log():
                    log.warning("cannot send to %s:%d: %s", *outgoing.destination, error)
        for event in self.agent.take_events():
            if isinstance(event, Ignored):
                self._log_ignored(event)
            else:
                self._deliver(event)
        self._arm()

    def _arm(self) -> None:
        """See to it that `_tick` runs when the agent has work; a timer that is early enough stays."""
        deadline = self.agent.next_deadline()
        if deadline is None:
            return
        loop = asyncio.get_running_loop()
        at = loop.time() + max(0.0, deadline - time.monotonic())
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = loop.call_at(at, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.agent.tick(time.monotonic())
        self.pump()

    def probe(self, leg: Leg, host: str) -> None:
        """Make the kernel ask who has this address: an empty datagram to the discard port says nothing to a phone."""
        opened = self._by_leg.get(leg)
        if opened is not None:
            try:
                opened.send(b"", (host, 9))
            except OSError as error:
                log.debug("cannot probe %s: %s", host, error)

    def _log_ignored(self, event: Ignored) -> None:
        if self._may_log():
            log.info("ignored %s:%d: %s %s", *event.source, event.reason, event.detail)

    def _may_log(self) -> bool:
        """One clear line for each stranger's packet, but a flood must not fill the disk: the counters keep the rest."""
        second, lines = self._lines
        now = time.monotonic()
        if now - second >= 1.0:
            second, lines = now, 0
        self._lines = (second, lines + 1)
        return lines < LINES_PER_SECOND
