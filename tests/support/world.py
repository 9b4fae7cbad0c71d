"""A customer's place: a PBX machine with gspnp on it, two LANs, and phones that are plugged in as tests need them."""

import itertools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.netns import Host, Lab, Lan
from tests.support.site import Site
from tests.support.strict_phone import StrictPhone

SERVER_NUMBER = 1
LANS = 2

_serials = itertools.count(0x270001)
_numbers = itertools.count(10)


def fresh_mac() -> str:
    """A Grandstream MAC that no other phone of this run has."""
    return f"000B82{next(_serials):06X}"


class World:
    """One installation on a host of its own with an interface on each of two LANs."""

    def __init__(self, lab: Lab, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.lab = lab
        self.lans: list[Lan] = [lab.lan() for _ in range(LANS)]
        self.pbx: Host = lab.host("pbx")
        for lan in self.lans:
            lab.plug(self.pbx, lan, SERVER_NUMBER)
        self.site = Site(folder, self.pbx, settings)

    def host(self, lan: int = 0, *, mac: str = "", number: int = 0) -> Host:
        """A machine on one LAN; `mac` is its hardware address."""
        serial = next(_numbers)
        host = self.lab.host("h")
        self.lab.plug(host, self.lans[lan], number or 10 + serial % 240, mac)
        return host

    def phone(self, lan: int = 0, *, mac: str = "", model: str = "GXP1628", host: Host | None = None) -> StrictPhone:
        """A phone with its own MAC on its own host, or one that only says so on another's."""
        mac = mac or fresh_mac()
        return StrictPhone(host or self.host(lan, mac=mac), mac, model)

    def close(self) -> None:
        self.site.close()


def together(phones, step) -> list:
    """Do the same with many phones at once, a thread each; the first error is raised."""
    phones = list(phones)
    with ThreadPoolExecutor(max_workers=max(1, len(phones))) as pool:
        return list(pool.map(step, phones))
