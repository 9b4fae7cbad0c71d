"""Alarms that belong to no phone: raised after the answer, counted while they stand, dismissed by a person.

A stranger can do what raises one as often as he likes, from as many addresses as he has: so there is one open alarm
for each kind, address and decoy, beyond OPEN_AT_MOST of a kind one for all other addresses together, and only the
newest of those that are over are kept. Each kind has its own room: datagrams with forged addresses, which cost nothing,
must not hide who asked for a decoy by HTTP. Open pages are told at once of a new one, and of one that goes on now and
then.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Greatest
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from devices import live
from devices.choices import AlarmKind, EventKind
from devices.mac import colons
from devices.models import Alarm

log = logging.getLogger(__name__)

OPEN_AT_MOST = 50  # of each kind
KEPT_AT_MOST = 1000  # that are dismissed
TELL_SECONDS = 30.0  # between two words to open pages of one alarm that goes on
# What is going on when somebody dismisses it is what he has seen: it does not come back with the next request of it.
GOES_ON_SECONDS = 60.0
NOBODY = "0" * 12  # an event names a MAC; no phone has this one
PEAKS = (AlarmKind.NAMES, AlarmKind.PHONES)  # their count is the most of a minute, of the others the sum
UNDER_WAY = (*PEAKS, AlarmKind.FLOOD, AlarmKind.FLOOD_SIP)
LOGGED = (*UNDER_WAY, AlarmKind.LISTENER)
GRAVE = (AlarmKind.DECOY_HTTP, AlarmKind.DECOY_SIP)  # nobody does that by mistake

SEVERAL = ""


def open_alarms() -> list[Alarm]:
    """Those that nobody has dismissed, decoys before all others, then the newest first; bounded by OPEN_AT_MOST."""
    return sorted(Alarm.objects.filter(dismissed_at=None), key=lambda alarm: alarm.kind not in GRAVE)


def raise_alarm(kind: AlarmKind, source: str, *, mac: str = "", count: int = 1) -> bool:
    """This happened, `count` times; whether it is a new alarm. `source` is an address, or SEVERAL."""
    now = timezone.now()
    if kind in UNDER_WAY and _just_dismissed(kind, source, now):
        return False
    with transaction.atomic():
        if _count_on(kind, source, mac, count, now):
            return False
        if Alarm.objects.filter(dismissed_at=None, kind=kind).count() >= OPEN_AT_MOST:
            source, mac = SEVERAL, ""
            if _count_on(kind, source, mac, count, now):
                return False
        try:
            with transaction.atomic():
                new = Alarm.objects.create(
                    kind=kind, source=source, mac=mac, count=count, first_at=now, last_at=now, told_at=now
                )
        except IntegrityError:  # another process was faster
            _count_on(kind, source, mac, count, now)
            return False
        text = in_english_words(new)
        _tell(new, text, now)
        _forget_oldest()
    if kind in LOGGED:  # of decoys whoever noticed it says each
        log.warning("%s", text)
    return True


def end(kind: AlarmKind, source: str, text: str) -> bool:
    """It is over by itself, as `text` says in plain words; False if none was open."""
    now = timezone.now()
    with transaction.atomic():
        found = Alarm.objects.filter(kind=kind, source=source, dismissed_at=None)
        known = found.first()
        if known is None or not found.filter(pk=known.pk).update(dismissed_at=now, dismissed_by=""):
            return False
        _tell(known, text, now)
    return True


def dismiss(alarm_id: int, by: str) -> bool:
    """A person has seen it. False if somebody had already."""
    now = timezone.now()
    with transaction.atomic():
        if not Alarm.objects.filter(pk=alarm_id, dismissed_at=None).update(dismissed_at=now, dismissed_by=by[:150]):
            return False
        _tell(Alarm.objects.get(pk=alarm_id), f"Alarm dismissed by {by}.", now)
    return True


def dismiss_all(alarm_ids: list[int], by: str) -> int:
    """A person has seen these; how many there still were."""
    return sum(dismiss(alarm_id, by) for alarm_id in alarm_ids)


def words(alarm: Alarm) -> str:
    """What has happened, in the reader's language. All that a stranger has chosen of it is an address and a MAC."""
    who = alarm.source or _("More than one address")
    said = {"who": who, "mac": colons(alarm.mac), "count": f"{alarm.count:,}"}
    if alarm.kind in GRAVE and not alarm.mac:
        said["mac"] = _("one of several decoys")
    if alarm.kind == AlarmKind.DECOY_HTTP:
        return (
            ngettext(
                "%(who)s asked for the file of the decoy %(mac)s: somebody tries MACs.",
                "%(who)s asked %(count)s times for the file of the decoy %(mac)s: somebody tries MACs.",
                alarm.count,
            )
            % said
        )
    if alarm.kind == AlarmKind.DECOY_SIP:
        return (
            ngettext(
                "%(who)s announced itself with the MAC of the decoy %(mac)s: somebody tries MACs.",
                "%(who)s announced itself %(count)s times with the MAC of the decoy %(mac)s: somebody tries MACs.",
                alarm.count,
            )
            % said
        )
    if alarm.kind == AlarmKind.NAMES:
        return (
            _("%(who)s asked for %(count)s different names in vain within a short time: somebody tries names.") % said
        )
    if alarm.kind == AlarmKind.PHONES:
        return _("%(who)s announced %(count)s phones never seen before within a minute.") % said
    if alarm.kind == AlarmKind.FLOOD_SIP:
        return _flood_by_sip(alarm) % said
    if alarm.kind == AlarmKind.LISTENER:
        return _silent_listener(alarm) % said
    if alarm.kind == AlarmKind.LOGINS:
        return _wrong_logins(alarm) % said
    if not alarm.source:
        return (
            _("The phones' door got more requests than GSPNP_HTTP_RATE allows; %(count)s were refused unread.") % said
        )
    return _("%(who)s asked more often than GSPNP_HTTP_RATE_PER_SOURCE allows; %(count)s requests were refused "
             "unread.") % said  # fmt: skip


