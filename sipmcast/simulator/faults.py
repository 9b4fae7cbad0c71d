"""What can go wrong on demand: named faults, each with one optional value.

A fault is a wish written on the command line, `name` or `name=value`; this module reads the wishes and
keeps the dice, so that the same seed gives the same losses for the same datagrams. Source: our choice.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field


class FaultError(ValueError):
    """A fault that does not exist or has a value it cannot have; the text is for the person who typed it."""


@dataclass(frozen=True)
class FaultKind:
    """One fault: what its value means, the value taken when none is given, and what it does."""

    value_name: str
    default: float
    least: float
    most: float
    help: str

    @property
    def takes_value(self) -> bool:
        """Whether `name=value` makes sense for it."""
        return bool(self.value_name)


ALL = float("inf")

FAULTS: dict[str, FaultKind] = {
    "late-notify-ignored": FaultKind(
        "seconds",
        32,
        0,
        86400,
        "a NOTIFY later than that after the boot's first SUBSCRIBE is neither answered nor obeyed",
    ),
    "answer-4xx": FaultKind("status", 403, 400, 499, "every NOTIFY is answered with that status and starts nothing"),
    "answer-5xx": FaultKind("status", 500, 500, 599, "every NOTIFY is answered with that status and starts nothing"),
    "no-answer": FaultKind(
        "count",
        ALL,
        1,
        1e9,
        "the first so many NOTIFY datagrams are neither answered nor obeyed (default: all)",
    ),
    "lose": FaultKind("probability", 0.2, 0, 1, "each datagram is lost with that probability, in both directions"),
    "double": FaultKind("", 1, 1, 1, "each datagram that the phone sends is sent twice"),
    "reorder": FaultKind(
        "seconds", 0.3, 0, 10, "each datagram, sent or received, is held back for a random part of that time"
    ),
    "aborted-download": FaultKind(
        "bytes",
        512,
        0,
        1e6,
        "of the first file only so many bytes are read (always short of the whole), then the "
        "connection is closed and the file is asked for again after a moment; once",
    ),
    "late-fetch": FaultKind(
        "seconds", 5, 0, 3600, "the NOTIFY is answered at once, its URL is asked for only that much later"
    ),
    "crash-after-download": FaultKind(
        "", 1, 1, 1, "power is lost after the first complete file and before it is flashed; once"
    ),
    "forgetful": FaultKind("", 1, 1, 1, "every reboot comes up with factory values: the phone never keeps its file"),
    "factory-reset": FaultKind(
        "",
        1,
        1,
        1,
        "once it is through, the phone forgets everything, boots as new and has to get through again; "
        "once, with a fresh count of boots",
    ),
    "challenge": FaultKind(
        "", 1, 1, 1, "a configured phone asks a password for ua-profile NOTIFYs too, not only for commands"
    ),
    "other-password": FaultKind(
        "", 1, 1, 1, "it belongs to another system: every NOTIFY is challenged, and no password of ours is right"
    ),
    "stale": FaultKind("", 1, 1, 1, "the nonce of the first right login counts as too old; once"),
    "sha256": FaultKind("", 1, 1, 1, "challenges ask for SHA-256 instead of MD5"),
    "no-qop": FaultKind("", 1, 1, 1, "challenges have no qop, as before RFC 2617"),
    "407": FaultKind("", 1, 1, 1, "challenges are 407 with Proxy-Authenticate instead of 401"),
    "device-unknown": FaultKind(
        "", 1, 1, 1, "a configured phone answers NOTIFYs to its address with 404, and obeys those to its SIP user"
    ),
    "silent-options": FaultKind("", 1, 1, 1, "OPTIONS are not answered"),
    "folder-only": FaultKind("", 1, 1, 1, "a NOTIFY whose URL does not end in / is answered and starts nothing"),
    "old-order": FaultKind("", 1, 1, 1, "cfg<mac>.xml is asked for before cfg<mac>, as early firmware does"),
    "sha256-files": FaultKind("", 1, 1, 1, "its firmware opens encrypted files with SHA-256 instead of MD5"),
    "wrong-login": FaultKind("", 1, 1, 1, "where a file asks for its HTTP login, it shows a wrong password"),
    "no-login": FaultKind("", 1, 1, 1, "its firmware knows no HTTP login: it takes a 401 for a refusal"),
    "path-as-folder": FaultKind("", 1, 1, 1, "a NOTIFY's URL is always taken for a folder, and asked below"),
}


def describe() -> str:
    """All faults in one paragraph for a help text."""
    parts = []
    for name, kind in FAULTS.items():
        default = "" if kind.default == ALL else f", default {kind.default:g}"
        value = f"[={kind.value_name}{default}]" if kind.takes_value else ""
        parts.append(f"{name}{value}: {kind.help}")
    return "; ".join(parts)


def parse_faults(text: str) -> dict[str, float]:
    """Read `a,b=1` into fault name -> value; an unknown name or a value out of range is a FaultError."""
    wishes: dict[str, float] = {}
    for wish in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = wish.partition("=")
        kind = FAULTS.get(name)
        if kind is None:
            raise FaultError(f"there is no fault {name!r}; known: {', '.join(FAULTS)}")
        wishes[name] = _read_value(name, kind, value) if equals else kind.default
    if "answer-4xx" in wishes and "answer-5xx" in wishes:
        raise FaultError("answer-4xx and answer-5xx exclude each other: a NOTIFY gets one answer")
    if "folder-only" in wishes and "path-as-folder" in wishes:
        raise FaultError("folder-only and path-as-folder exclude each other: a phone reads a URL in one way")
    return wishes


def _read_value(name: str, kind: FaultKind, text: str) -> float:
    if not kind.takes_value:
        raise FaultError(f"the fault {name} takes no value")
    try:
        value = float(text)
    except ValueError:
        raise FaultError(f"{name}={text}: {kind.value_name} must be a number") from None
    if not kind.least <= value <= kind.most:
        raise FaultError(f"{name}={text}: {kind.value_name} must be from {kind.least:g} to {kind.most:g}")
    return value


@dataclass
class Faults:
    """One phone's faults and dice. `once` faults disarm themselves when used."""

    wishes: dict[str, float] = field(default_factory=dict)
    seed: str = "0"

    def __post_init__(self) -> None:
        self._used: set[str] = set()
        self._ignored_notifies = 0
        self._sending = random.Random(f"{self.seed}/sending")
        self._receiving = random.Random(f"{self.seed}/receiving")

    def has(self, name: str) -> bool:
        """Whether this fault was asked for."""
        return name in self.wishes

    def value(self, name: str) -> float:
        """The value of a fault that was asked for."""
        return self.wishes[name]

    def armed(self, name: str) -> bool:
        """Whether a fault that happens once was asked for and has not happened yet."""
        return name in self.wishes and name not in self._used

    def used(self, name: str) -> None:
        """Remember that a fault that happens once has happened."""
        self._used.add(name)

    def sending(self) -> list[float]:
        """Delays in seconds of the copies of the next datagram to send; none means it is lost."""
        copies = 2 if self.has("double") else 1
        return list(self._fates(self._sending, copies))

    def receiving(self) -> list[float]:
        """The delay in seconds of the next datagram received; none means it is lost."""
        return list(self._fates(self._receiving, 1))

    def _fates(self, dice: random.Random, copies: int) -> Iterable[float]:
        for _ in range(copies):
            lost, delay = (
                dice.random(),
                dice.random(),
            )  # always two throws: the next datagram's luck stays its own
            if lost >= self.wishes.get("lose", 0.0):
                yield delay * self.wishes.get("reorder", 0.0)

    def deaf_to_notify(self, since_subscribe: float) -> str:
        """Why the next NOTIFY datagram is not heard, or an empty text if it is. Counts it if it is not."""
        if self._ignored_notifies < self.wishes.get("no-answer", 0):
            self._ignored_notifies += 1
            return "no-answer"
        if since_subscribe > self.wishes.get("late-notify-ignored", ALL):
            return "late-notify-ignored"
        return ""

    def forced_status(self) -> int | None:
        """The status that every NOTIFY gets instead of its own, or None."""
        for name in ("answer-4xx", "answer-5xx"):
            if self.has(name):
                return int(self.wishes[name])
        return None
