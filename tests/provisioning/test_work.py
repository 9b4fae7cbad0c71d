"""The worker process: what goes wrong in its rounds, and what supervises it then."""

import os
import subprocess
import sys

import pytest
from django.db import DataError, IntegrityError, InterfaceError, OperationalError

from provisioning.management.commands import work

SCRIPT = """
import django
django.setup()
from django.core.management import call_command
from django.db import OperationalError
from provisioning.management.commands import work
call_command("migrate", verbosity=0)
def broken():
    raise OperationalError("away")
work.one_round = broken
call_command("work")
"""


def test_the_process_ends_when_its_rounds_have_ended(tmp_path):
    """Alive without rounds, it would explain, delete and upgrade nothing, and nobody would start it anew."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "gspnp.settings"}
    environment["DATABASE_URL"] = f"sqlite:///{tmp_path / 'work.sqlite3'}"
    ended = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "The rounds have ended" in ended.stderr


@pytest.mark.django_db
def test_one_part_of_a_round_that_fails_does_not_keep_the_others_from_being_done(monkeypatch):
    done = []

    def broken():
        raise RuntimeError("broken")

    monkeypatch.setattr(work.stuck, "explain_all", broken)
    monkeypatch.setattr(work, "follow_firmware", lambda: done.append(True))
    work.one_round()
    assert done


@pytest.mark.django_db
@pytest.mark.parametrize("error", [IntegrityError, DataError])
def test_a_broken_row_is_no_database_that_is_away(monkeypatch, error):
    """It would end the process, and keep everything after it from being done, for ever."""
    done = []

    def broken():
        raise error("a row")

    monkeypatch.setattr(work.stuck, "explain_all", broken)
    monkeypatch.setattr(work, "follow_firmware", lambda: done.append(True))
    assert work.one_round() == ["broken"] and done


@pytest.mark.django_db
@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_database_that_is_away_ends_the_round(monkeypatch, error):
    def away():
        raise error("away")

    monkeypatch.setattr(work.stuck, "explain_all", away)
    with pytest.raises(error):
        work.one_round()
