"""The only writer of phones, accounts and keys: sightings in, assignments in, stages forward.

Every function is one short transaction (or a part of its caller's), and appends the LiveEvents that tell it. State is
moved by conditional UPDATE, so that SQLite and PostgreSQL behave alike and two writers never both win. Three parts have
files of their own, `sightings`, `claims` and `listing`; callers know only this one.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.expressions import CombinedExpression
from django.utils import timezone
from django.utils.translation import gettext_lazy

from devices import batch, live
from devices.choices import WAY, EventKind, Stage
from devices.claims import (
    ALARM_BREAK,
    CLAIM_SETTLE_SECONDS,
    CLAIM_WORDS,
    accept_claim,
    dismiss_alarm,
    judge_claims,
    raise_alarm,
    record_verdicts,
)
from devices.listing import WAITS, CannotList, bring_back, cannot_be_made, file_made, prestage, retire, to_be_listed
from devices.models import Account, Key, Phone
from devices.sightings import NOT_OURS, Heard, Verify, record_sightings
from devices.whole import Whole, changed_since, rewrite, tell_all, unlist

__all__ = [
    "ALARM_BREAK", "CLAIM_SETTLE_SECONDS", "CLAIM_WORDS", "NOT_OURS", "WAITS", "WAY", "CannotList", "Heard", "Stage",
    "Verify", "VersionConflict", "accept_claim", "advance", "approve_address", "assign", "bring_back", "cannot_be_made",
    "dismiss_alarm", "explain", "file_made", "forget", "forget_unheard", "heed", "ignore", "judge_claims", "leave_site",
    "make_earlier", "move", "on_forgetting", "prestage", "raise_alarm", "record_sightings", "record_verdicts", "renew",
    "retire", "take_moved", "tell", "to_be_listed", "touch", "Whole", "changed_since", "rewrite", "tell_all", "unlist",
]  # fmt: skip

REASON_CHARS = 300
AT_ONCE, PAUSE_SECONDS = 250, 0.002  # SQLite's lock is not fair
# One of them begins the event of every save; who it was and a full stop follow.
ASSIGNED_BY, NEW_PATHS_BY = "Assigned by ", "New paths by "

SAVED_MEANWHILE = gettext_lazy("This phone was saved by somebody else in the meantime. Reload it and try again.")


class VersionConflict(Exception):
    """Somebody else saved this phone in the meantime: read it again, then save."""


def count_save(phone: Phone) -> None:
    """Note that somebody saved something of this phone that no file shows; call it inside a transaction.

    Raises VersionConflict if somebody else saved it since the caller read it.
    """
    if not Phone.objects.filter(pk=phone.pk, version=phone.version).update(version=phone.version + 1):
        raise VersionConflict(SAVED_MEANWHILE)
    phone.version += 1


def assign(
    phone: Phone,
    accounts: Iterable[Account],
    keys: Iterable[Key],
    *,
    approved_host: str | None,
    by: str,
    awaits_file: bool = False,
    attended: bool = True,
    kept: Collection[int] = (),
    told_as: str = ASSIGNED_BY,
) -> None:
    """Replace the phone's accounts and keys and start its way anew; call it inside a transaction.

    `phone` is as the caller read it: raises VersionConflict if it was saved by somebody else since then.
    `awaits_file` says that it has no file yet: it was not heard, and gets one when it is plugged in. What nobody
    `attended` confirms no address. `kept` are the numbers of accounts of which nobody has given the password anew.
    """
    now = timezone.now()
    approval = {"approved_host": approved_host, "approved_at": now} if attended else {}
    won = Phone.objects.filter(pk=phone.pk, version=phone.version).update(
        version=phone.version + 1,
        stage=Stage.ASSIGNED,
        stage_reason=WAITS if awaits_file else "",
        stage_at=now,
        awaits_file=awaits_file,
        **approval,
    )
    if not won:
        raise VersionConflict(SAVED_MEANWHILE)
    rows = list(accounts)
    since = dict(phone.accounts.filter(number__in=kept).values_list("number", "password_version"))
    for row in rows:
        row.password_version = since[row.number] if row.number in since else phone.version + 1
    phone.accounts.all().delete()
    phone.keys.all().delete()
    Account.objects.bulk_create(rows)
    Key.objects.bulk_create(keys)
    phone.refresh_from_db()
    live.append([live.event(phone, EventKind.STAGE, f"{told_as}{by}.", now)])


def renew(texts: Mapping[int, str], now: datetime) -> set[int]:
    """Start the way of these phones anew for a new version of their files: phone -> what is told; which are still on
    it. The caller has locked them, in its own transaction. What a person confirmed of their addresses stays."""
    phones = batch.select(Phone, ("pk", "mac", "stage"), "pk", list(texts))
    there = [(pk, mac) for pk, mac, stage in phones if stage in WAY]
    batch.write(Phone, [pk for pk, _ in there], stage=Stage.ASSIGNED, stage_reason="", stage_at=now)
    kind, stage = EventKind.STAGE.value, Stage.ASSIGNED.value
    live.append_rows([(pk, mac, kind, stage, texts[pk][: live.TEXT_CHARS], now) for pk, mac in there])
    return {pk for pk, _ in there}


def advance(phone_id: int, stage: Stage, sources: Iterable[Stage], text: str) -> bool:
    """Move a phone to `stage` if it is in one of `sources`; the reason why it stood still is cleared."""
    with transaction.atomic():
        return bool(advance_all({phone_id: text}, stage, sources))


def advance_all(texts: Mapping[int, str], stage: Stage, sources: Iterable[Stage]) -> set[int]:
    """The same for many, in a few statements and inside a transaction: phone -> what is told; which were moved."""
    now, kind = timezone.now(), EventKind.STAGE.value
    phones = batch.select(
        Phone, ("pk", "mac"), "pk", list(texts), only_if=("stage", [one.value for one in sources]), lock=True
    )
    batch.write(Phone, [pk for pk, _ in phones], stage=stage, stage_reason="", stage_at=now)
    live.append_rows([(pk, mac, kind, stage.value, texts[pk][: live.TEXT_CHARS], now) for pk, mac in phones])
    return {pk for pk, _ in phones}


def explain(phone_id: int, reason: str, stages: Iterable[Stage] = WAY) -> bool:
    """Write why a phone stands still, once; an unchanged reason makes no event."""
    return explain_all({phone_id: reason}, stages) > 0


def explain_all(reasons: Mapping[int, str], stages: Iterable[Stage] = WAY) -> int:
    """The same for many phones, in a few statements; for how many it was new."""
    if not reasons:
        return 0
    now, wanted = timezone.now(), set(stages)
    with transaction.atomic():
        phones = batch.select(Phone, ("pk", "mac", "stage", "stage_reason"), "pk", list(reasons), lock=True)
        changed = [
            (pk, mac, stage, reasons[pk][:REASON_CHARS])
            for pk, mac, stage, known in phones
            if stage in wanted and known != reasons[pk][:REASON_CHARS]
        ]
        batch.update(Phone, ("pk", "stage_reason"), [(pk, reason) for pk, _, _, reason in changed])
        live.append_rows(
            [(pk, mac, EventKind.REASON.value, stage, reason, now) for pk, mac, stage, reason in changed if reason]
        )
    return len(changed)


def touch(phone_id: int, steady_host: str | None = None) -> None:
    """The phone showed a sign of life; by its steady path, if `steady_host` says from where."""
    where = {"steady_host": steady_host} if steady_host else {}
    Phone.objects.filter(pk=phone_id).update(last_seen_at=timezone.now(), **where)


def make_earlier(phones: QuerySet[Phone], times: Mapping[str, CombinedExpression]) -> None:
    """Their times were stamped by a clock that was set back since (provisioning/clock_step.py). Call it with them
    locked."""
    phones.update(**times)


def touch_all(steady_hosts: Mapping[int, str | None]) -> None:
    """The same for many: phone -> from where it came by its steady path, or None. Call it with them locked."""
    now = timezone.now()
    rows = [(pk, now, host) for pk, host in steady_hosts.items() if host]
    batch.update(Phone, ("pk", "last_seen_at", "steady_host"), rows)
    batch.write(Phone, [pk for pk, host in steady_hosts.items() if not host], last_seen_at=now)


def tell(phone_id: int, kind: EventKind, text: str) -> None:
    """Append an event that changes no column of the phone."""
    live.append([live.event(Phone.objects.get(pk=phone_id), kind, text, timezone.now())])


def move(phone_id: int, site: str, by: str) -> bool:
    """Put a phone at another site; False if it stands there already, or is gone. The caller renews its file.

    It counts as a save: who has read the phone before reads it again, and no undoing takes it back.
    """
    with transaction.atomic():
        changed = Phone.objects.filter(pk=phone_id).exclude(site=site).update(site=site, version=F("version") + 1)
        if changed:
            tell(phone_id, EventKind.STAGE, f"Put at {f'site {site}' if site else 'the default site'} by {by}.")
    return bool(changed)


def take_moved(limit: int) -> list[int]:
    """Phones on their way that were heard at another site since their files were made, at most `limit` of them. The
    caller makes these anew, or orders it, in this transaction."""
    moved = Phone.objects.filter(site_moved_at__isnull=False).select_for_update().order_by("pk")
    found = dict(moved.values_list("pk", "stage")[:limit])
    batch.write(Phone, list(found), site_moved_at=None)
    return [pk for pk, stage in found.items() if stage in WAY]


def leave_site(site: str) -> int:
    """No listener of this site is there any more: whoever has their interface may tell the phones that were heard
    there, and any listener judges what claimed there to be a phone; how many phones were heard there. Many short
    transactions."""
    _leave("claimed_site", site)
    return _leave("heard_site", site)


def _leave(column: str, site: str) -> int:
    there, last, count = Phone.objects.filter(**{column: site}).order_by("pk"), 0, 0
    while found := list(there.filter(pk__gt=last).values_list("pk", flat=True)[:AT_ONCE]):
        last, count = found[-1], count + there.filter(pk__in=found).update(**{column: None})
        time.sleep(PAUSE_SECONDS)
    return count


def approve_address(phone_id: int, host: str | None, at: datetime | None = None) -> bool:
    """A person confirms the address that was shown, now or `at` a time; False if the phone has another one by now.
    What was confirmed of it after that time stays as young as it is."""
    there, now = Phone.objects.filter(pk=phone_id, source_host=host), timezone.now()
    if at is not None and there.filter(approved_host=host, approved_at__range=(at, now)).exists():
        return True
    return bool(there.update(approved_host=host, approved_at=at or now))


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
        if changed and stage == Stage.ASSIGNED:
            never_heard = Phone.objects.filter(pk=phone_id, awaits_file=True, first_seen_at=None)
            never_heard.update(stage_reason=WAITS)
        if changed:
            tell(phone_id, EventKind.STAGE, f"Not ignored any more, says {by}.")
    return bool(changed)


on_forgetting: list[Callable[[Sequence[str]], None]] = []
"""Called with the MACs of phones that go, in the same transaction: for what is kept by a MAC, and not by the phone."""


def forget(phone_id: int, by: str) -> bool:
    """Delete a phone and everything that belongs to it; it appears anew when it is next heard."""
    with transaction.atomic():
        # Locked before what belongs to it, as everybody does.
        phone = Phone.objects.select_for_update().filter(pk=phone_id).first()
        if phone is None:
            return False
        gone = live.event(phone, EventKind.FORGOTTEN, f"Forgotten by {by}.", timezone.now())
        phone.delete()
        _take_along([phone.mac])
        gone.phone = None
        live.append([gone])
    return True


def forget_unheard(before: datetime, limit: int) -> int:
    """Delete at most `limit` phones that nobody ever touched and that were not heard since `before`; how many went."""
    untouched = Q(stage=Stage.SEEN) | Q(stage=Stage.IGNORED, stage_reason__startswith=NOT_OURS)
    # What a person listed is not nobody's, and what was never heard has no time to compare.
    nobodys = Phone.objects.filter(
        untouched, version=0, approved_at=None, alarm="", listed_as="", last_seen_at__lt=before
    )
    lonely = nobodys.filter(accounts=None, keys=None, config_files=None).order_by("pk")
    found = list(lonely.values_list("pk", flat=True)[:limit])
    if not found:
        return 0
    with transaction.atomic():
        # Looked at again under the lock: one of them may have been heard or assigned since.
        gone = list(nobodys.filter(pk__in=found).select_for_update().order_by("pk").only("pk", "mac", "stage"))
        Phone.objects.filter(pk__in=[phone.pk for phone in gone]).delete()
        _take_along([phone.mac for phone in gone])
        text, now = "Forgotten: nobody assigned it, and it was not heard for a long time.", timezone.now()
        live.append_rows([(None, phone.mac, EventKind.FORGOTTEN.value, phone.stage, text, now) for phone in gone])
    return len(gone)


def _take_along(macs: Sequence[str]) -> None:
    for also in on_forgetting:
        also(macs)
