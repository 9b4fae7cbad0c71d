"""Phones, accounts and keys in the admin: lists for many phones, the form of one, and bulk actions."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import csrf_protect_m
from django.contrib.admin.utils import unquote
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from devices import inventory
from devices.choices import Stage
from devices.mac import colons, search_digits
from devices.models import Account, Key, Phone
from gspnp.console import bulk_edit, exports
from gspnp.console.admin import telling
from gspnp.console.admin.bulk import (
    GIVE_TEMPLATE,
    SET_CODECS,
    SET_SERVER,
    SET_SITE,
    TAKE_TEMPLATE,
    for_each,
)
from gspnp.console.admin.inlines import AccountInline, KeyInline
from gspnp.console.admin.presence import PresenceColumns, ReachFilter, TemplateFilter, with_presence
from gspnp.console.assign import saved_words
from gspnp.console.refusal import nothing_done
from gspnp.console.rows import SHOWN_ACCOUNTS

STAGE_COLOURS = {
    Stage.SEEN: "info",
    Stage.ASSIGNED: "primary",
    Stage.NOTIFIED: "warning",
    Stage.FETCHED: "warning",
    Stage.APPLIED: "success",
    Stage.IGNORED: "",
    Stage.RETIRED: "",
}
ABOUT = (
    ("mac_address", "source_host"),
    ("model", "firmware"),
    ("vendor", "interface"),
    "site",
    "local_host",
    "contact",
    ("first_seen_at", "last_seen_at"),
)
STANDING = (
    ("stage", "stage_at"),
    "stage_reason",
    ("reach_words", "neighbour"),
    "alarm",
    ("approved_host", "steady_host"),
    "version",
)
SHOWN = tuple(name for part in (*ABOUT, *STANDING) for name in ((part,) if isinstance(part, str) else part))


class PhoneForm(forms.ModelForm):
    """The phone as the person sees it: nothing of it is typed, and its version and address come back with the form."""

    seen_version = forms.IntegerField(label=gettext_lazy("Seen version"), widget=forms.HiddenInput)
    seen_host = forms.CharField(label=gettext_lazy("Seen host"), required=False, widget=forms.HiddenInput)

    class Meta:
        model = Phone
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["seen_version"], self.initial["seen_host"] = self.instance.version, self.instance.source_host


DjangoModelAdmin: Any = admin.ModelAdmin  # for mypy as untyped as unfold's, which stands before it


class UnwrappedAdmin(DjangoModelAdmin):
    """Django's change view without its transaction around everything, which would lock SQLite while we render.

    It stands behind unfold's classes, in the place of Django's own; what is saved has a short transaction of its own.
    """

    @csrf_protect_m
    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        return self._changeform_view(request, object_id, form_url, extra_context)


@admin.register(Phone)
class PhoneAdmin(PresenceColumns, ModelAdmin, UnwrappedAdmin):
    """Every change here is an assignment: a file and a NOTIFY follow. Deleting is forgetting."""

    form = PhoneForm
    inlines = (AccountInline, KeyInline)
    list_display = (
        "mac_address",
        "stage_label",
        "model",
        "firmware",
        "extension",
        "source_host",
        "reach_label",
        "neighbour_label",
        "alarm",
        "last_seen_at",
    )
    list_filter = (
        "stage",
        ReachFilter,
        "site",
        TemplateFilter,
        "neighbour",
        "model",
        "firmware",
        "vendor",
        "last_seen_at",
    )
    list_per_page = 50
    search_fields = ("mac", "model", "firmware", "source_host")
    search_help_text = gettext_lazy("MAC in any spelling, extension, caller name, model, firmware or address")
    readonly_fields = SHOWN
    fieldsets = (
        (None, {"fields": (*ABOUT, "seen_version", "seen_host")}),
        (gettext_lazy("How far it has come"), {"fields": STANDING}),
    )
    actions = (
        telling.notify, telling.check, telling.resync, telling.reboot, "set_sip_server", "set_codecs", "set_site",
        "give_template", "take_template", "edit_fields", "export_phones",
        telling.ignore,
    )  # fmt: skip
    actions_list = ("import_export",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Phone]:
        return with_presence(super().get_queryset(request)).prefetch_related(SHOWN_ACCOUNTS)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        """Columns as Django does it, and MACs in any spelling, extensions and caller names."""
        found, _many = super().get_search_results(request, queryset, search_term)
        term = search_term.strip()
        if not term:
            return found, False
        mine = Account.objects.filter(Q(user_id__icontains=term) | Q(display_name__icontains=term))
        more = Q(pk__in=mine.values("phone"))
        digits = search_digits(term)
        if digits:
            more |= Q(mac__contains=digits)
        return found | queryset.filter(more), False

    # --- columns --------------------------------------------------------------------------------------------------

    @display(description=gettext_lazy("MAC"), ordering="mac")
    def mac_address(self, phone: Phone) -> str:
        return colons(phone.mac)

    @display(description=gettext_lazy("stage"), ordering="stage", label=STAGE_COLOURS)
    def stage_label(self, phone: Phone) -> tuple[str, str]:
        return phone.stage, phone.get_stage_display()

    @display(description=gettext_lazy("extension"))
    def extension(self, phone: Phone) -> str:
        return ", ".join(f"{account.user_id} {account.display_name}".strip() for account in phone.accounts.all()) or "–"

    # --- one phone ------------------------------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Phones appear by themselves."""
        return False

    def _create_formsets(self, request: HttpRequest, obj: Phone | None = None, change: bool = False) -> Any:
        """Django's hook for the formsets of one request: the keys' formset gets to know the accounts' one."""
        formsets, inlines = super()._create_formsets(request, obj, change)
        if request.method == "POST" and len(formsets) == 2:
            accounts, keys = formsets
            keys.request, keys.accounts = request, accounts
            cast(Any, request).key_formset = keys
        return formsets, inlines

    def save_model(self, request: HttpRequest, obj: Phone, form: Any, change: bool) -> None:
        """Nothing: the assignment was saved at the end of validation (see `inlines`)."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Say what the save did."""
        if (saved := cast(Any, request).key_formset.saved) is not None:
            messages.info(request, saved_words(saved))

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> str:
        """For the admin's own log, in English because it is stored; never what was typed."""
        return "Assignment saved."

    def delete_model(self, request: HttpRequest, obj: Phone) -> None:
        """Forget it."""
        inventory.forget(obj.pk, request.user.get_username())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Phone]) -> None:
        """Forget each in a transaction of its own."""
        by = request.user.get_username()
        result = for_each(_ids(queryset), lambda phone: str(inventory.forget(phone.pk, by)))
        if not result.done:
            nothing_done(request)
        result.tell_failures(self, request)  # what went well is said by Django

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What forgetting takes along, in one line each; it needs no other permission than for the phone."""
        words = _("%(phone)s: its accounts, keys, files, NOTIFYs and downloads")
        lines = [words % {"phone": phone} for phone in objs]
        return lines, {_("phones"): len(lines)}, set(), []

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """What happened to it stands on its page in the console; the admin's own log knows a small part of it."""
        phone = self.get_object(request, unquote(object_id))
        if phone is None:
            raise Http404
        return HttpResponseRedirect(reverse("console:phone", args=[phone.mac]))

    # --- many phones ------------------------------------------------------------------------------------------------

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Django's delete action keeps its page in between, and says what it does here."""
        actions = super().get_actions(request)
        if "delete_selected" in actions:
            function, name, _description = actions["delete_selected"]
            actions["delete_selected"] = (function, name, _("Forget selected phones"))
        return actions

    @action(description=gettext_lazy("Import & export"), url_path="import-export", icon="upload_file")
    def import_export(self, request: HttpRequest) -> HttpResponse:
        """The console's page: it has the preview, the job and the way back that files and NOTIFYs need."""
        return HttpResponseRedirect(reverse("console:imports"))

    @admin.action(description=gettext_lazy("Edit chosen fields…"), permissions=["change"])
    def edit_fields(self, request: HttpRequest, queryset: QuerySet[Phone]) -> HttpResponse:
        """Several fields at once, with a preview and a way back."""
        return bulk_edit.form_of(request, queryset)

    @admin.action(description=gettext_lazy("Export…"), permissions=["view"])
    def export_phones(self, request: HttpRequest, queryset: QuerySet[Phone]) -> HttpResponse:
        """The chosen ones as CSV, without passwords; the console's page has the other ways."""
        return exports.answer(request, Phone.objects.filter(pk__in=_ids(queryset)))

    @admin.action(description=gettext_lazy("Set SIP server…"), permissions=["change"])
    def set_sip_server(self, request: HttpRequest, queryset: QuerySet[Phone]) -> HttpResponse | None:
        """One server for every account."""
        return SET_SERVER(self, request, queryset)

    @admin.action(description=gettext_lazy("Set codecs…"), permissions=["change"])
    def set_codecs(self, request: HttpRequest, queryset: QuerySet[Phone]) -> HttpResponse | None:
        """One list of codecs for every account."""
        return SET_CODECS(self, request, queryset)

    @admin.action(description=gettext_lazy("Set site…"), permissions=["change"])
    def set_site(self, request: HttpRequest, queryset: QuerySet[Phone]) -> HttpResponse | None:
        """Where they stand."""
        return SET_SITE(self, request, queryset)

    @admin.action(description=gettext_lazy("Give a template…"), permissions=["change"])
    def give_template(self, request: HttpRequest, queryset: QuerySet[Phone]) -> HttpResponse | None:
        """One template more, which wins over those that they have."""
        return GIVE_TEMPLATE(self, request, queryset)

    @admin.action(description=gettext_lazy("Take a template…"), permissions=["change"])
    def take_template(self, request: HttpRequest, queryset: QuerySet[Phone]) -> HttpResponse | None:
        """One template less."""
        return TAKE_TEMPLATE(self, request, queryset)


