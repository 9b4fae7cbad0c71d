"""DHCP option 66 for networks where multicast does not get through: text to paste into four DHCP servers. Pure.

Sources: formats.md h3, h4, h8 and h9 (what the phone takes, its vendor class and MACs); dnsmasq(8), dhcpd.conf(5),
RouterOS "DHCP server: options" (6.8 and later) and the DhcpServer module of Windows Server.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

FOLDER = "provisioning"
VENDOR_CLASS = "Grandstream"  # option 60 is this, a blank and the model (formats.md h8)
VENDOR_MACS = ("000B82", "C074AD", "EC74D7")  # formats.md h9
# What can stand in every one of the four without escaping. Our choice: an address that needs more gets no text.
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9.:\-\[\]_]{1,255}(?:/[A-Za-z0-9._~\-/]{0,200})?", re.ASCII)
# A DHCP option carries at most 255 bytes (RFC 2132 2).
MAX_OPTION_BYTES = 255

BY_RELEASE_ONLY = (
    "Option 66 brings a phone to this server, and it appears in the list when it asks. Its file has a password, so "
    "cfg<MAC>.xml and the other plain names below this address are answered with 404 until somebody releases it: on "
    "the phone's page, or by `manage.py release`, for one address, some minutes and one download."
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Option 66 for the phones of one interface, in the words of one DHCP server."""

    key: str
    server: str
    place: str
    """Where the text goes."""
    interface: str
    """Our interface towards the phones."""
    network: str
    url: str
    """What the option says."""
    text: str


def option_value(base_url: str) -> str | None:
    """The text of option 66 for a door's base URL; None if it cannot be pasted safely."""
    url = f"{base_url}/{FOLDER}"
    return url if _PLAIN_URL.fullmatch(url) and len(url) <= MAX_OPTION_BYTES else None


def recipes(interface: str, network: str, base_url: str) -> tuple[Recipe, ...]:
    """The four texts for one network (`10.0.0.0/24`); none if the URL is not one that can be pasted safely."""
    url = option_value(base_url)
    if url is None:
        return ()
    net = ipaddress.IPv4Network(network, strict=False)
    name = re.sub("[^A-Za-z0-9]", "-", interface)

    def recipe(key: str, server: str, place: str, lines: list[str]) -> Recipe:
        return Recipe(key, server, place, interface, str(net), url, "\n".join(lines) + "\n")

    inside = f"/etc/dhcp/dhcpd.conf, inside the block of subnet {net.network_address}, then restart dhcpd"
    return (
        recipe("dnsmasq", "dnsmasq", "A file in /etc/dnsmasq.d/, then restart dnsmasq", _dnsmasq(net, url)),
        recipe("isc", "ISC dhcpd", inside, _isc(url)),
        recipe(
            "mikrotik",
            "MikroTik RouterOS",
            "A terminal of the router, RouterOS 6.8 or newer",
            _mikrotik(name, net, url),
        ),
        recipe("windows", "Windows Server", "PowerShell as an administrator", _windows(name, net, url)),
    )


def _dnsmasq(net: ipaddress.IPv4Network, url: str) -> list[str]:
    return [
        f"# If this dnsmasq serves more than {net}: tag that range (dhcp-range=set:lan,...) and write tag:lan too.",
        f"dhcp-vendorclass=set:gspnp,{VENDOR_CLASS}",
        f'dhcp-option=tag:gspnp,66,"{url}"',
    ]


def _isc(url: str) -> list[str]:
    return [
        f'if substring (option vendor-class-identifier, 0, {len(VENDOR_CLASS)}) = "{VENDOR_CLASS}" {{',
        f'  option tftp-server-name "{url}";',
        "}",
    ]


def _mikrotik(name: str, net: ipaddress.IPv4Network, url: str) -> list[str]:
    return [
        f"/ip dhcp-server option add name=gspnp-{name} code=66 value=\"s'{url}'\"",
        f'/ip dhcp-server network set [find address="{net}"] dhcp-option=gspnp-{name}',
    ]


def _windows(name: str, net: ipaddress.IPv4Network, url: str) -> list[str]:
    scope, macs = net.network_address, ",".join(f"{mac}*" for mac in VENDOR_MACS)
    return [
        f'Add-DhcpServerv4Policy -Name "gspnp-{name}" -ScopeId {scope} -Condition OR -MacAddress EQ,{macs}',
        f'Set-DhcpServerv4OptionValue -ScopeId {scope} -PolicyName "gspnp-{name}" -OptionId 66 -Value "{url}"',
    ]
