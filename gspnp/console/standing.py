"""Whether those who are connected may still be told something: read anew for every message, once for all of them.

A message goes to all browsers of a process at the same moment, so their questions are gathered and answered with a
handful of look-ups, however many they are. Nothing is remembered from one message to the next: who signed out, was
deactivated, changed the password or lost the permission is told nothing more; nor is who must choose a password first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.sessions.models import Session
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from gspnp.console import sessions
from gspnp.console.access import CHANGE, VIEW

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


@dataclass(frozen=True)
class Standing:
    """What one session may: None in `user` if nobody is signed in with it."""

    user: str | None = None
    may_view: bool = False
    may_change: bool = False


NOBODY = Standing()


def read(keys: Iterable[str]) -> dict[str, Standing]:
    """The standing of each of these sessions, from the database as it is now."""
    now = timezone.now()
    rows = Session.objects.filter(session_key__in=set(keys), expire_date__gt=now)
    open_ones = {row.session_key: _decoded(row) for row in rows}
    ids = {_user_id(data) for data in open_ones.values()} - {None}
    users = get_user_model()._default_manager.filter(is_active=True, temporary_password=None).in_bulk(ids)
    staff = [pk for pk, user in users.items() if user.is_staff]
    viewers, changers = _holders(VIEW, staff), _holders(CHANGE, staff)
    found = {}
    for key, data in open_ones.items():
        user = users.get(_user_id(data))
        if user is not None and _is_signed_in(data, user) and not sessions.is_over(data, int(now.timestamp())):
            found[key] = Standing(user.get_username(), user.pk in viewers, user.pk in changers)
    return found


def _decoded(row: Session) -> Mapping[str, Any]:
    return row.get_decoded()


def _user_id(data: Mapping[str, Any]) -> int | None:
    try:
        return int(data[SESSION_KEY])
    except (KeyError, TypeError, ValueError):
        return None


def _is_signed_in(data: Mapping[str, Any], user: Any) -> bool:
    """As django.contrib.auth.get_user says it: by our way to sign in, with the password that is still the user's."""
    said = data.get(HASH_SESSION_KEY)
    return (
        data.get(BACKEND_SESSION_KEY) == MODEL_BACKEND
        and isinstance(said, str)
        and constant_time_compare(said, user.get_session_auth_hash())
    )


def _holders(permission: str, users: list[int]) -> set[int]:
    """Who of these has this permission; superusers have all."""
    if not users:
        return set()
    holders = get_user_model()._default_manager.with_perm(permission, backend=MODEL_BACKEND)
    return set(holders.filter(pk__in=users).values_list("pk", flat=True))


class Gathering:
    """Questions of one event loop: those that come while nobody reads are answered by one reading."""

    def __init__(self) -> None:
        self._asked: dict[str, asyncio.Future[Standing]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def of(self, key: str) -> Standing:
        """The standing of this session, read after this call. Raises what the database raises."""
        future = self._asked.get(key)
        if future is None:
            future = self._asked[key] = asyncio.get_running_loop().create_future()
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._read())
        return await asyncio.shield(future)

    async def _read(self) -> None:
        while self._asked:
            await asyncio.sleep(0)  # the others who got the same message ask too
            asked, self._asked = self._asked, {}
            try:
                found = await _read(list(asked))
            except Exception as error:
                for future in asked.values():
                    future.set_exception(error)
                    future.exception()  # whoever asked may have gone meanwhile
            else:
                for key, future in asked.items():
                    future.set_result(found.get(key, NOBODY))


_read = database_sync_to_async(read, thread_sensitive=False)
_gatherings: WeakKeyDictionary[asyncio.AbstractEventLoop, Gathering] = WeakKeyDictionary()


async def of(key: str | None) -> Standing:
    """The standing of this session now."""
    if not key:
        return NOBODY
    return await _gatherings.setdefault(asyncio.get_running_loop(), Gathering()).of(key)
