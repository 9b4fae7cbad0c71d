"""What the console knows of the listeners: are phones heard, where, and what hinders it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from devices.alarms import SEVERAL
from devices.choices import AlarmKind
from devices.models import Alarm, Phone
from sipmcast.models import ListenerStatus

LISTENER_AWAY = gettext_lazy("Waiting for the listener, which is not running.")
NAMED = 3  # listeners that say the same thing; all stand on the page of listeners. Our choice.
_NUMBER = re.compile(r"\d[\d,]*[.,;:]?")


@dataclass(frozen=True)
class Remark:
    """What listeners say of themselves: name -> words, which are alike but for their counts. Who lost most comes first,
    and is quoted. `is_one_of_several`: there are others, so that the speaker is named."""

    said: Mapping[str, str]
    is_one_of_several: bool = False

    @property
    def words(self) -> str:
        return next(iter(self.said.values()))

    @property
    def many(self) -> int:
        return len(self.said)

    @property
    def speaker(self) -> str:
        names = sorted(self.said)
        if self.many > 1:
            shown = ", ".join([*names[:NAMED], *(["…"] if self.many > NAMED else [])])
            return _("%(count)d listeners (%(names)s)") % {"count": self.many, "names": shown}
        return _("The listener %(name)s") % {"name": names[0]} if self.is_one_of_several else _("The listener")

    @property
    def key(self) -> str:
        """The same while only counts grow; addresses stay. A person puts it aside for each listener that says it
        (static/console/hush.js): he is told of another one, and of none again because another one says it too."""
        return _uncounted(self.words)

    @property
    def said_json(self) -> str:
        """`said` for the script, in its order: [[name, words], …]."""
        return json.dumps(list(self.said.items()))


@dataclass(frozen=True)
class Listening:
    """The listeners with a fresh heartbeat: interfaces, and what hinders them or should be looked at, in words.

    `last_at` is the last sign of life.
    """

    running: bool = False
    interfaces: list[str] = field(default_factory=list)
    troubles: list[Remark] = field(default_factory=list)
    warnings: list[Remark] = field(default_factory=list)
    last_at: Any = None
    silent: list[ListenerStatus] = field(default_factory=list)
    """Those that were not stopped and are not heard of, unless a person has dismissed the alarm of it."""
    sites: frozenset[str] = frozenset()
    names: Mapping[str, str] = field(default_factory=dict)
    """Site -> a listener of it, also one that does not run."""

    @property
    def at_several_sites(self) -> bool:
        return len(self.names) > 1

    def tells(self, phone: Phone) -> bool:
        """Does a listener run that sends this phone what it is owed: one of the site where it was heard last?"""
        return self.running and (phone.heard_site is None or phone.heard_site in self.sites)

    def away_words(self, phone: Phone) -> str:
        """What a technician reads who waits in vain because none does."""
        name = self.names.get(phone.heard_site or "")
        if not self.running or name is None:
            return str(LISTENER_AWAY)
        return _("Waiting for the listener %(name)s, which heard it last and is not running.") % {"name": name}

    @property
    def interface_words(self) -> str:
        return ", ".join(self.interfaces) or _("no interface yet")


def listening() -> Listening:
    """Read it now."""
    rows = list(ListenerStatus.objects.all())
    fresh = [row for row in rows if row.is_fresh]
    return Listening(
        running=bool(fresh),
        interfaces=list(dict.fromkeys(name for row in fresh for name in row.interfaces)),
        troubles=_remarks(fresh, ((row, row.trouble) for row in fresh)),
        warnings=_remarks(fresh, ((row, words) for row in fresh for words in row.warnings)),
        last_at=max((row.heartbeat_at for row in rows), default=None),
        silent=_undismissed([row for row in rows if row not in fresh and row.stopped_at is None]),
        sites=frozenset(row.site for row in fresh),
        names={row.site: row.name for row in sorted(rows, key=lambda row: row.heartbeat_at)},
    )


def _undismissed(silent: list[ListenerStatus]) -> list[ListenerStatus]:
    """Without those whose alarm a person has dismissed; beyond a number one alarm stands for several of them."""
    if not any(row.alarmed_at for row in silent):
        return silent
    alarms = Alarm.objects.filter(kind=AlarmKind.LISTENER)
    stand = set(alarms.filter(dismissed_at=None).values_list("source", flat=True))
    over = dict(alarms.exclude(dismissed_at=None).order_by("dismissed_at").values_list("source", "dismissed_at"))

    def stands(row: ListenerStatus) -> bool:
        if row.alarmed_at is None or row.name in stand:
            return True
        dismissed_at = over.get(row.name)
        return SEVERAL in stand and (dismissed_at is None or dismissed_at < row.alarmed_at)

    return [row for row in silent if stands(row)]


def _remarks(fresh: list[ListenerStatus], said: Iterable[tuple[ListenerStatus, str]]) -> list[Remark]:
    """One for all that say the same, but for its counts: what befalls a whole site befalls each of its listeners."""
    alike: dict[str, dict[str, str]] = {}
    for row, words in said:
        if words:
            alike.setdefault(_uncounted(words), {}).setdefault(row.name, words)
    return [
        Remark(dict(sorted(group.items(), key=lambda one: _figures(one[1]), reverse=True)), len(fresh) > 1)
        for group in alike.values()
    ]


def _uncounted(words: str) -> str:
    """Without its counts; a site may be called by a number, which is none."""
    said = words.split()
    counts = (_NUMBER.fullmatch(word) and before != "site" for before, word in zip(["", *said], said, strict=False))
    return " ".join("#" if is_count else word for is_count, word in zip(counts, said, strict=True))


def _figures(words: str) -> list[int]:
    """Its counts, the last one first: what was lost stands at the end."""
    return [int(re.sub(r"\D", "", word)) for word in words.split() if _NUMBER.fullmatch(word)][::-1]
