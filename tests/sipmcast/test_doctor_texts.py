"""What the doctor reads and writes: the kernel's tables, its own SUBSCRIBEs, the texts for DHCP servers."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from devices.sighting import Sighting
from provisioning.release import windows
from sipmcast.doctor import dhcp, signals, tables
from sipmcast.doctor.finding import Report, Section, State, ok, wrong
from sipmcast.pnp import DECOY_MAC_PREFIX, DOCTOR_VENDOR, GRANDSTREAM, sighting_from
from sipmcast.sip.message import Request, parse_message
from tests import cast
from tests.support.parts import SEARCH_PATH

GROUP = "224.0.1.75"
HERE = ("10.0.0.1", 40_000)
URL = "http://10.0.0.1:5481/provisioning"


def number(address: bytes) -> str:
    """An address as this machine's kernel prints it."""
    return f"{int.from_bytes(address, sys.byteorder):08X}"


# --- tables ---------------------------------------------------------------------------------------------------------


def test_udp_sockets_with_their_queue_and_drops():
    any_host, group = number(bytes(4)), number(bytes((224, 0, 1, 75)))
    text = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer\n"
        f"  7: {group}:13C4 00000000:0000 07 00000000:00000300 00:00000000 0  0  0 4242 2 0000000000000000 9\n"
        f"  8: {any_host}:13C4 00000000:0000 07 00000000:00000000 00:00000000 0  0  0 4243 2 0000000000000000 0\n"
        "rubbish\n"
    )
    assert tables.parse_sockets(text) == [
        tables.UdpSocket(GROUP, 5060, 4242, 0x300, 9),
        tables.UdpSocket("0.0.0.0", 5060, 4243, 0, 0),
    ]


def test_an_ipv6_socket_and_an_ipv4_address_in_it():
    words = [bytes(4), bytes(4), b"\x00\x00\xff\xff", bytes((10, 0, 0, 1))]
    for digits, host in (("0" * 32, "::"), ("".join(map(number, words)), "10.0.0.1")):
        line = f"  1: {digits}:13C4 {'0' * 32}:0000 07 0:0 00:0 0 0 0 77 2 0 0"
        assert tables.parse_sockets(f"head\n{line}\n")[0].host == host


def test_igmp_memberships_by_interface():
    text = (
        "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n"
        "1\tlo        :     1      V3\n"
        f"\t\t\t\t{number(bytes((224, 0, 0, 1)))}     1 0:00000000\t\t0\n"
        "4\teth0.100  :     2      V2\n"
        f"\t\t\t\t{number(bytes((224, 0, 1, 75)))}     1 0:00000000\t\t1\n"
    )
    assert tables.parse_igmp(text) == {
        "lo": tables.Membership(3, frozenset({"224.0.0.1"})),
        "eth0.100": tables.Membership(2, frozenset({GROUP})),
    }


def test_the_default_route_with_the_lowest_metric():
    head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    row = "{}\t{}\t0101A8C0\t0003\t0\t0\t{}\t00000000\t0\t0\t0\n"
    text = head + row.format("wlan0", "00000000", 600) + row.format("eth0", "00000000", 100)
    assert tables.parse_default_route(text) == "eth0"
    assert tables.parse_default_route(head + row.format("eth0", "0000A8C0", 0)) == ""


# --- SUBSCRIBEs -----------------------------------------------------------------------------------------------------


def heard(sent: signals.Signal) -> Sighting:
    """What a listener reads in it."""
    request = parse_message(sent.datagram)
    assert isinstance(request, Request)
    return sighting_from(request, HERE, HERE[0], "eth0", 0.0, GRANDSTREAM)


def test_the_question_is_marked_and_the_decoy_looks_like_a_phone_that_nobody_owns():
    question, decoy = heard(signals.question(GROUP, HERE)), heard(signals.decoy(GROUP, HERE))
    assert (question.vendor, question.ours) == (DOCTOR_VENDOR, False)
    assert (decoy.vendor, decoy.model, decoy.ours) == ("Grandstream", "GXP1628", True)
    assert decoy.mac.startswith(DECOY_MAC_PREFIX)
    assert int(decoy.mac[:2], 16) & 0b11 == 0b10, "locally administered, and no multicast"
    assert heard(signals.decoy(GROUP, HERE)).mac != decoy.mac


def answer(sent: signals.Signal, status: str = "200 OK", more: str = "") -> bytes:
    head = f"SIP/2.0 {status}\r\nVia: SIP/2.0/UDP 10.0.0.1:40000\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\n"
    return f"{head}Call-ID: {sent.call_id}\r\nCSeq: 20000 SUBSCRIBE\r\n{more}Content-Length: 0\r\n\r\n".encode()


def test_an_answer_is_known_by_its_call_id_and_ours_by_its_header():
    sent = signals.question(GROUP, HERE)
    ours = signals.read(answer(sent, more="X-Gspnp: 4711\r\n"), HERE, sent)
    assert ours is not None and (ours.how, ours.listener) == ("200", "4711")
    stranger = signals.read(answer(sent, "202 Accepted", "Server: <b>UCM</b>\x07\r\n"), HERE, sent)
    assert stranger is not None and (stranger.how, stranger.listener) == ("202", "")
    assert stranger.software.startswith("<b>UCM</b>") and "\x07" not in stranger.software
    assert signals.read(answer(signals.question(GROUP, HERE)), HERE, sent) is None
    assert signals.read(b"\xff\x00 rubbish", HERE, sent) is None
    assert signals.read(sent.datagram, HERE, sent) is None


