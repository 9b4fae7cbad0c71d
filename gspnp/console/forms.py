"""The assignment form: one form per account, one per key, in the names that the page and the tests rely on.

What was typed is kept as it is; a control character is refused, never removed. Everything else that can be wrong is
said by `provisioning.gxp.config.validate`, and `place` puts it beside its field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from devices import holders
from devices.catalog import CODECS, DEFAULT_CODECS, KEY_MODE_LABELS, KeyKind, KeyMode, KeySlot, PhoneModel, slots
from devices.holders import Holder, Wanted
from devices.models import Account, Key, Phone
from gspnp.console.extensions.taking import NotTaken, Taker
from gspnp.console.templatetags.console import layer_words
from provisioning import plan
from provisioning.gxp import fields as texts
from provisioning.gxp import layout
from provisioning.gxp.config import AccountConfig, KeyConfig, Problem, validate
from provisioning.layers import stack

MAX_ID = 2**63 - 1  # of a row
CODEC_CHOICES = [(name, codec.label) for name, codec in CODECS.items()]


class Text(forms.CharField):
    """One line, kept as typed. Faults are those of the file for the phone, and the column's length."""

    fault_of = staticmethod(texts.shown_fault)

    def __init__(self, subject: str, limit: int = texts.MAX_TEXT, *, trim: bool = False, **options: Any) -> None:
        super().__init__(required=False, strip=False, **options)
        self.validators = []
        self.subject, self.limit, self.trim = subject, limit, trim

    def to_python(self, value: Any) -> str:
        """As typed; where a blank can never stand, blanks that were pasted along are dropped."""
        text = super().to_python(value) or ""
        return text.strip(" ") if self.trim else text

    def run_validators(self, value: str) -> None:
        """Raise ValidationError that says what to do; the value itself is never in it."""
        fault = self.fault_of(value, self.limit)
        if fault:
            # "The label has 64 characters", and "The label: character 3 is a control character".
            subject = f"{self.subject}:" if fault.startswith("character ") else self.subject
            raise ValidationError(" ".join((subject, f"{fault}.")))


class PasswordText(Text):
    """Write-only: what was typed is never sent back, blank keeps what is stored."""

    fault_of = staticmethod(texts.text_fault)  # nobody reads it, and every character may be meant
    widget = forms.PasswordInput(attrs={"autocomplete": "new-password", "data-1p-ignore": "", "data-lpignore": "true"})


