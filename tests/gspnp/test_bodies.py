"""What a stranger sends to the console is not kept: a real server on loopback."""

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from gspnp.bodies import CONSOLE_BYTES, IN_MEMORY_BYTES
from provisioning.firmware import images
from tests.support.site import wait_for

WITHOUT_END = 10**12


class Address(NamedTuple):
    host: str
    port: int
    pid: int


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
    yield Address(*listening.getsockname(), server.pid)
    server.terminate()
    server.wait(10)
    listening.close()


def ask(address: Address, head: str, body: bytes) -> tuple[bytes, int]:
    """The beginning of the answer, and how many bytes of the body were taken."""
    with socket.create_connection(address[:2], timeout=60) as connection:
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


@pytest.mark.parametrize(("size", "in_files"), [(2_000_000, 0), (IN_MEMORY_BYTES + 500_000, 1)])
def test_a_table_of_phones_is_gathered_in_memory_and_an_image_in_a_file(console, tmp_path, size, in_files):
    head = f"POST /nowhere/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {WITHOUT_END}\r\n\r\n"
    with socket.create_connection(console[:2], timeout=60) as connection:
        connection.sendall(head.encode())
        connection.sendall(bytes(size))
        wait_for(lambda: len(files_of(console.pid, tmp_path)) == in_files, 30, "it is in a file, or in none")
        answer, _ = ask(console, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"")
        assert answer == b"HTTP/1.1 200", "whoever is served now is served after what was sent before"
        assert len(files_of(console.pid, tmp_path)) == in_files


def files_of(pid: int, folder: Path) -> list[str]:
    """Files without a name that this process has open below a folder."""
    found = []
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            found.append(os.readlink(one))
    return [one for one in found if one.startswith(str(folder)) and "deleted" in one]
