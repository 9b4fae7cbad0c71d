"""What the phones' door counts of itself, and how it shows that; to whoever may not see it there is nothing here.

Counting is a microsecond, and a refusal leaves when its time has come: what is counted cannot be told from outside.
"""

from __future__ import annotations

from functools import partial

import prometheus_client

from devices.limits import source_of
from devices.metrics import REGISTRY
from provisioning import readiness, side_port
from provisioning.door.http import Answer, Request
from provisioning.door.lookup import Wanted
from provisioning.door.store import beside
from provisioning.door.turns import Turns
from provisioning.readiness import Readiness

ANSWERS = prometheus_client.Counter(
    "gspnp_door_answers", "Answers of the phones' door, by HTTP status.", ["status"], registry=REGISTRY
)
REFUSALS = prometheus_client.Counter(
    "gspnp_door_refusals", "Refusals of the phones' door, by what was asked for.", ["kind"], registry=REGISTRY
)
DOWNLOADS = prometheus_client.Counter(
    "gspnp_door_downloads", "Requests for a phone's own file that it may have, by result.", ["result"],
    registry=REGISTRY,
)  # fmt: skip

KINDS = ("limited", "unheard", "config", "other_name", "firmware", "phonebook", "other", "login", "plain_http", "busy")
RESULTS = ("complete", "part", "not_modified", "head", "broken_off")
# Each is there from the beginning: what appears with its first count has no increase.
_refusals = {kind: REFUSALS.labels(kind) for kind in KINDS}
_downloads = {result: DOWNLOADS.labels(result) for result in RESULTS}
_answers = {status: ANSWERS.labels(str(status)) for status in (200, 304, 401, 404, 503)}
_other = ANSWERS.labels("other")


def answered(answer: Answer) -> None:
    """This is what a request gets."""
    _answers.get(answer.status, _other).inc()


def refused(kind: str) -> None:
    """One of KINDS: the request gets the one refusal, or what leads here, or has to log in."""
    _refusals[kind].inc()


def download(result: str) -> None:
    """One of RESULTS."""
    _downloads[result].inc()


def kind_of(wanted: Wanted, *, heard: bool, by_design: bool) -> str:
    """Of a request for what is not there."""
    if not heard:
        return "unheard"
    if by_design:
        return "other_name"
    if wanted.config is not None:
        return "config"
    if wanted.firmware is not None:
        return "firmware"
    return "phonebook" if wanted.phonebook else "other"


async def answer(request: Request, turns: Turns, host: str) -> Answer | None:
    """To whoever may read it: how this door does. None: this request is as any other."""

    async def ready() -> Readiness:
        async with turns.of(source_of(host)):
            if not await readiness.answers_here():  # and who waits for it beside the door keeps nobody waiting here
                return readiness.without_database(readiness.STORE)
            return await beside(partial(readiness.examine, readiness.STORE))

    return await side_port.of_itself(request, ready)
