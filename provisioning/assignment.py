"""The use case "assign", readable from top to bottom: decide, render, store, owe a NOTIFY.

Console, admin, CLI and API all call `save`. It renders and encrypts before any lock is taken; if rendering fails the
save fails, and the technician reads why.
"""

import hashlib
import logging
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from devices import inventory
from devices.catalog import MODELS, PhoneModel
from devices.choices import Stage
from devices.crypto import CannotDecrypt
from devices.mac import colons
from devices.models import Phone
from provisioning import outbox, plan
from provisioning.gxp.config import ConfigError, DeviceConfig
from provisioning.gxp.document import render
from provisioning.gxp.hearing import silent_because
from provisioning.models import ConfigFile, Notify, NotifyOrigin

log = logging.getLogger(__name__)

__all__ = ["AssignmentError", "ConfigError", "Saved", "base_url_changed", "heed", "save"]


class AssignmentError(Exception):
    """The assignment cannot be saved as things stand; the text says what to do. VersionConflict is another reason."""


@dataclass(frozen=True)
class Saved:
    """What a save did. `notify` is None if the phone already has exactly this configuration."""

    config_file: ConfigFile
    notify: Notify | None
    changed: bool


def save(phone: Phone, draft: plan.Draft, *, by: str, seen_host: str | None) -> Saved:
    """Give this phone this assignment; `phone` is as the technician saw it, `seen_host` the address shown then.

    Raises AssignmentError, ConfigError (with a field path for each problem) or inventory.VersionConflict. Nothing is
    written if anything is raised.
    """
    model = _configurable(phone)
    if phone.source_host != seen_host:
        raise AssignmentError(
            f"This phone has moved from {seen_host or 'an unknown address'} to {phone.source_host}. "
            "Check that it is the same phone and save again."
        )
    base = plan.base_url(phone.local_host)
    current = outbox.current_file(phone.pk)
    if current is not None and phone.is_assigned and _unchanged(phone, model, draft, base, current):
        return _same_again(phone, current, by)
    config_file = _render(phone, model, draft, base)
    with transaction.atomic():
        inventory.assign(
            phone,
            plan.account_rows(phone, draft.accounts),
            plan.key_rows(phone, draft.keys),
            approved_host=seen_host,
            by=by,
        )
        newest = outbox.current_file(phone.pk)
        config_file.number = newest.number + 1 if newest else 1
        config_file.created_at = timezone.now()
        config_file.save(force_insert=True)
        notify = outbox.enqueue(config_file, NotifyOrigin.SAVE, config_file.created_at)
    log.info("%s: version %d saved by %s", colons(phone.mac), config_file.number, by)
    return Saved(config_file, notify, changed=True)


def _render(phone: Phone, model: PhoneModel, draft: plan.Draft, base: str) -> ConfigFile:
    """A new version under two fresh paths, not stored yet and without its number. Raises ConfigError."""
    steady_secret, first_secret = plan.fresh_secret(), plan.fresh_secret()
    content = render(plan.device_config(phone, model, draft, base, steady_secret))
    return ConfigFile(
        phone=phone,
        content=content,
        etag=_etag(content),
        base_url=base,
        silent_because=silent_because(content),
        first_secret=first_secret,
        first_hash=hash_of(first_secret),
        steady_secret=steady_secret,
        steady_hash=hash_of(steady_secret),
    )


def _configurable(phone: Phone) -> PhoneModel:
    if phone.known_model is None:
        known = ", ".join(MODELS)
        raise AssignmentError(f"{phone.model or 'This model'} cannot be configured; gspnp knows {known}.")
    if phone.local_host is None:
        raise AssignmentError("This phone has not been heard yet, so no address is known that it could fetch from.")
    return phone.known_model


def _unchanged(phone: Phone, model: PhoneModel, draft: plan.Draft, base: str, current: ConfigFile) -> bool:
    """Rendering is deterministic, so the same decision under the same path gives the same bytes."""
    try:
        if draft.in_order() != plan.draft_of(phone).in_order():
            # What the file does not show (a blank authentication id, say) is a change too: it must be stored.
            return False
        config: DeviceConfig = plan.device_config(phone, model, draft, base, current.steady_secret)
        return render(config) == current.content
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
    return inventory.heed(phone_id, stage, by)


def base_url_changed(local_host: str | None, base_url: str) -> str | None:
    """The address under which this server is reached now, if a file still names another."""
    now = plan.base_url(local_host)
    return now if now != base_url else None


def hash_of(secret: str) -> str:
    """How a path is found: its SHA-256; 128 random bits need no salt."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
