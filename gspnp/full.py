"""A database that has no room left, told from one that is away. Nobody can do anything about it but make room."""

# SQLite says SQLITE_FULL so; PostgreSQL repeats the words of the system (ENOSPC).
SAID = ("disk is full", "No space left on device")
WORDS = "The disk of the database is full ({}). Make room on it and try again: nothing of this was stored."


def is_full(error: BaseException) -> bool:
    """Whether this error of the database says that there is no room."""
    return any(words in str(error) for words in SAID)
