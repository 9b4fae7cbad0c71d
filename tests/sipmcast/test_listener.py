"""The listener's turn: a fault of ours in one datagram must not make it deaf to all others."""

import asyncio
from types import SimpleNamespace

from sipmcast.agent import Agent
from sipmcast.listener import SERVE_LIMIT, Listener, Options
from tests import cast


class Faulty(Agent):
    """Stumbles over every datagram that says so."""

    def receive(self, datagram, *arguments, **options) -> None:
        if datagram == b"fault":
            raise ZeroDivisionError("a bug")
        self.counters["looked at"] += 1


async def test_a_fault_is_counted_and_the_rest_is_looked_at():
    agent = Faulty(b"key")
    listener = Listener(Options([], "224.0.1.75", 5060, 0, "auto"), agent, lambda event: None)
    opened = SimpleNamespace(leg=cast.LEG, raw=False)
    for number in range(2 * SERVE_LIMIT):
        datagram = b"fault" if number % 100 == 5 else b"fine"
        listener._waiting.put(cast.HOST, (datagram, (cast.HOST, 5060), opened, True))  # type: ignore[arg-type]
    listener._serve()
    async with asyncio.timeout(20):
        while listener._serving:
            await asyncio.sleep(0)
    assert (agent.counters["fault"], agent.counters["looked at"]) == (5, 2 * SERVE_LIMIT - 5)
