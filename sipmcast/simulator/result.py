"""What became of a phone: plain records, and the JSON of the report. Nothing here holds a secret path."""

from dataclasses import asdict, dataclass, field
from typing import Any

THROUGH, FAILED, STOPPED = "through", "failed", "stopped"

# How far a phone got, in order. "applied": the flashed file was fetched again by the path that only it names.
STAGES = ("waiting", "booted", "answered", "notified", "fetched", "rebooted", "applied")


@dataclass(frozen=True)
class Download:
    """One GET: why, what, and what came. `path` has its secret segment replaced."""

    boot: int
    why: str  # notify, option66, stored, check-sync or resync
    path: str
    status: int  # 0: no complete answer
    size: int
    closed: bool
    seconds: float
    problem: str = ""


@dataclass
class Result:
    """One phone's story."""

    mac: str
    model: str
    firmware: str
    contact: str = ""
    outcome: str = ""
    reason: str = ""
    stage: str = "waiting"
    boots: int = 0
    subscribes: int = 0
    delivered_by: str = ""
    orders: list[str] = field(default_factory=list)  # obeyed: notify, check-sync, resync, reboot
    challenges: int = 0
    options: int = 0  # answered
    downloads: list[Download] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)  # seconds from the first boot to a stage

    def note(self, text: str) -> None:
        """Remember something odd that is no failure; each text once, and not for ever."""
        if text not in self.notes and len(self.notes) < 50:
            self.notes.append(text)

    def obeyed(self, order: str) -> None:
        """Remember an order; not for ever."""
        if len(self.orders) < 1000:
            self.orders.append(order)

    def as_json(self) -> dict[str, Any]:
        """Everything, ready for json.dumps."""
        story = asdict(self)
        for download in story["downloads"]:
            download["seconds"] = round(download["seconds"], 4)
        story["timings"] = {name: round(seconds, 4) for name, seconds in self.timings.items()}
        return story
