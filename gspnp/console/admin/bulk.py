"""One change for many phones: each has its own transaction and its own file; failures are listed, the rest go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.contrib import admin, messages
from django.db import OperationalError, transaction
from django.db.models import BigIntegerField, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from devices import inventory
from devices.crypto import CannotDecrypt
from devices.inventory import VersionConflict
from devices.models import Account, Phone
from gspnp.console.admin.inlines import CodecNames
from gspnp.console.assign import UNREADABLE
from gspnp.console.forms import Text, column_limit
from gspnp.console.refusal import nothing_done
from provisioning import plan
from provisioning.assignment import AssignmentError, ConfigError, save
from provisioning.gxp.config import codec_problems
from provisioning.gxp.fields import address_fault
from provisioning.jobs import runner
from provisioning.layers import store
from provisioning.models import LayerLevel, SettingsLayer

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

FAILURES_SHOWN = 50
NAMED = 10  # phones in one message

Work = Callable[[Phone], str]


class Refusal(Exception):
    """This phone cannot be changed; the text says why."""


@dataclass
class Result:
    """How many phones came out how, and what went wrong with which."""

    done: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def tell(self, model_admin: admin.ModelAdmin, request: HttpRequest, level: int = messages.SUCCESS) -> None:
        """As messages: one for each way it went, one for each kind of failure. `level` is that of what was done."""
        if not self.done:
            nothing_done(request)
        for words, count in self.done.items():
            model_admin.message_user(request, _("%(what)s: %(number)d.") % {"what": words, "number": count}, level)
        self.tell_failures(model_admin, request)

    def tell_failures(self, model_admin: admin.ModelAdmin, request: HttpRequest) -> None:
        """What went wrong alone, where somebody else says what was done."""
        said = self._by_words()
        for failure in said[:FAILURES_SHOWN]:
            model_admin.message_user(request, failure, messages.ERROR)
        if len(said) > FAILURES_SHOWN:
            more = len(said) - FAILURES_SHOWN
            words = ngettext("%(number)d more failure.", "%(number)d more failures.", more)
            model_admin.message_user(request, words % {"number": more}, messages.ERROR)

    def _by_words(self) -> list[str]:
        """What went wrong with many phones alike is said once."""
        phones: dict[str, list[str]] = {}
        for failure in self.failures:
            phone, _colon, words = failure.partition(": ")
            phones.setdefault(words, []).append(phone)
        return [_alike(words, named) for words, named in phones.items()]


def _alike(words: str, named: list[str]) -> str:
    """What went wrong, and with whom."""
    if len(named) == 1:
        return f"{named[0]}: {words}"
    shown = ", ".join(named[:NAMED]) + (", …" if len(named) > NAMED else "")
    line = ngettext("%(number)d phone: %(what)s (%(phones)s)", "%(number)d phones: %(what)s (%(phones)s)", len(named))
    return line % {"number": len(named), "what": words, "phones": shown}


def for_each(phone_ids: Iterable[int], work: Work) -> Result:
    """Do `work`, which returns how it went in words, for each phone; one that is forgotten by now is passed over.

    Each phone is fetched on its own: a SELECT that stays open while we write would hold an old snapshot, and SQLite
    refuses that.
    """
    result = Result()
    for phone_id in list(phone_ids):
        phone: Phone | str = _("Phone %(number)d") % {"number": phone_id}
        try:
            found = Phone.objects.filter(pk=phone_id).first()
            if found is None:
                continue
            phone = found
            words = work(found)
            result.done[words] = result.done.get(words, 0) + 1
        except ConfigError as error:
            result.failures += [f"{phone}, {problem.field}: {problem.message}" for problem in error.problems]
        except CannotDecrypt:
            result.failures.append(f"{phone}: {UNREADABLE}")
        except (AssignmentError, VersionConflict, Refusal) as error:
            result.failures.append(f"{phone}: {error}")
        except OperationalError as error:
            words = _("%(phone)s: The database refused (%(why)s). Nothing was changed; try again.")
            result.failures.append(words % {"phone": phone, "why": error})
    return result


class ServerForm(forms.Form):
    """The SIP server for every account of the chosen phones."""

    value = Text(
        "The SIP server",
        column_limit(Account, "sip_server"),
        trim=True,
        label=gettext_lazy("SIP server"),
        help_text=gettext_lazy("host or host:port, for every account of these phones"),
        widget=UnfoldAdminTextInputWidget(),
    )

    def clean_value(self) -> str:
        """What no phone could use is said here, once, and not for each phone."""
        server: str = self.cleaned_data["value"]
        if not server:
            raise forms.ValidationError(_("The SIP server is missing; enter host or host:port."))
        fault = address_fault(server)
        if fault:
            raise forms.ValidationError(_("The SIP server %(wrong)s.") % {"wrong": fault})
        return server


class CodecsForm(forms.Form):
    """The codecs for every account of the chosen phones."""

    value = CodecNames(label=gettext_lazy("Preferred codecs"), required=False)

    def clean_value(self) -> list[str]:
        """As with the server: names that no phone knows are said here."""
        codecs: list[str] = self.cleaned_data["value"]
        problems = [problem.message for problem in codec_problems("codecs", codecs)]
        if problems:
            raise forms.ValidationError(problems)
        return codecs


@dataclass(frozen=True)
class BulkChange:
    """An action with a page in between: which form it asks, and which field of each account it sets."""

    name: str
    title: StrOrPromise
    form: type[forms.Form]
    account_field: str = ""
    explanation: StrOrPromise = gettext_lazy(
        "Each gets a new file and a NOTIFY at the address shown here. By going on you confirm these addresses."
    )

    def __call__(self, model_admin: admin.ModelAdmin, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        """First the page with the form and the phones' addresses, then the change, as it was seen on that page."""
        asked = self.form(request.POST if "apply" in request.POST else None)
        if asked.is_bound and asked.is_valid():
            seen = seen_on_the_page(request.POST.get("seen", ""))
            by, value = request.user.get_username(), asked.cleaned_data["value"]
            value = tuple(value) if isinstance(value, list) else value
            for_each(seen, lambda phone: self._change(phone, value, seen, by)).tell(model_admin, request)
            self._afterwards(model_admin, request, list(seen))
            return None
        phones = list(queryset.order_by("mac"))
        context = {
            **model_admin.admin_site.each_context(request),
            "title": self.title,
            "opts": model_admin.model._meta,
            "form": asked,
            "phones": phones,
            "action": self.name,
            "explanation": self.explanation,
            "submit": ngettext("Change %(number)d phone", "Change %(number)d phones", len(phones))
            % {"number": len(phones)},
            "seen": json.dumps([[phone.pk, phone.version, phone.source_host] for phone in phones]),
        }
        return TemplateResponse(request, "console/bulk.html", context)

    def _afterwards(self, model_admin: admin.ModelAdmin, request: HttpRequest, phone_ids: list[int]) -> None:
        """What follows from it for all of them together."""

    def _change(self, phone: Phone, value: object, seen: dict[int, tuple[int, str | None]], by: str) -> str:
        phone.version, seen_host = seen[phone.pk]
        draft = plan.draft_of(phone)
        if not draft.accounts:
            raise Refusal(_("It has no account yet. Assign it first."))
        change: dict[str, Any] = {self.account_field: value}
        accounts = tuple(replace(account, **change) for account in draft.accounts)
        saved = save(phone, replace(draft, accounts=accounts), by=by, seen_host=seen_host, kept=draft.numbers)
        return _("Phones saved and notified") if saved.changed else _("Phones that had it already")


