#!/usr/bin/env python
"""The command line of gspnp; `manage.py help` lists what there is."""

import os
import select
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gspnp.settings")
    from django.core.management import execute_from_command_line
    from django.db import DatabaseError

    from gspnp import full, logs

    try:
        execute_from_command_line(sys.argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # What goes on for ever prints nothing, and without a reader of its log it goes on: there it is a fault.
        if not logs.is_errand(sys.argv) or not _reader_is_gone():
            raise
        # `| head` has read enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends
        sys.exit(1)
    except DatabaseError as error:
        if words := full.in_words(error):
            sys.exit(words)
        if _has_tables():
            raise
        sys.exit(f"The database is not set up yet ({error}). Run `make run` once, or `manage.py migrate`.")


def _reader_is_gone() -> bool:
    """Whether nobody reads what we print."""
    asked = select.poll()
    asked.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in asked.poll(0))


def _has_tables() -> bool:
    """Whether anything was ever migrated; also true if nobody can know, so that the real error is seen."""
    from django.db import DatabaseError, connection

    try:
        return "django_migrations" in connection.introspection.table_names()
    except DatabaseError:
        return True


if __name__ == "__main__":
    main()
