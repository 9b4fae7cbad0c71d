"""The form of one extension. The secret is write-only: blank keeps what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from devices.directory import Entry
from devices.models import Extension
from gspnp.console.forms import PasswordText, Text
from provisioning.extensions.checking import SUBJECTS, faults, limit_of

_PLAIN = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off", "data-1p-ignore": ""}
NAMES = ("number", "name", "site", "sip_server", "auth_id", "voicemail")


def _line(name: str, label: Any, help_text: Any = "", **attributes: str) -> Text:
    return Text(
        SUBJECTS[name],
        limit_of(name),
        trim=name != "name",
        label=label,
        help_text=help_text,
        widget=forms.TextInput(attrs=_PLAIN | attributes),
    )


class ExtensionForm(forms.Form):
    """What a person types of an extension; `stored` is None for a new one."""

    number = _line("number", _("Number"), _("SIP user ID"))
    name = _line("name", _("Caller name"), autocapitalize="words")
    secret = PasswordText(SUBJECTS["secret"], label=_("Secret"))
    secret_clear = forms.BooleanField(required=False, label=_("Remove the stored secret"))
    site = _line("site", _("Site"), _("empty: the default site"), list="sites")
    sip_server = _line("sip_server", _("SIP server"), _("host or host:port"), list="sip-servers")
    auth_id = _line("auth_id", _("Authentication ID"), _("blank: the number"))
    voicemail = _line("voicemail", _("Voicemail number"), _("what the message key dials"))

    def __init__(self, stored: Extension | None, data: Any = None, initial: Mapping[str, Any] | None = None) -> None:
        self.stored = stored
        start = {name: getattr(stored, name) for name in NAMES} if stored is not None else {}
        super().__init__(data, prefix="extension", initial={**start, **(initial or {})})
        if self.has_secret:
            self.fields["secret"].widget.attrs["placeholder"] = _("stored; blank keeps it")

    @property
    def has_secret(self) -> bool:
        return bool(getattr(self.stored, "secret_chars", 0))

    def clean(self) -> None:
        """Everything that no phone's file could say."""
        for name, words in faults(self.entry()):
            if not self.has_error(name):
                self.add_error(name, words)

    def entry(self) -> Entry:
        """What was typed, of a form whose `is_valid` was asked."""
        typed = self.cleaned_data
        secret = typed.get("secret") or ("" if typed.get("secret_clear") else None)
        return Entry(secret=secret, **{name: typed.get(name, "") for name in NAMES})


def values_of(entry: Entry) -> dict[str, str | None]:
    """An entry for the way through the browser, sealed."""
    return {name: getattr(entry, name) for name in NAMES} | {"secret": entry.secret}


def entry_of(values: Mapping[str, str | None]) -> Entry:
    """The entry that `values_of` was given."""
    return Entry(secret=values.get("secret"), **{name: values.get(name) or "" for name in NAMES})
