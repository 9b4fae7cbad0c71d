"""The only file that knows both sides: agent ↔ inventory, outbox ↔ agent.

Every database call runs in one writer thread. What is heard is committed first and answered then; if the store takes
longer than 200 ms or is away, phones are answered all the same, and what was heard is held in memory until it is back.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from django.db import close_old_connections

from devices.inventory import WRITER_PAUSE_SECONDS
from devices.mac import colons
from devices.sighting import Sighting
from sipmcast import desk
from sipmcast.desk import STORE_AWAY
from sipmcast.events import (
    Event,
    ForeignSighted,
    NotifyAnswered,
    NotifyTimedOut,
    PhoneSighted,
    TransactionKey,
)
from sipmcast.listener import Listener
from sipmcast.models import HEARTBEAT_SECONDS

log = logging.getLogger(__name__)

ANSWER_ANYWAY_SECONDS = 0.2
POLL_SECONDS = 0.25
STORE_AWAY_SECONDS = 1.0
AFTER_FAILURE_SECONDS = 1.0
HELD_SIGHTINGS = 10_000


@dataclass
class Held:
    """What was heard and is not stored yet; bounded, and merged by MAC and address when the store is away."""

    waiting: dict[tuple[str, str], tuple[Sighting, list[TransactionKey]]] = field(default_factory=dict)
    lost: int = 0

    def add(self, sighting: Sighting, keys: list[TransactionKey]) -> None:
        """Hold one more; of the same phone at the same address only the newest. The oldest give way to the bound."""
        place = (sighting.mac, sighting.source_host)
        _, before = self.waiting.pop(place, (sighting, []))
        self.waiting[place] = (sighting, [*before, *keys])
        if len(self.waiting) > HELD_SIGHTINGS:
            del self.waiting[next(iter(self.waiting))]
            self.lost += 1

    def take(self, limit: int) -> list[tuple[Sighting, list[TransactionKey]]]:
        """The oldest ones, with the transactions that wait for them."""
        places = list(itertools.islice(self.waiting, limit))
        return [self.waiting.pop(place) for place in places]


class Worker:
    """Carries sightings into the inventory and owed NOTIFYs out to the agent."""

    def __init__(self, site: str, claimed_by: str) -> None:
        self.listener: Listener
        self.claimed_by = claimed_by
        self.site = site
        self._held = Held()
        self._settlements: list[NotifyAnswered | NotifyTimedOut] = []
        self._sending: set[int] = set()
        self._probed: dict[int, int] = {}
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._store_away = False
        self._heartbeat_due = 0.0

    def deliver(self, event: Event) -> None:
        """Take an event of the agent; called on the event loop."""
        if isinstance(event, PhoneSighted):
            log.info("%s: SUBSCRIBE from %s:%d", colons(event.sighting.mac), *_source(event.sighting))
            self._held.add(event.sighting, [event.key])
            asyncio.get_running_loop().call_later(ANSWER_ANYWAY_SECONDS, self._answer, [event.key])
        elif isinstance(event, ForeignSighted):
            log.info("%s: %s at %s is not ours", colons(event.sighting.mac), event.sighting.vendor,
                     event.sighting.source_host)  # fmt: skip
            self._held.add(event.sighting, [])
        elif isinstance(event, NotifyAnswered | NotifyTimedOut):
            self._settlements.append(event)
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                await self._step()
            except Exception:
                log.exception("a step failed; the next one is tried in %.0f s", AFTER_FAILURE_SECONDS)
                await asyncio.sleep(AFTER_FAILURE_SECONDS)
            await asyncio.sleep(WRITER_PAUSE_SECONDS)
            try:
                async with asyncio.timeout(STORE_AWAY_SECONDS if self._store_away else POLL_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass
            if not self._store_away:
                self._wake.clear()
            else:
                await asyncio.sleep(STORE_AWAY_SECONDS)

    async def _step(self) -> None:
        await self._store_sightings()
        settlements, self._settlements = self._settlements, []
        try:
            await self._in_thread(desk.settle, settlements)
        except BaseException as error:
            self._settlements = [*settlements, *self._settlements]
            if not isinstance(error, STORE_AWAY):
                raise
            self._away(error)
            return
        self._sending -= {event.token for event in settlements}
        try:
            legs = {(leg.interface, leg.host): leg for leg in self.listener.legs}
            plan = await self._in_thread(desk.look, legs, self.claimed_by, set(self._sending), self._probed)
            self._carry_out(plan)
            await self._beat()
        except STORE_AWAY as error:
            self._away(error)
            return
        self._back()

    async def _store_sightings(self) -> None:
        while self._held.waiting:
            taken = self._held.take(desk.STORE_AT_ONCE)
            keys = [key for _, keys in taken for key in keys]
            try:
                await self._store([sighting for sighting, _ in taken])
            except STORE_AWAY as error:
                newer, self._held = self._held, Held(lost=self._held.lost)
                for sighting, _ in [*taken, *newer.waiting.values()]:
                    self._held.add(sighting, [])
                self._answer([*keys, *(key for _, waiting in newer.waiting.values() for key in waiting)])
                self._away(error)
                return
            self._answer(keys)
            await asyncio.sleep(WRITER_PAUSE_SECONDS)

    async def _store(self, sightings: list[Sighting]) -> None:
        """Store a batch; one sighting that cannot be stored must not take the others with it."""
        try:
            await self._in_thread(desk.store, sightings)
        except STORE_AWAY:
            raise
        except Exception:
            if len(sightings) == 1:
                log.exception("%s: this sighting cannot be stored and is dropped", colons(sightings[0].mac))
                return
            for sighting in sightings:
                await self._store([sighting])

    def _answer(self, keys: list[TransactionKey]) -> None:
        for key in keys:
            self.listener.agent.answer(key, time.monotonic())
        self.listener.pump()

    def _carry_out(self, plan: desk.Plan) -> None:
        agent, now = self.listener.agent, time.monotonic()
        for send in plan.sends:
            self._sending.add(send.notify_id)
            log.info("NOTIFY %d to %s:%d from %s:%d", send.notify_id, *send.target, send.leg.host, send.leg.port)
            try:
                agent.notify(send.notify_id, send.datagram, send.target, send.leg, now, elapsed=send.elapsed_seconds)
            except ValueError as error:
                log.error("NOTIFY %d cannot be sent: %s", send.notify_id, error)
                self._settlements.append(NotifyTimedOut(send.notify_id))
        for notify_id in plan.cancelled:
            self._sending.discard(notify_id)
            agent.cancel(notify_id)
        for leg, host in plan.probes:
            self.listener.probe(leg, host)
        self.listener.pump()

    async def _beat(self) -> None:
        now = time.monotonic()
        if now < self._heartbeat_due:
            return
        self._heartbeat_due = now + HEARTBEAT_SECONDS
        interfaces = [f"{leg.interface} ({leg.host})" for leg in self.listener.legs]
        trouble = " ".join(self.listener.trouble.values())
        counters = dict(self.listener.agent.counters)
        await self._in_thread(desk.heartbeat, self.claimed_by, self.site, interfaces, trouble, counters)

    def _away(self, error: Exception) -> None:
        if not self._store_away:
            log.error("the database is away (%s): phones are answered, what they say is held", error)
        self._store_away = True

    def _back(self) -> None:
        if self._store_away:
            log.info("the database is back; %d sightings were lost meanwhile", self._held.lost)
            self._held.lost = 0
        self._store_away = False

    async def _in_thread(self, call: Callable, *arguments):
        return await asyncio.get_running_loop().run_in_executor(self._thread, _with_connection, call, arguments)

    def close(self) -> None:
        self._thread.shutdown(wait=True)


def _with_connection(call: Callable, arguments: tuple):
    """Run in the writer thread; a connection that broke is not used again."""
    close_old_connections()
    return call(*arguments)


def _source(sighting: Sighting) -> tuple[str, int]:
    return sighting.source_host, sighting.source_port
