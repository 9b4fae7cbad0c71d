"""The database away under the worker: how often its log says so."""

import contextlib
import logging

import pytest
from django.db import OperationalError

from provisioning.jobs.outage import Outage
from provisioning.management.commands import work

AWAY = OperationalError("connection refused")


class Now:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def outage(now, caplog) -> Outage:
    caplog.set_level(logging.INFO)
    return Outage(now)


def test_three_loops_say_one_line_however_often_they_try(outage, now, caplog):
    for _ in range(3):
        for _ in ("rounds", "arrivals", "jobs"):
            outage.gone(AWAY, now(), 5)
        now.seconds += 10
    outage.back(now())
    outage.back(now())
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        ("ERROR", "the database is away (connection refused); trying again every 5 s"),
        ("INFO", "the database is back after 30 s"),
    ]


def test_a_try_that_has_waited_since_before_it_came_back_begins_no_second_outage(outage, now, caplog):
    outage.gone(AWAY, now(), 5)
    waited_since = now.seconds = 140.0
    now.seconds = 140.5
    outage.back(now())
    now.seconds = 140.7
    outage.gone(AWAY, waited_since, 5)
    assert len(caplog.records) == 2
    now.seconds = 150.0
    outage.gone(AWAY, now(), 5)
    assert len(caplog.records) == 3


def test_what_began_before_the_outage_does_not_end_it(outage, now, caplog):
    began = now()
    now.seconds = 101.0
    outage.gone(AWAY, now(), 5)
    outage.back(began)
    assert len(caplog.records) == 1


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
    monkeypatch.setattr(work, "WAITS_SECONDS", 0.0)
    monkeypatch.setattr(work.watched, "begin", lambda threads: contextlib.ExitStack())
    for loop in ("_rounds", "_arrivals", "_sweeps"):
        monkeypatch.setattr(work, loop, idle)
    work.Command().handle(once=False, keep_trying=True)
    assert begun == [3, 0]
    said = [one.getMessage() for one in caplog.records]
    assert len([line for line in said if "is away" in line]) == 1
    assert len([line for line in said if "is back" in line]) == 1
