"""The way back from a save: what a phone had before is kept with the session of the person who saved, and encrypted.

One save for each session, for a quarter of an hour; later, and for other people's saves, a phone's history is the way
back. Passwords never leave the server for it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from devices.catalog import KeyMode, KeySlot
from devices.inventory import VersionConflict
from devices.models import Phone
from gspnp.console import drafts
from provisioning import assignment, plan
from provisioning.gxp.config import AccountConfig, KeyConfig

IN_SESSION = "taken_back"
KEPT_SECONDS = 15 * 60
WHY = "Taken back: as it was before the save."


class NothingToTakeBack(Exception):
    """This save cannot be taken back here any more; the text says what can be done."""


def remember(request: HttpRequest, phone: Phone, before: plan.Draft | None, anew: bool) -> bool:
    """Keep what the phone had before it was saved as it is now. False for a first assignment: nothing was there.

    `anew` says that this person must not learn whether that save has changed anything.
    """
    if before is None or not before.accounts:
        request.session.pop(IN_SESSION, None)
        return False
    place = _place(phone.mac, phone.version)
    request.session[IN_SESSION] = {
        "mac": phone.mac,
        "phone": phone.pk,
        "version": phone.version,
        "at": timezone.now().timestamp(),
        "anew": anew,
        "sealed": drafts.seal(request.user.pk, place, {"draft": _as_text(before)}),
    }
    return True


def take_back(request: HttpRequest, phone: Phone) -> assignment.Saved:
    """Save again what the phone had before. Raises NothingToTakeBack, VersionConflict, and what assignment.save
    raises."""
    forget_old(request)
    kept = request.session.get(IN_SESSION)
    # Forgotten and heard anew it is another row, whose versions begin anew.
    if kept is None or kept["mac"] != phone.mac or kept.get("phone") != phone.pk:
        raise NothingToTakeBack(_("This save cannot be taken back here any more. The phone's history has the way."))
    if kept["version"] != phone.version:
        del request.session[IN_SESSION]
        raise VersionConflict(
            _("This phone was saved again since then, so nothing was taken back. Its history shows every version.")
        )
    values = drafts.unseal(kept["sealed"], request.user.pk, _place(phone.mac, phone.version))
    if values is None:
        raise NothingToTakeBack(_("What was there before cannot be read any more. The phone's history has the way."))
    seen_host = request.POST.get("seen_host") or None
    draft = _from_text(values["draft"] or "")
    by, anew = request.user.get_username(), bool(kept.get("anew"))
    saved = assignment.save(phone, draft, by=by, seen_host=seen_host, why=WHY, anew=anew)
    del request.session[IN_SESSION]
    return saved


def forget_old(request: HttpRequest) -> None:
    """Delete what can not be taken back any more from the session: it is late, or its phone was forgotten."""
    kept = request.session.get(IN_SESSION)
    if kept is None:
        return
    late = not isinstance(kept, dict) or timezone.now().timestamp() - kept["at"] > KEPT_SECONDS
    if late or not Phone.objects.filter(pk=kept.get("phone"), version__gte=kept["version"]).exists():
        del request.session[IN_SESSION]


def _place(mac: str, version: int) -> str:
    return f"before version {version} of {mac}"


def _as_text(draft: plan.Draft) -> str:
    return json.dumps([[asdict(one) for one in draft.accounts], [_key(one) for one in draft.keys]])


def _key(key: KeyConfig) -> dict[str, Any]:
    return {"slot": key.slot.name, "mode": key.mode, "account": key.account, "label": key.label, "value": key.value}


def _from_text(text: str) -> plan.Draft:
    accounts, keys = json.loads(text)
    return plan.Draft(
        tuple(AccountConfig(**(one | {"codecs": tuple(one["codecs"])})) for one in accounts),
        tuple(KeyConfig(**(one | {"slot": KeySlot.parse(one["slot"]), "mode": KeyMode(one["mode"])})) for one in keys),
    )
