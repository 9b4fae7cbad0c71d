"""The use case "assign", readable from top to bottom: decide, render, store, owe a NOTIFY.

Console, admin, CLI and API all call `save`. It renders and encrypts before any lock is taken; if rendering fails the
save fails, and the technician reads why.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from devices import inventory
from devices.catalog import MODELS, PhoneModel
from devices.choices import Stage
from devices.crypto import CannotDecrypt
from devices.mac import colons
from devices.models import Phone
from provisioning import outbox, plan, rendering
from provisioning.gxp.config import ConfigError
from provisioning.jobs import runner
from provisioning.layers import store
from provisioning.models import ConfigFile, Notify, NotifyOrigin, SettingsLayer
from provisioning.rendering import Wanted

log = logging.getLogger(__name__)

ROUNDS = 3  # how often a save is rendered anew because a job was faster

__all__ = ["AssignmentError", "ConfigError", "Saved", "base_url_changed", "heed", "save"]


class AssignmentError(Exception):
    """The assignment cannot be saved as things stand; the text says what to do. VersionConflict is another reason."""


@dataclass(frozen=True)
class Saved:
    """What a save did. `notify` is None if the phone already has exactly this configuration."""

    config_file: ConfigFile
    notify: Notify | None
    changed: bool


def save(
    phone: Phone,
    draft: plan.Draft,
    *,
    by: str,
    seen_host: str | None,
    own: Mapping[str, str | None] | None = None,
    templates: Sequence[SettingsLayer] | None = None,
    why: str = "Saved.",
) -> Saved:
    """Give this phone this assignment; `phone` is as the technician saw it, `seen_host` the address shown then.

    `own` are the values of the phone's own layer and `templates` its templates, where they are to change. Raises
    AssignmentError, ConfigError (with a field path for each problem) or inventory.VersionConflict. Nothing is written
    if anything is raised.
    """
    model = _configurable(phone)
    if phone.source_host != seen_host:
        words = gettext("This phone has moved from %(old)s to %(new)s. Check that it is the same phone and save again.")
        raise AssignmentError(words % {"old": seen_host or gettext("an unknown address"), "new": phone.source_host})
    order = _Order(phone, model, draft, by, why, own, templates)
    for _ in range(ROUNDS):
        # Read before the layers: a job that gives it a newer version meanwhile may have had newer layers.
        current = outbox.current_file(phone.pk)
        try:
            return _save(order, current)
        except _NewerFile:
            continue
    raise AssignmentError(gettext("This phone was given a new file at the same moment, three times over. Save again."))


class _NewerFile(Exception):
    """A job gave the phone another version since it was read."""


@dataclass(frozen=True)
class _Order:
    """What somebody wants saved."""

    phone: Phone
    model: PhoneModel
    draft: plan.Draft = field(repr=False)
    by: str
    why: str
    own: Mapping[str, str | None] | None = field(repr=False)
    templates: Sequence[SettingsLayer] | None


def _save(order: _Order, current: ConfigFile | None) -> Saved:
    phone, draft, by = order.phone, order.draft, order.by
    layers = rendering.with_passwords(store.chosen(phone, order.own, order.templates), order.model)
    base = plan.base_url(phone.local_host)
    wanted = Wanted(phone, order.model, draft, layers, base, **rendering.switched_on(phone))
    anew = not phone.is_assigned or not _same_rows(phone, draft)
    config_file = rendering.next_version(wanted, current, by=by, why=order.why, anew=anew)
    if config_file is None:
        assert current is not None  # only what is there can be the same
        rendering.note_step(wanted, current)
        if order.own is not None or order.templates is not None:
            with transaction.atomic():
                _still_newest(phone, current)
                inventory.count_save(phone)
                store.keep(phone, wanted.own, order.templates, by)
        return _same_again(phone, current, by)
    with transaction.atomic():
        _still_newest(phone, current)
        inventory.assign(
            phone,
            plan.account_rows(phone, draft.accounts),
            plan.key_rows(phone, draft.keys),
            approved_host=phone.source_host,
            by=by,
        )
        store.keep(phone, wanted.own, order.templates, by)
        config_file.number = current.number + 1 if current else 1
        config_file.created_at = timezone.now()
        config_file.save(force_insert=True)
        notify = outbox.enqueue(config_file, NotifyOrigin.SAVE, config_file.created_at)
    log.info("%s: version %d saved by %s", colons(phone.mac), config_file.number, by)
    return Saved(config_file, notify, changed=True)


def _still_newest(phone: Phone, current: ConfigFile | None) -> None:
    """Lock the phone; raises _NewerFile if a job has given it another version than that."""
    outbox.lock_phones([phone.pk])
    newest = outbox.current_file(phone.pk)
    if (newest and newest.pk) != (current and current.pk):
        raise _NewerFile


def _configurable(phone: Phone) -> PhoneModel:
    if phone.known_model is None:
        known = ", ".join(MODELS)
        if not phone.model:
            raise AssignmentError(gettext("This model cannot be configured; gspnp knows %(known)s.") % {"known": known})
        words = gettext("%(model)s cannot be configured; gspnp knows %(known)s.")
        raise AssignmentError(words % {"model": phone.model, "known": known})
    if phone.local_host is None:
        raise AssignmentError(
            gettext("This phone has not been heard yet, so no address is known that it could fetch from.")
        )
    return phone.known_model


def _same_rows(phone: Phone, draft: plan.Draft) -> bool:
    """What the file does not show (a blank authentication id, say) is a change too: it must be stored."""
    try:
        return draft.in_order() == plan.draft_of(phone).in_order()
    except CannotDecrypt:
        return False  # a new version is the way out of a lost key


def _same_again(phone: Phone, current: ConfigFile, by: str) -> Saved:
    """Nothing new to tell a phone that has fetched this version; one that has not is asked once more."""
    if current.fetched_at is not None:
        return Saved(current, None, changed=False)
    return Saved(current, outbox.notify_again(phone.pk, by, phone.source_host, at_once=False), changed=False)


def heed(phone_id: int, by: str) -> bool:
    """Stop ignoring a phone: it goes on where it had come to, and is notified when it starts up and needs it."""
    current = outbox.current_file(phone_id)
    if current is None:
        stage = Stage.SEEN
    elif current.applied_at is not None:
        stage = Stage.APPLIED
    else:
        stage = Stage.ASSIGNED if current.fetched_at is None else Stage.FETCHED
    heeded = inventory.heed(phone_id, stage, by)
    if heeded and current is not None:
        # What its layers said while it was ignored has not reached its file.
        runner.start("A phone is not ignored any more", {"phones": [phone_id]}, by=by)
    return heeded


def base_url_changed(local_host: str | None, base_url: str) -> str | None:
    """The address under which this server is reached now, if a file still names another."""
    now = plan.base_url(local_host)
    return now if now != base_url else None
