"""Whatever the bytes: a message, or one of our two errors; nothing grows, and nothing costs more than its size."""

from __future__ import annotations

import gc
import random
import resource
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipmcast.sip import lines
from sipmcast.sip.answer import identity
from sipmcast.sip.digest import read_challenges
from sipmcast.sip.errors import SipError, SipParseError, SipSerialiseError
from sipmcast.sip.grammar import MAX_DATAGRAM_BYTES, MAX_HEADER_LINES
from sipmcast.sip.headers import Header, parse_event, parse_name_addr, split_list
from sipmcast.sip.message import Request, Response, parse_message, response_bytes, response_endpoint, response_to
from sipmcast.sip.uri import parse_uri

FOLDER = Path(__file__).parent.parent / "datagrams"
SEEDS = [path.read_bytes() for path in sorted(FOLDER.rglob("*.sip"))]
GUIDE = (FOLDER / "subscribe-gxp1628.sip").read_bytes()
PHONE = ("172.18.32.197", 5060)
EXTRA = (Header("Contact", "<sip:192.0.2.1:6060>"), Header("Expires", "0"))
STATUSES = {None, 400, 413, 416, 505}

# What has a meaning somewhere in the grammar, and so may confuse a reader elsewhere.
MARKS = (
    b'"', b"<", b">", b"\\", b";", b",", b":", b"=", b"%", b"@", b"?", b"[", b"]", b"/", b" ", b"\t", b"\r\n", b"\n",
    b"\r", b"\r\n\r\n", b"\r\n ", b"\n\t", b"\0", b"\xff", b"\xc3\xa9", b"\x85", b"\x0b", b";rport", b";received=",
    b";tag=", b"SIP/2.0", b"l: 5\r\n", b"v: ", b'\\"',
)  # fmt: skip


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A few injuries to a datagram; the same seed makes the same ones."""
    mutant = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = int(chance.random() * (len(mutant) + 1))
        match int(chance.random() * 9):
            case 0:
                del mutant[at : at + chance.randint(1, 40)]
            case 1:
                del mutant[at:]
            case 2:
                mutant[at:at] = mutant[at : at + chance.randint(1, 60)] * chance.randint(1, 4)
            case 3:
                mutant[at:at] = chance.choice(MARKS)
            case 4:
                mutant[at:at] = chance.choice(MARKS) * chance.randint(2, 300)
            case 5:
                mutant[at:at] = chance.randbytes(chance.randint(1, 8))
            case 6 if mutant:
                mutant[at % len(mutant)] ^= 1 << chance.randrange(8)
            case _:
                parts = mutant.split(b"\r\n")
                one, other = chance.randrange(len(parts)), chance.randrange(len(parts))
                if chance.random() < 0.5:
                    parts[one], parts[other] = parts[other], parts[one]
                else:
                    parts.insert(one, parts[other])
                mutant = bytearray(b"\r\n").join(parts)
    return bytes(mutant)


def use_message(message: Request | Response) -> None:
    """Ask for everything that a message can be asked for; SipParseError is the only way to say no."""
    for name in ("vias", "via", "from_", "to", "call_id", "cseq", "headers", "target", "required_options"):
        with suppress(SipParseError):
            getattr(message, name, None)
    for value in message.values("contact"):
        with suppress(SipParseError):
            for piece in split_list(value):
                parse_uri(parse_name_addr(piece, "bad_contact").uri)
    for value in message.values("event"):
        with suppress(SipParseError):
            parse_event(value)
    repr(message)
    if isinstance(message, Response):
        read_challenges(message)


def use_request(request: Request) -> None:
    """Answer it in both ways, which must agree; a request that was not read completely may be refused."""
    assert all(isinstance(part, str) for part in identity(request))
    assert response_endpoint(request, PHONE)[0] == PHONE[0]
    try:
        answer = response_to(request, 400, "Bad Request", source=PHONE, to_tag="t", extra=EXTRA).to_bytes()
    except SipParseError:
        return
    assert answer == response_bytes(request, 400, "Bad Request", source=PHONE, to_tag="t", extra=EXTRA)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b"" and head.count(b"\r") == head.count(b"\n") == head.count(b"\r\n")


def exercise(data: bytes) -> bool:
    """Read it, and do with it whatever is ever done; was it a message?"""
    try:
        message = parse_message(data)
    except SipParseError as error:
        assert error.status in STATUSES
        if error.request is not None:
            use_message(error.request)
            use_request(error.request)
        return False
    use_message(message)
    written = message.to_bytes()
    again = parse_message(written)
    assert again.to_bytes() == written
    assert (again.call_id, again.cseq, again.vias, again.body) == (
        message.call_id,
        message.cseq,
        message.vias,
        message.body,
    )
    if isinstance(message, Request):
        use_request(message)
        echoed = parse_message(response_bytes(message, 200, "OK", source=PHONE, to_tag="t"))
        for name in ("call-id", "from", "cseq"):
            assert echoed.values(name) == message.values(name)
        assert echoed.vias[1:] == message.vias[1:]
    return True


@pytest.mark.parametrize("seed", range(20))
def test_mutants_are_messages_or_parse_errors(seed: int) -> None:
    chance = random.Random(seed)
    read = sum(exercise(mutated(chance.choice(SEEDS), chance)) for _ in range(1000))
    assert 100 < read < 900  # else these mutants are too wild, or too tame, to show anything


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_million_mutants_leave_nothing_behind() -> None:
    chance = random.Random(3261)
    for _ in range(50_000):
        exercise(mutated(chance.choice(SEEDS), chance))
    gc.collect()
    objects, resident = len(gc.get_objects()), resident_bytes()
    for _ in range(950_000):
        exercise(mutated(chance.choice(SEEDS), chance))
    gc.collect()
    assert len(gc.get_objects()) < objects + 1000
    assert resident_bytes() < resident + 8_000_000


def both_ways(data: bytes) -> tuple[object, object]:
    """What the short way for tidy datagrams makes of this one, and what the long way does."""
    found: list[object] = []
    for read in (lines.read_head, lambda data: lines._untidy(data.lstrip(b"\r\n"))):
        try:
            head = read(data)
        except SipParseError as error:
            found.append(error.reason)
        else:
            names = [(line.partition(":")[0], line.partition(":")[2].strip(" \t")) for line in head.lines]
            found.append((head.start, head.by_name, head.rest, head.fault, names))
    return found[0], found[1]


@pytest.mark.parametrize("seed", range(4))
def test_the_short_way_for_tidy_datagrams_reads_what_the_long_way_reads(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(1000):
        data = mutated(chance.choice(SEEDS), chance)
        short, long = both_ways(data[:MAX_DATAGRAM_BYTES])
        assert short == long


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_a_message_or_a_parse_error(data: bytes) -> None:
    exercise(data)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=120),
    st.sampled_from([b"Via: ", b"From: ", b"To: ", b"Event: ", b"CSeq: ", b"Contact: ", b"l: ", b"Require: "]),
)
def test_any_header_value_is_a_message_or_a_parse_error(value: bytes, name: bytes) -> None:
    exercise(b"SUBSCRIBE sip:a SIP/2.0\r\n" + name + value + b"\r\n" + GUIDE.partition(b"\r\n")[2])


PARAM_TEXT = st.text(st.sampled_from('ab;=",\\ \t%\xff'), max_size=12)


@settings(max_examples=500, deadline=None)
@given(PARAM_TEXT, st.sampled_from(["", ";rport", ";rport=9", "; RPORT", ";received=6.6.6.6"]), PARAM_TEXT)
def test_a_stamped_via_differs_only_in_what_the_receiver_fills(before: str, asked: str, after: str) -> None:
    text = f"SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKx{before}{asked}{after}"
    data = GUIDE.replace(b"SIP/2.0/UDP 172.18.32.197:5060;branch=z9hG4bK458721093;rport", text.encode("latin-1"))
    try:
        via = parse_message(data).via
        stamped = parse_message(data.replace(via.text.encode("latin-1"), via.stamped(PHONE).encode("latin-1"), 1)).via
    except SipParseError:
        return
    receivers = ("received", "rport")
    kept = [item for item in via.params.items() if item[0] not in receivers]
    assert [item for item in stamped.params.items() if item[0] not in receivers] == kept
    assert stamped.params["received"] == PHONE[0]
    assert stamped.params.get("rport") == (str(PHONE[1]) if via.has_rport else None)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_whatever_is_written_is_one_line_each(name: str, value: str) -> None:
    request = Request([Header(name, value)], b"body", "NOTIFY", "sip:h")
    try:
        written = request.to_bytes()
    except SipSerialiseError:
        return
    head, _, body = written.partition(b"\r\n\r\n")
    assert body == b"body" and head.count(b"\n") == head.count(b"\r\n") == head.count(b"\r")
    assert head.count(b"\n") == (1 if name.lower() in ("l", "content-length") else 2)


HOSTILE = {
    "backslashes": b"\\" * 8000,
    "open quotes": b'"' + b'\\"' * 3900,
    "many quotes": b'"a",' * 2000,
    "escaped quotes": b';a="\\"' * 1300,
    "brackets": b"<" * 8000,
    "semicolons": b";a" * 4000,
    "same name": b";rport" * 1300,
    "commas": b"," * 8000,
    "blanks": b" \t" * 4000 + b"x",
    "slashes": b"SIP/2.0/UDP" + b" " * 7000 + b":",
    "percent": b"%3A" * 2600,
    "colons": b":" * 8000,
    "equals": b"a=" * 4000,
    "at signs": b"a@" * 4000,
    "quoted zeros": b'"\\\0' * 2600,
    "challenges": b'Digest realm="r",nonce="n",' * 290,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_lines_cost_little_time(name: str) -> None:
    """Datagrams as long as any may be; the bound is some twenty times what they need."""
    started = time.process_time()
    headers = (b"Via: ", b"From: ", b"Contact: ", b"Event: ", b"CSeq: ", b"Call-ID: ", b"Require: ")
    for header in headers:
        rest = [line for line in GUIDE.split(b"\r\n") if not line.startswith(header)]
        for prefix in (b"", b"SIP/2.0/UDP h;branch=z9hG4bKx", b"<sip:x@y>", b"ua-profile"):
            data = b"\r\n".join([rest[0], header + prefix + HOSTILE[name], *rest[1:]])
            assert len(data) <= MAX_DATAGRAM_BYTES
            exercise(data)
    value = HOSTILE[name].decode("latin-1")
    read_challenges(Response([Header("WWW-Authenticate", f"Digest {value}")], b"", 401, ""))
    with suppress(SipError):
        parse_uri(f"sip:{value}")
    assert time.process_time() - started < 0.5


def test_a_folded_flood_costs_little_time() -> None:
    data = GUIDE.replace(b"Expires: 0", b"Expires: 0" + b"\n " * (MAX_HEADER_LINES - 20) + b"\n " + b"a " * 3000)
    started = time.process_time()
    for _ in range(20):
        parse_message(data)
    assert time.process_time() - started < 1.0
