"""HTTP logins in pure code: RFC 7616's own example, what is refused, and that no header whatever raises."""

import base64
import hashlib
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from provisioning.door import http_login
from provisioning.door.http_login import (
    FAILURES_SECONDS,
    MAX_FAILURES,
    NONCE_SECONDS,
    REALM,
    Failures,
    Login,
    Nonces,
    Scheme,
    Verdict,
    challenge,
    check,
    read_params,
    response_of,
)

USER, PASSWORD, TARGET = "000b82273b89", "Xk2pQ9", "/p/AAAAAAAAAAAAAAAAAAAAAA/cfg000b82273b89.xml"
DIGEST, BASIC = Login(Scheme.DIGEST, USER, PASSWORD), Login(Scheme.BASIC, USER, PASSWORD)


def md5(*parts: str) -> str:
    return hashlib.md5(":".join(parts).encode("latin-1"), usedforsecurity=False).hexdigest()


def authorization(nonce: str, password: str = PASSWORD, target: str = TARGET, method: str = "GET", **changes) -> str:
    """What a phone answers, computed here and not by the code under test."""
    said = {"username": USER, "realm": REALM, "nonce": nonce, "uri": target, "nc": "00000001", "cnonce": "abc",
            "qop": "auth", **changes}  # fmt: skip
    secret, asked = md5(said["username"], said["realm"], password), md5(method, said["uri"])
    said.setdefault("response", md5(secret, nonce, said["nc"], said["cnonce"], said["qop"], asked))
    bare = ("nc", "qop", "algorithm")
    return "Digest " + ", ".join(
        f"{name}={text}" if name in bare else f'{name}="{text}"' for name, text in said.items() if text is not None
    )


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_the_example_of_rfc_7616():
    """3.9.1, the answer to the MD5 challenge."""
    said = read_params(
        'username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=MD5, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, '
        'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, '
        'response="8ca523f5e9506fed4657c9700eebdbec", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    login = Login(Scheme.DIGEST, "Mufasa", "Circle of Life")
    assert response_of(login, said, "GET") == said["response"] == "8ca523f5e9506fed4657c9700eebdbec"
    with patch.object(http_login, "REALM", "http-auth@example.org"):
        header = "Digest " + ", ".join(f'{name}="{text}"' for name, text in said.items())
        assert check(header, login, "GET", "/dir/index.html", Nonces(), 0.0) is Verdict.STALE, (
            "right, and not our nonce"
        )


def test_a_right_login_is_right_once_for_each_count():
    nonces = Nonces()
    nonce = nonces.fresh("10.0.0.20", 0.0)

    def verdict(count: str, now: float = 1.0) -> Verdict:
        return check(authorization(nonce, nc=count), DIGEST, "GET", TARGET, nonces, now)

    assert [verdict(count) for count in ("00000001", "00000001", "00000002", "0000000a", "00000009")] == [
        Verdict.RIGHT, Verdict.REPEATED, Verdict.RIGHT, Verdict.RIGHT, Verdict.REPEATED,
    ]  # fmt: skip
    assert verdict("0000000b", NONCE_SECONDS + 1) is Verdict.STALE
    assert verdict("0000000b", -1.0) is Verdict.STALE, "a clock that went back"


def test_a_nonce_of_another_process_is_stale_only_with_the_right_password():
    """Its phone is asked again and gets through; whoever has no password learns nothing of nonces."""
    here, there = Nonces(), Nonces()
    nonce = there.fresh("10.0.0.20", 0.0)
    assert check(authorization(nonce), DIGEST, "GET", TARGET, here, 1.0) is Verdict.STALE
    assert check(authorization(nonce, password="guess"), DIGEST, "GET", TARGET, here, 1.0) is Verdict.WRONG
    again = here.fresh("10.0.0.20", 1.0)
    assert check(authorization(again), DIGEST, "GET", TARGET, here, 1.0) is Verdict.RIGHT


@pytest.mark.parametrize(
    "changes",
    [
        {"password": "other"}, {"username": "000b82aaaaaa"}, {"realm": "other"}, {"method": "HEAD"},
        {"target": "/p/BBBBBBBBBBBBBBBBBBBBBB/cfg000b82273b89.xml"}, {"target": TARGET + "?x"},
        {"qop": "auth-int"}, {"qop": None}, {"nc": "1"}, {"nc": None}, {"nc": "0000000g"}, {"cnonce": ""},
        {"cnonce": None}, {"algorithm": "SHA-256"}, {"algorithm": "MD5-sess"}, {"response": "0" * 32},
        {"response": ""}, {"username": None}, {"uri": None},
    ],
    ids=str,
)  # fmt: skip
def test_what_differs_in_anything_is_wrong_and_spends_nothing(changes):
    nonces = Nonces()
    nonce = nonces.fresh("10.0.0.20", 0.0)
    if None in changes.values():
        name = next(iter(changes))
        whole = read_params(authorization(nonce).removeprefix("Digest "))
        text = "Digest " + ", ".join(f'{key}="{value}"' for key, value in whole.items() if key != name)
    else:
        text = authorization(nonce, **changes)
    assert check(text, DIGEST, "GET", TARGET, nonces, 1.0) is Verdict.WRONG
    assert check(authorization(nonce), DIGEST, "GET", TARGET, nonces, 1.0) is Verdict.RIGHT


def test_a_proxy_may_have_made_a_whole_url_of_the_target():
    nonces = Nonces()
    nonce = nonces.fresh("a", 0.0)
    whole = "http://10.0.0.1:5481" + TARGET
    assert check(authorization(nonce), DIGEST, "GET", whole, nonces, 0.0) is Verdict.RIGHT
    assert check(authorization(nonce, target=whole, nc="00000002"), DIGEST, "GET", TARGET, nonces, 0.0) == "right"


def test_basic():
    def verdict(text: str) -> Verdict:
        return check(text, BASIC, "GET", TARGET, Nonces(), 0.0)

    assert verdict(basic(f"{USER}:{PASSWORD}")) is Verdict.RIGHT
    assert verdict("basic   " + basic(f"{USER}:{PASSWORD}")[6:]) is Verdict.RIGHT
    for text in (f"{USER}:", f"{USER}:{PASSWORD} ", f":{PASSWORD}", USER, "", f"{USER}:{PASSWORD}:"):
        assert verdict(basic(text)) is Verdict.WRONG
    assert verdict("Basic ***") is Verdict.WRONG
    assert verdict("Basic é") is Verdict.WRONG


def test_a_login_of_the_other_scheme_is_none():
    """A phone may send the old kind once more, before it is challenged: that is no wrong password."""
    nonces = Nonces()
    assert check(basic(f"{USER}:{PASSWORD}"), DIGEST, "GET", TARGET, nonces, 0.0) is Verdict.NONE
    assert check(authorization(nonces.fresh("a", 0.0)), BASIC, "GET", TARGET, nonces, 0.0) is Verdict.NONE
    assert check("", DIGEST, "GET", TARGET, nonces, 0.0) is Verdict.NONE


def test_nonces_are_bounded_and_one_source_takes_none_of_the_others():
    nonces = Nonces(most=100, most_per_source=10)
    other = nonces.fresh("10.0.0.21", 0.0)
    mine = [nonces.fresh("10.0.0.20", 0.0) for _ in range(1000)]
    assert len(nonces) == 11 and len(set(mine)) == 1000
    assert nonces.use(other, 1, 1.0) is Verdict.RIGHT
    assert [nonces.use(one, 1, 1.0) for one in mine[-10:]] == [Verdict.RIGHT] * 10
    assert nonces.use(mine[0], 1, 1.0) is Verdict.STALE
    for number in range(1000):
        nonces.fresh(f"10.1.0.{number}", 1.0)
    assert len(nonces) == 100
    nonces.fresh("10.0.0.20", NONCE_SECONDS + 2)
    assert len(nonces) == 1, "what is over goes"


def test_failures_are_counted_for_a_while_and_forgiven():
    failures, key = Failures(), ("10.0.0.20", "000B82273B89")
    assert [failures.add(key, 0.0) for _ in range(MAX_FAILURES)] == list(range(1, MAX_FAILURES + 1))
    assert failures.too_many(key, FAILURES_SECONDS)
    assert not failures.too_many(("10.0.0.20", "000B82AAAAAA"), 0.0), "another phone behind the same address"
    assert not failures.too_many(key, FAILURES_SECONDS + 1)
    failures.forgive(key)
    assert not failures.too_many(key, 0.0)
    for number in range(http_login.MAX_SOURCES + 10):
        failures.add((str(number), ""), 0.0)
    assert len(failures._counts) == http_login.MAX_SOURCES


def test_challenges():
    assert challenge(Scheme.BASIC) == 'Basic realm="gspnp"'
    assert challenge(Scheme.DIGEST, "n") == 'Digest realm="gspnp", nonce="n", algorithm=MD5, qop="auth"'
    assert challenge(Scheme.DIGEST, "n", stale=True).endswith(", stale=true")


def test_nothing_secret_in_a_repr():
    assert PASSWORD not in repr(DIGEST)


PIECES = st.sampled_from(
    ["Digest ", "Basic ", "digest\t", '"', "\\", ",", "=", " ", "nc=", "qop=auth", 'uri="/"', "username*=", "ÿ", "\0"]
)


@given(st.one_of(st.text(), st.lists(PIECES).map("".join), st.binary().map(lambda raw: raw.decode("latin-1"))))
@example('Digest username="' + "\\" * 2001)
@example("Digest " + "a=b," * 600)
@example('Digest a="' + "\\\\" * 8000)
@example("Digest " + " \t" * 8000 + "x")
def test_no_header_whatever_raises_or_is_right(text):
    nonces = Nonces()
    for login in (DIGEST, BASIC):
        assert check(text, login, "GET", TARGET, nonces, 0.0) in (Verdict.NONE, Verdict.WRONG)


@given(st.dictionaries(st.sampled_from(["username", "realm", "nonce", "uri", "response", "qop", "nc", "cnonce",
                                        "algorithm", "opaque"]), st.text()))  # fmt: skip
def test_no_parameters_whatever_raise_or_are_right(said):
    text = "Digest " + ", ".join(f'{name}="{value}"' for name, value in said.items())
    assert check(text, DIGEST, "GET", TARGET, Nonces(), 0.0) in (Verdict.NONE, Verdict.WRONG)
