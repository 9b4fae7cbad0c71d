"""What the kernel's neighbour table says, read as Linux writes it."""

import pytest

from devices.models import Phone
from devices.trust import Verdict
from sipmcast import neighbours
from tests import cast

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


def test_the_table_is_read_anew_for_each_single_question(table):
    assert neighbours.verify("10.0.0.20", "000B82273B89") is Verdict.MATCH
    table.write_text(TABLE.replace("00:0b:82:27:3b:89", "00:0b:82:99:99:99"))
    assert neighbours.verify("10.0.0.20", "000B82273B89") is Verdict.MISMATCH


def test_a_batch_of_questions_reads_it_once_and_only_if_there_is_a_question(table):
    reads = []

    class Counted(type(table)):
        def read_text(self, *arguments, **more):
            reads.append(self)
            return super().read_text(*arguments, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "ARP_TABLE", Counted(table))
        asked = neighbours.snapshot()
        assert reads == []
        for _ in range(100):
            assert asked.verify("10.0.0.20", "000B82273B89", "eth0") is Verdict.MATCH
            assert asked.verify("10.0.0.99", "000B82273B89", "eth0") is Verdict.UNKNOWN
    assert len(reads) == 1


@pytest.mark.parametrize("text", ["", HEAD, "nonsense", HEAD + "a b c d e f\n", "\udcff\x00" * 1000])
def test_a_table_that_cannot_be_read_knows_nobody(table, text):
    table.write_text(text, errors="surrogateescape")
    for host in ("10.0.0.20", "a", ""):
        assert neighbours.verify(host, "000B82273B89") is Verdict.UNKNOWN


def test_a_missing_table_knows_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(neighbours, "ARP_TABLE", tmp_path / "none")
    assert neighbours.verify("10.0.0.20", "000B82273B89") is Verdict.UNKNOWN


class TestTwoInterfacesWithTheSameAddresses:
    """10.0.0.20 is one device on eth0 and another one on eth1."""

    @pytest.fixture(autouse=True)
    def two(self, table):
        table.write_text(TABLE + "10.0.0.20        0x1         0x2         00:0b:82:99:99:99     *        eth1\n")

    def test_each_network_verifies_its_own(self):
        assert neighbours.verify("10.0.0.20", "000B82273B89", "eth0") is Verdict.MATCH
        assert neighbours.verify("10.0.0.20", "000B82999999", "eth1") is Verdict.MATCH

    def test_what_one_network_knows_is_a_mismatch_on_the_other(self):
        assert neighbours.verify("10.0.0.20", "000B82273B89", "eth1") is Verdict.MISMATCH
        assert neighbours.verify("10.0.0.20", "000B82999999", "eth0") is Verdict.MISMATCH

    def test_an_interface_that_has_not_heard_of_it_knows_nothing(self):
        assert neighbours.verify("10.0.0.21", "000B82AAAAAA", "eth1") is Verdict.UNKNOWN
        assert neighbours.verify("10.0.0.20", "000B82273B89", "eth") is Verdict.UNKNOWN

    def test_without_an_interface_nobody_is_verified(self):
        assert neighbours.verify("10.0.0.20", "000B82273B89") is Verdict.UNKNOWN
        assert neighbours.verify("10.0.0.20", "000B82999999") is Verdict.UNKNOWN


def test_this_machines_own_table_can_be_read():
    assert neighbours.verify("192.0.2.1", "000B82273B89", "lo") in Verdict


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("there", "knows"),
    [
        ([], False),
        ([("10.0.0.20", "000B82273B89")], True),
        ([("10.0.0.20", "000B82273B89"), ("10.0.0.21", "000B82000001")], False),
        ([("10.0.0.20", "000B82273B89"), ("10.0.0.21", "000B82AAAAAA"), ("10.0.0.21", "000B82000001")], True),
        ([("10.0.0.20", "000B82273B89"), ("10.0.0.23", "000B82000001"), ("10.0.0.99", "000B82000002")], True),
        ([("10.0.0.20", "000B82273B89"), *(("10.0.0.21", f"000B82{number:06X}") for number in range(9))], False),
    ],
    ids=["nobody", "one", "as many others", "one of three is another", "not in the table", "a machine that simulates"],
)
def test_the_table_knows_phones_if_it_shows_most_of_them_where_they_say(table, there, knows):
    for host, mac in there:
        cast.seen(mac, host)
    assert neighbours.knows_phones("eth0") == knows
    assert not neighbours.knows_phones("eth1")


@pytest.mark.django_db
def test_a_phone_that_is_out_of_service_does_not_count(table):
    cast.seen()
    cast.seen("000B82000001", "10.0.0.21")
    assert not neighbours.knows_phones("eth0")
    Phone.objects.filter(mac="000B82000001").update(stage="retired")
    assert neighbours.knows_phones("eth0")
