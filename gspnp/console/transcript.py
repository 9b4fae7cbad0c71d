"""The last SIP messages between us and one phone, as its page shows them. They are redacted where they are stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from devices.models import Phone
from sipmcast.models import Transcript, TranscriptKind

ORDER = (TranscriptKind.SUBSCRIBE, TranscriptKind.CLAIM, TranscriptKind.NOTIFY)


@dataclass(frozen=True)
class Line:
    """One message: `sent` is ours. `after` is how long after the first one, `again` says when it was repeated."""

    sent: bool
    at: datetime
    after: str
    ours: str
    theirs: str
    text: str
    size: int
    cut: bool
    group: bool
    again: str

    @property
    def first_line(self) -> str:
        return self.text.partition("\n")[0]


@dataclass(frozen=True)
class Exchange:
    """A request with all that belongs to it; `words` say in a sentence how it went."""

    kind: str
    title: str
    words: str
    at: datetime
    lines: list[Line]


def exchanges(phone: Phone) -> list[Exchange]:
    """What was said last, of each kind."""
    rows = {row.kind: row for row in Transcript.objects.filter(phone=phone)}
    return [_exchange(rows[kind]) for kind in ORDER if kind in rows and rows[kind].messages]


def _exchange(row: Transcript) -> Exchange:
    first = _time(row.messages[0]["at"])
    lines = [_line(message, first) for message in row.messages]
    titles = {
        TranscriptKind.SUBSCRIBE: _("What the phone said"),
        TranscriptKind.CLAIM: _("What another address said in its name"),
        TranscriptKind.NOTIFY: _("What we told it"),
    }
    kind = TranscriptKind(row.kind)
    return Exchange(row.kind, titles[kind], _words(kind, lines), row.at, lines)


def _words(kind: TranscriptKind, lines: list[Line]) -> str:
    answers = [line for line in lines if line.sent == (kind != TranscriptKind.NOTIFY) and line is not lines[0]]
    if kind != TranscriptKind.NOTIFY:
        if answers:
            return _("We answered %(answer)s.") % {"answer": _status(answers[-1])}
        if lines[0].group:
            return _("We did not answer: on the group only a phone's own server does.")
        return _("We did not answer.")
    final = [line for line in answers if not _status(line).startswith("1")]
    if final:
        return _("It answered %(answer)s.") % {"answer": ", ".join(_status(line) for line in final)}
    if answers:
        return _("It said %(answer)s, and nothing final yet.") % {"answer": _status(answers[-1])}
    return _("It has not answered.")


def _status(line: Line) -> str:
    """`200 OK` out of `SIP/2.0 200 OK`."""
    return line.first_line.partition(" ")[2][:60] or line.first_line[:60]


def _line(message: dict[str, Any], first: datetime) -> Line:
    at = _time(message["at"])
    return Line(
        sent=message["sent"],
        at=at,
        after=_seconds(at - first) if at != first else "",
        ours=message["ours"],
        theirs=message["theirs"],
        text=message["text"].rstrip("\n"),
        size=message["size"],
        cut=message["cut"],
        group=message["group"],
        again=_again(message["repeats"], [_time(one) - first for one in message["again"]]),
    )


def _again(repeats: int, after: list[Any]) -> str:
    if not repeats:
        return ""
    times = ", ".join(_seconds(one) for one in after) + (", …" if repeats > len(after) else "")
    words = ngettext("sent once more: %(times)s", "sent %(n)d more times: %(times)s", repeats)
    return words % {"n": repeats, "times": times}


def _seconds(span: Any) -> str:
    return f"+{span.total_seconds():.3g} s" if span.total_seconds() < 10 else f"+{span.total_seconds():.0f} s"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
