"""This machine as it is now: interfaces, sockets and who holds them, limits, container. It only reads.

Whatever cannot be read is left empty, so that one forbidden file costs one finding and not all of them.
Sources: proc(5), and Documentation/ABI/testing/sysfs-class-net of the kernel.
"""

import ipaddress
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import ifaddr

from devices.sighting import plain_text
from sipmcast.doctor.facts import Adapter, Firewall, Machine, Program
from sipmcast.doctor.tables import (
    FLAG_LOOPBACK,
    FLAG_MULTICAST,
    FLAG_UP,
    UDP_PROTOCOL,
    parse_default_route,
    parse_igmp,
    parse_sockets,
)
from sipmcast.sockets import RECEIVE_BUFFER_BYTES

PROC = Path("/proc")
INTERFACES = Path("/sys/class/net")
SYSCTL = Path("/proc/sys/net")
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
FIREWALL_SECONDS = 2.0
FIREWALL_CHARS = 500_000
NAME_CHARS = 60
LISTENER_WORD = "listen_pnp"
# A program that runs scripts: what it runs says more than its own name.
_SCRIPTED = re.compile(r"(python|perl|ruby|node|php|java)[0-9.]*")


def read_machine(port: int) -> Machine:
    """Read it now; programs are looked up for sockets on this UDP port, and raw ones."""
    udp = tuple(one for name in ("udp", "udp6") for one in parse_sockets(_text(PROC / "net" / name)))
    raw = tuple(one for one in parse_sockets(_text(PROC / "net/raw")) if one.port == UDP_PROTOCOL)
    igmp = _text(PROC / "net/igmp")
    return Machine(
        name=host_name(),
        adapters=read_adapters(),
        memberships=parse_igmp(igmp) if igmp else None,
        udp=udp,
        raw=raw,
        programs=find_programs({one.inode for one in udp if one.port == port} | {one.inode for one in raw}),
        wanted_bytes=RECEIVE_BUFFER_BYTES,
        granted_bytes=granted_buffer_bytes(),
        container=in_container(),
        default_interface=parse_default_route(_text(PROC / "net/route")),
    )


def host_name() -> str:
    """As listeners write it into their name."""
    return socket.gethostname()[:40]


def read_adapters() -> tuple[Adapter, ...]:
    """Every interface of this network namespace, those without an address too, in the order of their numbers."""
    addresses: dict[str, list[tuple[str, int]]] = {}
    for adapter in ifaddr.get_adapters(include_unconfigured=True):
        # An alias ("eth0:1") is a second name of the same interface.
        place = addresses.setdefault(adapter.name.partition(":")[0], [])
        place += [(ip.ip, ip.network_prefix) for ip in adapter.ips if isinstance(ip.ip, str)]
    return tuple(_adapter(name, places) for name, places in addresses.items())


def _adapter(name: str, places: list[tuple[str, int]]) -> Adapter:
    base = INTERFACES / name
    flags = _number(base / "flags", 16)
    bridge = base / "bridge"
    asks_nobody = _number(bridge / "multicast_snooping") == 1 and _number(bridge / "multicast_querier") == 0
    linked = _number(base / "iflink") not in (None, _number(base / "ifindex"))
    strictness = [_number(SYSCTL / "ipv4/conf" / where / "rp_filter") for where in ("all", name)]
    return Adapter(
        name=name,
        hosts=tuple(host for host, _ in places),
        networks=tuple(str(ipaddress.IPv4Interface(f"{host}/{prefix}").network) for host, prefix in places),
        up=flags is None or bool(flags & FLAG_UP),
        multicast=flags is None or bool(flags & FLAG_MULTICAST),
        loopback=bool((flags or 0) & FLAG_LOOPBACK),
        virtual=linked and "DEVTYPE" not in _text(base / "uevent"),
        bridge_port=(base / "master").exists(),
        rp_filter=max((one for one in strictness if one is not None), default=None),
        forced_igmp=any(_number(SYSCTL / "ipv4/conf" / where / "force_igmp_version") for where in ("all", name)),
        mute_snooping=asks_nobody,
    )


def find_programs(inodes: set[int]) -> dict[int, Program]:
    """Who holds these sockets, as far as this account may look."""
    found: dict[int, Program] = {}
    for pid, inode in _open_sockets():
        if inode in inodes and (inode not in found or found[inode].pid > pid):
            found[inode] = _program(pid)
    return found


def _open_sockets() -> Iterator[tuple[int, int]]:
    """Process id and inode of every open socket that we may see."""
    for folder in PROC.iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            links = [os.readlink(entry) for entry in os.scandir(folder / "fd")]
        except OSError:
            continue  # not ours to read, or gone meanwhile
        for link in links:
            if link.startswith("socket:[") and link[8:-1].isdecimal():
                yield int(folder.name), int(link[8:-1])


def _program(pid: int) -> Program:
    words = _text(PROC / str(pid) / "cmdline").split("\0")
    name = _text(PROC / str(pid) / "comm").strip() or Path(words[0]).name
    script = next((Path(word).name for word in words[1:] if word and not word.startswith("-")), "")
    if script and _SCRIPTED.fullmatch(name):
        name = f"{name} {script}"
    return Program(pid, plain_text(name, NAME_CHARS) or "a program", LISTENER_WORD in words)


def granted_buffer_bytes() -> int:
    """What a socket gets that asks for the listener's buffer; the kernel says twice of it (socket(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        return asking.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def in_container() -> bool:
    """Does this process run in a container, whatever its network is?"""
    words = _text(PROC / "1/cgroup")
    return any(mark.exists() for mark in CONTAINER_MARKS) or any(
        word in words for word in ("/docker", "/kubepods", "/lxc", "libpod")
    )


def read_firewall() -> Firewall:
    """Ask nft, else iptables-save, for the rules of this machine."""
    if os.geteuid() != 0:
        return Firewall(why_not="Only root may read the firewall's rules.")
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    for tool, arguments in (("nft", ("-s", "list", "ruleset")), ("iptables-save", ())):
        program = shutil.which(tool, path=path)
        if program is None:
            continue
        try:
            done = subprocess.run(
                [program, *arguments], capture_output=True, timeout=FIREWALL_SECONDS, check=False,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return Firewall(why_not=f"{tool} did not answer within {FIREWALL_SECONDS:.0f} s.")
        if done.returncode == 0:
            return Firewall(tool, done.stdout.decode("utf-8", "replace")[:FIREWALL_CHARS])
    return Firewall(why_not="Neither nft nor iptables-save could be asked here.")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _number(path: Path, base: int = 10) -> int | None:
    try:
        return int(_text(path), base)
    except ValueError:
        return None
