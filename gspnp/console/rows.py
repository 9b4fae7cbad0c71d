"""One phone as a row of the list shows it: account, how far it has come, whether it is there, what it waits for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F, Max, OuterRef, Prefetch, Q, Subquery
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy

from devices.choices import WAY, Neighbour, Stage
from devices.models import Account, Phone
from gspnp.console.listening import Listening
from provisioning import starting
from provisioning.gxp.firmware import Hole, holes, order
from provisioning.models import OPEN_STATES, ConfigFile, Notify, NotifyKind, NotifyState

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
CHALLENGED = (401, 407)  # RFC 3261 22: the phone wants a password first
NEXT_WORDS = {
    Stage.ASSIGNED: gettext_lazy("It takes its file at its next start; “Notify again” tells it now."),
    Stage.NOTIFIED: gettext_lazy("It answered our NOTIFY. It fetches its file within 6 minutes."),
    Stage.FETCHED: gettext_lazy("It has its file, restarts now and fetches once more."),
}
OPEN_WORDS = {
    NotifyState.WAITING: gettext_lazy("Its NOTIFY is about to be sent."),
    NotifyState.SENDING: gettext_lazy("NOTIFY sent, waiting for its answer."),
    NotifyState.WITHHELD: gettext_lazy("Its NOTIFY is withheld until the address is confirmed."),
}
LISTED = gettext_lazy("Listed")
NOT_HEARD = gettext_lazy("It is listed, and was not heard yet. Assign it, or plug it in.")
FILE_COMES = gettext_lazy("It was plugged in: its file is being made.")
NO_WORKER = gettext_lazy("It was plugged in, and nobody makes its file: the worker is not running.")
JUST_SECONDS = 10  # a phone that was read a moment before its NOTIFY was answered is still "assigned". Our choice.
FILE_SECONDS = 30  # a worker makes it within two. Our choice.
ONLINE, OFFLINE, UNKNOWN = "online", "offline", "unknown"
NOT_ASKED_YET = gettext_lazy("Not asked yet")
NOT_ASKED_YET_MORE = gettext_lazy("It was not asked yet whether it is there")
REACH_LABELS = {ONLINE: gettext_lazy("Online"), OFFLINE: gettext_lazy("Offline"), UNKNOWN: gettext_lazy("Not known")}
WAS_LABELS = {ONLINE: gettext_lazy("Was online"), OFFLINE: gettext_lazy("Was offline")}
# A failed command is marked in the list for this long, a restart until the phone is back or for this long. Our choice.
FAILED_SHOWN_HOURS = 1
RESTART_SHOWN_MINUTES = 10
# Showing a phone never opens a password: pages work while a key is missing, and nothing can slip out of them.
SHOWN_ACCOUNTS = Prefetch("accounts", queryset=Account.objects.defer("password"))


@dataclass(frozen=True)
class Reach:
    """Whether a phone is there, as far as it is known; `why` says why it is not known, `brief` in as few words as the
    list has room for; `more` is the whole sentence."""

    state: str
    label: str
    since: datetime | None = None
    rtt_ms: float | None = None
    why: str = ""
    brief: str = ""
    more: str = ""

    @property
    def rtt_words(self) -> str:
        if self.rtt_ms is None:
            return ""
        return "< 1 ms" if self.rtt_ms < 1 else f"{self.rtt_ms:.0f} ms"


@dataclass(frozen=True)
class Mark:
    """The phone's last command while it is under way, or has just failed."""

    label: str
    words: str
    failed: bool
    more: str = ""


@dataclass(frozen=True)
class Row:
    """A phone for the templates. `step` counts from 1 along the way, 0 beside it; `again_at` is when it is asked again
    by itself, after what its words say."""

    phone: Phone
    account: Account | None
    others: list[Account]
    step: int
    icon: str
    words: str
    stuck: bool
    reach: Reach | None = None
    command: Mark | None = None
    again_at: datetime | None = None

    @property
    def more_accounts(self) -> int:
        return len(self.others)

    @property
    def hole(self) -> Hole | None:
        """The known vulnerability of its firmware that needs the newest version."""
        return max(holes(self.phone.model, self.phone.firmware), key=lambda one: order(one.fixed_in), default=None)

    @property
    def stage_label(self) -> str:
        """As its stage is called; a phone that only a person has spoken of was not seen."""
        listed_only = self.phone.stage == Stage.SEEN and not self.phone.is_heard
        return str(LISTED) if listed_only else self.phone.get_stage_display()

    @property
    def offers_notify(self) -> bool:
        """Whether its words say that it is to be notified again: then the button stands beside them."""
        named = f"“{gettext('Notify again')}”" in self.words or "“Notify again”" in self.words
        return named and self.phone.is_assigned and self.phone.is_heard

    @property
    def offers_key(self) -> bool:
        """Whether its words say that it may have lost the key of its file."""
        return "“Give it the key again”" in self.words and self.phone.is_assigned and self.phone.is_heard

    @property
    def can_assign(self) -> bool:
        return self.phone.known_model is not None

    @property
    def is_mismatch(self) -> bool:
        return self.phone.neighbour == Neighbour.MISMATCH


