"""Races for a released file: two processes of the phones' door, clients at two addresses, all at the same moment."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import connection

from devices.models import LiveEvent, Phone
from provisioning.models import Download, Release
from provisioning.release import windows
from tests import cast

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.db]
PHONE, STRANGER = "127.0.0.1", "127.0.0.2"
NAME = f"/cfg{cast.MAC}.xml"
REFUSAL_BODY = b"not found\n"
ROUNDS = 12
WAIT_SECONDS = 20.0


class Doors:
    """Processes of the phones' door on one database; each listens on a port of its own."""

    def __init__(self, count: int) -> None:
        self.ports: list[int] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        for _ in range(count):
            self.start()

    def start(self) -> int:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            made = subprocess.Popen(
                [sys.executable, "-m", "gspnp.phones", str(listening.fileno())],
                pass_fds=[listening.fileno()],
                cwd=settings.BASE_DIR,
                env=os.environ | {"DATABASE_URL": _database_url(), "GSPNP_ALLOWED_NETWORKS": "127.0.0.0/8"},
            )
            self.ports.append(listening.getsockname()[1])
        self.processes.append(made)
        return self.ports[-1]

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(WAIT_SECONDS)


def _database_url() -> str:
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    place = f"{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}"
    return f"postgres://{place}/{database['NAME']}"


@pytest.fixture
def doors() -> Iterator[Doors]:
    made = Doors(2)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def version():
    return cast.assigned(host=PHONE)


def ask(port: int, host: str, request: str = "", stop_after: int | None = None) -> bytes:
    """The body of one answer; of all of it that came if the server cut it off."""
    with socket.create_connection(("127.0.0.1", port), WAIT_SECONDS, source_address=(host, 0)) as client:
        client.sendall((request or f"GET {NAME} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").encode())
        found = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := client.recv(65536):
                found += piece
                if stop_after is not None and len(found) >= stop_after:
                    break
    return found.partition(b"\r\n\r\n")[2]


def at_once(asks: list[tuple[int, str]]) -> list[tuple[str, bytes]]:
    """Everybody asks in the same moment."""
    ready, found, lock = threading.Barrier(len(asks)), [], threading.Lock()

    def run(port: int, host: str) -> None:
        ready.wait(WAIT_SECONDS)
        body = ask(port, host)
        with lock:
            found.append((host, body))

    threads = [threading.Thread(target=run, args=one) for one in asks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    return found


def until(true) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def test_one_of_all_who_ask_at_once_gets_it(doors, version):
    whole = bytes(version.content)
    for _ in range(ROUNDS):
        windows.open_release(version.phone_id, PHONE, by="tess")
        asks = [(port, host) for port in doors.ports for host in (PHONE, STRANGER) for _ in range(3)]
        answers = at_once(asks)
        assert len(answers) == len(asks)
        by_phone = Counter(body for host, body in answers if host == PHONE)
        assert by_phone == {whole: 1, REFUSAL_BODY: 5}
        assert {body for host, body in answers if host == STRANGER} == {REFUSAL_BODY}
        assert {body for _, body in at_once(asks)} == {REFUSAL_BODY}, "it is closed"
    assert Release.objects.filter(ended="fetched").count() == ROUNDS
    assert Download.objects.filter(path_kind="plain", counts=True).count() == ROUNDS
    assert Phone.objects.get().stage == "fetched"


def test_who_breaks_off_leaves_it_open_and_who_only_looks_does_too(doors, version):
    windows.open_release(version.phone_id, PHONE, by="tess")
    head = f"HEAD {NAME} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    part = f"GET {NAME} HTTP/1.1\r\nHost: x\r\nRange: bytes=0-\r\nConnection: close\r\n\r\n"
    for port in doors.ports:
        assert ask(port, PHONE, head) == b""
        assert ask(port, PHONE, part) == REFUSAL_BODY
    ask(doors.ports[0], PHONE, stop_after=1)
    until(lambda: Release.objects.get().broken == 1)
    assert Release.objects.get().in_hand == ""
    assert ask(doors.ports[1], PHONE) == bytes(version.content)
    assert Release.objects.get().ended == "fetched"


def test_closing_it_races_with_the_download(doors, version):
    """Whoever wins: either the whole file left and it says so, or the end of it never did."""
    whole = bytes(version.content)
    for turn in range(ROUNDS):
        windows.open_release(version.phone_id, PHONE, by="tess")
        found: list[bytes] = []
        asking = threading.Thread(target=lambda port=doors.ports[turn % 2], to=found: to.append(ask(port, PHONE)))
        asking.start()
        time.sleep(0.01 * turn)  # into another moment of the download each time
        closed = windows.close(version.phone_id, by="tess")
        asking.join(WAIT_SECONDS)
        ended = Release.objects.latest("pk").ended
        assert ended == ("closed" if closed else "fetched")
        assert (found[0] == whole) == (ended == "fetched")


def test_a_door_that_is_killed_in_the_middle_keeps_it_from_others_only_for_a_while(doors, version):
    release = windows.open_release(version.phone_id, PHONE, by="tess")
    port = doors.ports[0]
    with socket.create_connection(("127.0.0.1", port), WAIT_SECONDS, source_address=(PHONE, 0)) as client:
        client.sendall(f"GET {NAME} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        client.recv(10)
        doors.processes[0].kill()
        doors.processes[0].wait(WAIT_SECONDS)
    release.refresh_from_db()
    if release.closed_at is None:  # else it was faster
        assert release.in_hand
        assert ask(doors.ports[1], PHONE) == REFUSAL_BODY
        Release.objects.update(in_hand_until=release.opened_at)
        assert ask(doors.ports[1], PHONE) == bytes(version.content)


def test_no_secret_in_what_is_told(doors, version):
    windows.open_release(version.phone_id, PHONE, by="tess")
    ask(doors.ports[0], PHONE)
    text = "\n".join(LiveEvent.objects.values_list("text", flat=True))
    assert "its plain name" in text
    for secret in (cast.PASSWORD, version.first_secret, version.steady_secret):
        assert secret not in text