def _ids(queryset: QuerySet[Phone]) -> list[int]:
    return list(queryset.values_list("pk", flat=True))


class PartAdmin(ModelAdmin):
    """Accounts or keys of all phones, for finding; they are changed in their phone's form."""

    actions = None
    list_per_page = 50
    list_select_related = ("phone",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """The phone's form; who may not see it is refused there."""
        part = self.get_object(request, unquote(object_id))
        if part is None:
            raise Http404
        return HttpResponseRedirect(reverse("admin:devices_phone_change", args=[part.phone_id]))

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        """As Django does it, and MACs in any spelling."""
        found, duplicates = super().get_search_results(request, queryset, search_term)
        digits = search_digits(search_term)
        return (found | queryset.filter(phone__mac__contains=digits) if digits else found), duplicates

    @display(description=gettext_lazy("phone"), ordering="phone__mac")
    def phone_link(self, part: Account | Key) -> str:
        url = reverse("console:phone", args=[part.phone.mac])
        return format_html('<a href="{}">{}</a> {}', url, colons(part.phone.mac), part.phone.model)


@admin.register(Account)
class AccountAdmin(PartAdmin):
    """Extensions. The password is neither shown nor loaded."""

    list_display = ("user_id", "display_name", "sip_server", "number", "phone_link")
    list_filter = ("sip_server", "number")
    search_fields = ("user_id", "display_name", "sip_server", "auth_id", "phone__mac")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        return super().get_queryset(request).defer("password")


@admin.register(Key)
class KeyAdmin(PartAdmin):
    """What is on which key."""

    list_display = ("key_name", "mode", "value", "label", "account", "phone_link")
    list_filter = ("mode", "kind")
    search_fields = ("value", "label", "phone__mac")

    @display(description=gettext_lazy("key"), ordering="number")
    def key_name(self, key: Key) -> str:
        return f"{key.kind}{key.number}"
