"""What an error of the database means to a person: no room, away, or a fault of ours."""

from django.db import InterfaceError, OperationalError

# SQLite says SQLITE_FULL so; PostgreSQL repeats the words of the system (ENOSPC), in the language of its server.
SAID = ("disk is full", "No space left on device")
DISK_FULL = "53100"  # PostgreSQL's SQLSTATE. Source: its documentation, appendix A
# SQLite calls these operational too; they are faults, and go by themselves no sooner than any other.
FAULTS = ("no such ", "has no column", "syntax error")
SQLITE_FAULT = "SQLITE_ERROR"  # wrong statements, whatever it says of them. Source: sqlite.org/rescode.html
WORDS = "The disk of the database is full ({}). Make room on it and try again: nothing of this was stored."
# A PostgreSQL that has no room for its log ends, and cannot start before it has: nobody is told why but its log.
AWAY_WORDS = (
    "The database cannot be asked now ({}). Look whether its server runs, and in its log whether its disk is full. "
    "Then try it again."
)


def is_full(error: BaseException) -> bool:
    """Whether this error of the database says that there is no room."""
    if getattr(error.__cause__, "sqlstate", None) == DISK_FULL:
        return True
    return any(words in str(error) for words in SAID)


def is_away(error: BaseException) -> bool:
    """Whether it can be done later: the database cannot be reached, is locked, or has no room."""
    if not isinstance(error, (OperationalError, InterfaceError)):
        return False
    if getattr(error.__cause__, "sqlite_errorname", "") == SQLITE_FAULT:
        return False
    return not any(words in str(error) for words in FAULTS)


def in_words(error: BaseException) -> str:
    """What a person at the command line reads who can do something about it; empty if it is a fault."""
    said = str(error).partition("\n")[0]
    if is_full(error):
        return WORDS.format(said)
    return AWAY_WORDS.format(said) if is_away(error) else ""
