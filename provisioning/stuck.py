"""Phones that stopped on the way: why, in plain words, from what the outbox and the door really saw.

Run by the worker process every few seconds; each reason is written once (inventory.explain), and anew if the phone
shows meanwhile that it is another one. What each stage waits for, and what the words are, is in stuck_words.py.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from devices import batch, inventory
from devices.catalog import find_model
from devices.choices import WAY, Stage
from devices.models import Phone
from provisioning import starts
from provisioning import stuck_words as words
from provisioning.models import Attempt, AttemptKind, ConfigFile, Notify, NotifyKind, NotifyState
from provisioning.url_forms import FETCH_MINUTES

# A GXP16xx restarts in one to two minutes; twice that is suspicious. Our choice.
RESTART_MINUTES = 5
# A due NOTIFY leaves within a second if a listener runs where the phone was heard. Our choice.
UNSENT_SECONDS = 30
# A transaction ends after 32 s; then its end is written within seconds, or the listener is gone. Our choice.
LEFT_SECONDS = 60
LOOK_AT_MOST = 500
# A phone that tries something else at the door gets other words while that is news. Our choice.
NEWS_SECONDS = 120
LOGINS = (AttemptKind.LOGIN, AttemptKind.NO_LOGIN)
SHOWN_BY_PATH = (AttemptKind.ELSEWHERE, *LOGINS)
# A phone that is refused its file goes on to the other names that phones ask for: that is what follows, not the reason.
FOLLOWS_A_REFUSAL = (AttemptKind.NAME, AttemptKind.PLAIN)


class Help(NamedTuple):
    """What is done for phones that began and did not get all of it, or got no answer at all: a door that was away, or
    had too much to do, is no reason for thousands of phones to wait for a person. `owe` returns who is owed something;
    `words` say so."""

    owe: Callable[[Iterable[int]], set[int]]
    words: str


_TELL_AGAIN = Help(starts.tell_again, words.TOLD_AGAIN)
_ASK_AGAIN = Help(starts.ask_again, words.ASKED_AGAIN)
_CAME_IN_VAIN = (AttemptKind.BROKEN, None)

silent_listeners: list[Callable[[], Mapping[str, str]]] = []
"""Asked which sites have no listener that is heard of: site -> the name of the one that was. Whoever knows listeners
registers here."""


def explain_all() -> int:
    """Write the reason of every phone that has stood still for too long; how many reasons are new."""
    now = timezone.now()
    told = _models()
    told += _explain_unsent(now)
    told += _explain(_not_fetching(now), words.not_fetched, [Stage.NOTIFIED], _TELL_AGAIN)
    told += _explain(_started_without(now), words.without_file, [Stage.FETCHED], _ASK_AGAIN)
    told += _explain(_not_back(now), words.not_back, [Stage.FETCHED])
    return told


def _explain_unsent(now: datetime) -> int:
    found = list(_unsent(now)[:LOOK_AT_MOST])
    if not found:
        return 0
    silent = {site: name for ask in silent_listeners for site, name in ask().items()}
    return inventory.explain_all({phone.pk: words.not_sent(phone, silent) for phone in found}, [Stage.ASSIGNED])


def _explain(phones: QuerySet[Phone], say: words.Say, stages: Iterable[Stage], help_them: Help | None = None) -> int:
    found = list(phones[:LOOK_AT_MOST])
    if not found:
        return 0
    tried = _tried(found)
    names = ("phone", "base_url", "bootstrap_at", "key_known_at")
    files = batch.newest(ConfigFile, names, "phone", [phone.pk for phone in found], by="number")
    told = {
        phone_id: words.Told(base_url, key_at is not None, known_at is not None)
        for phone_id, base_url, key_at, known_at in files
    }
    reasons = {phone.pk: say(phone, told.get(phone.pk, words.Told()), tried.get(phone.pk)) for phone in found}
    if help_them is not None:
        for phone_id in help_them.owe(_willing(found, tried)):
            reasons[phone_id] += help_them.words
    return inventory.explain_all(reasons, stages)


def _willing(phones: Iterable[Phone], tried: Mapping[int, Attempt]) -> list[int]:
    return [
        phone.pk
        for phone in phones
        if (not phone.stage_reason or phone.stage_reason.startswith(words.NOT_BACK)) and phone.online is not False
        and (tried[phone.pk].kind if phone.pk in tried else None) in _CAME_IN_VAIN
    ]  # fmt: skip


def _unsent(now: datetime) -> QuerySet[Phone]:
    """Heard somewhere, owed a NOTIFY, and nobody there sends it, or goes on with one that a dead listener began."""
    owed = Q(notifies__kind=NotifyKind.PROFILE)
    late = Q(notifies__state=NotifyState.WAITING, notifies__next_at__lte=now - timedelta(seconds=UNSENT_SECONDS))
    left = Q(notifies__state=NotifyState.SENDING, notifies__opened_at__lte=now - timedelta(seconds=LEFT_SECONDS))
    heard = Phone.objects.filter(stage_reason="", stage=Stage.ASSIGNED, source_host__isnull=False)
    return heard.filter(owed & (late | left)).distinct()


def _not_fetching(now: datetime) -> QuerySet[Phone]:
    late = now - timedelta(minutes=FETCH_MINUTES)
    silent = Q(stage_reason="") | _news_of(words.NOT_FETCHED, now)
    back = Q(stage_reason__startswith=words.AWAY, online=True)
    gone = Q(stage_reason__startswith=words.THERE, online=False)
    return Phone.objects.filter(silent | back | gone, stage=Stage.NOTIFIED, stage_at__lte=late)


def _started_without(now: datetime) -> QuerySet[Phone]:
    """Started up with its file and did not ask for it, as long as an applied phone is given."""
    late = now - timedelta(seconds=starts.RESET_CHECK_SECONDS)
    silent = Q(stage_reason="") | Q(stage_reason__startswith=words.NOT_BACK) | _news_of(words.WITHOUT_FILE, now)
    started = Q(subscribed_at__gt=F("stage_at"), subscribed_at__lte=late)
    return Phone.objects.filter(silent, started, stage=Stage.FETCHED)


def _not_back(now: datetime) -> QuerySet[Phone]:
    late = now - timedelta(minutes=RESTART_MINUTES)
    silent = Q(stage_reason="") | _news_of(words.NOT_BACK, now)
    return Phone.objects.filter(silent, stage=Stage.FETCHED, stage_at__lte=late)


def _news_of(beginning: str, now: datetime) -> Q:
    """Phones of which this was said, and that have done something at the door since."""
    news = Attempt.objects.filter(at__gte=now - timedelta(seconds=NEWS_SECONDS)).values("phone")
    return Q(stage_reason__startswith=beginning, pk__in=news)


def _tried(phones: list[Phone]) -> Mapping[int, Attempt]:
    """The last thing that each of these phones did at the door on the step that it stands on, whatever it was; but what
    a refused login made it ask for next says nothing of why."""
    left = Notify.objects.filter(phone__in=phones, kind=NotifyKind.PROFILE, first_sent_at__isnull=False).order_by("id")
    sent_at = dict(left.values_list("phone", "first_sent_at"))
    # A notified phone may ask before its answer is on record; what it did before it had its file is over.
    since = {one.pk: one.stage_at if one.stage == Stage.FETCHED else sent_at.get(one.pk) for one in phones}
    hosts = {one.pk: one.source_host for one in phones}
    last: dict[int, Attempt] = {}
    for attempt in Attempt.objects.filter(phone__in=phones).order_by("at", "id"):
        at, pk = since[attempt.phone_id], attempt.phone_id
        # Anybody may ask by a MAC; only its own path says by itself that it was told to this phone.
        its_own = attempt.source_host == hosts[pk] or attempt.kind in SHOWN_BY_PATH
        follows = attempt.kind in FOLLOWS_A_REFUSAL and pk in last and last[pk].kind in LOGINS
        if at is not None and attempt.at >= at and its_own and not follows:
            last[pk] = attempt
    return last


def _models() -> int:
    """Phones that say now that they are of a model for which no file can be made; and those of which that is over."""
    assigned = Phone.objects.filter(stage__in=WAY)
    known = {name for name in assigned.order_by().values_list("model", flat=True).distinct() if find_model(name)}
    over = assigned.filter(model__in=known, stage_reason__startswith=words.WRONG_MODEL)
    inventory.explain_all(dict.fromkeys(over.values_list("pk", flat=True)[:LOOK_AT_MOST], ""))
    wrong = assigned.exclude(model__in=known).exclude(model="").filter(stage_reason="")
    return inventory.explain_all({phone.pk: words.wrong_model(phone) for phone in wrong[:LOOK_AT_MOST]})
