"""The directory of extensions in the admin: to look and to delete. Adding and changing is the console's, which shows
who follows; secrets are neither shown nor loaded."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.decorators import display

from devices import directory
from devices.models import Extension

SHOWN = ("number", "name", "site", "sip_server", "auth_id", "voicemail")


@admin.register(Extension)
class ExtensionAdmin(ModelAdmin):
    """Numbers that phones can be given."""

    list_display = ("number", "name", "site", "sip_server", "has_secret", "changed_at")
    list_filter = ("site",)
    search_fields = ("number", "name", "site", "sip_server")
    list_per_page = 100
    show_full_result_count = False
    fields = readonly_fields = (*SHOWN, "has_secret", "created_at", "changed_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Extension]:
        return directory.readable()

    @display(description="secret", boolean=True)
    def has_secret(self, extension: Extension) -> bool:
        return bool(extension.secret_chars)  # type: ignore[attr-defined]

    def has_change_permission(self, request: HttpRequest, obj: Extension | None = None) -> bool:
        return False

    def add_view(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        """In the console, where it is checked and noted."""
        return HttpResponseRedirect(reverse("console:extension_add"))
