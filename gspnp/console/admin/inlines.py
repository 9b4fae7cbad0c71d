"""Accounts and keys inside the admin's phone form. Their formsets never write: they make a Draft and save that.

The save is the last step of validation: `assignment.save` looks at everything itself and writes nothing if it objects,
so that each of its objections can stand beside its field.
"""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import StackedInline, TabularInline
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from devices.catalog import CODECS, DEFAULT_CODECS, KeyKind, KeyMode, KeySlot
from devices.crypto import CannotDecrypt
from devices.inventory import VersionConflict
from devices.models import Account, Key, Phone
from gspnp.console.access import CHANGE, may_compare
from gspnp.console.assign import UNREADABLE
from gspnp.console.forms import PasswordText, Text, column_limit, posted_int
from provisioning import outbox, plan
from provisioning.assignment import AssignmentError, ConfigError, Saved, save
from provisioning.gxp.config import AccountConfig, KeyConfig, Problem


class CodecNames(forms.CharField):
    """Codecs, best first, as names with commas between; what is unknown is said by the configuration's own check."""

    def __init__(self, **options: Any) -> None:
        known = gettext_lazy("Best first, with commas between. Known: {codecs}.")
        words = format_lazy(known, codecs=", ".join(CODECS))
        super().__init__(help_text=words, widget=UnfoldAdminTextInputWidget(), **options)

    def prepare_value(self, value: Any) -> Any:
        """A list as it is typed."""
        return ", ".join(value) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        """The names, whatever the case of their letters."""
        known = {name.upper(): name for name in CODECS}
        words = [word.strip() for word in (value or "").split(",") if word.strip()]
        return [known.get(word.upper(), word) for word in words]


def _line(subject: str, model: type[Account] | type[Key], name: str, **options: Any) -> Text:
    label = capfirst(getattr(model._meta.get_field(name), "verbose_name", name))
    return Text(subject, column_limit(model, name), label=label, widget=UnfoldAdminTextInputWidget(), **options)


class AccountInlineForm(forms.ModelForm):
    """One account. The stored password is never part of this form."""

    user_id = _line("The extension", Account, "user_id", trim=True)
    new_password = PasswordText(
        "The password",
        label=gettext_lazy("Password"),
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text=gettext_lazy(
            "Write-only. Blank keeps the stored one; without one, most SIP servers refuse the account."
        ),
    )
    display_name = _line("The caller name", Account, "display_name")
    sip_server = _line("The SIP server", Account, "sip_server", trim=True)
    auth_id = _line("The authentication ID", Account, "auth_id", trim=True)
    voicemail = _line("The voicemail number", Account, "voicemail")
    codecs = CodecNames(label=gettext_lazy("Preferred codecs"), required=False, initial=list(DEFAULT_CODECS))

    class Meta:
        model = Account
        fields = ("number", "user_id", "display_name", "sip_server", "auth_id", "voicemail", "codecs")

    @property
    def gives_password(self) -> bool:
        """Whether one was typed, or the account gets the one of a row that stood at another number."""
        return bool(self.cleaned_data["new_password"]) or "number" in self.changed_data

    def config(self, stored: dict[int, AccountConfig]) -> AccountConfig:
        """What was decided; without a new password the stored one of this row stays, also under another number."""
        typed = self.cleaned_data
        before = stored.get(self.initial.get("number", 0)) if self.instance.pk else None
        return AccountConfig(
            number=typed["number"],
            sip_server=typed["sip_server"],
            user_id=typed["user_id"],
            auth_id=typed["auth_id"],
            password=typed["new_password"] or (before.password if before is not None else ""),
            display_name=typed["display_name"],
            voicemail=typed["voicemail"],
            codecs=tuple(typed["codecs"]),
        )


class KeyInlineForm(forms.ModelForm):
    """One key."""

    label = _line("The label", Key, "label")
    value = _line("The value", Key, "value")

    class Meta:
        model = Key
        fields = ("kind", "number", "mode", "value", "label", "account")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            # Its label is the head of a column, which a screen reader does not read with a field.
            field.widget.attrs.setdefault("aria-label", str(field.label))

    @property
    def slot(self) -> KeySlot:
        return KeySlot(KeyKind(self.cleaned_data["kind"]), self.cleaned_data["number"])

    def config(self) -> KeyConfig:
        """What was decided."""
        typed = self.cleaned_data
        return KeyConfig(self.slot, KeyMode(typed["mode"]), typed["account"], typed["label"], typed["value"])


