"""Files that many phones ask for at the same time, each by its own newest path: looked up together, by four statements.

Only the ordinary way stands here: the newest version of an assigned phone, no encrypted format, no login, and its final
file or a name that this file does not have (each phone asks for one of those first, at each start). Whoever is not in
the answer is looked up by downloads.find, which has all the rules and the words for what is wrong; so nobody is kept
from his file here, and what one phone's rows have wrong is nobody else's affair.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.db import router

from devices import batch, crypto
from devices.choices import WAY
from devices.models import Phone
from provisioning import downloads
from provisioning.downloads import Offer, OtherName
from provisioning.gxp import files
from provisioning.gxp.files import Part
from provisioning.models import ConfigFile, PathKind
from provisioning.paths import Ask, hash_of

log = logging.getLogger(__name__)

# What downloads.py and proofs.py look at in a version; what else they might is read when they do.
_LOOKED_AT = {
    "id", "phone", "number", "format", "digest", "bootstrap_kind", "etag", "base_url", "login_scheme", "key_known_at",
    "fetched_at", "applied_at", "first_host", "first_until",
}  # fmt: skip
_FIELDS = [field for field in ConfigFile._meta.concrete_fields if field.name in _LOOKED_AT]
PLAIN = [field.attname for field in _FIELDS]  # in the order of the model's fields: `from_db` wants them so
COLUMNS = (*(field.name for field in _FIELDS), "body", "content")

Question = tuple[Ask, str]
"""What is asked for, and from which address."""


class _Found(NamedTuple):
    """A version that a secret leads to, and what it holds, still encrypted."""

    version: ConfigFile
    kind: PathKind
    sealed: bytes


def find_all(questions: Sequence[Question]) -> Mapping[Question, Offer | OtherName]:
    """What those get who go the ordinary way; all others want a closer look."""
    try:
        found = _by_digest({hash_of(ask.secret) for ask, _ in questions})
        # Asked for in any case: that a path is known must not be told by the time that it takes to refuse it.
        phone_ids = {downloads.NO_PHONE, *(one.version.phone_id for one in found.values())}
        phones = {pk: (mac, stage) for pk, mac, stage in batch.select(Phone, ("pk", "mac", "stage"), "pk", phone_ids)}
        newest = dict(batch.newest(ConfigFile, ("phone", "pk"), "phone", phone_ids, by="number"))
    except Exception as error:  # whatever is wrong, or with whose rows: each is told by its own look
        log.debug("%d files could not be looked up together (%s); now one by one", len(questions), type(error))
        return {}
    offers: dict[Question, Offer | OtherName] = {}
    for ask, source_host in questions:
        one = found.get(hash_of(ask.secret))
        if one is None or newest.get(one.version.phone_id) != one.version.pk:
            continue
        mac, stage = phones.get(one.version.phone_id, ("", ""))
        if mac != ask.mac or stage not in WAY:
            continue
        try:
            offer = _offer(ask, source_host, one)
        except Exception as error:
            log.debug("a file could not be read together with others (%s)", type(error))
            continue
        if offer is not None:
            offers[ask, source_host] = offer
    return offers


def _by_digest(digests: set[str]) -> dict[str, _Found]:
    found: dict[str, _Found] = {}
    for name, kind in (("first_hash", PathKind.FIRST), ("steady_hash", PathKind.STEADY)):
        for digest, *row in batch.select(ConfigFile, (name, *COLUMNS), name, digests):
            found[digest] = _found(row, kind)
    return found


def _found(row: Sequence[Any], kind: PathKind) -> _Found:
    body, content = row[len(PLAIN) :]
    version = ConfigFile.from_db(router.db_for_read(ConfigFile), PLAIN, row[: len(PLAIN)])
    return _Found(version, kind, content if body is None else body)


def _offer(ask: Ask, source_host: str, found: _Found) -> Offer | OtherName | None:
    """Raises CannotDecrypt."""
    version, kind, by_first = found.version, found.kind, found.kind is PathKind.FIRST
    if version.choice.is_encrypted or (version.login_scheme and not by_first):
        return None
    if by_first and not downloads.first_path_open(version, source_host):
        return None
    part = files.part(version.choice, ask.suffix, by_first=by_first)
    if part is None:
        return OtherName()
    if part is not Part.FINAL:
        return None
    moves = version.fetched_at is None or (not by_first and version.applied_at is None)
    content = crypto.open_bytes(bytes(found.sealed))
    return Offer(ask.mac, version, content, Part.FINAL, kind, ask.name, moves, ask.below, path_base=version.base_url)