def rows_of(phones: Iterable[Phone], listening: Listening) -> list[Row]:
    """Rows of these phones, whose accounts are prefetched; one query each for what is owed, told and not to be asked.

    Only a NOTIFY of the configuration is owed on the way; a command that waits is the row's mark.
    """
    phones = list(phones)
    just = timezone.now() - timedelta(seconds=JUST_SECONDS)
    owed = Q(state__in=OPEN_STATES) | Q(state=NotifyState.DELIVERED, settled_at__gte=just)
    profiles = Notify.objects.filter(owed, phone__in=phones, kind=NotifyKind.PROFILE).defer("datagram").order_by("pk")
    notifies = {notify.phone_id: notify for notify in profiles}
    told = _last_commands(phones)
    silent = _silent_reasons(phones)
    return [
        _row(
            phone,
            notifies.get(phone.pk),
            listening,
            reach_of(phone, listening.tells(phone), silent.get(phone.pk, "")),
            _mark(told[phone.pk], phone, listening) if phone.pk in told else None,
        )
        for phone in phones
    ]


def _row(phone: Phone, owed: Notify | None, listening: Listening, reach: Reach | None, command: Mark | None) -> Row:
    accounts = list(phone.accounts.all())
    words, stuck = _words(phone, owed, listening)
    return Row(
        phone=phone,
        account=accounts[0] if accounts else None,
        others=accounts[1:],
        step=STEPS.index(Stage(phone.stage)) + 1 if phone.stage in STEPS else 0,
        icon=ICONS.get(Stage(phone.stage), "help"),
        words=words,
        stuck=stuck,
        reach=reach,
        command=command,
        again_at=owed.next_at if owed is not None and words == phone.stage_reason and _waits(owed) else None,
    )


def _waits(owed: Notify) -> bool:
    return owed.state == NotifyState.WAITING and owed.next_at > timezone.now()


def _words(phone: Phone, owed: Notify | None, listening: Listening) -> tuple[str, bool]:
    """What a technician reads below the stage, and whether the phone has stopped on its way."""
    has_heard = owed is not None and owed.state == NotifyState.DELIVERED
    if has_heard:
        owed = None
    if not phone.is_heard and phone.stage in STEPS:
        return phone.stage_reason or str(NOT_HEARD), False
    if phone.awaits_file and phone.stage == Stage.ASSIGNED:
        return _file_comes(phone)
    if owed is not None and owed.state != NotifyState.WITHHELD and not listening.tells(phone):
        return listening.away_words(phone), True
    if phone.stage_reason:
        return phone.stage_reason, phone.is_assigned
    if owed is not None and phone.stage == Stage.ASSIGNED:
        return owed.note or str(OPEN_WORDS[NotifyState(owed.state)]), owed.state == NotifyState.WITHHELD
    if phone.stage == Stage.SEEN and phone.known_model is None:
        return gettext("This model cannot be configured yet."), False
    stage = Stage.NOTIFIED if has_heard and phone.stage == Stage.ASSIGNED else Stage(phone.stage)
    return str(NEXT_WORDS.get(stage, "")), False


def _file_comes(phone: Phone) -> tuple[str, bool]:
    late = phone.first_seen_at is not None and timezone.now() - phone.first_seen_at > timedelta(seconds=FILE_SECONDS)
    if not late:
        return str(FILE_COMES), False
    return f"{NO_WORKER} {gettext(starting.WORKER).replace('`', '')}", True


# --- is it there? -------------------------------------------------------------------------------------------------

# "Offline" is out of date once the phone has shown itself by a SUBSCRIBE or a download; `reach_of` says the same.
IS_ONLINE = Q(stage__in=WAY) & (Q(online=True) | Q(online=False, last_seen_at__gt=F("online_at")))
IS_OFFLINE = Q(stage__in=WAY, online=False) & ~Q(last_seen_at__gt=F("online_at"))
WHY_SILENT = Subquery(
    ConfigFile.objects.filter(phone=OuterRef("pk"), applied_at__isnull=False)
    .order_by("-number")
    .values("silent_because")[:1]
)


