"""What the doctor knows before it judges: the settings, the machine, what listeners say, what came back. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from devices.sighting import plain_text
from sipmcast.doctor.signals import Said
from sipmcast.doctor.tables import Membership, UdpSocket

WORDS_CHARS = 400


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings that matter here, by the names of their knobs."""

    group: str
    port: int
    interfaces: Sequence[str] = ()
    receive: str = "auto"
    public_url: str = ""
    phones_port: int = 5481
    allowed_networks: Sequence[str] = ()
    phones_tls: bool = False
    """Does the phones' door have a certificate?"""

    def base_url(self, host: str) -> str:
        """Where the phones of the interface with this address of ours are sent to."""
        scheme = "https" if self.phones_tls else "http"
        return self.public_url or f"{scheme}://{host}:{self.phones_port}"


@dataclass(frozen=True, slots=True)
class Heard:
    """One listener, as it last spoke."""

    name: str
    """Host, interfaces, group and port: as `listen_pnp` names itself."""
    fresh: bool
    """Is it alive?"""
    started_at: datetime
    heartbeat_at: datetime
    interfaces: Sequence[str] = ()
    """`eth0 (10.0.0.1)`."""
    trouble: str = ""
    counters: Mapping[str, int] = field(default_factory=dict)
    heard_at: Mapping[str, datetime] = field(default_factory=dict)
    """Interface name -> when a SUBSCRIBE was last heard there."""
    warnings: Sequence[str] = ()

    @property
    def machine(self) -> str:
        return self.name.partition("/")[0]

    @property
    def interface_names(self) -> list[str]:
        return [said.partition(" ")[0] for said in self.interfaces]

    @property
    def devices(self) -> set[str]:
        """The same as the kernel calls them: an alias (eth0:1) is only a label on an address."""
        return {name.partition(":")[0] for name in self.interface_names}


@dataclass(frozen=True, slots=True)
class Adapter:
    """One network interface."""

    name: str
    hosts: tuple[str, ...] = ()
    """Its IPv4 addresses."""
    networks: tuple[str, ...] = ()
    """The same with their prefix."""
    up: bool = True
    multicast: bool = True
    loopback: bool = False
    virtual: bool = False
    """One end of a cable inside this machine, as containers have it."""
    bridge_port: bool = False
    """It carries for a bridge or bond, which has the address."""
    rp_filter: int | None = None
    forced_igmp: bool = False
    mute_snooping: bool = False
    """It is a bridge that filters multicast and asks nobody who wants it."""


@dataclass(frozen=True, slots=True)
class Program:
    """Who holds a socket."""

    pid: int
    name: str
    ours: bool
    """Is it our listener?"""

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


@dataclass(frozen=True, slots=True)
class Machine:
    """All that was read."""

    name: str
    adapters: tuple[Adapter, ...] = ()
    memberships: dict[str, Membership] | None = None
    udp: tuple[UdpSocket, ...] = ()
    raw: tuple[UdpSocket, ...] = ()
    """Raw sockets that hear UDP."""
    programs: dict[int, Program] = field(default_factory=dict)
    """Inode -> who holds it, as far as this account may see."""
    wanted_bytes: int = 0
    """How large a receive buffer the listener asks for."""
    granted_bytes: int = 0
    """What a socket really gets that asks for it."""
    container: bool = False
    default_interface: str = ""
    chosen: frozenset[str] = frozenset()
    """The interfaces that a person asked about; empty means all."""

    @property
    def shown(self) -> tuple[Adapter, ...]:
        """The interfaces to speak of."""
        return tuple(one for one in self.adapters if not self.chosen or one.name in self.chosen)

    @property
    def wired(self) -> tuple[Adapter, ...]:
        """Of these, the ones that phones may be behind."""
        return tuple(one for one in self.shown if one.hosts and one.up and not one.loopback)

    def holder(self, one: UdpSocket) -> Program | None:
        return self.programs.get(one.inode)


@dataclass(frozen=True, slots=True)
class Firewall:
    """The rules of the firewall as text, or why there is none."""

    tool: str = ""
    rules: str = ""
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Echo:
    """What became of the question on one interface."""

    interface: str
    host: str
    answers: tuple[Said, ...] = ()
    fault: str = ""
    """Why it could not even be sent."""


@dataclass(frozen=True, slots=True)
class Rival:
    """Somebody else who answers phones."""

    host: str
    port: int
    hows: tuple[str, ...]
    software: str = ""
    url_host: str = ""


@dataclass(frozen=True, slots=True)
class Decoy:
    """What became of the decoy on one interface."""

    interface: str
    host: str
    rivals: tuple[Rival, ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Door:
    """What the phones' door said to a GET of /healthz."""

    url: str
    interface: str = ""
    status: int = 0
    fault: str = ""
    distrust: int = 0
    """Why its certificate is not trusted here, as OpenSSL numbers it (X509_V_ERR_…); 0: it is."""
    own: bool = False
    """Is it trusted only because GSPNP_PHONES_CERT holds who signed it?"""


def here(listeners: Sequence[Heard], machine: str) -> list[Heard]:
    """The listeners that are alive on this machine."""
    return [one for one in listeners if one.fresh and one.machine == machine]


def elsewhere(listeners: Sequence[Heard], machine: str) -> list[str]:
    """Names of the other machines where a listener is alive."""
    return sorted({one.machine for one in listeners if one.fresh and one.machine != machine})


def text(said: object) -> str:
    """Somebody else's words, bounded and printable."""
    return plain_text(str(said), WORDS_CHARS)


def ago(at: datetime, now: datetime) -> str:
    """How long ago, in words."""
    seconds = max(0, round((now - at).total_seconds()))
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return f"{seconds} s ago"
