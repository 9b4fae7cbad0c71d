"""Whoever cannot be answered by the process that makes rows is answered without it, and waits for nothing."""

import asyncio

import pytest

from devices import metrics
from gspnp.console import beside
from gspnp.console.beside import MANY, Beside
from gspnp.console.making import Made

ROWS = Made(200, [], b"rows", False, [])
SCOPE = {"type": "http", "path": "/rows/", "headers": [], "extensions": "of the connection"}


class Helper:
    """Over there, as a test has it."""

    def __init__(self) -> None:
        self.started = 0
        self.goes_on = asyncio.Event()
        self.error: Exception | None = None
        self.asked: list[tuple] = []

    async def run(self, call, *arguments):
        if call is beside._begin:
            self.started += 1
            if self.error is not None:
                raise self.error
            return None
        self.asked.append(arguments)
        await self.goes_on.wait()
        if self.error is not None:
            raise self.error
        return ROWS, [("query", 0.25)]


async def ready(helper: Helper, pages: int = MANY) -> Beside:
    made = Beside(lambda: pages, helper)
    assert await made.make(SCOPE) is None, "it is started, and waited for by nobody"
    for _ in range(3):
        await asyncio.sleep(0)
    return made


def test_it_is_not_started_for_few_pages():
    async def run():
        helper = Helper()
        made = await ready(helper, MANY - 1)
        assert await made.make(SCOPE) is None
        return helper.started

    assert asyncio.run(run()) == 0


def test_what_it_says_is_the_answer_and_its_waits_are_counted_here(monkeypatch):
    waited = []
    monkeypatch.setattr(metrics, "waited", lambda *one: waited.append(one))

    async def run():
        helper = Helper()
        made = await ready(helper)
        helper.goes_on.set()
        return await made.make(SCOPE), helper

    answer, helper = asyncio.run(run())
    assert (answer, waited, helper.started) == (ROWS, [("query", 0.25)], 1)
    assert "extensions" not in helper.asked[0][0]


def test_nobody_waits_for_it_while_it_is_busy():
    async def run():
        helper = Helper()
        made = await ready(helper)
        first = asyncio.create_task(made.make(SCOPE))
        await asyncio.sleep(0)
        second = await made.make(SCOPE)
        helper.goes_on.set()
        return await first, second

    assert asyncio.run(run()) == (ROWS, None)


@pytest.mark.parametrize("fault", ["dead", "hung"])
def test_one_that_dies_or_hangs_is_done_without_and_started_anew_later(monkeypatch, fault):
    async def run():
        helper = Helper()
        made = await ready(helper)
        if fault == "dead":
            helper.error = ConnectionError("the rows process has died")
            helper.goes_on.set()
        else:
            monkeypatch.setattr(beside, "WAIT_SECONDS", 0.01)
        assert await made.make(SCOPE) is None
        assert await made.make(SCOPE) is None
        assert (len(helper.asked), helper.started) == (1, 1), "it is left alone for a while"
        helper.error = None
        helper.goes_on.set()
        monkeypatch.setattr(beside, "RETRY_SECONDS", 0.0)
        made._start_at = 0.0
        assert await made.make(SCOPE) is None
        for _ in range(3):
            await asyncio.sleep(0)
        return await made.make(SCOPE), helper.started

    assert asyncio.run(run()) == (ROWS, 2)


def test_one_that_cannot_be_started_is_not_tried_at_each_request():
    async def run():
        helper = Helper()
        helper.error = ConnectionError("the rows process cannot be started (no memory)")
        made = await ready(helper)
        for _ in range(5):
            assert await made.make(SCOPE) is None
            await asyncio.sleep(0)
        return helper.started

    assert asyncio.run(run()) == 1


def test_what_a_view_raises_is_the_callers():
    async def run():
        helper = Helper()
        made = await ready(helper)
        helper.error = ValueError("cannot be made")
        helper.goes_on.set()
        with pytest.raises(ValueError, match="cannot be made"):
            await made.make(SCOPE)
        helper.error = None
        return await made.make(SCOPE)

    assert asyncio.run(run()) == ROWS
