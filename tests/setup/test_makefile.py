"""Set-up: what `make` promises, as far as it can be seen without building anything."""

import io
import os
import re
import secrets
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gspnp import open_port, prepare, run, serve
from gspnp.env import BASE_DIR, parse_env_file

OUTSIDE = {"GSPNP_ENV_FILE"}  # steers the reading of .env itself
READ = re.compile(r"""env\.(?:str|bool|int|list|path|choice)\(\s*["']([A-Z_]+)["']""")


def sources() -> list[Path]:
    folders = ("gspnp", "devices", "provisioning", "sipmcast")
    return [path for folder in folders for path in (BASE_DIR / folder).rglob("*.py")]


def example() -> dict[str, str]:
    text = (BASE_DIR / ".env.example").read_text(encoding="utf-8")
    return parse_env_file("\n".join(line[1:] for line in text.splitlines() if re.match(r"#[A-Z_]+=", line)))


def test_the_example_lists_every_setting_that_the_code_reads():
    read = {name for path in sources() for name in READ.findall(path.read_text(encoding="utf-8"))}
    read |= {name for door in serve.DOORS.values() for name in (door.bind, door.port)}
    read |= {f"GSPNP_{door.certificate}_{what}" for door in serve.DOORS.values() for what in ("CERT", "KEY")}
    assert read - OUTSIDE - set(example()) == set()
    assert {"GSPNP_CONSOLE_BIND", "SECRET_KEY", "GSPNP_FIELD_KEYS"} <= read


def test_the_example_as_it_stands_changes_nothing():
    assert parse_env_file((BASE_DIR / ".env.example").read_text(encoding="utf-8")) == {}


def test_scripts_can_be_run_and_are_sound():
    for path in (BASE_DIR / ".ci").iterdir():
        assert path.stat().st_mode & stat.S_IXUSR, path
        if path.suffix == ".py":
            compile(path.read_text(encoding="utf-8"), path, "exec")
        elif path.read_bytes().startswith(b"#!"):
            subprocess.run(["bash", "-n", str(path)], check=True)
    for target in ("run", "demo", "test", "test-long", "lint", "lock", "sbom", "messages", "clean"):
        subprocess.run(["make", "-n", target], cwd=BASE_DIR, check=True, capture_output=True)


def test_the_procfile_names_the_four_processes():
    text = (BASE_DIR / "Procfile").read_text()
    assert re.findall(r"^(\w+):", text, re.MULTILINE) == ["console", "phones", "listen", "work"]


def test_the_servers_write_no_access_log():
    """The phones' door is our own server (gspnp/phones.py), which has none."""
    command = serve.DOORS["console"].command
    assert command[command.index("-v") + 1] == "0"
    assert "--access-log" not in command
    assert serve.DOORS["phones"].command == ("-m", "gspnp.phones")


