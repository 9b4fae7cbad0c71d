"""Three ready-made groups of Django: what each may do, in words for people and as permissions.

They are made where they are missing, whenever the database is brought up to date; a group that is there is an
operator's, and is left as it is. Looking at passwords, and the affairs of users, are for administrators only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.db.models import Q
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

APPS = ("devices", "provisioning", "sipmcast")
CHANGED = ("devices.phone", "devices.account", "devices.key", "devices.extension", "provisioning.contact")
OF_USERS = ("auth.user", "auth.group")
AUDIT = "console.view_change"
REVEAL = "devices.reveal_secret"


@dataclass(frozen=True)
class Role:
    """A ready-made group: its name is stored and the same in every language, the words are not."""

    name: str
    words: Promise
    may: tuple[Promise, ...]


VIEWER, TECHNICIAN, ADMINISTRATOR = "Viewer", "Technician", "Administrator"
ROLES = (
    Role(
        VIEWER,
        _("looks on"),
        (_("sees phones, extensions, settings, jobs, firmware, phonebooks and what happened"), _("changes nothing")),
    ),
    Role(
        TECHNICIAN,
        _("puts phones to work"),
        (
            _("all that a viewer may"),
            _("assigns, swaps, restarts and forgets phones; imports, orders and jobs"),
            _("changes extensions, layers, firmware paths, phonebooks and contacts"),
            _("sees no password"),
        ),
    ),
    Role(
        ADMINISTRATOR,
        _("answers for it"),
        (
            _("all that a technician may"),
            _("looks at passwords; each look is on record"),
            _("makes and unlocks users, and says what they may do"),
            _("reads the list of all changes"),
        ),
    ),
)


def permissions_of(role: str) -> set[str]:
    """`app.codename` of what a ready-made group begins with."""
    names = {f"{model._meta.app_label}.view_{model._meta.model_name}" for app in APPS for model in _models(app)}
    if role == VIEWER:
        return names
    names |= _all_of(CHANGED)
    if role == TECHNICIAN:
        return names
    return names | _all_of(OF_USERS) | {REVEAL, AUDIT}


def smallest_with(permission: str) -> str:
    """The ready-made group that may the least of those that have this permission now; empty if none has."""
    app, codename = permission.split(".")
    having = Group.objects.filter(permissions__content_type__app_label=app, permissions__codename=codename)
    names = set(having.filter(name__in=[role.name for role in ROLES]).values_list("name", flat=True))
    return next((role.name for role in ROLES if role.name in names), "")


def _models(app: str) -> Iterable[Any]:
    return apps.get_app_config(app).get_models()


def _all_of(models: Iterable[str]) -> set[str]:
    split = (name.split(".") for name in models)
    return {f"{app}.{verb}_{model}" for app, model in split for verb in ("view", "add", "change", "delete")}


def make_missing(using: str = "default", **_: object) -> None:
    """Called when migrations have run (`post_migrate`): all permissions are there then."""
    for role in ROLES:
        if Group.objects.using(using).filter(name=role.name).exists():
            continue
        with transaction.atomic(using=using):  # a group without its permissions would be taken for an operator's
            group = Group.objects.using(using).create(name=role.name)
            wanted = Q()
            for name in permissions_of(role.name):
                app, codename = name.split(".")
                wanted |= Q(content_type__app_label=app, codename=codename)
            group.permissions.set(Permission.objects.using(using).filter(wanted))
