"""Writers of one SQLite file take turns at a file lock: nobody sleeps while the database is free."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.site import ROOT, wait_for

COMMAND_SECONDS = 60
TIMES = 25

WRITER = """
import sys, time, django
django.setup()
from django.db import OperationalError, connection, transaction
def write(text):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("INSERT INTO note (text) VALUES (%s)", [text])
        if sys.argv[1] == "fails":
            raise ValueError
if sys.argv[1] == "begin":
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)")
elif sys.argv[1] == "fails":
    for _ in range(2):
        try:
            write("never")
        except ValueError:
            pass
elif sys.argv[1] == "dies":
    with transaction.atomic():
        print("mine", flush=True)
        time.sleep(60)
else:
    print("ready", flush=True)
    for number in range(int(sys.argv[2])):
        write(sys.argv[1])
with connection.cursor() as cursor:
    cursor.execute("SELECT count(*) FROM note")
    print(cursor.fetchone()[0])
"""


@pytest.fixture
def run(tmp_path: Path):
    environment = {**os.environ, "GSPNP_DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "gspnp.settings"}
    environment.pop("DATABASE_URL", None)
    started: list[subprocess.Popen] = []

    def start(*arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-c", WRITER, *arguments]
        started.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen) -> str:
    words, _ = process.communicate(timeout=COMMAND_SECONDS)
    assert process.returncode == 0
    return words.split()[-1]


def test_many_writers_lose_nothing(run):
    said(run("begin"))
    writers = [run(name, str(TIMES)) for name in "abcd"]
    for writer in writers:
        said(writer)
    assert said(run("x", "0")) == str(4 * TIMES)


def test_a_writer_that_fails_or_dies_gives_its_turn_back(run):
    said(run("begin"))
    assert said(run("fails")) == "0"
    dying = run("dies")
    assert dying.stdout is not None and dying.stdout.readline() == "mine\n"
    waiting = run("a", "1")
    assert waiting.stdout is not None and waiting.stdout.readline() == "ready\n"
    dying.kill()
    assert said(waiting) == "1"


def test_a_writer_waits_for_its_turn_and_goes_on_at_once(run, tmp_path: Path):
    said(run("begin"))
    with (tmp_path / "gspnp.sqlite3-turn").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        waiting = run("a", "1")
        assert waiting.stdout is not None and waiting.stdout.readline() == "ready\n"
        wait_for(lambda: _waits_for_a_lock(waiting.pid), COMMAND_SECONDS, "it waits for the file lock")
    assert said(waiting) == "1"


def test_nobody_has_two_turns_while_another_one_waits(run, tmp_path: Path):
    """The one who waits holds the head of the queue; a writer that goes on and on gets behind it."""
    said(run("begin"))
    with (tmp_path / "gspnp.sqlite3-turn").open("w") as turn, (tmp_path / "gspnp.sqlite3-head").open("w") as head:
        fcntl.flock(turn, fcntl.LOCK_EX)
        waiting = run("a", "1")
        wait_for(lambda: _waits_for_a_lock(waiting.pid), COMMAND_SECONDS, "it waits for its turn")
        with pytest.raises(BlockingIOError):
            fcntl.flock(head, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(turn, fcntl.LOCK_UN)
        fcntl.flock(head, fcntl.LOCK_EX)  # only now, and so before anybody else's next turn
    assert said(waiting) == "1"


def _waits_for_a_lock(pid: int) -> bool:
    """proc(5): a line of /proc/locks with -> is somebody who waits."""
    lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    return any("->" in line and f" {pid} " in line for line in lines)
