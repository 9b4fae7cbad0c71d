"""Judges who holds the SIP port, how the listener hears beside it, and whether its buffers hold. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from sipmcast.doctor.facts import Heard, Machine, Setup, elsewhere, here
from sipmcast.doctor.finding import Finding, ok, unknown, warning
from sipmcast.doctor.tables import UdpSocket

ANY = ("0.0.0.0", "::")
# comm(5) cuts names at 15 characters.
PBXES = {
    "asterisk": "Asterisk",
    "freeswitch": "FreeSWITCH",
    "kamailio": "Kamailio",
    "opensips": "OpenSIPS",
    "yate": "Yate",
    "3CXSipServer": "3CX",
    "sipxproxy": "sipXcom",
}
WAYS = {
    "auto": "GSPNP_RECEIVE is auto: as root or with CAP_NET_RAW the listener hears by a raw socket and leaves the port "
    "to whoever wants it; without, by a UDP socket, which needs that program to allow address reuse.",
    "socket": "GSPNP_RECEIVE is socket: the listener never uses a raw socket, so a program that holds 0.0.0.0 without "
    "address reuse keeps it from hearing anything.",
    "raw": "GSPNP_RECEIVE is raw: the listener hears by a raw socket, which needs root or CAP_NET_RAW, and leaves the "
    "port to whoever wants it.",
}
DROPS_COUNTER = "kernel_drops"
SUBSCRIBE_BYTES = 1_500  # what one takes in the kernel's count: 212,992 bytes hold 100 to 200 (test-bench.md)


def judge_port(machine: Machine, setup: Setup, listeners: Sequence[Heard]) -> list[Finding]:
    """Who holds the port that phones speak to, and how we hear beside it."""
    sockets = [one for one in machine.udp if one.port == setup.port]
    ours, others = _by_owner(machine, setup, sockets, bool(here(listeners, machine.name)))
    findings = [_judge_ours(machine, setup, listeners, ours)]
    seen: set[tuple[str, str]] = set()
    for one in others:
        who = _who(machine, one)
        if (one.host, who) not in seen:
            seen.add((one.host, who))
            findings.append(_judge_other(machine, setup, one, who, hears=bool(ours or _raw(machine))))
    if not others:
        findings.append(ok(f"UDP port {setup.port}", "No PBX or other program on this machine holds it."))
    return findings


def _by_owner(
    machine: Machine, setup: Setup, sockets: Sequence[UdpSocket], listening: bool
) -> tuple[list[UdpSocket], list[UdpSocket]]:
    """Our sockets, and those of others. One on the group whose holder may not be seen is taken for the listener's."""
    ours: list[UdpSocket] = []
    others: list[UdpSocket] = []
    for one in sockets:
        holder = machine.holder(one)
        mine = holder.ours if holder else listening and one.host == setup.group
        (ours if mine else others).append(one)
    return ours, others


def _raw(machine: Machine) -> list[UdpSocket]:
    """Raw sockets of our listener."""
    held = [(one, machine.holder(one)) for one in machine.raw]
    return [one for one, holder in held if holder is not None and holder.ours]


def _judge_ours(machine: Machine, setup: Setup, listeners: Sequence[Heard], ours: Sequence[UdpSocket]) -> Finding:
    place = f"{setup.group}:{setup.port}"
    if ours:
        holder = machine.holder(ours[0])
        by = f" (pid {holder.pid})" if holder else ""
        return ok("The listener's own socket", f"Our listener{by} holds {place}: the group's address, nobody else's.")
    if _raw(machine):
        return ok("The listener's own socket", f"Our listener hears {place} by a raw socket and holds no port.")
    others = elsewhere(listeners, machine.name)
    if here(listeners, machine.name):
        return unknown(
            "The listener's own socket",
            f"A listener is alive here, but no socket of it on {place} can be seen: it may be in another network "
            "namespace or container, or use a raw socket of another account.",
            "Run this command as root, where the listener runs.",
        )
    if others:
        return unknown("The listener's own socket", f"The listener runs on {', '.join(others)}.")
    return unknown("The listener's own socket", f"Nobody of ours listens on {place}, as far as this account may see.")


