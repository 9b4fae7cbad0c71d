"""The listener's turn: a fault of ours in one datagram must not make it deaf to all others."""

import asyncio
from types import SimpleNamespace
from unittest.mock import Mock

from django.core.management import call_command

from sipmcast import listener as listener_module
from sipmcast.agent import Agent
from sipmcast.listener import OVER_LIMIT_SOURCES, SERVE_LIMIT, Listener, Options
from sipmcast.management.commands import listen_pnp
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


async def test_who_passes_the_limit_is_noted_for_an_alarm_and_forged_addresses_cost_no_memory(monkeypatch):
    monkeypatch.setattr(listener_module, "PRESSED_ABOVE", -1)  # more always waits than can be carried
    options = Options([], "224.0.1.75", 5060, 0, "auto", per_second=1000, source_per_second=5)
    listener = Listener(options, Agent(b"key"), lambda event: None)
    listener._serving = True
    flood = [("10.0.0.66", 5060)] * 30
    forged = [(f"10.1.0.{number}", 5060) for number in range(1, 40) for _ in range(25)]

    def heard(sources: list[tuple[str, int]]) -> SimpleNamespace:
        waiting = list(sources)

        def recvfrom(_size: int) -> tuple[bytes, tuple[str, int]]:
            if not waiting:
                raise BlockingIOError
            return b"x", waiting.pop(0)

        return SimpleNamespace(group=SimpleNamespace(recvfrom=recvfrom), leg=cast.LEG, raw=False)

    listener._read(heard(flood), True)  # type: ignore[arg-type]
    assert listener.over_limit == {"10.0.0.66": 10}
    for at in range(0, len(forged), 100):
        listener._read(heard(forged[at : at + 100]), True)  # type: ignore[arg-type]
    assert len(listener.over_limit) == OVER_LIMIT_SOURCES


def test_a_listener_says_that_it_starts_before_anything_that_takes_its_time(monkeypatch, caplog):
    for name in ("gc", "asyncio", "listen"):
        monkeypatch.setattr(listen_pnp, name, Mock())
    said: list[str] = []
    listen_pnp.gc.collect.side_effect = lambda: said.extend(caplog.messages)
    caplog.set_level("INFO", listen_pnp.__name__)
    call_command("listen_pnp")
    assert said and said[0].startswith("starting")
