"""What one phone hears and says by SIP, over all its boots: wire, SUBSCRIBE of this boot, NOTIFYs, OPTIONS.

The phone asks it for orders (what a NOTIFY wants); it tells the phone how far it got and what broke.
"""

import asyncio
import random
from collections.abc import Callable

from sipmcast.simulator.digest import Account
from sipmcast.simulator.faults import Faults
from sipmcast.simulator.judge import Order, Violation, check_request
from sipmcast.simulator.messages import Message, MessageError, build_answer, parse
from sipmcast.simulator.options import PhoneSetup
from sipmcast.simulator.result import Result
from sipmcast.simulator.signalling import Notified, Subscribing, new_subscribe
from sipmcast.simulator.wire import Endpoint, Wire


class Hearing:
    """The SIP side of a phone. While it is down, between two boots, it hears nothing."""

    def __init__(
        self,
        setup: PhoneSetup,
        faults: Faults,
        result: Result,
        reached: Callable[[str], None],
        broke: Callable[[str], None],
        account: Callable[[], Account | None] = lambda: None,
    ):
        self.orders: asyncio.Queue[Order] = asyncio.Queue()
        self._faults = faults
        self._setup = setup
        self._result = result
        self._reached = reached
        self._broke = broke
        self._dice = random.Random(f"{setup.seed}/identifiers")
        self._agent = f"Grandstream {setup.model} {setup.firmware}"
        self._notified = Notified(faults, self._agent, self._dice, result, account)
        self._wire = Wire(faults, self._heard, broke)
        self._up = False
        self._booted = 0.0
        self._subscribing: Subscribing | None = None
        self._sending: asyncio.Task[None] | None = None
        self._call_ids: set[str] = set()

    async def open(self) -> None:
        """Take a port on the phone's address; OSError if that cannot be."""
        await self._wire.open(self._setup.address, self._setup.interface_index)
        self._result.contact = f"{self._wire.local[0]}:{self._wire.local[1]}"

    def wake(self, subscribe: bool) -> None:
        """Begin a boot: from now on datagrams are heard, and SUBSCRIBE goes out if it is wanted."""
        self._up = True
        self._booted = asyncio.get_running_loop().time()
        self._subscribing = None
        if subscribe:
            message = new_subscribe(self._setup, self._wire.local, self._dice)
            self._call_ids.add(message.call_id)
            self._subscribing = Subscribing(message, self._to_group, self._setup.timings, self._result)
            self._sending = asyncio.ensure_future(self._subscribing.run())

    def sleep(self) -> None:
        """End a boot: nothing is sent any more, nothing heard, and orders not yet obeyed are lost."""
        self._up = False
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
        while not self.orders.empty():
            self.orders.get_nowait()

    def close(self) -> None:
        """Give the port back."""
        self.sleep()
        self._wire.close()

    async def first_order(self) -> Order | None:
        """The boot's first order: while SUBSCRIBE is being sent and for the PnP wait after that."""
        if self._sending is None:
            return None
        order = asyncio.ensure_future(self.orders.get())
        try:
            await asyncio.wait({order, self._sending}, return_when=asyncio.FIRST_COMPLETED)
            if order.done():
                return order.result()
        finally:
            order.cancel()
        return await self.order_within(self._setup.timings.pnp_wait)

    async def order_within(self, seconds: float) -> Order | None:
        """The next order, or None if there is none for so long."""
        try:
            return await asyncio.wait_for(self.orders.get(), seconds)
        except TimeoutError:
            return None

    def trouble(self) -> str:
        """Why there may have been no order, in words; empty if we know of none."""
        if self._notified.refused:
            return f"the last NOTIFY was refused with {self._notified.refused}"
        heard = self._subscribing
        if heard is None or heard.answered == 200:
            return ""
        if heard.answered or heard.ignored:
            return f"SUBSCRIBE was answered with {heard.answered or heard.ignored[-1]} and no NOTIFY came"
        return "SUBSCRIBE was not answered; does a server listen on the group by this interface?"

    def _to_group(self, data: bytes) -> None:
        self._wire.send(data, (self._setup.group, self._setup.port))

    def _heard(self, data: bytes, source: Endpoint) -> None:
        if not self._up or not data.strip(b"\r\n\0"):
            return
        try:
            message = parse(data)
            if message.status:
                self._hear_answer(message)
            else:
                self._hear_request(message, source)
        except MessageError as error:
            if data.startswith(b"SIP/2.0 "):
                self._broke(f"an answer to SUBSCRIBE cannot be read: {error}")
            self._notified.refused = f"unreadable: {error}"
            self._result.note(f"a datagram from {source[0]} cannot be read: {error}")
        except Violation as error:
            self._broke(str(error))

    def _hear_answer(self, message: Message) -> None:
        current = self._subscribing
        call_id = message.first("call-id")
        if current is None or (call_id != current.message.call_id and call_id in self._call_ids):
            return  # late, for an earlier boot
        current.hear(message)
        if current.answered == 200:
            self._reached("answered")

    def _hear_request(self, message: Message, source: Endpoint) -> None:
        if message.method == "ACK":
            return
        if message.method != "NOTIFY":
            self._answer_at_once(message, source)
            return
        began = self._subscribing.began if self._subscribing else self._booted
        since = asyncio.get_running_loop().time() - began
        answer, order = self._notified.hear(message, source, f"sip:{self._result.contact}", since)
        if answer:
            self._wire.send(answer, source)
        if order is not None:
            self._reached("notified")
            self.orders.put_nowait(order)

    def _answer_at_once(self, message: Message, source: Endpoint) -> None:
        """Whatever is no NOTIFY, without state: OPTIONS gets 200 (RFC 3261 11.2), anything else 405."""
        status, why = 405, ""
        if message.method == "OPTIONS":
            if self._faults.has("silent-options"):
                return
            self._result.options += 1
            status = 200
            try:
                check_request(message, "OPTIONS", f"sip:{self._result.contact}")
            except MessageError as error:
                status, why = 400, str(error)
                self._result.note(f"an OPTIONS was refused: {error}")
        self._wire.send(build_answer(message, source, status, why, "1", self._agent), source)
