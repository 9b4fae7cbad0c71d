"""What happened, for reading only. Encrypted columns are neither shown nor loaded, whatever their names are."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display

from devices.fields import sealed_names
from devices.mac import colons, search_digits
from devices.models import LiveEvent
from provisioning.models import ConfigFile, Download, Notify

MAC_DIGITS = 12


class ReadOnlyAdmin(ModelAdmin):
    """Nobody adds, changes or deletes here. Encrypted and `secret` columns never leave the database."""

    secret: tuple[str, ...] = ()
    actions = None
    list_per_page = 50
    show_full_result_count = False  # one count of millions is enough
    mac_field = "phone__mac"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).defer(*self.hidden)

    @property
    def hidden(self) -> tuple[str, ...]:
        """Columns that are neither loaded nor shown."""
        return (*sealed_names(self.model), *self.secret)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Every column that is no secret."""
        return [field.name for field in self.model._meta.fields if field.name not in self.hidden]

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        """As Django does it, and MACs in any spelling. A whole one is looked up by its index, and nowhere else."""
        digits = search_digits(search_term) if self.search_fields else None
        if digits and len(digits) == MAC_DIGITS:
            return queryset.filter(**{self.mac_field: digits}), False
        found, duplicates = super().get_search_results(request, queryset, search_term)
        if digits:
            found |= queryset.filter(**{f"{self.mac_field}__contains": digits})
        return found, duplicates


FILE_SECRETS = (*sealed_names(ConfigFile), "first_hash", "steady_hash")


class OfVersionAdmin(ReadOnlyAdmin):
    """Rows that belong to a version of a configuration, which is named and not opened."""

    list_select_related = ("phone", "config_file")

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows = super().get_queryset(request).select_related("phone", "config_file__phone")
        return rows.defer(*self.hidden, *(f"config_file__{name}" for name in FILE_SECRETS))


@admin.register(Notify)
class NotifyAdmin(OfVersionAdmin):
    """The outbox."""

    list_display = (
        "phone",
        "kind",
        "state",
        "status",
        "reason",
        "origin",
        "target_host",
        "created_at",
        "settled_at",
        "note",
    )
    list_filter = ("kind", "state", "origin", "created_at")
    search_fields = ("phone__mac", "target_host", "note", "reason")


@admin.register(Download)
class DownloadAdmin(OfVersionAdmin):
    """Who fetched what, when."""

    list_display = ("phone", "at", "name", "path_kind", "status", "counts", "source_host", "user_agent")
    list_filter = ("path_kind", "status", "counts", "at")
    search_fields = ("phone__mac", "source_host", "name", "user_agent")


@admin.register(ConfigFile)
class ConfigFileAdmin(ReadOnlyAdmin):
    """Versions of configuration; the masked file is on the phone's page of the console."""

    secret = FILE_SECRETS
    list_display = ("phone", "number", "created_at", "fetched_at", "applied_at", "steady_at", "retired_at", "base_url")
    list_filter = ("created_at",)
    list_select_related = ("phone",)
    search_fields = ("phone__mac", "base_url")


@admin.register(LiveEvent)
class LiveEventAdmin(ReadOnlyAdmin):
    """Everything that happened to phones; a forgotten phone's events stay."""

    list_display = ("at", "mac_address", "kind", "stage", "text")
    list_filter = ("kind", "stage", "at")
    search_fields = ("mac", "text")
    ordering = ("-id",)
    mac_field = "mac"

    @display(description="MAC", ordering="mac")
    def mac_address(self, event: LiveEvent) -> str:
        return colons(event.mac)
