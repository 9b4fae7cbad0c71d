"""`manage.py jobs`: how far changes of many phones have come; pause, resume, cancel, or wait for one."""

import time

from django.core.management.base import BaseCommand, CommandError

from devices.mac import colons
from provisioning import starting
from provisioning.jobs import kinds, runner, standing
from provisioning.models import Job, JobState

SHOWN = 20
LOOK_SECONDS = 0.5
NOBODY_SECONDS = 10.0  # a worker looks twice a second


class Command(BaseCommand):
    help = "List jobs, or show one; exit code 1 of --wait if it did not get to its end, or a phone failed."

    def add_arguments(self, parser):
        parser.add_argument("id", nargs="?", type=int, help="number of a job")
        parser.add_argument("--pause", dest="do", action="store_const", const=runner.pause)
        parser.add_argument("--resume", dest="do", action="store_const", const=runner.resume)
        parser.add_argument("--cancel", dest="do", action="store_const", const=runner.cancel)
        parser.add_argument("--wait", action="store_true", help="until it has ended; Ctrl-C ends the waiting only")

    def handle(self, **options):
        if options["id"] is None:
            if options["do"] or options["wait"]:
                raise CommandError("Which job? `manage.py jobs` lists them with their numbers.")
            jobs = list(Job.objects.all()[:SHOWN])
            stand = standing.of_each(jobs)
            for job in jobs:
                self.stdout.write(_line(job, stand[job.pk]))
            return
        job = _job(options["id"])
        if options["do"]:
            try:
                options["do"](job.pk)
            except runner.JobError as error:
                raise CommandError(str(error)) from error
        job = self._wait(job.pk) if options["wait"] else _job(job.pk)
        self._show(job)
        if options["wait"] and (job.failed or job.state in (JobState.CANCELLED, JobState.FAILED)):
            raise SystemExit(1)

    def _wait(self, job_id: int) -> Job:
        shown, patience = "", time.monotonic() + NOBODY_SECONDS
        while (stands := standing.of(job := _job(job_id))).is_open:
            line = _line(job, stands)
            if line != shown and self.stdout.isatty():
                shown = line
                self.stdout.write(shown)
            if job.state == JobState.WAITING and patience and time.monotonic() > patience:
                self.stderr.write(f"No worker has taken it yet. {starting.WORKER}")
                patience = 0.0
            time.sleep(LOOK_SECONDS)
        return job

    def _show(self, job: Job) -> None:
        stands = standing.of(job)
        told = stands.told
        self.stdout.write(_line(job, stands))
        if job.words:
            self.stdout.write(f"  {job.words}")
        if job.changed:
            paused = f", {told.held} wait while it is paused" if told.held else ""
            held = f", {told.withheld} held back" if told.withheld else ""
            self.stdout.write(f"  told: {told.sent} of {job.changed}, {told.waiting} wait for their turn{paused}{held}")
        for failure in job.failures.select_related("phone"):
            self.stdout.write(f"  {colons(failure.phone.mac)} {failure.field} {failure.message}")


def _job(job_id: int) -> Job:
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        raise CommandError(f"There is no job {job_id}. `manage.py jobs` lists them.")
    return job


def _line(job: Job, stands: standing.Standing) -> str:
    failed = "left out" if kinds.of(job).order else "failed"
    counts = f"{stands.had_turn} of {job.total} phones, {job.changed} changed, {job.failed} {failed}"
    return f"{job.pk:>5} {stands.words:<9} {stands.percent:>3} %  {job.title}: {counts}"