def test_a_taken_port_is_said_in_words_that_name_the_remedy():
    door = serve.DOORS["phones"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(serve.CannotServe, match=f"port {port} on 127.0.0.1 is taken.*GSPNP_PHONES_PORT"):
            serve.open_socket(door, "127.0.0.1", port)
    serve.open_socket(door, "127.0.0.1", port).close()
    with pytest.raises(serve.CannotServe, match="no address 203.0.113.9.*GSPNP_PHONES_BIND"):
        serve.open_socket(door, "203.0.113.9", port)
    with pytest.raises(serve.CannotServe, match="is no address"):
        serve.open_socket(door, "no such host", port)


def test_a_door_whose_port_is_taken_stays_up_says_why_and_stops_when_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environment = os.environ | {
            "GSPNP_CONSOLE_BIND": "127.0.0.1",
            "GSPNP_CONSOLE_PORT": str(taken.getsockname()[1]),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "gspnp.serve", "console"],
            cwd=BASE_DIR,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert "is taken by another program" in process.stderr.readline()
        assert process.poll() is None
        process.terminate()
        process.communicate(timeout=5)


def test_commands_send_phones_to_the_port_at_which_the_door_really_is(tmp_path):
    def manage(*arguments: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=BASE_DIR, env=ours | environment,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout + done.stderr

    told = ["shell", "-v", "0", "-c", "from django.conf import settings; print(settings.GSPNP_PHONES_PORT)"]
    ours = os.environ | {"GSPNP_DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "gspnp.settings"}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "gspnp.serve", "phones"], cwd=BASE_DIR, stderr=subprocess.PIPE, text=True,
        env=ours | {"GSPNP_PHONES_BIND": "127.0.0.1", "GSPNP_PHONES_PORT": str(port)},
    )  # fmt: skip
    try:
        assert f"opens on 127.0.0.1 port {port}" in process.stderr.readline()
        assert manage(*told) == f"{port}\n"
        said = manage("check", GSPNP_PHONES_PORT="5481")
        assert f"The phones' door is open at port {port}, and this sends phones to port 5481" in said
        assert "WARNING" not in manage("check", GSPNP_PHONES_PORT="5481", GSPNP_PUBLIC_URL="http://pbx.example:5481")
        assert open_port.found(tmp_path) == port, "the server that the process has become has it still"
    finally:
        process.terminate()
        process.communicate(timeout=10)
    assert manage(*told) == "5481\n", "a door that is closed counts for nothing"


def test_the_banner_says_where_to_go(monkeypatch, tmp_path):
    monkeypatch.setenv("GSPNP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("GSPNP_CONSOLE_PORT", "8123")
    monkeypatch.setenv("GSPNP_PNP_INTERFACES", "eth7")
    (tmp_path / "first-admin-password").write_text("x")
    text = prepare.banner()
    assert "http://127.0.0.1:8123/" in text
    assert str(tmp_path / "first-admin-password") in text
    assert "224.0.1.75 port 5060 on eth7 and lo" in text
    assert "Ctrl-C stops everything" in text
    monkeypatch.setenv("GSPNP_PNP_INTERFACES", "lo")
    assert "port 5060 on lo." in prepare.banner()
    monkeypatch.setenv("GSPNP_CONSOLE_BIND", "::1")
    assert prepare.urls("::1", 8123) == ["http://[::1]:8123/"]


MANAGER = """
import os, sys
from honcho.printer import Printer
from gspnp.run import Manager, Quiet
import signal
manager = Manager(Printer(Quiet(sys.stdout)))
manager.add_process("first", sys.argv[1])
manager.add_process("tree", "sleep 600 & echo tree; wait")
signal.signal(signal.SIGHUP, manager.hang_up)
print("beginning", flush=True)
manager.loop()
"""


DEAF = "trap '' TERM; while :; do sleep 1; done"


@pytest.mark.parametrize(
    ("when", "number", "first"),
    [
        ("beginning", signal.SIGINT, "exec sleep 600"),
        ("beginning", signal.SIGHUP, "exec sleep 600"),
        ("tree", signal.SIGINT, "exec sleep 600"),
        ("tree", signal.SIGHUP, "exec sleep 600"),
        ("tree", signal.SIGTERM, DEAF),
    ],
)
def test_stopping_leaves_nothing_behind_at_any_moment(when, number, first, tmp_path):
    mark = fresh_mark()
    name, value = mark.split("=")
    process = subprocess.Popen(
        [sys.executable, "-c", MANAGER, first],
        cwd=BASE_DIR,
        env=os.environ | {name: value},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in process.stdout:
        if line.strip().endswith(when):
            break
    process.stdout.close()  # the terminal goes away, too
    os.kill(process.pid, number)
    process.wait(timeout=20)
    assert_gone(mark)


def test_a_signal_in_the_middle_of_a_line_does_no_harm():
    class Interrupted(io.RawIOBase):
        def writable(self):
            return True

        def write(self, data):
            quiet.write("SIGINT received\n")
            quiet.flush()
            return len(data)

    quiet = run.Quiet(io.TextIOWrapper(io.BufferedWriter(Interrupted()), line_buffering=True))
    quiet.write("a line of one of the processes\n")
    quiet.flush()


def test_killing_the_manager_takes_its_processes_with_it(tmp_path):
    mark = fresh_mark()
    name, value = mark.split("=")
    script = MANAGER.replace("sleep 600 & echo tree; wait", "echo tree; exec sleep 600")
    process = subprocess.Popen(
        [sys.executable, "-c", script, "exec sleep 600"],
        cwd=BASE_DIR,
        env=os.environ | {name: value},
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.strip().endswith("tree"):
            break
    process.kill()
    process.communicate(timeout=10)  # the pipe closes when the last of them is gone
    assert_gone(mark)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_what_ends_make_alone_ends_everything(number, tmp_path):
    mark = fresh_mark()
    name, value = mark.split("=")
    script = tmp_path / "script.py"
    script.write_text(f"from gspnp.run import die_with_parent\ndie_with_parent(15)\n{MANAGER}")
    makefile = tmp_path / "Makefile"
    makefile.write_text(f"run:\n\t@exec {sys.executable} {script} 'exec sleep 600'\n")
    process = subprocess.Popen(
        ["make", "-f", str(makefile)],
        cwd=BASE_DIR,
        env=os.environ | {name: value, "PYTHONPATH": str(BASE_DIR)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        preexec_fn=as_at_a_terminal,
    )
    for line in process.stdout:
        if line.strip().endswith("tree"):
            break
    os.kill(process.pid, number)
    process.communicate(timeout=20)  # the pipe closes when the last of them is gone
    assert_gone(mark)


def fresh_mark() -> str:
    """Told apart from those of another run of the suite on this machine."""
    return f"GSPNP_TEST_MARK={secrets.token_hex(8)}"


def as_at_a_terminal() -> None:
    """For a child before it becomes its program: a suite in the background ignores what a terminal's Ctrl-C sends."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def marked(mark: str) -> list[int]:
    """The processes whose environment holds this mark."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def assert_gone(mark: str) -> None:
    """No process with this mark is left, or will be in a moment."""
    deadline = time.monotonic() + 5
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert marked(mark) == []


def test_the_demo_outlives_its_phones():
    assert run.DEMO.endswith("exec sleep infinity")