def reach_of(phone: Phone, asked: bool, silent_because: str) -> Reach | None:
    """Online, offline or not known; None for a phone without a configuration of ours, which nobody asks.

    `asked` says whether a listener runs that asks; without one, what was known last is past.
    """
    if not phone.is_assigned or not phone.is_heard:
        return None
    if phone.online is None:
        unknown = _unasked(str(REACH_LABELS[UNKNOWN]), None, silent_because)
        return unknown if unknown.why else Reach(UNKNOWN, str(NOT_ASKED_YET), more=str(NOT_ASKED_YET_MORE))
    seen_at, asked_at = phone.last_seen_at, phone.online_at
    seen_since = not phone.online and asked_at is not None and seen_at is not None and seen_at > asked_at
    state = ONLINE if phone.online or seen_since else OFFLINE
    since = phone.last_seen_at if seen_since else phone.online_at
    if not asked or not settings.GSPNP_OPTIONS_SECONDS:
        was = str(WAS_LABELS[state])
        if asked:
            return _unasked(was, since, "")
        why = gettext("no listener runs that asks it")
        return Reach(UNKNOWN, was, since, why=why, brief=why)
    return Reach(state, str(REACH_LABELS[state]), since, phone.rtt_ms if phone.online else None)


def _unasked(label: str, since: datetime | None, silent_because: str) -> Reach:
    """Not known; and why it cannot be asked, if that is the reason."""
    because = gettext(silent_because) if silent_because else ""  # one of `gxp.hearing`
    if not because and not settings.GSPNP_OPTIONS_SECONDS:
        because = gettext("GSPNP_OPTIONS_SECONDS is 0")
    why = gettext("it cannot be asked: %(why)s") % {"why": because} if because else ""
    return Reach(UNKNOWN, label, since, why=why, brief=because)


def _silent_reasons(phones: Iterable[Phone]) -> Mapping[int, str]:
    """Why phones of which nothing is known may be silent, by what their applied file says."""
    unknown = [phone.pk for phone in phones if phone.is_assigned and phone.online is None]
    rows = Phone.objects.filter(pk__in=unknown).annotate(why=WHY_SILENT).values_list("pk", "why") if unknown else []
    return {pk: why or "" for pk, why in rows}


# --- what it was told ---------------------------------------------------------------------------------------------


def _last_commands(phones: Iterable[Phone]) -> Mapping[int, Notify]:
    newest = Notify.objects.filter(phone__in=phones).exclude(kind=NotifyKind.PROFILE).order_by()
    last = newest.values("phone").annotate(last=Max("pk")).values("last")
    return {notify.phone_id: notify for notify in Notify.objects.filter(pk__in=last).defer("datagram")}


def _mark(notify: Notify, phone: Phone, listening: Listening) -> Mark | None:
    label, state = notify.get_kind_display(), notify.state
    if state in OPEN_STATES and state != NotifyState.WITHHELD:
        if not listening.tells(phone):
            return Mark(label, gettext("waits for the listener, which is not running"), failed=True)
        sending = state == NotifyState.SENDING
        return Mark(label, gettext("sent, no answer yet") if sending else gettext("about to be sent"), failed=False)
    since = timezone.now() - (notify.settled_at or notify.created_at)
    if state == NotifyState.DELIVERED:
        back = phone.subscribed_at is not None and phone.subscribed_at >= (notify.first_sent_at or notify.created_at)
        away = notify.kind == NotifyKind.REBOOT and not back and since < timedelta(minutes=RESTART_SHOWN_MINUTES)
        return Mark(label, gettext("it agreed and is not back yet"), failed=False) if away else None
    failures = {
        NotifyState.REFUSED: gettext("not carried out, it asked for a password")
        if notify.status in CHALLENGED
        else gettext("refused (%(answer)s)") % {"answer": f"{notify.status} {notify.reason}".strip()},
        # Its answer may have been lost: without a note it has shown since that it heard us.
        NotifyState.UNANSWERED: gettext("not answered") if notify.note else "",
        NotifyState.WITHHELD: gettext("not sent"),
    }
    words = failures.get(NotifyState(state), "")
    if not words or since > timedelta(hours=FAILED_SHOWN_HOURS):
        return None
    return Mark(label, words, failed=True, more=notify.note)
