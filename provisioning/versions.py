"""The history of a phone's files: what a version changed, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext

from devices.catalog import PhoneModel
from devices.crypto import CannotDecrypt
from devices.models import Phone
from provisioning import assignment, outbox, plan, rendering
from provisioning.firmware import pins
from provisioning.gxp import document, login
from provisioning.gxp.catalogue import SETTINGS, fault
from provisioning.gxp.config import KeyConfig
from provisioning.gxp.document import DocumentError
from provisioning.gxp.layers import FILE_OPTIONS, Level, merge
from provisioning.gxp.layout import KEY, TEAM, Arranged, is_layout
from provisioning.gxp.reading import Change, Decided, decided, differences, fits
from provisioning.layers import stack
from provisioning.models import ConfigFile
from provisioning.phonebook import books

SERVER_ADDRESS = "server_address"  # as a setting among the others: where a file sends the phone


@dataclass(frozen=True)
class Entry:
    """One version in the history of a phone."""

    number: int
    at: datetime
    by: str
    why: str
    current: bool
    applied: bool


class RollbackError(Exception):
    """There is no way back to this version; the text says why, and what can be done."""


def history(phone: Phone) -> list[Entry]:
    """Every version that is kept, the newest first."""
    rows = ConfigFile.objects.filter(phone=phone).order_by("-number")
    newest = rows.values_list("number", flat=True).first()
    return [
        Entry(one.number, one.created_at, one.saved_by, one.why, one.number == newest, one.applied_at is not None)
        for one in rows.only("number", "created_at", "saved_by", "why", "applied_at")
    ]


def compare(phone: Phone, before: int, after: int) -> list[Change]:
    """What differs between two versions, by setting, with secrets masked. Raises RollbackError if one is gone.

    Of the settings with our paths, which are others in each version, it tells only whether they lead to another server.
    """
    changes = differences(_texts(phone, before), _texts(phone, after))
    with_login = ConfigFile.objects.filter(phone=phone, number__in=(before, after)).exclude(login_scheme="")
    if with_login.count() == len({before, after}):
        changes = [one for one in changes if one.name not in login.SETTINGS]  # another one in each version
    bases = dict(ConfigFile.objects.filter(phone=phone, number__in=(before, after)).values_list("number", "base_url"))
    was, now = bases.get(before), bases.get(after)
    return changes if was == now else [Change(SERVER_ADDRESS, was, now), *changes]


def roll_back(phone: Phone, number: int, *, by: str, seen_host: str | None, anew: bool = False) -> assignment.Saved:
    """Make the settings of an old version a new one, with today's paths.

    Accounts and keys are the old ones; where the layers of today say otherwise, the phone's own layer says what the
    old version said, or what the factory had where it said nothing. `anew` is assignment.save's. Raises
    RollbackError, and what assignment.save raises.
    """
    model = phone.known_model
    if model is None:
        raise RollbackError(gettext("%(model)s cannot be configured any more.") % {"model": phone.model})
    if ConfigFile.objects.filter(phone=phone, number=number, held_back=True).exists():
        words = gettext(
            "Version %(number)d had no account and no password, until the firmware was upgraded; choose another one."
        )
        raise RollbackError(words % {"number": number})
    texts = _texts(phone, number)
    if not fits(texts, model):
        words = gettext("Version %(number)d was made for a model with other accounts or keys; choose another one.")
        raise RollbackError(words % {"number": number})
    old, layers = decided(texts, model), stack.stack(phone)
    own = _own_settings(phone, model, old, layers)
    # What we made from what was switched on then is made anew from what is switched on now.
    ours = _made_by_us(texts, _led_to_firmware(phone, number))
    if ConfigFile.objects.filter(phone=phone, number=number).exclude(login_scheme="").exists():
        ours |= {*login.SETTINGS}
    own = {name: text for name, text in own.items() if name not in ours}
    own |= _freed(old, stack.with_own(layers, own), model)
    draft = plan.Draft(old.accounts, _own_keys(old, stack.with_own(layers, own), model))
    why = f"Back to version {number}."
    return assignment.save(phone, draft, by=by, seen_host=seen_host, own=own, why=why, anew=anew)


def _own_settings(phone: Phone, model: PhoneModel, old: Decided, layers: stack.Stack) -> dict[str, str | None]:
    """What the phone's own layer must say so that the file says what the old one said, whatever the layers say."""
    said = merge(tuple(layer for layer in layers if layer.level is not Level.PHONE), model)
    own: dict[str, str | None] = {
        name: text for name, text in old.settings.items() if name not in said or said[name].text != text
    }
    told = rendering.texts_of(outbox.current_file(phone.pk))
    own |= {
        name: _before_it_was_told(name, told)
        for name, one in said.items()
        if one.text is not None and name not in old.settings
    }
    # Layouts of keys and the format of the file are no settings of the old file: they stay as they are.
    own = {name: text for name, text in own.items() if not _is_about_the_file(name)}
    return own | {name: text for name, text in stack.own_values(layers).items() if _is_about_the_file(name)}


