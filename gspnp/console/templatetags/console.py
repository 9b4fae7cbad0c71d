"""Small words of the console's templates: moments, numbers and MACs."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from devices.mac import colons

register = template.Library()

register.filter("colons", colons)


@register.filter
def number(count: int) -> str:
    """A count as people read it: 12,345."""
    return f"{count:,}"


@register.filter
def moment(at: datetime | None) -> SafeString | str:
    """A point in time. The text is absolute and always the same; times.js makes it relative, in the browser's zone."""
    if at is None:
        return ""
    at = at.astimezone(timezone.get_current_timezone())
    return format_html(
        '<time datetime="{}" title="{}" data-moment>{}</time>',
        at.isoformat(timespec="milliseconds"),
        f"{at:%Y-%m-%d %H:%M:%S %Z}",
        f"{at:%Y-%m-%d %H:%M}",
    )
