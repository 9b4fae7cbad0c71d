"""Commands to a phone that has a configuration of ours: check, load again, restart. And how far each has come.

A command is a NOTIFY like any other: owed here, sent by the listener that heard the phone. "Sent" is not "done": each
step is what was really seen.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from devices import inventory
from devices.choices import EventKind, Stage
from devices.models import Phone
from devices.wording import in_english
from provisioning import outbox
from provisioning.models import OPEN_STATES, ConfigFile, Download, Job, Notify, NotifyKind, NotifyOrigin, NotifyState

COMMANDS = (NotifyKind.CHECK_SYNC, NotifyKind.RESYNC, NotifyKind.REBOOT)


class CannotTell(Exception):
    """This phone cannot be told that as things stand; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing on the way of a NOTIFY, and when it was seen; None: not yet, or never."""

    name: str
    at: datetime | None
    words: str = ""


def send(
    phone_id: int,
    kind: NotifyKind,
    by: str,
    seen_host: str | None,
    *,
    job: Job | None = None,
    turn: datetime | None = None,
) -> Notify:
    """Owe the phone this command; one of the same kind that still waits gives way.

    `seen_host` is the address that the person saw. A `job` asks at its `turn`, and nobody is looking then: such a
    command confirms no address, so the rule for unattended NOTIFYs decides what may leave. Raises CannotTell,
    outbox.AddressMoved and outbox.Forgotten.
    """
    now = timezone.now()
    with transaction.atomic():
        phone = Phone.objects.select_for_update().filter(pk=phone_id).first()
        if phone is None:
            raise outbox.Forgotten
        config_file = outbox.current_file(phone_id)
        if phone.stage == Stage.RETIRED:
            raise CannotTell(gettext("This phone is retired: nothing is sent to it. Bring it back first."))
        if phone.is_assigned and not phone.is_heard:
            raise CannotTell(gettext("This phone was not heard yet: it gets its file as soon as it is plugged in."))
        if config_file is None or not phone.is_assigned:
            raise CannotTell(gettext("This phone has no configuration of ours yet. Assign it first."))
        if phone.source_host is None:
            raise CannotTell(gettext("The address of this phone is not known. Switch it off and on."))
        if phone.source_host != seen_host:
            raise outbox.AddressMoved(phone.source_host)
        under_way = outbox.open_row(phone_id, kind)
        if under_way is not None and under_way.state == NotifyState.SENDING:
            return under_way
        if kind == NotifyKind.PROFILE:
            turn = max(turn or now, outbox.after_the_last(config_file, now))
            if job is None:  # why it waited holds until one of a job leaves: it may be cancelled first
                inventory.explain(phone_id, "")
        origin = NotifyOrigin.JOB if job else NotifyOrigin.PERSON
        notify = outbox.enqueue(config_file, origin, turn or now, kind=kind, job=job)
        asked = "NOTIFY" if kind == NotifyKind.PROFILE else f"{in_english(kind.label)}:"
        inventory.tell(phone_id, EventKind.NOTIFY, f"{asked} asked for by {by}.")
    return notify


def is_over(notify: Notify) -> bool:
    """Will nothing more be sent for it?"""
    return notify.state not in OPEN_STATES


def progress(notify: Notify) -> list[Step]:
    """How far this NOTIFY has come: sent, challenged (if it was), answered, and what the phone did then."""
    sent_at = notify.first_sent_at
    steps = [Step("sent", sent_at, notify.note if sent_at is None else "")]
    if notify.challenged_at is not None:
        steps.append(Step("challenged", notify.challenged_at))
    answered = notify.state in (NotifyState.DELIVERED, NotifyState.REFUSED)
    words = f"{notify.status} {notify.reason}".strip() if notify.status else notify.note
    steps.append(Step("answered", notify.settled_at if answered else None, words))
    if notify.state == NotifyState.REFUSED:
        return steps
    if notify.kind == NotifyKind.REBOOT:
        subscribed_at = Phone.objects.filter(pk=notify.phone_id).values_list("subscribed_at", flat=True).first()
        steps.append(Step("started up", _since(subscribed_at, sent_at)))
    return [*steps, *_fetches(notify, sent_at)]


def _fetches(notify: Notify, sent_at: datetime | None) -> list[Step]:
    """Fetched: any complete download since. Applied: one by the path that only the applied file names."""
    if sent_at is None:
        return [Step("fetched", None), Step("applied", None)]
    counted = Download.objects.filter(config_file_id=notify.config_file_id, counts=True, at__gte=sent_at)
    fetched_at = counted.order_by("at").values_list("at", flat=True).first()
    version = ConfigFile.objects.only("applied_at", "steady_at").filter(pk=notify.config_file_id).first()
    is_applied = version is not None and version.applied_at is not None  # it may be forgotten at this moment
    applied_at = _since(version.steady_at, sent_at) if version and is_applied else None
    return [Step("fetched", fetched_at), Step("applied", applied_at)]


def _since(at: datetime | None, start: datetime | None) -> datetime | None:
    return at if at is not None and start is not None and at >= start else None
