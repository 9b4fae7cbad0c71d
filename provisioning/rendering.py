"""A new version of a phone's file: from rows and layers to checked bytes under two fresh paths, not stored yet.

Nothing here holds a lock: whoever stores the version does it in a short transaction afterwards.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict

from django.db.models import Q

from devices.catalog import KeySlot, PhoneModel
from devices.crypto import CannotDecrypt
from devices.models import Phone
from provisioning import phone_login, plan
from provisioning.firmware import pins
from provisioning.gxp import document, files, login
from provisioning.gxp.config import DeviceConfig
from provisioning.gxp.document import DocumentError
from provisioning.gxp.files import KEY_SETTING
from provisioning.gxp.hearing import silent_because
from provisioning.gxp.inspection import inspect
from provisioning.gxp.layers import TRANSPORT, Layer, Level
from provisioning.gxp.openssl_enc import SALT_BYTES
from provisioning.gxp.pvalues import GENERATED
from provisioning.layers import stack
from provisioning.models import ConfigFile
from provisioning.paths import fresh_secret, hash_of
from provisioning.phonebook import books as phonebook
from provisioning.plain import files as plain_files

PASSWORD_CHARS = 16  # letters and digits, the only ones that the phone takes there (formats.md a12): 95 bits
KEY_CHARS = 32  # of the key of encrypted files: 190 bits
_LETTERS = string.ascii_letters + string.digits


class SwitchedOn(TypedDict):
    """What an operator has switched on for a phone, as `Wanted` takes it."""

    firmware: str
    phonebook: str
    is_short: bool


@dataclass(frozen=True)
class Wanted:
    """What a phone's next file is to say. `own` are the values of its own layer that have to be stored with it."""

    phone: Phone
    model: PhoneModel
    draft: plan.Draft
    layers: stack.Stack = field(repr=False)
    base: str
    firmware: str = ""
    """The version that the phone shall fetch next; empty: it keeps what it runs."""
    phonebook: str = field(default="", repr=False)
    """The secret of its site's phonebook; empty: there is none, or it is off."""
    is_short: bool = False
    """It does not run the last version of its model's path yet, and has never fetched an account from us."""
    login_password: str = field(default="", repr=False)
    """Of the login by which it is to fetch its file; empty: it needs none."""

    @property
    def own(self) -> dict[str, str | None]:
        return stack.stored_values(self.layers)


def with_passwords(layers: stack.Stack, model: PhoneModel) -> stack.Stack:
    """The same layers; a password that none of them names is made at random, and stays with the phone."""
    named = stack.names(layers, model)
    fresh = {name: random_password() for name in GENERATED if name not in named}
    return stack.with_made(layers, fresh) if fresh else layers


def random_password(chars: int = PASSWORD_CHARS) -> str:
    """Letters and digits at random: a password that a phone takes for its web page, or a key for its files."""
    found = ""
    while len(found) < chars:  # six bits of each byte; the two numbers without a letter are thrown away
        places = (byte & 63 for byte in secrets.token_bytes(2 * chars))
        found += "".join(_LETTERS[place] for place in places if place < len(_LETTERS))
    return found[:chars]


def texts_of(config_file: ConfigFile | None) -> Mapping[str, str]:
    """What a stored version says, by name; nothing if there is none, or if its key is lost."""
    if config_file is None:
        return {}
    try:
        return document.values(bytes(config_file.content))
    except (CannotDecrypt, DocumentError):
        return {}  # a new version is the way out


def next_version(
    wanted: Wanted, current: ConfigFile | None, *, by: str, why: str, anew: bool = False
) -> ConfigFile | None:
    """The version that has to follow `current`, or None if that one says all this already. Raises ConfigError.

    `anew` makes one in any case. Its number and time are for whoever stores it. Settings that `current` has and
    nobody names any more are written with their factory values, because a phone keeps what it once was told; before its
    first file that is what files at plain names say.
    """
    before = plain_files.told(wanted.model) if current is None else texts_of(current)
    wanted, scheme = _with_login(_as_reached(wanted), current, before)
    said, draft, held_back = _decided(wanted)
    choice = plan.format_choice(said.options, wanted.phone.firmware)
    steady = current.steady_secret if current is not None and before else fresh_secret()
    config = plan.device_config(wanted.phone, wanted.model, draft, wanted.base, steady, said, before)
    texts = document.settings(config)
    # The key that went to firmware that was to have no secret is none for the file with all of them.
    told_too_early = current is not None and current.held_back and not held_back
    key_before = "" if told_too_early else before.get(KEY_SETTING, "")
    if choice.is_encrypted:
        texts = document.in_order(texts | {KEY_SETTING: key_before or random_password(KEY_CHARS)})
    elif KEY_SETTING in before:  # a phone that has a key is told that it needs none any more
        texts = document.in_order(texts | {KEY_SETTING: ""})
    login_scheme = "" if held_back else scheme
    same = current is not None and texts == before and choice == current.choice
    same = same and current is not None and login_scheme == current.login_scheme
    if current is not None and same and held_back == current.held_back and not anew:
        return None
    steady = fresh_secret()
    server = plan.server_config(wanted.base, steady)
    if "config_server_path" in texts:
        texts["config_server_path"] = server.config_path
    if login_scheme:  # another one with each path: who has the path of a file has its login too
        texts[login.PASSWORD_SETTING] = random_password()
    content = document.written(wanted.phone.mac, texts)
    inspect(content, wanted.phone.mac, wanted.model, texts)
    first = fresh_secret()
    first_path = plan.server_config(wanted.base, first).config_path
    bodies = files.bodies(wanted.phone.mac, content, texts, choice, first_path, os.urandom(SALT_BYTES))
    version = ConfigFile(
        phone=wanted.phone,
        content=content,
        format=choice.format,
        digest=choice.digest,
        bootstrap_kind=choice.bootstrap,
        body=None if bodies.final is content else bodies.final,
        bootstrap=bodies.bootstrap or None,
        etag=hashlib.sha256(bodies.final).hexdigest()[:32],
        base_url=wanted.base,
        firmware=wanted.firmware,
        held_back=held_back,
        login_scheme=login_scheme,
        login_secret=texts[login.PASSWORD_SETTING] if login_scheme else "",
        saved_by=by[:150],
        why=why[:200],
        silent_because=silent_because(texts),
        first_secret=first,
        first_hash=hash_of(first),
        steady_secret=steady,
        steady_hash=hash_of(steady),
    )
    if current is not None:
        opens = files.is_same_key(choice, texts.get(KEY_SETTING, ""), current.choice, before.get(KEY_SETTING, ""))
        version.same_key_as = current.pk if opens else None
    return version


