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