class AccountFormSet(forms.BaseInlineFormSet):
    """Written by `KeyFormSet`, together with the keys."""

    def validate_unique(self) -> None:
        """Doubles are found by the configuration's own check."""


class KeyFormSet(forms.BaseInlineFormSet):
    """The last formset of the phone form: when all is well so far, it saves the assignment."""

    request: HttpRequest
    accounts: AccountFormSet
    saved: Saved | None = None

    def validate_unique(self) -> None:
        """As above."""

    def clean(self) -> None:
        """Save, or put every problem beside its field."""
        if any(self.errors) or not self.accounts.is_valid():
            return
        phone = Phone.objects.filter(pk=self.instance.pk).first()
        if phone is None:
            raise ValidationError(str(outbox.Forgotten()))
        posted = self.request.POST
        try:
            phone.version = posted_int(posted, "seen_version", lambda: VersionConflict(_("Reload this page.")))
            draft = self._draft(phone)
            by, seen_host = self.request.user.get_username(), posted.get("seen_host") or None
            typed = {form.cleaned_data["number"] for form in filled(self.accounts) if form.gives_password}
            anew = bool(typed) and not may_compare(self.request)
            self.saved = save(phone, draft, by=by, seen_host=seen_host, kept=draft.numbers - typed, anew=anew)
        except ConfigError as error:
            raise ValidationError([words for problem in error.problems for words in self._place(problem)]) from error
        except (AssignmentError, VersionConflict) as error:
            raise ValidationError(str(error)) from error
        except CannotDecrypt as error:
            raise ValidationError(str(UNREADABLE)) from error

    def _draft(self, phone: Phone) -> plan.Draft:
        stored = {account.number: account for account in plan.draft_of(phone).accounts}
        return plan.Draft(
            tuple(form.config(stored) for form in filled(self.accounts)), tuple(form.config() for form in filled(self))
        )

    def _place(self, problem: Problem) -> list[str]:
        """Beside its field; what is returned stands on top, so that the form as a whole counts as refused."""
        kind, _dot, rest = problem.field.partition(".")
        which, _dot, name = rest.partition(".")
        name = {"password": "new_password", "": "number"}.get(name, name)
        forms_of_kind = filled(self.accounts) if kind == "account" else filled(self)
        for form in reversed(forms_of_kind):
            mine = str(form.cleaned_data.get("number")) if kind == "account" else form.slot.name
            if mine == which and name in form.fields and not form.has_error(name):
                form.add_error(name, problem.message)
                return [_("Nothing was saved: see the message beside the field.")]
        return [problem.message]


def filled(formset: forms.BaseInlineFormSet) -> list[Any]:
    """The forms that stand for a row: not deleted, not an empty extra one."""
    return [form for form in formset.forms if form.cleaned_data and not form.cleaned_data.get("DELETE")]


class PartOfPhone:
    """Whoever may change the phone may change its parts, for the form is saved as a whole; others may look, if that."""

    def has_view_permission(self, request: HttpRequest, obj: Phone | None = None) -> bool:
        return request.user.has_perm(CHANGE) or cast(Any, super()).has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest, obj: Phone | None = None) -> bool:
        return request.user.has_perm(CHANGE)

    def has_change_permission(self, request: HttpRequest, obj: Phone | None = None) -> bool:
        return request.user.has_perm(CHANGE)

    def has_delete_permission(self, request: HttpRequest, obj: Phone | None = None) -> bool:
        return request.user.has_perm(CHANGE)


class AccountInline(PartOfPhone, StackedInline):
    """Accounts."""

    model = Account
    form = AccountInlineForm
    formset = AccountFormSet
    extra = 0
    fields = (
        ("number", "user_id"),
        ("new_password", "display_name"),
        ("sip_server", "auth_id"),
        ("voicemail", "codecs"),
    )

    def get_max_num(self, request: HttpRequest, obj: Phone | None = None, **kwargs: Any) -> int:
        return obj.known_model.accounts if obj is not None and obj.known_model else 0

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("password")


class KeyInline(PartOfPhone, TabularInline):
    """Keys; it must stand last, because its formset saves."""

    model = Key
    form = KeyInlineForm
    formset = KeyFormSet
    extra = 0
    fields = ("kind", "number", "mode", "value", "label", "account")

    def get_max_num(self, request: HttpRequest, obj: Phone | None = None, **kwargs: Any) -> int:
        known = obj.known_model if obj is not None else None
        return known.line_keys + known.mpks if known else 0
