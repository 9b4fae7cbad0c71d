"""How fast phones are told or asked, in phones a minute: what is offered, what is allowed, and what somebody typed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from django.utils.translation import gettext

LONGEST_MINUTES = 24 * 60  # of telling. What is due in two days and more counts as of a clock that went back (due.py).
UNREADABLE = 0.0  # what is no number, and so is refused in the words for a pace that is none


@dataclass(frozen=True)
class Pace:
    """A kind of pace; all numbers are phones a minute. The bounds are our choice."""

    offered: int
    least: int
    most: int

    def read(self, typed: str | None) -> float:
        """What somebody typed, with a point or a comma; what is offered if nobody was asked."""
        try:
            return float(self.offered if typed is None else typed.replace(",", "."))
        except ValueError:
            return UNREADABLE

    def least_for(self, total: int) -> int:
        """The slowest at which so many phones are told in time."""
        return max(self.least, math.ceil(total / LONGEST_MINUTES))

    def fault(self, per_minute: float, total: int) -> str:
        """Why so many phones cannot have this pace, for a person; "" if they can."""
        if not self.least <= per_minute <= self.most:
            words = gettext("Phones have their turn at %(least)d to %(most)d a minute; enter a number between.")
            return words % {"least": self.least, "most": self.most}
        if total > per_minute * LONGEST_MINUTES:
            words = gettext(
                "At %(pace)g a minute the last of %(total)d phones would have its turn after more than a day; "
                "enter %(needed)d or more, or choose fewer phones."
            )
            return words % {"pace": per_minute, "total": total, "needed": self.least_for(total)}
        return ""


TOLD = Pace(offered=300, least=6, most=12_000)  # of a new file: a phone restarts for each
# 37 restarts in little more than a minute are offered, and a PBX sees 1 registration in 2 s.
ASKED = Pace(offered=30, least=1, most=600)
