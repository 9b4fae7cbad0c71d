"""The XML phonebook of these phones. The same entries always give the same bytes.

Pure: must never import Django, asyncio or socket. Source: formats.md e1 to e8.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from lxml import etree

from provisioning.gxp.words import gettext_noop

MAX_ENTRIES = 1000  # on the GXP1630 (e8), taken for all
MAX_NAME_CHARS = 24  # what fits the display (e6)
MAX_NUMBER_CHARS = 32
KINDS = (gettext_noop("Work"), gettext_noop("Home"), gettext_noop("Cell"))
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Entry:
    """One line of the phonebook; numbers by kind, one of KINDS. `account` is 1-based (e5)."""

    first_name: str
    last_name: str
    numbers: tuple[tuple[str, str], ...]
    department: str = ""
    account: int = 1


def number_fault(text: str) -> str | None:
    """None, or what is wrong with a number that a phone is to dial."""
    if len(text) > MAX_NUMBER_CHARS:
        return f"has {len(text)} characters; shorten it to {MAX_NUMBER_CHARS}"
    if not re.fullmatch(r"[+]?[0-9A-Za-z*#._ ()/-]+", text, re.ASCII) or not re.search(r"[0-9A-Za-z*#]", text):
        return "is no number; use digits, letters, + * # and blanks"
    return None


def dialled(number: str) -> str:
    """A number as a phone dials it: blanks, brackets, dots, hyphens and slashes are written for people."""
    return re.sub(r"[ ()./-]", "", number)


def render(entries: Iterable[Entry]) -> tuple[bytes, int, int]:
    """The file, how many entries are in it, and how many were left out because the phones take no more.

    Entries without a number are passed over. Sorted by last and first name, then number.
    """
    shown = sorted({entry for entry in entries if entry.numbers}, key=_place)
    root = etree.Element("AddressBook")
    etree.SubElement(root, "version").text = "1"
    for entry in shown[:MAX_ENTRIES]:
        _add(root, entry)
    body: bytes = etree.tostring(root, encoding="UTF-8", xml_declaration=False, pretty_print=True)
    kept = min(len(shown), MAX_ENTRIES)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + body, kept, len(shown) - kept


def _add(root: etree._Element, entry: Entry) -> None:
    contact = etree.SubElement(root, "Contact")
    first, last = names(entry)
    etree.SubElement(contact, "FirstName").text = first
    etree.SubElement(contact, "LastName").text = last
    for kind, number in entry.numbers:
        phone = etree.SubElement(contact, "Phone", type=kind)
        etree.SubElement(phone, "phonenumber").text = number
        etree.SubElement(phone, "accountindex").text = str(entry.account)
    if entry.department:
        etree.SubElement(contact, "Department").text = _name(entry.department)


def names(entry: Entry) -> tuple[str, str]:
    """First and last name as the phone shows them; the number where there is none, for a line without a name cannot be
    found on the phone."""
    first, last = _name(entry.first_name), _name(entry.last_name)
    return (first, last) if first or last or not entry.numbers else (entry.numbers[0][1], "")


def _name(text: str) -> str:
    """As much as the display shows, without what no XML file can hold; never half of a letter with its accents."""
    fit = unicodedata.normalize("NFC", _UNFIT.sub("", text))
    return fit[:MAX_NAME_CHARS].strip()


def _place(entry: Entry) -> tuple[str, str, tuple[tuple[str, str], ...], str, int]:
    return entry.last_name.casefold(), entry.first_name.casefold(), entry.numbers, entry.department, entry.account
