"""What many ask of the database at the same time is asked in one round trip, and never answered by an older look."""

import asyncio
import threading

import pytest

from provisioning.door.together import AT_ONCE, Together

# The thread that asks may have a connection of a test before this one, which it looks at.
pytestmark = pytest.mark.django_db

WAIT_SECONDS = 20.0


class Slow:
    """Answers when it may: with twice of what is even, and with nothing for the rest."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.begun, self.may_answer = threading.Event(), threading.Event()

    def __call__(self, questions: list[int]) -> dict[int, int]:
        self.asked.append(questions)
        self.begun.set()
        assert self.may_answer.wait(WAIT_SECONDS)
        if 13 in questions:
            raise ValueError("13")
        return {one: 2 * one for one in questions if not one % 2}


async def begun(together: Together[int, int], slow: Slow) -> asyncio.Task:
    """A look is under way."""
    first = asyncio.create_task(together.ask(0))
    while not slow.begun.is_set():
        assert not first.done(), first.exception()
        await asyncio.sleep(0.001)
    return first


async def turn() -> None:
    """Let those who want to ask do so."""
    await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_who_comes_while_a_look_is_under_way_shares_the_next_one():
    slow = Slow()
    together = Together(slow)
    first = await begun(together, slow)
    others = [asyncio.create_task(together.ask(one)) for one in (0, 1, 2, 2)]
    await turn()
    slow.may_answer.set()
    assert await asyncio.gather(first, *others) == [0, 0, None, 4, 4]
    assert slow.asked == [[0], [0, 1, 2]], "what was asked for while somebody looked is looked at again"


@pytest.mark.asyncio
async def test_a_failure_is_told_to_those_who_asked_for_it_and_to_nobody_else():
    slow = Slow()
    together = Together(slow)
    first = await begun(together, slow)
    failing = [asyncio.create_task(together.ask(one)) for one in (13, 2)]
    await turn()
    slow.may_answer.set()
    assert await first == 0
    assert [str(one) for one in await asyncio.gather(*failing, return_exceptions=True)] == ["13", "13"]
    assert await together.ask(4) == 8, "it goes on"


@pytest.mark.asyncio
async def test_who_is_gone_is_not_asked_for_and_keeps_nobody_waiting():
    slow = Slow()
    together = Together(slow)
    first = await begun(together, slow)
    gone, other = (asyncio.create_task(together.ask(one)) for one in (6, 8))
    await turn()
    gone.cancel()
    first.cancel()
    await turn()
    slow.may_answer.set()
    assert await other == 16
    assert slow.asked == [[0], [8]]


@pytest.mark.asyncio
async def test_no_look_grows_beyond_its_bound():
    slow = Slow()
    together = Together(slow)
    first = await begun(together, slow)
    many = [asyncio.create_task(together.ask(2 * one)) for one in range(AT_ONCE + 1)]
    await turn()
    slow.may_answer.set()
    assert await asyncio.gather(first, *many) == [0, *(4 * one for one in range(AT_ONCE + 1))]
    assert [len(one) for one in slow.asked] == [1, AT_ONCE, 1]
