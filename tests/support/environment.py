"""A pytest plugin, loaded before Django's settings: the suite never sees the developer's installation.

Each process of the suite has its own empty data folder; `.env` and all settings of the shell are out of
sight.
"""

import atexit
import os
import shutil
import tempfile

SETTINGS = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY")
# Fixed, so that what is encrypted and signed in tests can be compared. They protect nothing.
SECRET_KEY = "only-for-tests-" + "0123456789abcdef" * 3
FIELD_KEY = "dGVzdHMgb25seTogMzIgYnl0ZXMgb2YgYSBrZXkuLi4="


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


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # not in a forked child
        shutil.rmtree(folder, ignore_errors=True)


isolate()
