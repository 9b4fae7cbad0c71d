"""HTTP at the phones' door: real connections on loopback to its own server, with an answer that needs no database."""

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from provisioning.door import wire
from provisioning.door.http import MALFORMED, REFUSED, Answer, Request, path_of
from provisioning.door.sockets import Listener, Stream
from provisioning.door.wire import Connection, Room

FILE = bytes(range(256)) * 2000


class Server:
    """A server in a thread of its own, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.closed_early = threading.Event()
        self.room = Room(uncounted=lambda host: False)
        self.loop = asyncio.new_event_loop()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = self.listening.getsockname()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(lambda: Listener(self.listening, lambda: self.opened()))
        self.loop.run_forever()

    def opened(self) -> asyncio.Protocol:
        return Connection(self.answer, self.room)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.listening.close()

    async def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        if request.path == "/file":
            return Answer(200, "text/xml", pieces=self.pieces(), length=len(FILE))
        if request.path == "/broken":
            return Answer(200, "text/xml", pieces=self.broken(), length=len(FILE))
        return Answer(200, "text/plain", b"hello\n") if request.path == "/hello" else REFUSED

    async def pieces(self):
        try:
            for start in range(0, len(FILE), 65536):
                yield FILE[start : start + 65536]
                await asyncio.sleep(0.01)
        except (GeneratorExit, asyncio.CancelledError):
            self.closed_early.set()
            raise

    async def broken(self):
        yield FILE[:10]
        raise RuntimeError("a fault of ours")


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


@contextlib.contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(server.address, timeout=20) as connection:
        yield connection


def test_what_the_other_machine_has_is_told_from_what_is_still_on_its_way(server: Server):
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)  # its machine takes so much and no more
        connection.settimeout(20)
        connection.connect(server.address)
        connection.sendall(b"GET /file HTTP/1.1\r\nHost: h\r\n\r\n")
        assert connection.recv(1) == b"H"
        request = server.asked[0]
        assert request.unarrived_bytes()
        got = b""
        while not got.endswith(FILE):
            got += connection.recv(65536)
        deadline = time.monotonic() + 20
        while request.unarrived_bytes() and time.monotonic() < deadline:  # an acknowledgement may come 40 ms later
            time.sleep(0.005)
        assert not request.unarrived_bytes()
    assert not request.unarrived_bytes(), "of a connection that is closed nothing is waited for"


def everything(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            found += piece
    return found


def said(server: Server, sent: bytes) -> bytes:
    with connected(server) as connection:
        connection.sendall(sent)
        return everything(connection)


def without_date(answer: bytes) -> bytes:
    return b"\r\n".join(line for line in answer.split(b"\r\n") if not line.startswith(b"Date: "))


REFUSAL = (
    b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 10\r\nConnection: close\r\n\r\nnot found\n"
)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /nothing HTTP/1.0\r\n\r\n",
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the beginning of TLS
        b"GET nowhere HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"CONNECT example.net:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 4000,
        b"GET /hello HTTP/1.1\r\n" + b"A: b\r\n" * 65 + b"\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n" + bytes(20_000),
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 5000,
    ],
    ids=lambda sent: repr(sent[:24]),
)
def test_what_is_no_http_gets_the_answer_of_what_is_not_there(server, sent):
    assert without_date(said(server, sent)) == REFUSAL
    assert len(server.asked) == 1, "by whoever answers everything"


def test_requests_on_one_connection_are_answered_in_turn(server):
    one = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answers = without_date(said(server, one * 3 + last))
    assert answers.count(b"hello\n") == 3 and answers.endswith(REFUSAL)


def test_a_request_may_come_byte_by_byte_and_its_short_body_is_not_read(server):
    sent = b"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
    with connected(server) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in sent:
            connection.sendall(bytes([byte]))
        assert everything(connection).endswith(b"\r\n\r\nhello\n")


def test_head_has_the_length_and_no_body(server):
    answer = said(server, b"HEAD /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n") and b"Content-Length: 6\r\n" in answer


def test_a_file_arrives_whole(server):
    answer = said(server, b"GET /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.partition(b"\r\n\r\n")[2] == FILE
    assert not server.closed_early.is_set()


@pytest.mark.parametrize("how", [socket.socket.close, lambda one: one.shutdown(socket.SHUT_WR)], ids=["close", "half"])
def test_who_hangs_up_ends_what_is_done_for_him(server, how):
    with connected(server) as connection:
        connection.sendall(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.recv(10)
        how(connection)
        assert server.closed_early.wait(20)


def test_a_fault_in_the_middle_cuts_off_and_is_logged(server, caplog):
    with caplog.at_level(logging.ERROR):
        answer = said(server, b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.partition(b"\r\n\r\n")[2] in (b"", FILE[:10])
    assert "was cut off in the middle of an answer" in caplog.text


def test_who_says_nothing_is_sent_away(server, monkeypatch):
    monkeypatch.setattr(wire, "IDLE_SECONDS", 0.2)
    with connected(server) as connection:
        connection.sendall(b"GET /hello HTTP/1.1\r\n")
        assert everything(connection) == b""


def test_who_takes_nothing_is_cut_off(server, monkeypatch):
    monkeypatch.setattr(wire, "SENDING_SECONDS", 0.2)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(server.address)
        connection.sendall(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n" * 16)
        assert server.closed_early.wait(20)


class Deaf(asyncio.Transport):
    """A client that takes nothing: closing waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.aborted = asyncio.Event()

    def get_extra_info(self, name: str, default=None):
        return ("127.0.0.1", 1)

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        self.aborted.set()


