"""What many ask of the database at the same time, asked in one round trip.

A question is never answered by a look that began before it: what comes while one is under way waits for the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

from provisioning.door.store import in_store

AT_ONCE = 64  # in one round trip: with files of 12 KB, less than 1 MB

Q = TypeVar("Q", bound=Hashable)
A = TypeVar("A")


class Together(Generic[Q, A]):
    """Questions of one kind; `ask_all` answers those that have an answer, in a thread that may block."""

    def __init__(self, ask_all: Callable[[list[Q]], Mapping[Q, A]], at_once: int = AT_ONCE) -> None:
        self._ask_all, self._at_once = ask_all, at_once
        self._waiting: list[tuple[Q, asyncio.Future[A | None]]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    async def ask(self, question: Q) -> A | None:
        """Its answer, None if it has none. Raises what `ask_all` does."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # another one, which has ended
            self._loop, self._task, self._waiting = loop, None, []
        answer: asyncio.Future[A | None] = loop.create_future()
        self._waiting.append((question, answer))
        if self._task is None:
            self._task = loop.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        try:
            while self._waiting:
                # Whoever is gone meanwhile is not asked for.
                taken = [one for one in self._waiting[: self._at_once] if not one[1].done()]
                del self._waiting[: self._at_once]
                if taken:
                    await self._answer(taken)
        finally:
            self._task = None

    async def _answer(self, taken: list[tuple[Q, asyncio.Future[A | None]]]) -> None:
        try:
            found = await in_store(self._ask_all, list({question: None for question, _ in taken}))
        except Exception as error:
            for _, answer in taken:
                if not answer.done():
                    answer.set_exception(error)
            return
        for question, answer in taken:
            if not answer.done():
                answer.set_result(found.get(question))