def _made_by_us(texts: Mapping[str, str], led_to_firmware: bool) -> set[str]:
    """What an old file said because of a phonebook or a firmware step of ours, or took back when that was over."""
    steps = set(pins.settings_for("-", ""))
    taken_back = {name for name in {*books.settings_for("-", ""), *steps} if texts.get(name) == SETTINGS[name].default}
    return taken_back | books.ours_among(texts) | (steps if led_to_firmware else set())


def _led_to_firmware(phone: Phone, number: int) -> bool:
    return ConfigFile.objects.filter(phone=phone, number=number).exclude(firmware="").exists()


def _is_about_the_file(name: str) -> bool:
    return is_layout(name) or name in FILE_OPTIONS


def _freed(old: Decided, layers: stack.Stack, model: PhoneModel) -> dict[str, str | None]:
    """What the phone's own layer must say so that keys that were free stay free: no team, if it would fill one."""
    were = {key.slot: key for key in old.keys}
    arranged = _arranged(old, layers, model)
    put = {key.slot: key for key in arranged.keys}
    freed: dict[str, str | None] = {}
    for slot, origin in arranged.origins.items():
        if origin == TEAM and put[slot] != were.get(slot):
            freed[TEAM] = None
        elif origin != TEAM and slot not in were and slot not in arranged.protected:
            freed[f"{KEY}{slot.name}"] = None
    if freed and TEAM in stack.said(layers, model).keys:
        freed[TEAM] = None  # it would step into the places that become free
    return freed


def _arranged(old: Decided, layers: stack.Stack, model: PhoneModel) -> Arranged:
    """The keys that the layers put there for these accounts, whatever the phone says itself."""
    return plan.arranged_keys(plan.Draft(old.accounts), model, stack.said(layers, model))[0]


def _own_keys(old: Decided, layers: stack.Stack, model: PhoneModel) -> tuple[KeyConfig, ...]:
    """The old keys but for those that the layers of today put there anyway, or let nobody change."""
    arranged = _arranged(old, layers, model)
    put = {key.slot: key for key in arranged.keys}
    return tuple(key for key in old.keys if key.slot not in arranged.protected and put.get(key.slot) != key)


def _before_it_was_told(name: str, told: Mapping[str, str]) -> str | None:
    """What undoes a setting that the old file did not have: the factory's value, because a phone keeps what it was
    told; left alone if the phone was not told it, or if nobody knows what the factory had."""
    row = SETTINGS.get(name)
    if name not in told or row is None or row.secret or fault(row, row.default) is not None:
        return None
    return row.default


def _texts(phone: Phone, number: int) -> dict[str, str]:
    try:
        version = ConfigFile.objects.filter(phone=phone, number=number).only("content").first()
        if version is not None:
            return document.values(bytes(version.content))
    except (CannotDecrypt, DocumentError):
        words = gettext(
            "Version %(number)d cannot be opened: put the key that it was written with back into GSPNP_FIELD_KEYS."
        )
        raise RollbackError(words % {"number": number}) from None
    words = gettext("There is no version %(number)d of this phone, or none any more; choose another one.")
    raise RollbackError(words % {"number": number})
