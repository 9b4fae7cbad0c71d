"""The last door before a log: secret paths and the contexts of templates never pass it, not even in a traceback."""

import contextlib
import logging
import re
import sys

# After /p/, or wherever 22 characters stand alone: a proxy may have stripped or changed what was in front.
SECRET_PATH = re.compile(r"(?<=/p/)[A-Za-z0-9_-]{16,}|(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{22}(?![A-Za-z0-9_-])")


class WithoutTraceback(logging.Filter):
    """For errors that a stranger can cause at will (a foreign Host header): one line is enough."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        return True


class Stderr(logging.StreamHandler):
    """What cannot be formatted is not written otherwise: Python's own report of that shows what it was, unmasked."""

    def handleError(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(f"a line of {record.name} could not be logged\n")


class RedactingFormatter(logging.Formatter):
    """Formats as usual, then replaces the secret in every `/p/<secret>/…` of the whole text."""

    def format(self, record: logging.LogRecord) -> str:
        if record.exc_info and "django.template.base" in sys.modules:
            from gspnp.crash import without_context

            without_context(record.exc_info[1])
        return SECRET_PATH.sub("…", super().format(record))
