"""A phone's configuration as plain data, and everything that can be wrong with it.

Pure: must never import Django, asyncio or socket. Passwords and the secret server path stay out of every repr
and every message.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from devices.catalog import CODECS, KEY_MODE_LABELS, KeyKind, KeyMode, KeySlot, PhoneModel
from devices.mac import MacError, parse_mac
from provisioning.gxp import fields
from provisioning.gxp.key_values import value_problem
from provisioning.gxp.pvalues import OPINIONS, PROTOCOL_NUMBERS

Protocol = Literal["http", "https"]


@dataclass(frozen=True)
class Problem:
    """One thing to put right: the path of the field and what to do."""

    field: str
    message: str


@dataclass(frozen=True)
class AccountConfig:
    """One SIP identity. An empty `auth_id` means the user ID; `codecs` are names in CODECS, best first."""

    number: int
    sip_server: str
    user_id: str
    auth_id: str
    password: str = field(repr=False)
    display_name: str
    voicemail: str
    codecs: tuple[str, ...]


@dataclass(frozen=True)
class KeyConfig:
    """What one key does; `account` is 1-based."""

    slot: KeySlot
    mode: KeyMode
    account: int
    label: str
    value: str


@dataclass(frozen=True)
class ServerConfig:
    """Where the phone comes back to. Paths are host[:port][/path]; the configuration path is a secret."""

    protocol: Protocol
    config_path: str = field(repr=False)
    firmware_path: str


@dataclass(frozen=True)
class DeviceConfig:
    """All that one file says. `opinions_off` holds the switches of server settings not to be written.

    `settings` is what the layers say beyond the assignment, by catalogue name or raw P-code; None leaves it alone.
    `earlier` are settings that the phone was told before: it keeps them until it is told otherwise.
    `problems` are faults that were found while the configuration was put together.
    """

    mac: str
    model: PhoneModel
    accounts: tuple[AccountConfig, ...]
    keys: tuple[KeyConfig, ...]
    server: ServerConfig
    opinions_off: frozenset[str] = frozenset()
    settings: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    earlier: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()


class ConfigError(ValueError):
    """The configuration cannot be rendered; show each problem beside its field."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in self.problems))

    @property
    def lines(self) -> list[str]:
        """Each problem in a line of its own, for a terminal; that of a setting names it itself."""
        return [
            problem.message if problem.field.startswith("setting.") else f"{problem.field}: {problem.message}"
            for problem in self.problems
        ]


def validate(config: DeviceConfig) -> list[Problem]:
    """Everything that is wrong, in the order of the form; an empty list means that it can be rendered."""
    return [
        *config.problems,
        *_mac_problems(config.mac),
        *_accounts_problems(config),
        *_keys_problems(config),
        *_server_problems(config),
    ]


def _mac_problems(mac: str) -> Iterator[Problem]:
    try:
        canonical = parse_mac(mac)
    except MacError as error:
        yield Problem("mac", str(error))
        return
    if canonical != mac:
        yield Problem("mac", f"Write the MAC as 12 upper-case digits: {canonical}.")


def _accounts_problems(config: DeviceConfig) -> Iterator[Problem]:
    seen: set[int] = set()
    for account in config.accounts:
        number = account.number
        path = f"account.{number}"
        if not 1 <= number <= config.model.accounts:
            yield Problem(path, f"{_has_accounts(config.model)}; remove account {number}.")
        elif number in seen:
            yield Problem(path, f"Account {number} is given twice; remove one of them.")
        seen.add(number)
        yield from account_problems(account, config.settings)


def account_problems(account: AccountConfig, settings: Mapping[str, str | None] | None = None) -> Iterator[Problem]:
    """What is wrong with an account by itself, whatever phone has it; `settings` is what the layers say."""
    path = f"account.{account.number}"
    if not account.sip_server:
        needs = f"Account {account.number} needs a SIP server; enter host or host:port."
        yield Problem(f"{path}.sip_server", needs)
    else:
        yield from _fault(f"{path}.sip_server", "The SIP server", fields.address_fault(account.sip_server))
    if not account.user_id:
        yield Problem(f"{path}.user_id", f"Account {account.number} needs a user ID; enter the extension.")
    yield from _fault(f"{path}.user_id", "The user ID", fields.word_fault(account.user_id))
    yield from _fault(f"{path}.auth_id", "The authentication ID", fields.word_fault(account.auth_id))
    yield from _fault(f"{path}.password", "The password", fields.text_fault(account.password))
    yield from _fault(f"{path}.display_name", "The name", fields.shown_fault(account.display_name))
    yield from _fault(f"{path}.voicemail", "The voicemail number", fields.shown_fault(account.voicemail))
    # Without a choice of its own the account takes the codecs of the layers.
    if account.codecs or not (settings or {}).get(f"account{account.number}_preferred_vocoder_1"):
        yield from codec_problems(f"{path}.codecs", account.codecs)


