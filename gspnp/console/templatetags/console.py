"""Small words of the console's templates: moments, numbers and MACs."""

from __future__ import annotations

import re
from datetime import datetime

from django import template
from django.template import Context
from django.utils import timezone
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, gettext_lazy
from django.utils.translation import gettext as _

from devices import wake
from devices.mac import colons
from gspnp.console.drawn import row_html
from gspnp.console.shell import is_plain_beyond_loopback
from provisioning import starting
from provisioning.effective import Origin
from provisioning.gxp.layers import Level
from provisioning.models import Notify, NotifyOrigin, NotifyState

# How `gxp.layers.Layer.title` names a layer that has a name of its own.
NAMED = {
    Level.FIRMWARE: gettext_lazy("firmware %(name)s"),
    Level.SITE: gettext_lazy("site %(name)s"),
    Level.MODEL: gettext_lazy("model %(name)s"),
    Level.TEMPLATE: gettext_lazy("template %(name)s"),
}

register = template.Library()

register.filter("colons", colons)
register.simple_tag(row_html, name="phone_row")
_BACKTICKED = re.compile(r"`([^`]+)`")


@register.simple_tag(takes_context=True)
def plain_http(context: Context) -> bool:
    """Whether passwords that are typed into this page cross a network in the clear: for pages of the shell."""
    return is_plain_beyond_loopback(context["request"])


@register.simple_tag
def redis_is_away() -> bool:
    """Whether this process could not reach Redis when it tried last; a page that is open lets it try (tail.py)."""
    return wake.is_on() and wake.is_away()


OCCASIONS = {
    NotifyOrigin.SAVE: gettext_lazy("occasion: a save"),
    NotifyOrigin.JOB: gettext_lazy("occasion: a job of many phones"),
    NotifyOrigin.PERSON: gettext_lazy("occasion: a person"),
    NotifyOrigin.AUTOMATIC: gettext_lazy("occasion: the phone was seen again, or did not answer"),
}


@register.filter
def occasion(notify: Notify) -> str:
    """What a NOTIFY was sent for; if it was a job, which one."""
    if notify.job is not None:
        return _("occasion: %(title)s, job %(number)d") % {"title": notify.job.title, "number": notify.job.pk}
    return str(OCCASIONS[NotifyOrigin(notify.origin)])


@register.filter
def notify_state(notify: Notify) -> str:
    """How a NOTIFY stands. A save is not all that takes the place of one: so does a command, or “Notify again”."""
    return _("Superseded by a newer one") if notify.state == NotifyState.SUPERSEDED else notify.get_state_display()


def layer_words(title: str) -> str:
    """The title of a layer in the reader's language."""
    level, _blank, name = title.partition(" ")
    return NAMED[Level(level)] % {"name": name} if name and level in NAMED else _(title)


@register.filter
def origin_words(origin: Origin) -> str:
    """Who says a value, in the reader's language."""
    return layer_words(origin.words)


@register.filter
def number(count: int) -> str:
    """A count as people read it: 12,345."""
    return f"{count:,}"


@register.filter
def moment(at: datetime | None) -> SafeString | str:
    """A point in time. The text is absolute and always the same; times.js makes it relative, in the browser's zone."""
    return _time(at, "")


@register.filter
def since(at: datetime | None) -> SafeString | str:
    """The same where it stands behind the word: times.js makes it the time of today, or the day."""
    return _time(at, "plain")


@register.filter
def left(at: datetime | None) -> SafeString | str:
    """A point in time that is waited for: times.js counts the minutes and seconds down."""
    return _time(at, "left")


def _time(at: datetime | None, kind: str) -> SafeString | str:
    if at is None:
        return ""
    at = at.astimezone(timezone.get_current_timezone())
    return format_html(
        '<time datetime="{}" title="{}" data-moment="{}">{}</time>',
        at.isoformat(timespec="milliseconds"),
        f"{at:%Y-%m-%d %H:%M:%S %Z}",
        kind,
        f"{at:%Y-%m-%d %H:%M}",
    )


@register.simple_tag
def start_words(what: str) -> SafeString:
    """How the `worker` or a `listener` is started."""
    return with_code(gettext(starting.OF[what]))


@register.filter
def with_code(text: str) -> SafeString:
    """The text with what stands between two backticks as code; everything in it is escaped."""
    return mark_safe(_BACKTICKED.sub(r"<code>\1</code>", escape(text)))  # escaped before the tags are put in
