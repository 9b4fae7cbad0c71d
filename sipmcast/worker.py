"""Where both sides meet: agent ↔ inventory, outbox ↔ agent (sending.py).

Two loops, each with its own helper process for the database. One commits what was heard and then lets it be answered;
nothing else may make it wait. The other looks after the outbox, reachability and the heartbeat; what was said is
written down beside it (scribe.py). If the store takes longer than 200 ms or is away, phones are answered all the same,
and what was heard is held in memory until it is back.
"""

import asyncio
import contextlib
import gc
import logging
import time
from collections import deque
from collections.abc import Coroutine, Iterable
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from devices.choices import WAY
from devices.inventory import Heard
from devices.mac import colons
from sipmcast import desk, pulse, watched
from sipmcast.desk import STORE_AWAY
from sipmcast.events import (
    Event,
    ForeignSighted,
    NotifyAnswered,
    NotifyTimedOut,
    PhoneSighted,
    PingEnded,
    TransactionKey,
)
from sipmcast.held import Held, Waiting
from sipmcast.helpers import Helper
from sipmcast.listener import Listener
from sipmcast.pulse import Pulse
from sipmcast.roll_call import RollCall
from sipmcast.scribe import Scribe
from sipmcast.sending import Sending
from sipmcast.status import heartbeat, stopped
from sipmcast.strangers import Strangers

log = logging.getLogger(__name__)

ANSWER_ANYWAY_SECONDS = 0.2
POLL_SECONDS = 0.25
# Between two looks at the outbox sightings have the database to themselves. A turn costs the same for one phone as for
# many: shorter pauses would tell 200 phones hardly sooner, and cost those that come one by one twice the CPU time.
LOOK_PAUSE_SECONDS = 0.05
STORE_AWAY_SECONDS = 1.0
AFTER_FAILURE_SECONDS = 1.0
OWE_AT_ONCE = 250
UPKEEP_SECONDS = 0.5
THOROUGH_SECONDS = 10.0  # between two looks through all that waits
TIDY_SECONDS = 300.0
PROBED_AT_MOST = 10_000
GOODBYE_SECONDS = 3.0  # whoever stops us waits for five

Stored = tuple[list[Waiting], list[Heard]]  # a batch, and what came of each phone in it


