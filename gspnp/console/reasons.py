"""Why phones stop on their way, by kind: reasons name addresses, versions and times, and a fleet is to be summed up.

A reason is a sentence in the database (provisioning/stuck_words.py, settling.py, starts.py, firmware/pins.py, devices/
trust.py); its beginning tells its kind. A new sentence without an entry here is counted as "other".
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from devices.choices import WAY


@dataclass(frozen=True)
class Kind:
    """One kind of reason: `key` stands in URLs, `title` says it without particulars, `step` what helps."""

    key: str
    title: str | Promise
    step: str | Promise
    begins: tuple[str, ...]

    def covers(self, reason: str) -> bool:
        """Whether this sentence is of this kind."""
        return reason.startswith(self.begins)


UNPLUGGED = "unplugged"  # nothing is wrong with these, and they need nobody
KINDS = (
    Kind(
        "no-answer",
        _("They do not answer our NOTIFY"),
        _("Switch them off and on: a phone listens best while it starts."),
        ("It did not answer our NOTIFY", "It did not answer:", "It answers when it is asked whether it is there"),
    ),
    Kind(
        "not-fetched",
        _("They answered and have not fetched their file"),
        _("Look whether they reach this server: VLAN, firewall, address."),
        ("It answered our NOTIFY but has not fetched",),
    ),
    Kind(
        "key",
        _("They fetched their file and may have lost its key"),
        _("If they were reset: “Give it the key again” on their pages."),
        (
            "It fetched its file but has not come back, and may have lost its key",
            "It fetched its file and started up again, but did not come back, and may have lost its key",
        ),
    ),
    Kind(
        "not-back",
        _("They fetched their file and have not come back"),
        _("Switch them off and on; then “Notify again”."),
        ("It fetched its file but has not come back",),
    ),
    Kind(
        "not-kept",
        _("They restart without keeping their configuration"),
        _("Look at power and cabling, then “Notify again”."),
        ("It fetched its file and started up again", "It restarts without keeping"),
    ),
    Kind(
        "listener-silent",
        _("The listener of their site is silent"),
        _("Start it again; the page of listeners says which one it is."),
        ("Its NOTIFY waits: the listener",),
    ),
    Kind(
        "not-sent",
        _("No listener runs where they were heard"),
        _("Start the listener; the doctor says what hinders it."),
        ("Its NOTIFY waits: no listener",),
    ),
    Kind(
        "soon",
        _("They were notified a moment ago and are asked again soon"),
        _("Nothing: it happens by itself."),
        ("It was seen again, but was notified",),
    ),
    Kind(
        "foreign",
        _("They belong to another system and ask for its password"),
        _("Reset them to factory defaults."),
        ("It asked for a password that we do not know",),
    ),
    Kind(
        "off",
        _("Plug and play is switched off in them"),
        _("Switch it on in the phone, or reset it to factory defaults."),
        ("It refused our NOTIFY (489",),
    ),
    Kind(
        "refused",
        _("They refuse our NOTIFY"),
        _("“Notify again”, or switch them off and on."),
        ("It refused our NOTIFY",),
    ),
    Kind(
        "address",
        _("Their address is not confirmed"),
        _("Select them in the list, look at their addresses, and “Confirm and notify…”."),
        (
            "Nobody has confirmed that this phone is at",
            "That this phone is at",
            "Its address is not known yet",
            "Another device answers at",
        ),
    ),
    Kind(
        "firmware",
        _("They refuse the firmware that they fetched"),
        _("Upload the right image, or take it from the path of the model."),
        ("It has fetched firmware",),
    ),
    Kind(
        "held-back",
        _("They wait for safe firmware before they get an account"),
        _("Look whether they can fetch the image."),
        ("It has no account yet",),
    ),
    Kind(
        "model",
        _("They say that they are of a model for which no configuration can be made"),
        _("Check that these are the phones that you assigned; if not, forget them."),
        ("It says now that it is",),
    ),
    Kind(
        UNPLUGGED,
        _("They were listed beforehand and wait to be plugged in"),
        _("Plug them in: they are told by themselves."),
        ("It waits to be plugged in",),
    ),
    Kind(
        "moved",
        _("Their file names an address of this server that is not right any more"),
        _("Save their assignment again."),
        ("This server is now reached at", "It cannot be notified:"),
    ),
)
OTHER = Kind("other", _("Something else"), _("Their pages say what."), ())
BY_KEY = {kind.key: kind for kind in (*KINDS, OTHER)}


def kind_of(reason: str) -> Kind:
    """The kind of a sentence."""
    return next((kind for kind in KINDS if kind.covers(reason)), OTHER)


def rule(key: str) -> Q:
    """The phones that have stopped for this kind of reason; the first kind that fits is meant."""
    kind = BY_KEY[key]
    before = KINDS[: KINDS.index(kind)] if kind in KINDS else KINDS
    found = Q(stage__in=WAY) & ~Q(stage_reason="")
    if kind.begins:
        found &= _begins_with(kind.begins)
    for one in before:
        found &= ~_begins_with(one.begins)
    return found


def _begins_with(words: tuple[str, ...]) -> Q:
    found = Q()
    for one in words:
        found |= Q(stage_reason__startswith=one)
    return found
