"""What each request is answered. Every refusal is the same one, after the same look-ups and in the same time.

Secret paths never reach a log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from devices import networks, said_of
from devices.crypto import CannotDecrypt
from devices.limits import Limits, source_of
from provisioning import attempts, offers, readiness
from provisioning.door import again, crossing, delivery, guard, lookup, punctual, source, watch, watched
from provisioning.door.delivery import TURNS
from provisioning.door.http import FAILED, MALFORMED, REFUSED, Answer, Request, plain
from provisioning.door.lookup import Stored
from provisioning.door.store import in_store
from provisioning.door.together import Together
from provisioning.downloads import Offer, OtherName
from provisioning.firmware import serving
from provisioning.plain import heard, lead, missed
from provisioning.repeats import Repeat

log = logging.getLogger(__name__)

# No refusal leaves earlier after its request. Look-ups that find a row take some microseconds more than others, and
# what a phone may not have must not be told from what is not there by that. Our choice; many times what they take.
REFUSAL_SECONDS = 0.01
# A source may be so late before its rate counts: a site of 1,000 phones behind one address starts and is served.
BURST_SECONDS = 40.0
RESERVE_SHARE = 0.2  # of what all together may ask for, kept for sources that ask for little
# Requests that anybody may make stand in the log, but a flood must not fill the disk: the alarms count it.
LINES_PER_SECOND, LINES_PER_SOURCE, LINES_BURST_SECONDS = 40.0, 2.0, 20.0

_offers = Together(offers.find_all)


def respond(request: Request) -> Answer | Coroutine[Any, Any, Answer]:
    """The answer to one request, there at once if a phone asks for what it has already. Call it in the event loop."""
    begun = asyncio.get_running_loop().time()
    said_of.begin_request(request.peer, request.header(said_of.HEADER), settings.GSPNP_TRUSTED_PROXIES)
    host = source.host(request)
    is_admitted = admitted(host, _limits(settings.GSPNP_HTTP_RATE, settings.GSPNP_HTTP_RATE_PER_SOURCE))
    if is_admitted and again.is_at_once() and again.may_be(request) and _is_heard(request, host):
        found = again.find(request)
        if found is not None and crossing.is_open_for(request, found.path_base):
            return _again(request, found, host)
    return _by_and_by(request, host, is_admitted, begun)


def _again(request: Request, found: Repeat, host: str) -> Answer:
    answer = again.answer(request, found, host)
    watched.answered(answer)
    return answer


def _is_heard(request: Request, host: str) -> bool:
    return request.method in ("GET", "HEAD") and networks.allowed(host, settings.GSPNP_ALLOWED_NETWORKS)


async def answer(request: Request) -> Answer:
    """The same, awaited."""
    found = respond(request)
    return found if isinstance(found, Answer) else await found


async def _by_and_by(request: Request, host: str, is_admitted: bool, begun: float) -> Answer:
    """Nothing leaves it but an Answer."""
    if not is_admitted:
        watched.refused("limited")
    try:
        found = await _answer(request, host, begun) if is_admitted else REFUSED
    except (DatabaseError, CannotDecrypt) as error:
        log.error("%s asked for a file, which cannot be read now: %s", request.peer, error)
        found = FAILED
    except Exception:
        log.exception("%s asked for something, and we failed", request.peer)
        found = FAILED
    watched.answered(found)
    if found is REFUSED:
        await _not_before(begun)
    return found


async def _not_before(begun: float) -> None:
    """Wait until an answer that must tell nothing by its time may leave."""
    await punctual.wait_until(begun + REFUSAL_SECONDS)


async def _answer(request: Request, host: str, begun: float) -> Answer:
    if request.path == "/healthz" and request.method in ("GET", "HEAD"):
        async with TURNS.of(source_of(host)):
            return plain("ok\n", 200) if await readiness.answers_here() else FAILED
    of_itself = await watched.answer(request, TURNS, host)
    if of_itself is not None:
        return of_itself
    is_heard = _is_heard(request, host)
    wanted = lookup.wanted(request.path if is_heard else MALFORMED)
    if is_heard and not again.is_at_once() and again.may_be(request):
        async with TURNS.of(source_of(host)):
            repeat = await again.find_beside(request)
        if repeat is not None and crossing.is_open_for(request, repeat.path_base):
            return again.answer(request, repeat, host)
    if wanted.firmware is not None:
        async with TURNS.of(source_of(host)):
            image = await serving.firmware(request, wanted.firmware, host)
        _say(host, "asked for firmware %s%s", wanted.firmware.version or "(any)", "" if image else ": refused")
        if image is not None:
            return image
    async with TURNS.of(source_of(host)):
        found = await _find(wanted, host)
    kind = ""
    if found is not None and not crossing.is_open(request, wanted, found):
        log.warning("%s asked by plain HTTP for what leaves by TLS only", host)
        found, kind = None, "plain_http"
    if isinstance(found, Stored):
        _say(host, "asked for %s", found.what)
        return delivery.stored(request, found)
    if isinstance(found, Offer):
        if found.release is not None:
            return await delivery.serve_released(request, found, found.release, host)
        no = guard.refusal(request, found, host)
        if no is not None:
            watched.refused("login")
            return no
        return await delivery.serve(request, found, host)
    by_design = isinstance(found, OtherName)
    watched.refused(kind or watched.kind_of(wanted, heard=is_heard, by_design=by_design))
    local_host = source.local(request)
    if is_heard and wanted.config is not None:
        heard.note(wanted.config, request.header("user-agent"), host, local_host)
    led = lead.find(wanted.config, local_host) if is_heard and found is None else None
    if led is not None:
        watch.in_vain(wanted, request.path, host)
        await _not_before(begun)
        return delivery.stored(request, Stored("what leads here", *led))
    if is_heard:
        _note(request, wanted, host, by_design=by_design)
    if not by_design:
        watch.in_vain(wanted if is_heard else lookup.wanted(request.path), request.path, host)
    return REFUSED


async def _find(wanted: lookup.Wanted, host: str) -> Offer | OtherName | Stored | None:
    """What this request may have: looked for with those who ask for their own file too, and closer if it is not there.

    Whatever is refused has had both looks, for whichever reason that is; but for a name that the asker's file does not
    have.
    """
    if wanted.config is not None and wanted.config.secret:
        found = await _offers.ask((wanted.config, host))
        if found is not None:
            return found
    return await in_store(lookup.find, wanted, host)


def admitted(host: str, limits: Limits) -> bool:
    """Whether this one is looked at: each address has its share, and all together have theirs."""
    who = source_of(host)
    if limits.admit(who, asyncio.get_running_loop().time()):
        return True
    watch.limited(host, overall=not limits.is_over(who))
    return False


def _say(host: str, words: str, *what: object) -> None:
    """A line about a request that anybody may make, unless its source or all together made too many lately."""
    if _lines().admit(source_of(host), asyncio.get_running_loop().time()):
        log.info(f"%s {words}", host, *what)


@lru_cache(maxsize=1)
def _lines() -> Limits:
    now = asyncio.get_running_loop().time()
    return Limits(LINES_PER_SECOND, LINES_PER_SOURCE, now, LINES_BURST_SECONDS, RESERVE_SHARE)


def limits_of(overall: int, per_source: int) -> Limits:
    """For a door of so many a second."""
    return Limits(overall, per_source, asyncio.get_running_loop().time(), BURST_SECONDS, RESERVE_SHARE)


_limits = lru_cache(maxsize=4)(limits_of)  # the one of this process, as long as the settings are the same


def _note(request: Request, wanted: lookup.Wanted, host: str, *, by_design: bool) -> None:
    """What is written of a refusal, now in memory and later in the database."""
    ask = wanted.config
    if wanted.phonebook:
        _say(host, "asked for a phonebook: refused")
        return
    if by_design and ask:
        log.debug("%s asked for %s, which its file is not named: refused", host, ask.name)
    elif wanted.firmware is None:
        _say(host, "asked for %s: refused", ask.name if ask else _unreadable(request.path))
    if not by_design:
        missed.note(host, request.header("user-agent"), request.path)
    if ask is not None:
        attempts.refused(ask, host)
    else:
        attempts.refused_elsewhere(request.path, host)


def _unreadable(path: str) -> str:
    """A bounded, printable hint at a path that no phone asks for; nothing of what may hold a secret."""
    return "something below /p/" if path.startswith("/p/") else repr(path[1:61])