class SiteForm(forms.Form):
    """The site of the chosen phones."""

    value = forms.SlugField(
        max_length=40,
        required=False,
        label=gettext_lazy("Site"),
        help_text=gettext_lazy("letters, digits and hyphens; empty: the default site"),
        widget=UnfoldAdminTextInputWidget(),
    )


@dataclass(frozen=True)
class SiteChange(BulkChange):
    """Phones at another site have its settings and its phonebook; a job gives them their files."""

    def _change(self, phone: Phone, value: object, seen: dict[int, tuple[int, str | None]], by: str) -> str:
        moved = inventory.move(phone.pk, str(value), by)
        return _("Phones moved") if moved else _("Phones that stood there already")

    def _afterwards(self, model_admin: admin.ModelAdmin, request: HttpRequest, phone_ids: list[int]) -> None:
        job = runner.start("Phones moved to another site", {"phones": phone_ids}, by=request.user.get_username())
        _tell_of(job.pk, model_admin, request)


class TemplateField(forms.ModelChoiceField):
    """A template by its name."""

    def label_from_instance(self, obj: SettingsLayer) -> str:
        return obj.name


class TemplateForm(forms.Form):
    """A template for the chosen phones."""

    value = TemplateField(
        SettingsLayer.objects.defer("sealed").filter(level=LayerLevel.TEMPLATE).order_by("name"),
        label=gettext_lazy("Template"),
        widget=UnfoldAdminSelectWidget(),
    )


