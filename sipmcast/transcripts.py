"""From the journal into the database: the last exchange with each phone, redacted. Called in a helper process.

It is nobody's proof and nobody waits for it: written in small batches when the listener has nothing better to do, one
row for each phone and kind, so that a fleet that starts up every minute costs no more room than one that did once.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import transaction

from devices import batch
from devices.models import Phone
from provisioning.models import ConfigFile, Notify
from provisioning.phonebook.models import Phonebook
from sipmcast.journal import Exchange, Message
from sipmcast.models import Transcript, TranscriptKind
from sipmcast.redaction import redacted, visible
from sipmcast.sip.uri import hostport

Written = tuple[int, str, datetime, list[dict[str, Any]]]


def store(exchanges: Sequence[Exchange], now: float, at: float) -> int:
    """Write what was said over what was said before; how many rows. `now` and `at` are the same moment, in the
    monotonic seconds of the exchanges and in POSIX seconds. What belongs to no phone is left out."""
    macs = {one.mac for one in exchanges if one.mac}
    tokens = {one.token for one in exchanges if one.token}
    phones = {mac: (pk, host) for mac, pk, host in batch.select(Phone, ("mac", "pk", "source_host"), "mac", macs)}
    notified = dict(batch.select(Notify, ("pk", "phone"), "pk", tokens))
    known = _known_secrets({pk for pk, _ in phones.values()} | set(notified.values()))
    rows: dict[tuple[int, str], Written] = {}
    for one in exchanges:
        phone_id, host = phones.get(one.mac, (notified.get(one.token), None))
        if phone_id is None:
            continue
        kind = _kind(one, host)
        spoken_at = datetime.fromtimestamp(at - (now - one.changed_at), UTC)
        rows[phone_id, kind] = (phone_id, kind, spoken_at, [_told(message, known, now, at) for message in one.messages])
    return _write(rows.values())


def _known_secrets(phone_ids: Collection[int]) -> set[str]:
    """Hashes of what leads to these phones' files and to a phonebook. Nothing has to be decrypted for them."""
    pairs = batch.select(ConfigFile, ("first_hash", "steady_hash"), "phone", phone_ids)
    return {one for pair in pairs for one in pair}.union(Phonebook.objects.values_list("secret_hash", flat=True))


def _kind(exchange: Exchange, host: str | None) -> str:
    if exchange.token:
        return TranscriptKind.NOTIFY.value
    # Whoever claims to be a phone must not hide what the phone itself has said.
    return (TranscriptKind.SUBSCRIBE if exchange.messages[0].theirs[0] == host else TranscriptKind.CLAIM).value


def _write(rows: Collection[Written]) -> int:
    """Every text is made by now: nothing but the writing happens under the lock."""
    with transaction.atomic():
        # Locked before what belongs to them; one that was forgotten meanwhile is not there any more.
        there = {pk for (pk,) in batch.select(Phone, ("pk",), "pk", {row[0] for row in rows}, lock=True)}
        made = [Transcript(phone_id=pk, kind=kind, at=at, messages=said) for pk, kind, at, said in rows if pk in there]
        Transcript.objects.bulk_create(
            made, update_conflicts=True, unique_fields=["phone", "kind"], update_fields=["at", "messages"]
        )
    return len(made)


def _told(message: Message, known: Collection[str], now: float, at: float) -> dict[str, Any]:
    """One message as JSON: no byte of it is anything but plain text."""
    is_cut = message.size > len(message.datagram)
    text, cut = visible(redacted(message.datagram, known, is_cut=is_cut))
    return {
        "sent": message.sent,
        "at": _iso(message.at, now, at),
        "ours": hostport(message.ours),
        "theirs": hostport(message.theirs),
        "group": message.on_group,
        "text": text,
        "size": message.size,
        "cut": cut or is_cut,
        "again": [_iso(one, now, at) for one in message.again],
        "repeats": message.repeats,
    }


def _iso(monotonic: float, now: float, at: float) -> str:
    return datetime.fromtimestamp(at - (now - monotonic), UTC).isoformat(timespec="milliseconds")
