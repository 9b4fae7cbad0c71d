"""The short way for the usual SUBSCRIBE: whatever comes, both ways send the same bytes and say the same things."""

from __future__ import annotations

import random
import re
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipmcast import agent
from sipmcast.agent import Agent, Leg
from sipmcast.events import PhoneSighted
from sipmcast.pnp import Served
from sipmcast.usual import MAX_USUAL_BYTES, read_usual
from tests.sipmcast.test_sip_fuzz import mutated

FOLDER = Path(__file__).parent.parent / "datagrams"
FILES = {path.stem: path.read_bytes() for path in sorted(FOLDER.rglob("*.sip"))}
GUIDE = FILES["subscribe-gxp1628"]
PHONE = ("172.18.32.197", 5060)
LEG = Leg("eth0", "172.18.0.10", 6060)
ANYBODY = Served(frozenset({"grandstream", "yealink"}), frozenset())


def told(
    data: bytes,
    source: tuple[str, int] = PHONE,
    *,
    short: bool,
    group: bool = True,
    served: Served = ANYBODY,
    own: frozenset[str] = frozenset(),
) -> tuple[object, ...]:
    """All that an agent does about a datagram that comes twice before its 200 and once after."""
    one = Agent(b"key", served=served)
    one.own_hosts = own
    with mock.patch.object(agent, "read_usual", read_usual if short else lambda _: None):
        one.receive(data, source, LEG, 1000.0, 1.7e9, group=group)
        one.receive(data, source, LEG, 1000.1, 1.7e9, group=group)
        events = one.take_events()
        for event in events:
            if isinstance(event, PhoneSighted):
                one.answer(event.key, 1000.2)
        one.receive(data, source, LEG, 1000.3, 1.7e9, group=group)
    return events, one.take_datagrams(), one.take_events(), one.counters, one.journal.ripe(1010.0, 9)


def same(data: bytes, **how: object) -> None:
    assert told(data, short=True, **how) == told(data, short=False, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["subscribe-gxp1628", "subscribe-grp2612w", "subscribe-yealink-t53w"])
def test_what_phones_really_send_is_usual(name: str) -> None:
    assert read_usual(FILES[name]) is not None


@pytest.mark.parametrize("group", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_every_datagram_means_the_same_both_ways(name: str, group: bool) -> None:
    same(FILES[name], group=group)


@pytest.mark.parametrize("how", [
    {"served": Served(frozenset({"snom"}))}, {"served": Served(ouis=frozenset({"AABBCC"}))},
    {"own": frozenset({PHONE[0]})}, {"source": ("10.0.0.9", 1)}, {"source": ("0.0.0.0", 5060)},
    {"source": ("fe80::1%eth0", 5060)},
])  # fmt: skip
def test_who_asks_and_who_is_served_means_the_same_both_ways(how: dict[str, object]) -> None:
    same(GUIDE, **how)


@pytest.mark.parametrize("seed", range(3))
def test_mutants_of_the_usual_mean_the_same_both_ways(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(500):
        same(mutated(GUIDE, chance), group=chance.random() < 0.8)


VALUES = [found.span() for found in re.finditer(rb"[^\s:;=<>@\"]+", GUIDE)]


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from(VALUES),
    st.text(st.sampled_from("aZ09.-_:;=<>@\"\\%, \t\r\n\0\xe9'~+[]?"), max_size=9)
    | st.sampled_from(["0", "05060", "59999", "60000", "65535", "65536", "4294967296", "a" * 300, "x." * 700]),
)
def test_any_value_in_any_place_means_the_same_both_ways(place: tuple[int, int], text: str) -> None:
    same(GUIDE[: place[0]] + text.encode("latin-1") + GUIDE[place[1] :])


def test_headers_of_any_number_and_length_mean_the_same_both_ways() -> None:
    for line in (b"Allow: x\r\n", b"Require: x\r\n", b"Supported:\r\n", b"v: x\r\n", b"Expires: 0\r\n 1\r\n"):
        for count in (1, 14, 15, 17, 200):
            same(GUIDE.replace(b"Max-Forwards: 70\r\n", line * count))
    assert read_usual(GUIDE.replace(b"Max-Forwards: 70", b"Allow: " + b"x" * MAX_USUAL_BYTES)) is None
