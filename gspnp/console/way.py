"""The way of one phone as a picture: each station with its time, how long it took, and where it waits or has stopped.

Seen, assigned, notified, (for an encrypted file: the key), fetched, applied, online. What a station says was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from devices.choices import WAY, Stage
from devices.models import Phone
from gspnp.console.rows import ICONS, OFFLINE, ONLINE, Row
from provisioning.models import ConfigFile, Notify, NotifyKind, NotifyState

DONE, WAITING, STOPPED, AHEAD = "done", "waiting", "stopped", "ahead"
ALREADY = "already"  # it answers, though what comes before that is not reached


@dataclass(frozen=True)
class Step:
    """One station: reached at `at`, `took` after the one before; else waited for, stopped at, or still ahead; `already`
    is the last one, reached before its turn."""

    name: str
    label: str
    icon: str
    words: str
    state: str
    at: datetime | None = None
    took: str = ""
    current: bool = False

    @property
    def done(self) -> bool:
        return self.state == DONE

    @property
    def stopped(self) -> bool:
        return self.state == STOPPED

    @property
    def waiting(self) -> bool:
        return self.state == WAITING

    @property
    def already(self) -> bool:
        return self.state == ALREADY

    @property
    def state_words(self) -> str:
        """For who cannot see its colour."""
        return {
            DONE: _("reached"),
            WAITING: _("waited for"),
            STOPPED: _("stopped before this"),
            AHEAD: _("ahead"),
            ALREADY: _("already now"),
        }[self.state]


@dataclass(frozen=True)
class _Station:
    name: str
    label: str
    icon: str
    words: str
    at: datetime | None
    reached: bool
    already: bool = False


def way(phone: Phone, version: ConfigFile | None, row: Row) -> list[Step]:
    """The stations, for the present version of the configuration; empty for a phone that is on no way."""
    if phone.stage != Stage.SEEN and phone.stage not in WAY:
        return []
    stations = [*_stations(phone, version), _online(phone, row)]
    reached = [index for index, one in enumerate(stations[:-1]) if one.reached]
    last = reached[-1]
    ahead = next((index for index, one in enumerate(stations) if not one.reached), None)
    steps = []
    for index, one in enumerate(stations):
        state = DONE if one.reached else ALREADY if one.already else AHEAD
        if index == ahead and phone.is_assigned:
            state = _waited_for(phone, row, one)
        steps.append(
            Step(one.name, one.label, one.icon, one.words, state, one.at, _took(stations, index), index == last)
        )
    return steps


def offline_words(phone: Phone, row: Row) -> str:
    """Why an applied phone that does not answer may not, and what to do; "" if there is nothing to say."""
    if phone.stage != Stage.APPLIED or row.reach is None or row.reach.state != OFFLINE or row.reach.why:
        return ""
    return _(
        "It has its configuration, and does not answer our OPTIONS any more: it is switched off, its cable is out, or "
        "it is on another network. Look at its power and its switch port; it is seen here as soon as it starts up."
    )


def _waited_for(phone: Phone, row: Row, one: _Station) -> str:
    if one.name == "online":
        return STOPPED if offline_words(phone, row) else AHEAD
    return STOPPED if row.stuck else WAITING


def _stations(phone: Phone, version: ConfigFile | None) -> list[_Station]:
    stages = (Stage.SEEN, *WAY)
    place = stages.index(Stage(phone.stage))
    at: dict[Stage, datetime | None] = {Stage.SEEN: phone.first_seen_at}
    if version is None and phone.is_assigned:
        at[Stage.ASSIGNED] = phone.stage_at
    if version is not None:
        at |= {
            Stage.ASSIGNED: version.created_at,
            Stage.NOTIFIED: _answered_at(version),
            Stage.FETCHED: version.fetched_at,
            Stage.APPLIED: version.applied_at,
        }
    words = _words(phone)
    found = []
    for index, stage in enumerate(stages):
        reached = _is_reached(phone, stage, index, place)
        found.append(
            _Station(stage.value, str(stage.label), ICONS[stage], words[stage][not reached], at.get(stage), reached)
        )
    if version is not None and version.choice.is_encrypted:
        found.insert(stages.index(Stage.FETCHED), _key(version, Stage(phone.stage)))
    return found


def _key(version: ConfigFile, stage: Stage) -> _Station:
    """Where an encrypted file is opened with a key that comes before it, or that the phone has already."""
    if version.key_known_at is not None and version.bootstrap_at is None:
        words, reached = _("has the key of its file already"), stage in (Stage.NOTIFIED, Stage.FETCHED, Stage.APPLIED)
        return _Station("key", _("Key"), "key", words, version.key_known_at, reached)
    took = version.bootstrap_at is not None or stage in (Stage.FETCHED, Stage.APPLIED)
    words = _("took the key of its file") if took else _("has to take the key of its file")
    return _Station("key", _("Key"), "key", words, version.bootstrap_at, took)


def _words(phone: Phone) -> dict[Stage, tuple[str, str]]:
    """What a station is: in the words of one that is reached, and of one that is not."""
    seen = _("heard on the network") if phone.is_heard else _("listed, not heard yet")
    return {
        Stage.SEEN: (seen, seen),
        Stage.ASSIGNED: (_("configuration saved"), _("has to be assigned")),
        Stage.NOTIFIED: (_("answered our NOTIFY"), _("has to answer our NOTIFY")),
        Stage.FETCHED: (_("took its file"), _("has to take its file")),
        Stage.APPLIED: (_("proved that it uses it"), _("has to prove that it uses it")),
    }


def _is_reached(phone: Phone, stage: Stage, index: int, place: int) -> bool:
    """A phone that was assigned before it was heard has left out the first station; one only listed stands there."""
    return index <= place and (stage is not Stage.SEEN or phone.is_heard or place == 0)


def _online(phone: Phone, row: Row) -> _Station:
    """Does it answer? Reached only by a phone that has come so far; another one that answers does so already."""
    reach = row.reach
    label, icon, name = _("Online"), "wifi", "online"
    if reach is None or reach.why or reach.state not in (ONLINE, OFFLINE):
        words = (reach.brief if reach is not None else "") or _("has to answer when asked")
        return _Station(name, label, icon, words, None, False)
    if reach.state == OFFLINE:
        return _Station(name, label, "wifi_off", _("does not answer"), reach.since, False)
    words = _("answers, %(rtt)s") % {"rtt": reach.rtt_words} if reach.rtt_words else _("answers")
    applied = phone.stage == Stage.APPLIED
    return _Station(name, label, icon, words, reach.since, applied, not applied)


def _took(stations: list[_Station], index: int) -> str:
    """How long it took from the station before; nothing where people, not the phone, took their time."""
    one = stations[index]
    # The latest, for a key may be older than the version that it opens.
    before = max((other.at for other in stations[1:index] if other.reached and other.at), default=None)
    if index < 2 or one.name == "online" or not one.reached or one.at is None or before is None or one.at < before:
        return ""
    return took_words(one.at - before)


def took_words(span: timedelta) -> str:
    """A span of time in one unit, as people say it."""
    seconds = span.total_seconds()
    if seconds < 1:
        return _("under a second")
    if seconds < 120:
        return ngettext("%(n)d second", "%(n)d seconds", round(seconds)) % {"n": round(seconds)}
    if seconds < 7200:
        minutes = round(seconds / 60)
        return ngettext("%(n)d minute", "%(n)d minutes", minutes) % {"n": minutes}
    if seconds < 172_800:
        hours = round(seconds / 3600)
        return ngettext("%(n)d hour", "%(n)d hours", hours) % {"n": hours}
    days = round(seconds / 86_400)
    return ngettext("%(n)d day", "%(n)d days", days) % {"n": days}


def _answered_at(version: ConfigFile) -> datetime | None:
    """When the phone last agreed to a NOTIFY of this version; its agreement to a command says nothing of that."""
    agreed = Notify.objects.filter(config_file=version, kind=NotifyKind.PROFILE, state=NotifyState.DELIVERED)
    return agreed.order_by("-id").values_list("settled_at", flat=True).first()
