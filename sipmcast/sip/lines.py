"""The head of a datagram: its lines, and its header values by name. Pure. Obeys RFC 3261 7.3 and 7.5.

Nearly every datagram is tidy: CRLF everywhere, nothing folded, names as everybody spells them. That case has a
way of its own; whatever else comes takes the slower one and means the same. Both cost linear time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sipmcast.sip.errors import SipParseError
from sipmcast.sip.grammar import BLANKS, MAX_DATAGRAM_BYTES, MAX_HEADER_LINES, MAX_LINE_BYTES, SAFE_LINE, TOKEN
from sipmcast.sip.headers import USUAL_SPELLINGS, canonical

_HEAD_END = re.compile(rb"\n\r?\n")


@dataclass(slots=True)
class Head:
    """A message before its empty line, as held text, and what comes after it."""

    start: str
    """The first line, as it came."""
    lines: list[str]
    """The header lines, unfolded; each has a name and a colon."""
    by_name: dict[str, list[str]]
    """Header values by canonical name, in order."""
    rest: bytes
    fault: str | None
    """What is wrong with the first line that is no header field; that one is not among `lines`."""


def read_head(datagram: bytes) -> Head:
    """Take a datagram apart; raise SipParseError if it is too large, has no head, or holds stray CR or NUL.

    Sizes are checked before anything is looked into. Source: RFC 3261 7.5: empty lines before the start line are
    skipped.
    """
    if len(datagram) > MAX_DATAGRAM_BYTES:
        raise SipParseError("too_large", f"{len(datagram)} bytes", 413)
    datagram = datagram.lstrip(b"\r\n")
    end = datagram.find(b"\r\n\r\n")
    if 0 <= end <= MAX_LINE_BYTES:
        text = datagram[:end].decode("latin-1")
        lines = text.split("\r\n")
        breaks = len(lines) - 1
        # The counts agree only where no CR or LF stands alone.
        if text.count("\n") == breaks == text.count("\r") and breaks <= MAX_HEADER_LINES and "\0" not in text:
            return _tidy(lines, datagram[end + 4 :]) or _untidy(datagram)
    return _untidy(datagram)


def _tidy(lines: list[str], rest: bytes) -> Head | None:
    """The head of lines that need no repair, or None."""
    index: dict[str, list[str]] = {}
    start = lines.pop(0)
    spelling = USUAL_SPELLINGS.get
    for line in lines:
        name, colon, value = line.partition(":")
        key = spelling(name)
        if key is None:
            # A folded line has a blank here, and so has one with blanks before its colon.
            if not TOKEN.fullmatch(name):
                return None
            key = canonical(name)
        if not colon:
            return None
        if key in index:
            index[key].append(value.strip(BLANKS))
        else:
            index[key] = [value.strip(BLANKS)]
    return Head(start, lines, index, rest, None)


def _untidy(datagram: bytes) -> Head:
    """The same for any datagram."""
    if not datagram:
        raise SipParseError("empty", "nothing but line ends", None)
    end = _HEAD_END.search(datagram)
    if end is None:
        raise SipParseError("unfinished_head", "no empty line after the headers", None)
    start, *folded = _split_lines(datagram[: end.start()])
    lines, fault = _unfold(folded)
    index: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(":")
        index.setdefault(canonical(name), []).append(value.strip(BLANKS))
    return Head(start, lines, index, datagram[end.end() :], fault)


def _split_lines(head: bytes) -> list[str]:
    """The head's lines as held text."""
    if head.count(b"\n") > MAX_HEADER_LINES:
        raise SipParseError("too_many_lines", f"more than {MAX_HEADER_LINES} lines", None)
    raw = [line[:-1] if line.endswith(b"\r") else line for line in head.split(b"\n")]
    if any(len(line) > MAX_LINE_BYTES for line in raw):
        raise SipParseError("long_line", f"a line of more than {MAX_LINE_BYTES} bytes", None)
    lines = [line.decode("latin-1") for line in raw]
    if not all(SAFE_LINE.fullmatch(line) for line in lines):
        raise SipParseError("bad_bytes", "CR or NUL inside of a line", None)
    return lines


def _unfold(folded: list[str]) -> tuple[list[str], str | None]:
    """Header lines without continuations, and what is wrong with the first malformed one, which is left out.

    Source: RFC 3261 7.3.1: a line that begins with a blank continues the one before, joined by one space.
    """
    fields: list[list[str]] = []
    fault: str | None = None
    for line in folded:
        if line[0] not in BLANKS:
            fields.append([line.strip(BLANKS)])
        elif fields:
            fields[-1].append(line.strip(BLANKS))
        else:
            fault = fault or "continuation of nothing"
    lines: list[str] = []
    for parts in fields:
        name, colon, value = " ".join(parts).partition(":")
        name = name.rstrip(BLANKS)
        if colon and TOKEN.fullmatch(name):
            lines.append(f"{name}:{value}")
        else:
            fault = fault or "a line without a header name"
    return lines, fault
