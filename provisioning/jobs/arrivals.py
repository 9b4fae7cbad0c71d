"""Phones that were assigned before they were heard, and are here now: their first files, and the NOTIFYs that they owe.

The listener only writes down that a phone is here. Any number of workers ask for such phones twice a second; each
renders outside any transaction, and stores what is still wanted in short ones. Nothing is done twice, and nothing is
lost if a worker dies: the phone still awaits its file. Nobody saw the address: the NOTIFY leaves by the rule for
unattended ones (design 5.2).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.db import transaction
from django.db.models import Count, Sum
from django.utils import timezone

from devices import batch, inventory
from devices.catalog import MODELS
from devices.choices import OUT_OF_SIGHT
from devices.crypto import CannotDecrypt
from devices.mac import colons
from devices.models import Phone
from provisioning import outbox, plan, rendering
from provisioning.gxp.config import ConfigError
from provisioning.importing.models import UNSETTLED, ImportRow, RowState
from provisioning.jobs.alive import AWAY
from provisioning.jobs.ours import BY
from provisioning.jobs.rerender import OUR_FAULT, STORED_AT_ONCE, UNREADABLE, Made, insert_versions, owe_notifies
from provisioning.layers import stack, store
from provisioning.models import Notify, NotifyOrigin, NotifyState, SettingsLayer
from provisioning.rendering import Wanted

log = logging.getLogger(__name__)

CHUNK = 100  # phones read at once
WHY = "It was plugged in."
MADE = "Its file was made: it is here now."
CLOSED = f"{UNREADABLE} Then open it and save."

Reasons = dict[int, tuple[int, str]]  # phone -> (the version of its row, why no file can be made for it)


def provide() -> int:
    """Make the files of at most CHUNK phones that have arrived, the first ones first; how many were looked at."""
    here = Phone.objects.filter(awaits_file=True, first_seen_at__isnull=False)
    # Those of an import that is not complete are told nothing; it may be taken back yet.
    here = here.exclude(mac__in=ImportRow.objects.filter(of__state__in=UNSETTLED, state=RowState.DONE).values("mac"))
    # Not "is assigned": the index over all assigned phones would be taken, of which thousands may wait in their boxes.
    waiting = here.exclude(stage__in=OUT_OF_SIGHT)
    ids = list(waiting.order_by("first_seen_at", "pk").values_list("pk", flat=True)[:CHUNK])
    if ids:
        reasons: Reasons = {}
        layers = _state_of_layers()
        made = _rendered(ids, reasons)
        for bite in batch.bites(made, STORED_AT_ONCE):
            _store_each(bite, layers, reasons)
        if reasons:
            inventory.cannot_be_made(reasons, timezone.now())
    return len(ids)


def _state_of_layers() -> tuple[int, int]:
    """Changes with every change of a layer that several phones share. A job for such a change passes over phones that
    have no file yet."""
    shared = SettingsLayer.objects.filter(phone=None).order_by().aggregate(Count("pk"), Sum("version"))
    return shared["pk__count"], shared["version__sum"] or 0


def _rendered(phone_ids: Sequence[int], reasons: Reasons) -> list[Made]:
    """First versions, not stored yet; who cannot have one is noted with its reason.

    The rows are read first: whoever saves a phone afterwards is found out when its file is stored.
    """
    made = []
    try:
        phones = list(Phone.objects.filter(pk__in=phone_ids).prefetch_related("accounts", "keys").order_by("pk"))
        ready = [phone for phone in phones if _is_as_listed(phone, reasons)]
        layers, switched = stack.stacks(ready), rendering.switched_on_of(ready)
    except CannotDecrypt:
        if len(phone_ids) > 1:  # one of them cannot be read; the others can
            return [one for phone_id in phone_ids for one in _rendered([phone_id], reasons)]
        version = Phone.objects.filter(pk__in=phone_ids).values_list("pk", "version")
        reasons.update({pk: (number, CLOSED) for pk, number in version})
        return []
    for phone in ready:
        try:
            made.append(_first(phone, layers[phone.pk], switched[phone.pk]))
        except ConfigError as error:
            reasons[phone.pk] = phone.version, f"Its file cannot be made. {error.problems[0].message} Open it and save."
        except CannotDecrypt:
            reasons[phone.pk] = phone.version, CLOSED
        except Exception:  # a fault of ours with one phone must not keep the others from their files
            log.exception("%s: its first file cannot be made", colons(phone.mac))
            reasons[phone.pk] = phone.version, OUR_FAULT
    return made


def _is_as_listed(phone: Phone, reasons: Reasons) -> bool:
    """Whether it is the model that its assignment was checked for; a person decides about another one."""
    known = phone.known_model
    if known is not None and known.name == phone.listed_as and phone.local_host is not None:
        return True
    said = phone.model or "phone that does not name its model"
    if known is None:
        why = f"It is a {said}, listed as {phone.listed_as}, and gspnp makes files for {', '.join(MODELS)} only."
    elif known.name != phone.listed_as:
        why = f"It is a {said}, listed as {phone.listed_as}: open it, look at its keys, and save to accept."
    else:
        why = "Our address towards it is not known. Switch it off and on, open it and save."
    reasons[phone.pk] = phone.version, why
    return False


def _first(phone: Phone, layers: stack.Stack, switched: rendering.SwitchedOn) -> Made:
    assert phone.known_model is not None
    complete = rendering.with_passwords(layers, phone.known_model)
    wanted = Wanted(
        phone, phone.known_model, plan.draft_of(phone), complete, plan.base_url(phone.local_host), **switched
    )
    version = rendering.next_version(wanted, None, by=BY, why=WHY, anew=True)
    assert version is not None  # there is none that it could be the same as
    version.number = 1
    return Made(version, None if complete is layers else wanted.own)


def _store_each(made: Sequence[Made], layers: tuple[int, int], reasons: Reasons) -> None:
    """Store them together, or one by one if that fails: whose rows are broken is noted, and takes no other along."""
    try:
        _store(made, layers)
    except AWAY:
        raise
    except Exception:
        if len(made) > 1:
            for one in made:
                _store_each([one], layers, reasons)
            return
        phone = made[0].version.phone
        log.exception("%s: its first file cannot be stored", colons(phone.mac))
        reasons[phone.pk] = phone.version, OUR_FAULT


def _store(made: Sequence[Made], layers: tuple[int, int]) -> None:
    """Store files and owe their NOTIFYs, for those phones that are still what they were made from. If a layer has
    changed meanwhile nothing is stored, and all of them are made anew."""
    now = timezone.now()
    with transaction.atomic():
        outbox.lock_phones(one.version.phone_id for one in made)
        if _state_of_layers() != layers:
            return
        there = inventory.file_made({one.version.phone_id: one.version.phone.version for one in made}, MADE, now)
        good = [one for one in made if one.version.phone_id in there]
        for one in good:
            one.version.created_at = now
        ids = insert_versions([one.version for one in good])
        for one in good:
            if one.own is not None:
                store.keep(one.version.phone, one.own, None, BY)
        like = Notify(origin=NotifyOrigin.AUTOMATIC, state=NotifyState.WAITING, created_at=now, next_at=now)
        owe_notifies(like, [(phone_id, version_id, now) for phone_id, version_id in ids.items()])
    log.info("%d phones that were plugged in have their files", len(good))