def _with_login(wanted: Wanted, current: ConfigFile | None, before: Mapping[str, str]) -> tuple[Wanted, str]:
    """With the login that its present file has, to see whether that says all; else with a new one. And its scheme."""
    scheme = phone_login.scheme_of(wanted.layers, wanted.model)
    if scheme is None:
        return wanted, ""
    has_one = current is not None and current.login_scheme == scheme
    kept = before.get(login.PASSWORD_SETTING, "") if has_one else ""
    return replace(wanted, login_password=kept or random_password()), scheme.value


def switched_on_of(phones: Sequence[Phone]) -> dict[int, SwitchedOn]:
    """What an operator has switched on for these phones."""
    steps, books = pins.next_versions(phones), phonebook.secrets()
    # Who has its accounts already keeps them: taking them away would protect nothing, and cut it off.
    short = _without_accounts(pins.short(phones))
    return {
        phone.pk: SwitchedOn(
            firmware=steps.get(phone.pk, ""), phonebook=books.get(phone.site, ""), is_short=phone.pk in short
        )
        for phone in phones
    }


def switched_on(phone: Phone) -> SwitchedOn:
    """The same for one phone."""
    return switched_on_of([phone])[phone.pk]


def _without_accounts(phone_ids: set[int]) -> set[int]:
    """Which of these have never fetched a whole file from us."""
    if not phone_ids:
        return set()
    # `fetched_at` is taken back when a phone comes without its configuration; `steady_at` stays.
    fetched = Q(fetched_at__isnull=False) | Q(steady_at__isnull=False)
    took = ConfigFile.objects.filter(fetched, phone__in=phone_ids, held_back=False)
    return phone_ids - set(took.order_by().values_list("phone", flat=True).distinct())


def note_step(wanted: Wanted, current: ConfigFile) -> None:
    """Remember which step of its firmware's path a phone is on, although its file stays the same."""
    if current.firmware != wanted.firmware:
        ConfigFile.objects.filter(pk=current.pk).update(firmware=wanted.firmware)


def config_of(wanted: Wanted, steady_secret: str, before: Iterable[str]) -> DeviceConfig:
    """What the next file is to say, `before` being what the phone was told already. Not validated."""
    wanted = _as_reached(wanted)
    said, draft, _ = _decided(wanted)
    return plan.device_config(wanted.phone, wanted.model, draft, wanted.base, steady_secret, said, before)


def key_origins(wanted: Wanted) -> Mapping[KeySlot, str]:
    """Who says what a key does, for each key that somebody says something of: layout.Arranged."""
    said, draft, _ = _decided(wanted)
    return plan.arranged_keys(draft, wanted.model, said)[0].origins


def _as_reached(wanted: Wanted) -> Wanted:
    """The same, over plain HTTP if a layer says so and our door has that beside its TLS."""
    plainly = plan.plainly(wanted.base)
    if plainly is None:
        return wanted
    options = stack.said(wanted.layers, wanted.model).options
    return replace(wanted, base=plainly) if options.get(TRANSPORT) == "http" else wanted


def _decided(wanted: Wanted) -> tuple[stack.Said, plan.Draft, bool]:
    """What the layers say, the assignment, and whether secrets are held back until the firmware is upgraded."""
    said = stack.said(layers_of(wanted), wanted.model)
    held_back = wanted.is_short and said.options.get("upgrade_first") == "yes"
    if held_back:
        bare = replace(wanted, login_password="")
        return stack.without_secrets(stack.said(layers_of(bare), wanted.model)), plan.Draft(), True
    return said, wanted.draft, False


def layers_of(wanted: Wanted) -> stack.Stack:
    """The phone's layers with those that we make ourselves, from what an operator has switched on."""
    place = plan.place_of(wanted.base)
    ours = (
        Layer(Level.LOGIN, "", login.settings_for(wanted.phone.mac, wanted.login_password)),
        Layer(Level.PHONEBOOK, "", phonebook.settings_for(wanted.phonebook, wanted.base)),
        Layer(Level.FIRMWARE, wanted.firmware, pins.settings_for(wanted.firmware, place)),
    )
    return stack.with_ours(wanted.layers, [layer for layer in ours if layer.values])
