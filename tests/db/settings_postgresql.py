"""The product's own settings over a PostgreSQL that the suite has started; it is named in TESTS_DATABASE_URL."""

import os

os.environ["DATABASE_URL"] = os.environ["TESTS_DATABASE_URL"]

from gspnp.settings import *  # noqa: E402, F403
