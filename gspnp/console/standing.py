"""Whether those who are connected may still be told something: read anew for every message, once for all of them.

A message goes to all browsers of a process at the same moment, so their questions are gathered and answered with a
handful of look-ups, however many they are. Nothing is remembered from one message to the next: who signed out, was
deactivated, changed the password or lost the permission is told nothing more; nor is who must choose a password first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.auth.models import AbstractUser, Permission
from django.contrib.sessions.models import Session
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from gspnp.console import sessions
from gspnp.console.access import CHANGE, FORGET, VIEW

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


@dataclass(frozen=True)
class Standing:
    """What one session may: None in `user` if nobody is signed in with it."""

    user: str | None = None
    may_view: bool = False
    may_change: bool = False
    may_forget: bool = False
    user_id: int = 0
    has_times: bool = False
    """Whether the session says when it began (sessions.py): one from before an upgrade is yet to be told."""


NOBODY = Standing()


def read(keys: Iterable[str]) -> dict[str, Standing]:
    """The standing of each of these sessions, from the database as it is now."""
    now = timezone.now()
    # Anybody's text: one that PostgreSQL refuses would be the failure of all who ask at this moment.
    askable = {key for key in keys if "\0" not in key}
    rows = Session.objects.filter(session_key__in=askable, expire_date__gt=now)
    open_ones = {row.session_key: _decoded(row) for row in rows}
    ids = {_user_id(data) for data in open_ones.values()} - {None}
    users = get_user_model()._default_manager.filter(is_active=True, temporary_password=None).in_bulk(ids)
    staff = [user for user in users.values() if user.is_staff]
    holding = holders(staff, VIEW, CHANGE, FORGET)
    found = {}
    for key, data in open_ones.items():
        user = users.get(_user_id(data))
        if user is not None and _is_signed_in(data, user) and not sessions.is_over(data, int(now.timestamp())):
            may = {permission: user.pk in who for permission, who in holding.items()}
            found[key] = Standing(
                user.get_username(), may[VIEW], may[CHANGE], may[FORGET], user.pk, sessions.BEGAN in data
            )
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


def holders(users: Iterable[AbstractUser], *permissions: str) -> dict[str, set[int]]:
    """Who of these, who are active, has which of these permissions, as Django's ModelBackend says it: superusers have
    all, others their own and those of their groups. Two short look-ups, none if all are superusers."""
    found: dict[str, set[int]] = {permission: set() for permission in permissions}
    others = []
    for user in users:
        if not user.is_superuser:
            others.append(user.pk)
            continue
        for has in found.values():
            has.add(user.pk)
    if not others:
        return found
    wanted = Q()
    for app, codename in (permission.split(".", 1) for permission in permissions):
        wanted |= Q(content_type__app_label=app, codename=codename)
    for path in ("user", "group__user"):
        rows = Permission.objects.filter(wanted, **{f"{path}__in": others})
        for app, codename, user_id in rows.order_by().values_list("content_type__app_label", "codename", path):
            found[f"{app}.{codename}"].add(user_id)
    return found


Found = TypeVar("Found")


class Gathering(Generic[Found]):
    """Questions of one event loop: those that come while nobody reads are answered by one reading."""

    def __init__(self, read: Callable[[list[str]], Awaitable[Mapping[str, Found]]]) -> None:
        self._read_all = read
        self._asked: dict[str, asyncio.Future[Found | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def of(self, key: str) -> Found | None:
        """What there is of this session, read after this call. Raises what the database raises."""
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
                found = await self._read_all(list(asked))
            except Exception as error:
                for future in asked.values():
                    future.set_exception(error)
                    future.exception()  # whoever asked may have gone meanwhile
            else:
                for key, future in asked.items():
                    future.set_result(found.get(key))


_read = database_sync_to_async(read, thread_sensitive=False)
_gatherings: WeakKeyDictionary[asyncio.AbstractEventLoop, Gathering[Standing]] = WeakKeyDictionary()


async def of(key: str | None) -> Standing:
    """The standing of this session now."""
    if not key:
        return NOBODY
    gathering = _gatherings.setdefault(asyncio.get_running_loop(), Gathering(lambda keys: _read(keys)))
    return await gathering.of(key) or NOBODY
