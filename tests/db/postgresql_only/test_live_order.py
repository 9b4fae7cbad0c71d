"""Ids are given at INSERT and seen at COMMIT: no reader may pass one that is still to come. Two real connections."""

import threading
from collections.abc import Callable

import pytest
from django.db import connection, transaction

from devices import live
from devices.choices import EventKind
from tests import cast

pytestmark = [pytest.mark.db, pytest.mark.django_db(transaction=True)]
SECONDS = 20


def tell(text: str) -> None:
    live.append_rows([(None, cast.MAC, EventKind.SEEN, "seen", text, cast.NOON)])


def texts(last: int = 0) -> list[str]:
    return [row.text for row in live.after(last)]


class Writer:
    """Another connection, which tells something, waits, and then commits or not."""

    def __init__(self, text: str, fails: bool = False) -> None:
        self._told, self._go = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(text, fails))
        self._thread.start()
        assert self._told.wait(SECONDS)

    def _run(self, text: str, fails: bool) -> None:
        try:
            with transaction.atomic():
                tell(text)
                self._told.set()
                assert self._go.wait(SECONDS)
                if fails:
                    raise RuntimeError
        except RuntimeError:
            pass
        finally:
            connection.close()

    def end(self) -> None:
        self._go.set()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()


@pytest.fixture
def writer():
    started: list[Writer] = []

    def start(*arguments, **more) -> Writer:
        started.append(Writer(*arguments, **more))
        return started[-1]

    yield start
    for one in started:
        one.end()


def test_a_lower_id_that_is_committed_later_is_not_passed(writer: Callable[..., Writer]):
    tell("first")
    last = live.newest_id()
    slow = writer("slow")
    tell("fast")
    assert texts(last) == [], "its predecessor is still to come"
    assert live.newest_id() == last, "nobody may begin behind it"
    slow.end()
    assert texts(last) == ["slow", "fast"]
    assert live.newest_id() == last + 2


def test_what_came_before_the_slow_one_is_told_at_once(writer):
    tell("first")
    slow = writer("slow")
    tell("fast")
    assert texts() == ["first"]
    slow.end()
    assert texts() == ["first", "slow", "fast"]


def test_what_is_rolled_back_is_not_waited_for(writer):
    tell("first")
    failing = writer("never", fails=True)
    tell("fast")
    failing.end()
    assert texts() == ["first", "fast"]


def test_many_writers_lose_nothing_for_a_reader_that_follows():
    """Eight connections tell 25 things each while a reader follows by the last id that it has."""

    def write(name: int) -> None:
        try:
            for number in range(25):
                with transaction.atomic(), connection.cursor() as cursor:
                    tell(f"{name}.{number}a")
                    cursor.execute("SELECT pg_sleep(%s)", [0.001 * name])  # they finish in another order
                    tell(f"{name}.{number}b")
        finally:
            connection.close()

    writers = [threading.Thread(target=write, args=(name,)) for name in range(8)]
    for one in writers:
        one.start()
    last, read = 0, []
    while any(one.is_alive() for one in writers):
        rows = live.after(last, 10)
        read += [row.text for row in rows]
        last = rows[-1].pk if rows else last
    while rows := live.after(last, 10):
        read += [row.text for row in rows]
        last = rows[-1].pk
    assert len(read) == len(set(read)) == 8 * 25 * 2
