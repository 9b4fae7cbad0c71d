"""TLS at the phones' door: real connections on loopback, by TLS and plain on one port, within the same bounds."""

import _ssl
import asyncio
import contextlib
import ctypes
import logging
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.certificates import context
from devices.renewals import Keeper
from provisioning.door import wire
from provisioning.door.tls import OWN_BYTES, Opening, Tunnel, _lines
from sipmcast.doctor import probing, verdicts
from sipmcast.doctor.finding import State
from tests.provisioning.test_door_wire import FILE, REFUSAL, Server, everything, without_date
from tests.sipmcast.test_doctor import SETUP
from tests.support.certificates import Authority

HELLO = b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
GET_FILE = b"GET /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # and no more of it


class SecureServer(Server):
    """The same server behind a certificate."""

    def __init__(self, folder: Path, lowest: str = "1.2") -> None:
        self.authority = Authority()
        files = self.authority.files(folder)
        self.keeper = Keeper(files, lambda files: context(files, lowest))
        self.handshakes = 1000  # that it admits
        super().__init__()

    def opened(self) -> asyncio.Protocol:
        return Opening(self.answer, self.room, self.keeper, self.admit)

    def admit(self, host: str) -> bool:
        assert host.startswith("127.0.")
        self.handshakes -= 1
        return self.handshakes >= 0

    def client(self) -> ssl.SSLContext:
        """Of a phone that knows the authority and looks at names."""
        return ssl.create_default_context(cadata=self.authority.pem.decode())


@pytest.fixture
def server(tmp_path) -> Iterator[SecureServer]:
    made = SecureServer(tmp_path)
    yield made
    made.stop()


@contextlib.contextmanager
def connected(server: SecureServer, client: ssl.SSLContext | None = None) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection(server.address, timeout=20) as plain,
        (client or server.client()).wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        yield secure


def said(server: SecureServer, sent: bytes) -> bytes:
    with connected(server) as connection:
        connection.sendall(sent)
        return everything(connection)


def said_plainly(server: SecureServer, sent: bytes) -> bytes:
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(sent)
        return everything(connection)


def test_the_doctor_takes_an_authority_of_ones_own_for_what_it_is(server, tmp_path):
    """Made as docs/tls.md says it, it is no fault; and the way out of one is never plain HTTP."""
    host, port = server.address
    url, chain = f"https://{host}:{port}/hello", tmp_path / "door.pem"
    found = probing.knock(url, "eth0", chain)
    assert (found.status, found.own, found.distrust) == (200, True, 0)
    assert "ca.pem" in verdicts.judge_doors([found], SETUP)[0].words
    other = tmp_path / "other.pem"
    other.write_bytes(Authority().pem)
    for unknown in (probing.knock(url), probing.knock(url, "", other), probing.knock(url, "", tmp_path / "none")):
        (judged,) = verdicts.judge_doors([unknown], SETUP)
        assert judged.state is State.WARNING and "who signed it" in judged.words
        assert "SSL" not in judged.words and "HTTP" not in judged.remedy
    (renamed,) = verdicts.judge_doors([probing.knock(url.replace("127.0.0.1", "127.1"), "", chain)], SETUP)
    assert "does not name this address" in renamed.words


def test_one_port_answers_tls_and_plain_http_and_knows_which_it_was(server):
    assert said(server, HELLO).endswith(b"\r\n\r\nhello\n")
    assert said_plainly(server, HELLO).endswith(b"\r\n\r\nhello\n")
    assert [one.secure for one in server.asked] == [True, False]
    assert {one.peer for one in server.asked} == {one.local for one in server.asked} == {"127.0.0.1"}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_file_arrives_whole_and_its_end_is_said(server, version):
    client = server.client()
    client.minimum_version = client.maximum_version = version
    with (
        socket.create_connection(server.address, timeout=20) as plain,
        client.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as connection,
    ):
        connection.sendall(GET_FILE)
        answer = everything(connection)
    assert answer.partition(b"\r\n\r\n")[2] == FILE
    assert not server.closed_early.is_set()


def test_requests_in_tls_are_answered_in_turn_and_what_is_no_http_as_what_is_not_there(server):
    one = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
    answers = without_date(said(server, one * 3 + b"hello\r\n\r\n"))
    assert answers.count(b"hello\n") == 3 and answers.endswith(REFUSAL)


