"""Judges where phones can be heard: interfaces, the group joined on them, containers in the way. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sipmcast.doctor.facts import Adapter, Heard, Machine, Setup, elsewhere, here, text
from sipmcast.doctor.finding import Finding, ok, unknown, warning, wrong

# What container engines and hypervisors call the bridges that they make.
_CONTAINER_BRIDGE = re.compile(
    r"docker[0-9]+|br-[0-9a-f]{12}|podman[0-9]+|cni[0-9-].*|lxcbr[0-9]+|lxdbr[0-9]+|virbr[0-9]+"
)
RESTART_REMEDY = "Restart the listener; if it stays so, its log says why the group could not be joined."
HOST_NETWORK_REMEDY = (
    "Run the listener on the host's own network (network_mode: host in docker-compose.yml, --network host for docker "
    "run). If that cannot be, DHCP option 66 below brings phones here without multicast."
)


def judge_interfaces(machine: Machine, setup: Setup, listeners: Sequence[Heard] | None) -> list[Finding]:
    """Every interface of this machine: is it listened on, and if not, why. None: nobody knows of the listeners."""
    if listeners is None:
        return [
            unknown("Not known", "Which interfaces the listener uses stands in the database, which does not answer.")
        ]
    local = here(listeners, machine.name)
    if not local:
        return [_nobody_here(machine, elsewhere(listeners, machine.name)), *_missing(machine, setup)]
    listened = {name for one in local for name in one.devices}
    found = [_judge(adapter, adapter.name in listened, machine, setup, local) for adapter in machine.shown]
    findings = [finding for finding in found if finding is not None] + _missing(machine, setup)
    loopbacks = {adapter.name for adapter in machine.adapters if adapter.loopback}
    if listened and listened <= loopbacks:
        findings.insert(0, wrong(
            "Only the loopback interface is listened on",
            "No phone on a LAN can be heard: nothing but this machine itself reaches the loopback interface.",
            "Give a network interface an IPv4 address, or name the right one in GSPNP_PNP_INTERFACES.",
        ))  # fmt: skip
    return findings


def _nobody_here(machine: Machine, others: Sequence[str]) -> Finding:
    places = ", ".join(f"{one.name} ({', '.join(one.hosts)})" for one in machine.adapters if one.hosts) or "none"
    if others:
        return unknown(
            "The listener runs on another machine",
            f"It runs on {', '.join(map(text, others))}. What follows was looked at on this machine, {machine.name}.",
            f"Run `manage.py pnp_doctor` on {', '.join(map(text, others))}: only there its interfaces can be judged.",
        )
    return wrong(
        "No interface is listened on",
        f"No listener runs on this machine. Its interfaces: {places}.",
        "Start it: the unit gspnp-listen, the service listen of the containers, or by hand `make run` for everything "
        "and `manage.py listen_pnp` for it alone.",
    )


def _judge(adapter: Adapter, listened: bool, machine: Machine, setup: Setup, local: Sequence[Heard]) -> Finding | None:
    """One interface; None for one that nobody expects to be listened on."""
    title = f"{adapter.name} ({', '.join(adapter.hosts) or 'no IPv4 address'})"
    known = machine.memberships
    joined = known is not None and adapter.name in known and setup.group in known[adapter.name].groups
    if listened and (joined or known is None):
        return ok(title, f"Phones are heard here: the group {setup.group} is joined.")
    if listened:
        return wrong(
            title,
            f"The listener says that it listens here, but the kernel has not joined {setup.group} on it.",
            RESTART_REMEDY,
        )
    finding = _why_not(adapter, title, setup, local)
    if joined and finding is not None:
        words = f"{finding.words} Another program has joined {setup.group} here: it may answer phones itself."
        return Finding(finding.state, finding.title, words, finding.remedy, finding.command)
    return finding


def _why_not(adapter: Adapter, title: str, setup: Setup, local: Sequence[Heard]) -> Finding | None:
    """Why this interface is not listened on."""
    said = next((text(one.trouble) for one in local if f"{adapter.name}:" in one.trouble), "")
    if said:
        return wrong(title, f"Not listened on. The listener says: {said}", "Do what it says; it tries again every 5 s.")
    if adapter.bridge_port or (not adapter.hosts and not adapter.up):
        return None
    if not adapter.hosts:
        return warning(
            title,
            "Not listened on: it is up, but has no IPv4 address.",
            "If phones are in that network, give it an address there; the listener notices within 5 s.",
        )
    if setup.interfaces and not {adapter.name, *adapter.hosts} & set(setup.interfaces) and not adapter.loopback:
        return ok(title, "Not listened on, because GSPNP_PNP_INTERFACES does not name it.")
    if not adapter.up:
        return warning(title, "Not listened on: it is down.", "Switch it on.", f"ip link set {adapter.name} up")
    if not adapter.multicast and not adapter.loopback:
        return warning(
            title,
            "Not listened on: it cannot do multicast (a tunnel, or switched off).",
            "If phones are behind it, DHCP option 66 below brings them here without multicast.",
        )
    return warning(
        title, "Not listened on.", "A new interface is noticed within 5 s. If it stays so, restart the listener."
    )


def _missing(machine: Machine, setup: Setup) -> list[Finding]:
    """Interfaces that the settings name and that do not exist."""
    known = {name for adapter in machine.adapters for name in (adapter.name, *adapter.hosts)}
    return [
        wrong(
            f"{text(name)} does not exist",
            f"GSPNP_PNP_INTERFACES names {text(name)}, but this machine has no such interface or address.",
            f"Correct the setting. There are: {', '.join(sorted(known))}.",
        )
        for name in setup.interfaces
        if name not in known
    ]


def judge_containers(machine: Machine) -> list[Finding]:
    """Is a container's bridge between the phones and the listener? Multicast does not cross one (design 7)."""
    wired = [adapter for adapter in machine.adapters if adapter.hosts and not adapter.loopback]
    bridges = [adapter.name for adapter in wired if _CONTAINER_BRIDGE.fullmatch(adapter.name)]
    behind = machine.container and bool(wired) and all(adapter.virtual for adapter in wired)
    title = "Container network"
    if behind and machine.default_interface in {adapter.name for adapter in wired}:
        return [wrong(
            title,
            "This runs in a container with a network of its own behind a bridge. Multicast does not cross that bridge, "
            "so no phone outside is heard here.",
            HOST_NETWORK_REMEDY,
        )]  # fmt: skip
    if behind:
        return [warning(
            title,
            "This runs in a container, and all its interfaces lead to other networks inside the same machine.",
            HOST_NETWORK_REMEDY,
        )]  # fmt: skip
    if machine.default_interface in bridges:
        return [warning(
            title,
            f"The way out of this machine leads over {machine.default_interface}, a bridge for containers or virtual "
            "machines. Multicast from a LAN does not cross it.",
            "Let the listener use the interface that the phones' LAN is plugged into.",
        )]  # fmt: skip
    if bridges:
        words = (
            f"{', '.join(bridges)}: for containers or virtual machines of this host. No phone on a LAN is behind it."
        )
        return [ok(title, words)]
    inside = "This runs in a container, on a network that it shares with its host." if machine.container else ""
    return [ok(title, inside or "No container's bridge is in the way.")]
