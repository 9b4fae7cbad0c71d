"""What the doctor makes of the network: what may swallow multicast, and what answers came back."""

from dataclasses import replace

import pytest

from sipmcast.doctor import network, verdicts
from sipmcast.doctor.facts import Decoy, Door, Echo, Firewall, Rival
from sipmcast.doctor.finding import Finding, State
from sipmcast.doctor.signals import Said
from sipmcast.doctor.tables import UdpSocket
from tests.sipmcast.test_doctor import ETH0, ETH1, JOINED, LISTENER, MACHINE, PROGRAMS, SETUP

# --- what may swallow multicast -------------------------------------------------------------------------------------


def test_an_old_querier_is_proof_and_a_bridge_that_asks_nobody_is_not():
    machine = replace(MACHINE, memberships={"eth0": replace(JOINED, version=2), "eth1": JOINED})
    judged = network.judge_igmp(machine, SETUP)
    assert [one.state for one in judged] == [State.OK, State.UNKNOWN]
    mute = replace(machine, adapters=(replace(ETH0, mute_snooping=True, forced_igmp=True),))
    judged = network.judge_igmp(mute, SETUP)
    assert [one.state for one in judged] == [State.WARNING, State.UNKNOWN]
    assert "/sys/class/net/eth0/bridge/multicast_querier" in judged[0].command


def test_a_strict_reverse_path_filter_matters_where_no_default_route_is():
    strict = replace(MACHINE, adapters=(replace(ETH0, rp_filter=1), replace(ETH1, rp_filter=1)))
    judged = network.judge_reverse_path(strict)[0]
    assert judged.state is State.WARNING and "strict on eth1:" in judged.words
    loose = replace(MACHINE, adapters=(replace(ETH1, rp_filter=2),))
    assert network.judge_reverse_path(loose)[0].state is State.OK


CLOSED = "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n%s\t}\n}\n"
OPEN = CLOSED.replace("policy drop", "policy accept")


@pytest.mark.parametrize(
    ("tool", "rules", "state"),
    [
        ("nft", "", State.OK),
        ("nft", OPEN % "", State.OK),
        ("nft", CLOSED % "", State.WARNING),
        ("nft", CLOSED % "\t\tudp dport 5060 accept\n", State.OK),
        ("nft", CLOSED % "\t\tip daddr 224.0.1.75 accept\n", State.OK),
        ("nft", CLOSED % "\t\tudp dport 50600 accept\n", State.WARNING),
        ("nft", OPEN % "\t\tudp dport 5060 drop\n", State.WARNING),
        ("nft", OPEN % "\t\tct state established accept\n\t\treject with icmpx admin-prohibited\n", State.WARNING),
        ("nft", OPEN % "\t\ttcp dport 25 drop\n", State.OK),
        ("nft", OPEN.replace("input", "output") % "\t\tdrop\n", State.OK),
        ("iptables-save", "*filter\n:INPUT DROP [0:0]\n", State.WARNING),
        ("iptables-save", "*filter\n:INPUT DROP [0:0]\n-A INPUT -p udp --dport 5060 -j ACCEPT\n", State.OK),
        (
            "iptables-save",
            ":INPUT ACCEPT [0:0]\n-A INPUT -j REJECT --reject-with icmp-host-prohibited\n",
            State.WARNING,
        ),
        ("", "", State.UNKNOWN),
    ],
)
def test_a_firewall_that_may_be_in_the_way(tool, rules, state):
    judged = network.judge_firewall(Firewall(tool, rules, "Only root may."), SETUP)[0]
    assert judged.state is state, judged
    assert state is not State.WARNING or "may drop" in judged.words


# --- answers --------------------------------------------------------------------------------------------------------

ANSWER = Said("200", listener="4711")


def judge_echo(*answers: Said, fault: str = "", listeners=(LISTENER,), allowed: bool = True) -> Finding:
    return verdicts.judge_echo(Echo("eth0", "10.0.0.1", answers, fault), MACHINE, SETUP, listeners, allowed)


def test_the_self_sent_subscribe_must_come_back_from_our_own_listener():
    assert judge_echo(ANSWER).state is State.OK and "4711" in judge_echo(ANSWER).words
    assert judge_echo(Said("200"), ANSWER).state is State.OK
    assert judge_echo(Said("200")).state is State.WARNING
    assert judge_echo().state is State.WRONG
    assert "GSPNP_ALLOWED_NETWORKS" in judge_echo(allowed=False).remedy
    assert "firewall" in judge_echo(fault="Operation not permitted").remedy
    away = replace(LISTENER, name="other/all/x")
    assert judge_echo(listeners=(away,)).state is State.UNKNOWN
    assert judge_echo(listeners=(replace(LISTENER, fresh=False),)).state is State.UNKNOWN
    assert judge_echo(listeners=None).state is State.WRONG, "without a database the answer itself is what counts"


@pytest.mark.parametrize(
    ("door", "state"),
    [
        (Door("http://10.0.0.1:5481/healthz", "eth0", 200), State.OK),
        (Door("http://10.0.0.1:5481/healthz", "eth0", 503), State.WRONG),
        (Door("http://10.0.0.1:5481/healthz", "eth0", 302), State.WRONG),
        (Door("http://10.0.0.1:5481/healthz", "eth0", fault="Connection refused"), State.WRONG),
        (Door("https://pnp.example/healthz", distrust=20), State.WARNING),
        (Door("https://pnp.example/healthz", distrust=62, own=True), State.WARNING),
        (Door("https://pnp.example/healthz", status=200, own=True), State.OK),
    ],
)
def test_a_door_that_phones_cannot_open_is_wrong(door, state):
    judged = verdicts.judge_doors([door], SETUP)[0]
    assert judged.state is state and bool(judged.remedy) == (state is not State.OK)


def test_a_rival_is_named_with_what_to_do():
    rival = Rival("10.0.0.9", 6060, ("202", "NOTIFY"), "Grandstream UCM6202\x1b[31m", "10.0.0.9:8089")
    (judged,) = verdicts.judge_decoy(Decoy("eth0", "10.0.0.1", (rival,)), MACHINE)
    assert judged.state is State.WRONG
    assert "\x1b" not in judged.words
    for part in ("10.0.0.9, port 6060", "202 and NOTIFY", "UCM6202", "10.0.0.9:8089"):
        assert part in judged.words
    assert "VLAN" in judged.remedy


def test_a_rival_on_this_very_machine_is_named_by_its_program():
    machine = replace(MACHINE, udp=(UdpSocket("0.0.0.0", 5060, 2, 0, 0),), programs=PROGRAMS)
    (judged,) = verdicts.judge_decoy(Decoy("eth0", "10.0.0.1", (Rival("10.0.0.1", 5060, ("200",)),)), machine)
    assert "another program on this machine" in judged.words and "asterisk (pid 200)" in judged.words


def test_no_rival_and_no_look_are_different_things():
    assert verdicts.judge_decoy(Decoy("eth0", "10.0.0.1"), MACHINE)[0].state is State.OK
    assert verdicts.judge_decoy(Decoy("eth0", "10.0.0.1", fault="down"), MACHINE)[0].state is State.UNKNOWN
