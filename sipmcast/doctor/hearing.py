"""Judges the listeners: alive or not, what hinders them, and when a phone was last heard on which interface. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from provisioning import starting
from sipmcast.doctor.facts import Heard, ago, text
from sipmcast.doctor.finding import Finding, ok, warning, wrong
from sipmcast.held import WAS_AWAY

LOOPBACK = "lo"
# The listener's counters that tell why a phone is not in the list.
COUNTED = {
    "not_allowed": (
        "datagrams came from networks that are not allowed, and were not looked at.",
        "Is the phones' network missing in GSPNP_ALLOWED_NETWORKS?",
    ),
    "over_limit": (
        "datagrams were over the limits per second, and were not looked at.",
        "A phone tries again by itself. If it goes on, find out who sends so much.",
    ),
    "lost": (
        "phones were heard while the database was away, and could not be kept.",
        "They appear when they start again. Look at the database.",
    ),
}
SILENCE_REMEDY = (
    "Switch a phone in that network off and on: phones announce themselves only while they start. If it stays so, "
    "the phone is in another VLAN, a switch filters multicast (IGMP snooping without a querier), or Plug and Play "
    "(P1414) is off in the phone."
)


def judge_listeners(listeners: Sequence[Heard] | None, now: datetime) -> list[Finding]:
    """Every listener that ever ran; None means that the database cannot be asked."""
    title = "The listener"
    if listeners is None:
        return [wrong(title, "The database does not answer, so nobody knows whether a listener runs.",
                      "Look at DATABASE_URL and at the database's log.")]  # fmt: skip
    if not listeners:
        return [wrong(title, "No listener has ever run. Until one does, no phone is heard.", starting.LISTENER)]
    fresh = [one for one in listeners if one.fresh]
    findings = [finding for one in fresh for finding in _judge_fresh(one, now)]
    findings += _judge_outages(fresh)
    findings += [_judge_silent(one, now, alone=not fresh) for one in listeners if not one.fresh]
    return findings


def _judge_fresh(one: Heard, now: datetime) -> list[Finding]:
    name = text(one.name)
    heard, taken = one.counters.get("received", 0), one.counters.get("sighted", 0)
    places = ", ".join(map(text, one.interfaces)) or "no interface"
    findings = []
    if one.interfaces:
        words = (
            f"Alive on {places}; it started {ago(one.started_at, now)}. {heard:,} datagrams heard, of them {taken:,} "
            "SUBSCRIBEs of phones that we serve."
        )
        findings.append(ok(name, words))
    if one.trouble or not one.interfaces:
        said = text(one.trouble) or "It listens on no interface."
        judge = warning if one.interfaces else wrong
        findings.append(judge(name, f"It says: {said}", "Do what it says; it tries again every 5 s."))
    to_do = (said for said in one.warnings if not said.startswith(WAS_AWAY))
    findings += [warning(name, f"It says: {text(said)}", "Do what it says.") for said in to_do]
    findings += [
        warning(name, f"{count:,} {words}", remedy)
        for counter, (words, remedy) in COUNTED.items()
        if (count := one.counters.get(counter, 0))
    ]
    return findings


def _judge_outages(fresh: Sequence[Heard]) -> list[Finding]:
    """One outage is over for all of them, and nothing is left to do."""
    said = [(text(one.name), text(words)) for one in fresh for words in one.warnings if words.startswith(WAS_AWAY)]
    if not said:
        return []
    return [warning("The database", " ".join(f"{name} says: {words}" for name, words in said), "")]


def _judge_silent(one: Heard, now: datetime, alone: bool) -> Finding:
    words = f"Its last sign of life was {ago(one.heartbeat_at, now)}: it is dead, or its database is away."
    if alone:
        return wrong(text(one.name), f"{words} No phone is heard.", starting.LISTENER)
    return warning(text(one.name), words, "Start it again; if it is gone for good, forget it on the page of listeners.")


def judge_last_heard(listeners: Sequence[Heard] | None, now: datetime) -> list[Finding]:
    """When did a phone last announce itself, on each interface that is listened on?"""
    findings = []
    for one in listeners or ():
        places = list(dict.fromkeys(one.interface_names)) if one.fresh else []
        for name in places:
            at = one.heard_at.get(name)
            if at is not None:
                there = at.astimezone(now.tzinfo)
                words = f"The last SUBSCRIBE was heard {ago(at, now)} ({there:%Y-%m-%d %H:%M:%S %Z})."
                findings.append(ok(f"{text(name)} on {text(one.machine)}", words))
        silent = [text(name) for name in places if name != LOOPBACK and name not in one.heard_at]
        if silent:
            words = f"No SUBSCRIBE was heard there since the listener started, {ago(one.started_at, now)}."
            findings.append(warning(f"{', '.join(silent)} on {text(one.machine)}", words, SILENCE_REMEDY))
    return findings