@dataclass(frozen=True)
class TemplateChange(BulkChange):
    """Phones that are given a template, or lose it; a job gives them their files."""

    gives: bool = True

    def _change(self, phone: Phone, value: object, seen: dict[int, tuple[int, str | None]], by: str) -> str:
        phone.version = seen[phone.pk][0]
        template = cast(SettingsLayer, value)
        with transaction.atomic():
            inventory.count_save(phone)
            changed = store.give(phone, template) if self.gives else store.take(phone, template)
        if self.gives:
            return _("Phones that were given the template") if changed else _("Phones that had it already")
        return _("Phones that lost the template") if changed else _("Phones that did not have it")

    def _afterwards(self, model_admin: admin.ModelAdmin, request: HttpRequest, phone_ids: list[int]) -> None:
        title = "A template was given to phones" if self.gives else "A template was taken from phones"
        job = runner.start(title, {"phones": phone_ids}, by=request.user.get_username())
        _tell_of(job.pk, model_admin, request)


def _tell_of(job_id: int, model_admin: admin.ModelAdmin, request: HttpRequest) -> None:
    words = _("Job %(number)d looks which of them need a new file.")
    model_admin.message_user(request, words % {"number": job_id}, messages.INFO)


def seen_on_the_page(text: str) -> dict[int, tuple[int, str | None]]:
    """Which phones the page showed, with version and address; nothing if it was tampered with."""
    try:
        rows = json.loads(text)
        found = {int(pk): (int(version), str(ip_address(host)) if host else None) for pk, version, host in rows}
    except (ValueError, TypeError, OverflowError, RecursionError):
        return {}
    return found if all(0 < pk <= BigIntegerField.MAX_BIGINT for pk in found) else {}


SET_SERVER = BulkChange("set_sip_server", gettext_lazy("Set the SIP server"), ServerForm, "sip_server")
SET_SITE = SiteChange(
    "set_site",
    gettext_lazy("Set the site"),
    SiteForm,
    explanation=gettext_lazy("They get the settings and the phonebook of that site, by a job."),
)
BY_A_JOB = gettext_lazy(
    "What it says reaches their files by a job; it names each phone whose own settings do not go with it."
)
GIVE_TEMPLATE = TemplateChange("give_template", gettext_lazy("Give a template"), TemplateForm, explanation=BY_A_JOB)
TAKE_TEMPLATE = TemplateChange(
    "take_template", gettext_lazy("Take a template"), TemplateForm, explanation=BY_A_JOB, gives=False
)
SET_CODECS = BulkChange("set_codecs", gettext_lazy("Set the preferred codecs"), CodecsForm, "codecs")