class Worker:
    """Carries sightings into the inventory and owed NOTIFYs out to the agent."""

    def __init__(self, site: str, claimed_by: str, store: Helper, outbox: Helper) -> None:
        self.listener: Listener
        self.claimed_by = claimed_by
        self.site = site
        self._store_helper, self._outbox_helper = store, outbox
        self.roll_call = RollCall(settings.GSPNP_OPTIONS_SECONDS, site)
        self._held = Held()
        self._unanswered: deque[tuple[float, TransactionKey]] = deque()
        self._started: dict[int, datetime] = {}
        self._sending = Sending()
        self._probed: dict[int, int] = {}
        self._sighted = asyncio.Event()
        self._wake = asyncio.Event()
        self.pulse = Pulse(self._held)
        self._upkeep_due = self._thorough_due = 0.0
        self._tidy_due = time.monotonic() + TIDY_SECONDS
        self._strangers = Strangers()

    def loops(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """All that goes on until it is cancelled, each as a task of its own; if one ends, so does all."""
        return self.hear(), self.look_after(), self.write_down(), self.roll_call.ask(self.listener)

    # --- from the agent, on the event loop --------------------------------------------------------------------------

    def deliver(self, event: Event) -> None:
        """Take an event of the agent; called on the event loop."""
        if isinstance(event, PhoneSighted):
            self.pulse.heard(event.sighting, "SUBSCRIBE from {0}:{1}")
            self._held.add(event.sighting, [event.key])
            self._answer_in_time(event.key)
            self._sighted.set()
        elif isinstance(event, ForeignSighted):
            self.pulse.heard(event.sighting, "{2} at {0} is not ours")
            self._held.add(event.sighting, [])
            self._sighted.set()
        elif isinstance(event, NotifyAnswered | NotifyTimedOut):
            self._sending.ended(event)
            self._wake.set()
        elif isinstance(event, PingEnded):
            self.roll_call.ended(event)

    def _answer_in_time(self, key: TransactionKey) -> None:
        """Whatever the store does, this one is answered after 200 ms. One timer serves all."""
        loop = asyncio.get_running_loop()
        if not self._unanswered:
            loop.call_later(ANSWER_ANYWAY_SECONDS, self._answer_overdue)
        self._unanswered.append((loop.time() + ANSWER_ANYWAY_SECONDS, key))

    def _answer_overdue(self) -> None:
        loop = asyncio.get_running_loop()
        overdue = []
        while self._unanswered and self._unanswered[0][0] <= loop.time():
            overdue.append(self._unanswered.popleft()[1])
        if self._unanswered:
            loop.call_at(self._unanswered[0][0], self._answer_overdue)
        answered = self.listener.agent.counters["answered"]
        self._answer(overdue)
        self.listener.agent.counters["answered_unstored"] += self.listener.agent.counters["answered"] - answered
        if self.pulse.is_slow():
            words = f"nothing was stored for {pulse.SLOW_STORE_SECONDS:.0f} s"
            self._gone(TimeoutError(words), self.pulse.waiting_since)

    def _answer(self, keys: Iterable[TransactionKey]) -> None:
        now = time.monotonic()
        for key in keys:
            self.listener.agent.answer(key, now)
        self.listener.pump()

    # --- what was heard ---------------------------------------------------------------------------------------------

    async def hear(self) -> None:
        """Store what is heard and answer it, until cancelled."""
        while True:
            await self._sighted.wait()
            self._sighted.clear()
            stored: Stored = ([], [])
            while self._held:
                taken = self._held.take(desk.STORE_AT_ONCE)
                if stored[0]:  # in this order: while the helper has one batch, the one before is answered
                    heard, _ = await asyncio.gather(self._store_some(taken), self._finish(stored))
                else:
                    heard = await self._store_some(taken)
                stored = ([], []) if heard is None else (taken, heard)
                if heard is None:
                    await asyncio.sleep(STORE_AWAY_SECONDS)
            await self._finish(stored)

    async def _store_some(self, taken: list[Waiting]) -> list[Heard] | None:
        """Store one batch; None if the store is away, and must be left alone for a while. All are answered then."""
        begun = time.monotonic()
        try:
            with self.pulse.storing(len(taken)):
                heard = await self._store(taken)
        except STORE_AWAY as error:
            self._answer([key for _, keys in taken for key in keys])
            self._answer(self._held.release())
            self._held.give_back(taken)
            self._gone(error, begun)
            return None
        self.pulse.back()
        return heard

    async def _finish(self, stored: Stored) -> None:
        """Answer a batch that is stored, and see to what follows from it."""
        taken, heard = stored
        if not taken:
            return
        phones = {one.mac: one.phone_id for one in heard}
        self._answer_stored(taken, {mac for mac, phone_id in phones.items() if phone_id is None})
        self.roll_call.heard(
            (phone_id, sighting) for sighting, _ in taken if (phone_id := phones.get(sighting.mac)) is not None
        )
        heard_at = {sighting.mac: sighting.heard_at for sighting, _ in taken}
        for one in heard:
            if one.also_at is not None:
                self.pulse.shares_with(one.also_at)
            if one.phone_id is not None and one.accepted and one.stage in WAY:
                self._started[one.phone_id] = datetime.fromtimestamp(heard_at[one.mac], UTC)
                self._wake.set()

    def _answer_stored(self, taken: list[Waiting], refused: set[str]) -> None:
        """A phone beyond the bound on new ones is not answered: it goes on with what else it knows."""
        agent = self.listener.agent
        for sighting, keys in taken:
            if sighting.mac in refused:
                agent.counters["new_over_limit"] += 1
                for key in keys:
                    agent.withhold(key)
        self._answer(key for sighting, keys in taken if sighting.mac not in refused for key in keys)

    async def _store(self, taken: list[Waiting]) -> list[Heard]:
        """Store a batch; one sighting that cannot be stored must not take the others with it."""
        try:
            with watched.STORE.time():
                stored = await self._store_helper.run(desk.store, [sighting for sighting, _ in taken], self.site)
            self._strangers.note(stored)
            return stored.heard
        except STORE_AWAY:
            raise
        except Exception:
            if len(taken) == 1:
                log.exception("%s: this sighting cannot be stored and is dropped", colons(taken[0][0].mac))
                return []
            return [heard for one in taken for heard in await self._store([one])]

    # --- the outbox and all else --------------------------------------------------------------------------------------

    async def look_after(self) -> None:
        """See to NOTIFYs, reachability and the heartbeat, until cancelled."""
        while True:
            more, begun = False, time.monotonic()
            try:
                more = await self._step()
            except STORE_AWAY as error:
                self._gone(error, begun)
                await asyncio.sleep(STORE_AWAY_SECONDS)
            except Exception:
                log.exception("a step failed; the next one is tried in %.0f s", AFTER_FAILURE_SECONDS)
                await asyncio.sleep(AFTER_FAILURE_SECONDS)
            if not more:
                await asyncio.sleep(LOOK_PAUSE_SECONDS)
                try:
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._wake.wait()
                except TimeoutError:
                    pass
            self._wake.clear()

    async def _step(self) -> bool:
        """One turn of everything; is there more to do at once?"""
        legs = {(leg.interface, leg.host): leg for leg in self.listener.legs}
        await self._sending.settle(self.listener, legs, self._in_outbox)
        while self._started:
            some = dict(self._started.popitem() for _ in range(min(OWE_AT_ONCE, len(self._started))))
            try:
                await self._in_outbox(desk.owe, some)
            except BaseException:
                self._started |= {one: at for one, at in some.items() if one not in self._started}
                raise
        plan = await self._in_outbox(
            desk.look, legs, self.claimed_by, self._probed, self.listener.agent.room, self.site
        )
        self._probed = plan.probed if len(plan.probed) < PROBED_AT_MOST else {}
        if plan.set_back_seconds:
            self.pulse.set_back(plan.set_back_seconds)
        self._sending.carry_out(self.listener, plan)
        await self._upkeep(legs)
        await self.roll_call.step(legs, self._in_outbox)
        await self._strangers.tell(self.listener, self._in_outbox)
        await self._beat()
        self.pulse.back()
        return plan.more or bool(self._started or self._sending.is_behind)

    async def write_down(self) -> None:
        """See to what was said, until cancelled. Whoever waits for the store, and so for an answer, comes first."""
        scribe = Scribe(self.listener.agent.journal, self._in_outbox, self._is_pressed)
        await scribe.write(self._gone, STORE_AWAY_SECONDS)

    def _is_pressed(self) -> bool:
        return bool(self._held) or self.pulse.storing_since is not None

    async def _upkeep(self, legs: dict) -> None:
        """What is rare: it is looked for now and then, and not at every turn of a boot storm."""
        now = time.monotonic()
        if now < self._upkeep_due:
            return
        thorough = now >= self._thorough_due
        sending = self._sending.ids()
        plan = await self._in_outbox(desk.upkeep, legs, self.claimed_by, sending, self.site, thorough)
        self._sending.carry_out(self.listener, plan)
        self._upkeep_due = now + UPKEEP_SECONDS
        if thorough:
            self._thorough_due = now + THOROUGH_SECONDS

    async def _beat(self) -> None:
        now = time.monotonic()
        if self.pulse.is_due(now):
            said = self.pulse.said(self.listener, now)
            await self._in_outbox(heartbeat, self.claimed_by, self.site, said)
            self.pulse.beaten_at = time.monotonic()
            self._tidy_up(now)

    def _tidy_up(self, now: float) -> None:
        """Look for garbage now and then, when nobody waits for an answer."""
        if now >= self._tidy_due and not (self._held or self._unanswered):
            self._tidy_due = now + TIDY_SECONDS
            gc.collect()

    def _gone(self, error: Exception, since: float) -> None:
        self.pulse.gone(self.listener, error, since)

    async def _in_outbox(self, call, *arguments):
        with watched.OUTBOX.time():
            return await self._outbox_helper.run(call, *arguments)

    async def ready(self) -> None:
        """Wait until both helpers have started: the first phone shall not wait for them."""
        await asyncio.gather(self._store_helper.run(desk.warm_up), self._outbox_helper.run(desk.warm_up))

    async def say_goodbye(self) -> None:
        """Say that this listener stops, if the database hears it in time."""
        with contextlib.suppress(DatabaseError, OSError):
            await asyncio.wait_for(self._in_outbox(stopped, self.claimed_by), GOODBYE_SECONDS)

    def close(self) -> None:
        self._store_helper.close()
        self._outbox_helper.close()
