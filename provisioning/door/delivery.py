"""How a phone gets a file that it may have: what proves a stage is stored before the last bytes leave.

Secret paths never reach a log.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from django.db import DatabaseError

from devices.limits import source_of
from devices.mac import colons
from devices.wording import in_english
from provisioning import attempts, downloads, proofs
from provisioning.door import again, watched
from provisioning.door.http import NO_STORE, REFUSED, Answer, Request, Withdrawn
from provisioning.door.lookup import Stored
from provisioning.door.store import in_store
from provisioning.door.together import Together
from provisioning.door.turns import Turns
from provisioning.downloads import Offer
from provisioning.etags import matches
from provisioning.models import AttemptKind, Release
from provisioning.plain import missed
from provisioning.proofs import Proof
from provisioning.release import windows

log = logging.getLogger(__name__)

HELD_BACK_BYTES = 64  # the end of a file that proves something leaves only after the proof is committed
# A client that breaks off resets the connection as soon as it has got what it does not want. To wait so long before the
# commit, from when its machine has all but the end, lets us see that; a phone on its way to a reboot does not notice.
# Our choice.
GRACE_SECONDS = 0.05
# Who has lost its power, or its network, acknowledges nothing and resets nothing: it has not got its file. A datagram
# that was lost is sent again within a second, several times over in this; a line that is slow goes on and on.
SILENT_SECONDS = 15.0
ARRIVAL_SECONDS = 100.0  # at most, however little comes at a time; a release is held for longer (windows.py)
FIRST_LOOK_SECONDS, MOST_SECONDS = 0.02, 0.25  # between two looks whether it has arrived: each wait is twice the last
# Those whose wait ends within so long of each other end it together, half of that sooner or later: what many prove in
# one transaction costs each little.
GRACE_STEP_SECONDS = 0.02
PROOFS_AT_ONCE = 200  # in one transaction, which has SQLite's lock for some 20 ms; 64 would have it for 5, four times

TURNS = Turns()  # of this door: everything that it looks up
_given_back: set[asyncio.Task[None]] = set()
_proofs = Together(proofs.record_all, PROOFS_AT_ONCE)


async def serve(request: Request, offer: Offer, host: str) -> Answer:
    """A file by a path of its own."""
    tag, agent = f'"{offer.etag}"', request.header("user-agent")
    kind = in_english(offer.path_kind.label).lower()
    log.info("%s: %s asked for %s by its %s", colons(offer.mac), host, offer.name, kind)
    headers = (("ETag", tag), NO_STORE)
    length = len(offer.content)
    if request.method == "HEAD":
        watched.download("head")
        attempts.fruitless(AttemptKind.HEAD, offer.mac, offer.name, length, host)
        return Answer(200, offer.content_type, length=length, headers=headers)
    if matches(request.header("if-none-match"), tag):
        if not again.noted(offer, 304, host, agent):
            async with TURNS.of(source_of(host)):
                await in_store(downloads.record, offer, 304, True, host, agent)
        watched.download("not_modified")
        return Answer(304, headers=headers)
    pieces = pieces_of(request, offer, "range" not in request.headers, host)
    return Answer(200, offer.content_type, pieces=pieces, length=length, headers=headers)


async def pieces_of(request: Request, offer: Offer, counts: bool, host: str) -> AsyncGenerator[bytes]:
    """The file; what proves a stage is committed before the last bytes leave, and not at all if the client is gone."""
    recorded, agent = False, request.header("user-agent")
    try:
        yield offer.content[:-HELD_BACK_BYTES]
        if offer.moves and counts:
            await _grace(request)
        if not counts:
            attempts.fruitless(AttemptKind.PART, offer.mac, offer.name, len(offer.content), host)
        if counts and offer.moves:
            # No turn is waited for: what is nearly done is finished before another one is begun.
            failed = await _proofs.ask(Proof(offer, host, agent))
            if failed is not None:
                raise failed
        elif not (counts and again.noted(offer, 200, host, agent)):
            async with TURNS.of(source_of(host)):
                await in_store(downloads.record, offer, 200, counts, host, agent)
        recorded = True
        watched.download("complete" if counts else "part")
        yield offer.content[-HELD_BACK_BYTES:]
    except (GeneratorExit, asyncio.CancelledError, Withdrawn):
        if not recorded:
            attempts.fruitless(AttemptKind.BROKEN, offer.mac, offer.name, len(offer.content), host)
        raise
    finally:
        if not recorded:
            watched.download("broken_off")
            missed.broken_off()


async def _grace(request: Request) -> None:
    """Until a client that does not want the rest would have said so. Raises Withdrawn if no more of it arrives."""
    await _sleep_in_step()
    if request.unarrived_bytes():
        await _arrival(request)
        await _sleep_in_step()


async def _arrival(request: Request) -> None:
    loop, pause, least = asyncio.get_running_loop(), FIRST_LOOK_SECONDS, math.inf
    begun = moved_at = loop.time()
    while left := request.unarrived_bytes():
        now = loop.time()
        if left < least:
            least, moved_at = left, now
        if now - moved_at >= SILENT_SECONDS or now - begun >= ARRIVAL_SECONDS:
            raise Withdrawn
        await asyncio.sleep(pause)
        pause = min(2 * pause, MOST_SECONDS)


async def _sleep_in_step() -> None:
    now = asyncio.get_running_loop().time()
    step = math.ceil((now + GRACE_SECONDS) / GRACE_STEP_SECONDS - 0.5)
    await asyncio.sleep(step * GRACE_STEP_SECONDS - now)


async def serve_released(request: Request, offer: Offer, release: Release, host: str) -> Answer:
    """A file by its plain name: whole, and to one request at a time. Nobody gets a part of it, nor learns its ETag."""
    length = len(offer.content)
    if "range" in request.headers:
        watched.refused("busy")
        attempts.fruitless(AttemptKind.PART, offer.mac, offer.name, length, host)
        return REFUSED
    if request.method == "HEAD":
        watched.download("head")
        attempts.fruitless(AttemptKind.HEAD, offer.mac, offer.name, length, host)
        return Answer(200, offer.content_type, length=length, headers=(NO_STORE,))
    in_hand = windows.fresh_name()
    try:
        if not await in_store(windows.begin, release, in_hand):
            watched.refused("busy")
            log.info("%s asked for %s, which another request has in hand: refused", host, offer.name)
            return REFUSED
    except asyncio.CancelledError:
        _afterwards(in_store(windows.give_back, release, in_hand))
        raise
    log.info("%s: %s asked for %s, which is released to it", colons(offer.mac), host, offer.name)
    pieces = _released_pieces(request, offer, release, in_hand, host)
    return Answer(200, offer.content_type, pieces=pieces, length=length, headers=(NO_STORE,))


async def _released_pieces(
    request: Request, offer: Offer, release: Release, in_hand: str, host: str
) -> AsyncGenerator[bytes]:
    """The file; what let it out is closed before the last bytes leave."""
    recorded, agent = False, request.header("user-agent")
    try:
        yield offer.content[:-HELD_BACK_BYTES]
        await _grace(request)
        if not await in_store(downloads.record_released, offer, in_hand, host, agent):
            raise Withdrawn
        recorded = True
        watched.download("complete")
        yield offer.content[-HELD_BACK_BYTES:]
    finally:
        if not recorded:
            watched.download("broken_off")
            missed.broken_off()
            attempts.fruitless(AttemptKind.BROKEN, offer.mac, offer.name, len(offer.content), host)
            _afterwards(in_store(windows.give_back, release, in_hand))


def _afterwards(work: Coroutine[Any, Any, None]) -> None:
    """Do it although whoever asked is gone; what fails is over when its time is."""

    async def do() -> None:
        try:
            await work
        except DatabaseError as error:
            log.warning("a download that broke off is not given back before its time (%s)", error)

    task = asyncio.get_running_loop().create_task(do())
    _given_back.add(task)
    task.add_done_callback(_given_back.discard)


async def settled() -> None:
    """Wait for what is still to be written of those who are gone, and of those who fetched again."""
    await asyncio.gather(*_given_back)
    await in_store(again.flush)


def stored(request: Request, found: Stored) -> Answer:
    """XML that proves nothing, whole or by its ETag."""
    tag = f'"{found.etag}"'
    headers = (("ETag", tag), NO_STORE)
    if matches(request.header("if-none-match"), tag):
        return Answer(304, headers=headers)
    body = b"" if request.method == "HEAD" else found.content
    return Answer(200, "text/xml", body, length=len(found.content), headers=headers)
