"""The only writer of phones, accounts and keys: sightings in, assignments in, stages forward.

Every function is one short transaction (or a part of its caller's), and appends the LiveEvents that tell it. State is
moved by conditional UPDATE, so that SQLite and PostgreSQL behave alike and two writers never both win.
"""

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from devices import live
from devices.choices import WAY, EventKind, Stage
from devices.mac import colons
from devices.models import Account, Key, Phone
from devices.sighting import Sighting
from devices.trust import Verdict

Verify = Callable[[str, str], Verdict]  # (host, mac) -> what the neighbour table says

# SQLite's lock is not fair: a repeating writer that does not pause between commits makes the others wait for seconds.
WRITER_PAUSE_SECONDS = 0.002
CLAIM_WORDS = " now claims "
ALARM_BREAK = "\n"  # a phone may have more than one alarm
CLAIM_SETTLE_SECONDS = 1.0  # our 200 makes the kernel ask who has the address; the answer needs a moment
SIGHTING_FIELDS = (
    "vendor",
    "model",
    "firmware",
    "source_host",
    "notify_port",
    "contact",
    "interface",
    "local_host",
    "approved_host",
    "last_seen_at",
    "subscribed_at",
    "claimed_host",
    "claimed_port",
    "claimed_interface",
    "claimed_local_host",
    "claimed_at",
    "claim_heard_at",
    "alarm",
    "alarm_at",
    "stage",
    "stage_reason",
    "stage_at",
)
NOT_OURS = "Seen, not ours: "


class VersionConflict(Exception):
    """Somebody else saved this phone in the meantime: read it again, then save."""


@dataclass(frozen=True)
class Heard:
    """What a sighting did. `accepted` is false while another address claims to be an assigned phone."""

    phone_id: int
    mac: str
    stage: str
    accepted: bool


def record_sightings(sightings: Sequence[Sighting], verify: Verify) -> list[Heard]:
    """Store what was heard, in order, in one transaction; at most one event for each phone and address."""
    now = timezone.now()
    with transaction.atomic():
        macs = {sighting.mac for sighting in sightings}
        phones = {phone.mac: phone for phone in Phone.objects.select_for_update().filter(mac__in=macs)}
        fresh: dict[str, Phone] = {}
        events, heard, told = [], [], set()
        for sighting in sightings:
            phone = phones.get(sighting.mac)
            if phone is None:
                phone = phones[sighting.mac] = fresh[sighting.mac] = _new_phone(sighting, now)
            kind, text, accepted = _take(phone, sighting, verify, now, new=phone.mac in fresh)
            if (phone.mac, sighting.source_host, text) not in told:
                told.add((phone.mac, sighting.source_host, text))
                events.append((phone, kind, text))
            heard.append((phone, accepted))
        _upsert(phones.values())
        live.append(live.event(phone, kind, text, now) for phone, kind, text in events)
    return [Heard(phone.pk, phone.mac, phone.stage, accepted) for phone, accepted in heard]


def _upsert(phones: Iterable[Phone]) -> None:
    """Insert new phones, and write what a sighting changes of known ones, in one statement.

    A bulk_update would take 5 ms a row, all of it under the lock.
    """
    rows = [copy(phone) for phone in phones]
    for row in rows:
        row.pk = None  # let the MAC alone decide whether a row is there
    Phone.objects.bulk_create(rows, update_conflicts=True, unique_fields=["mac"], update_fields=SIGHTING_FIELDS)
    for phone, row in zip(phones, rows, strict=True):
        phone.pk = row.pk


def _new_phone(sighting: Sighting, now: datetime) -> Phone:
    stage = Stage.SEEN if sighting.ours else Stage.IGNORED
    reason = "" if sighting.ours else f"{NOT_OURS}{sighting.vendor or 'unknown vendor'}."
    return Phone(mac=sighting.mac, stage=stage, stage_reason=reason, stage_at=now, first_seen_at=now, last_seen_at=now)


def _take(phone: Phone, sighting: Sighting, verify: Verify, now: datetime, new: bool) -> tuple[EventKind, str, bool]:
    """Write one sighting into `phone` (not saved): its address, or a claim if an assigned phone is elsewhere."""
    host = sighting.source_host
    if phone.stage in WAY and host != phone.source_host:
        verdict = verify(host, phone.mac)
        familiar = host in (phone.approved_host, phone.steady_host) and verdict is Verdict.UNKNOWN
        if verdict is not Verdict.MATCH and not familiar:
            _claim(phone, sighting, now)
            return EventKind.SEEN, f"A SUBSCRIBE with this MAC came from {host}.", False
        if host != phone.approved_host:
            phone.approved_host = phone.approved_at = None
        if host == phone.claimed_host:
            _clear_claim(phone)
    if phone.stage == Stage.IGNORED and phone.stage_reason.startswith(NOT_OURS) and sighting.ours:
        phone.stage, phone.stage_reason, phone.stage_at = Stage.SEEN, "", now
    _describe(phone, sighting)
    phone.last_seen_at = now
    if sighting.origin == "pnp":
        phone.subscribed_at = now
    if new:
        return EventKind.SEEN, f"Seen for the first time, at {host}.", True
    return EventKind.SEEN, f"Started up at {host}.", True


