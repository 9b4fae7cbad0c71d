"""What phones asked for in vain: ring tones, languages, files of other systems; and how often, hour by hour.

Counted in memory, stored now and then. It never delays an answer, and a stranger cannot fill the disk with it: names
are bounded, so are the rows, and the oldest go first.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import Counter
from datetime import datetime, timedelta

from django.db import DatabaseError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop

from devices import batch
from provisioning.door.later import Later
from provisioning.plain.models import DoorHour, MissedAsk

log = logging.getLogger(__name__)

HELD_AT_MOST = 200  # different ones between two flushes; more are not counted
HELD_PER_SOURCE = 100  # so that one address leaves room for the phone beside it
KEPT_AT_MOST = 500
HOURS_KEPT_DAYS = 90  # as long as events
NAME_CHARS = 80
# The secret of a path, wherever it stands and encoded twice too; no phone's file is called so.
_MAY_BE_SECRET = re.compile(r"(?:(?<![A-Za-z0-9_-])|(?<=2[Ff]))[A-Za-z0-9_-]{22}(?![A-Za-z0-9_.-])")
_DEVICE = re.compile(r"DevId ([0-9A-Fa-f]{12})\b")

ADVICE = (
    (r"ring[0-9]*\.bin", gettext_noop("a ring tone: set the ring tones to the phone's own ones, or ignore it")),
    (
        r"gxp1600fw\.bin",
        gettext_noop("firmware: no step of its path is left, or no path is set; see the firmware page"),
    ),
    (
        r"cfg[0-9a-f]{12}(\.xml|\.bin)?",
        gettext_noop("its file by the plain name: notify it again, or release its file for some minutes on its page"),
    ),
    (
        r"cfg.*\.xml",
        gettext_noop("a file for its whole model: there is one once the site's or the model's layer says something"),
    ),
    (r"dev[0-9a-f]{12}\.cfg", gettext_noop("a file of another family; nothing is missing")),
    (r"(gs_)?phonebook\.xml", gettext_noop("a phonebook at an old path: see the phonebook page")),
    (r".*(lang|language|\.txt|gxp[0-9]*lang).*", gettext_noop("probably a language: it is chosen by display_language")),
)

STORED_AT_ONCE = 20

_lock = threading.Lock()
_held: dict[tuple[str, str, str], int] = {}
_counted: Counter[str] = Counter()  # columns of DoorHour
_later = Later(lambda: bool(_held or _counted), lambda: flush())


def note(source: str, agent: str, path: str) -> None:
    """Count a refusal, and its name if it is a phone's. Call it in the event loop; it only touches memory."""
    ours = "grandstream" in agent.lower()
    _count("refused" if ours else "refused_strangers")
    if not ours or path.startswith(("/p/", "/phonebook/")):
        return  # a path that may hold a secret is never kept
    name = re.sub(r"[^A-Za-z0-9._-]", "?", path.rpartition("/")[2])[:NAME_CHARS]
    told = _DEVICE.search(agent[:300])
    if not name or _MAY_BE_SECRET.search(name):
        return
    key = (told[1].upper() if told else "", source, name)
    with _lock:
        mine = sum(one[1] == source for one in _held)
        if key not in _held and (len(_held) >= HELD_AT_MOST or mine >= HELD_PER_SOURCE):
            return
        _held[key] = _held.get(key, 0) + 1


def broken_off() -> None:
    """Count a file whose end nobody waited for. Call it in the event loop."""
    _count("broken_off")


def _count(what: str) -> None:
    with _lock:
        _counted[what] += 1
    _later.start()


def flush() -> int:
    """Store what was counted; how many rows."""
    with _lock:
        taken, counted = dict(_held), dict(_counted)
        _held.clear()
        _counted.clear()
    now = timezone.now()
    try:
        if counted:
            _store_hour(counted, now)
        # Few at once: whoever else wants to write waits for no more than these.
        for bite in batch.bites(sorted(taken.items()), STORED_AT_ONCE):
            with transaction.atomic():
                for (mac, source, name), count in bite:
                    row, _ = MissedAsk.objects.get_or_create(
                        mac=mac, source_host=source, name=name, defaults={"first_at": now, "last_at": now}
                    )
                    MissedAsk.objects.filter(pk=row.pk).update(count=F("count") + count, last_at=now)
        if taken:
            kept = MissedAsk.objects.order_by("-last_at", "-pk").values("pk")[:KEPT_AT_MOST]
            MissedAsk.objects.exclude(pk__in=list(kept.values_list("pk", flat=True))).delete()
    except DatabaseError as error:
        log.warning("what phones asked for in vain is not stored (%s)", error)
        return 0
    return len(taken)


def _store_hour(counted: dict[str, int], now: datetime) -> None:
    with transaction.atomic():
        hour = now.replace(minute=0, second=0, microsecond=0)
        row, is_new = DoorHour.objects.get_or_create(hour=hour)
        DoorHour.objects.filter(pk=row.pk).update(**{what: F(what) + count for what, count in counted.items()})
        if is_new:
            DoorHour.objects.filter(hour__lt=now - timedelta(days=HOURS_KEPT_DAYS)).delete()


def advice(name: str) -> str:
    """What a phone probably wants with this name, and what to do."""
    for pattern, words in ADVICE:
        if re.fullmatch(pattern, name, re.IGNORECASE):
            return gettext(words)
    return gettext("nothing that gspnp serves")
