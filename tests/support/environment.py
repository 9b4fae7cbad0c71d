"""A pytest plugin, loaded before Django's settings: the suite never sees the developer's installation.

Each process of the suite has its own empty data folder; `.env` and all settings of the shell are out of
sight.
"""

import atexit
import gc
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

SETTINGS = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY")
# Fixed, so that what is encrypted and signed in tests can be compared. They protect nothing.
SECRET_KEY = "only-for-tests-" + "0123456789abcdef" * 3
FIELD_KEY = "dGVzdHMgb25seTogMzIgYnl0ZXMgb2YgYSBrZXkuLi4="
# What tests write lies in memory if that is large enough: each commit waits for its disk, which proves nothing here.
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 4 << 30


def use_memory() -> None:
    """Make folders for this process, and what it starts, in memory. Without it, or with TMPDIR set: on the disk."""
    if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # what was found before is not used any more


def isolate() -> None:
    """Set the environment of this process, and so of what it starts."""
    for name in [name for name in os.environ if name.startswith("GSPNP_") or name in SETTINGS]:
        del os.environ[name]
    folder = tempfile.mkdtemp(prefix="gspnp-tests-")
    atexit.register(_remove, folder, os.getpid())
    os.environ |= {
        "GSPNP_ENV_FILE": "",
        "GSPNP_DATA_DIR": folder,
        "SECRET_KEY": SECRET_KEY,
        "GSPNP_FIELD_KEYS": FIELD_KEY,
        "GSPNP_ADMIN_PASSWORD": "",
    }


def look_for_no_garbage() -> None:
    """All that is imported and collected stays: Python would look through it again and again, which is most of the
    time that collecting takes."""
    gc.disable()


def pytest_collection_finish(session: "pytest.Session") -> None:
    """From here on there is garbage, but not in what is there by now: each look would go through 7,500 tests."""
    gc.freeze()
    gc.enable()


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # not in a forked child
        shutil.rmtree(folder, ignore_errors=True)


look_for_no_garbage()
use_memory()
isolate()
