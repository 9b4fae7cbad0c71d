"""Hand the next free extension of a range to each new phone of its site, in order of arrival.

A row of HandedOut is written first, under the lock of its Handout: it is the claim of that number for that phone, and
what a worker that died has left is taken up by the next one, with the same number. Nobody attends this, so that no
address is confirmed: secrets go only where the phone is known to be (design, "Letting a secret out of the door").
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Length
from django.utils import timezone

from devices import batch, holders
from devices.catalog import DEFAULT_CODECS
from devices.choices import Stage
from devices.crypto import CannotDecrypt
from devices.inventory import VersionConflict
from devices.mac import colons
from devices.models import Extension, Phone
from provisioning import assignment
from provisioning.gxp.config import AccountConfig, ConfigError
from provisioning.handout import waiting
from provisioning.models import HandedOut, Handout, SettingsLayer
from provisioning.plan import Draft

log = logging.getLogger(__name__)

ROUNDS = 5  # how often a number that another worker takes at this moment is given up for the next one
RETRY_MINUTES = 5  # until a phone that could not be saved is tried again
NONE_LEFT = "No extension of the range is free any more. Add some to the directory, or widen the range."
OTHERWISE = "Somebody assigned this phone otherwise."
GONE = "Extension {} is not in the directory any more. Assign the phone by hand."
UNREADABLE = "The secret of extension {} cannot be opened: put the key that it was written with back."
BY = "gspnp"


def hand_out() -> int:
    """One round over every range that is on; how many phones got an extension. Call it now and then."""
    given = 0
    for handout in Handout.objects.filter(is_on=True):
        given += sum(_finish(row) for row in _claims(handout))
    return given


def in_range(handout: Handout) -> QuerySet[Extension]:
    """The extensions of the directory that may be handed out, in their order; without their secrets. Both ends have as
    many digits, and so has everything between."""
    rows = Extension.objects.defer("secret").annotate(chars=Length("number"))
    between = {"number__gte": handout.first, "number__lte": handout.last, "number__regex": r"^[0-9]+$"}
    return rows.filter(site=handout.site, chars=len(handout.first), **between).order_by("number")


def left(handout: Handout) -> QuerySet[Extension]:
    """Those that no phone has and nobody has claimed."""
    claimed = HandedOut.objects.filter(handout=handout, done_at=None).values("number")
    return holders.free(in_range(handout).exclude(number__in=claimed))


def _claims(handout: Handout) -> Iterator[HandedOut]:
    """What was claimed and not finished, and then a claim for each phone that waits; one at a time."""
    again = timezone.now() - timedelta(minutes=RETRY_MINUTES)
    open_rows = HandedOut.objects.filter(handout=handout, done_at=None)
    yield from open_rows.filter(Q(words="") | Q(at__lt=again)).select_related("handout").order_by("pk")
    words = waiting.burst(handout)
    if words or handout.words not in ("", NONE_LEFT):
        _remark(handout, words)
    # One at a time: whose turn is next depends on who had the last one.
    while not words and waiting.has_room(handout):
        phone = waiting.ready(handout).only("pk").first()
        claim = _claim(handout, phone.pk) if phone is not None else None
        if claim is None:
            return
        yield claim


def _claim(handout: Handout, phone_id: int) -> HandedOut | None:
    """The next free number for this phone; None if none is left, somebody switched it off, or it is not its turn."""
    for _ in range(ROUNDS):
        # A long range takes a while to look through: only the one that was found is looked at again under the lock.
        found = left(handout).first()
        _remark(handout, "" if found is not None else NONE_LEFT)
        if found is None:
            return None
        with transaction.atomic():
            locked = Handout.objects.select_for_update().filter(pk=handout.pk, is_on=True).first()
            if locked is None:
                return None
            # Claims before phones: a claim that is over by now is on its phone.
            claimed = HandedOut.objects.filter(handout=handout, done_at=None, number=found.number).exists()
            if claimed or holders.of_one(holders.wanted_of(found)):
                continue
            if not waiting.has_room(locked) or not waiting.ready(locked).filter(pk=phone_id).exists():
                return None
            if not batch.select(Phone, ("pk",), "pk", [phone_id], lock=True):
                return None  # forgotten at this moment
            return HandedOut.objects.create(handout=locked, phone_id=phone_id, number=found.number, at=timezone.now())
    return None


def _remark(handout: Handout, words: str) -> None:
    """Say once why nothing more is handed out, and take it back when that is over."""
    if Handout.objects.filter(pk=handout.pk).exclude(words=words).update(words=words):
        log.warning("%s: %s", handout, words or "it goes on")


def _finish(claim: HandedOut) -> bool:
    """Save the phone with what was claimed for it; whether it was."""
    phone = Phone.objects.filter(pk=claim.phone_id).first()
    if phone is None:
        return False
    has = set(phone.accounts.values_list("user_id", flat=True))
    if has or phone.stage != Stage.SEEN:
        # Saved already, by a worker that died thereafter or by a person: the claim is over either way.
        return _over(claim, "" if claim.number in has else OTHERWISE)
    if not waiting.waiting(claim.handout).filter(pk=phone.pk).exists():
        # Put at another site since, say, or it has an alarm: another phone can have the number. Whoever puts it
        # elsewhere after this look counts up its version.
        claim.delete()
        return False
    try:
        extension = Extension.objects.filter(site=claim.handout.site, number=claim.number).first()
        if extension is None:
            return _fail(claim, phone, GONE.format(claim.number))
        assignment.save(
            phone,
            Draft((_account(claim.handout, extension),)),
            by=BY,
            seen_host=phone.source_host,
            templates=_templates(phone, claim.handout),
            why=f"Extension {claim.number} was handed out.",
            attended=False,
            given=[claim.number] if extension.secret else [],
        )
    except VersionConflict:
        return False  # somebody saves it at this moment: the next round sees what came of it
    except CannotDecrypt:
        return _fail(claim, phone, UNREADABLE.format(claim.number))
    except ConfigError as error:
        return _fail(claim, phone, " ".join(error.lines))
    except assignment.AssignmentError as error:
        return _fail(claim, phone, str(error))
    log.info("%s: extension %s was handed out", colons(phone.mac), claim.number)
    _over(claim)
    return True


def _account(handout: Handout, extension: Extension) -> AccountConfig:
    return AccountConfig(
        number=1,
        sip_server=extension.sip_server or handout.sip_server,
        user_id=extension.number,
        auth_id=extension.auth_id,
        password=extension.secret,
        display_name=extension.name,
        voicemail=extension.voicemail,
        codecs=tuple(handout.codecs) or DEFAULT_CODECS,
    )


def _templates(phone: Phone, handout: Handout) -> list[SettingsLayer] | None:
    """The phone's templates with the range's, which wins over them; None if nothing changes."""
    chosen, has = handout.template, [one.layer for one in phone.templates.select_related("layer")]
    return None if chosen is None or chosen in has else [*has, chosen]


def _over(claim: HandedOut, words: str = "") -> bool:
    HandedOut.objects.filter(pk=claim.pk, done_at=None).update(done_at=timezone.now(), words=words)
    return False


def _fail(claim: HandedOut, phone: Phone, words: str) -> bool:
    """Say why; it is tried again after a while, with the same number."""
    HandedOut.objects.filter(pk=claim.pk).update(words=words[:300], at=timezone.now())
    log.warning("%s: extension %s could not be handed out: %s", phone, claim.number, words)
    return False