async def refuse(request: Request) -> Answer:
    return REFUSED if request.path == "\0malformed" else Answer(200, "text/plain", b"hello\n")


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b""], ids=["answered", "idle"])
async def test_who_does_not_take_the_end_of_an_answer_keeps_no_place(monkeypatch, sent):
    monkeypatch.setattr(wire, "SENDING_SECONDS", 0.05)
    monkeypatch.setattr(wire, "IDLE_SECONDS", 0.05)
    transport, room = Deaf(), Room()
    connection = Connection(refuse, room)
    connection.connection_made(transport)
    connection.data_received(sent)
    await asyncio.wait_for(transport.aborted.wait(), 10)
    connection.connection_lost(None)
    await asyncio.wait_for(room.emptied(10), 10)


async def test_what_is_too_long_is_refused_although_it_came_in_one_piece():
    transport = Deaf()
    connection = Connection(refuse, Room())
    connection.connection_made(transport)
    connection.data_received(b"GET / HTTP/1.1\r\nA: " + b"b" * 60_000 + b"\r\nConnection: close\r\n\r\n")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert without_date(transport.written) == REFUSAL
    connection.connection_lost(None)


def test_one_address_cannot_take_every_connection(server):
    server.room.per_source = 3
    with contextlib.ExitStack() as open_ones:
        for _ in range(3):
            one = open_ones.enter_context(connected(server))
            one.sendall(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
            assert one.recv(12) == b"HTTP/1.1 200"
        assert said(server, b"") == b""
    answer = b""
    while not answer:  # until those that are gone have made room
        answer = said(server, b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b"hello\n")


async def test_when_every_place_is_taken_who_has_many_leaves_one_to_a_phone():
    room = Room(most=6)

    def come(host: str) -> Connection:
        class From(Deaf):
            def get_extra_info(self, name: str, default=None):
                return (host, 1)

        one = Connection(refuse, room)
        one.connection_made(From())
        return one

    greedy = [come(f"10.0.0.{number % 2}") for number in range(6)]
    busy = greedy[0]
    busy.data_received(b"GET / HTTP/1.1\r\n\r\n")
    phone = come("10.0.1.1")
    cut = [one for one in [*greedy, phone] if one._transport.aborted.is_set()]
    assert len(cut) == 1 and cut[0] in greedy[1:], "not the phone, and not one that is being answered"
    cut[0].connection_lost(None)
    late = come("10.0.0.0")
    assert late._transport.aborted.is_set(), "it has as many as others already"
    for one in {*greedy, phone} - set(cut):
        one.connection_lost(None)
    late.connection_lost(None)
    await asyncio.wait_for(room.emptied(10), 10)
    assert room._all == 0 and not room._by_host


def test_an_answer_that_is_there_is_taken_when_its_last_byte_is_on_its_way(server):
    taken = threading.Event()
    file = FILE * 20

    def answer(request: Request) -> Answer:
        return Answer(200, "text/xml", file if request.path == "/file" else b"small", taken=taken.set)

    server.opened = lambda: Connection(answer, server.room)
    for path, length in (("/small", 5), ("/file", len(file))):
        for _ in range(2):
            taken.clear()
            with connected(server) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
                head = b""
                while b"\r\n\r\n" not in head:
                    head += connection.recv(1)
                assert path == "/small" or not taken.is_set(), "a large one still waits for its client"
                body = b""
                while len(body) < length:
                    body += connection.recv(65536)
                assert taken.wait(10)
                connection.sendall(b"GET /small HTTP/1.1\r\nConnection: close\r\n\r\n")
                assert everything(connection).endswith(b"small"), "and the connection goes on"


def test_answers_that_are_there_are_bounded_as_those_that_are_not(server):
    def answer(request: Request) -> Answer:
        return REFUSED if request.path == MALFORMED else Answer(200, "text/plain", b"small")

    server.opened = lambda: Connection(answer, server.room)
    said_all = said(server, b"GET / HTTP/1.1\r\n\r\n" * (wire.WAITING_REQUESTS + 1))
    assert said_all.count(b"HTTP/1.1 200") == wire.WAITING_REQUESTS and b"HTTP/1.1 404" in said_all


def test_an_answer_whose_client_goes_is_not_taken(server):
    taken, gone = threading.Event(), threading.Event()

    class Watched(Connection):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            gone.set()

    file = FILE * 20
    server.opened = lambda: Watched(lambda request: Answer(200, "text/xml", file, taken=taken.set), server.room)
    with connected(server) as connection:
        connection.sendall(b"GET /file HTTP/1.1\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 200"
    assert gone.wait(10) and not taken.is_set()


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/a/b?c=/d", "/a/b"),
        (b"/%70/%2F", "/p//"),
        (b"http://pbx.example/p/x", "/p/x"),
        (b"HTTPS://pbx.example", "/"),
        (b"/\xff%ff", "/\udcff\udcff"),
        (b"*", "*"),
    ],
)
def test_the_path_of_a_target(target, path):
    assert path_of(target) == path


