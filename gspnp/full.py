"""What an error of the database means to a person: no room, away, or a fault of ours."""

from django.db import InterfaceError, OperationalError

# SQLite says SQLITE_FULL so; PostgreSQL repeats the words of the system (ENOSPC).
SAID = ("disk is full", "No space left on device")
# SQLite calls these operational too; they are faults, and go by themselves no sooner than any other.
FAULTS = ("no such ", "has no column", "syntax error")
WORDS = "The disk of the database is full ({}). Make room on it and try again: nothing of this was stored."


def is_full(error: BaseException) -> bool:
    """Whether this error of the database says that there is no room."""
    return any(words in str(error) for words in SAID)


def is_away(error: BaseException) -> bool:
    """Whether it can be done later: the database cannot be reached, is locked, or has no room."""
    if not isinstance(error, (OperationalError, InterfaceError)):
        return False
    return not any(words in str(error) for words in FAULTS)
