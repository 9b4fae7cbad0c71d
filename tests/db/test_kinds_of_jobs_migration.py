"""Back to a version that knows fewer kinds of jobs: not while one of these is open."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from provisioning.jobs import runner
from provisioning.jobs.models import Job, JobState

pytestmark = [pytest.mark.db, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("present")]
BEFORE = [("provisioning", "0015_import_rows_by_mac")]


def test_nobody_goes_back_to_a_version_that_takes_an_open_job_for_another():
    now = timezone.now()
    jobs = [
        Job.objects.create(kind=kind, state=state, title="x", created_by="tess", created_at=now, called_at=now)
        for kind, state in (("reboot", JobState.PAUSED), ("import", JobState.DONE), ("rerender", JobState.WAITING))
    ]
    with pytest.raises(RuntimeError, match=rf"not over: {jobs[0].pk}\. .*cancel them"):
        MigrationExecutor(connection).migrate(BEFORE)
    runner.cancel(jobs[0].pk)
    MigrationExecutor(connection).migrate(BEFORE)
