"""The codec alone, beside `sipmessage` doing the same work on the same bytes, in one run.

Run: `python -m tests.bench.codec`. Needs no network and no other process. Repeats of both sides alternate, so that
whatever else the machine does falls on both; medians are compared. The exit code is 1 if a ratio is below its goal.
"""

import dataclasses
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import sipmessage

from sipmcast.sip.headers import Header, param, parse_event, parse_name_addr, split_list
from sipmcast.sip.message import Request, parse_message, response_bytes
from sipmcast.sip.uri import parse_uri

REPEATS = 501
ROUNDS = 20  # in each repeat: short ones, so that a busy moment of the machine falls on both sides
GOAL = 3.0  # times sipmessage, for a SUBSCRIBE and its 200

DATAGRAMS = Path(__file__).parent.parent / "datagrams"
SUBSCRIBE = (DATAGRAMS / "subscribe-gxp1628.sip").read_bytes()
PHONES_200 = (DATAGRAMS / "response-200.sip").read_bytes()
SOURCE = ("172.18.32.197", 5060)
CONTACT = "<sip:172.18.0.10:6060>"
EXTRA = (Header("Contact", CONTACT), Header("Expires", "0"))
TAG = "0123456789abcdef"


def ours_subscribe() -> tuple[tuple[object, ...], bytes]:
    """Every field that the product uses, and the 200."""
    request = parse_message(SUBSCRIBE)
    assert isinstance(request, Request)
    target, via = request.target, request.via
    contact = parse_uri(parse_name_addr(split_list(request.first("contact") or "")[0], "bad_contact").uri)
    event = parse_event(request.first("event") or "")
    fields = (
        *(request.method, target.scheme, target.host, target.port, target.userinfo),
        *(via.host, via.port, via.branch, via.has_rport),
        *(request.from_.uri, request.from_.tag, request.to.uri, request.to.tag),
        *(request.call_id, request.cseq.number, request.cseq.method),
        *(contact.host, contact.port, request.first("user-agent"), int(request.first("expires") or 0)),
        event.package,
        *(param(event.params, name) for name in ("profile-type", "vendor", "model", "version")),
    )
    return fields, response_bytes(request, 200, "OK", source=SOURCE, to_tag=TAG, extra=EXTRA)


def theirs_subscribe() -> tuple[tuple[object, ...], bytes]:
    """The same through sipmessage's API, which has no Event: its parameters are read as those of any header."""
    request = sipmessage.Message.parse(SUBSCRIBE)
    assert isinstance(request, sipmessage.Request)
    target, via, from_, to, cseq = request.uri, request.via[0], request.from_address, request.to_address, request.cseq
    contact = request.contact[0].uri
    package, _, rest = (request.headers.get("Event") or "").partition(";")
    event = sipmessage.Parameters.parse(f";{rest}")
    fields = (
        *(request.method, target.scheme, target.host, target.port, target.user),
        *(via.host, via.port, via.parameters.get("branch"), "rport" in via.parameters),
        *(from_.uri, from_.parameters.get("tag"), to.uri, to.parameters.get("tag")),
        *(request.call_id, cseq.sequence, cseq.method),
        *(contact.host, contact.port, request.user_agent, request.expires),
        package,
        *((event[name] or "").strip('"') for name in ("profile-type", "vendor", "model", "version")),
    )
    response = sipmessage.Response(200, "OK")
    stamp = via.parameters.replace(rport=str(SOURCE[1]), received=SOURCE[0])
    response.via = [dataclasses.replace(via, parameters=stamp)]
    response.from_address = from_
    response.to_address = dataclasses.replace(to, parameters=to.parameters.replace(tag=TAG))
    response.call_id = request.call_id
    response.cseq = cseq
    response.headers.set("Contact", CONTACT)
    response.expires = 0
    response.content_length = 0
    return fields, bytes(response)


def ours_200() -> tuple[object, ...]:
    """What ends a NOTIFY transaction."""
    response = parse_message(PHONES_200)
    assert not isinstance(response, Request)
    return response.status, response.reason, response.via.branch, len(response.vias), response.cseq.method


def theirs_200() -> tuple[object, ...]:
    response = sipmessage.Message.parse(PHONES_200)
    assert isinstance(response, sipmessage.Response)
    vias = response.via
    return response.code, response.phrase, vias[0].parameters.get("branch"), len(vias), response.cseq.method


def microseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in range(ROUNDS):
        work()
    return (time.perf_counter() - started) / ROUNDS * 1e6


def compare(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Medians of alternating repeats."""
    pairs = [(microseconds(ours), microseconds(theirs)) for _ in range(REPEATS)]
    return statistics.median(one for one, _ in pairs), statistics.median(other for _, other in pairs)


def check_that_the_work_is_the_same() -> None:
    ours, theirs = ours_subscribe(), theirs_subscribe()
    as_text = [str(field).replace("%3A", ":") for field in ours[0]]
    assert as_text == [str(field).replace("%3A", ":") for field in theirs[0]], (ours[0], theirs[0])
    assert ours[1] == theirs[1], (ours[1], theirs[1])
    assert ours_200() == theirs_200()


def main() -> int:
    check_that_the_work_is_the_same()
    print(f"{'work':32} {'ours':>10} {'sipmessage':>12} {'ratio':>7}")
    status = 0
    for name, ours, theirs, goal in (
        ("SUBSCRIBE read, 200 built", ours_subscribe, theirs_subscribe, GOAL),
        ("phone's 200 to a NOTIFY read", ours_200, theirs_200, 0.0),
    ):
        one, other = compare(ours, theirs)
        print(f"{name:32} {one:7.1f} µs {other:9.1f} µs {other / one:6.1f}x")
        if other / one < goal:
            print(f"too slow: the goal is {goal:.1f}x", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
