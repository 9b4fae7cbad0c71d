"""What was done in the administration to rows that no address names: one that was added, and many by an action."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.core.exceptions import ValidationError
from django.db.models import BigIntegerField, QuerySet
from django.http import HttpRequest
from django.urls import ResolverMatch

from devices.fields import sealed_names
from gspnp.console import snapshots

ACTION_CHARS = 100
CHOSEN, CHOSEN_CHARS = 1_000, 20_000


def added(request: HttpRequest, match: ResolverMatch) -> tuple[dict[str, Any], dict[str, str]]:
    """A row that was added, and what stands in it: the admin's own entry names it."""
    if not (match.url_name or "").endswith("_add"):
        return {}, {}
    entry = LogEntry.objects.filter(user__username=request.user.get_username()).order_by("-pk").first()
    if entry is None or entry.content_type is None:
        return {}, {}
    kind = f"{entry.content_type.app_label}.{entry.content_type.model}"
    row = rows_of(entry.content_type.model_class()).filter(pk=entry.object_id).first()
    after = {} if row is None else snapshots.diff({}, snapshots.of(row))[1]
    return {"kind": kind, "what": entry.object_repr}, after


def chosen(request: HttpRequest, match: ResolverMatch) -> dict[str, str]:
    """What an action of the admin is done to: named beforehand, because it may be gone afterwards."""
    from gspnp.console.admin.bulk import seen_on_the_page  # the administration is made when all apps are there

    page, model = (match.url_name or "").rpartition("_")[2], table_of(match)
    actions = [one for one in request.POST.getlist("action") if one]
    if match.app_names[:1] != ["admin"] or page != "changelist" or model is None or not actions:
        return {}
    said = {"action": " ".join(actions)[:ACTION_CHARS]}
    if request.POST.get("select_across", "").lower() not in ("", "0", "false"):  # as Django's form reads it
        return said | {"chosen": "all"}
    picked = [*request.POST.getlist("_selected_action"), *seen_on_the_page(request.POST.get("seen", ""))]
    rows = rows_of(model).filter(pk__in={pk for one in picked[:CHOSEN] if (pk := key_of(model, one)) is not None})
    names = [snapshots.title(row) for row in rows.order_by("pk")]
    names += [f"and {len(picked) - CHOSEN} more"] if len(picked) > CHOSEN else []
    return said | {"chosen": ", ".join(names)[:CHOSEN_CHARS]}


def table_of(match: ResolverMatch) -> Any:
    """The model that a page of the administration is of; None if it is of none."""
    name = (match.url_name or "").rpartition("_")[0]
    return next((one for one in apps.get_models() if f"{one._meta.app_label}_{one._meta.model_name}" == name), None)


def key_of(model: Any, text: object) -> Any:
    """A primary key, however it is written; None if no row can have it."""
    try:
        key = model._meta.pk.to_python(text)
    except ValidationError:
        return None
    return None if isinstance(key, int) and not 0 < key <= BigIntegerField.MAX_BIGINT else key


def rows_of(model: Any) -> QuerySet[Any]:
    """Without their secrets, which a lost key makes unreadable."""
    rows: QuerySet[Any] = model._default_manager.defer(*sealed_names(model))
    return rows
