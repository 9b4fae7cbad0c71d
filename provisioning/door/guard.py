"""The login that a phone shows before its file leaves by a steady path: asked for, looked at, and counted if wrong.

Whoever names no path that leads to a file is never asked: the one refusal stays one. What is known of nonces is known
to this process alone. A login for another one's nonce is answered with a new nonce and `stale=true`, and counts
nowhere: the phone asks once more, on the same connection if it can. Nothing of a login is kept or logged.
"""

from __future__ import annotations

import asyncio
import logging
from typing import NamedTuple

from devices.limits import source_of
from devices.mac import colons
from provisioning import attempts
from provisioning.door import watch
from provisioning.door.http import NO_STORE, REFUSED, Answer, Request
from provisioning.door.http_login import MAX_FAILURES, Failures, Login, Nonces, Scheme, Verdict, challenge, check
from provisioning.downloads import Offer
from provisioning.models import AttemptKind

log = logging.getLogger(__name__)

ANSWER_SECONDS = 20.0  # a phone that can log in does so within a second; our choice
AWAITED_AT_MOST = 1000  # phones that were asked, at a time; more are not told of


class _Asked(NamedTuple):
    """A phone that was asked for its login."""

    until: float
    name: str
    size: int
    host: str


_nonces = Nonces()
_failures = Failures()
_awaited: dict[str, _Asked] = {}  # by MAC


def refusal(request: Request, offer: Offer, host: str) -> Answer | None:
    """What whoever asks for this gets instead of it; None if it may have it. Call it in the event loop."""
    if offer.login is None:
        return None
    now = asyncio.get_running_loop().time()
    # Counted for each phone: others behind the same address go on.
    who = (source_of(host), offer.mac)
    if _failures.too_many(who, now):
        _fruitless(offer, host)
        return REFUSED
    verdict = check(request.header("authorization"), offer.login, request.method, request.target, _nonces, now)
    if verdict is Verdict.RIGHT:
        _failures.forgive(who)
        _awaited.pop(offer.mac, None)
        return None
    # A login that is right and was shown before gives nothing, but it is no wrong one: a phone may not count upwards,
    # and who recorded it must not lock the phone out by sending it again.
    is_stale = verdict in (Verdict.STALE, Verdict.REPEATED)
    if verdict is Verdict.NONE or is_stale:
        _await(offer, host, now)
    else:
        _awaited.pop(offer.mac, None)
        _fruitless(offer, host)
        if _failures.add(who, now) == MAX_FAILURES:
            watch.wrong_logins(host, offer.mac, MAX_FAILURES)
        log.info("%s: %s asked for %s with a wrong login", colons(offer.mac), host, offer.name)
    return _challenge(offer.login, who[0], now, is_stale=is_stale)


def _challenge(login: Login, source: str, now: float, *, is_stale: bool) -> Answer:
    nonce = _nonces.fresh(source, now) if login.scheme is Scheme.DIGEST else ""
    headers = (("WWW-Authenticate", challenge(login.scheme, nonce, stale=is_stale)), NO_STORE)
    return Answer(401, "text/plain", b"log in\n", headers=headers)


def _fruitless(offer: Offer, host: str) -> None:
    attempts.fruitless(AttemptKind.LOGIN, offer.mac, offer.name, len(offer.content), host)


def _await(offer: Offer, host: str, now: float) -> None:
    """It was asked for its login: if none comes, that is what its technician has to know."""
    if offer.mac in _awaited or len(_awaited) >= AWAITED_AT_MOST:
        return
    _awaited[offer.mac] = _Asked(now + ANSWER_SECONDS, offer.name, len(offer.content), host)
    asyncio.get_running_loop().call_at(now + ANSWER_SECONDS, overdue, now + ANSWER_SECONDS)


def overdue(now: float) -> None:
    """Note who was asked and gave no login by now. Call it in the event loop."""
    for mac, asked in [item for item in _awaited.items() if item[1].until <= now]:
        del _awaited[mac]
        attempts.fruitless(AttemptKind.NO_LOGIN, mac, asked.name, asked.size, asked.host)


def forget() -> None:
    """Begin as a new process does."""
    global _nonces, _failures
    _nonces, _failures = Nonces(), Failures()
    _awaited.clear()
