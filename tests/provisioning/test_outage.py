"""The database away under the worker: how often its log says so."""

import contextlib
import logging

import pytest
from django.db import OperationalError

from provisioning.management.commands import work
from provisioning.outage import Outage

AWAY = OperationalError("connection refused")


class Now:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def outage(now) -> Outage:
    return Outage(now)


def test_three_loops_have_one_piece_of_news_however_often_they_try(outage, now):
    news = [outage.gone(now()) for _ in range(9)]
    now.seconds += 30
    assert (news.count(True), outage.is_on) == (1, True)
    assert [outage.back(now()), outage.back(now()), outage.is_on] == [30.0, None, False]


def test_a_try_that_has_waited_since_before_it_came_back_begins_no_second_outage(outage, now):
    outage.gone(now())
    waited_since = now.seconds = 140.0
    now.seconds = 140.5
    outage.back(now())
    now.seconds = 140.7
    assert not outage.gone(waited_since)
    now.seconds = 150.0
    assert outage.gone(now())


def test_what_began_before_the_outage_does_not_end_it(outage, now):
    began = now()
    now.seconds = 101.0
    outage.gone(now())
    assert outage.back(began) is None and outage.is_on


@pytest.mark.django_db
def test_a_worker_looks_for_jobs_again_only_when_the_database_answers(monkeypatch, caplog):
    """Whoever begins to look for jobs says so: during an outage it would be a line every few seconds."""
    caplog.set_level(logging.INFO)
    tries = [AWAY, AWAY, None]
    begun = []

    def answers() -> bool:
        if error := tries.pop(0):
            raise error
        return True

    class Looking:
        running = True

        def configure_signals(self) -> None: ...

        def run(self) -> None:
            begun.append(len(tries))
            if len(begun) == 1:
                raise AWAY

    def idle(stopping, keep_trying) -> None:
        stopping.wait()

    monkeypatch.setattr(work, "_outage", Outage())
    monkeypatch.setattr(work, "_worker", Looking)
    monkeypatch.setattr(work, "_answers", answers)
    monkeypatch.setattr(work, "EVERY_SECONDS", 0.001)
    monkeypatch.setattr(work, "_waits_seconds", lambda: 0.0)
    monkeypatch.setattr(work.watched, "begin", lambda threads: contextlib.ExitStack())
    for loop in ("_rounds", "_arrivals", "_sweeps"):
        monkeypatch.setattr(work, loop, idle)
    work.Command().handle(once=False, keep_trying=True)
    assert begun == [3, 0]
    said = [(one.levelname, one.getMessage()) for one in caplog.records if "the database" in one.getMessage()]
    assert said == [
        ("ERROR", "the database is away (connection refused); trying again every 0 s"),
        ("INFO", "the database is back after 0 s"),
    ]
