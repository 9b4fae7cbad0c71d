"""The warning that another phone has the same extension, in words. Never a refusal: shared lines exist."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext as _

from devices import holders
from devices.holders import Holder, Wanted
from devices.mac import colons
from devices.models import Phone
from provisioning.gxp.config import AccountConfig

NAMED = 3


def also_on(phone: Phone, accounts: Iterable[AccountConfig]) -> list[str]:
    """A sentence for each of these accounts that another phone has too."""
    wanted = {account.number: Wanted(account.user_id, account.sip_server, phone.site) for account in accounts}
    found = holders.of(wanted.values(), but=phone.mac)
    return [words(one.user_id, found[one]) for one in dict.fromkeys(wanted.values()) if found.get(one)]


def words(user_id: str, held: list[Holder]) -> str:
    """Who has it, too."""
    phones = list({one.phone_id: one for one in held}.values())
    named = ", ".join(f"{colons(one.mac)} ({one.model})" if one.model else colons(one.mac) for one in phones[:NAMED])
    if len(phones) > NAMED:
        named = _("{phones} and {count} more").format(phones=named, count=len(phones) - NAMED)
    return _("Extension {number} is on {phones} too.").format(number=user_id, phones=named)
