"""Hosts on one machine: Linux network namespaces joined by bridges, for tests with real multicast.

A `Lan` is a plain switch in a namespace of its own, a `Host` is a namespace with one interface on each LAN that it
is plugged into. All cables run from namespace to namespace, so nothing is ever seen outside. Names carry the pid
and the worker of their owner; what a dead owner left behind is swept when the next one starts.
"""

import ctypes
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.parts import require, require_root

CLONE_NEWNET = 0x40000000  # linux/sched.h
NAMES = Path("/run/netns")
PREFIX = "gse2e"
OWNED = re.compile(rf"{PREFIX}-(\d+)-[a-z0-9]+-[a-z0-9]+")
COMMAND_SECONDS = 20

_libc = ctypes.CDLL(None, use_errno=True)


def run_ip(*arguments: str, lines: Sequence[str] = ()) -> str:
    """Run ip(8), or a batch of its lines; what it printed. A refusal is an error with ip's own words."""
    command = [require("ip"), *arguments, *(["-batch", "-"] if lines else [])]
    done = subprocess.run(
        command, input="\n".join(lines), capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} {list(lines)}: {done.stderr.strip()}")
    return done.stdout


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread is in the namespace meanwhile; a socket that is opened now stays in it for ever."""
    with open("/proc/thread-self/ns/net", "rb") as home, open(NAMES / namespace, "rb") as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@dataclass(frozen=True)
class Lan:
    """A switch, and the network that is spoken on it: 10.x.y.0/24."""

    switch: str
    network: str

    def address(self, number: int) -> str:
        return f"{self.network}.{number}"


@dataclass
class Host:
    """One machine on one or more LANs; `addresses` in the order in which it was plugged in."""

    namespace: str
    addresses: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return self.addresses[0]

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs something here; ip(8) becomes it, so the pid is that of the program."""
        return [require("ip"), "netns", "exec", self.namespace, *arguments]

    def socket(self, kind: int = socket.SOCK_DGRAM, family: int = socket.AF_INET, protocol: int = 0) -> socket.socket:
        with inside(self.namespace):
            return socket.socket(family, kind, protocol)

    def ip(self, *arguments: str) -> None:
        """ip(8) here: `host.ip("link", "set", "eth0", "down")`."""
        run_ip("-n", self.namespace, *arguments)

    def index(self, interface: str) -> int:
        """The kernel's number of an interface here."""
        with inside(self.namespace):
            return socket.if_nametoindex(interface)


