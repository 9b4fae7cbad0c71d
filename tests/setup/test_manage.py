"""`manage.py` for somebody who has not started gspnp yet."""

import os
import subprocess
import sys

import pytest

from gspnp.env import BASE_DIR


def test_a_command_before_the_first_run_says_what_to_do(tmp_path):
    done = subprocess.run(
        [sys.executable, "manage.py", "phones"],
        cwd=BASE_DIR, env=os.environ | {"GSPNP_DATA_DIR": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "The database is not set up yet" in done.stderr
    assert "Traceback" not in done.stderr


def test_whoever_reads_no_further_gets_no_traceback(tmp_path):
    """As `manage.py help | head -0`: the reader is gone before anything is written."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "manage.py", "help"],
        cwd=BASE_DIR, env=os.environ | {"GSPNP_DATA_DIR": str(tmp_path)}, stdout=write, stderr=subprocess.PIPE,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


BREAKS = """
import sys
from unittest import mock
import manage
sys.argv = ["manage.py", sys.argv[1]]
with mock.patch("django.core.management.execute_from_command_line", side_effect=BrokenPipeError("of its own")):
    manage.main()
"""


@pytest.mark.parametrize(("command", "reader_is_gone"), [("listen_pnp", True), ("work", True), ("phones", False)])
def test_a_broken_pipe_that_is_no_readers_is_a_fault_and_said(tmp_path, command, reader_is_gone):
    """A process that goes on for ever has none; for it to end as if it had been read enough would hide why."""
    read, write = os.pipe()
    if reader_is_gone:
        os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", BREAKS, command],
        cwd=BASE_DIR, env=os.environ | {"GSPNP_DATA_DIR": str(tmp_path)}, stdout=write, stderr=subprocess.PIPE,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "BrokenPipeError: of its own" in done.stderr
    os.close(write)
    if not reader_is_gone:
        os.close(read)