class CodecList(forms.MultipleChoiceField):
    """Codecs, best first: the order is that of the submitted values."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, choices=CODEC_CHOICES, **options)


def column_limit(model: type[Account] | type[Key], name: str) -> int:
    """How many characters fit into the column and into the file."""
    return min(getattr(model._meta.get_field(name), "max_length", 0) or texts.MAX_TEXT, texts.MAX_TEXT * 2)


_PLAIN = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off", "data-1p-ignore": ""}
# ARIA 1.2: a text field that opens a list. static/console/extension_picker.js gives it life.
_PICKER = {"role": "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-haspopup": "listbox"}


class AccountForm(forms.Form):
    """One SIP identity. `stored` is what the phone has now, None if it has none of this number.

    `extension` is the id of the extension that was chosen from the directory; its secret is taken here, and never
    travels to the browser. A password that somebody types wins.
    """

    user_id = Text(
        "The extension",
        column_limit(Account, "user_id"),
        trim=True,
        label=_("Extension"),
        help_text="SIP user ID",
        widget=forms.TextInput(attrs=_PLAIN | _PICKER),
    )
    extension = forms.IntegerField(required=False, min_value=1, max_value=MAX_ID, widget=forms.HiddenInput())
    password = PasswordText("The password", label=_("Password"))
    password_clear = forms.BooleanField(required=False, label=_("Remove the stored password"))
    display_name = Text(
        "The caller name",
        column_limit(Account, "display_name"),
        label=_("Caller name"),
        widget=forms.TextInput(attrs=_PLAIN | {"autocapitalize": "words"}),
    )
    sip_server = Text(
        "The SIP server",
        column_limit(Account, "sip_server"),
        trim=True,
        label=_("SIP server"),
        help_text=_("host or host:port"),
        widget=forms.TextInput(attrs=_PLAIN | {"list": "sip-servers"}),
    )
    auth_id = Text(
        "The authentication ID",
        column_limit(Account, "auth_id"),
        trim=True,
        label=_("Authentication ID"),
        help_text=_("blank: the extension"),
        widget=forms.TextInput(attrs=_PLAIN),
    )
    voicemail = Text(
        "The voicemail number",
        column_limit(Account, "voicemail"),
        label=_("Voicemail number"),
        help_text=_("what the message key dials"),
        widget=forms.TextInput(attrs=_PLAIN),
    )
    codecs = CodecList(label=_("Preferred codecs"))

    def __init__(
        self, number: int, stored: AccountConfig | None, last_server: str, taker: Taker, data: Any = None
    ) -> None:
        self.number, self.stored, self.taker = number, stored, taker
        initial: dict[str, Any] = {"sip_server": last_server, "codecs": list(DEFAULT_CODECS)}
        if stored is not None:
            names = ("sip_server", "user_id", "auth_id", "display_name", "voicemail")
            initial = {name: getattr(stored, name) for name in names} | {"codecs": list(stored.codecs)}
        super().__init__(data, prefix=f"account-{number}", initial=initial)
        self.held: list[Holder] = []
        self.secret = ""
        self.fields["user_id"].widget.attrs["aria-controls"] = f"account-{number}-extensions"
        if self.has_password:
            self.fields["password"].widget.attrs["placeholder"] = gettext("stored; blank keeps it")

    @property
    def has_password(self) -> bool:
        return self.stored is not None and bool(self.stored.password)

    @property
    def is_used(self) -> bool:
        """Whether anything stands in it that makes an account; a server and codecs alone are only offered."""
        names = ("user_id", "password", "display_name", "auth_id", "voicemail")
        if self.is_bound:
            return any(self.data.get(self.add_prefix(name)) for name in names)
        return self.stored is not None

    @property
    def chosen_codecs(self) -> list[tuple[str, str]]:
        """Name and label in the present order."""
        return [(name, CODECS[name].label) for name in self["codecs"].value() or () if name in CODECS]

    def clean(self) -> None:
        """Take the secret of the extension that was chosen, if no password was typed."""
        typed = self.cleaned_data
        self.secret = ""
        if "extension" in self.errors:
            del self.errors["extension"]  # a hidden field that somebody made up is none
        chosen = typed.get("extension")
        if not chosen or typed.get("password") or typed.get("password_clear"):
            return
        try:
            self.secret = self.taker.take(chosen, typed.get("user_id", ""), typed.get("sip_server", ""))
        except NotTaken as why:
            self.add_error(why.field, str(why))

    @property
    def replaces_password(self) -> bool:
        """Whether a password was given for an account that has one; of a form whose `is_valid` was asked."""
        return self.has_password and bool(self.cleaned_data.get("password") or self.secret)

    @property
    def gives_password(self) -> bool:
        """Whether a password was given or removed; of a form whose `is_valid` was asked."""
        return bool(self.cleaned_data.get("password") or self.secret or self.cleaned_data.get("password_clear"))

    @property
    def takes_secret(self) -> int | None:
        """The extension whose secret is taken, while the form comes back with its errors."""
        value = self["extension"].value()
        return value if self.is_bound and value and str(value).isdigit() else None

    def config(self) -> AccountConfig:
        """What was decided, of a form whose `is_valid` was asked; a field that was refused is blank here."""
        typed = {name: self.cleaned_data.get(name, "") for name in self.fields}
        password = typed["password"] or self.secret
        if not password and self.stored is not None and not typed["password_clear"]:
            password = self.stored.password
        return AccountConfig(
            number=self.number,
            sip_server=typed["sip_server"],
            user_id=typed["user_id"],
            auth_id=typed["auth_id"],
            password=password,
            display_name=typed["display_name"],
            voicemail=typed["voicemail"],
            codecs=tuple(typed["codecs"]),
        )


class KeyForm(forms.Form):
    """One key; without a mode it is left as the phone has it from the factory."""

    mode = forms.ChoiceField(required=False, label=_("Does"))
    value = Text("The value", column_limit(Key, "value"), label=_("Value"), widget=forms.TextInput(attrs=_PLAIN))
    label = Text(
        "The label",
        column_limit(Key, "label"),
        label=_("Label"),
        widget=forms.TextInput(attrs=_PLAIN | {"placeholder": _("label")}),
    )
    account = forms.TypedChoiceField(required=False, coerce=int, empty_value=1, label=_("Account"))  # type: ignore[arg-type]

    def __init__(self, slot: KeySlot, model: PhoneModel, stored: KeyConfig | None, data: Any = None) -> None:
        self.slot, self.stored = slot, stored
        initial: dict[str, Any] = {"account": 1}
        if stored is not None:
            initial = {name: getattr(stored, name) for name in ("mode", "value", "label", "account")}
        super().__init__(data, prefix=f"key-{slot.name}", initial=initial)
        self.inherited: KeyConfig | None = None
        self.origin, self.is_protected, self.instead = "", False, False
        unset = gettext("Not set") if slot.kind is KeyKind.MPK else gettext("Line (as delivered)")
        modes = [(mode.value, KEY_MODE_LABELS[mode]) for mode in model.modes(slot.kind)]
        cast(forms.ChoiceField, self.fields["mode"]).choices = [("", unset), *modes]
        cast(forms.ChoiceField, self.fields["account"]).choices = [
            (n, gettext("Account %(number)s") % {"number": n}) for n in range(1, model.accounts + 1)
        ]
        for bound in self.fields.values():
            bound.widget.attrs["aria-label"] = f"{self.title}: {bound.label}"

    @property
    def title(self) -> str:
        words = gettext("Key %(number)s") if self.slot.kind is KeyKind.MPK else gettext("Line key %(number)s")
        return words % {"number": self.slot.number}

    @property
    def short_title(self) -> str:
        """As the drawing names it."""
        number = self.slot.number
        return gettext("MPK {number}").format(number=number) if self.slot.kind is KeyKind.MPK else self.title

    @property
    def owner(self) -> str:
        """Whose key it is that stands here if the phone says nothing of its own; empty if nobody's."""
        if self.inherited is None:
            return ""
        return gettext("the team") if self.origin == layout.TEAM else layer_words(self.origin)

    @property
    def inherited_words(self) -> str:
        """What a layer puts on this key, and which."""
        if self.inherited is None:
            return ""
        key = self.inherited
        what = " ".join(filter(None, (KEY_MODE_LABELS[key.mode], key.value, key.label)))
        if self.is_protected:
            words = gettext("%(what)s, protected by %(where)s")
        else:
            words = (
                gettext("Instead of %(what)s, from %(where)s") if self.instead else gettext("%(what)s, from %(where)s")
            )
        return words % {"what": what, "where": self.owner}

    def clean(self) -> None:
        """A key that says something must do something."""
        typed = self.cleaned_data
        if "mode" not in self.errors and not typed.get("mode") and (typed.get("value") or typed.get("label")):
            on_mpk = gettext("Choose what key %(number)s does, or clear its value and label.")
            on_line = gettext("Choose what line key %(number)s does, or clear its value and label.")
            words = on_mpk if self.slot.kind is KeyKind.MPK else on_line
            self.add_error("mode", words % {"number": self.slot.number})

    def config(self) -> KeyConfig | None:
        """What was decided, of a form whose `is_valid` was asked; None if it is not set."""
        typed = self.cleaned_data
        if not typed.get("mode"):
            return None
        return KeyConfig(
            slot=self.slot,
            mode=KeyMode(typed["mode"]),
            account=typed.get("account") or 1,
            label=typed.get("label", ""),
            value=typed.get("value", ""),
        )


