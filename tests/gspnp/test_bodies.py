"""What a stranger sends to the console is not kept: a real server on loopback."""

import os
import socket
import subprocess
import sys

import pytest

from gspnp.bodies import CONSOLE_BYTES
from provisioning.firmware import images

WITHOUT_END = 10**12


@pytest.fixture
def console(tmp_path):
    """The address of a console of its own."""
    listening = socket.create_server(("127.0.0.1", 0))
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "gspnp.settings"}
    environment |= {"DATABASE_URL": f"sqlite:///{tmp_path / 'door.sqlite3'}", "TMPDIR": str(tmp_path)}
    server = subprocess.Popen(
        [sys.executable, "-m", "daphne", "-v", "0", "--fd", str(listening.fileno()), "gspnp.asgi:application"],
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


def test_a_firmware_image_is_taken_and_no_more(console):
    assert CONSOLE_BYTES > images.MAX_BYTES
    head = f"POST /nowhere/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {WITHOUT_END}\r\n\r\n"
    answer, sent = ask(console, head, bytes(2 * CONSOLE_BYTES))
    assert answer == b""
    assert sent < 2 * CONSOLE_BYTES
