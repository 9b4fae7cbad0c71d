"""The phone's SIP side in one boot and across boots: sends SUBSCRIBE until it is answered, answers NOTIFYs.

Source: vendor guide, steps 1 and 3. Time comes from the running loop; datagrams leave by a callable.
"""

import asyncio
import random
from collections.abc import Callable

from sipmcast.simulator.digest import Account, Gate
from sipmcast.simulator.faults import Faults
from sipmcast.simulator.judge import (
    Order,
    Verdict,
    Violation,
    check_answer,
    judge_notify,
    retransmission_differs,
    transaction_key,
)
from sipmcast.simulator.messages import Message, Subscribe, build_answer, host_in_letters
from sipmcast.simulator.options import PhoneSetup, Timings
from sipmcast.simulator.result import Result

MAX_TRANSACTIONS = 64
FINAL_FOR_US = (
    200,
    500,
)  # the guide: "stop ... when receiving 200 or 500. It will ignore errors like 30x and 4xx"

Endpoint = tuple[str, int]


def new_subscribe(setup: PhoneSetup, local: Endpoint, dice: random.Random, number: int = 1) -> Subscribe:
    """A SUBSCRIBE with fresh identifiers, in the shapes that the guide's example shows."""
    host, port = local

    def digits() -> str:
        return str(dice.randrange(10**8, 2**31))

    return Subscribe(
        mac=setup.mac, model=setup.model, firmware=setup.firmware, group=setup.group, host=host, port=port,
        branch=f"z9hG4bK{digits()}", tag=digits(),
        call_id=f"{digits()}-{port}-{number}@{host_in_letters(host)}",
    )  # fmt: skip


class Subscribing:
    """The SUBSCRIBE of one boot: at most five transmissions of the same bytes, until 200 or 500."""

    def __init__(self, message: Subscribe, send: Callable[[bytes], None], timings: Timings, result: Result):
        self.message = message
        self.began = asyncio.get_running_loop().time()
        self.answered = 0  # the status that ended it
        self.ignored: list[int] = []  # statuses that did not
        self._send = send
        self._timings = timings
        self._result = result
        self._to_tag = ""
        self._final = asyncio.Event()

    async def run(self) -> None:
        """Send and resend until a final answer or until the last transmission has waited in vain."""
        wait = self._timings.t1
        for _ in range(self._timings.sends):
            self._result.subscribes += 1
            self._send(self.message.to_bytes())
            try:
                await asyncio.wait_for(self._final.wait(), wait)
                return
            except TimeoutError:
                wait = min(wait * 2, self._timings.t2)

    def hear(self, answer: Message) -> None:
        """Take an answer: 200 and 500 end the sending and are held to the rules, others are ignored."""
        if answer.status not in FINAL_FOR_US:
            if len(self.ignored) < 32:
                self.ignored.append(answer.status)
            return
        try:
            tag = check_answer(self.message, answer)
        except Violation as error:
            raise Violation(f"the {answer.status} to SUBSCRIBE is wrong: {error}") from None
        if self._to_tag and tag != self._to_tag:
            self._result.note("a resent SUBSCRIBE was answered with another To tag")
        self._to_tag = tag
        self.answered = self.answered or answer.status
        self._final.set()


class Notified:
    """Answers to NOTIFYs. A retransmission gets the same bytes and starts nothing again, also after a reboot.

    A real phone forgets its transactions at a reboot, but takes longer to come up than a NOTIFY is
    retransmitted; a simulated one is faster and has to remember instead (our choice).
    """

    def __init__(
        self,
        faults: Faults,
        agent: str,
        dice: random.Random,
        result: Result,
        account: Callable[[], Account | None],
    ):
        self.refused = ""  # the last refusal, in words
        self._faults = faults
        self._account = account  # that of the file which is flashed now
        self._gate = Gate(faults, dice, result)
        self._agent = agent
        self._dice = dice
        self._result = result
        self._known: dict[tuple[str, ...], tuple[Message, bytes]] = {}

    def hear(
        self, request: Message, source: Endpoint, contact: str, since_subscribe: float
    ) -> tuple[bytes, Order | None]:
        """The answer to send to `source` (empty: silence) and what to do (None: nothing)."""
        if deaf := self._faults.deaf_to_notify(since_subscribe):
            self._result.note(f"a NOTIFY was not heard: {deaf}")
            return b"", None
        key = transaction_key(request)
        if key in self._known:
            first, answer = self._known[key]
            if retransmission_differs(first, request):
                self._result.note("a retransmitted NOTIFY was not the same message")
            return answer, None
        account = self._account()
        verdict, more = self._judge(request, contact, account)
        if verdict.status not in (200, 401, 407):
            self.refused = f"{verdict.status} {verdict.why}"
            self._result.note(f"a NOTIFY was refused: {self.refused}")
        tag = str(self._dice.randrange(10**8, 2**31))
        answer = build_answer(request, source, verdict.status, verdict.why, tag, self._agent, more)
        self._remember(key, request, answer)
        order = verdict.order
        if order is not None and order.is_command and account is None:
            self._result.note(f"{order.why} was ignored: there is no configuration to look at")
            order = None
        return answer, order

    def _judge(self, request: Message, contact: str, account: Account | None) -> tuple[Verdict, list[str]]:
        """The verdict and the header lines that go with it: the rules, then the faults, then the password."""
        verdict = judge_notify(request, contact, account.user_id if account else "")
        forced = self._faults.forced_status()
        if forced not in (None, verdict.status):
            return Verdict(int(forced or 0), "simulated fault"), []
        if verdict.order is None:
            return verdict, []
        if account and self._faults.has("device-unknown") and "@" not in request.uri:
            return Verdict(404, "simulated fault"), []
        asked = self._gate.asks(request, verdict.order.is_command, account)
        if asked is not None:
            return Verdict(asked[0]), [asked[1]]
        return verdict, []

    def _remember(self, key: tuple[str, ...], request: Message, answer: bytes) -> None:
        if len(self._known) >= MAX_TRANSACTIONS:
            del self._known[next(iter(self._known))]
        self._known[key] = (request, answer)
