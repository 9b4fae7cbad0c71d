"""Digest: the published answers, a server of our own that checks ours, and challenges that nobody should send."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
import sipmessage
from hypothesis import given, settings
from hypothesis import strategies as st

from sipmcast.sip.digest import (
    MAX_CHALLENGE_VALUE_CHARS,
    MAX_CHALLENGES,
    Challenge,
    Login,
    authorization,
    choose,
    read_challenges,
)
from sipmcast.sip.errors import SipSerialiseError
from sipmcast.sip.headers import Header
from sipmcast.sip.message import Request, Response, parse_message

MUFASA = Login("Mufasa", "Circle of Life")
ACCOUNT = Login("1001", "s3cret")
URI = "sip:192.0.2.7:5060"


def answered_with(*headers: tuple[str, str], status: int = 401) -> Response:
    return Response([Header(*header) for header in headers], b"", status, "Unauthorized")


def challenges_in(*values: str) -> tuple[Challenge, ...]:
    return read_challenges(answered_with(*(("WWW-Authenticate", value) for value in values)))


def fields(header: Header) -> dict[str, str]:
    """The parameters of our answer, as a stranger's reader sees them."""
    scheme, _, rest = header.value.partition(" ")
    assert scheme == "Digest"
    pattern = r'([a-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",\s]+))(?:, |$)'
    assert re.fullmatch(f"(?:{pattern})+", rest)
    return {name: re.sub(r"\\(.)", r"\1", quoted) or bare for name, quoted, bare in re.findall(pattern, rest)}