def _who(machine: Machine, one: UdpSocket) -> str:
    holder = machine.holder(one)
    if holder is None:
        return "A program that this account may not see"
    known = PBXES.get(holder.name)
    return f"{known} (pid {holder.pid})" if known else str(holder)


def _judge_other(machine: Machine, setup: Setup, one: UdpSocket, who: str, hears: bool) -> Finding:
    """A program beside us: which address it holds decides whether we can live together (design 4)."""
    place = f"[{one.host}]:{one.port}" if ":" in one.host else f"{one.host}:{one.port}"
    hidden = machine.holder(one) is None
    command = f"sudo ss -lunp 'sport = :{one.port}'" if hidden else ""
    if one.host == setup.group:
        return warning(
            f"{who} listens to phones too",
            f"It holds {place}, the group's own address: it hears every phone that starts, as we do.",
            "Find out what it is. If it provisions phones, switch that off: two servers make phones go back and forth.",
            command or f"ps -fp {machine.programs[one.inode].pid}",
        )
    if one.host not in ANY:
        return ok(f"{who} holds {place}", "A PBX on its own address and we do not disturb each other.")
    if hears:
        way = "by a raw socket" if _raw(machine) else "by the group's own address"
        return ok(f"{who} holds {place}", f"We hear {way} beside it, and it keeps every packet of its own.")
    remedy = (
        "Set GSPNP_RECEIVE=auto or raw and run the listener as root or with CAP_NET_RAW; or bind that program to its "
        "own address."
    )
    words = f"It holds the port on every address. {WAYS[setup.receive]}"
    if setup.receive == "socket":
        return warning(f"{who} holds {place}", words, remedy, command)
    return unknown(f"{who} holds {place}", words, remedy, command)


def judge_buffers(machine: Machine, setup: Setup, listeners: Sequence[Heard]) -> list[Finding]:
    """Does what arrives at once find room, and has anything been lost?"""
    sockets = [one for one in machine.udp if one.port == setup.port]
    ours = _by_owner(machine, setup, sockets, bool(here(listeners, machine.name)))[0] + _raw(machine)
    said = max((one.counters.get(DROPS_COUNTER, 0) for one in listeners if one.fresh), default=0)
    return [_judge_size(machine.wanted_bytes, machine.granted_bytes), *_judge_losses(ours, machine.wanted_bytes, said)]


def _judge_size(wanted: int, granted: int) -> Finding:
    title = "Receive buffer"
    if granted >= wanted:
        return ok(title, f"A socket gets the {wanted:,} bytes that a boot storm needs.")
    return warning(
        title,
        f"A socket that asks for {wanted:,} bytes gets {granted:,}: room for some {granted // SUBSCRIBE_BYTES} phones "
        "that start at the same moment. The kernel drops the rest, and they try again.",
        "Raise the limit and restart the listener (one that runs as root may be allowed more):",
        f"echo net.core.rmem_max={wanted} | sudo tee /etc/sysctl.d/90-gspnp.conf && sudo sysctl --system",
    )


def _judge_losses(ours: Sequence[UdpSocket], wanted: int, said: int) -> list[Finding]:
    """What the kernel's tables or the listeners themselves say of datagrams that nobody read."""
    if not ours and not said:
        return []
    drops = max(sum(one.drops for one in ours), said)
    queued = max((one.queued_bytes for one in ours), default=0)
    if drops:
        return [warning(
            "Datagrams lost in the kernel",
            f"{drops:,} datagrams were dropped because the buffer was full, since the listener started.",
            "Raise the receive buffer as above. If it is large enough, this machine is too busy.",
        )]  # fmt: skip
    if queued > wanted // 2:
        return [warning(
            "Datagrams wait",
            f"{queued:,} bytes wait to be read: the listener does not keep up at this moment.",
            "Look at the machine's load and at the listener's log.",
        )]  # fmt: skip
    return [ok("Datagrams lost in the kernel", "None since the listener started, and none waits.")]
