"""Who changed the directory, and who took it away with its secrets: entries of the admin's history, never a secret."""

from __future__ import annotations

import logging

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest

from devices.directory import TEXTS, Entry
from devices.models import Extension

log = logging.getLogger(__name__)
WORDS = 200


def added(request: HttpRequest, pk: int, entry: Entry) -> None:
    """A new extension."""
    _note(request, pk, f"{entry.number} {entry.name}", ADDITION, "")


def changed(request: HttpRequest, stored: Extension, entry: Entry) -> None:
    """Which fields of it are others now."""
    names = [name for name in ("number", "site", *TEXTS) if getattr(stored, name) != getattr(entry, name)]
    if entry.secret is not None:
        names.append("secret")
    _note(request, stored.pk, str(stored), CHANGE, f"Changed: {', '.join(names)}." if names else "Nothing changed.")


def deleted(request: HttpRequest, stored: Extension) -> None:
    """It is gone."""
    _note(request, stored.pk, str(stored), DELETION, "")


def many(request: HttpRequest, flag: int, words: str) -> None:
    """Something with many extensions at once."""
    _note(request, None, "Extensions", flag, words)


def _note(request: HttpRequest, pk: int | None, name: str, flag: int, words: str) -> None:
    LogEntry.objects.create(
        user_id=request.user.pk or 0,  # signed in: the pages see to it
        content_type=ContentType.objects.get_for_model(Extension),
        object_id=None if pk is None else str(pk),
        object_repr=name[:WORDS],
        action_flag=flag,
        change_message=words,
    )
    log.info("extensions: %s by %s: %s", name, request.user.get_username(), words or flag)