def _claim(phone: Phone, sighting: Sighting, now: datetime) -> None:
    """Another address says that it is this assigned phone; note it, and touch nothing else."""
    judged = phone.alarm_at is not None and phone.claimed_at is not None and phone.alarm_at >= phone.claimed_at
    if phone.claimed_at is None or (judged and phone.claimed_host != sighting.source_host):
        # While a claim waits for its judgement its time stands: two that take turns must not put it off for ever.
        phone.claimed_at = now
    phone.claimed_host, phone.claim_heard_at = sighting.source_host, now
    phone.claimed_port, phone.claimed_interface = sighting.notify_port, sighting.interface
    phone.claimed_local_host = sighting.local_host


def _describe(phone: Phone, sighting: Sighting) -> None:
    """Take what the phone says of itself; what it leaves out this time stays as it was known."""
    phone.vendor = sighting.vendor or phone.vendor
    phone.model = sighting.model or phone.model
    phone.firmware = sighting.firmware or phone.firmware
    phone.source_host, phone.notify_port, phone.contact = (
        sighting.source_host,
        sighting.notify_port,
        sighting.contact,
    )
    phone.interface, phone.local_host = sighting.interface, sighting.local_host


def judge_claims(verify: Verify) -> list[int]:
    """Decide on claims that have had time to show in the neighbour table; ids of phones that really moved.

    A claim that the table verifies is a phone with a new address. Any other raises an alarm and stays a claim.
    """
    now = timezone.now()
    moved = []
    ripe = Phone.objects.filter(
        claimed_host__isnull=False, claimed_at__lte=now - timedelta(seconds=CLAIM_SETTLE_SECONDS)
    ).exclude(alarm__contains=CLAIM_WORDS, alarm_at__gte=F("claimed_at"))
    for phone in ripe[:100]:
        if verify(phone.claimed_host or "", phone.mac) is Verdict.MATCH:
            if accept_claim(phone.pk, phone.claimed_host or "", by=""):
                moved.append(phone.pk)
        else:
            raise_alarm(phone.pk, f"{colons(phone.mac)}{CLAIM_WORDS}{phone.claimed_host}. Nothing is sent there.")
    return moved


def accept_claim(phone_id: int, host: str, by: str) -> bool:
    """Take the claimed address as the phone's own, if it still is `host`, the one that was seen or verified.

    `by` names the person; empty if the neighbour table showed it.
    """
    now = timezone.now()
    with transaction.atomic():
        phone = Phone.objects.select_for_update().filter(pk=phone_id, claimed_host=host).first()
        if phone is None:
            return False
        phone.source_host, phone.notify_port = phone.claimed_host, phone.claimed_port
        phone.interface, phone.local_host = phone.claimed_interface, phone.claimed_local_host
        phone.approved_host, phone.approved_at = (phone.source_host, now) if by else (None, None)
        phone.subscribed_at = phone.last_seen_at = phone.claim_heard_at or now
        _clear_claim(phone)
        phone.save()
        who = f"confirmed by {by}" if by else "the neighbour table shows it there"
        live.append([live.event(phone, EventKind.CHANGED, f"Moved to {phone.source_host}; {who}.", now)])
    return True


def dismiss_alarm(phone_id: int, by: str) -> bool:
    """Forget a claim and its alarm; the phone keeps its address."""
    with transaction.atomic():
        phone = Phone.objects.select_for_update().filter(pk=phone_id).exclude(alarm="").first()
        if phone is None:
            return False
        _clear_claim(phone)
        phone.alarm, phone.alarm_at = "", None
        phone.save()
        live.append([live.event(phone, EventKind.ALARM, f"Alarm dismissed by {by}.", timezone.now())])
    return True


def _clear_claim(phone: Phone) -> None:
    phone.claimed_host = phone.claimed_at = phone.claim_heard_at = phone.claimed_local_host = None
    phone.claimed_interface = ""
    others = [line for line in phone.alarm.split(ALARM_BREAK) if line and CLAIM_WORDS not in line]
    phone.alarm = ALARM_BREAK.join(others)
    phone.alarm_at = phone.alarm_at if others else None


def raise_alarm(phone_id: int, text: str) -> None:
    """Put an alarm on a phone; it stays until a person deals with it."""
    now = timezone.now()
    with transaction.atomic():
        phone = Phone.objects.select_for_update().filter(pk=phone_id).first()
        if phone is None:
            return
        others = [line for line in phone.alarm.split(ALARM_BREAK) if line and not _same_kind(line, text)]
        Phone.objects.filter(pk=phone_id).update(alarm=ALARM_BREAK.join([text, *others])[:300], alarm_at=now)
        live.append([live.event(phone, EventKind.ALARM, text, now)])


