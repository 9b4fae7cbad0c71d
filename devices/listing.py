"""Phones that a person lists before they are heard, and takes out when another one replaces them. A part of the
inventory.

A listed phone has a MAC and a model, and nothing that only the network can tell. Its assignment waits until it is
plugged in; what it is to be told is made then, because only then our address towards it is known.
"""

import re
from collections.abc import Mapping
from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils import timezone

from devices import batch, live
from devices.catalog import MODELS, find_model
from devices.choices import OUT_OF_SIGHT, EventKind, Stage
from devices.mac import MacError, parse_mac
from devices.models import Phone

WAITS = "It waits to be plugged in."
SITE_FAULT = "A site is named with at most 40 letters, digits, - and _; change the name."
_SITE = re.compile(r"[A-Za-z0-9_-]{0,40}", re.ASCII)


class CannotList(ValueError):
    """This phone cannot be listed; the text says why, and `field` what of it: `mac`, `model` or `site`."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


def prestage(mac: str, model: str, site: str, by: str) -> Phone:
    """List a phone before it was heard, ready to be assigned. Raises CannotList.

    May be called inside a transaction, which stays usable if this raises.
    """
    phone = to_be_listed(mac, model, site)
    now = timezone.now()
    try:
        with transaction.atomic():
            phone.listed_at = phone.stage_at = now
            phone.save(force_insert=True)
            live.append([live.event(phone, EventKind.SEEN, f"Listed by {by} before it was heard.", now)])
    except IntegrityError:
        there = Phone.objects.filter(mac=phone.mac).first()
        if there is None:
            raise
        state = f", and {there.stage}" if there.stage in OUT_OF_SIGHT else ""
        raise CannotList("mac", f"{there} is listed already{state}. Search for it in the list.") from None
    return phone


def to_be_listed(mac: str, model: str, site: str) -> Phone:
    """The row that `prestage` would store, not stored. Raises CannotList, but not for a MAC that is listed."""
    try:
        digits = parse_mac(mac)
    except MacError as error:
        raise CannotList("mac", str(error)) from error
    known = find_model(model)
    if known is None:
        raise CannotList("model", f"There is no model {model!r}; choose from {', '.join(MODELS)}.")
    if not _SITE.fullmatch(site):
        raise CannotList("site", SITE_FAULT)
    return Phone(mac=digits, model=known.name, listed_as=known.name, site=site)


def file_made(phones: Mapping[int, int], words: str, now: datetime) -> set[int]:
    """These phones are here, and their first files are stored: phone -> the version of the row it was made from.

    Which of them are still what was read. The caller locks them in its own transaction, and stores nothing for others.
    """
    rows = batch.select(Phone, ("pk", "mac", "stage", "version", "awaits_file"), "pk", list(phones), lock=True)
    mine = [
        (pk, mac)
        for pk, mac, stage, version, awaits in rows
        if awaits and stage == Stage.ASSIGNED and version == phones[pk]
    ]
    batch.write(Phone, [pk for pk, _ in mine], awaits_file=False, stage_reason="", stage_at=now)
    kind, stage = EventKind.STAGE.value, Stage.ASSIGNED.value
    live.append_rows([(pk, mac, kind, stage, words[: live.TEXT_CHARS], now) for pk, mac in mine])
    return {pk for pk, _ in mine}


def cannot_be_made(reasons: Mapping[int, tuple[int, str]], now: datetime) -> int:
    """These phones are here, and no file can be made for them until a person saves anew: phone -> (the version of the
    row, why). For how many that is news."""
    with transaction.atomic():
        rows = batch.select(Phone, ("pk", "mac", "stage", "version", "awaits_file"), "pk", list(reasons), lock=True)
        mine = [
            (pk, mac, stage, reasons[pk][1][: live.TEXT_CHARS])
            for pk, mac, stage, version, awaits in rows
            if awaits and stage == Stage.ASSIGNED and version == reasons[pk][0]
        ]
        changes = [(pk, False, reason) for pk, _, _, reason in mine]
        batch.update(Phone, ("pk", "awaits_file", "stage_reason"), changes)
        live.append_rows([(pk, mac, EventKind.REASON.value, stage, reason, now) for pk, mac, stage, reason in mine])
    return len(mine)


def retire(phone: Phone, reason: str, by: str) -> bool:
    """Take a phone out of service; call it inside a transaction. False if `phone` is not any more what its reader saw.

    Its row stays with what it had, for whoever asks what became of it: as long as it is retired its paths lead nowhere.
    """
    now = timezone.now()
    if batch.select(Phone, ("version",), "pk", [phone.pk], lock=True) != [(phone.version,)]:
        return False
    batch.write(
        Phone,
        [phone.pk],
        version=phone.version + 1,
        stage=Stage.RETIRED,
        stage_reason=reason[: live.TEXT_CHARS],
        stage_at=now,
        alarm="",
        alarm_at=None,
        claimed_host=None,
        claimed_interface="",
        claimed_local_host=None,
        claimed_at=None,
        claim_heard_at=None,
        online=None,
        online_at=None,
        rtt_ms=None,
    )
    phone.refresh_from_db()
    live.append([live.event(phone, EventKind.STAGE, f"Retired by {by}. {reason}", now)])
    return True


def bring_back(phone_id: int, stage: Stage, by: str) -> bool:
    """Take a retired phone into service again; `stage` is how far it had come."""
    now = timezone.now()
    reason = ""
    with transaction.atomic():
        phone = Phone.objects.select_for_update().filter(pk=phone_id, stage=Stage.RETIRED).first()
        if phone is None:
            return False
        if phone.awaits_file and stage == Stage.ASSIGNED:
            reason = "" if phone.is_heard else WAITS
        phone.stage, phone.stage_reason, phone.stage_at = stage, reason, now
        phone.save(update_fields=["stage", "stage_reason", "stage_at"])
        live.append([live.event(phone, EventKind.STAGE, f"Brought back by {by}.", now)])
    return True
