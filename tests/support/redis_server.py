"""A real Redis for the tests, on a port of its own, that dies with the suite. It keeps nothing on disk."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
import redis

from tests.support.parts import require
from tests.support.servers import POLL_SECONDS, START_SECONDS, STOP_SECONDS, die_with_the_suite, free_port


class RedisServer:
    """One server: `start` and `kill` may come in turns; its port stays."""

    def __init__(self) -> None:
        self._program = require("redis-server")
        self.port = free_port()
        self._process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        """What REDIS_URL is to be."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(
            [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=die_with_the_suite,
        )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        client = redis.Redis(port=self.port)
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(redis.ConnectionError):
                client.ping()
                client.close()
                return
            time.sleep(POLL_SECONDS)
        raise AssertionError("redis-server does not start")

    def kill(self) -> None:
        """An end without farewell."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait(STOP_SECONDS)


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A server of this test's own."""
    server = RedisServer()
    try:
        server.start()
        yield server
    finally:
        server.kill()
