"""`manage.py work`: what must happen without anybody asking, and the jobs that somebody asked for.

The rounds (stuck phones, releases) go on in a thread of their own, however long a job takes; so do the files of phones
that were just plugged in, because those wait for them, and the deletion of what is old, because that waits for all.
"""

import contextlib
import gc
import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from django.core.management.base import BaseCommand, CommandError
from django.db import close_old_connections, connection
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import get_random_string
from django_tasks_db.management.commands.db_worker import Worker

from devices import retention
from provisioning import keeping, stuck, watched  # noqa: F401  (keeping registers its rules)
from provisioning.firmware import pins
from provisioning.handout import giving
from provisioning.importing import undoing
from provisioning.jobs import alive, arrivals, moves, ours, runner
from provisioning.jobs.alive import AWAY
from provisioning.jobs.models import Job, JobFailure, JobState
from provisioning.jobs.rounds import also
from provisioning.outage import Outage
from provisioning.phonebook import books
from provisioning.plain import files as plain_files
from provisioning.release import windows as releases

log = logging.getLogger(__name__)

EVERY_SECONDS = 5.0
AGAIN_MINUTES = 60  # after which a phone whose next step could not be written is tried again
SWEEP_SECONDS = 60.0  # between two sweeps, if the last one came to its end
LOOK_SECONDS = 0.5  # between two looks into the queue of jobs, and for phones that were plugged in

_outage = Outage()
_failed_sweeps: list[str] = []  # rules that failed; said with what failed in the rounds

T = TypeVar("T")
Loop = Callable[[threading.Event, bool], None]


class Command(BaseCommand):
    help = "Carry out jobs, explain phones that stopped on their way, delete what is old."

    def add_arguments(self, parser):
        parser.add_argument("--once", action="store_true", help="do one round, without jobs, and end")
        parser.add_argument(
            "--keep-trying",
            action="store_true",
            help="if the database is away, say so once and try again every 5 s",
        )

    def handle(self, **options):
        if options["once"]:
            one_round()
            retention.Sweeper().sweep()
            return
        stopping, keep_trying = threading.Event(), options["keep_trying"]
        self._died, self._worker = False, _worker()
        threads = [
            threading.Thread(target=self._go_on, args=(loop, stopping, keep_trying), name=name, daemon=True)
            for name, loop in (("rounds", _rounds), ("arrivals", _arrivals), ("sweeps", _sweeps))
        ]
        # A sweep through a backlog takes hours, and nobody waits for it.
        seen = watched.begin([thread for thread in threads if thread.name != "sweeps"])
        gc.freeze()  # what Django has loaded stays: a full collection need not look at it during every job
        for thread in threads:
            thread.start()
        log.info("working: a round every %.0f s, and jobs", EVERY_SECONDS)
        try:
            while not self._died and _jobs(self._worker, keep_trying):
                stopping.wait(EVERY_SECONDS)
                while not self._died and not _try(_answers, "a look for the database", keep_trying):
                    stopping.wait(EVERY_SECONDS)
                self._worker = _worker()
        finally:
            stopping.set()
            seen.close()
            for thread in threads:
                thread.join(EVERY_SECONDS)
            log.info("stopped")
        if self._died:
            raise CommandError("The rounds have ended; the log says why. Start it again, or use --keep-trying.")

    def _go_on(self, loop: Loop, stopping: threading.Event, keep_trying: bool) -> None:
        """One of the loops; if it ends by an error so does the whole process, for whoever supervises it to see."""
        try:
            loop(stopping, keep_trying)
        except Exception:
            log.exception("the %s have ended", threading.current_thread().name)
            self._died = True
            self._worker.running = False  # it ends after the present job


def _jobs(worker: Worker, keep_trying: bool) -> bool:
    """Carry out jobs until a signal, or the end of the rounds, ends it; True if it has to be tried again."""
    worker.configure_signals()
    try:
        worker.run()
    except Exception as error:
        if not keep_trying:
            raise
        if isinstance(error, AWAY):
            _gone(error, time.monotonic() - _waits_seconds())
        else:
            log.exception("a look for jobs failed; the next one is in %.0f s", EVERY_SECONDS)
        close_old_connections()
        return True
    return False


def _waits_seconds() -> float:
    """How long a try waits for the database before it fails, as the settings say."""
    options = connection.settings_dict["OPTIONS"]
    return options.get("pool", options)["timeout"]


def _worker() -> Worker:
    return Worker(
        queue_names=["default"],
        interval=LOOK_SECONDS,
        batch=False,
        backend_name="default",
        startup_delay=False,
        max_tasks=None,
        worker_id=get_random_string(32),
        excluded_queue_names=[],
    )


