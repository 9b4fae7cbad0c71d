"""How a process that is missing is started is said in the same words wherever somebody misses it."""

import html
import re

import pytest
from django.core.management import call_command
from django.utils import timezone

from gspnp.console import rows
from gspnp.console.management.commands import jobs
from provisioning import starting
from provisioning.models import Job
from sipmcast.doctor.hearing import judge_listeners
from tests.provisioning.test_prestaged import plugged_in, waiting

pytestmark = pytest.mark.django_db


def plain(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", page))


def test_a_phone_whose_file_nobody_makes_says_how_the_worker_is_started(console, clock):
    waiting()
    plugged_in()
    clock.forward(rows.FILE_SECONDS + 1)
    page = plain(console.get("/").content.decode())
    assert starting.WORKER.replace("`", "") in page and "`" not in page


def test_pages_doctor_and_command_say_it_alike(console, monkeypatch, capsys):
    page = console.get("/").content.decode()
    assert "<code>.venv/bin/python manage.py listen_pnp</code>" in page
    assert starting.LISTENER.replace("`", "") in plain(page)
    assert judge_listeners([], timezone.now())[0].remedy == starting.LISTENER
    now = timezone.now()
    Job.objects.create(kind="settings", title="One", total=1, created_by="tess", created_at=now, called_at=now)
    monkeypatch.setattr(jobs, "NOBODY_SECONDS", -1.0)
    monkeypatch.setattr(jobs.time, "sleep", lambda seconds: Job.objects.update(state="cancelled"))
    with pytest.raises(SystemExit):
        call_command("jobs", str(Job.objects.get().pk), "--wait")
    assert starting.WORKER in capsys.readouterr().err
