"""Keys are made once, belong to their owner, and are never replaced."""

import stat
import subprocess
import sys

import pytest
from cryptography.fernet import Fernet

from gspnp import keys
from gspnp.env import BASE_DIR, Env, SettingError

NOTHING = Env({})


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_start_makes_keys_that_only_their_owner_can_read(tmp_path):
    folder = tmp_path / "var"
    made = keys.load_or_create(folder, database_exists=False, env=NOTHING)
    assert mode(folder) == 0o700
    assert mode(folder / "secret-key") == mode(folder / "field-keys") == 0o600
    assert len(made.secret_key) >= 50
    Fernet(made.field_keys[0])
    assert keys.load_or_create(folder, database_exists=True, env=NOTHING) == made
    assert made.secret_key not in repr(made)
    assert sorted(path.name for path in folder.iterdir()) == ["field-keys", "secret-key"]


def test_the_environment_wins_and_makes_no_files(tmp_path):
    first, second = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    for separator in (",", "\n", " ,\n "):
        env = Env({"SECRET_KEY": "from outside", "GSPNP_FIELD_KEYS": f"{first}{separator}{second}"})
        found = keys.load_or_create(tmp_path, database_exists=True, env=env)
        assert found == ("from outside", [first, second])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lost", ["secret-key", "field-keys"])
def test_a_lost_key_beside_a_database_is_refused_and_never_replaced(tmp_path, lost):
    keys.load_or_create(tmp_path, database_exists=False, env=NOTHING)
    (tmp_path / lost).unlink()
    with pytest.raises(SettingError, match=f"{lost} is missing.*Restore"):
        keys.load_or_create(tmp_path, database_exists=True, env=NOTHING)
    assert not (tmp_path / lost).exists()


@pytest.mark.parametrize("content", ["", "too short", "x" * 44, "?" * 44])
def test_a_broken_key_is_refused_without_being_shown(tmp_path, content):
    keys.load_or_create(tmp_path, database_exists=False, env=NOTHING)
    (tmp_path / "field-keys").write_text(content)
    with pytest.raises(SettingError) as caught:
        keys.load_or_create(tmp_path, database_exists=True, env=NOTHING)
    assert not content or content not in str(caught.value)


def test_a_key_that_others_could_read_is_tightened_and_told(tmp_path, caplog):
    keys.load_or_create(tmp_path, database_exists=False, env=NOTHING)
    (tmp_path / "field-keys").chmod(0o644)
    keys.load_or_create(tmp_path, database_exists=True, env=NOTHING)
    assert mode(tmp_path / "field-keys") == 0o600
    assert "0644" in caplog.text


def test_processes_that_begin_together_agree_on_the_keys(tmp_path):
    program = (
        "import sys, pathlib; from gspnp.keys import load_or_create; from gspnp.env import Env;"
        "sys.stdin.read(1);"
        "print(tuple(load_or_create(pathlib.Path(sys.argv[1]), False, Env({}))))"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "var")],
            cwd=BASE_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for process in started:
        process.stdin.write(".")
        process.stdin.flush()
    answers = {process.communicate(timeout=60)[0] for process in started}
    assert len(answers) == 1


def test_a_folder_that_cannot_be_written_is_said_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match="Make the folder writable"):
        keys.load_or_create(tmp_path / "file" / "var", database_exists=False, env=NOTHING)


def test_only_a_written_sqlite_file_counts_as_a_database(tmp_path):
    entry = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db")}
    assert not keys.sqlite_exists(entry)
    (tmp_path / "db").write_text("")
    assert not keys.sqlite_exists(entry)
    (tmp_path / "db").write_text("x")
    assert keys.sqlite_exists(entry)
    assert not keys.sqlite_exists({"ENGINE": "django.db.backends.postgresql", "NAME": str(tmp_path / "db")})
