"""What several commands share: who asks, and which phone is meant."""

from __future__ import annotations

import getpass

from django.core.management.base import CommandError

from devices.mac import MacError, parse_mac
from devices.models import Phone


def me() -> str:
    """Who asks, for events and versions."""
    return f"{getpass.getuser()} (command line)"


def phone_of(mac: str) -> Phone:
    """The phone with this MAC, in any usual spelling. Raises CommandError."""
    try:
        phone = Phone.objects.filter(mac=parse_mac(mac)).first()
    except MacError as error:
        raise CommandError(str(error)) from error
    if phone is None:
        raise CommandError(f"{mac} was not seen yet. `manage.py phones` lists what was seen.")
    return phone
