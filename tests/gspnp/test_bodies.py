"""What a stranger sends to one of the doors is not kept: real servers on loopback."""

import os
import socket
import subprocess
import sys

import pytest

from gspnp.bodies import CONSOLE_BYTES, PHONES_BYTES
from provisioning.firmware import images

WITHOUT_END = 10**12


@pytest.fixture
def door(tmp_path, request):
    """The address of a phones' door of its own, or of a console's."""
    suffix = getattr(request, "param", "_phones")
    listening = socket.create_server(("127.0.0.1", 0))
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": f"gspnp.settings{suffix}"}
    environment |= {"DATABASE_URL": f"sqlite:///{tmp_path / 'door.sqlite3'}", "TMPDIR": str(tmp_path)}
    server = subprocess.Popen(
        [sys.executable, "-m", "daphne", "-v", "0", "--fd", str(listening.fileno()), f"gspnp.asgi{suffix}:application"],
        env=environment, pass_fds=[listening.fileno()],
    )  # fmt: skip
    yield listening.getsockname()
    server.terminate()
    server.wait(10)
    listening.close()


def ask(address: tuple[str, int], head: str, body: bytes) -> tuple[bytes, int]:
    """The beginning of the answer, and how many bytes of the body were taken."""
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(head.encode())
        sent = 0
        try:
            for start in range(0, len(body), 65536):
                connection.sendall(body[start : start + 65536])
                sent += len(body[start : start + 65536])
            return connection.recv(12), sent
        except OSError:
            return b"", sent


def test_a_body_without_end_is_cut_off(door):
    head = f"GET /cfg.xml HTTP/1.1\r\nHost: x\r\nContent-Length: {WITHOUT_END}\r\n\r\n"
    answer, sent = ask(door, head, bytes(64 * 2**20))
    assert answer == b""
    assert sent < 32 * 2**20, "the connection was closed long before"


def test_a_short_one_is_in_nobodys_way(door):
    answer, _ = ask(door, f"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: {PHONES_BYTES}\r\n\r\n", bytes(PHONES_BYTES))
    assert answer.startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize("door", [""], indirect=True)
def test_the_console_takes_a_firmware_image_and_no_more(door):
    assert CONSOLE_BYTES > images.MAX_BYTES
    head = f"POST /nowhere/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {WITHOUT_END}\r\n\r\n"
    answer, sent = ask(door, head, bytes(2 * CONSOLE_BYTES))
    assert answer == b""
    assert sent < 2 * CONSOLE_BYTES