@pytest.mark.parametrize(
    ("challenge", "login", "cnonce", "response"),
    [
        # RFC 2617 3.5
        (
            Challenge("testrealm@host.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093", "5ccc069c403ebaf9f0171e9517f40e41",
                      qop=("auth", "auth-int")),
            Login("Mufasa", "Circle Of Life"), "0a4f113b", "6629fae49393a05397450978507c4ef1",
        ),
        # RFC 7616 3.9.1, MD5 and SHA-256
        (
            Challenge("http-auth@example.org", "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
                      "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS", "MD5", ("auth", "auth-int")),
            MUFASA, "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "8ca523f5e9506fed4657c9700eebdbec",
        ),
        (
            Challenge("http-auth@example.org", "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
                      "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS", "SHA-256", ("auth", "auth-int")),
            MUFASA, "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ],
)  # fmt: skip
def test_the_published_answers_come_out(challenge: Challenge, login: Login, cnonce: str, response: str) -> None:
    header = authorization(challenge, login, "GET", "/dir/index.html", b"", cnonce)
    assert header.name == "Authorization"
    found = fields(header)
    assert found["response"] == response
    assert found["opaque"] == challenge.opaque and found["nc"] == "00000001" and found["qop"] == "auth"


def server_accepts(
    header: Header, password: str, method: str, body: bytes, hash_name: str, *, nonce: str, session: bool
) -> bool:
    """A registrar's check, written from RFC 7616 3.4 and not from our code."""
    said = fields(header)

    def hashed(text: str | bytes) -> str:
        return hashlib.new(hash_name, text.encode("latin-1") if isinstance(text, str) else text).hexdigest()

    held = password.encode().decode("latin-1")
    first = hashed(f"{said['username']}:{said['realm']}:{held}")
    if session:
        first = hashed(f"{first}:{nonce}:{said['cnonce']}")
    second = f"{method}:{said['uri']}"
    if said.get("qop") == "auth-int":
        second += f":{hashed(body)}"
    middle = [nonce, said["nc"], said["cnonce"], said["qop"]] if "qop" in said else [nonce]
    return said["response"] == hashed(":".join([first, *middle, hashed(second)]))


@pytest.mark.parametrize("qop", ["", ', qop="auth"', ', qop="auth-int"', ', qop="auth-int, auth"', ", qop=auth"])
@pytest.mark.parametrize(
    ("algorithm", "hash_name", "session"),
    [
        ("", "md5", False),
        (", algorithm=MD5", "md5", False),
        (', algorithm="md5"', "md5", False),
        (", algorithm=MD5-sess", "md5", True),
        (", algorithm=SHA-256", "sha256", False),
        (", algorithm=SHA-256-sess", "sha256", True),
    ],
)
@pytest.mark.parametrize("login", [ACCOUNT, Login('the "desk"\\7', "p:ä\u20ac")])
def test_a_server_accepts_the_right_password_and_no_other(
    qop: str, algorithm: str, hash_name: str, session: bool, login: Login
) -> None:
    value = f'Digest realm="grandstream", nonce="a\\"b", opaque=""{algorithm}{qop}'
    challenge = choose(challenges_in(value))
    assert challenge is not None
    header = authorization(challenge, login, "NOTIFY", URI, b"http://x/y", "0a1b")
    for password, right in ((login.password, True), (login.password + "x", False)):
        assert (
            server_accepts(header, password, "NOTIFY", b"http://x/y", hash_name, nonce='a"b', session=session) is right
        )
    assert ("nc=" in header.value) is bool(qop) is ("qop=" in header.value)
    assert 'opaque=""' in header.value


def test_the_answer_survives_the_wire_and_another_reader() -> None:
    challenge = Challenge("phone", "n", "o", "MD5", ("auth",))
    header = authorization(challenge, ACCOUNT, "NOTIFY", URI, b"", "c", nonce_count=0xAB)
    request = Request(
        [
            Header("Via", "SIP/2.0/UDP h;branch=z9hG4bKx"),
            Header("From", "<sip:a@b>;tag=1"),
            Header("To", "<sip:a@b>"),
            Header("Call-ID", "c"),
            Header("CSeq", "2 NOTIFY"),
            header,
        ],
        b"",
        "NOTIFY",
        URI,
    )
    read = parse_message(request.to_bytes())
    assert read.first("authorization") == header.value
    theirs = sipmessage.AuthCredentials.parse(header.value)
    assert theirs.scheme == "Digest"
    assert theirs.parameters["username"] == "1001" and theirs.parameters["uri"] == URI
    assert theirs.parameters["nc"] == "000000ab" and theirs.parameters["qop"] == "auth"


def test_what_is_quoted_and_what_is_not() -> None:
    value = authorization(Challenge("r", "n", None, "MD5", ("auth",)), ACCOUNT, "NOTIFY", URI, b"", "c").value
    assert re.search(r"algorithm=MD5(, |$)", value) and re.search(r"qop=auth(, |$)", value)
    assert re.search(r"nc=00000001(, |$)", value) and 'uri="sip:' in value and "opaque" not in value


def test_a_proxy_is_answered_in_its_own_header() -> None:
    response = answered_with(
        ("Proxy-Authenticate", 'Digest realm="p", nonce="1"'), ("WWW-Authenticate", 'Digest realm="w", nonce="2"')
    )
    by_realm = {challenge.realm: challenge for challenge in read_challenges(response)}
    assert by_realm["p"].proxy and not by_realm["w"].proxy
    names = {realm: authorization(one, ACCOUNT, "NOTIFY", URI, b"", "c").name for realm, one in by_realm.items()}
    assert names == {"p": "Proxy-Authorization", "w": "Authorization"}


def test_the_first_challenge_that_we_can_answer_is_chosen() -> None:
    found = challenges_in(
        'Digest realm="a", nonce="1", algorithm=SHA-512-256, qop="auth"',
        'NTLM realm="b"',
        'Digest realm="c", nonce="1", qop="token"',
        'Digest realm="d", nonce="1", algorithm=SHA-256, qop="auth"',
        'Digest realm="e", nonce="1", algorithm=MD5',
    )
    assert [challenge.realm for challenge in found] == ["c", "d", "e"]
    chosen = choose(found)
    assert chosen is not None and chosen.realm == "d"
    assert choose(found[:1]) is None and choose(()) is None


def test_several_challenges_in_one_header_are_taken_apart() -> None:
    found = challenges_in('Basic realm="x", Digest realm="a,b", nonce="1" , stale=TRUE,Digest nonce=2, realm="c"')
    assert [(one.realm, one.nonce, one.stale) for one in found] == [("a,b", "1", True), ("c", "2", False)]


@pytest.mark.parametrize(("said", "stale"), [("stale=true", True), ('stale="TRUE"', True), ("stale=false", False)])
def test_stale_means_that_the_login_was_right(said: str, stale: bool) -> None:
    (challenge,) = challenges_in(f'digest REALM="r",Nonce="n",{said}')
    assert challenge.stale is stale


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Digest",
        "Digest realm",
        'Digest realm="r"',
        'Digest nonce="n"',
        'Digest realm="r", nonce="open',
        'Digest realm="r", nonce="n", nonce="m"',
        'Digest realm="r" nonce="n"',
        'Digest realm="r", nonce="n", algorithm=ROT13',
        'Digest realm="r", nonce="n", algorithm="MD5-SE\xdf"',
        f'Digest realm="r", nonce="{"n" * (MAX_CHALLENGE_VALUE_CHARS + 1)}"',
        f'Digest realm="r", nonce="{"n" * 8192}"',
        'Digest realm="r\\\0", nonce="n"',
        'Basic realm="r", nonce="n"',
    ],
)
def test_a_challenge_that_is_none_is_left_out(value: str) -> None:
    assert challenges_in(value) == ()
    assert len(challenges_in(value, 'Digest realm="good", nonce="1"')) == 1