def test_tls_may_come_byte_by_byte(server):
    with socket.create_connection(server.address, timeout=20) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        coming, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = server.client().wrap_bio(coming, leaving, server_hostname="127.0.0.1")

        def send() -> None:
            for byte in leaving.read():
                plain.sendall(bytes([byte]))

        def until_done(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    send()
                    coming.write(plain.recv(1))

        until_done(client.do_handshake)
        client.write(HELLO)
        send()
        assert until_done(lambda: client.read(12)) == b"HTTP/1.1 200"


def close_at_once(secure: ssl.SSLSocket) -> None:
    """As a phone whose power goes, or whose stack says no farewell."""
    socket.socket(fileno=secure.detach()).close()


def half_close(secure: ssl.SSLSocket) -> None:
    """TCP's end without TLS's."""
    socket.socket.shutdown(secure, socket.SHUT_WR)


def say_farewell(secure: ssl.SSLSocket) -> None:
    """TLS's end (close_notify), and the connection stays open."""
    secure.settimeout(0)
    with contextlib.suppress(ssl.SSLError, BlockingIOError):
        secure._sslobj.shutdown()


@pytest.mark.parametrize("how", [close_at_once, half_close, say_farewell])
def test_who_hangs_up_ends_what_is_done_for_him(server, how):
    with connected(server) as connection:
        connection.sendall(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.recv(10)
        how(connection)
        assert server.closed_early.wait(20)


def test_who_takes_nothing_is_cut_off(server, monkeypatch):
    monkeypatch.setattr(wire, "SENDING_SECONDS", 0.2)
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.settimeout(20)
        plain.connect(server.address)
        with server.client().wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            connection.sendall(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n" * 16)
            assert server.closed_early.wait(20)


@pytest.mark.parametrize("sent", [b"", CLIENT_HELLO, b"\x16"], ids=["nothing", "part", "byte"])
def test_who_does_not_end_the_handshake_is_sent_away(server, monkeypatch, sent):
    monkeypatch.setattr(wire, "IDLE_SECONDS", 0.2)
    assert said_plainly(server, sent) == b""
    assert server.asked == []


def test_who_asks_nothing_after_the_handshake_is_sent_away(server, monkeypatch):
    monkeypatch.setattr(wire, "IDLE_SECONDS", 0.5)
    assert said(server, b"GET /hello HTTP/1.1\r\n") == b""


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x00\x05hello",
        b"\x16" + bytes(2000),
        b"\x16\x03\x01" + b"\xff" * 20_000,
        b"\x16GET / HTTP/1.1\r\n\r\n",
    ],
    ids=lambda sent: repr(sent[:12]),
)
def test_what_is_no_tls_is_cut_off_without_a_line_in_the_log(server, caplog, capfd, sent):
    with caplog.at_level(logging.DEBUG):
        answer = said_plainly(server, sent)
    assert len(answer) in (0, 7), "an alert, and nothing else"
    assert said(server, HELLO).endswith(b"hello\n")
    assert [one for one in caplog.records if one.name != "asyncio"] == []
    assert "Traceback" not in caplog.text + capfd.readouterr().err


def test_garbage_in_the_middle_ends_it(server):
    with connected(server) as connection:
        plain = socket.socket(fileno=connection.detach())
        plain.settimeout(20)
        plain.sendall(b"\x17\x03\x03\x00\x10" + bytes(16))
        everything(plain)
        plain.close()
    assert server.asked == []


def test_a_handshake_that_grows_is_cut_off(server):
    """OpenSSL would keep 128 KB of it, for each connection."""
    hello = b"\x01\x01\xf0\x00" + bytes(20_000)
    records = b"".join(b"\x16\x03\x01" + len(part).to_bytes(2) + part for part in (hello[:16_000], hello[16_000:]))
    with socket.create_connection(server.address, timeout=10) as plain:  # less than it may take
        plain.sendall(records)
        with contextlib.suppress(ConnectionResetError):
            assert plain.recv(100) == b""


class TakesNothing(asyncio.Transport):
    """What is written to it waits for ever, as for a client that does not read."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = bytearray()
        self.is_cut = False

    def write(self, data) -> None:
        self.waiting += data

    def get_write_buffer_size(self) -> int:
        return len(self.waiting)

    def is_closing(self) -> bool:
        return self.is_cut

    def abort(self) -> None:
        self.is_cut = True


def test_who_hangs_up_while_something_waits_for_him_is_cut_off(server):
    """What is written after that does not leave, and must not count as taken."""
    below, leaving = TakesNothing(), ssl.MemoryBIO()
    client = server.client().wrap_bio(ssl.MemoryBIO(), leaving, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()

    async def hang_up() -> None:
        opening = Opening(server.answer, wire.Room(), server.keeper)
        opening.connection_made(below)
        opening.data_received(leaving.read())
        assert below.waiting and not below.is_cut
        opening.eof_received()
        opening.connection_lost(None)

    asyncio.run(hang_up())
    assert below.is_cut


def test_who_asks_for_new_keys_on_and_on_does_not_fill_our_memory(server):
    """Python knows no way to ask for them, OpenSSL does: SSL_key_update(3)."""
    below, coming, leaving = TakesNothing(), ssl.MemoryBIO(), ssl.MemoryBIO()
    tunnel = Tunnel(below, server.keeper.current(), lambda transport: asyncio.Protocol())
    client = server.client().wrap_bio(coming, leaving, server_hostname="127.0.0.1")
    for _ in range(2):
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        tunnel.received(leaving.read())
        coming.write(bytes(below.waiting))
        below.waiting.clear()
    assert client.version() == "TLSv1.3"
    openssl = ctypes.CDLL(_ssl.__file__)
    openssl.SSL_key_update.argtypes = [ctypes.c_void_p, ctypes.c_int]
    its_ssl = ctypes.c_void_p.from_address(id(client._sslobj) + 3 * ctypes.sizeof(ctypes.c_void_p))
    for _ in range(1000):
        if below.is_cut:
            break
        assert openssl.SSL_key_update(its_ssl, 1) == 1  # SSL_KEY_UPDATE_REQUESTED
        client.write(b"x")
        tunnel.received(leaving.read())
    assert below.is_cut
    assert len(below.waiting) <= OWN_BYTES


def test_handshakes_that_fail_do_not_fill_the_log(server, caplog):
    _lines.cache_clear()
    with caplog.at_level(logging.INFO):
        for _ in range(60):
            with pytest.raises(ssl.SSLError), connected(server, ssl.create_default_context()):
                pass
    assert 10 <= caplog.text.count("does not agree with us on TLS") <= 40
    _lines.cache_clear()


def test_a_connection_counts_before_its_handshake(server):
    server.room.per_source = 3
    with contextlib.ExitStack() as open_ones:
        for sent in (b"", CLIENT_HELLO, b"GET /"):
            one = open_ones.enter_context(socket.create_connection(server.address, timeout=20))
            one.sendall(sent)
        assert said_plainly(server, HELLO) == b""
    answer = b""
    while not answer:  # until those that are gone have made room
        answer = said_plainly(server, HELLO)
    assert answer.endswith(b"hello\n")
    assert said(server, HELLO).endswith(b"hello\n")


def test_who_asks_for_too_many_handshakes_gets_none_and_plain_http_goes_on(server):
    server.handshakes = 1
    assert said(server, HELLO).endswith(b"hello\n")
    with pytest.raises(OSError), connected(server):
        pass
    assert said_plainly(server, HELLO).endswith(b"hello\n")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1 is deprecated")
def test_an_old_version_is_spoken_only_if_it_is_allowed(server, tmp_path, caplog):
    with caplog.at_level(logging.INFO), pytest.raises(ssl.SSLError), connected(server, old_client(server)):
        pass
    assert "127.0.0.1 does not agree with us on TLS" in caplog.text and "GSPNP_PHONES_TLS_MIN" in caplog.text
    older = SecureServer(tmp_path / "older", lowest="1.0")
    with connected(older, old_client(older)) as connection:
        assert connection.version() == "TLSv1"
        connection.sendall(HELLO)
        assert everything(connection).endswith(b"hello\n")
    older.stop()


def test_a_phone_that_does_not_know_who_signed_is_told_of(server, caplog):
    with caplog.at_level(logging.INFO):
        with pytest.raises(ssl.SSLError), connected(server, ssl.create_default_context()):
            pass
        assert said(server, HELLO).endswith(b"hello\n")
    assert "it does not know who signed our certificate" in caplog.text


def old_client(server: SecureServer) -> ssl.SSLContext:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=server.authority.pem.decode())
    client.set_ciphers("ALL:@SECLEVEL=0")
    client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1
    return client


def test_a_client_without_forward_secrecy_is_served_too(tmp_path):
    """Old stacks know AES with RSA's key exchange only; that needs an RSA key."""
    folder = tmp_path / "rsa"
    folder.mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "door.key", "-out", "door.pem",
         "-days", "2", "-subj", "/CN=door", "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    made = SecureServer(tmp_path / "other")
    files = made.authority.files(tmp_path / "unused")._replace(cert=folder / "door.pem", key=folder / "door.key")
    made.keeper = Keeper(files, context)
    client = ssl.create_default_context(cafile=str(folder / "door.pem"))
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("AES128-SHA:@SECLEVEL=0")
    with connected(made, client) as connection:
        connection.sendall(HELLO)
        assert everything(connection).endswith(b"hello\n")
    made.stop()


def test_curl_takes_a_file_and_looks_at_the_certificate(server, tmp_path):
    curl = shutil.which("curl")
    assert curl, "curl is not installed: apt-get install curl"
    known = tmp_path / "authority.pem"
    known.write_bytes(server.authority.pem)
    host, port = server.address
    done = subprocess.run(
        [curl, "-sS", "--cacert", known, f"https://{host}:{port}/file"], capture_output=True, timeout=30, check=True
    )
    assert done.stdout == FILE


def test_who_has_many_places_and_has_not_said_a_word_leaves_one_to_a_phone(server, monkeypatch):
    """Two addresses of one machine take all places and begin handshakes that they do not go on with."""
    monkeypatch.setattr(server.room, "_most", 6)
    with contextlib.ExitStack() as open_ones:
        for number in range(6):
            greedy = open_ones.enter_context(
                socket.create_connection(server.address, timeout=20, source_address=(f"127.0.1.{number % 2 + 1}", 0))
            )
            greedy.sendall(CLIENT_HELLO[: number % 3])
        assert said(server, HELLO).endswith(b"\r\n\r\nhello\n")