def test_neither_the_path_nor_the_file_is_in_a_repr():
    assert "secret" not in repr(Request("GET", "/p/secret", {}, "10.0.0.20")) + repr(Answer(200, "", b"secret"))


async def test_who_hangs_up_while_he_is_written_to_is_lost_once():
    lost: list[object] = []

    class Speaking(asyncio.Protocol):
        """What it says at the end finds nobody."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def eof_received(self) -> None:
            assert isinstance(self.transport, asyncio.Transport)
            self.transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            lost.append(exc)

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.close()
    Stream(asyncio.get_running_loop(), ours, "", Speaking())
    for _ in range(3):
        await asyncio.sleep(0)
    assert lost == [None]


async def test_who_goes_on_asking_is_not_sent_away_and_has_one_timer(monkeypatch):
    transport = Deaf()
    connection = Connection(lambda _request: Answer(200, "text/plain", b"hello\n"), Room())
    transport.get_write_buffer_size = lambda: 0  # type: ignore[method-assign]
    connection.connection_made(transport)
    first, closed = connection._timer, asyncio.Event()
    transport.close = closed.set  # type: ignore[method-assign]
    connection.data_received(b"GET / HTTP/1.1\r\n\r\n")
    assert connection._timer is first and first is not None
    first.cancel()
    connection._ring()  # it is time for who has not asked since
    assert not closed.is_set() and connection._timer.when() == connection._idle_at
    monkeypatch.setattr(wire, "IDLE_SECONDS", 0.0)
    connection.data_received(b"GET / HTTP/1.1\r\n\r\n")
    connection._timer.cancel()
    connection._ring()
    assert closed.is_set()
    connection.connection_lost(None)
