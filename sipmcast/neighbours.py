"""What the kernel's neighbour (ARP) table says of "this MAC lives at this address".

Linux only. The table is read once for each batch of questions, and anew for each batch, because an answer that is a
second old may be wrong. Source: proc(5), /proc/net/arp; flag 0x2 is "complete".
"""

from pathlib import Path

from devices.choices import OUT_OF_SIGHT
from devices.mac import MacError, parse_mac
from devices.models import Phone
from devices.trust import Verdict

ARP_TABLE = Path("/proc/net/arp")
COMPLETE = 0x2


class Neighbours:
    """The table as it is when the first question is asked: a batch of known phones asks none, and reads nothing."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] | None = None

    def hosts(self, interface: str) -> list[str]:
        """The addresses of this interface at which it shows a MAC."""
        return [host for host in self._table() if self._macs(host, interface)]

    def verify(self, host: str, mac: str, interface: str = "") -> Verdict:
        """Does the phone with this MAC live at this address of the network behind this interface?

        Two interfaces may have the same addresses: what one sees says nothing of the other. Without an interface the
        answer is of all of them, and unknown where they disagree.
        """
        known = self._macs(host, interface)
        if len(known) != 1:
            return Verdict.UNKNOWN
        return Verdict.MATCH if known == {mac} else Verdict.MISMATCH

    def _macs(self, host: str, interface: str) -> set[str | None]:
        return {_mac_of(line, interface) for line in self._table().get(host, ())} - {None}

    def _table(self) -> dict[str, list[str]]:
        if self._lines is None:
            self._lines = _read()
        return self._lines


def snapshot() -> Neighbours:
    """The table for a batch of questions."""
    return Neighbours()


def verify(host: str, mac: str, interface: str = "") -> Verdict:
    """The same for a single question."""
    return Neighbours().verify(host, mac, interface)


def shows_another(phone: Phone) -> bool:
    """Whether another device's MAC is at this phone's address: its passwords would go there."""
    return verify(phone.source_host or "", phone.mac, phone.interface) is Verdict.MISMATCH


def knows_phones(interface: str) -> bool:
    """Whether the table shows most phones of this interface to be who they say. Where it does not (a router answers for
    all who are behind it, or one machine simulates many), another MAC proves nothing.

    Phones that are retired or ignored do not count.
    """
    table = Neighbours()
    phones = Phone.objects.filter(source_host__in=table.hosts(interface)).exclude(stage__in=OUT_OF_SIGHT)
    told = phones.values_list("source_host", "mac")
    matches = [table.verify(host or "", mac, interface) is Verdict.MATCH for host, mac in told]
    return 2 * sum(matches) > len(matches)


def _read() -> dict[str, list[str]]:
    """Address -> its lines; empty where there is no such table. Lines are read only when they are asked for."""
    try:
        lines = ARP_TABLE.read_text(encoding="ascii", errors="replace").splitlines()[1:]
    except OSError:
        return {}
    found: dict[str, list[str]] = {}
    for line in lines:
        found.setdefault(line.partition(" ")[0], []).append(line)
    return found


def _mac_of(line: str, interface: str) -> str | None:
    """The MAC in a complete entry of this interface; None if it is none, or of no Ethernet."""
    fields = line.split()
    try:
        if len(fields) < 6 or not int(fields[2], 16) & COMPLETE or interface not in ("", fields[5]):
            return None
        return parse_mac(fields[3])
    except (ValueError, MacError):
        return None