def codec_problems(path: str, codecs: Sequence[str]) -> Iterator[Problem]:
    """What is wrong with names of codecs, best first, for the field `path`."""
    if not codecs:
        yield Problem(path, "Choose at least one codec.")
    known = ", ".join(CODECS)
    for position, name in enumerate(codecs):
        if name not in CODECS:
            yield Problem(path, f"Codec {position + 1} is not known; choose from {known}.")
        elif name in codecs[:position]:
            yield Problem(path, f"{name} is chosen twice; remove one of them.")


def _keys_problems(config: DeviceConfig) -> Iterator[Problem]:
    seen: set[KeySlot] = set()
    for key in config.keys:
        path = f"key.{key.slot.name}"
        count = config.model.key_count(key.slot.kind)
        if not 1 <= key.slot.number <= count:
            yield Problem(path, _no_such_key(config.model, key.slot))
            continue
        if key.slot in seen:
            yield Problem(path, f"Key {key.slot.name} is given twice; remove one of them.")
        seen.add(key.slot)
        yield from _key_problems(path, key, config)


def _key_problems(path: str, key: KeyConfig, config: DeviceConfig) -> Iterator[Problem]:
    modes = config.model.modes(key.slot.kind)
    if key.mode not in modes:
        kind = "MPK" if key.slot.kind is KeyKind.MPK else "line"
        offered = ", ".join(KEY_MODE_LABELS[mode] for mode in modes)
        refused = KEY_MODE_LABELS[key.mode]
        yield Problem(
            f"{path}.mode", f"{config.model.name} {kind} keys do not offer {refused}; choose from: {offered}."
        )
    yield from _key_account_problems(f"{path}.account", key.account, config)
    yield from _fault(f"{path}.label", "The label", fields.shown_fault(key.label, fields.MAX_LABEL))
    wrong = value_problem(key.mode, key.value)
    if wrong is not None:
        yield Problem(f"{path}.value", wrong)
    if key.mode is KeyMode.EVENTLIST_BLF and not config.settings.get(f"account{key.account}_eventlist_blf_uri"):
        name = f"account{key.account}_eventlist_blf_uri"
        words = f"Eventlist BLF needs the list's address: set {name} in this phone's settings or in a layer."
        yield Problem(f"{path}.mode", words)


def _key_account_problems(path: str, account: int, config: DeviceConfig) -> Iterator[Problem]:
    filled = sorted({one.number for one in config.accounts if 1 <= one.number <= config.model.accounts})
    if not 1 <= account <= config.model.accounts:
        yield Problem(path, f"{_has_accounts(config.model)}; choose another account than {account}.")
    elif account not in filled:
        others = " or ".join(str(number) for number in filled)
        instead = f" or choose account {others}" if filled else ""
        yield Problem(path, f"Account {account} is not filled in; fill it in{instead}.")


def _server_problems(config: DeviceConfig) -> Iterator[Problem]:
    for name in sorted(config.opinions_off - OPINIONS.keys()):
        yield Problem("opinions_off", f"There is no switch {name!r}; choose from {', '.join(OPINIONS)}.")
    server = config.server
    if server.protocol not in PROTOCOL_NUMBERS:
        yield Problem("server.protocol", "The protocol is http or https; choose one of them.")
    for name, path in (("config", server.config_path), ("firmware", server.firmware_path)):
        if f"{name}_server_path" not in config.opinions_off:
            yield from _fault(f"server.{name}_path", f"The {name} path", fields.path_fault(path))


def _fault(path: str, subject: str, fault: str | None) -> Iterator[Problem]:
    if fault is not None:
        yield Problem(path, f"{subject}: {fault}.")


def _has_accounts(model: PhoneModel) -> str:
    return f"{model.name} has {model.accounts} account{'s' if model.accounts > 1 else ''}"


def _no_such_key(model: PhoneModel, slot: KeySlot) -> str:
    kind = "MPK" if slot.kind is KeyKind.MPK else "line"
    count = model.key_count(slot.kind)
    have = f"{kind} keys 1 to {count}" if count else f"no {kind} keys"
    return f"{model.name} has {have}; remove {slot.name}."