def _same_kind(line: str, text: str) -> bool:
    """A newer claim takes the place of an older one; other alarms stand until a person has seen them."""
    return line == text or (CLAIM_WORDS in line and CLAIM_WORDS in text)


def assign(
    phone: Phone, accounts: Iterable[Account], keys: Iterable[Key], *, approved_host: str | None, by: str
) -> None:
    """Replace the phone's accounts and keys and start its way anew; call it inside a transaction.

    `phone` is as the caller read it: raises VersionConflict if it was saved by somebody else since then.
    """
    now = timezone.now()
    won = Phone.objects.filter(pk=phone.pk, version=phone.version).update(
        version=phone.version + 1,
        stage=Stage.ASSIGNED,
        stage_reason="",
        stage_at=now,
        approved_host=approved_host,
        approved_at=now,
    )
    if not won:
        raise VersionConflict("This phone was saved by somebody else in the meantime. Reload it and try again.")
    phone.accounts.all().delete()
    phone.keys.all().delete()
    Account.objects.bulk_create(accounts)
    Key.objects.bulk_create(keys)
    phone.refresh_from_db()
    live.append([live.event(phone, EventKind.STAGE, f"Assigned by {by}.", now)])


def advance(phone_id: int, stage: Stage, sources: Iterable[Stage], text: str) -> bool:
    """Move a phone to `stage` if it is in one of `sources`; the reason why it stood still is cleared."""
    now = timezone.now()
    with transaction.atomic():
        moved = Phone.objects.filter(pk=phone_id, stage__in=list(sources)).update(
            stage=stage, stage_reason="", stage_at=now
        )
        if moved:
            live.append([live.event(Phone.objects.get(pk=phone_id), EventKind.STAGE, text, now)])
    return bool(moved)


def explain(phone_id: int, reason: str, stages: Iterable[Stage] = WAY) -> bool:
    """Write why a phone stands still, once; an unchanged reason makes no event."""
    reason = reason[:300]
    with transaction.atomic():
        standing = Phone.objects.filter(pk=phone_id, stage__in=list(stages)).exclude(stage_reason=reason)
        changed = standing.update(stage_reason=reason)
        if changed and reason:
            live.append([live.event(Phone.objects.get(pk=phone_id), EventKind.REASON, reason, timezone.now())])
    return bool(changed)


def touch(phone_id: int, steady_host: str | None = None) -> None:
    """The phone showed a sign of life; by its steady path, if `steady_host` says from where."""
    where = {"steady_host": steady_host} if steady_host else {}
    Phone.objects.filter(pk=phone_id).update(last_seen_at=timezone.now(), **where)


def tell(phone_id: int, kind: EventKind, text: str) -> None:
    """Append an event that changes no column of the phone."""
    live.append([live.event(Phone.objects.get(pk=phone_id), kind, text, timezone.now())])


def approve_address(phone_id: int, host: str | None) -> bool:
    """A person confirms the address that was shown; False if the phone has another one by now."""
    return bool(
        Phone.objects.filter(pk=phone_id, source_host=host).update(approved_host=host, approved_at=timezone.now())
    )


def ignore(phone_id: int, by: str) -> bool:
    """Take a phone out of the working list; it is heard, answered, and never notified."""
    now = timezone.now()
    with transaction.atomic():
        changed = (
            Phone.objects.filter(pk=phone_id)
            .exclude(stage=Stage.IGNORED)
            .update(stage=Stage.IGNORED, stage_reason=f"Ignored by {by}."[:300], stage_at=now)
        )
        if changed:
            tell(phone_id, EventKind.STAGE, f"Ignored by {by}.")
    return bool(changed)


def heed(phone_id: int, stage: Stage, by: str) -> bool:
    """Stop ignoring a phone; `stage` is how far it had come."""
    now = timezone.now()
    with transaction.atomic():
        changed = Phone.objects.filter(pk=phone_id, stage=Stage.IGNORED).update(
            stage=stage, stage_reason="", stage_at=now
        )
        if changed:
            tell(phone_id, EventKind.STAGE, f"Not ignored any more, says {by}.")
    return bool(changed)


def forget(phone_id: int, by: str) -> bool:
    """Delete a phone and everything that belongs to it; it appears anew when it is next heard."""
    with transaction.atomic():
        phone = Phone.objects.filter(pk=phone_id).first()
        if phone is None:
            return False
        gone = live.event(phone, EventKind.FORGOTTEN, f"Forgotten by {by}.", timezone.now())
        phone.delete()
        gone.phone = None
        live.append([gone])
    return True