class Lab:
    """Everything one owner has made; `close` takes it all away."""

    def __init__(self, worker: str = "") -> None:
        require_root()
        require("ip")
        sweep()
        self.owner = f"{PREFIX}-{os.getpid()}-{re.sub('[^a-z0-9]', '', worker) or 'main'}"
        self._made: list[str] = []
        self._hosts = 0
        self._lans = 0
        self._cables = 0
        self._vlans: dict[tuple[str, int], Lan] = {}

    def lan(self, network: str = "") -> Lan:
        """A new switch with a network of its own, or with the numbers of another."""
        self._lans += 1
        name = self._namespace("lan")
        run_ip("-n", name, lines=["link add name lan type bridge mcast_snooping 0", "link set lan up"])
        return Lan(name, network or f"10.71.{self._lans}")

    def host(self, label: str) -> Host:
        """A new machine with nothing but its loopback interface."""
        return Host(self._namespace(label))

    def plug(self, host: Host, lan: Lan, number: int, mac: str = "", index: int = 0) -> str:
        """Lay a cable: the host gets the address `number` there, and this hardware address; the interface's name.

        `index` is the number that the kernel shall know it by; 0 leaves that to the kernel.
        """
        name = f"eth{len(host.addresses)}"
        self._cable(host, lan, name, mac, index)
        return self._settle(host, name, lan.address(number))

    def plug_vlan(self, host: Host, lan: Lan, tag: int, number: int) -> str:
        """Put the host's first cable into a VLAN of this LAN too, and give it an address there; the interface's name.

        On a kernel without VLANs a cable and a switch of its own stand for it: from IP upwards there is no difference.
        """
        name = f"eth0.{tag}"
        if not host.addresses:
            self._cable(host, lan, "eth0")
        try:
            host.ip("link", "add", "link", "eth0", "name", name, "type", "vlan", "id", str(tag))
        except RuntimeError as error:
            if "Unknown device type" not in str(error):
                raise
            if (lan.switch, tag) not in self._vlans:
                self._vlans[lan.switch, tag] = self.lan()
            self._cable(host, self._vlans[lan.switch, tag], name)
        return self._settle(host, name, f"10.72.{tag}.{number}")

    def unplug(self, host: Host, name: str) -> None:
        """Take an interface away; the address that came with the newest one is forgotten."""
        host.ip("link", "delete", name)
        host.addresses.pop()

    def _cable(self, host: Host, lan: Lan, name: str, mac: str = "", index: int = 0) -> None:
        self._cables += 1
        port = f"p{self._cables}"
        hardware = (f" address {colons(mac)}" if mac else "") + (f" index {index}" if index else "")
        run_ip(
            lines=[
                f"link add name {name} netns {host.namespace}{hardware} type veth peer name {port} netns {lan.switch}"
            ]
        )
        run_ip("-n", lan.switch, lines=[f"link set {port} master lan", f"link set {port} up"])
        host.ip("link", "set", name, "up")
        self._await_forwarding(lan, port)

    def _await_forwarding(self, lan: Lan, port: str) -> None:
        """On a busy machine the switch hears of the carrier a second later, and drops what comes before."""
        deadline = time.monotonic() + COMMAND_SECONDS
        while "state forwarding" not in run_ip("-n", lan.switch, "-details", "link", "show", port):
            assert time.monotonic() < deadline, f"{port} of {lan.switch} does not forward"
            time.sleep(0.01)

    def _settle(self, host: Host, name: str, address: str) -> str:
        run_ip(
            "-n",
            host.namespace,
            lines=[
                f"address add {address}/24 dev {name}",
                f"link set {name} up",
                # A second interface takes what the first does not: whoever sends to the group says from where.
                f"route append 224.0.0.0/4 dev {name}",
            ],
        )
        host.addresses.append(address)
        return name

    def move(self, host: Host, lan: Lan, number: int) -> None:
        """Give the host's only interface another address, as a DHCP server may."""
        address = lan.address(number)
        run_ip(
            "-n",
            host.namespace,
            lines=[
                f"address del {host.address}/24 dev eth0",
                f"address add {address}/24 dev eth0",
                "route append 224.0.0.0/4 dev eth0",
            ],
        )
        host.addresses[0] = address

    def remove(self, host: Host) -> None:
        """Switch one machine off for good."""
        self._made.remove(host.namespace)
        run_ip("netns", "delete", host.namespace)

    def close(self) -> None:
        while self._made:
            with suppress(RuntimeError):
                run_ip("netns", "delete", self._made.pop())

    def _namespace(self, label: str) -> str:
        self._hosts += 1
        name = f"{self.owner}-{label}{self._hosts}"
        assert OWNED.fullmatch(name), name
        run_ip("netns", "add", name)
        self._made.append(name)
        with inside(name):
            Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1", encoding="ascii")
            Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1", encoding="ascii")
        run_ip("-n", name, "link", "set", "lo", "up")
        return name


def sweep() -> None:
    """Delete the namespaces whose owner is dead."""
    for path in NAMES.glob(f"{PREFIX}-*"):
        owned = OWNED.fullmatch(path.name)
        if owned and not Path("/proc", owned[1]).exists():
            with suppress(RuntimeError):
                run_ip("netns", "delete", path.name)


def colons(mac: str) -> str:
    """12 hex digits as ip(8) writes them."""
    return ":".join(re.findall("..", mac.lower()))
