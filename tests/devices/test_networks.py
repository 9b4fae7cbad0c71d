"""Whose packets and requests are taken."""

import pytest

from devices import networks


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("10.0.0.1", True), ("10.255.255.255", True), ("172.16.0.1", True), ("172.31.255.255", True),
        ("192.168.1.1", True), ("127.0.0.1", True), ("169.254.1.1", True), ("::1", True), ("fe80::1", True),
        ("fe80::1%eth0", True), ("fd00::1", True), ("::ffff:10.0.0.1", True),
        ("172.32.0.1", False), ("172.15.255.255", False), ("11.0.0.1", False), ("8.8.8.8", False),
        ("::ffff:8.8.8.8", False), ("2001:db8::1", False), ("", False), ("localhost", False), ("10.0.0", False),
        ("10.0.0.1 ", False), ("10.0.0.1/8", False), ("010.0.0.1", False), ("0x0a000001", False), ("*", False),
    ],
)  # fmt: skip
def test_private_and_loopback_addresses_are_allowed_by_default_and_no_others(host, expected, monkeypatch):
    monkeypatch.setattr(networks, "connected", lambda: ())
    assert networks.allowed(host, []) is expected


def test_connected_networks_are_allowed_by_default(monkeypatch):
    monkeypatch.setattr(networks, "connected", lambda: ("203.0.113.9/24", "2001:db8::5/64"))
    assert networks.allowed("203.0.113.200", [])
    assert networks.allowed("2001:db8::77", [])
    assert not networks.allowed("203.0.114.1", [])


def test_configured_networks_replace_the_default_ones(monkeypatch):
    monkeypatch.setattr(networks, "connected", lambda: ("203.0.113.9/24",))
    configured = ["198.51.100.0/24", "192.0.2.7"]
    assert networks.allowed("198.51.100.20", configured)
    assert networks.allowed("192.0.2.7", configured)
    assert networks.allowed("::ffff:192.0.2.7", configured)
    for host in ("10.0.0.1", "127.0.0.1", "203.0.113.9", "192.0.2.8", "nonsense"):
        assert not networks.allowed(host, configured)


def test_the_machines_own_networks_are_read_and_kept_for_a_moment(monkeypatch):
    monkeypatch.setattr(networks, "_connected", (-networks.CONNECTED_CACHE_SECONDS, ()))
    monkeypatch.setattr(networks.time, "monotonic", lambda: 1000.0)
    assert any(network.startswith("127.0.0.1/") for network in networks.connected())
    monkeypatch.setattr(networks.ifaddr, "get_adapters", lambda: [])
    assert networks.connected()
    monkeypatch.setattr(networks.time, "monotonic", lambda: 1005.0)
    assert networks.connected() == ()


def test_a_network_is_parsed_once_and_not_for_every_datagram(monkeypatch):
    """The listener asks this on its event loop for each datagram; parsing 20 networks takes 60 µs each time."""
    parsed = []
    real = networks.ipaddress.ip_network
    monkeypatch.setattr(networks.ipaddress, "ip_network", lambda *a, **k: (parsed.append(a), real(*a, **k))[1])
    configured = [f"10.{n}.0.0/16" for n in range(20)]
    for number in range(100):
        assert networks.allowed(f"10.19.{number}.1", configured)
    assert len(parsed) <= len(configured)
