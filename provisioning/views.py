"""The phones' door: the one view behind every path that a phone may ask for.

Every refusal is the same 404, made after the same look-ups. Secret paths never reach a log.
"""

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from devices import networks
from devices.mac import colons
from devices.wording import in_english
from provisioning import attempts, downloads, paths
from provisioning.etags import matches
from provisioning.firmware import serving
from provisioning.models import AttemptKind
from provisioning.phonebook import books
from provisioning.plain import files as plain_files
from provisioning.plain import missed

log = logging.getLogger(__name__)

HELD_BACK_BYTES = 64  # the end of a file that proves something leaves only after the proof is committed
# A client that breaks off resets the connection within a round trip of what it got. Waiting this long before the
# commit lets us see that; a phone on its way to a reboot does not notice. Our choice.
GRACE_SECONDS = 0.05


async def door(request: HttpRequest, path: str) -> HttpResponseBase:
    """Serve a stored configuration by a secret path, or refuse."""
    source = source_host(request)
    if request.method not in ("GET", "HEAD") or not networks.allowed(source, settings.GSPNP_ALLOWED_NETWORKS):
        return refused(request)
    firmware_ask = paths.read_firmware("/" + path)
    if firmware_ask is not None:
        served = await serving.firmware(request, firmware_ask, source)
        if served is None:
            missed.note(source, request.headers.get("User-Agent", ""), f"/{path}")
        return served or refused(request)
    book = paths.read_phonebook("/" + path)
    if book is not None:
        return await _phonebook(request, book, source)
    ask = paths.read("/" + path)
    offer = for_all = None
    if ask is not None:
        try:
            if ask.secret:
                offer = await sync_to_async(downloads.find)(ask, source)
            elif not ask.mac:
                for_all = await sync_to_async(plain_files.find)(ask.name)
        except DatabaseError as error:
            log.error("%s asked for %s, but the database is away: %s", source, ask.name, error)
            return failed(request)
    if for_all is not None:
        log.info("%s asked for %s", source, for_all)
        return _stored(request, bytes(for_all.content), for_all.etag)
    if offer is None or isinstance(offer, downloads.OtherName):
        log.info("%s asked for %s: refused", source, ask.name if ask else _unreadable(path))
        if offer is None:
            missed.note(source, request.headers.get("User-Agent", ""), f"/{path}")
        if ask is not None:
            attempts.refused(ask, source)
        else:
            attempts.refused_elsewhere(f"/{path}", source)
        return refused(request)
    return await _serve(request, offer, source)


async def _serve(request: HttpRequest, offer: downloads.Offer, source: str) -> HttpResponseBase:
    content, tag = offer.content, f'"{offer.etag}"'
    agent = request.headers.get("User-Agent", "")
    kind = in_english(offer.path_kind.label).lower()
    log.info("%s: %s asked for %s by its %s", colons(offer.mac), source, offer.name, kind)
    response: HttpResponseBase
    if request.method == "HEAD":
        attempts.fruitless(AttemptKind.HEAD, offer.mac, offer.name, len(content), source)
        response = HttpResponse(content_type=offer.content_type)
        response.headers["Content-Length"] = str(len(content))
    elif matches(request.headers.get("If-None-Match", ""), tag):
        await sync_to_async(downloads.record)(offer, 304, True, source, agent)
        response = HttpResponse(status=304)
    else:
        counts = "Range" not in request.headers
        response = StreamingHttpResponse(_body(offer, content, counts, source, agent), content_type=offer.content_type)
        response.headers["Content-Length"] = str(len(content))
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "no-store"
    return response


async def _body(offer: downloads.Offer, content: bytes, counts: bool, source: str, agent: str) -> AsyncIterator[bytes]:
    """The file; what proves a stage is committed before the last bytes leave, and not at all if the client is gone."""
    recorded = False
    try:
        yield content[:-HELD_BACK_BYTES]
        if offer.moves and counts:
            await asyncio.sleep(GRACE_SECONDS)
        if not counts:
            attempts.fruitless(AttemptKind.PART, offer.mac, offer.name, len(content), source)
        await sync_to_async(downloads.record)(offer, 200, counts, source, agent)
        recorded = True
        yield content[-HELD_BACK_BYTES:]
    except (GeneratorExit, asyncio.CancelledError):
        if not recorded:
            attempts.fruitless(AttemptKind.BROKEN, offer.mac, offer.name, len(content), source)
        raise
    finally:
        if not recorded:
            missed.broken_off()


async def _phonebook(request: HttpRequest, ask: paths.PhonebookAsk, source: str) -> HttpResponse:
    """The stored phonebook of a site, or the one refusal. It moves no stage."""
    try:
        found = await sync_to_async(books.find)(ask.secret)
    except DatabaseError as error:
        log.error("%s asked for a phonebook, but the database is away: %s", source, error)
        return failed(request)
    if found is None:
        log.info("%s asked for a phonebook: refused", source)
        return refused(request)
    return _stored(request, bytes(found.content or b""), found.etag)


def _stored(request: HttpRequest, content: bytes, etag: str) -> HttpResponse:
    """XML that proves nothing, whole or by its ETag."""
    tag = f'"{etag}"'
    if matches(request.headers.get("If-None-Match", ""), tag):
        response = HttpResponse(status=304)
    else:
        response = HttpResponse(b"" if request.method == "HEAD" else content, content_type="text/xml")
        response.headers["Content-Length"] = str(len(content))
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "no-store"
    return response


def refused(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """The one refusal, for unknown, denied, expired and malformed alike."""
    return _plain("not found\n", 404)


def failed(request: HttpRequest) -> HttpResponse:
    """What a fault of ours looks like from outside; the log has the reason, without the path."""
    return _plain("try again later\n", 503)


def _unreadable(path: str) -> str:
    """A bounded, printable hint at a path that no phone asks for; nothing of what may hold a secret."""
    return "something below /p/" if path.startswith("p/") else repr(path[:60])


def _plain(text: str, status: int) -> HttpResponse:
    """A short answer with an exact Content-Length: phones do not all read chunks."""
    response = HttpResponse(text, status=status, content_type="text/plain")
    response.headers["Content-Length"] = str(len(response.content))
    return response


def source_host(request: HttpRequest) -> str:
    """Who asks: the peer or, if that is a trusted proxy, the last address that the proxy vouches for."""
    peer = networks.plain_host(request.META.get("REMOTE_ADDR", ""))
    trusted = settings.GSPNP_TRUSTED_PROXIES
    if trusted and networks.within(peer, trusted):
        for hop in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
            hop = networks.plain_host(hop.strip())
            try:
                ipaddress.ip_address(hop)
            except ValueError:
                break
            if not networks.within(hop, trusted):
                return hop
    return peer


def healthz(request: HttpRequest) -> HttpResponse:
    """200 if this process can read the database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return _plain("ok\n", 200)
