"""The doors' certificates as this installation has them: what is wrong with them, by name and with what to do.

Read at start, by `manage.py check`, and by the doctor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.utils import timezone

from devices import certificates
from devices.certificates import Certificate, CertificateError, Files, Worry


class Seen(NamedTuple):
    """One door's certificate: what it says, or why it cannot be used, and what is to be said of it."""

    files: Files
    found: Certificate | None
    fault: str
    worries: tuple[Worry, ...] = ()


def phones_host() -> str:
    """The name or address that every phone is told; "" if each is told the address that it reaches us by."""
    return urlsplit(settings.GSPNP_PUBLIC_URL).hostname or ""


def seen() -> Iterator[Seen]:
    """The certificates that the settings name, the phones' first."""
    for files, hosts in (
        (settings.PHONES_CERTIFICATE, [phones_host()] if phones_host() else []),
        (settings.CONSOLE_CERTIFICATE, settings.GSPNP_HOSTS),
    ):
        if files is None:
            continue
        try:
            found = certificates.read(files)
            worries = tuple(certificates.worries(files, found, hosts, timezone.now()))
        except CertificateError as error:
            yield Seen(files, None, str(error))
        else:
            yield Seen(files, found, "", worries)


def messages() -> list[CheckMessage]:
    """provisioning.W002 to W004: certificates that cannot be used, that will not do for all, and phones that are told
    HTTP although their door has one.

    None is an error: the door itself stays closed and says why, while the listener, the worker and commands, which may
    run as somebody who may not read the key, go on.
    """
    said: list[CheckMessage] = []
    for one in seen():
        if one.fault:
            said.append(Warning(one.fault, id="provisioning.W002"))
        said += [Warning(worry.words, hint=worry.remedy, id="provisioning.W003") for worry in one.worries]
    if settings.PHONES_CERTIFICATE and settings.GSPNP_PUBLIC_URL.startswith("http:"):
        words = f"The phones' door has a certificate, and GSPNP_PUBLIC_URL tells phones {settings.GSPNP_PUBLIC_URL}."
        hint = "Write https:// there, as soon as phones are to use it."
        said.append(Warning(words, hint=hint, id="provisioning.W004"))
    return said
