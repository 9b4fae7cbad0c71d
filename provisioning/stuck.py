"""Phones that stopped on the way: why, in plain words, from what the outbox and the door really saw.

Run by the worker process every few seconds; each reason is written once (inventory.explain).
"""

from datetime import timedelta

from django.db.models import F
from django.utils import timezone

from devices import inventory
from devices.choices import Stage
from devices.models import Phone
from provisioning import outbox, starts
from provisioning.models import NotifyKind, NotifyState
from provisioning.url_forms import FETCH_MINUTES

# A GXP16xx restarts in one to two minutes; twice that is suspicious. Our choice.
RESTART_MINUTES = 5
# A due NOTIFY leaves within a second if a listener runs where the phone was heard. Our choice.
UNSENT_SECONDS = 30
LOOK_AT_MOST = 500

WITHOUT_FILE = (
    "It fetched its file and started up again, but did not come back by the path in that file: it has probably not "
    "kept it (power lost while it wrote?). Press “Notify again”."
)


def explain_all() -> int:
    """Write the reason of every phone that has stood still for too long; how many reasons are new."""
    now = timezone.now()
    waiting = Phone.objects.filter(stage_reason="")
    notified = waiting.filter(stage=Stage.NOTIFIED, stage_at__lte=now - timedelta(minutes=FETCH_MINUTES))
    fetched = waiting.filter(stage=Stage.FETCHED, stage_at__lte=now - timedelta(minutes=RESTART_MINUTES))
    overdue = now - timedelta(seconds=UNSENT_SECONDS)
    unsent = waiting.filter(
        stage=Stage.ASSIGNED,
        notifies__kind=NotifyKind.PROFILE,
        notifies__state=NotifyState.WAITING,
        notifies__next_at__lte=overdue,
    ).distinct()
    told = 0
    for phone in unsent[:LOOK_AT_MOST]:
        told += inventory.explain(phone.pk, _not_sent(phone), [Stage.ASSIGNED])
    for phone in notified[:LOOK_AT_MOST]:
        told += inventory.explain(phone.pk, _not_fetched(phone), [Stage.NOTIFIED])
    # As long as an applied phone is given after its start to fetch by its steady path.
    should_be_back = now - timedelta(seconds=starts.RESET_CHECK_SECONDS)
    started = waiting.filter(stage=Stage.FETCHED, subscribed_at__gt=F("stage_at"), subscribed_at__lte=should_be_back)
    for phone in started[:LOOK_AT_MOST]:
        told += inventory.explain(phone.pk, WITHOUT_FILE, [Stage.FETCHED])
    for phone in fetched[:LOOK_AT_MOST]:
        told += inventory.explain(phone.pk, _not_back(), [Stage.FETCHED])
    return told


def _not_sent(phone: Phone) -> str:
    return (
        f"Its NOTIFY waits: no listener runs on {phone.interface or 'its interface'} with our address "
        f"{phone.local_host}, where the phone was heard. Start the listener, or switch the phone off and on."
    )


def _not_fetched(phone: Phone) -> str:
    current = outbox.current_file(phone.pk)
    where = current.base_url if current else "this server"
    return (
        f"It answered our NOTIFY but has not fetched its file for {FETCH_MINUTES} minutes: it may not reach {where}. "
        "Check VLAN and firewall, then switch the phone off and on: it is then told the file's place in the other form."
    )


def _not_back() -> str:
    return (
        f"It fetched its file but has not come back for it within {RESTART_MINUTES} minutes: it may still restart, "
        "or already had this configuration. Switch it off and on; if that does not help, press “Notify again”."
    )
