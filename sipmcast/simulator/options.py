"""The command line of the simulator, checked once, and what one phone needs of it.

The same options serve the Django command and `python -m sipmcast.simulator`; Django is not imported.
"""

import dataclasses
import ipaddress
import random
import re
import ssl
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from sipmcast.simulator.faults import FaultError, describe, parse_faults

DESCRIPTION = (
    "Simulate Grandstream GXP16xx phones: each boots, sends the PnP SUBSCRIBE, waits for its NOTIFY, "
    "fetches and flashes its file, reboots and fetches it again by the path that the file names. "
    "Meanwhile, and for --stay seconds after that, it behaves like a phone in use. "
    "Exit code 1 if one of them did not get that far. No database is touched."
)
MODELS = ("GXP1610", "GXP1615", "GXP1620", "GXP1625", "GXP1628", "GXP1630")
GUIDE_FIRMWARE = "1.0.2.7"
OUI = 0x000B82 << 24


class OptionsError(ValueError):
    """An option has a value that makes no sense; the text is for the person who typed it."""


@dataclass(frozen=True)
class Timings:
    """How long a phone waits, in seconds; tests make everything shorter."""

    t1: float = 0.5  # before the first resend of SUBSCRIBE; doubles
    t2: float = 4.0  # the most between two resends
    sends: int = 5  # SUBSCRIBE transmissions per boot (vendor guide, step 1)
    pnp_wait: float = 5.0
    wait_assign: float = 600.0
    reboot: float = 0.5
    quiet: float = 2.0
    http_timeout: float = 30.0
    http_attempts: int = 3
    retry_wait: float = 1.0
    close_wait: float = 1.0


@dataclass(frozen=True)
class PhoneSetup:
    """One phone: who it is, where it is, what it was given and what goes wrong with it."""

    mac: str
    model: str = "GXP1628"
    firmware: str = GUIDE_FIRMWARE
    address: str = "127.0.0.1"
    interface_index: int = 0  # 0: the kernel finds the interface by the address
    group: str = "224.0.1.75"
    port: int = 5060
    option66: str = ""
    stored_path: str = ""
    ca: str = ""  # a file with the authorities that it knows; empty: it takes every certificate
    boots_max: int = 6
    timeout: float = 0.0  # 0: derived from the waits
    start_after: float = 0.0
    stay: float = 0.0  # seconds that it stays switched on once it is through
    faults: dict[str, float] = field(default_factory=dict)
    seed: str = "0"
    timings: Timings = Timings()


def add_arguments(parser: ArgumentParser) -> None:
    """Declare every option with its default and unit."""
    _add_who(parser.add_argument)
    _add_what(parser.add_argument)
    _add_waits(parser.add_argument)
    _add_run(parser.add_argument)


def _add_who(add: Callable[..., object]) -> None:
    add("--count", type=int, default=1, help="how many phones (default 1)")
    add(
        "--model",
        default="GXP1628",
        help="model, several with commas, or 'all'; taken in turn (default GXP1628)",
    )
    add("--firmware", default=GUIDE_FIRMWARE, help=f"firmware version they report (default {GUIDE_FIRMWARE})")
    add("--mac", default="", help="MAC of the first phone, the others count up (default: random under 000B82)")
    add(
        "--interface",
        default="",
        metavar="NAME|ADDR",
        help="interface or own IPv4 address (default: by route)",
    )
    add("--group", default="224.0.1.75", help="multicast group (default 224.0.1.75)")
    add("--port", type=int, default=5060, help="UDP port of the group (default 5060)")


def _add_what(add: Callable[..., object]) -> None:
    add(
        "--option66",
        default="",
        metavar="URL",
        help="what DHCP option 66 would say: a folder, asked unless P145 is 0",
    )
    add(
        "--stored-path",
        default="",
        metavar="URL",
        help="folder in the factory's P212 and P237 (default: none)",
    )
    add(
        "--ca",
        default="",
        metavar="FILE",
        help="PEM file with the authorities that they know: the server's certificate and its name are checked "
        "(default: every certificate is taken)",
    )
    add(
        "--loss",
        type=float,
        default=0.0,
        help="lose each datagram with this probability, 0 to 1, both directions",
    )
    add("--faults", default="", metavar="NAME[=VALUE],…", help=f"what goes wrong. {describe()}")
    add("--seed", type=int, default=None, help="repeat a run: MACs, identifiers and losses follow from it")


def _add_waits(add: Callable[..., object]) -> None:
    add("--boots-max", type=int, default=6, help="boots a phone may need; one more is a failure (default 6)")
    add(
        "--timeout",
        type=float,
        default=0.0,
        help="seconds a phone may take (default: --wait-assign and 120 more)",
    )
    add("--wait-assign", type=float, default=600.0, help="seconds to wait for a NOTIFY (default 600)")
    add(
        "--pnp-wait",
        type=float,
        default=5.0,
        help="seconds from the end of SUBSCRIBE to going on without NOTIFY, to option 66 and the stored path "
        "(default 5); a later NOTIFY is still obeyed",
    )
    add(
        "--reboot-time",
        type=float,
        default=0.5,
        help="seconds a reboot takes; the phone hears nothing (default 0.5)",
    )
    add(
        "--quiet",
        type=float,
        default=2.0,
        help="seconds without another boot before a phone is through (default 2)",
    )


