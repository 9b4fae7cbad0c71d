"""How NOTIFYs end: what the phone answered, or that it did not, and what that means for it.

Answers of a boot storm are settled together; whatever is out of the ordinary, one by one. This module speaks no SIP.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from devices import batch, inventory
from devices.choices import EventKind, Stage
from devices.models import Phone
from devices.wording import in_english
from provisioning import outbox, starts
from provisioning.models import Notify, NotifyKind, NotifyState

FOREIGN = "this phone belongs to another system: reset it to factory defaults"
IGNORES_IT = (
    "It answers when it is asked whether it is there, but not our NOTIFY: it ignores one that comes long after its "
    "start. Switch the phone off and on."
)
ASKED_AGAIN = " It is asked again by itself, and when it is next seen."  # when, its NOTIFY says: this text does not age
# What a refusal of a configuration probably means, by its status (RFC 3261 21, RFC 6665 8.3.2), and what to do.
REFUSALS: Sequence[tuple[Collection[int], str]] = (
    ((489,), "plug and play is off on this phone, or it is no GXP16xx."),
    ((403,), f"it takes NOTIFYs from its own SIP server only. Switch the phone off and on; else {FOREIGN}."),
    ((404, 481), "it knows neither its own address nor its user. Switch the phone off and on."),
    ((405, 501), "what answers there knows no NOTIFY: is it this phone, or something before it (a SIP gateway)?"),
    (
        (400, 415, 420, 488, 606),
        "its firmware does not understand it. Switch the phone off and on; if it refuses again, upgrade its firmware.",
    ),
    (
        (480, 486, 500, 503),
        "it is busy or just starting. Press “Notify again” in a minute, or switch the phone off and on.",
    ),
    (range(300, 400), "it points to another address, where nothing is ever sent. Switch the phone off and on."),
)
SETTLED = ("pk", "state", "status", "reason", "settled_at")


class Answer(NamedTuple):
    """A phone's final answer to a NOTIFY, heard at that time; it may be recorded a while later. None: just now."""

    notify_id: int
    status: int
    reason: str
    heard_at: datetime | None = None

    def settled_at(self, now: datetime) -> datetime:
        """What was heard in time to come was heard before the clock went back."""
        return now if self.heard_at is None else min(self.heard_at, now)


def delivered(answers: Sequence[Answer]) -> set[int]:
    """Record answers 2xx; the ids of the NOTIFYs that waited for them."""
    now = timezone.now()
    ids = [one.notify_id for one in answers]
    with transaction.atomic():
        asked = {
            pk: (phone_id, kind) for pk, phone_id, kind in batch.select(Notify, ("pk", "phone", "kind"), "pk", ids)
        }
        outbox.lock_phones(phone_id for phone_id, _ in asked.values())
        rows = [
            (one.notify_id, NotifyState.DELIVERED, one.status, one.reason[:100], one.settled_at(now)) for one in answers
        ]
        won = batch.update(Notify, SETTLED, rows, only_if=("state", [NotifyState.SENDING]))
        agreed = [asked[one] for one in won]
        told = {phone_id: "Answered our NOTIFY." for phone_id, kind in agreed if kind == NotifyKind.PROFILE}
        inventory.advance_all(told, Stage.NOTIFIED, (Stage.ASSIGNED, Stage.NOTIFIED))
        for phone_id, kind in agreed:
            if kind != NotifyKind.PROFILE:
                inventory.tell(phone_id, EventKind.NOTIFY, f"Agreed to: {_asked(kind)}.")
    return won


def refused(answer: Answer, why: str = "") -> bool:
    """Record a final answer that is no 2xx; False if the row was not ours to settle any more.

    `why` replaces what is said of such an answer, where the caller knows better.
    """
    with transaction.atomic():
        row = _settle(answer.notify_id, NotifyState.REFUSED, answer)
        if row is None:
            return False
        words = why or _refusal_words(row.kind, answer.status, f"{answer.status} {answer.reason}".strip())
        if row.kind == NotifyKind.PROFILE and 500 <= answer.status < 600 and starts.retry_later(row):
            words += ASKED_AGAIN
        _say(row, words)
    return True


def unanswered(notify_id: int) -> bool:
    """Record that 32 s went by without a final answer."""
    with transaction.atomic():
        row = _settle(notify_id, NotifyState.UNANSWERED)
        if row is None:
            return False
        if _fetched_since(row):
            return True  # its answer was lost, but that it fetched proves that it heard us
        words = "It did not answer: it may be off, or unreachable from here."
        if row.kind == NotifyKind.PROFILE:
            words = "It did not answer our NOTIFY: it may be off, or ignores a late one. Switch the phone off and on."
            if Phone.objects.filter(pk=row.phone_id, online=True).exists():
                words = IGNORES_IT
            started_at = _started_since(row)
            if started_at is not None:
                starts.owe_after_start(row.phone_id, started_at)  # it was deaf while it started up; it is there now
                return True
            if starts.retry_later(row):
                words += ASKED_AGAIN
        _say(row, words)
    return True


def superfluous(row: Notify) -> bool:
    """Has the phone done meanwhile, or started up for, what this NOTIFY was to make it do?"""
    return _fetched_since(row) or _started_since(row) is not None


def _say(row: Notify, words: str) -> None:
    """A configuration that does not get through stops the phone on its way; a command is told and noted."""
    if row.kind == NotifyKind.PROFILE:
        inventory.explain(row.phone_id, words)
    else:
        Notify.objects.filter(pk=row.pk).update(note=words[:300])
        inventory.tell(row.phone_id, EventKind.NOTIFY, f"{_asked(row.kind)}: {words}"[:300])


def _asked(kind: str) -> str:
    return in_english(NotifyKind(kind).label)


def _settle(notify_id: int, state: NotifyState, answer: Answer | None = None) -> Notify | None:
    row = Notify.objects.select_related("config_file").defer(*outbox.SEALED_OF_NOTIFY).filter(pk=notify_id).first()
    if row is None:
        return None
    outbox.lock_phones([row.phone_id])
    now = timezone.now()
    said = {} if answer is None else {"status": answer.status, "reason": answer.reason[:100]}
    won = Notify.objects.filter(pk=notify_id, state=NotifyState.SENDING).update(
        state=state, settled_at=now if answer is None else answer.settled_at(now), **said
    )
    return row if won else None


def _started_since(row: Notify) -> datetime | None:
    """When the phone started up since this NOTIFY left, if it did, and if that was of its newest version."""
    started = Phone.objects.filter(pk=row.phone_id, subscribed_at__gt=row.first_sent_at)
    started_at = started.values_list("subscribed_at", flat=True).first()
    return started_at if row.config_file == outbox.current_file(row.phone_id) else None


def _fetched_since(row: Notify) -> bool:
    times = (row.config_file.fetched_at, row.config_file.steady_at)
    return row.first_sent_at is not None and any(one is not None and one >= row.first_sent_at for one in times)


def _refusal_words(kind: str, status: int, answer: str) -> str:
    if status in (401, 407):
        return f"It asked for a password that we do not know ({answer}): {FOREIGN}."
    if kind != NotifyKind.PROFILE:
        return f"It refused ({answer})."
    for statuses, text in REFUSALS:
        if status in statuses:
            return f"It refused our NOTIFY ({answer}): {text}"
    return f"It refused our NOTIFY ({answer}). Press “Notify again”, or switch the phone off and on."
