"""One look at everything: reads the machine, asks the listeners' rows, sends the probes side by side, judges."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from devices import networks
from devices.crypto import CannotDecrypt
from provisioning import certificates, crossing
from provisioning import safety as defaults
from sipmcast import sockets
from sipmcast.doctor import dhcp, hearing, network, places, port, probing, safety, tls, verdicts
from sipmcast.doctor.facts import Decoy, Door, Echo, Firewall, Heard, Machine, Setup, here
from sipmcast.doctor.finding import Finding, Report, Section, unknown
from sipmcast.doctor.machine import read_firewall, read_machine
from sipmcast.models import ListenerStatus
from sipmcast.sockets import Interface

PROBES_SECONDS = 5.0  # all of them together; a name that DNS does not answer would take longer
MAX_INTERFACES = 16
NOT_IN_TIME = "It did not end in time."


def read_setup() -> Setup:
    """The settings as this process has them."""
    return Setup(
        group=settings.GSPNP_PNP_GROUP,
        port=settings.GSPNP_PNP_PORT,
        interfaces=settings.GSPNP_PNP_INTERFACES,
        receive=settings.GSPNP_RECEIVE,
        public_url=settings.GSPNP_PUBLIC_URL,
        phones_port=settings.GSPNP_PHONES_PORT,
        allowed_networks=settings.GSPNP_ALLOWED_NETWORKS,
        phones_tls=settings.PHONES_CERTIFICATE is not None,
    )


def read_listeners(now: datetime) -> list[Heard] | None:
    """What every listener last said; None if the database cannot be asked."""
    try:
        rows = list(ListenerStatus.objects.all())
    except DatabaseError:
        return None
    return [
        Heard(
            name=row.name,
            fresh=row.is_fresh,
            started_at=row.started_at,
            heartbeat_at=row.heartbeat_at,
            interfaces=row.interfaces,
            trouble=row.trouble,
            counters=row.counters,
            heard_at={name: at for name, said in row.heard_at.items() if (at := _moment(said)) is not None},
            warnings=row.warnings,
        )
        for row in rows
    ]


def read_defaults() -> list[defaults.Weakened] | None:
    """Which safe defaults somebody did away with; None if that cannot be read."""
    try:
        return defaults.weakened()
    except (DatabaseError, CannotDecrypt):
        return None


def read_plain_phones() -> int | None:
    """How many assigned phones have a newest file that says http; None if that cannot be read."""
    try:
        return crossing.plain_phones()
    except DatabaseError:
        return None


def _moment(said: object) -> datetime | None:
    try:
        at = parse_datetime(said) if isinstance(said, str) else None
    except ValueError:
        return None
    return timezone.make_aware(at) if at is not None and timezone.is_naive(at) else at


@dataclass
class Probes:
    """What was asked of the network and answered in time."""

    interfaces: list[Interface]
    echoes: list[Echo] = field(default_factory=list)
    decoys: list[Decoy] = field(default_factory=list)
    doors: list[Door] = field(default_factory=list)
    firewall: Firewall = field(default_factory=lambda: Firewall(why_not=verdicts.NOT_ASKED))
    sent: bool = False


def examine(chosen: Sequence[str] = (), *, probe: bool = True, ask_firewall: bool = True) -> Report:
    """Look at everything, or only at the interfaces that are `chosen` by name or address.

    Takes at most PROBES_SECONDS and what reading this machine takes; without `probe` no packet is sent.
    """
    now = timezone.localtime()  # the reader's zone in the console
    setup, listeners = read_setup(), read_listeners(now)
    machine = read_machine(setup.port)
    heard_on = [] if chosen else [name for one in here(listeners or (), machine.name) for name in one.interface_names]
    probes = ask(_to_ask(setup, chosen, heard_on), setup, send=probe, ask_firewall=ask_firewall)
    if chosen:
        names = frozenset(one.name.partition(":")[0] for one in probes.interfaces)  # an alias is its interface
        machine = replace(machine, chosen=names)
    sections = judge(machine, setup, listeners, probes, now)
    sections += (*_certificates(now), _safety())
    return Report(machine.name, now, probe, sections, _recipes(machine, setup))


def unknown_interfaces(chosen: Sequence[str]) -> list[str]:
    """Those that this machine does not have."""
    known = {word for one in sockets.find_interfaces(list(chosen)) for word in (one.name, one.host)}
    return [name for name in chosen if name not in known]


def _to_ask(setup: Setup, chosen: Sequence[str], heard_on: Sequence[str] = ()) -> list[Interface]:
    """The chosen interfaces, or those that a listener would use by these settings and those that this machine's living
    ones say that they use (they may have been told others); the loopback one last."""
    wanted = list(chosen) or ([*setup.interfaces, sockets.LOOPBACK] if setup.interfaces else [])
    found = {one.index: one for one in sockets.find_interfaces(wanted)}
    if heard_on:
        found = {one.index: one for one in sockets.find_interfaces(heard_on)} | found
    return sorted(found.values(), key=lambda one: verdicts.is_loopback(one.host))[:MAX_INTERFACES]


def ask(interfaces: list[Interface], setup: Setup, *, send: bool, ask_firewall: bool) -> Probes:
    """Send every probe at the same time and wait for all of them, but not for ever."""
    asked = Probes(interfaces, sent=send)
    lans = [one for one in interfaces if not verdicts.is_loopback(one.host)]
    jobs: list[tuple[Callable[[Any], None], Callable[..., Any], tuple]] = []
    if ask_firewall:
        asked.firewall = Firewall(why_not=NOT_IN_TIME)
        jobs.append((lambda said: setattr(asked, "firewall", said), read_firewall, ()))
    if send:
        where = (setup.group, setup.port)
        jobs += [(asked.echoes.append, probing.ask_listener, (one, *where)) for one in interfaces]
        jobs += [(asked.decoys.append, probing.send_decoy, (one, *where)) for one in lans]
        jobs += [(asked.doors.append, probing.knock, target) for target in _doors(lans or interfaces, setup)]
    if not jobs:
        return asked
    pool = ThreadPoolExecutor(max_workers=len(jobs), thread_name_prefix="doctor")
    futures: list[tuple[Callable[[Any], None], Future]] = [
        (keep, pool.submit(call, *arguments)) for keep, call, arguments in jobs
    ]
    done, _ = wait([future for _, future in futures], timeout=PROBES_SECONDS)
    pool.shutdown(wait=False, cancel_futures=True)
    for keep, future in futures:  # in the order in which they were asked
        if future in done:
            keep(future.result())
    return asked


def _doors(interfaces: Sequence[Interface], setup: Setup) -> list[tuple[str, str, Path | None]]:
    """The address of /healthz as phones of each interface reach it, and the file of the door's own certificate."""
    chain = settings.PHONES_CERTIFICATE.cert if settings.PHONES_CERTIFICATE else None
    if setup.public_url:
        return [(f"{setup.public_url}/healthz", "", chain)]
    return [(f"{setup.base_url(one.host)}/healthz", one.name, chain) for one in interfaces]