def _add_run(add: Callable[..., object]) -> None:
    add(
        "--stagger",
        type=float,
        default=0.0,
        help="seconds between two phones' starts (default 0: all at once)",
    )
    add(
        "--stay",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="seconds that a phone stays switched on once it is through (default 0): it answers OPTIONS, obeys "
        "check-sync, resync and reboot, for which it asks the password of its account, and takes new files; one "
        "that is stopped meanwhile is through all the same",
    )
    add("--json", action="store_true", help="one JSON object per phone on standard output at the end")


@dataclass(frozen=True)
class Options:
    """A whole run, every value checked."""

    count: int = 1
    model: str = "GXP1628"
    firmware: str = GUIDE_FIRMWARE
    interface: str = ""
    group: str = "224.0.1.75"
    port: int = 5060
    mac: str = ""
    loss: float = 0.0
    faults: str = ""
    option66: str = ""
    stored_path: str = ""
    ca: str = ""
    boots_max: int = 6
    timeout: float = 0.0
    wait_assign: float = 600.0
    pnp_wait: float = 5.0
    reboot_time: float = 0.5
    quiet: float = 2.0
    stagger: float = 0.0
    stay: float = 0.0
    seed: int | None = None
    json: bool = False

    @classmethod
    def from_mapping(cls, chosen: Mapping[str, Any]) -> "Options":
        """Take ours from parsed arguments, ignore the rest; OptionsError says which one is wrong."""
        names = {one.name for one in dataclasses.fields(cls)}
        options = cls(**{name: value for name, value in chosen.items() if name in names})
        options.check()
        if options.seed is None:
            options = dataclasses.replace(options, seed=random.SystemRandom().randrange(2**31))
        return options

    def check(self) -> None:
        """Raise OptionsError at the first value that cannot be."""
        if not 1 <= self.count <= 10000:
            raise OptionsError("--count must be from 1 to 10000")
        if not 1 <= self.port <= 65535:
            raise OptionsError("--port must be from 1 to 65535")
        if self.boots_max < 1:
            raise OptionsError("--boots-max must be at least 1")
        for name in ("timeout", "wait_assign", "pnp_wait", "reboot_time", "quiet", "stagger", "stay"):
            if not 0 <= getattr(self, name) < 1e7:
                raise OptionsError(f"--{name.replace('_', '-')} must be seconds, 0 or more")
        try:
            multicast = ipaddress.IPv4Address(self.group).is_multicast
        except ValueError:
            multicast = False
        if not multicast:
            raise OptionsError(f"--group {self.group} is no IPv4 multicast address")
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,32}", self.firmware):
            raise OptionsError(f"--firmware {self.firmware!r} does not look like a version")
        self.models()
        self.check_ca()
        self.first_mac(0)
        self.fault_wishes()
        self.stored_values()

    def models(self) -> list[str]:
        """The models, in the order in which the phones take them."""
        models = list(MODELS) if self.model == "all" else [one.strip() for one in self.model.split(",")]
        for model in models:
            if not re.fullmatch(r"[A-Za-z0-9-]{3,24}", model):
                raise OptionsError(f"--model {model!r} does not look like a model")
        return models

    def check_ca(self) -> None:
        """Raise OptionsError if --ca is no file with certificates."""
        try:
            if self.ca:
                ssl.create_default_context(cafile=self.ca)
        except OSError as error:  # ssl.SSLError is one
            raise OptionsError(f"--ca {self.ca} cannot be used: {error}") from None

    def first_mac(self, seed: int) -> int:
        """The first phone's MAC as a number."""
        if not self.mac:
            return OUI | random.Random(f"{seed}/mac").randrange(2**24)
        digits = re.sub(r"[:.\-]", "", self.mac)
        if not re.fullmatch(r"[0-9A-Fa-f]{12}", digits):
            raise OptionsError(f"--mac {self.mac!r} is not 12 hex digits")
        return int(digits, 16)

    def fault_wishes(self) -> dict[str, float]:
        """Faults by name; --loss is another spelling of lose."""
        try:
            wishes = parse_faults(self.faults)
        except FaultError as error:
            raise OptionsError(f"--faults: {error}") from None
        if not 0 <= self.loss <= 1:
            raise OptionsError("--loss must be from 0 to 1")
        return {**wishes, "lose": self.loss} if self.loss else wishes

    def stored_values(self) -> dict[str, str]:
        """P212 and P237 of a phone that left the factory with --stored-path."""
        return stored_values(self.stored_path)


def stored_values(url: str) -> dict[str, str]:
    """A folder URL as P212 and P237, or OptionsError."""
    if not url:
        return {}
    protocol = {"http": "1", "https": "2", "tftp": "0"}.get(urlsplit(url).scheme)
    if protocol is None or not urlsplit(url).hostname:
        raise OptionsError(f"--stored-path {url!r} must be a URL: http, https or tftp")
    return {"P212": protocol, "P237": url.split("://", 1)[1].rstrip("/")}
