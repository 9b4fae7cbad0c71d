"""What a request may have, by the same look-ups whatever is asked for.

What is not there, what this phone may not have, and what no phone asks for differ in nothing that a stranger sees:
each is looked up as a released name, as a secret path, as a phonebook's, and as a model's file, with a digest that
nothing has in the place of what was not asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from provisioning import downloads, paths
from provisioning.downloads import Offer, OtherName
from provisioning.paths import Ask, FirmwareAsk
from provisioning.phonebook import books
from provisioning.plain import files as plain_files

NOBODY = Ask("-", "-", "", "-")  # no secret has one character, and no phone has this MAC
NOTHING_RELEASED = Ask("", "0" * 12, "", "-"), "0.0.0.0"  # nothing can be released to this address
NO_NAME = "cfgnone.xml"  # of no model


@dataclass(frozen=True)
class Wanted:
    """What a path means, at most one thing; `config` is also what a plain name asks for."""

    config: Ask | None = None
    firmware: FirmwareAsk | None = None
    phonebook: str = ""

    def __repr__(self) -> str:
        return f"Wanted({self.config!r}, {self.firmware!r}, phonebook={'…' if self.phonebook else ''!r})"


class Stored(NamedTuple):
    """XML that proves nothing: a phonebook, or a file for a whole model."""

    what: str
    content: bytes
    etag: str


def wanted(path: str) -> Wanted:
    """What this decoded path asks for."""
    firmware = paths.read_firmware(path)
    book = paths.read_phonebook(path) if firmware is None else None
    if firmware is not None or book is not None:
        return Wanted(firmware=firmware, phonebook=book.secret if book is not None else "")
    return Wanted(config=paths.read(path))


def find(what: Wanted, source: str) -> Offer | OtherName | Stored | None:
    """The file for this request and this source address; else None. Raises CannotDecrypt, DatabaseError."""
    ask = what.config
    offer = downloads.find(ask if ask is not None and ask.secret else NOBODY, source)
    if offer is not None:
        return offer  # who may have the file may know that it is there, by whichever of its names
    is_model = ask is not None and not ask.secret and not ask.mac
    is_plain = ask is not None and not ask.secret and not is_model
    released = downloads.released(*((ask, source) if ask is not None and is_plain else NOTHING_RELEASED))
    book = books.find(what.phonebook or NOBODY.secret)
    for_all = plain_files.find(ask.name if ask is not None and is_model else NO_NAME)
    if released is not None:
        return released
    if book is not None:
        return Stored("the phonebook", bytes(book.content or b""), book.etag)
    return Stored(str(for_all), bytes(for_all.content), for_all.etag) if for_all is not None else None
