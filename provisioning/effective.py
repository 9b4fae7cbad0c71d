"""Every setting of one phone as its next file will say it, with where each value comes from and what it overrides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from devices.catalog import slots
from devices.models import Phone
from provisioning import outbox, phone_login, plan, rendering
from provisioning.gxp import document
from provisioning.gxp.catalogue import SETTINGS
from provisioning.gxp.config import ConfigError, Problem
from provisioning.gxp.entries import FILE_GROUP, KEY_GROUP, RAW_GROUP, entry, label_of, shown
from provisioning.gxp.layers import FILE_OPTIONS, Level, Resolved, merge
from provisioning.gxp.layout import OWN_KEY, TEAM, is_layout
from provisioning.gxp.pvalues import COMPUTED, KEY_FIELDS, OWNED, key_field
from provisioning.gxp.words import gettext_noop
from provisioning.layers import stack
from provisioning.rendering import Wanted, switched_on

ASSIGNMENT = gettext_noop("the assignment")
AS_DELIVERED = gettext_noop("as delivered: nobody says what this key does")
COMPUTED_HERE = gettext_noop("computed for this phone")
THE_TEAM = gettext_noop("the team")
TAKEN_BACK = gettext_noop("the factory's value: an earlier version said otherwise")
_NO_PATH = "-" * 22  # stands for the secret path, and for the login's password, which are masked in any case


@dataclass(frozen=True)
class Origin:
    """What one layer says, for people: secrets are masked. `level` is empty where no layer says it."""

    words: str
    text: str
    level: str = ""


@dataclass(frozen=True)
class Effective:
    """One setting; `overrides` are the layers below that say something too, the nearest first."""

    name: str
    group: str
    text: str
    left_alone: bool
    origin: Origin
    overrides: tuple[Origin, ...] = ()

    @property
    def label(self) -> str:
        """How people call it."""
        one = entry(self.name)
        return label_of(self.name) if one is None or self.name in SETTINGS else one.label


@dataclass(frozen=True)
class Picture:
    """All of them in the order of the file; `problems` are why there can be no new file as things stand."""

    settings: list[Effective]
    problems: tuple[Problem, ...] = ()


def picture(phone: Phone) -> Picture:
    """Look at a phone of a known model. Raises CannotDecrypt."""
    model = phone.known_model
    assert model is not None
    layers = stack.stack(phone)
    base = plan.base_url(phone.local_host or "127.0.0.1")
    current = outbox.current_file(phone.pk)
    logs_in = phone_login.scheme_of(layers, model) is not None
    wanted = Wanted(
        phone, model, plan.draft_of(phone), layers, base, **switched_on(phone),
        login_password=_NO_PATH if logs_in else "",
    )  # fmt: skip
    merged = merge(rendering.layers_of(wanted), model)
    told = rendering.texts_of(current)
    problems: tuple[Problem, ...] = ()
    texts: Mapping[str, str] = {}
    if phone.is_assigned:
        try:
            texts = document.settings(rendering.config_of(wanted, _NO_PATH, told))
        except ConfigError as error:
            problems = error.problems
    names = [*texts, *(name for name in merged if name not in texts)]
    on_keys = _key_origins(wanted)
    return Picture([_effective(name, texts.get(name), merged.get(name), on_keys) for name in names], problems)


def _key_origins(wanted: Wanted) -> dict[str, str]:
    """Who says what stands on the keys, by the names of their settings; a key that nobody names is as delivered."""
    origins = rendering.key_origins(wanted)
    words = {slot: {TEAM: THE_TEAM, OWN_KEY: ASSIGNMENT}.get(who, who) for slot, who in origins.items()}
    return {
        key_field(slot, field).name: words.get(slot, AS_DELIVERED)
        for slot in slots(wanted.model)
        for field in KEY_FIELDS
    }


def _effective(name: str, text: str | None, said: Resolved | None, on_keys: Mapping[str, str]) -> Effective:
    row = SETTINGS.get(name)
    group = row.group if row is not None else _group_of(name)
    overrides = () if said is None else tuple(_origin(name, one.layer.title, one.text, one.layer.level)
                                              for one in said.overrides)  # fmt: skip
    if said is None:
        words = on_keys.get(name) or (
            ASSIGNMENT if _is_assigned(name) else COMPUTED_HERE if name in COMPUTED else TAKEN_BACK
        )
        origin = Origin(words, "")
    elif text is not None and text != said.text:
        # Such as a voicemail number: the layers' one is for accounts that have none of their own.
        origin = Origin(ASSIGNMENT, "")
        overrides = (_origin(name, said.layer.title, said.text, said.layer.level), *overrides)
    else:
        origin = Origin(said.layer.title, "", said.layer.level)
    value = text if text is not None else said.text if said is not None else None
    return Effective(name, group, shown(name, value), value is None, origin, overrides)


def _group_of(name: str) -> str:
    if is_layout(name):
        return KEY_GROUP
    return FILE_GROUP if name in FILE_OPTIONS else RAW_GROUP


def _is_assigned(name: str) -> bool:
    return name in OWNED or "_voicemail_access_number" in name or "_preferred_vocoder_" in name


def _origin(name: str, title: str, text: str | None, level: Level) -> Origin:
    return Origin(title, shown(name, text) or "empty", level)


def named(settings: Iterable[Effective], name: str) -> Effective | None:
    """The one of this name."""
    return next((one for one in settings if one.name == name), None)
