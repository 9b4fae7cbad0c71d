"""A datagram as people may read it: no secret in it, and no byte that hides or does something."""

import pytest

from provisioning.paths import hash_of
from sipmcast.pnp import EVENT_PACKAGE, NotifyIds, Telling, notify_datagram
from sipmcast.redaction import MAX_CHARS, redacted, visible
from sipmcast.sip.digest import Challenge, Login, authorization

SECRET = "AbCdEfGhIjKlMnOpQrSt_-"
IDS = NotifyIds("z9hG4bKours", "tag-of-ours", "call-id-of-ours")


def shown(datagram: bytes) -> str:
    return visible(redacted(datagram))[0]


def test_our_notify_keeps_everything_but_the_secret_of_its_path():
    url = f"http://10.0.0.1:5481/p/{SECRET}/cfg000B82273B89"
    words = shown(
        notify_datagram(
            phone=("10.0.0.20", 5060), ours=("10.0.0.1", 6060), telling=Telling(EVENT_PACKAGE, url), ids=IDS
        )
    )
    assert SECRET not in words
    assert "http://10.0.0.1:5481/p/********/cfg000B82273B89" in words
    for kept in ("NOTIFY sip:10.0.0.20:5060", "call-id-of-ours", "z9hG4bKours", "tag-of-ours", "Event: ua-profile"):
        assert kept in words


@pytest.mark.parametrize(
    "address",
    [
        f"http://h/p/{SECRET}/", f"http%3A%2F%2Fh%2Fp%2F{SECRET}", f"HTTP://h/P/{SECRET}",
        f"http://h/phonebook/{SECRET}/phonebook.xml", f"sip:1001:{SECRET}@h", f"http://user:{SECRET}@h/x",
        f"http://h/%70/{SECRET}/", f"http://h/p//{SECRET}", f"http:\\/\\/h\\/p\\/{SECRET}\\/",
        f"http:\\\\h\\p\\{SECRET}",
        f"http%253A%252F%252Fh%252Fp%252F{SECRET}%252Fx", f"h/p/./{SECRET}", f"h&#47;p&#x2F;{SECRET}",
        f"http://h/p/\r\n {SECRET}/", f"http://h/p/{SECRET[:9]}\r\n\t{SECRET[9:]}/",
        f"sip:1001%3a{SECRET}%40h", f"sip%3A1001%3A{SECRET}%40h", f"sip:u:x@{SECRET}@h", f"https://u:a/{SECRET}@h",
        f"sip:1001:{'x' * 500}{SECRET}@h", f"tls://u:{SECRET}@h", f"x?user=u&password={SECRET}",
    ],
)  # fmt: skip
def test_a_secret_in_an_address_is_masked_wherever_it_stands(address):
    for message in (f"X: <{address}>\r\n\r\n", f"SIP/2.0 200 {address}\r\n\r\n", f"A: b\r\n\r\n{address}"):
        words = shown(message.encode())
        assert SECRET not in words and SECRET[9:] not in words


@pytest.mark.parametrize("user", ["MAC%3A000b82273b89", "MAC%3a000B82273B89", "MAC:000b82273b89"])
def test_a_phone_says_who_it_is_and_that_is_no_password(user):
    assert f"<sip:{user}@224.0.1.75>" in shown(f"From: <sip:{user}@224.0.1.75>;tag=1\r\n\r\n".encode())
    assert SECRET not in shown(f"From: <sip:{user}:{SECRET}@h>\r\n\r\n".encode())
    assert SECRET not in shown(f"From: <sip:{user}@{SECRET}@h>\r\n\r\n".encode())


@pytest.mark.parametrize(
    "user",
    [f"MAC:000B82273B89:{SECRET}", f"MAC%3A000B82273B89%3A{SECRET}", f"MAC:{SECRET}", f"u:mac:{SECRET}",
     f"MAC:000B82273B89@x:{SECRET}", f"MAC:000B82273B89{SECRET}"],
)  # fmt: skip
def test_what_only_begins_like_a_mac_is_masked(user):
    assert SECRET not in shown(f"SUBSCRIBE sip:{user}@224.0.1.75 SIP/2.0\r\nTo: <sip:{user}@h>\r\n\r\n".encode())


@pytest.mark.parametrize(
    "body",
    ["<password>SECRET</password>", "<P34>SECRET</P34>", "pwd=SECRET", "pass=SECRET", '{"token": "SECRET"}',
     "Password: SECRET", "http://10.0.0.1/p/SECRET/x\r\nSECRET", "http://10.0.0.1/x/SECRET"],
)  # fmt: skip
@pytest.mark.parametrize("line_end", ["\r\n", "\n", "\r"])
def test_a_body_that_is_no_address_of_ours_is_not_shown(body, line_end):
    words = shown(f"SIP/2.0 200 OK{line_end}To: <sip:a@b>{line_end}{line_end}{body}".encode())
    assert "SECRET" not in words and "To: <sip:a@b>" in words


@pytest.mark.parametrize(
    "line",
    ["X-Pwd: SECRET", "X-Pass: SECRET", "X: pwd=SECRET", "X: a;pass=SECRET;b", "X: P34=SECRET",
     'X: password="a SECRET"', "X: <http://h/p/&#65;SECRET/cfg>", "X: <http://h/p/%41BC;SECRET/cfg>",
     "X: u:SECRET@h", "Contact: <u:SECRET@h>;q=1", "P-Key: SECRET", "X: password: SECRET", "X: token=\r\n SECRET",
     'X: {"password" : "SECRET"}'],
)  # fmt: skip
def test_no_spelling_of_a_password_in_a_field_gets_through(line):
    assert "SECRET" not in shown(f"NOTIFY sip:a SIP/2.0\r\n{line}\r\n\r\n".encode())


