"""What kinds of jobs there are: one table, by `Job.kind`.

What carries a kind out is a module, named here and imported on first use: who only wants to know what is said of a
job loads neither the queue nor what jobs do. Such a module has `run_chunk`; and `cancel`, `not_ready`, `failed` and
`over` where its kind has something of its own to do then.

Whoever locks several rows locks them in this order, or two of them wait for each other for ever: the PhoneImport or the
Handout, the Job, phones by their id, inserts of phones by their MAC, then the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from provisioning.jobs.models import Job, JobState
from provisioning.models import NotifyKind

RERENDER, FOLLOW, IMPORT = "rerender", "follow", "import"


@dataclass(frozen=True)
class Next:
    """What becomes of a job after a chunk: it goes on at once, goes on `at` a time, or has `ended`, for what reason."""

    at: datetime | None = None
    ended: JobState | None = None
    words: str = ""


AGAIN = Next()
DONE = Next(ended=JobState.DONE)


@dataclass(frozen=True)
class Words:
    """What is said of its NOTIFYs while it is paused, and once it is cancelled; of a fault of ours; on its page, of the
    phones of one that was cancelled; and of NOTIFYs that are gathered until all of it is stored, if its are."""

    held: str
    dropped: str
    our_fault: str
    cancelled: str | Promise
    gathered: str = ""


@dataclass(frozen=True)
class Order:
    """What can be ordered for a selection. `tells` is what the phones are asked; without it the order is carried out
    here, at once. One that `confirms` comes from a person who has looked at every phone with its address."""

    title: str
    tells: NotifyKind | None = None
    confirms: bool = False
    at_once: int = 10
    """Phones in one transaction: SQLite's lock is held for some 20 ms."""


@dataclass(frozen=True)
class Kind:
    """How jobs of one kind are carried out, and what is said of them."""

    module: str
    words: Words
    order: Order | None = None

    def run_chunk(self, job: Job) -> Next:
        """Do the next piece."""
        then: Next = self._its("run_chunk")(job)
        return then

    def cancel(self, job: Job) -> bool:
        """Somebody cancels it; whether it ends by itself, because it has to take something back."""
        its = self._its("cancel")
        return its is not None and its(job)

    def not_ready(self, job: Job) -> str:
        """Why it cannot be resumed as it stands, in words for the person; empty if it can."""
        its = self._its("not_ready")
        return its(job) if its else ""

    def failed(self, job: Job) -> Next:
        """What becomes of it after a fault of ours in a chunk."""
        its = self._its("failed")
        return its(job) if its else Next(ended=JobState.FAILED, words=self.words.our_fault)

    def over(self, job: Job) -> None:
        """It has ended, in whichever way. Called in the transaction that ends it, which has locked its row."""
        if its := self._its("over"):
            its(job)

    def _its(self, name: str) -> Any:
        return getattr(import_module(self.module), name, None)


_FILE_HELD = "Its job is paused: it takes its new file at its next start, or when the job goes on."
_FILE_DROPPED = "Its job was cancelled: it takes its new file at its next start, or when you press “Notify again”."
_FAULT = "Something went wrong in gspnp itself; the worker's log has more. Report it"

RERENDERING = Words(
    held=_FILE_HELD,
    dropped=_FILE_DROPPED,
    our_fault=f"{_FAULT}, then save again what this job is named after.",
    cancelled=_(
        "Phones that have a new file keep it, and take it at their next start; nobody is told of it any more. Save "
        "again what this job is named after, or set the path of the firmware again, to go on with the rest."
    ),
)
FOLLOWING = Words(
    held=_FILE_HELD,
    dropped=_FILE_DROPPED,
    our_fault=f"{_FAULT}, then assign the phones that are left one by one.",
    cancelled=_(
        "Phones that have a new file keep it, and take it at their next start; nobody is told of it any more. The "
        "directory keeps its change. Assign the phones that are left one by one; if it is a secret, enter it at the "
        "extension again, and tick them."
    ),
)
IMPORTING = Words(
    held=_FILE_HELD,
    dropped=_FILE_DROPPED,
    our_fault=f"{_FAULT}.",
    cancelled=_("The page of the import says of each of its phones what it has now, and what can be done about it."),
    gathered="Its import is not complete yet: it is told when every phone of it is stored.",
)
ORDERED = Words(
    held="Its job is paused: it is asked when the job goes on.",
    dropped="Its job was cancelled: it is not asked any more.",
    our_fault=f"{_FAULT}, then order it again.",
    cancelled=_(
        "Phones that have had their turn stay as they are; nobody more is asked. What a save or an import still owed "
        "a phone, it is owed as before. Select the others in the list to order it again."
    ),
)

ORDERS: Mapping[str, Order] = {
    "notify": Order("Notify at known addresses", NotifyKind.PROFILE),
    "confirm": Order("Confirm addresses and notify", NotifyKind.PROFILE, confirms=True),
    "check": Order("Check for a new configuration", NotifyKind.CHECK_SYNC),
    "resync": Order("Load the configuration again", NotifyKind.RESYNC),
    "reboot": Order("Restart", NotifyKind.REBOOT),
    "ignore": Order("Ignore"),
    "heed": Order("Stop ignoring"),
    "forget": Order("Forget", at_once=3),  # with all that belongs to them
}
KINDS: Mapping[str, Kind] = {
    RERENDER: Kind("provisioning.jobs.rerender", RERENDERING),
    FOLLOW: Kind("provisioning.extensions.job", FOLLOWING),
    IMPORT: Kind("provisioning.importing.applying", IMPORTING),
    **{name: Kind("provisioning.jobs.orders", ORDERED, order) for name, order in ORDERS.items()},
}
UNKNOWN = Kind("provisioning.jobs.refusing", RERENDERING)


def of(job: Job) -> Kind:
    """Its kind. A job that this version does not know is refused by whoever would carry it out."""
    return KINDS.get(job.kind, UNKNOWN)
