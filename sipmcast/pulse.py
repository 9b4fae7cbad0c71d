"""A listener's own health: whom it heard, whether its store is away, what it says of itself with each heartbeat."""

import contextlib
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from devices.mac import colons
from devices.places import site_words
from devices.sighting import Sighting
from provisioning.clock_step import WORDS
from provisioning.outage import Outage
from sipmcast.held import WAS_AWAY, Held
from sipmcast.listener import Listener
from sipmcast.models import HEARTBEAT_SECONDS
from sipmcast.status import Said

log = logging.getLogger(__name__)

SLOW_STORE_SECONDS = 1.0
LINES_PER_SECOND = 50
RECALL_SECONDS = 3600.0  # how long the console is told that the store was away
SHARED_SECONDS = 86_400.0  # how long it is told that two sites hear one LAN, since a phone showed it last
SAME_LAN = (
    "A listener {} hears the same phones. Each phone stays at its site; stop one of the two listeners, or give each an "
    "interface of its own (--interface)."
)


@dataclass
class Pulse:
    """Kept by the worker, on the event loop; times are monotonic seconds unless they say otherwise."""

    held: Held
    last_heard: dict[str, float] = field(default_factory=dict)
    """Interface -> when a SUBSCRIBE was last heard there, POSIX seconds."""
    beaten_at: float | None = None
    """When a heartbeat was stored last."""
    storing_since: float | None = None
    """Since when a batch waits to be stored."""
    outage: Outage = field(default_factory=Outage)
    """Of the store."""
    _lines: tuple[float, int] = (0.0, 0)
    """How many were logged in the second that began then."""
    _shared: dict[str, float] = field(default_factory=dict)
    """Site whose listener hears the same starts -> until when that is said."""
    _in_hand: int = 0
    """How many are in that batch."""
    _most_held: int = 0
    """At any one moment since the store is away."""
    _away_seconds: float = 0.0
    """How long it was, the time that `_words` speak of."""
    _lost_said: int = 0
    """How many had been lost in all by then."""
    _words: str = ""
    _words_until: float = 0.0
    _due_at: float = 0.0
    _clock_words: str = ""
    _clock_until: float = 0.0

    def is_due(self, now: float) -> bool:
        """Is it time for a heartbeat? If so, the next one is planned."""
        if now < self._due_at:
            return False
        self._due_at = now + HEARTBEAT_SECONDS
        return True

    def said(self, listener: Listener, now: float) -> Said:
        """One heartbeat's worth of news."""
        counters = dict(listener.agent.counters)
        counters |= {"kernel_drops": listener.kernel_drops(), "held": len(self.held), "lost": self.held.lost}
        counters["transcripts_lost"] = listener.agent.journal.lost
        return Said(
            interfaces=[f"{leg.interface} ({leg.host})" for leg in listener.legs],
            trouble=" ".join(listener.trouble.values()),
            counters=counters,
            heard_at={name: _iso(at) for name, at in self.last_heard.items()},
            warnings=[*listener.warnings, *self.warnings(listener.kernel_drops(), now)],
        )

    def warnings(self, drops: int, now: float) -> list[str]:
        """What people should know and what does not stop us."""
        said = [self._words] if now < self._words_until else []
        if now < self._clock_until:
            said.append(self._clock_words)
        if drops:
            said.append(f"The kernel has thrown away {drops:,} datagrams that came faster than they were read.")
        self._shared = {site: until for site, until in self._shared.items() if now < until}
        return said + [SAME_LAN.format(site_words(site)) for site in sorted(self._shared)]

    def heard(self, sighting: Sighting, words: str) -> None:
        """A line for each phone, but a boot storm must not fill the disk: the events in the store have them all."""
        self.last_heard[sighting.interface] = sighting.heard_at
        second, lines = self._lines
        now = time.monotonic()
        self._lines = (second, lines + 1) if now - second < 1.0 else (now, 1)
        if self._lines[1] <= LINES_PER_SECOND:
            words = words.format(sighting.source_host, sighting.source_port, sighting.vendor)
            log.info("%s: %s", colons(sighting.mac), words)

    def set_back(self, seconds: float) -> None:
        """This machine's clock was, also before we started."""
        self._clock_words, self._clock_until = WORDS.format(seconds), time.monotonic() + RECALL_SECONDS

    def shares_with(self, site: str) -> None:
        """A listener of that site has heard the very start that we have heard."""
        self._shared[site] = time.monotonic() + SHARED_SECONDS

    @property
    def is_away(self) -> bool:
        """Is the store away, as far as we know?"""
        return self.outage.is_on

    @property
    def waiting_since(self) -> float:
        """Since when a batch waits to be stored: not longer than the store is back, for what was before is over."""
        return math.inf if self.storing_since is None else max(self.storing_since, self.outage.back_at)

    def is_slow(self) -> bool:
        """Does a batch wait to be stored for too long?"""
        return time.monotonic() - self.waiting_since > SLOW_STORE_SECONDS

    @contextlib.contextmanager
    def storing(self, count: int) -> Iterator[None]:
        """So many phones are given to the store, until this ends."""
        self.storing_since, self._in_hand = time.monotonic(), count
        self._note_held()
        try:
            yield
        finally:
            self.storing_since, self._in_hand = None, 0

    def _note_held(self) -> None:
        """What the store is given is held too, until it has it: when it is back, that is what was taken first."""
        self._most_held = max(self._most_held, len(self.held) + self._in_hand)

    def gone(self, listener: Listener, error: Exception, since: float) -> None:
        """The store, waited for since then, did not answer, or refused; said once until it is back."""
        if self.outage.gone(since):
            log.error("the database is away (%s): phones are answered, what they say is held", error)
            self._most_held = 0
            listener.agent.counters["store_away"] += 1
        if self.is_away:
            self._note_held()

    def back(self) -> None:
        """The store has done something for us just now, whenever that began."""
        if not self.is_away or self.is_slow():
            return
        self._note_held()
        now = time.monotonic()
        seconds = self.outage.back(now)
        if seconds is None:
            return
        words = f"{WAS_AWAY} {seconds:.0f} s; {self._most_held} phones were held meanwhile, {self.held.lost} were lost."
        log.info("the database is back. %s", words)
        # A short one hides no long one, unless it has lost something.
        if now >= self._words_until or seconds >= self._away_seconds or self.held.lost > self._lost_said:
            self._lost_said = self.held.lost
            self._words, self._away_seconds, self._words_until = words, seconds, now + RECALL_SECONDS


def _iso(posix_seconds: float) -> str:
    return datetime.fromtimestamp(posix_seconds, UTC).isoformat(timespec="seconds")
