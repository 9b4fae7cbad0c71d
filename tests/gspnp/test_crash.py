"""What is written when something breaks holds no value: neither Django's report nor our log."""

import io
import logging
import sys

import pytest
from django.http import QueryDict
from django.template import Context, Template
from django.template.base import VariableDoesNotExist
from django.test import RequestFactory
from django.views.debug import get_exception_reporter_class, get_exception_reporter_filter

from gspnp.logs import RedactingFormatter, Stderr

CANARY = "-".join(("hush", "canary", "4711"))  # in pieces: a report quotes the lines of this file


def broken_template():
    """The error of a template that uses a name that is not there, as an argument of a filter."""
    secret = CANARY
    try:
        Template("{{ there|default:missing }}").render(Context({"there": "", "value": secret, "rows": [secret]}))
    except VariableDoesNotExist:
        return sys.exc_info()
    raise AssertionError("it should not have been rendered")


@pytest.mark.parametrize("debug", [False, True])
def test_a_report_of_a_template_error_names_variables_and_shows_none(settings, debug):
    settings.DEBUG = debug
    settings.DATABASE_URL = settings.REDIS_URL = f"postgres://gspnp:{CANARY}@db/gspnp"
    settings.GSPNP_FIELD_KEYS = [CANARY]
    request = RequestFactory().post("/phones/", {"password": CANARY, "q": CANARY}, HTTP_AUTHORIZATION=CANARY)
    request.COOKIES[settings.SESSION_COOKIE_NAME] = CANARY
    kind, error, trace = broken_template()
    for made in (
        get_exception_reporter_class(request)(request, kind, error, trace),
        get_exception_reporter_class(None)(None, kind, error, trace),
    ):
        for text in (made.get_traceback_html(), made.get_traceback_text()):
            assert CANARY not in text
            assert "missing" in text and "broken_template" in text
    assert (
        get_exception_reporter_filter(request).get_post_parameters(request).keys() == QueryDict("password=&q=").keys()
    )


@pytest.mark.parametrize("level", [logging.DEBUG, logging.ERROR])
def test_a_log_of_a_template_error_says_where_and_not_what(level):
    kind, error, trace = broken_template()
    outer = RuntimeError("cannot be drawn")
    outer.__cause__ = error
    for raised in (error, outer, ExceptionGroup("several", [outer])):
        record = logging.LogRecord("django.request", level, __file__, 1, "%s", ("/",), (type(raised), raised, trace))
        text = RedactingFormatter().format(record)
        assert CANARY not in text and "missing" in text


def test_what_could_not_be_logged_is_not_shown_unmasked(capsys):
    class Broken(RedactingFormatter):
        def format(self, record: logging.LogRecord) -> str:
            raise OSError("too many open files")

    stream = io.StringIO()
    handler = Stderr(stream)
    handler.setFormatter(Broken())
    handler.handle(logging.LogRecord("provisioning.door", logging.INFO, "x.py", 1, "path %s", (CANARY,), None))
    assert stream.getvalue() == "a line of provisioning.door could not be logged\n"
    assert CANARY not in capsys.readouterr().err
