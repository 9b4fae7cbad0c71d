"""The use case "look at a phone's password": the value for one person's eyes, and an event that tells who looked."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from django.db import transaction
from django.utils.translation import gettext

from devices import inventory
from devices.choices import EventKind
from devices.crypto import CannotDecrypt
from devices.models import Phone
from provisioning.gxp import document
from provisioning.gxp.document import DocumentError
from provisioning.models import ConfigFile

# What nobody knows if we made it at random, and a person at the phone's web page needs. SIP passwords stay write-only.
REVEALABLE: Mapping[str, str] = MappingProxyType(
    {"admin_password": "the admin password", "user_password": "the user password"}
)


class CannotReveal(Exception):
    """There is nothing to look at; the text says why."""


def reveal(phone: Phone, name: str, *, by: str) -> str:
    """The password as the phone's newest file says it. That somebody looked is stored before it is told.

    Raises CannotReveal.
    """
    if name not in REVEALABLE:
        words = gettext("Only these can be looked at: %(names)s. Others can be replaced.")
        raise CannotReveal(words % {"names": ", ".join(REVEALABLE)})
    version = ConfigFile.objects.filter(phone=phone).order_by("-number").only("content", "number").first()
    if version is None:
        raise CannotReveal(gettext("This phone has no configuration of ours yet. Assign it first."))
    try:
        text = document.values(bytes(version.content)).get(name)
    except (CannotDecrypt, DocumentError):
        raise CannotReveal(gettext("Its file cannot be opened: put the key that it was written with back into "
                                   "GSPNP_FIELD_KEYS.")) from None  # fmt: skip
    if not text:
        words = gettext("The phone was not told %(setting)s by this server.")
        raise CannotReveal(words % {"setting": REVEALABLE[name]})
    with transaction.atomic():
        inventory.tell(phone.pk, EventKind.LOOKED, f"{by} looked at {REVEALABLE[name]}.")
    return text
