"""What the kernel's neighbour (ARP) table says of "this MAC lives at this address".

Linux only; the table is read anew for each question, because an answer that is a second old may be wrong.
Source: proc(5), /proc/net/arp; flag 0x2 is "complete".
"""

from pathlib import Path

from devices.mac import MacError, parse_mac
from devices.trust import Verdict

ARP_TABLE = Path("/proc/net/arp")
COMPLETE = 0x2


def entries() -> dict[str, str]:
    """Address -> MAC of every complete entry; empty where there is no such table.

    An address that two interfaces see with different MACs is left out: the table cannot say which one we reach.
    """
    try:
        lines = ARP_TABLE.read_text(encoding="ascii", errors="replace").splitlines()[1:]
    except OSError:
        return {}
    found: dict[str, set[str]] = {}
    for line in lines:
        fields = line.split()
        try:
            if len(fields) >= 6 and int(fields[2], 16) & COMPLETE:
                found.setdefault(fields[0], set()).add(parse_mac(fields[3]))
        except (ValueError, MacError):
            continue  # no Ethernet, or no table as we know it
    return {host: macs.pop() for host, macs in found.items() if len(macs) == 1}


def verify(host: str, mac: str) -> Verdict:
    """Does the phone with this MAC live at this address, as far as the kernel knows?"""
    known = entries().get(host)
    if known is None:
        return Verdict.UNKNOWN
    return Verdict.MATCH if known == mac else Verdict.MISMATCH