@pytest.mark.parametrize("around", ["{}", "x{}", "%2f{}%2f", "{}x" + "y" * 200, "sip:{}@h", "z" * 5000 + "{}"])
def test_a_secret_of_ours_is_masked_whatever_stands_around_it(around):
    words = visible(redacted(f"X: {around.format(SECRET)}\r\nCall-ID: {'a' * 32}\r\n".encode(), {hash_of(SECRET)}))[0]
    assert SECRET not in words
    assert "a" * 32 in words or len(around) > 1000


@pytest.mark.parametrize(
    "line", [f"Contact: <sip:1001:{SECRET}", f"X: {SECRET[:-1]}", f"Authorization: Basic {SECRET}"]
)
def test_of_a_message_that_was_cut_off_the_last_word_is_masked(line):
    words = visible(redacted(f"A: b\r\n{line}".encode(), is_cut=True))[0]
    assert words.startswith("A: b\n") and words.endswith("********")
    assert SECRET[:-1] not in words


def test_a_real_login_shows_whose_it_is_and_nothing_to_try_it_with():
    challenge = Challenge("gspnp", "n0nce", "0paque", "MD5", qop=("auth",))
    header = authorization(challenge, Login("1001", "s3cr3t"), "NOTIFY", "sip:10.0.0.20", b"", "cn0nce")
    line = f"{header.name}: {header.value}\r\n"
    words = shown(line.encode())
    for secret in ("n0nce", "cn0nce", "0paque", "s3cr3t"):
        assert secret not in words
    assert words.startswith(f"{header.name}: Digest ")
    for kept in ("1001", "gspnp", "realm=", "response=********", "nonce=********", "cnonce=********"):
        assert kept in words


@pytest.mark.parametrize(
    "line",
    [
        'WWW-Authenticate: Digest realm="r", nonce="SECRET"',
        'Proxy-Authenticate:Digest nonce=SECRET,realm="r"',
        'proxy-authorization : DIGEST username="1001",response="SECRET"',
        "Authorization: Basic SECRET",
        "Authorization: SECRET",
        'Authorization: Digest realm="r",\r\n  nonce="SECRET",\r\n\tresponse="SECRET"',
        'Authorization:\r\n Digest nonce="SECRET"',
        'Authorization: Digest x="a\\"b", SECRET="SECRET"',
        'Authorization: Digest nonce="SECRET',
        'X: y\rAuthorization: Digest nonce="SECRET"',
        'Authentication-Info: nextnonce="SECRET", rspauth="SECRET"',
        'X-Authorization: Digest response="SECRET"',
        "X-Auth: Basic SECRET",
        "X-Password: SECRET SECRET",
        "X-My-Token: SECRET",
        "Client-Secret: SECRET",
        'P-Authorization:\r\n\tDigest\r\n response="SECRET"',
        "\0Authorization: Basic SECRET",
        "\vAuthorization: Basic SECRET",
        "Authorization\u00a0: Basic SECRET",
        "\u00a0Proxy-Auth\0orization \v: Basic SECRET",
        "Authorization\r\n : Digest response=SECRET",
        "X: y\vAuthorization: Digest response=SECRET",
        "X: y\fAuthorization: Basic SECRET",
        " Authorization: Basic SECRET",
    ],
)
def test_no_spelling_of_a_login_gets_through(line):
    words = shown(f"SIP/2.0 401 x\r\n{line}\r\nTo: <sip:a@b>\r\n\r\n".encode()).replace("SECRET=****", "")
    assert "SECRET" not in words
    assert "To: <sip:a@b>" in words


def test_bytes_that_are_no_text_are_seen_as_bytes():
    words = shown(b"A: \xff\xfe \x00\x1b[31m\r\nB: gr\xc3\xbcn\tx\rC: \xe2\x80\xaeabc\r\n")
    assert words == "A: \\xff\\xfe \\x00\\x1b[31m\nB: grün\\tx\\rC: \\u202eabc\n"


def test_a_message_of_any_size_is_cut_and_says_so():
    assert visible(b"a" * MAX_CHARS) == ("a" * MAX_CHARS, False)
    for long in (b"a" * (MAX_CHARS + 1), b"\x00" * MAX_CHARS, b"a" * 100_000):
        text, cut = visible(long)
        assert (len(text), cut) == (MAX_CHARS, True)


@pytest.mark.parametrize(
    "piece",
    [
        b"Authorization: ",
        b"nonce=",
        b'"',
        b"\\",
        b"/p/",
        b"sip:a",
        b"\r\n ",
        b"=",
        b"x",
        b"%25",
        b"sip:a:b@",
        b"/p%2f",
        b"passwd ",
        b"Basic ",
        b"a://",
        b"/.",
        b"\r",
        b"password='",
        b'pwd="\\',
        b"mac:",
        b"p1=",
    ],
)
def test_what_repeats_itself_is_done_with_in_one_pass(piece):
    assert len(shown(b"Authorization: Digest " + piece * (16_384 // len(piece)))) <= MAX_CHARS
