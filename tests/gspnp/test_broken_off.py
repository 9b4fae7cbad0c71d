"""An answer that fails half-way ends, on a real server; and the server goes on."""

import os
import socket
import subprocess
import sys
import textwrap

import pytest

SECONDS = 30  # a bound of what hangs

APPLICATION = """
from gspnp import broken_off

broken_off.cut()

async def application(scope, receive, send):
    if scope["path"] != "/before":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one row", "more_body": True})
    if scope["path"] == "/whole":
        await send({"type": "http.response.body", "body": b""})
        return
    raise RuntimeError("the database is gone")
"""


@pytest.fixture
def server(tmp_path):
    (tmp_path / "failing.py").write_text(textwrap.dedent(APPLICATION), "utf-8")
    listening = socket.create_server(("127.0.0.1", 0))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.getcwd()])}
    process = subprocess.Popen(
        [sys.executable, "-m", "daphne", "-v", "0", "--fd", str(listening.fileno()), "failing:application"],
        env=environment, pass_fds=[listening.fileno()], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield listening.getsockname()
    process.terminate()
    process.wait(10)
    listening.close()


def whole(address, path: str) -> bytes:
    """All that comes until the server ends the connection; an error if it does not."""
    with socket.create_connection(address, timeout=SECONDS) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        got = b""
        try:
            while piece := connection.recv(65536):
                got += piece
        except ConnectionResetError:
            pass
        return got


def test_what_fails_half_way_is_cut_off_and_the_next_one_too(server):
    assert whole(server, "/whole").endswith(b"0\r\n\r\n")
    for _ in range(2):
        got = whole(server, "/half")
        assert not got.endswith(b"0\r\n\r\n"), "it does not look complete"
    assert whole(server, "/before").startswith(b"HTTP/1.1 500")
