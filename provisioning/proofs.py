"""What complete downloads prove, of many phones at once.

When a building gets its power back, thousands of phones fetch within seconds, and each waits for the last bytes of its
file until what they prove is committed. One transaction for all who wait is as many times cheaper: fewer statements,
one commit. What is out of the ordinary (an encrypted file, a version that was overtaken, what may have been said
before) goes the long way of downloads.record, which takes some milliseconds each: a few in one transaction.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from devices import batch, inventory
from devices.choices import Stage
from devices.models import Phone
from provisioning import downloads, outbox, url_forms
from provisioning.downloads import Offer
from provisioning.gxp.files import Part
from provisioning.models import ConfigFile, Download, PathKind

log = logging.getLogger(__name__)

LONG_WAY_AT_ONCE = 8  # some 20 ms under SQLite's lock. Our choice
PAUSE_SECONDS = 0.002  # between two transactions: SQLite's lock is not fair
COLUMNS = (
    "phone", "config_file", "path_kind", "name", "status", "counts", "source_host", "user_agent", "at"
)  # fmt: skip


@dataclass(frozen=True, eq=False, slots=True)
class Proof:
    """A complete 200 that has its last bytes still to come; two of the same phone are two."""

    offer: Offer
    source_host: str
    user_agent: str

    @property
    def phone_id(self) -> int:
        return self.offer.config_file.phone_id


def record_all(proofs: Sequence[Proof]) -> dict[Proof, Exception | None]:
    """Store these downloads and move their phones' stages: of each None, or why it could not be stored.

    Commit this before the bodies' ends are sent. If they cannot be stored together, each is stored by itself.
    """
    try:
        with transaction.atomic():
            others = _record_together(proofs)
    except Exception as error:  # whatever is wrong with one of them, the others' phones wait for theirs
        return _one_by_one(proofs, error)
    stored: dict[Proof, Exception | None] = dict.fromkeys(proofs)
    for few in batch.bites(others, LONG_WAY_AT_ONCE):
        time.sleep(PAUSE_SECONDS)
        try:
            with transaction.atomic():
                outbox.lock_phones(one.phone_id for one in few)
                for one in few:
                    _record(one)
        except Exception as error:
            stored |= _one_by_one(few, error)
    return stored


def _one_by_one(proofs: Sequence[Proof], error: Exception) -> dict[Proof, Exception | None]:
    if len(proofs) == 1:
        return {proofs[0]: error}
    log.warning("%d downloads could not be stored together (%r); now one by one", len(proofs), error)
    return {one: _alone(one) for one in proofs}


def _alone(proof: Proof) -> Exception | None:
    try:
        _record(proof)
    except Exception as error:
        return error
    return None


def _record(proof: Proof) -> None:
    downloads.record(proof.offer, 200, True, proof.source_host, proof.user_agent)


def _record_together(proofs: Sequence[Proof]) -> list[Proof]:
    """Those that are left, which are out of the ordinary."""
    outbox.lock_phones(one.phone_id for one in proofs)
    firsts, steadies, others = _sorted(proofs)
    _store([*firsts, *steadies])
    _fetched(firsts)
    _applied(steadies)
    return others


def _sorted(proofs: Sequence[Proof]) -> tuple[list[Proof], list[Proof], list[Proof]]:
    """Who takes its file for the first time, who proves by its own path that it applied it, and all others."""
    newest = dict(batch.newest(ConfigFile, ("phone", "pk"), "phone", {one.phone_id for one in proofs}, "number"))
    names, keys = ("pk", "fetched_at", "applied_at"), {one.offer.config_file.pk for one in proofs}
    known = {pk: times for pk, *times in batch.select(ConfigFile, names, "pk", keys, lock=True)}
    firsts: list[Proof] = []
    steadies: list[Proof] = []
    others: list[Proof] = []
    seen: set[int] = set()
    for one in proofs:
        version = one.offer.config_file
        is_plain = one.offer.part is Part.FINAL and not version.choice.is_encrypted and version.pk not in seen
        seen.add(version.pk)
        place = others
        if is_plain and newest.get(version.phone_id) == version.pk and version.pk in known:
            fetched_at, applied_at = known[version.pk]
            if one.offer.path_kind == PathKind.FIRST and fetched_at is None:
                place = firsts
            elif one.offer.path_kind == PathKind.STEADY and fetched_at is not None and applied_at is None:
                place = steadies
        place.append(one)
    return firsts, steadies, others


def _store(proofs: Sequence[Proof]) -> None:
    now = timezone.now()
    rows = [
        (one.phone_id, one.offer.config_file.pk, one.offer.path_kind, one.offer.name[:40], 200, True,
         one.source_host, one.user_agent[:200], now)
        for one in proofs
    ]  # fmt: skip
    batch.insert(Download, COLUMNS, rows)


def _fetched(proofs: Sequence[Proof]) -> None:
    batch.write(ConfigFile, _versions(proofs), fetched_at=timezone.now())
    inventory.touch_all({one.phone_id: None for one in proofs})
    texts = {one.phone_id: downloads.fetched_words(one.offer.name) for one in proofs}
    inventory.advance_all(texts, Stage.FETCHED, downloads.BEFORE_FETCHED)
    url_forms.learn_all({one.offer.config_file.pk: one.offer.below for one in proofs})
    outbox.drop_waiting(_versions(proofs), downloads.HAS_FETCHED)


def _applied(proofs: Sequence[Proof]) -> None:
    now = timezone.now()
    batch.write(ConfigFile, _versions(proofs), steady_at=now, applied_at=now)
    inventory.touch_all({one.phone_id: one.source_host for one in proofs})
    later = [one for one in proofs if one.offer.config_file.number > 1]
    outbox.retire_older([one.phone_id for one in later], _versions(later), now)
    heard_at = dict(batch.select(Phone, ("pk", "source_host"), "pk", [one.phone_id for one in proofs]))
    texts = {
        one.phone_id: downloads.APPLIED + downloads.from_elsewhere(heard_at.get(one.phone_id), one.source_host)
        for one in proofs
    }
    inventory.advance_all(texts, Stage.APPLIED, downloads.BEFORE_APPLIED)
    outbox.drop_waiting(_versions(proofs), downloads.BY_OWN_PATH)


def _versions(proofs: Iterable[Proof]) -> list[int]:
    return [one.offer.config_file.pk for one in proofs]
