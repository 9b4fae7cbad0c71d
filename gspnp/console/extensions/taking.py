"""Taking an extension's secret for a phone without looking at it: whose, and for which server.

A secret stays where devices/taking.py says, unless a person may look at secrets anyway.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

from devices import directory
from devices.crypto import CannotDecrypt
from devices.models import Extension
from devices.taking import what_forbids


class NotTaken(Exception):
    """The secret is not taken; `field` of the account's form, and what to do."""

    def __init__(self, field: str, words: str) -> None:
        super().__init__(words)
        self.field = field


@dataclass(frozen=True)
class Taker:
    """The phone's site, and whether the person who assigns it may look at secrets."""

    site: str
    may_reveal: bool = False

    def take(self, pk: int, number: str, sip_server: str) -> str:
        """The secret of the extension with this id, which must still have this number. Raises NotTaken."""
        entry = directory.readable().filter(pk=pk, number=number).first()
        if entry is None:
            words = _("Extension {number} is not in the directory any more: choose another one, or type its password.")
            raise NotTaken("password", words.format(number=number))
        if not self.may_reveal:
            self._stays(entry, sip_server)
        try:
            return entry.secret  # read here and not before: what is refused is not decrypted
        except CannotDecrypt:
            words = _(
                "The secret of extension {number} cannot be opened: the key that it was written with is not in "
                "GSPNP_FIELD_KEYS. Put that key back, or type the password."
            )
            raise NotTaken("password", words.format(number=number)) from None

    def _stays(self, entry: Extension, sip_server: str) -> None:
        forbids = what_forbids(entry, self.site, sip_server)
        if forbids == "site":
            words = _(
                "The stored secret of extension {number} is for phones of site {site}, and this one is not there. Type "
                "the password, move the phone to that site, or ask somebody who may look at secrets to assign it."
            )
            raise NotTaken("password", words.format(number=entry.number, site=entry.site))
        if forbids == "sip_server":
            words = _(
                "The stored secret of extension {number} is for its SIP server {server} alone. Enter that one here, "
                "type the password, or ask somebody who may look at secrets to assign the phone."
            )
            raise NotTaken("sip_server", words.format(number=entry.number, server=entry.sip_server))
