"""Under which names the console may be opened: this machine's own, as they are now, and GSPNP_HOSTS.

Any other Host header is refused: a page of a stranger whose DNS name is made to point here (DNS rebinding)
must not reach the console. Nothing is asked of DNS, because DNS is what such a stranger controls. Source: our
choice; the matching itself is `django.http.request.validate_host`.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import ifaddr

from gspnp.env import SettingError

logger = logging.getLogger(__name__)

CACHE_SECONDS = 5.0
# A name that is not known makes us look again, so that a new address works at once; this bounds how often.
RESCAN_SECONDS = 1.0
ETC_HOSTS = Path("/etc/hosts")
# Suffixes that nobody can register (RFC 6762, RFC 8375, and names ICANN keeps back or that home routers use).
LOCAL_SUFFIXES = ("local", "lan", "localdomain", "home.arpa", "internal", "home", "corp")


def own_addresses() -> list[str]:
    """The IPv4 and IPv6 addresses of this machine, without scope or brackets."""
    addresses = []
    for adapter in ifaddr.get_adapters():
        for entry in adapter.ips:
            addresses.append(entry.ip if isinstance(entry.ip, str) else entry.ip[0])
    return addresses


def own_names(addresses: Iterable[str], hostname: str, etc_hosts: str) -> set[str]:
    """Names of a machine with these addresses, this hostname and this /etc/hosts, in lower case.

    A name that /etc/hosts puts on loopback counts only if it has no dot, ends locally or begins with the
    hostname: lists that block advertisers put *their* names there.
    """
    hostname = hostname.lower().rstrip(".")
    short = hostname.partition(".")[0]
    names = {"localhost"}
    if short:
        names |= {hostname, short, *(f"{short}.{suffix}" for suffix in LOCAL_SUFFIXES)}
    own = {ipaddress.ip_address(address) for address in addresses}
    for line in etc_hosts.splitlines():
        words = line.partition("#")[0].lower().split()
        if len(words) < 2:
            continue
        try:
            address = ipaddress.ip_address(words[0].partition("%")[0])
        except ValueError:
            continue
        for name in (word.rstrip(".") for word in words[1:]):
            if (address.is_loopback and _is_harmless(name, short)) or (address in own and not address.is_loopback):
                names.add(name)
    return names - {""}


def _is_harmless(name: str, short: str) -> bool:
    first, dot, rest = name.partition(".")
    return not dot or first == short or name.endswith(tuple(f".{suffix}" for suffix in LOCAL_SUFFIXES))


def as_host(address: str) -> str:
    """An address as it stands in a URL: IPv6 in brackets."""
    return f"[{address.lower()}]" if ":" in address else address


class OwnHosts(list[str]):
    """For ALLOWED_HOSTS: a list whose content is this machine's own addresses and names, now, plus `extra`.

    A subclass of list because Django's settings insist on one; the list that it inherits stays empty.
    """

    def __init__(self, extra: Iterable[str] = ()) -> None:
        super().__init__()
        self._extra = tuple(_checked(name) for name in extra)
        self._lock = threading.Lock()
        self._hosts: tuple[str, ...] = ()
        self._read_at = float("-inf")

    def current(self, within_seconds: float = CACHE_SECONDS) -> tuple[str, ...]:
        """The names that are valid now, read at most `within_seconds` ago."""
        with self._lock:
            if time.monotonic() - self._read_at > within_seconds:
                self._hosts = self._read()
                self._read_at = time.monotonic()
            return self._hosts

    def _read(self) -> tuple[str, ...]:
        try:
            addresses = own_addresses()
        except OSError as error:
            logger.warning("The machine's addresses cannot be read (%s); only loopback and names are served.", error)
            addresses = ["127.0.0.1", "::1"]
        try:
            etc_hosts = ETC_HOSTS.read_text(encoding="utf-8", errors="replace")
        except OSError:
            etc_hosts = ""
        names = own_names(addresses, socket.gethostname(), etc_hosts)
        return tuple(dict.fromkeys([*map(as_host, addresses), *sorted(names), *self._extra]))

    def __iter__(self) -> Iterator[str]:
        known = self.current()
        yield from known
        # Whoever comes this far has found no match.
        yield from (host for host in self.current(within_seconds=RESCAN_SECONDS) if host not in known)

    def __contains__(self, host: object) -> bool:
        return any(host == known for known in self)

    def __len__(self) -> int:
        return len(self.current())

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = None

    def __repr__(self) -> str:
        return f"OwnHosts(extra={list(self._extra)!r})"


def _checked(name: str) -> str:
    name = name.strip().lower().rstrip(".")
    if "*" in name or "/" in name or "://" in name or not name:
        raise SettingError(
            f"GSPNP_HOSTS: {name!r} is not a host name. Write names, such as pbx.example.org, and commas."
        )
    try:
        return as_host(str(ipaddress.ip_address(name.strip("[]"))))
    except ValueError:
        pass
    if ":" in name:
        raise SettingError(f"GSPNP_HOSTS: {name!r} has a port. Write the name alone; every port is meant.")
    return name