def test_a_flood_of_challenges_is_bounded() -> None:
    assert len(challenges_in(*['Digest realm="r", nonce="n"'] * 100)) == MAX_CHALLENGES


@pytest.mark.parametrize("evil", ["\r\nX: y", "\n", "\0", "\u20ac"])
@pytest.mark.parametrize("place", ["username", "realm", "nonce", "opaque", "uri", "cnonce", "method"])
def test_nothing_can_write_a_header_of_its_own(evil: str, place: str) -> None:
    parts = {name: "x" for name in ("username", "realm", "nonce", "opaque", "uri", "cnonce", "method")}
    parts[place] += evil
    challenge = Challenge(parts["realm"], parts["nonce"], parts["opaque"], qop=("auth",))
    login = Login(parts["username"], "p")

    if evil == "\u20ac" and place == "username":
        # A person's name is no held text: it goes out as UTF-8.
        header = authorization(challenge, login, "NOTIFY", "x", b"", "x")
        assert "x\u20ac".encode() in Request([header], b"", "NOTIFY", URI).to_bytes()
        return
    with pytest.raises(SipSerialiseError):
        authorization(challenge, login, parts["method"], parts["uri"], b"", parts["cnonce"])


def test_what_choose_would_refuse_is_not_answered() -> None:
    for challenge in (Challenge("r", "n", algorithm="X"), Challenge("r", "n", qop=("token",))):
        with pytest.raises(SipSerialiseError):
            authorization(challenge, ACCOUNT, "NOTIFY", URI, b"", "c")
    for count in (0, 2**32):
        with pytest.raises(SipSerialiseError):
            authorization(Challenge("r", "n"), ACCOUNT, "NOTIFY", URI, b"", "c", count)


def test_a_password_is_not_shown() -> None:
    assert "s3cret" not in repr(ACCOUNT) and "1001" in repr(ACCOUNT)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_challenge_text_is_read_or_left_out(value: bytes) -> None:
    text = value.decode("latin-1")
    for challenge in challenges_in(text, f'Digest realm="{text}", nonce="n"', f'Digest realm="r", nonce="n", {text}'):
        if choose((challenge,)) is not None:
            fields(authorization(challenge, ACCOUNT, "NOTIFY", URI, b"", "c"))


def test_a_phone_that_challenges_is_read_from_its_bytes() -> None:
    folder = Path(__file__).parent.parent / "datagrams"
    data = (folder / "response-200.sip").read_bytes()
    head, _, rest = data.partition(b"\r\n")
    challenge = b'WWW-Authenticate: Digest realm="grandstream",\r\n nonce="5f1c",algorithm=MD5,qop="auth"\r\n'
    response = parse_message(head.replace(b"200 OK", b"401 Unauthorized") + b"\r\n" + challenge + rest)
    assert isinstance(response, Response) and response.status == 401
    assert read_challenges(response) == (Challenge("grandstream", "5f1c", None, "MD5", ("auth",)),)
