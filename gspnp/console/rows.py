"""One phone as a row of the list shows it: account, how far it has come, and what it waits for in plain words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Prefetch

from devices.choices import WAY, Stage
from devices.models import Account, Phone
from gspnp.console.listening import Listening
from provisioning.models import OPEN_STATES, Notify, NotifyState

STEPS = (Stage.SEEN, *WAY)
ICONS = {
    Stage.SEEN: "visibility",
    Stage.ASSIGNED: "assignment_ind",
    Stage.NOTIFIED: "notifications_active",
    Stage.FETCHED: "download_done",
    Stage.APPLIED: "verified",
    Stage.IGNORED: "visibility_off",
    Stage.RETIRED: "archive",
}
LISTENER_AWAY = "Waiting for the listener, which is not running."
NEXT_WORDS = {
    Stage.NOTIFIED: "It answered our NOTIFY. It fetches its file within 6 minutes.",
    Stage.FETCHED: "It has its file, restarts now and fetches once more.",
}
OPEN_WORDS = {
    NotifyState.WAITING: "Its NOTIFY is about to be sent.",
    NotifyState.SENDING: "NOTIFY sent, waiting for its answer.",
    NotifyState.WITHHELD: "Its NOTIFY is withheld until the address is confirmed.",
}
# Showing a phone never opens a password: pages work while a key is missing, and nothing can slip out of them.
SHOWN_ACCOUNTS = Prefetch("accounts", queryset=Account.objects.defer("password"))


@dataclass(frozen=True)
class Row:
    """A phone for the templates. `step` counts from 1 along the way, 0 beside it."""

    phone: Phone
    account: Account | None
    more_accounts: int
    step: int
    icon: str
    words: str
    stuck: bool

    @property
    def can_assign(self) -> bool:
        return self.phone.known_model is not None


def rows_of(phones: Iterable[Phone], listening: Listening) -> list[Row]:
    """Rows of these phones, whose accounts are prefetched; one query for what is owed to them."""
    phones = list(phones)
    owed = Notify.objects.filter(phone__in=phones, state__in=OPEN_STATES).defer("datagram")
    notifies = {notify.phone_id: notify for notify in owed}
    return [row_of(phone, notifies.get(phone.pk), listening) for phone in phones]


def row_of(phone: Phone, owed: Notify | None, listening: Listening) -> Row:
    """One row; `owed` is the phone's open NOTIFY."""
    accounts = list(phone.accounts.all())
    words, stuck = _words(phone, owed, listening)
    return Row(
        phone=phone,
        account=accounts[0] if accounts else None,
        more_accounts=max(len(accounts) - 1, 0),
        step=STEPS.index(Stage(phone.stage)) + 1 if phone.stage in STEPS else 0,
        icon=ICONS.get(Stage(phone.stage), "help"),
        words=words,
        stuck=stuck,
    )


def _words(phone: Phone, owed: Notify | None, listening: Listening) -> tuple[str, bool]:
    """What a technician reads below the stage, and whether the phone has stopped on its way."""
    if owed is not None and owed.state != NotifyState.WITHHELD and not listening.running:
        return LISTENER_AWAY, True
    if phone.stage_reason:
        return phone.stage_reason, phone.is_assigned
    if owed is not None and phone.stage == Stage.ASSIGNED:
        return owed.note or OPEN_WORDS[NotifyState(owed.state)], owed.state == NotifyState.WITHHELD
    if phone.stage == Stage.SEEN and phone.known_model is None:
        return "This model cannot be configured yet.", False
    return NEXT_WORDS.get(Stage(phone.stage), ""), False
