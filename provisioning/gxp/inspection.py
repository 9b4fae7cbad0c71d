"""The last look at a file before a phone may have it: parsed back from its bytes, and held against the model.

Pure: must never import Django, asyncio or socket. It trusts nothing of how the file was made: a fault of ours in
rendering is found here, and the phone keeps its last good file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from devices.catalog import KEY_MODE_NUMBERS, KeyKind, KeySlot, PhoneModel, slots
from devices.mac import lower
from provisioning.gxp.catalogue import SETTINGS, by_element, fault
from provisioning.gxp.config import ConfigError, Problem
from provisioning.gxp.document import DocumentError, elements, read
from provisioning.gxp.pvalues import key_field

MAX_KNOWN = 16_384  # values of a model that are known to be right; secrets never are. Our choice.
_known_right: dict[str, set[tuple[str, str]]] = {}

MAX_FILE_BYTES = 256 * 1024  # the largest file that is known to be in use has 118,646 (formats.md a16); our choice


def inspect(document: bytes, mac: str, model: PhoneModel, meant: Mapping[str, str]) -> None:
    """Raises ConfigError unless the file says exactly what was meant, and a phone of this model can do it.

    `meant` is every setting by catalogue name or raw P-code. Fields of problems are `setting.<name>` or `file`.
    """
    problems = list(_problems(document, mac, model, meant))
    if problems:
        raise ConfigError(problems)


def _problems(document: bytes, mac: str, model: PhoneModel, meant: Mapping[str, str]) -> Iterator[Problem]:
    if len(document) > MAX_FILE_BYTES:
        yield Problem("file", f"The file has {len(document)} bytes; the most is {MAX_FILE_BYTES}. Shorten its texts.")
        return
    try:
        named_mac, pairs = read(document)
    except DocumentError as error:
        yield Problem("file", str(error))
        return
    if named_mac is not None and named_mac != lower(mac):
        yield Problem("file", "The file names the MAC of another phone; save again, and report this.")
    if pairs != list(zip(elements(meant), meant.values(), strict=True)):
        yield from _differences(pairs, meant)
    for name, text in _not_known_to_be_right(meant, model.name):
        wrong = _setting_fault(name, text, model.name)
        if wrong is not None:
            yield Problem(_field(name), f"{name} {wrong}.")
    for slot in slots(model):
        yield from _key_problems(slot, meant, model)


def _not_known_to_be_right(found: Mapping[str, str], model_name: str) -> list[tuple[str, str]]:
    """Most values are the same on many phones: what was right once is not looked at again."""
    known = _known_right.setdefault(model_name, set())
    return [pair for pair in found.items() if pair not in known]


def _differences(pairs: Sequence[tuple[str, str]], meant: Mapping[str, str]) -> Iterator[Problem]:
    """How a file differs from what was meant: a setting twice, another text, one too many or too few, the order."""
    found: dict[str, str] = {}
    for element, text in pairs:
        row = by_element(element)
        name = row.name if row else element
        if name in found:
            yield Problem(_field(name), f"{name} stands in the file twice; save again, and report this.")
        found[name] = text
    for name in [*meant, *(found.keys() - meant.keys())]:
        if found.get(name) != meant.get(name):
            yield Problem(_field(name), f"{name} did not come back from the file as it was meant; report this.")
    if found == meant and list(found) != list(meant):
        yield Problem("file", "The file has its settings in another order; save again, and report this.")


def _setting_fault(name: str, text: str, model_name: str) -> str | None:
    row = SETTINGS.get(name)
    if row is None:
        # A raw P-code: its author was warned that nothing can check it.
        known = by_element(name)
        return None if known is None else f"is called {known.name}; use this name"
    if not row.applies_to(model_name):
        return f"is no setting of the {model_name}; take it out"
    wrong = fault(row, text)
    if wrong is None and not row.secret:
        right = _known_right[model_name]
        if len(right) >= MAX_KNOWN:
            right.clear()
        right.add((name, text))
    return wrong


def _key_problems(slot: KeySlot, found: Mapping[str, str], model: PhoneModel) -> Iterator[Problem]:
    mode_name, account_name, value_name = _key_names(slot)
    mode, account = found.get(mode_name), found.get(account_name)
    if mode is None or account is None:
        yield Problem(f"key.{slot.name}", f"Key {slot.name} is missing from the file; save again, and report this.")
        return
    if mode not in _mode_numbers(slot.kind, model):
        yield Problem(f"key.{slot.name}.mode", f"Mode {mode} is none that a {slot.kind} key of the {model.name} has.")
    if account not in _account_numbers(model.accounts):
        have = f"{model.name} has {model.accounts}"
        yield Problem(f"key.{slot.name}.account", f"Key {slot.name} is for an account that is not there; {have}.")
    elif found.get(value_name) and found.get(f"account{int(account) + 1}_active") == "0":
        yield Problem(f"key.{slot.name}.account", f"Key {slot.name} is for account {int(account) + 1}, which is off.")


@lru_cache(maxsize=64)
def _key_names(slot: KeySlot) -> tuple[str, str, str]:
    mode, account, value = (key_field(slot, part).name for part in ("mode", "account", "value"))
    return mode, account, value


@lru_cache(maxsize=8)
def _account_numbers(accounts: int) -> frozenset[str]:
    return frozenset(str(number) for number in range(accounts))


@lru_cache(maxsize=64)
def _mode_numbers(kind: KeyKind, model: PhoneModel) -> frozenset[str]:
    return frozenset(str(KEY_MODE_NUMBERS[kind][mode]) for mode in model.modes(kind))


def _field(name: str) -> str:
    return f"setting.{name}"