def test_a_strangers_notify_is_answered_so_that_it_is_not_sent_again_and_its_url_is_not_shown():
    sent = signals.decoy(GROUP, HERE)
    notify = (
        b"NOTIFY sip:10.0.0.1:40000 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9:6060;branch=z9hG4bK1\r\n"
        b"From: <sip:10.0.0.9>;tag=1\r\nTo: <sip:10.0.0.1>\r\nCall-ID: x\r\nCSeq: 1 NOTIFY\r\nUser-Agent: UCM\r\n"
        b"Event: ua-profile\r\nContent-Type: application/url\r\n\r\nhttps://user:secret@10.0.0.9:8089/zc/secret/path"
    )
    said = signals.read(notify, ("10.0.0.9", 6061), sent)
    assert said is not None and (said.how, said.software, said.url_host) == ("NOTIFY", "UCM", "10.0.0.9:8089")
    assert said.reply.startswith(b"SIP/2.0 481 ") and said.reply_to == ("10.0.0.9", 6060)


# --- DHCP -----------------------------------------------------------------------------------------------------------


def text_for(key: str) -> str:
    return next(one.text for one in dhcp.recipes("eth0", "10.0.0.1/24", "http://10.0.0.1:5481") if one.key == key)


def test_each_dhcp_server_gets_this_servers_own_url():
    assert dhcp.option_value("http://10.0.0.1:5481") == URL
    for key in ("dnsmasq", "isc", "mikrotik", "windows"):
        assert URL in text_for(key)
    assert "-ScopeId 10.0.0.0 " in text_for("windows")
    assert '[find address="10.0.0.0/24"]' in text_for("mikrotik")


@pytest.mark.parametrize(
    "base", ['http://a"; reboot', "http://a'b", "http://a b", "ftp://a", "http://a/$(x)", "http://" + "a" * 255]
)
def test_a_url_that_cannot_be_pasted_safely_is_not_offered(base):
    assert dhcp.recipes("eth0", "10.0.0.0/24", base) == ()


def test_the_four_texts_have_the_shape_that_their_servers_read():
    lines = [line for line in text_for("dnsmasq").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"dhcp-(vendorclass=set:\w+,\w+|option=tag:\w+,66,\"[^\"]+\")", line) for line in lines)
    assert re.fullmatch(
        r'if substring \(option vendor-class-identifier, 0, 11\) = "Grandstream" \{\n'
        r'  option tftp-server-name "[^"]+";\n\}\n',
        text_for("isc"),
    )
    assert re.fullmatch(r"/ip .* code=66 value=\"s'[^']+'\"\n/ip .* dhcp-option=gspnp-eth0\n", text_for("mikrotik"))
    assert [line.split(" ")[0] for line in text_for("windows").splitlines()] == [
        "Add-DhcpServerv4Policy",
        "Set-DhcpServerv4OptionValue",
    ]


def check(tool: str, *arguments: str) -> None:
    """Let the server's own program read it, where it is installed; the shapes above stand in for it elsewhere."""
    program = shutil.which(tool, path=SEARCH_PATH)
    if program is not None:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, done.stderr


def test_dnsmasq_itself_takes_its_text(tmp_path: Path):
    file = tmp_path / "gspnp.conf"
    file.write_text(text_for("dnsmasq"), encoding="utf-8")
    check("dnsmasq", "--test", f"--conf-file={file}")


def test_dhcpd_itself_takes_its_text(tmp_path: Path):
    file = tmp_path / "dhcpd.conf"
    inside = "subnet 10.0.0.0 netmask 255.255.255.0 {\n" + text_for("isc") + "}\n"
    file.write_text(inside, encoding="utf-8")
    check("dhcpd", "-t", "-cf", str(file), "-lf", "/dev/null")


@pytest.mark.django_db
def test_what_is_said_of_plain_names_is_how_the_door_behaves():
    """When this fails the door does something else with plain names: dhcp.BY_RELEASE_ONLY must say so."""
    plain = f"/provisioning/cfg{cast.MAC.lower()}.xml"
    version = cast.assigned()
    assert cast.ask(plain).status == 404 and "404" in dhcp.BY_RELEASE_ONLY
    windows.open_release(version.phone_id, cast.HOST, by="tess")
    assert [cast.ask(plain).status for _ in range(2)] == [200, 404] and "one download" in dhcp.BY_RELEASE_ONLY


def test_a_report_counts_and_names_its_worst(clock):
    from django.utils import timezone

    sections = (Section("a", "A", (ok("x", "fine"),)), Section("b", "B", (wrong("y", "broken", "mend it"),)))
    report = Report("pbx", timezone.now(), True, sections, dhcp.recipes("eth0", "10.0.0.0/24", "http://10.0.0.1:5481"))
    assert report.worst is State.WRONG and report.counts == {"ok": 1, "unknown": 0, "warning": 0, "wrong": 1}
    said = report.as_json()
    assert [one["worst"] for one in said["sections"]] == ["ok", "wrong"]
    assert said["sections"][1]["findings"][0] == {
        "state": "wrong", "title": "y", "words": "broken", "remedy": "mend it", "command": ""
    }  # fmt: skip
    assert {one["key"] for one in said["dhcp"]} == {"dnsmasq", "isc", "mikrotik", "windows"}
