"""What the doctor makes of what it reads: every finding that would send a technician the right or the wrong way."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from sipmcast import sockets
from sipmcast.doctor import examine, hearing, places, port
from sipmcast.doctor.facts import Adapter, Heard, Machine, Program, Setup
from sipmcast.doctor.finding import Finding, Section, State
from sipmcast.doctor.tables import Membership, UdpSocket
from sipmcast.sockets import Interface

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
GROUP = "224.0.1.75"
SETUP = Setup(group=GROUP, port=5060)
LO = Adapter("lo", ("127.0.0.1",), ("127.0.0.0/8",), multicast=False, loopback=True)
ETH0 = Adapter("eth0", ("10.0.0.1",), ("10.0.0.0/24",))
ETH1 = Adapter("eth1", ("10.0.1.1",), ("10.0.1.0/24",))
JOINED = Membership(3, frozenset({GROUP, "224.0.0.1"}))
NOT_JOINED = Membership(3, frozenset({"224.0.0.1"}))
MACHINE = Machine(
    "pbx",
    adapters=(LO, ETH0, ETH1),
    memberships={"lo": JOINED, "eth0": JOINED, "eth1": JOINED},
    wanted_bytes=4_000_000,
    granted_bytes=4_000_000,
    default_interface="eth0",
)
LISTENER = Heard(
    "pbx/all/224.0.1.75:5060",
    fresh=True,
    started_at=NOW - timedelta(hours=2),
    heartbeat_at=NOW,
    interfaces=("lo (127.0.0.1)", "eth0 (10.0.0.1)", "eth1 (10.0.1.1)"),
    counters={"received": 1234, "sighted": 7},
)


def by_title(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.title.split(" ")[0]: finding for finding in findings}


def states(findings: list[Finding]) -> dict[str, State]:
    return {title: finding.state for title, finding in by_title(findings).items()}


# --- interfaces -----------------------------------------------------------------------------------------------------


def test_every_interface_that_hears_phones_is_named():
    judged = places.judge_interfaces(MACHINE, SETUP, [LISTENER])
    assert states(judged) == {"lo": State.OK, "eth0": State.OK, "eth1": State.OK}


def test_only_the_loopback_interface_is_wrong():
    only = replace(LISTENER, interfaces=("lo (127.0.0.1)",))
    judged = places.judge_interfaces(replace(MACHINE, adapters=(LO,)), SETUP, [only])
    assert judged[0].state is State.WRONG and "loopback" in judged[0].title


def test_a_listener_that_believes_to_have_joined_is_told_apart_from_the_kernel():
    deaf = replace(MACHINE, memberships={"lo": JOINED, "eth0": NOT_JOINED, "eth1": JOINED})
    judged = by_title(places.judge_interfaces(deaf, SETUP, [LISTENER]))
    assert judged["eth0"].state is State.WRONG and "Restart" in judged["eth0"].remedy


@pytest.mark.parametrize(
    ("adapter", "chosen", "state", "words"),
    [
        (replace(ETH1, up=False), (), State.WARNING, "it is down"),
        (replace(ETH1, hosts=(), networks=()), (), State.WARNING, "no IPv4 address"),
        (replace(ETH1, multicast=False), (), State.WARNING, "cannot do multicast"),
        (ETH1, ("eth0",), State.OK, "GSPNP_PNP_INTERFACES does not name it"),
        (ETH1, ("10.0.1.1", "eth0"), State.WARNING, "Not listened on."),
    ],
)
def test_why_an_interface_is_not_listened_on(adapter, chosen, state, words):
    machine = replace(MACHINE, adapters=(LO, ETH0, adapter), memberships={"lo": JOINED, "eth0": JOINED})
    listener = replace(LISTENER, interfaces=("lo (127.0.0.1)", "eth0 (10.0.0.1)"))
    judged = by_title(places.judge_interfaces(machine, replace(SETUP, interfaces=chosen), [listener]))["eth1"]
    assert (judged.state, words in judged.words) == (state, True), judged


def test_a_port_of_a_bridge_and_an_unplugged_interface_are_no_news():
    quiet = (replace(ETH1, hosts=(), bridge_port=True), Adapter("eth2", up=False))
    listener = replace(LISTENER, interfaces=("lo (127.0.0.1)", "eth0 (10.0.0.1)"))
    judged = places.judge_interfaces(replace(MACHINE, adapters=(LO, ETH0, *quiet)), SETUP, [listener])
    assert set(by_title(judged)) == {"lo", "eth0"}


def test_an_interface_that_refuses_is_wrong_in_the_listeners_own_words():
    listener = replace(LISTENER, interfaces=("eth0 (10.0.0.1)",), trouble="eth1: no right to a raw socket. Grant it.")
    judged = by_title(places.judge_interfaces(MACHINE, SETUP, [listener]))["eth1"]
    assert judged.state is State.WRONG and "no right to a raw socket" in judged.words


def test_a_stranger_in_the_group_on_an_interface_of_ours_is_mentioned():
    listener = replace(LISTENER, interfaces=("lo (127.0.0.1)", "eth0 (10.0.0.1)"))
    assert "Another program" in by_title(places.judge_interfaces(MACHINE, SETUP, [listener]))["eth1"].words


def test_an_alias_is_the_interface_itself():
    listener = replace(LISTENER, interfaces=("lo (127.0.0.1)", "eth0:1 (10.0.0.1)", "eth1 (10.0.1.1)"))
    assert states(places.judge_interfaces(MACHINE, SETUP, [listener]))["eth0"] is State.OK


def test_an_interface_that_the_settings_misspell_is_named():
    judged = places.judge_interfaces(MACHINE, replace(SETUP, interfaces=("eht0",)), [LISTENER])
    assert [one.state for one in judged if one.title == "eht0 does not exist"] == [State.WRONG]


def test_to_speak_of_one_interface_does_not_make_the_others_vanish():
    one = replace(MACHINE, chosen=frozenset({"eth1"}))
    judged = places.judge_interfaces(one, replace(SETUP, interfaces=("eth0", "10.0.1.1")), [LISTENER])
    assert states(judged) == {"eth1": State.OK}


def test_nobody_is_blamed_for_a_listener_on_another_machine():
    judged = places.judge_interfaces(MACHINE, SETUP, [replace(LISTENER, name="other/all/224.0.1.75:5060")])
    assert [one.state for one in judged] == [State.UNKNOWN]
    assert "other" in judged[0].words


@pytest.mark.parametrize(
    ("container", "virtual", "route", "state"),
    [
        (False, True, "eth0", State.OK),
        (True, False, "eth0", State.OK),
        (True, True, "eth0", State.WRONG),
        (True, True, "", State.WARNING),
    ],
)
def test_a_container_behind_a_bridge_is_found(container, virtual, route, state):
    adapters = (LO, replace(ETH0, virtual=virtual))
    machine = replace(MACHINE, adapters=adapters, container=container, default_interface=route)
    judged = places.judge_containers(machine)
    assert [one.state for one in judged] == [state]
    assert state is State.OK or "host" in judged[0].remedy


def test_a_bridge_for_containers_beside_the_lan_is_no_trouble_but_as_the_way_out_it_is():
    bridge = Adapter("br-0123456789ab", ("172.18.0.1",))
    machine = replace(MACHINE, adapters=(LO, ETH0, bridge))
    assert [one.state for one in places.judge_containers(machine)] == [State.OK]
    out = replace(machine, default_interface=bridge.name)
    assert [one.state for one in places.judge_containers(out)] == [State.WARNING]
    a_lan = replace(machine, adapters=(LO, Adapter("br-lan", ("10.0.0.1",))))
    assert "br-lan" not in places.judge_containers(a_lan)[0].words


# --- the port and the buffers ---------------------------------------------------------------------------------------

OURS = UdpSocket(GROUP, 5060, 1, 0, 0)
PROGRAMS = {1: Program(100, "python3 manage.py", True), 2: Program(200, "asterisk", False)}


def with_socket(host: str, programs=PROGRAMS, **more) -> Machine:
    return replace(MACHINE, udp=(OURS, UdpSocket(host, 5060, 2, 0, 0)), programs=programs, **more)


def test_a_pbx_on_its_own_address_is_named_and_harmless():
    judged = port.judge_port(with_socket("10.0.0.1"), SETUP, [LISTENER])
    assert [one.state for one in judged] == [State.OK, State.OK]
    assert judged[1].title == "Asterisk (pid 200) holds 10.0.0.1:5060"


def test_a_pbx_on_every_address_is_fine_beside_a_raw_socket():
    machine = replace(with_socket("0.0.0.0"), udp=(UdpSocket("0.0.0.0", 5060, 2, 0, 0),), raw=(OURS,))
    judged = port.judge_port(machine, SETUP, [LISTENER])
    assert [one.state for one in judged] == [State.OK, State.OK]
    assert "raw socket" in judged[0].words + judged[1].words


@pytest.mark.parametrize(
    ("receive", "state"), [("socket", State.WARNING), ("auto", State.UNKNOWN), ("raw", State.UNKNOWN)]
)
def test_a_pbx_on_every_address_before_we_hear_is_explained_by_the_setting(receive, state):
    machine = replace(MACHINE, udp=(UdpSocket("::", 5060, 2, 0, 0),), programs=PROGRAMS)
    judged = port.judge_port(machine, replace(SETUP, receive=receive), [])[1]
    assert (judged.state, f"GSPNP_RECEIVE is {receive}" in judged.words) == (state, True)


def test_another_program_on_the_group_itself_is_suspicious():
    judged = port.judge_port(with_socket(GROUP), SETUP, [LISTENER])[1]
    assert judged.state is State.WARNING and "asterisk" in judged.title.lower() and "ps -fp 200" in judged.command


def test_a_program_that_may_not_be_seen_is_not_called_absent():
    judged = port.judge_port(with_socket("0.0.0.0", programs={1: PROGRAMS[1]}), SETUP, [LISTENER])[1]
    assert "may not see" in judged.title


def test_a_small_buffer_comes_with_the_line_to_paste():
    judged = port.judge_buffers(replace(MACHINE, granted_bytes=212_992), SETUP, [LISTENER])[0]
    assert judged.state is State.WARNING
    assert "212,992" in judged.words and "net.core.rmem_max=4000000" in judged.command


def test_lost_datagrams_are_counted_wherever_they_are_known_from():
    lossy = replace(MACHINE, udp=(replace(OURS, drops=12),), programs=PROGRAMS)
    assert "12 datagrams" in port.judge_buffers(lossy, SETUP, [LISTENER])[1].words
    said = replace(LISTENER, counters={"kernel_drops": 5})
    assert "5 datagrams" in port.judge_buffers(MACHINE, SETUP, [said])[1].words
    waiting = replace(MACHINE, udp=(replace(OURS, queued_bytes=3_000_000),), programs=PROGRAMS)
    assert port.judge_buffers(waiting, SETUP, [LISTENER])[1].state is State.WARNING


# --- listeners and what they heard ----------------------------------------------------------------------------------


def test_listeners_are_alive_troubled_silent_or_unknown():
    judge = hearing.judge_listeners
    assert [one.state for one in judge([LISTENER], NOW)] == [State.OK]
    troubled = replace(LISTENER, trouble="eth1: cannot join.", warnings=("The receive buffer is small.",))
    assert [one.state for one in judge([troubled], NOW)] == [State.OK, State.WARNING, State.WARNING]
    refusing = replace(LISTENER, counters={"received": 9, "not_allowed": 9})
    assert "GSPNP_ALLOWED_NETWORKS" in judge([refusing], NOW)[1].remedy
    deaf = replace(LISTENER, interfaces=(), trouble="There is no interface.")
    assert [one.state for one in judge([deaf], NOW)] == [State.WRONG]
    silent = replace(LISTENER, name="old/all/x", fresh=False, heartbeat_at=NOW - timedelta(days=3))
    assert [one.state for one in judge([LISTENER, silent], NOW)] == [State.OK, State.WARNING]
    assert "3 days ago" in judge([silent], NOW)[0].words and judge([silent], NOW)[0].state is State.WRONG
    assert [one.state for one in judge([], NOW)] == [State.WRONG]
    assert "database" in judge(None, NOW)[0].words


def test_an_outage_that_is_over_is_one_finding_for_all_and_asks_for_nothing():
    words = "The database was away for 77 s; 12 phones were held meanwhile, 0 were lost."
    three = [replace(LISTENER, name=f"pbx/{site}/x", warnings=(words,)) for site in ("bonn", "berlin", "köln")]
    (judged,) = [one for one in hearing.judge_listeners(three, NOW) if one.state is not State.OK]
    assert (judged.title, judged.remedy) == ("The database", "") and judged.words.count("77 s") == 3


def test_where_nothing_was_heard_is_said_for_each_lan():
    heard = replace(LISTENER, heard_at={"eth0": NOW - timedelta(minutes=3)})
    judged = by_title(hearing.judge_last_heard([heard], NOW))
    assert set(judged) == {"eth0", "eth1"}
    assert "3 minutes ago" in judged["eth0"].words
    reader = by_title(hearing.judge_last_heard([heard], NOW.astimezone(timezone(timedelta(hours=2), "EET"))))
    assert reader["eth0"].words.endswith(" EET)."), "in the zone of who asks"
    assert judged["eth1"].state is State.WARNING and "VLAN" in judged["eth1"].remedy
    (both,) = hearing.judge_last_heard([LISTENER], NOW)
    assert both.title == "eth0, eth1 on pbx", "the same advice is given once"


@pytest.mark.parametrize(("chosen", "asked"), [((), ["v1", "v2", "lo"]), (("eth7",), ["eth7"])])
def test_where_a_listener_was_told_to_hear_the_doctor_looks_too(monkeypatch, chosen, asked):
    """By the settings alone it would look at the loopback interface only."""
    names = ("lo", "v1", "v2", "eth7")
    found = {
        name: Interface(name, number, "127.0.0.1" if name == "lo" else f"10.0.{number}.1")
        for number, name in enumerate(names, 1)
    }
    listeners = [
        replace(LISTENER, interfaces=("v1 (10.0.2.1)", "lo (127.0.0.1)")),
        replace(LISTENER, interfaces=("v2 (10.0.3.1)",)),
        replace(LISTENER, interfaces=("eth7 (10.0.4.1)",), fresh=False),
    ]
    looked: list[str] = []
    monkeypatch.setattr(sockets, "find_interfaces", lambda said: [found[name] for name in said or ["lo"]])
    monkeypatch.setattr(examine, "read_setup", lambda: SETUP)
    monkeypatch.setattr(examine, "read_listeners", lambda now: listeners)
    monkeypatch.setattr(examine, "read_machine", lambda number: MACHINE)
    monkeypatch.setattr(examine, "_certificates", lambda now: ())
    monkeypatch.setattr(examine, "_safety", lambda: Section("safety", "", ()))

    def ask(interfaces, setup, **_):
        looked.extend(one.name for one in interfaces)
        return examine.Probes(interfaces)

    monkeypatch.setattr(examine, "ask", ask)
    examine.examine(chosen)
    assert looked == asked
