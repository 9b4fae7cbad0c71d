"""Judges what phones are told for their safety: the defaults of ours that somebody did away with. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from provisioning.gxp.entries import label_of
from provisioning.safety import ENVIRONMENT, How, Weakened
from sipmcast.doctor.facts import text
from sipmcast.doctor.finding import Finding, ok, unknown, warning

ON_PURPOSE = "If that is meant, leave it; else take it out there."
RANDOM_REMEDY = (
    "Take it out there: each phone then gets one of its own, which can be looked at on the phone's page. As it is, "
    "whoever learns it from one phone has them all."
)


def judge_safety(found: Sequence[Weakened] | None) -> list[Finding]:
    """One finding for each safe default and place; one good one if all of them hold. None: they could not be read."""
    if found is None:
        words = "The settings of the sites, models and templates cannot be read: the database or a key is missing."
        return [unknown("Not known", words, "Put the key back into GSPNP_FIELD_KEYS, or start the database.")]
    if not found:
        words = (
            "Each phone that is assigned gets an admin and a user password of its own, no SSH, its web page over HTTPS "
            "only, and obeys only NOTIFYs whose sender knows its account. A phone that is only listed still has what "
            "it came with."
        )
        return [ok("Safe defaults", words)]
    return [_judge(one) for one in found]


def _judge(one: Weakened) -> Finding:
    title, where = label_of(one.name), text(one.where)
    where = where[:1].upper() + where[1:]
    phones = f"{one.phones} assigned phone{'' if one.phones == 1 else 's'}"
    if one.how is How.SHARED:
        return warning(title, f"{where} gives one password to up to {phones}.", RANDOM_REMEDY)
    if one.how is How.OTHERWISE:
        return warning(title, f"{where} says otherwise than our safe default, for up to {phones}.", ON_PURPOSE)
    words = f"{where} leaves it alone: up to {phones} keep what they came with, or were told before."
    remedy = f"If that is meant, leave it; else take {one.name} out of {ENVIRONMENT}."
    return warning(title, words, remedy if one.where == ENVIRONMENT else ON_PURPOSE)