def _flood_by_sip(alarm: Alarm) -> str:
    if not alarm.source:
        return _("More SIP came than GSPNP_SIP_RATE allows; %(count)s datagrams were thrown away unread.")
    return _(
        "%(who)s sent more SIP than GSPNP_SIP_RATE_PER_SOURCE allows; %(count)s datagrams were thrown away unread."
    )


def _silent_listener(alarm: Alarm) -> str:
    if not alarm.source:
        return _("More listeners are silent: no phone is heard or told anything where they ran.")
    return _(
        "The listener %(who)s is silent: no phone is heard or told anything where it ran. Start it again, or look "
        "whether it reaches the database. If it is gone for good, forget it on the page of listeners."
    )


def _wrong_logins(alarm: Alarm) -> str:
    if not alarm.mac:
        return _("%(who)s asked for the files of phones with wrong logins, %(count)s times; look at their timelines.")
    return _(
        "%(who)s asked for the file of %(mac)s with a wrong login, %(count)s times, by a path that stands in its file. "
        "If that is the phone, press “Notify again” on its page; if not, “New paths, end the old ones”."
    )


def in_english_words(alarm: Alarm) -> str:
    """The same for what is stored and logged."""
    with translation.override(None):
        return words(alarm)


def _just_dismissed(kind: AlarmKind, source: str, now: datetime) -> bool:
    # In times to come stands what was dismissed before the clock went back: that silences nothing.
    lately = now - timedelta(seconds=GOES_ON_SECONDS), now + timedelta(seconds=GOES_ON_SECONDS)
    return Alarm.objects.filter(kind=kind, source=source, dismissed_at__range=lately).exists()


def _count_on(kind: AlarmKind, source: str, mac: str, count: int, now: datetime) -> bool:
    """Count it in the open alarm, if there is one."""
    this = Q(kind=kind, source=source, mac=mac, dismissed_at=None)
    total = Greatest(F("count"), Value(count)) if kind in PEAKS else F("count") + count
    if not Alarm.objects.filter(this).update(count=total, last_at=now):
        return False
    pause = timedelta(seconds=TELL_SECONDS)  # what was told in times to come was told before the clock went back
    if Alarm.objects.filter(this, Q(told_at__lt=now - pause) | Q(told_at__gt=now + pause)).update(told_at=now):
        known = Alarm.objects.filter(this).first()
        if known is not None:
            _tell(known, in_english_words(known), now)
    return True


def _tell(alarm: Alarm, text: str, now: datetime) -> None:
    live.append_rows([(None, alarm.mac or NOBODY, EventKind.ALARM.value, "", text[: live.TEXT_CHARS], now)])


def _forget_oldest() -> None:
    kept = Alarm.objects.exclude(dismissed_at=None).order_by("-dismissed_at").values_list("pk", flat=True)
    old = list(kept[KEPT_AT_MOST : KEPT_AT_MOST + 50])
    if old:
        Alarm.objects.filter(pk__in=old).delete()
