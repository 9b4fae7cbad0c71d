"""`manage.py` for somebody who has not started gspnp yet."""

import os
import subprocess
import sys

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
