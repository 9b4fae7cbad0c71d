"""Which listeners there are, and what each counts, in words."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from gspnp.console.admin.history import ReadOnlyAdmin
from gspnp.console.templatetags.console import moment
from sipmcast.models import ListenerStatus

# What the listener counts, in the order in which a person looks; what is not named here comes after, as it is called.
COUNTERS = {
    "received": gettext_lazy("datagrams received"),
    "sighted": gettext_lazy("SUBSCRIBEs of phones that we serve"),
    "answered": gettext_lazy("of these, answered"),
    "absorbed": gettext_lazy("repeated while their answer waited"),
    "replayed": gettext_lazy("repeated and answered with the same bytes"),
    "foreign": gettext_lazy("SUBSCRIBEs of other vendors' phones"),
    "notify_sent": gettext_lazy("NOTIFYs sent"),
    "notify_resent": gettext_lazy("NOTIFYs gone on with after a restart"),
    "notify_answered": gettext_lazy("NOTIFYs answered"),
    "notify_agreed": gettext_lazy("of these, agreed to"),
    "notify_refused": gettext_lazy("of these, refused"),
    "notify_timed_out": gettext_lazy("NOTIFYs not answered in 32 s"),
    "notify_no_room": gettext_lazy("NOTIFYs that had to wait for room"),
    "resent": gettext_lazy("requests sent once more, for want of an answer"),
    "ping_sent": gettext_lazy("OPTIONS sent, to see who is online"),
    "ping_answered": gettext_lazy("OPTIONS answered"),
    "ping_timed_out": gettext_lazy("OPTIONS not answered"),
    "options": gettext_lazy("OPTIONS of others, answered"),
    "refused": gettext_lazy("requests refused"),
    "kernel_drops": gettext_lazy("datagrams thrown away by the kernel, unread"),
    "over_limit": gettext_lazy("datagrams over the limit of their source or of all"),
    "not_allowed": gettext_lazy("datagrams from networks that are not allowed"),
    "new_over_limit": gettext_lazy("new phones over the limit of their source or of all"),
    "store_away": gettext_lazy("times that the database was away"),
    "held": gettext_lazy("phones held in memory, waiting for the database"),
    "lost": gettext_lazy("phones that memory had no room for"),
    "send_full": gettext_lazy("datagrams that could not leave: the send buffer was full"),
    "send_failed": gettext_lazy("datagrams that could not be sent"),
    "stray_response": gettext_lazy("answers to nothing that we asked"),
    "response_on_group": gettext_lazy("answers sent to the group"),
    "bad_source": gettext_lazy("datagrams from an impossible address"),
    "required": gettext_lazy("requests that require an extension"),
    "doctor": gettext_lazy("questions of pnp_doctor"),
}
NONE = "–"
BREAK = SafeString("<br>")


@admin.register(ListenerStatus)
class ListenerStatusAdmin(ReadOnlyAdmin):
    """Read-only; nothing that a listener says is taken for markup."""

    list_display = ("name", "site", "where", "last_sign_of_life", "heard", "answered", "kernel_drops", "remarks")
    readonly_fields = ("where", "last_heard", "remarks", "counts")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Lists and dictionaries as a person reads them."""
        return ["name", "site", "started_at", "last_sign_of_life", *self.readonly_fields]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self.get_fields(request, obj)

    @display(description=gettext_lazy("last sign of life"), ordering="heartbeat_at")
    def last_sign_of_life(self, status: ListenerStatus) -> datetime:
        return status.heartbeat_at

    @display(description=gettext_lazy("listens on"))
    def where(self, status: ListenerStatus) -> str:
        return ", ".join(map(str, status.interfaces)) or NONE

    @display(description=gettext_lazy("SUBSCRIBEs"))
    def heard(self, status: ListenerStatus) -> str:
        return _number(status.counters.get("sighted", 0))

    @display(description=gettext_lazy("answered"))
    def answered(self, status: ListenerStatus) -> str:
        return _number(status.counters.get("answered", 0))

    @display(description=gettext_lazy("kernel drops"))
    def kernel_drops(self, status: ListenerStatus) -> str:
        return _number(status.counters.get("kernel_drops", 0))

    @display(description=gettext_lazy("trouble and warnings"))
    def remarks(self, status: ListenerStatus) -> str:
        return " ".join(filter(None, [status.trouble, *map(str, status.warnings)])) or NONE

    @display(description=gettext_lazy("last SUBSCRIBE heard"))
    def last_heard(self, status: ListenerStatus) -> SafeString | str:
        rows = ((name, _moment(at)) for name, at in sorted(status.heard_at.items()))
        return format_html_join(BREAK, "{} {}", rows) or NONE

    @display(description=gettext_lazy("counts since it started"))
    def counts(self, status: ListenerStatus) -> SafeString | str:
        known = [(words, status.counters[name]) for name, words in COUNTERS.items() if status.counters.get(name)]
        others = [
            (name.replace("_", " "), n) for name, n in sorted(status.counters.items()) if name not in COUNTERS and n
        ]
        rows = ((_number(count), words) for words, count in [*known, *others])
        return format_html_join(BREAK, "{} {}", rows) or NONE


def _number(count: Any) -> str:
    return f"{count:,}" if isinstance(count, int) else str(count)


def _moment(text: Any) -> SafeString | str:
    """A time as the listener wrote it, for people; anything else as it is."""
    try:
        return moment(datetime.fromisoformat(text))
    except (TypeError, ValueError):
        return str(text)
