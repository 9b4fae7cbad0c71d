"""What may stand in an extension: what a phone's file takes, said of a field before it gets there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from devices.directory import Entry
from devices.models import Extension
from provisioning.gxp import fields

SITE_CHARS = 40
SUBJECTS = {
    "number": "The number", "name": "The caller name", "secret": "The secret", "auth_id": "The authentication ID",
    "sip_server": "The SIP server", "voicemail": "The voicemail number", "site": "The site",
}  # fmt: skip
_SLUG = re.compile(r"[-a-zA-Z0-9_]*", re.ASCII)


def limit_of(name: str) -> int:
    """How many characters fit into a field of the file and of the directory."""
    if name == "secret":
        return fields.MAX_TEXT
    column = Extension._meta.get_field(name).max_length or fields.MAX_TEXT  # type: ignore[union-attr]
    return min(column, fields.MAX_HOST + len(":65535") if name == "sip_server" else fields.MAX_TEXT)


def faults(entry: Entry) -> Iterator[tuple[str, str]]:
    """Field and what to do, for everything that is wrong. No answer repeats a secret."""
    if not entry.number:
        yield "number", "An extension needs a number; enter the SIP user ID."
    if len(entry.site) > SITE_CHARS or not _SLUG.fullmatch(entry.site):
        yield "site", f"The site: use at most {SITE_CHARS} letters, digits, hyphens and underscores."
    checks = {"number": fields.word_fault, "auth_id": fields.word_fault, "secret": fields.text_fault}
    for name in ("number", "auth_id", "name", "voicemail", "secret"):
        wrong = checks.get(name, fields.shown_fault)(getattr(entry, name) or "")
        if wrong:
            yield name, f"{SUBJECTS[name]}: {wrong}."
    wrong = fields.address_fault(entry.sip_server) if entry.sip_server else None
    if wrong:
        yield "sip_server", f"The SIP server: {wrong}."
