"""One makes what many ask for at the same moment: open lists all fetch their rows when a phone changes.

It stands in front of Django: a request costs there a thread, the whole middleware and its look-ups, and fifty at a time
keep the event loop, which tells those pages what happens, from its turn. Requests that would be answered alike are
answered by one of them, begun after all of them came, so nobody sees less than if it had asked alone. Alike are those
that say the same but for the person, whose sessions are read anew each time, once for all who ask, and who may do the
same and have the same columns. Whoever is not known to be one of many goes the usual way, and so does who must be
refused.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable, MutableMapping
from functools import cache, cached_property
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.core.signals import request_started
from django.http import HttpRequest
from django.http.cookie import parse_cookie
from django.urls import reverse, set_script_prefix

from gspnp.console import columns, standing, zone

MADE_AT_ONCE = 2  # in a process; our choice: one that takes long does not hold up all others
REST_SECONDS = 2.0  # at most, after one was made: a database that hung for a minute is no reason to wait another one
# What a request says of its person, its browser or its way here. Everything else that it says must be the same.
PERSONAL = frozenset((
    b"cookie", b"user-agent", b"referer", b"origin", b"x-csrftoken", b"x-request-id", b"x-forwarded-for", b"x-real-ip",
    b"accept", b"cache-control", b"pragma", b"priority", b"connection", b"dnt",
))  # fmt: skip
PERSONAL_PREFIX = b"sec-"
_MADE_FOR = "gspnp.made_for"

Message = MutableMapping[str, Any]
Application = Callable[[Any, Any, Any], Awaitable[None]]


class Reader(NamedTuple):
    """All that the list depends on of the person who reads it."""

    may_change: bool
    may_forget: bool
    columns: tuple[str, ...] | None  # of their own; else the usual ones


def read(keys: Iterable[str]) -> dict[str, Reader]:
    """Who reads in each of these sessions, for those who may see the list; from the database as it is now. A session
    that is to be written first is Django's."""
    viewers = {key: one for key, one in standing.read(keys).items() if one.may_view and one.has_times}
    own = columns.own_of({one.user_id for one in viewers.values()})
    return {key: Reader(one.may_change, one.may_forget, own.get(one.user_id)) for key, one in viewers.items()}


_read = database_sync_to_async(read, thread_sensitive=False)


def made_for(request: HttpRequest, reader: Reader) -> None:
    """The view says for whom its answer was made: nobody else gets it, whatever was known of this person before."""
    made = getattr(request, "scope", {}).get(_MADE_FOR)
    if made is not None:
        made.append(reader)


class Sharing:
    """ASGI middleware for the address of one view, which says `made_for`."""

    def __init__(self, app: Application, route: str) -> None:
        self._app, self._route = app, route
        self._rounds: WeakKeyDictionary[asyncio.AbstractEventLoop, _Rounds] = WeakKeyDictionary()

    @cached_property
    def _path(self) -> str:
        return reverse(self._route)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer with what is made for all who ask for the same, or as Django does."""
        answer = None
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == self._path:
            answer = await self._shared(scope)
        if answer is None:
            await self._app(scope, receive, send)
            return
        for message in answer:
            await send(message)

    async def _shared(self, scope: Any) -> list[Message] | None:
        cookies = _cookies(scope)
        session = cookies.get(settings.SESSION_COOKIE_NAME)
        if not session:
            return None
        rounds = self._rounds.setdefault(asyncio.get_running_loop(), _Rounds())
        try:
            reader = await rounds.readers.of(session)
        except Exception:  # a database that fails is answered for by Django
            return None
        if reader is None:
            return None
        said = (
            scope.get("scheme"), scope["query_string"],
            cookies.get(settings.LANGUAGE_COOKIE_NAME), cookies.get(zone.COOKIE),
            *sorted(one for one in scope["headers"] if not _is_personal(one[0])),
        )  # fmt: skip
        return await rounds.answer((reader, said), reader, scope)


def _cookies(scope: Any) -> dict[str, str]:
    return parse_cookie("; ".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"cookie"))


def _is_personal(name: bytes) -> bool:
    return name in PERSONAL or name.startswith(PERSONAL_PREFIX)


class _Rounds:
    """What is asked for in one event loop: of each kind one is made at a time, and one waits."""

    def __init__(self) -> None:
        self.readers: standing.Gathering[Reader] = standing.Gathering(lambda keys: _read(keys))
        self._room = asyncio.Semaphore(MADE_AT_ONCE)
        self._asked: dict[Hashable, asyncio.Task[list[Message] | None]] = {}
        self._made: dict[Hashable, asyncio.Event] = {}

    async def answer(self, kind: Hashable, reader: Reader, scope: Any) -> list[Message] | None:
        """What Django says to this request or to one of its kind, begun after this call; None if each must ask for
        itself."""
        asked = self._asked.get(kind)
        if asked is None:
            asked = self._asked[kind] = asyncio.get_running_loop().create_task(self._make(kind, reader, scope))
        return await asyncio.shield(asked)  # who goes away takes it from nobody

    async def _make(self, kind: Hashable, reader: Reader, scope: Any) -> list[Message] | None:
        if kind in self._made:
            await self._made[kind].wait()
        async with self._room:
            made = self._made[kind] = asyncio.Event()
            del self._asked[kind]  # whoever asks from now on gets the next one
            begun = time.monotonic()
            try:
                return await self._of_django(reader, scope)
            finally:
                rest = min(time.monotonic() - begun, REST_SECONDS)
                asyncio.get_running_loop().call_later(rest, self._go_on, kind, made)

    def _go_on(self, kind: Hashable, made: asyncio.Event) -> None:
        """The next one of this kind may be begun: it was left alone for as long as the last one took, or longest."""
        made.set()
        del self._made[kind]

    async def _of_django(self, reader: Reader, scope: Any) -> list[Message] | None:
        """Its answer, if that may be given to others: made for such a reader, a page, and without a cookie."""
        made: list[Reader] = []
        try:
            response = await _respond({**scope, _MADE_FOR: made})
        except Exception:  # so does each who asks, and is answered for it
            return None
        if response.status_code != 200 or made != [reader] or response.cookies:
            return None
        headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in response.items()]
        return [
            {"type": "http.response.start", "status": 200, "headers": headers},
            {"type": "http.response.body", "body": response.content},
        ]


class _InOneThread(BaseHandler):
    """Django with all its middleware as a plain call. Its ASGI handler goes from a thread to the event loop and back
    for each middleware and waits there for its turn each time: far longer than the work takes, while the loop tells
    fifty pages something."""

    def __init__(self) -> None:
        super().__init__()
        self.load_middleware()

    def __call__(self, scope: Any) -> Any:
        set_script_prefix(get_script_prefix(scope))
        request_started.send(sender=type(self), scope=scope)
        response = self.get_response(ASGIRequest(scope, io.BytesIO()))
        response.close()  # it sends request_finished
        return response


@cache
def _handler() -> _InOneThread:
    return _InOneThread()


_respond = database_sync_to_async(lambda scope: _handler()(scope), thread_sensitive=False)
