"""Helper processes: what goes over the pipe, what comes back, and who dies with whom."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from unittest.mock import patch

import pytest
from django.db import OperationalError

from sipmcast import helpers
from tests.support.site import wait_for

BOUND_SECONDS = 30


@pytest.fixture
async def helper():
    made = helpers.Process("test")
    yield made
    made.close()


def whose(*words: str) -> tuple[int, tuple[str, ...]]:
    return os.getpid(), words


def away() -> None:
    raise OperationalError("database is locked")


def unspeakable() -> None:
    class Local(Exception):
        """Cannot be pickled."""

    raise Local("but must be told")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def linger(seconds: float) -> None:
    time.sleep(seconds)


async def test_a_call_is_carried_out_elsewhere_and_its_result_comes_back(helper):
    pid, words = await helper.run(whose, "a", "b")
    assert (pid != os.getpid(), words) == (True, ("a", "b"))
    assert (await helper.run(whose))[0] == pid


def which_connection(breaks: bool = False) -> int:
    """The database connection that this helper has now, whose server may vanish."""
    from django.db import connection

    connection.ensure_connection()
    known = connection.connection
    _seen.append(known)  # so that no later one gets the same id
    if breaks:
        known.close()
        raise OperationalError("the server has gone")
    return id(known)


_seen: list[object] = []


async def test_the_database_connection_is_kept_from_call_to_call(helper):
    """To open one costs as much as a whole batch of sightings."""
    assert await helper.run(which_connection) == await helper.run(which_connection)


async def test_a_connection_that_broke_is_replaced(helper):
    before = await helper.run(which_connection)
    with pytest.raises(OperationalError):
        await helper.run(which_connection, True)
    assert await helper.run(which_connection) != before


async def test_calls_take_turns_and_each_gets_its_own_answer(helper):
    answers = await asyncio.gather(*(helper.run(whose, str(number)) for number in range(20)))
    assert [words for _, (words,) in answers] == [str(number) for number in range(20)]


async def test_an_error_leaves_as_itself_or_by_name(helper):
    with pytest.raises(OperationalError, match="locked"):
        await helper.run(away)
    with pytest.raises(RuntimeError, match="Local: but must be told"):
        await helper.run(unspeakable)
    assert (await helper.run(whose))[1] == ()


async def test_a_dead_helper_is_said_and_the_next_call_has_a_new_one(helper):
    first, _ = await helper.run(whose)
    with pytest.raises(ConnectionError):
        await helper.run(die)
    second, _ = await helper.run(whose)
    assert second != first
    os.kill(second, signal.SIGKILL)
    with pytest.raises(ConnectionError):
        await helper.run(whose)
    assert (await helper.run(whose))[0] != second


async def test_the_answer_to_a_call_that_was_given_up_is_nobody_elses(helper):
    await helper.run(whose)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await helper.run(linger, 0.5)
    assert (await helper.run(whose, "mine"))[1] == ("mine",)


async def test_large_arguments_and_answers_pass(helper):
    words = ["x" * 1000] * 2000
    assert (await helper.run(whose, *words))[1] == tuple(words)


async def test_a_helper_that_cannot_be_started_is_said_and_tried_again(helper):
    with patch("multiprocessing.popen_spawn_posix.Popen", side_effect=BlockingIOError("no more processes")):
        for _ in range(2):
            with pytest.raises(ConnectionError, match="cannot be started"):
                await helper.run(whose)
    assert (await helper.run(whose))[1] == ()


PARENT = """
import asyncio, os, sys
from sipmcast import helpers
async def live():
    helper = helpers.Process("child")
    print(await helper.run(os.getpid), flush=True)
    await asyncio.sleep(60)
if __name__ == "__main__":
    asyncio.run(live())
"""


def test_it_dies_with_the_process_that_started_it(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "DJANGO_SETTINGS_MODULE": "gspnp.settings"}
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait(BOUND_SECONDS)
    parent.stdout.close()
    wait_for(lambda: not _runs(child), BOUND_SECONDS, "the helper has ended too")


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
