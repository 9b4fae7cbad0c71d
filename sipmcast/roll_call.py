"""The roll call: which assigned phones are there, and which MACs the neighbour table shows at their addresses.

It keeps what was asked and what came back, and hands both to the database in batches. On the event loop; the database
side is reach.py and devices/inventory.py.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone

from devices import inventory
from devices.sighting import Sighting
from devices.trust import Verdict
from sipmcast import neighbours, reach
from sipmcast.events import Leg, LegKey, PingEnded
from sipmcast.listener import Listener
from sipmcast.reach import Reached
from sipmcast.rounds import Rounds
from sipmcast.transaction import NoRoom

log = logging.getLogger(__name__)

FOLLOW_SECONDS = 15.0  # how often the list of phones to ask is read anew
ASK_SECONDS = 0.02  # between two looks at who is to be asked: a few each time, for each costs the loop its turn
IDLE_SECONDS = 0.25  # the same while there is nobody to ask
RECORD_SECONDS = 1.0
LOSE_AT_ONCE = 250
ROOM_FOR_NOTIFIES = 4_000  # transactions that a roll call leaves free
# Our 200 makes the kernel ask who has the address; the answer needs a moment.
NEIGHBOUR_SECONDS = 1.5
NEIGHBOURS_AT_ONCE = 250  # in a turn
NEIGHBOURS_BITE = 50  # in one transaction: phones that wait for the store wait for it too
MAX_NEIGHBOURS = 20_000

InHelper = Callable[..., Awaitable[Any]]


class RollCall:
    """Asks each assigned phone of its `site` now and then; `interval_seconds` 0 asks nobody."""

    def __init__(self, interval_seconds: float, site: str | None = None) -> None:
        self._site = site
        self._rounds = Rounds(interval_seconds) if interval_seconds else None
        self._phones: dict[int, tuple[int, str, int, str, str]] = {}
        self._places: set[LegKey] = set()  # where those were heard
        self._asked: dict[int, tuple[str, datetime]] = {}
        self._ended: list[Reached] = []
        self._newly_heard: deque[tuple[float, int, Sighting]] = deque(maxlen=MAX_NEIGHBOURS)
        self._follow_at = self._record_at = 0.0

    def heard(self, phones: Iterable[tuple[int, Sighting]]) -> None:
        """These phones have just spoken: look at the neighbour table when the kernel has had time to ask."""
        ripe_at = time.monotonic() + NEIGHBOUR_SECONDS
        self._newly_heard.extend((ripe_at, phone_id, sighting) for phone_id, sighting in phones)

    def ended(self, event: PingEnded) -> None:
        """A question was answered, or was not."""
        asked = self._asked.pop(event.token, None)
        if asked is not None:
            rtt_ms = None if event.rtt_seconds is None else round(event.rtt_seconds * 1000, 1)
            self._ended.append(Reached(event.token, asked[0], event.answered, rtt_ms, asked[1]))

    async def step(self, legs: Mapping[LegKey, Leg], in_helper: InHelper) -> None:
        """Do what is due: see whom to ask, record, look at the neighbour table."""
        now = time.monotonic()
        if self._rounds is not None and now >= self._follow_at:
            self._follow_at = now + FOLLOW_SECONDS
            await self._follow(self._rounds, set(legs), now, in_helper)
        if self._ended and now >= self._record_at:
            self._record_at = now + RECORD_SECONDS
            ended, self._ended = self._ended, []
            try:
                await in_helper(reach.record, ended)
            except BaseException:
                self._ended = [*ended, *self._ended]
                raise
        await self._verify(now, in_helper)

    async def ask(self, listener: Listener) -> None:
        """Ask whoever is due, until cancelled."""
        while True:
            try:
                if self._rounds is not None:
                    self._ask(self._rounds, listener, time.monotonic())
            except Exception:
                log.exception("somebody could not be asked whether it is there; it is in the next round")
            await asyncio.sleep(ASK_SECONDS if self._rounds else IDLE_SECONDS)

    async def _follow(self, rounds: Rounds, places: set[LegKey], now: float, in_helper: InHelper) -> None:
        """Ask whoever is to be asked by now; whoever an interface led to that is gone, is lost.

        Bite by bite: to read a hundred thousand at once would stop the event loop for a tenth of a second.
        """
        is_gone = not self._places <= places
        lost = {one[0]: one[3] for one in self._phones.values() if one[3:] not in places} if is_gone else {}
        for start in range(0, len(lost), LOSE_AT_ONCE):
            await in_helper(reach.lose, dict(list(lost.items())[start : start + LOSE_AT_ONCE]))
        self._places |= places  # also if only some can be read
        found: set[int] = set()
        after = 0
        while some := await in_helper(reach.whom, places, self._site, after):
            after = some[-1][0]
            new = {phone[0]: phone for phone in some}
            found.update(new)
            self._phones.update(new)
            rounds.join(new, now)
        for gone in self._phones.keys() - found:
            del self._phones[gone]
        rounds.follow(self._phones, now)
        self._places = places

    def _ask(self, rounds: Rounds, listener: Listener, now: float) -> None:
        due = rounds.due(now)
        legs = {(leg.interface, leg.host): leg for leg in listener.legs} if due else {}
        for phone_id in due:
            _, host, port, *place = self._phones[phone_id]
            leg = legs.get((place[0], place[1]))
            if leg is None or phone_id in self._asked or listener.agent.room < ROOM_FOR_NOTIFIES:
                continue  # its last question is still open, or there is more urgent work: in the next round
            try:
                listener.agent.ping(phone_id, (host, port), leg, now)
            except NoRoom:
                continue
            self._asked[phone_id] = (host, timezone.now())
        if due:
            listener.pump()

    async def _verify(self, now: float, in_helper: InHelper) -> None:
        ripe: list[tuple[int, Sighting]] = []
        while self._newly_heard and self._newly_heard[0][0] <= now and len(ripe) < NEIGHBOURS_AT_ONCE:
            _, phone_id, sighting = self._newly_heard.popleft()
            ripe.append((phone_id, sighting))
        for start in range(0, len(ripe), NEIGHBOURS_BITE):
            try:
                await in_helper(_record_verdicts, ripe[start : start + NEIGHBOURS_BITE])
            except BaseException:
                self._newly_heard.extendleft((now, *one) for one in reversed(ripe[start:]))
                raise


def _record_verdicts(heard: list[tuple[int, Sighting]]) -> None:
    table = neighbours.snapshot()
    verdicts: list[tuple[int, str, Verdict]] = [
        (phone_id, one.source_host, table.verify(one.source_host, one.mac, one.interface)) for phone_id, one in heard
    ]
    inventory.record_verdicts(verdicts)
