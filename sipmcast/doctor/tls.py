"""Judges the certificates of our doors, and how many phones still come by plain HTTP. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from provisioning.certificates import Seen
from provisioning.crossing import EVERYTHING, NOTHING
from sipmcast.doctor.facts import text
from sipmcast.doctor.finding import Finding, ok, unknown, warning, wrong

DOORS = {"GSPNP_PHONES_CERT": "The phones' door", "GSPNP_CONSOLE_CERT": "The console"}


def judge_certificates(seen: Iterable[Seen], now: datetime) -> list[Finding]:
    """For each door: until when its certificate is valid, or what is wrong with it."""
    return [finding for one in seen for finding in _judge(one, now)]


def _judge(one: Seen, now: datetime) -> list[Finding]:
    title = DOORS.get(one.files.cert_setting, one.files.cert_setting)
    if one.found is None:
        remedy = "A door that runs goes on with the certificate that it had; one that is started now stays closed."
        return [wrong(title, text(one.fault), remedy)]
    if one.worries:
        expired = one.found.valid_until <= now
        return [(wrong if expired else warning)(title, text(said.words), said.remedy) for said in one.worries]
    days = (one.found.valid_until - now).days
    named = ", ".join([*one.found.names, *map(str, one.found.addresses)])
    return [ok(title, f"Valid for {days} more days, until {one.found.valid_until:%Y-%m-%d}, for {text(named)}.")]


def judge_moving(plain: int | None, how: str) -> Finding:
    """How many phones still have a file that says http."""
    title = "Phones by plain HTTP"
    if plain is None:
        return unknown(title, "Not known: the database cannot be asked.")
    phones = f"{plain} assigned phone{'' if plain == 1 else 's'}"
    if plain and how == NOTHING:
        return wrong(
            title,
            f"The newest file of {phones} says http, and GSPNP_PHONES_HTTP=0 lets nothing out there.",
            "They keep what they have and get nothing new. Set GSPNP_PHONES_HTTP=moving until they have moved.",
        )
    if plain:
        return warning(
            title,
            f"The newest file of {phones} says http: whoever reads the network reads it.",
            "A new file says https: save an assignment again, or set “How the phone fetches it” to HTTPS for a site or "
            "a model. What is held on HTTP by that setting may be meant.",
        )
    if how == EVERYTHING:
        return warning(
            title,
            "Every phone's newest file says https, and GSPNP_PHONES_HTTP=1 still lets everything out by plain HTTP.",
            "Set GSPNP_PHONES_HTTP=0.",
        )
    return ok(title, "Every assigned phone's newest file says https.")
