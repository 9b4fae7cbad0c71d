"""Judges what came back from the network: our own listener, the phones' door, other provisioning servers. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from sipmcast.doctor.facts import Decoy, Door, Echo, Heard, Machine, Rival, Setup, elsewhere, here, text
from sipmcast.doctor.finding import Finding, ok, unknown, warning, wrong

NOT_PERMITTED = "Operation not permitted"
NOT_ASKED = "This was not tried: nothing was sent this time."
RIVAL_REMEDY = (
    "Switch its provisioning (Zero Config, auto provisioning, PnP) off for this VLAN, or ours: leave the interface out "
    "of GSPNP_PNP_INTERFACES. With two servers a phone takes one configuration now and the other at its next start."
)

# Why a certificate is not trusted, and what to do, by OpenSSL's number of it (X509_V_ERR_…, x509_vfy.h).
UNKNOWN_SIGNER = (
    "who signed it is not known here",
    "Phones that check certificates need to know who signed it: put its issuers' certificates below it in the file of "
    "GSPNP_PHONES_CERT (docs/tls.md), or use one of an authority that they know.",
)
OTHER_NAME = (
    "it does not name this address",
    "Have one made with it (subjectAltName): phones that check names refuse this one.",
)
DISTRUSTED = {
    9: ("it is not valid yet", "Look at this machine's clock, or wait."),
    10: ("it has expired", "Renew it; it is taken without a restart."),
    62: OTHER_NAME,
    64: OTHER_NAME,
}


def judge_echo(echo: Echo, machine: Machine, setup: Setup, listeners: Sequence[Heard] | None, allowed: bool) -> Finding:
    """The SUBSCRIBE that this machine sent to itself must have come back, by this interface.

    `allowed` says whether this address of ours is in the networks that the listener hears.
    """
    title = f"{echo.interface} ({echo.host})"
    place = f"{setup.group}:{setup.port}"
    if echo.fault:
        return wrong(title, f"A SUBSCRIBE to {place} could not be sent: {text(echo.fault)}.", _send_remedy(echo.fault))
    ours = next((said for said in echo.answers if said.listener), None)
    if ours is not None:
        return ok(title, f"A SUBSCRIBE to {place} was answered by our listener (process {ours.listener}).")
    if echo.answers:
        said = echo.answers[0]
        return warning(
            title,
            f"A SUBSCRIBE to {place} was answered ({text(said.how)}), but not by a listener of this version.",
            "Restart the listener; if it stays so, another program on this machine answers phones.",
        )
    others = elsewhere(listeners or (), machine.name)
    if listeners is not None and not any(one.fresh for one in listeners):
        return unknown(title, "Not answered: no listener runs, so nobody could.", "Start it, then look again.")
    if others and not here(listeners or (), machine.name):
        return unknown(
            title,
            f"Not answered: no listener runs on this machine, but one does on {', '.join(map(text, others))}.",
            "Run `manage.py pnp_doctor` there: this test cannot reach another machine.",
        )
    if not allowed:
        return wrong(
            title,
            f"Not answered: {echo.host} is in none of GSPNP_ALLOWED_NETWORKS, so phones beside it are refused too.",
            "Add the phones' network to GSPNP_ALLOWED_NETWORKS.",
        )
    return wrong(
        title,
        f"A SUBSCRIBE that this machine sent to {place} by this interface was not answered: phones there are not "
        "heard either.",
        "Is the listener running, and does it listen on this interface? Does a firewall of this machine drop it?",
    )


def _send_remedy(fault: str) -> str:
    if NOT_PERMITTED in fault:
        return "A firewall of this machine forbids it: see its rules for outgoing packets."
    return "Is the interface up, with an address? A route for 224.0.0.0/4 over it also helps."


def judge_doors(doors: Sequence[Door], setup: Setup) -> list[Finding]:
    """Would a phone reach its file at the address that it is told?"""
    return [_judge_door(door, setup) for door in doors]


def _judge_door(door: Door, setup: Setup) -> Finding:
    title = f"{text(door.url)}" + (f" ({door.interface})" if door.interface else "")
    told = "GSPNP_PUBLIC_URL" if setup.public_url else "our address on this interface"
    if door.status == 200:
        own = (
            " Its certificate is of your own authority: phones that check certificates need its ca.pem (or, if it "
            "signed itself, the certificate)."
        )
        return ok(title, f"The phones' door answers, from this machine, at {told}.{own if door.own else ''}")
    if door.distrust:
        why, remedy = DISTRUSTED.get(door.distrust, UNKNOWN_SIGNER)
        return warning(title, f"The door's certificate is not trusted on this machine: {why}.", remedy)
    if door.status == 503:
        return wrong(
            title,
            "It answers with status 503: the door's database is away, and until it is back phones get no new file "
            "(or a proxy answers, and no door is behind it).",
            "Look at DATABASE_URL and at the database's log.",
        )
    if door.status:
        return wrong(
            title,
            f"Something answers there with status {door.status}, but not the phones' door as it should.",
            "Is another web server on that port? Does a proxy pass /healthz and /p/ on to the phones' door?",
        )
    return wrong(
        title,
        f"No answer: {text(door.fault)}. A phone that is told this address cannot fetch its file.",
        "Is the process `phones` running (the unit gspnp-phones@, the service phones of the containers, `make run`)? "
        f"Does a firewall let TCP port {setup.phones_port} in? "
        + (
            "Does the name in GSPNP_PUBLIC_URL lead here?"
            if setup.public_url
            else "Does GSPNP_PHONES_BIND leave this address out?"
        ),
    )


def judge_decoy(decoy: Decoy, machine: Machine) -> list[Finding]:
    """Whoever answers a phone that does not exist would answer ours too."""
    title = f"{decoy.interface} ({decoy.host})"
    if decoy.fault and not decoy.rivals:
        words = f"Not looked: the decoy could not be sent ({text(decoy.fault)})."
        return [unknown(title, words, _send_remedy(decoy.fault))]
    if not decoy.rivals:
        return [ok(title, "Nobody else answered a phone that does not exist.")]
    own = {host for adapter in machine.adapters for host in adapter.hosts}
    return [_judge_rival(rival, title, rival.host in own, machine) for rival in decoy.rivals]


def _judge_rival(rival: Rival, title: str, own: bool, machine: Machine) -> Finding:
    name = f" It calls itself “{text(rival.software)}”." if rival.software else " It does not say what it is."
    sends = f" It sends phones to {text(rival.url_host)}." if rival.url_host else ""
    hows = " and ".join(text(how) for how in rival.hows)
    where = f"another program on this machine ({rival.host})" if own else rival.host
    words = f"Phones are answered by {where}, port {rival.port}, too: {hows}.{name}{sends}"
    return wrong(title, words + _on_this_machine(rival, own, machine), RIVAL_REMEDY)


def _on_this_machine(rival: Rival, own: bool, machine: Machine) -> str:
    """Which program that is, if it is one of ours to see."""
    if not own:
        return ""
    holders = {
        str(machine.holder(one))
        for one in machine.udp
        if one.port == rival.port and machine.holder(one) and one.host in (rival.host, "0.0.0.0", "::")
    }
    return f" It is {' or '.join(sorted(holders))}." if holders else ""


def is_loopback(host: str) -> bool:
    """Can only this machine itself be there?"""
    return ipaddress.ip_address(host).is_loopback
