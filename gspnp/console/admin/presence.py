"""Columns and filters of the admin's phone list: is it there, and is the MAC at its address its own?"""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.db.models import Exists, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from devices.choices import WAY, Neighbour
from devices.models import Phone
from gspnp.console.rows import IS_OFFLINE, IS_ONLINE, OFFLINE, ONLINE, REACH_LABELS, UNKNOWN, WHY_SILENT, reach_of
from gspnp.console.templatetags.console import moment
from provisioning.models import LayerLevel, SettingsLayer
from sipmcast.models import ListenerStatus, is_fresh_at

# A state without an entry would be shown by its name for programs.
REACH_COLOURS = {ONLINE: "success", OFFLINE: "danger", UNKNOWN: ""}
NEIGHBOUR_COLOURS = {Neighbour.MATCH: "success", Neighbour.MISMATCH: "danger", Neighbour.UNKNOWN: ""}


def with_presence(phones: QuerySet[Phone]) -> QuerySet[Phone]:
    """With what `reach` needs, so that a list asks once and not for every row."""
    fresh = ListenerStatus.objects.filter(is_fresh_at(timezone.now()))
    return phones.annotate(is_asked=Exists(fresh), why_silent=WHY_SILENT)


class ReachFilter(admin.SimpleListFilter):
    """Online, offline or not known; phones without a configuration of ours are in none of them."""

    title = gettext_lazy("reachability")
    parameter_name = "reach"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, str(label)) for state, label in REACH_LABELS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Phone]) -> QuerySet[Phone]:
        """The same rule as the console's list."""
        if self.value() == ONLINE:
            return queryset.filter(IS_ONLINE)
        if self.value() == OFFLINE:
            return queryset.filter(IS_OFFLINE)
        return queryset.filter(stage__in=WAY, online=None) if self.value() == UNKNOWN else queryset


class TemplateFilter(admin.SimpleListFilter):
    """Phones that have a template."""

    title = gettext_lazy("template")
    parameter_name = "template"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        templates = SettingsLayer.objects.filter(level=LayerLevel.TEMPLATE).order_by("name")
        return [(str(pk), name) for pk, name in templates.values_list("pk", "name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Phone]) -> QuerySet[Phone]:
        chosen = self.value() or ""
        return queryset.filter(templates__layer=int(chosen)) if chosen.isdecimal() else queryset


class PresenceColumns:
    """Display methods for a ModelAdmin whose rows come from `with_presence`."""

    @display(description=gettext_lazy("reachability"), ordering="online", label=REACH_COLOURS)
    def reach_label(self, phone: Phone) -> tuple[str, str]:
        reach = reach_of(phone, *_asked(phone))
        if reach is None:
            return "", "–"
        return reach.state, _("unknown") if reach.state == UNKNOWN else reach.label

    @display(description=gettext_lazy("MAC check"), ordering="neighbour", label=NEIGHBOUR_COLOURS)
    def neighbour_label(self, phone: Phone) -> tuple[str, str]:
        return phone.neighbour, _("unknown") if phone.neighbour == Neighbour.UNKNOWN else phone.get_neighbour_display()

    @display(description=gettext_lazy("reachability"))
    def reach_words(self, phone: Phone) -> str:
        """In full, for the page of one phone."""
        reach = reach_of(phone, *_asked(phone))
        if reach is None:
            return _("Only phones with a configuration are asked.")
        state = ", ".join(str(part) for part in (reach.label, reach.rtt_words, reach.why) if part)
        if not reach.since:
            return state
        return format_html(_("{state}, since {since}"), state=state, since=moment(reach.since))


def _asked(phone: Phone) -> tuple[bool, str]:
    row = cast(Any, phone)
    return row.is_asked, row.why_silent or ""
