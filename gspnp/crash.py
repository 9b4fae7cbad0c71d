"""What is written when something breaks: where it broke, and nothing of what was in memory there.

Django's reports hold the variables of every frame, what was posted, and the settings; a template error holds the whole
context. With us these are passwords and keys, so a report names them and shows none, with DEBUG too.
"""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest, QueryDict
from django.template.base import VariableDoesNotExist
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

HIDDEN = "…"


def without_context(error: BaseException | None) -> None:
    """Take out of a template's error, and of what led to it, the repr of the context in which a name was not found."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, VariableDoesNotExist):
            one.params = (*one.params[:1], HIDDEN)
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]


class NoValues(SafeExceptionReporterFilter):
    """Names only: of variables, of what was posted, and of settings that may hold a secret."""

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}|DATABASE|REDIS|CHANNEL_LAYERS", re.IGNORECASE
    )

    def is_active(self, request: HttpRequest | None) -> bool:
        return True

    def get_post_parameters(self, request: HttpRequest | None) -> QueryDict:
        names = request.POST if request is not None else ()
        shown = QueryDict(mutable=True)
        shown.update(dict.fromkeys(names, self.cleansed_substitute))
        return shown

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: Any) -> Any:
        return dict.fromkeys(tb_frame.f_locals, self.cleansed_substitute).items()


class Report(ExceptionReporter):
    """Django's report, without the context in the words of a template's error."""

    def get_traceback_data(self) -> dict[str, Any]:
        without_context(self.exc_value)
        return super().get_traceback_data()
