"""NOTIFYs on their way: what the outbox wants sent goes to the agent, and how it ended goes back to the outbox.

Kept by the worker, on the event loop; the database side is desk.py.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any

from sipmcast import desk
from sipmcast.calls import Send
from sipmcast.events import Leg, LegKey, NotifyAnswered, NotifyTimedOut
from sipmcast.listener import Listener
from sipmcast.transaction import NoRoom
from sipmcast.under_way import UnderWay

log = logging.getLogger(__name__)

SETTLE_AT_ONCE = 250


class Sending:
    """Which NOTIFYs are under way, and which have ended and are still to be settled."""

    def __init__(self) -> None:
        self._under_way = UnderWay()
        self._ended: list[NotifyAnswered | NotifyTimedOut] = []

    def ids(self) -> Collection[int]:
        """Of those under way."""
        return self._under_way.ids()

    @property
    def is_behind(self) -> bool:
        """Are there any to settle?"""
        return bool(self._ended)

    def ended(self, event: NotifyAnswered | NotifyTimedOut) -> None:
        """The agent is done with this one."""
        self._ended.append(event)

    async def settle(self, listener: Listener, legs: Mapping[LegKey, Leg], call: Callable[..., Awaitable[Any]]) -> None:
        """Store how some of them ended; `call` carries out a function where the database is. Whatever that raises
        leaves, and nothing is lost then."""
        some, self._ended = self._ended[:SETTLE_AT_ONCE], self._ended[SETTLE_AT_ONCE:]
        if not some:
            return
        try:
            sends = await call(desk.settle, some, legs)
        except BaseException:
            self._ended = [*some, *self._ended]
            raise
        self._under_way.end(event.token for event in some)
        self._send(listener, sends)
        listener.pump()

    def carry_out(self, listener: Listener, plan: desk.Plan) -> None:
        """Send what is to be sent, and stop what is not wanted any more."""
        self._send(listener, plan.sends)
        self._under_way.end(plan.cancelled)
        for notify_id in plan.cancelled:
            listener.agent.cancel(notify_id)
        for leg, host in plan.probes:
            listener.probe(leg, host)
        listener.pump()

    def _send(self, listener: Listener, sends: Iterable[Send]) -> None:
        agent, now = listener.agent, time.monotonic()
        for send in sends:
            replaced = self._under_way.begin(send.notify_id, send.about)
            if replaced is not None:
                agent.cancel(replaced)
            log.debug("NOTIFY %d to %s:%d from %s:%d", send.notify_id, *send.target, send.leg.host, send.leg.port)
            try:
                agent.notify(
                    send.notify_id, send.datagram, send.branch, send.target, send.leg, now, elapsed=send.elapsed_seconds
                )
            except NoRoom:
                self._under_way.end([send.notify_id])  # its row is under way: `desk.upkeep` comes back to it
                agent.counters["notify_no_room"] += 1
            except ValueError as error:
                log.error("NOTIFY %d cannot be sent: %s", send.notify_id, error)
                self._ended.append(NotifyTimedOut(send.notify_id))