def judge(
    machine: Machine, setup: Setup, listeners: list[Heard] | None, probes: Probes, now: datetime
) -> tuple[Section, ...]:
    """Everything that is known, as findings."""
    known = listeners or []

    def section(key: str, title: str, *groups: Sequence[Finding]) -> Section:
        return Section(key, title, tuple(finding for group in groups for finding in group))

    return (
        section("listeners", "The listener", hearing.judge_listeners(listeners, now)),
        section("interfaces", "Where phones are heard", places.judge_interfaces(machine, setup, listeners)),
        section("echo", "A SUBSCRIBE that this machine sends to itself", _echoes(probes, machine, setup, listeners)),
        section("heard", "The last phone heard", hearing.judge_last_heard(listeners, now)),
        section("rivals", "Other provisioning servers", _rivals(probes, machine)),
        section("door", "The phones' door", _doors_judged(probes, setup)),
        section("port", f"Who holds UDP port {setup.port}", port.judge_port(machine, setup, known)),
        section("buffers", "Room for a boot storm", port.judge_buffers(machine, setup, known)),
        section(
            "network",
            "What may swallow multicast",
            places.judge_containers(machine),
            network.judge_igmp(machine, setup),
            network.judge_reverse_path(machine),
            network.judge_firewall(probes.firewall, setup),
        ),
    )


def _certificates(now: datetime) -> tuple[Section, ...]:
    """One section, if a door has a certificate of its own."""
    seen = list(certificates.seen())
    if not seen:
        return ()
    judged = tls.judge_certificates(seen, now)
    if settings.PHONES_CERTIFICATE is not None:
        judged.append(tls.judge_moving(read_plain_phones(), settings.GSPNP_PHONES_HTTP))
    return (Section("certificates", "Certificates", tuple(judged)),)


def _safety() -> Section:
    return Section("safety", "What phones are told for their safety", tuple(safety.judge_safety(read_defaults())))


def _echoes(probes: Probes, machine: Machine, setup: Setup, listeners: Sequence[Heard] | None) -> list[Finding]:
    allowed = setup.allowed_networks
    judged = [
        verdicts.judge_echo(echo, machine, setup, listeners, networks.allowed(echo.host, allowed))
        for echo in probes.echoes
    ]
    return judged or _unasked(probes)


def _rivals(probes: Probes, machine: Machine) -> list[Finding]:
    judged = [finding for decoy in probes.decoys for finding in verdicts.judge_decoy(decoy, machine)]
    return judged or _unasked(probes, "There is no LAN interface to look on.")


def _doors_judged(probes: Probes, setup: Setup) -> list[Finding]:
    return verdicts.judge_doors(probes.doors, setup) or _unasked(probes)


def _unasked(probes: Probes, otherwise: str = NOT_IN_TIME) -> list[Finding]:
    """Why there is no answer to judge."""
    if not probes.sent:
        return [unknown("Not tried yet", verdicts.NOT_ASKED)]
    return [unknown("Not known", otherwise if probes.interfaces else "There is no interface to ask on.")]


def _recipes(machine: Machine, setup: Setup) -> tuple[dhcp.Recipe, ...]:
    """Option 66 for each network that phones may be in."""
    found: list[dhcp.Recipe] = []
    for adapter in machine.wired:
        found += dhcp.recipes(adapter.name, adapter.networks[0], setup.base_url(adapter.hosts[0]))
    return tuple(found)