class AssignForm:
    """All of one phone's assignment: accounts, keys, and the phone as the technician saw it."""

    def __init__(self, phone: Phone, model: PhoneModel, data: Any = None, *, may_reveal: bool = False) -> None:
        self.phone, self.model, self.is_bound = phone, model, data is not None
        taker = Taker(phone.site, may_reveal)
        self.stored = stored = plan.draft_of(phone)
        accounts = {account.number: account for account in stored.accounts}
        keys = {key.slot: key for key in stored.keys}
        self.servers = recent_servers()
        server = self.servers[0] if self.servers else ""
        numbers = range(1, model.accounts + 1)
        self.accounts = [AccountForm(number, accounts.get(number), server, taker, data) for number in numbers]
        self.keys = [KeyForm(slot, model, keys.get(slot), data) for slot in slots(model)]
        self.problems: list[str] = []
        self._show_layouts(stored)
        self._show_held()

    def _show_layouts(self, stored: plan.Draft) -> None:
        """Tell each key what stands on it if the phone says nothing of its own, and who says so."""
        said = stack.said(stack.stack(self.phone), self.model)
        # Before the first save the account that the technician is about to fill in counts as filled in.
        accounts = stored.accounts or (AccountConfig(1, "", "", "", "", "", "", ()),)
        with_own, _ = plan.arranged_keys(plan.Draft(accounts, stored.keys), self.model, said)
        without, _ = plan.arranged_keys(plan.Draft(accounts), self.model, said)
        own = {key.slot for key in stored.keys}
        for form in self.keys:
            # On a key of its own it is what would stand there instead; the team fills those that are really free.
            arranged = without if form.slot in own else with_own
            form.inherited = next((key for key in arranged.keys if key.slot == form.slot), None)
            form.origin = arranged.origins.get(form.slot, "")
            form.is_protected = form.slot in arranged.protected
            form.instead = form.slot in own and not form.is_protected

    def _show_held(self) -> None:
        """Tell each account which other phones have its extension, too."""
        wanted = {
            form: Wanted(str(form["user_id"].value() or ""), str(form["sip_server"].value() or ""), self.phone.site)
            for form in self.accounts
        }
        found = holders.of(wanted.values(), but=self.phone.mac)
        for form, one in wanted.items():
            form.held = found.get(one, [])

    @property
    def line_keys(self) -> list[KeyForm]:
        return [key for key in self.keys if key.slot.kind is KeyKind.LINE]

    @property
    def mpks(self) -> list[KeyForm]:
        return [key for key in self.keys if key.slot.kind is KeyKind.MPK]

    @property
    def codec_choices(self) -> list[tuple[str, str]]:
        return CODEC_CHOICES

    @property
    def replaces_password(self) -> bool:
        """Whether a password was given where there is one; of a form whose `is_valid` was asked."""
        return any(form.replaces_password for form in self.accounts)

    @property
    def kept(self) -> list[int]:
        """The accounts whose password nobody gave anew or removed; of a form whose `is_valid` was asked."""
        return [form.number for form in self.accounts if not form.gives_password]

    def draft(self) -> plan.Draft:
        """What the technician decided, however wrong; `is_valid` tells."""
        used = [account for account in self.accounts if account.is_used] or self.accounts[:1]
        for form in (*self.accounts, *self.keys):
            form.is_valid()
        keys = (key.config() for key in self.keys)
        return plan.Draft(tuple(account.config() for account in used), tuple(key for key in keys if key is not None))

    @property
    def given(self) -> list[str]:
        """The extensions whose secrets come from the directory, of a form whose `is_valid` was asked."""
        return [form.cleaned_data["user_id"] for form in self.accounts if form.secret]

    def is_valid(self) -> bool:
        """Whether it can be saved as far as the form knows; every problem stands beside its field then."""
        draft = self.draft()
        if all(form.is_valid() for form in (*self.accounts, *self.keys)):
            return True  # `assignment.save` looks at the rest, and at what only it knows
        base = plan.base_url(self.phone.local_host or "127.0.0.1")
        said = stack.said(stack.stack(self.phone), self.model)
        self.place(validate(plan.device_config(self.phone, self.model, draft, base, "-" * 22, said)))
        return False

    def place(self, problems: Iterable[Problem]) -> None:
        """Put each problem beside its field (`account.1.user_id`, `key.mpk3.value`), or on top if it has none."""
        for problem in problems:
            form, name = self._field_of(problem.field)
            if form is None:
                self.problems.append(problem.message)
            elif not form.has_error(name):
                form.add_error(name, problem.message)

    def _field_of(self, path: str) -> tuple[forms.Form | None, str]:
        kind, _, rest = path.partition(".")
        key, _, name = rest.partition(".")
        found: forms.Form | None = None
        if kind == "account":
            found = next((form for form in self.accounts if str(form.number) == key), None)
        elif kind == "key":
            found = next((form for form in self.keys if form.slot.name == key), None)
        name = name or ("mode" if kind == "key" else "user_id")
        return (found, name) if found is not None and name in found.fields else (None, "")


def recent_servers(limit: int = 8) -> list[str]:
    """SIP servers in use, the last used first."""
    newest = Account.objects.order_by("-id").values_list("sip_server", flat=True)[:200]
    return list(dict.fromkeys(newest))[:limit]


def posted_int(data: Mapping[str, str], name: str, refuse: Callable[[], Exception]) -> int:
    """A whole number that our own page put into the form; raises what `refuse` makes otherwise."""
    text = data.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise refuse()
    return int(text)
