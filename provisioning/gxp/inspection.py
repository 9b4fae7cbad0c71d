"""The last look at a file before a phone may have it: parsed back from its bytes, and held against the model.

Pure: must never import Django, asyncio or socket. It trusts nothing of how the file was made: a fault of ours in
rendering is found here, and the phone keeps its last good file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from devices.catalog import KeyKind, KeySlot, PhoneModel, slots
from devices.mac import lower
from provisioning.gxp.catalogue import SETTINGS, by_element, fault
from provisioning.gxp.config import ConfigError, Problem
from provisioning.gxp.document import DocumentError, read
from provisioning.gxp.pvalues import LINE_KEY_MODE_NUMBERS, MPK_MODE_NUMBERS, key_field

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
    found: dict[str, str] = {}
    for element, text in pairs:
        row = by_element(element)
        name = row.name if row else element
        if name in found:
            yield Problem(_field(name), f"{name} stands in the file twice; save again, and report this.")
        found[name] = text
    yield from _differences(found, meant)
    for name, text in found.items():
        wrong = _setting_fault(name, text, model.name)
        if wrong is not None:
            yield Problem(_field(name), f"{name} {wrong}.")
    for slot in slots(model):
        yield from _key_problems(slot, found, model)


def _differences(found: Mapping[str, str], meant: Mapping[str, str]) -> Iterator[Problem]:
    if found == meant:
        return
    for name in [*meant, *(found.keys() - meant.keys())]:
        if found.get(name) != meant.get(name):
            yield Problem(_field(name), f"{name} did not come back from the file as it was meant; report this.")


def _setting_fault(name: str, text: str, model_name: str) -> str | None:
    row = SETTINGS.get(name)
    if row is None:
        return None  # a raw P-code: its author was warned that nothing can check it
    return fault(row, text) if row.secret and row.applies_to(model_name) else _known_fault(name, text, model_name)


@lru_cache(maxsize=16_384)
def _known_fault(name: str, text: str, model_name: str) -> str | None:
    """Most values are the same on many phones. Secrets never come here."""
    row = SETTINGS[name]
    if not row.applies_to(model_name):
        return f"is no setting of the {model_name}; take it out"
    return fault(row, text)


def _key_problems(slot: KeySlot, found: Mapping[str, str], model: PhoneModel) -> Iterator[Problem]:
    mode, account = (found.get(key_field(slot, part).name) for part in ("mode", "account"))
    if mode is None or account is None:
        yield Problem(f"key.{slot.name}", f"Key {slot.name} is missing from the file; save again, and report this.")
        return
    if mode not in _mode_numbers(slot.kind, model):
        yield Problem(f"key.{slot.name}.mode", f"Mode {mode} is none that a {slot.kind} key of the {model.name} has.")
    numbers = [str(number) for number in range(model.accounts)]
    if account not in numbers:
        have = f"{model.name} has {model.accounts}"
        yield Problem(f"key.{slot.name}.account", f"Key {slot.name} is for an account that is not there; {have}.")
    elif found.get(key_field(slot, "value").name) and found.get(f"account{int(account) + 1}_active") == "0":
        yield Problem(f"key.{slot.name}.account", f"Key {slot.name} is for account {int(account) + 1}, which is off.")


@lru_cache(maxsize=64)
def _mode_numbers(kind: KeyKind, model: PhoneModel) -> frozenset[str]:
    numbers = MPK_MODE_NUMBERS if kind is KeyKind.MPK else LINE_KEY_MODE_NUMBERS
    return frozenset(str(numbers[mode]) for mode in model.modes(kind))


def _field(name: str) -> str:
    return f"setting.{name}"