def _rounds(stopping: threading.Event, keep_trying: bool) -> None:
    started_at, failed = timezone.now(), list[str]()
    while not stopping.is_set():
        watched.turned()
        failed = _try(partial(_round, started_at, failed), "this round", keep_trying) or []
        stopping.wait(EVERY_SECONDS)
    with contextlib.suppress(*AWAY):
        alive.stopped(started_at)
    close_old_connections()


def _arrivals(stopping: threading.Event, keep_trying: bool) -> None:
    """Files of phones that were plugged in, as long as there are any; then a look now and then."""
    while not stopping.is_set():
        watched.turned()
        looked_at = _try(arrivals.provide, "a look for phones that were plugged in", keep_trying)
        if looked_at is None:
            stopping.wait(EVERY_SECONDS)
        else:
            stopping.wait(runner.PAUSE_SECONDS if looked_at else LOOK_SECONDS)
    close_old_connections()


def _sweeps(stopping: threading.Event, keep_trying: bool) -> None:
    """What is kept long enough goes (devices/retention.py)."""
    sweeper = retention.Sweeper(stopping)
    while not stopping.is_set():
        _failed_sweeps[:] = _try(sweeper.sweep, "a sweep", keep_trying) or []
        stopping.wait(EVERY_SECONDS if sweeper.unfinished else SWEEP_SECONDS)
    close_old_connections()


def _try(do: Callable[[], T], what: str, keep_trying: bool) -> T | None:
    """Do it; None if it failed and is tried again. Without `keep_trying` the error goes on."""
    began = time.monotonic()
    try:
        close_old_connections()
        done = do()
        _back(began)
        return done
    except AWAY as error:
        _gone(error, began)
        if not keep_trying:
            raise
    except Exception:
        log.exception("%s failed; the next one is in %.0f s", what, EVERY_SECONDS)
        if not keep_trying:
            raise
    return None


def _gone(error: Exception, began: float) -> None:
    if _outage.gone(began):
        log.error("the database is away (%s); trying again every %.0f s", error, EVERY_SECONDS)


def _back(began: float) -> None:
    if (seconds := _outage.back(began)) is not None:
        log.info("the database is back after %.0f s", seconds)


def _answers() -> bool:
    """True if the database can be asked, else its error. Whoever looks for jobs says each time that he begins."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return True


def _round(started_at: datetime, failed: list[str]) -> list[str]:
    """Say that we live and what went wrong last time; then one round."""
    alive.beat(started_at, [*failed, *(f"deleting old {name}" for name in _failed_sweeps)])
    return one_round()


def one_round() -> list[str]:
    """Everything that is due now. What goes wrong with one thing does not keep the others from being done.

    Returns the names of what went wrong.
    """
    failed = []
    for do in (
        arrivals.provide, stuck.explain_all, runner.revive, retention.forget_unheard, releases.expire,
        books.refresh_all, plain_files.refresh, undoing.prune, pins.give_up, follow_firmware, giving.hand_out,
        moves.follow, *also,
    ):  # fmt: skip
        try:
            do()
        except AWAY:
            raise
        except Exception:
            log.exception("%s failed; it is tried again in the next round", do.__name__)
            failed.append(do.__name__)
    return failed


def follow_firmware() -> None:
    """Phones that took a step of their firmware's path, or whose path changed, get the file for the next one.

    Who could not be rendered is left alone for a while, and whose job somebody has cancelled until a path is set: it
    would begin again every few seconds.
    """
    jobs = Job.objects.filter(title=ours.FIRMWARE)
    if jobs.filter(state__in=(JobState.WAITING, JobState.RUNNING)).exists():
        return
    ids = set(pins.behind())
    if not ids:
        return
    since = timezone.now() - timedelta(minutes=AGAIN_MINUTES)
    failed = JobFailure.objects.filter(job__title=ours.FIRMWARE, job__created_at__gt=since)
    ids -= set(failed.values_list("phone", flat=True))
    # A cancelled one stays cancelled until somebody sets a path anew.
    cancelled = Q(state=JobState.CANCELLED, created_at__gte=pins.set_at() or since)
    stopped = Q(state=JobState.PAUSED) | cancelled | Q(state=JobState.FAILED, ended_at__gt=since)
    for scope in jobs.filter(stopped).values_list("scope", flat=True):
        ids -= set(scope.get("phones", []))
    if ids:
        runner.start(ours.FIRMWARE, {"phones": sorted(ids)}, by=ours.BY)
