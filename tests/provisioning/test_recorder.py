"""The process beside the door that writes down what phones fetched again: nothing is lost when either of them is."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from devices import metrics
from provisioning.door import again, recorder
from provisioning.models import ConfigFile, Download
from provisioning.repeats import Again
from tests import cast
from tests.provisioning.test_release_races import WAIT_SECONDS, Doors, _database_url, ask
from tests.support.site import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.db]
HOST = "127.0.0.1"


@pytest.fixture
def version() -> ConfigFile:
    """A phone that has its file."""
    made = cast.assigned(host=HOST)
    cast.delivered(made)
    cast.download(cast.first_path(made), host=HOST)
    cast.download(cast.steady_path(made), host=HOST)
    return cast.now(made)


@pytest.fixture
def door(version) -> Iterator[Doors]:
    made = Doors(1)
    try:
        ask(made.ports[0], HOST, "GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")  # it is up
        yield made
    finally:
        made.stop()


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def recorder_of(door: Doors) -> int:
    (pid,) = children(door.processes[0].pid)
    return pid


def fetch(door: Doors, version: ConfigFile) -> None:
    path = cast.steady_path(version)
    assert ask(door.ports[0], HOST, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") == version.content


def written(count: int) -> Callable[[], bool]:
    return lambda: Download.objects.count() == count


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


TELL_AND_DIE = """
import os, signal, sys
import django
django.setup()
from django.utils import timezone
from provisioning.door import recorder
_, end = recorder.fork(lambda: None)
phone, file, mac, name = sys.argv[1:]
end.sendall(recorder._framed([(int(phone), int(file), name, 200, "127.0.0.1", "a phone", timezone.now(), mac)]))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_the_door_has_told_is_written_although_the_door_is_killed(version):
    before = Download.objects.count()
    what = (str(version.phone_id), str(version.pk), version.phone.mac, "cfg.xml")
    killed = subprocess.run(
        [sys.executable, "-c", TELL_AND_DIE, *what], cwd=settings.BASE_DIR, timeout=WAIT_SECONDS, check=False,
        env=os.environ | {"DATABASE_URL": _database_url(), "DJANGO_SETTINGS_MODULE": "gspnp.settings_phones"},
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    wait_for(written(before + 1), WAIT_SECONDS, "the download is written")


def test_a_door_that_ends_waits_until_all_is_written_and_leaves_nothing_behind(version, door):
    before, pid = Download.objects.count(), recorder_of(door)
    for _ in range(3):
        fetch(door, version)
    os.kill(pid, signal.SIGTERM)  # as Ctrl-C and a supervisor do, to all at once
    door.stop()
    assert Download.objects.count() == before + 3 and is_gone(pid)
    assert door.processes[0].returncode == 0


def test_a_door_whose_recorder_is_killed_writes_by_itself(version, door):
    before = Download.objects.count()
    fetch(door, version)
    pid = recorder_of(door)
    wait_for(written(before + 1), WAIT_SECONDS, "it works")
    os.kill(pid, signal.SIGSTOP)
    fetch(door, version)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: is_gone(pid), WAIT_SECONDS, "the door has seen it")
    fetch(door, version)
    wait_for(lambda: Download.objects.count() >= before + 3, WAIT_SECONDS, "both are written")
    assert not children(door.processes[0].pid)


def test_the_port_is_free_as_soon_as_the_door_is_gone(version, door):
    """Whatever its recorder still has to write: it must not keep the next door out."""
    pid = recorder_of(door)
    os.kill(pid, signal.SIGSTOP)
    try:
        door.processes[0].kill()
        door.processes[0].wait(WAIT_SECONDS)
        with socket.create_server((HOST, door.ports[0])):
            pass
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: is_gone(pid), WAIT_SECONDS, "nothing of the door is left")


@pytest.mark.asyncio
async def test_what_was_not_said_to_be_written_is_given_back_and_its_waits_are_counted(monkeypatch):
    here, there = socket.socketpair()
    waits: list[tuple[str, float]] = []
    monkeypatch.setattr(metrics, "waited", lambda *wait: waits.append(wait))
    again.forget()
    made = await recorder.attach(os.getppid(), here)
    notes = [Again(1, n, "cfg.xml", 200, HOST, "", timezone.now(), cast.MAC) for n in range(3)]
    with there:
        for note in notes:
            assert again.note(note)
        assert again.held() == 3 and not again._held
        made._tell()
        there.sendall(recorder._framed((2, [("commit", 0.25)])))
        while len(made) > 1:
            await asyncio.sleep(0)
        assert waits == [("commit", 0.25)]
        again.note(notes[0])
    await made._ended
    assert again._held == [notes[2], notes[0]] and again.held() == 2
    again.forget()


def test_as_many_as_there_is_room_for_are_told_and_no_more(monkeypatch):
    monkeypatch.setattr(again, "HELD_AT_MOST", 2)
    told: list[Again] = []

    class Busy:
        def __len__(self) -> int:
            return len(told)

        def note(self, one: Again) -> None:
            told.append(one)

    again.recorded_by(Busy())
    note = Again(1, 1, "cfg.xml", 200, HOST, "", timezone.now(), cast.MAC)
    assert [again.note(note) for _ in range(3)] == [True, True, False]
    again.forget()


def test_it_stands_behind_the_door_where_both_want_the_same_core(door):
    def priority(pid: int) -> int:
        return os.getpriority(os.PRIO_PROCESS, pid)

    behind = min(19, priority(door.processes[0].pid) + recorder.NICE)
    wait_for(lambda: priority(recorder_of(door)) == behind, WAIT_SECONDS, "phones come first")
