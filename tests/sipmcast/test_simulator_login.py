"""The simulated phone answers a 401 with the login of its file: held against RFC 7616 and against our own door."""

import pytest

from provisioning.door.http_login import Login, Nonces, Scheme, Verdict, challenge, check
from sipmcast.simulator.http_login import authorization, is_stale
from tests.support.small_pbx import STEADY, Pbx, document, meet

TARGET = f"{STEADY}/cfg000b82273b89.xml"
USER, PASSWORD = "000b82273b89", "Xk2pQ9"
ASKED = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: %s\r\nContent-Length: 0\r\n\r\n"


def test_the_example_of_rfc_7616():
    said = (
        'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    header = authorization(said, "Mufasa", "Circle of Life", "GET", "/dir/index.html", cnonce)
    assert 'response="8ca523f5e9506fed4657c9700eebdbec"' in header
    assert 'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"' in header


@pytest.mark.parametrize("scheme", list(Scheme))
def test_the_door_takes_what_the_phone_says(scheme):
    nonces, login = Nonces(), Login(scheme, USER, PASSWORD)
    asked = challenge(scheme, nonces.fresh("10.0.0.20", 0.0))
    header = authorization(asked, USER, PASSWORD, "GET", TARGET, "c")
    assert check(header, login, "GET", TARGET, nonces, 0.0) is Verdict.RIGHT
    wrong = authorization(asked, USER, "other", "GET", TARGET, "c")
    assert check(wrong, login, "GET", TARGET, nonces, 0.0) is Verdict.WRONG


@pytest.mark.parametrize("said", ["", "Bearer x", 'Digest realm="r"', 'Digest realm="r", nonce="n", algorithm=SHA-256',
                                  'Digest realm="r", nonce="n", qop="auth-int"'])  # fmt: skip
def test_what_it_does_not_know_it_does_not_answer(said):
    assert authorization(said, USER, PASSWORD, "GET", TARGET, "c") == ""
    assert not is_stale(said)


def asks_for_login(stale: int = 0):
    """A server that asks for a login at the steady path, and calls the first so many right ones stale."""

    def prepare(pbx: Pbx) -> None:
        pbx.offer(document(pbx.host, P1360=USER, P1361=PASSWORD))
        login = Login(Scheme.DIGEST, USER, PASSWORD)
        pbx.nonces = Nonces()
        pbx.stale = stale

        def look(head: str, path: str) -> None:
            header = next((line[15:] for line in head.split("\r\n") if line.startswith("Authorization: ")), "")
            verdict = check(header, login, "GET", path, pbx.nonces, 0.0)
            if path == TARGET and verdict is Verdict.RIGHT and pbx.stale:
                pbx.stale -= 1
                verdict = Verdict.STALE
            if path == TARGET and verdict is not Verdict.RIGHT:
                asked = challenge(Scheme.DIGEST, pbx.nonces.fresh("", 0.0), stale=verdict is Verdict.STALE)
                pbx.raw[path] = ASKED % asked.encode()
            else:
                pbx.raw.pop(path, None)

        pbx.on_head = look

    return prepare


def test_a_phone_gets_through_by_its_login():
    _, result = meet(asks_for_login())
    assert (result.outcome, result.reason) == ("through", "")
    assert [one.status for one in result.downloads if one.path.endswith(".xml")] == [401, 200]


def test_a_stale_nonce_is_answered_anew():
    _, result = meet(asks_for_login(stale=1))
    assert result.outcome == "through"
    assert [one.status for one in result.downloads if one.path.endswith(".xml")] == [401, 401, 200]


@pytest.mark.parametrize(("fault", "statuses"), [("no-login", [401]), ("wrong-login", [401, 401])])
def test_a_phone_without_the_right_login_does_not(fault, statuses):
    _, result = meet(asks_for_login(), faults=fault)
    assert result.outcome == "failed" and "401" in result.reason
    assert [one.status for one in result.downloads if one.path.endswith(f"{USER}.xml")] == statuses
