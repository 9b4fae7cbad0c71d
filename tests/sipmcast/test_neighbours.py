"""What the kernel's neighbour table says, read as Linux writes it."""

import pytest

from devices.trust import Verdict
from sipmcast import neighbours

HEAD = "IP address       HW type     Flags       HW address            Mask     Device\n"
TABLE = HEAD + (
    "10.0.0.20        0x1         0x2         00:0b:82:27:3b:89     *        eth0\n"
    "10.0.0.21        0x1         0x6         00:0b:82:aa:aa:aa     *        eth0\n"
    "10.0.0.22        0x1         0x0         00:00:00:00:00:00     *        eth0\n"
    "10.0.0.23        0x1         0x0         00:0b:82:27:3b:89     *        eth0\n"
    "10.0.0.24        0x20        0x2         80:00:00:48:fe:80:00:00:00:00:00:00:00:02:c9:03:00:0b:ee:21 * ib0\n"
    "10.0.0.25        0x1         0x2\n"
    "\n"
)


@pytest.fixture
def table(tmp_path, monkeypatch):
    path = tmp_path / "arp"
    path.write_text(TABLE)
    monkeypatch.setattr(neighbours, "ARP_TABLE", path)
    return path


@pytest.mark.parametrize(
    ("host", "mac", "expected"),
    [
        ("10.0.0.20", "000B82273B89", Verdict.MATCH),
        ("10.0.0.20", "000B82AAAAAA", Verdict.MISMATCH),
        ("10.0.0.21", "000B82AAAAAA", Verdict.MATCH),
        ("10.0.0.22", "000B82273B89", Verdict.UNKNOWN),
        ("10.0.0.23", "000B82273B89", Verdict.UNKNOWN),
        ("10.0.0.24", "000B82273B89", Verdict.UNKNOWN),
        ("10.0.0.25", "000B82273B89", Verdict.UNKNOWN),
        ("10.0.0.99", "000B82273B89", Verdict.UNKNOWN),
        ("", "000B82273B89", Verdict.UNKNOWN),
        ("127.0.0.1", "000B82273B89", Verdict.UNKNOWN),
    ],
)
def test_verdicts(table, host, mac, expected):
    assert neighbours.verify(host, mac) is expected


def test_the_table_is_read_anew_each_time(table):
    assert neighbours.verify("10.0.0.20", "000B82273B89") is Verdict.MATCH
    table.write_text(TABLE.replace("00:0b:82:27:3b:89", "00:0b:82:99:99:99"))
    assert neighbours.verify("10.0.0.20", "000B82273B89") is Verdict.MISMATCH


@pytest.mark.parametrize("text", ["", HEAD, "nonsense", HEAD + "a b c d e f\n"])
def test_a_table_that_cannot_be_read_knows_nobody(table, text):
    table.write_text(text)
    assert neighbours.entries() == {}


def test_a_missing_table_knows_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(neighbours, "ARP_TABLE", tmp_path / "none")
    assert neighbours.verify("10.0.0.20", "000B82273B89") is Verdict.UNKNOWN


def test_two_interfaces_that_disagree_verify_nobody(table):
    """The same address on two LANs: one of them is not the phone, and the table cannot say which one we reach."""
    table.write_text(TABLE + "10.0.0.20        0x1         0x2         00:0b:82:99:99:99     *        eth1\n")
    assert neighbours.verify("10.0.0.20", "000B82273B89") is not Verdict.MATCH
    assert neighbours.verify("10.0.0.20", "000B82999999") is not Verdict.MATCH


def test_this_machines_own_table_can_be_read():
    assert isinstance(neighbours.entries(), dict)
