"""Settings are literal, and a mistyped one stops the process with words."""

import os
from pathlib import Path

import pytest

from gspnp.env import BASE_DIR, Env, Layers, SettingError, build_env, parse_env_file


def env_of(**values: str) -> Env:
    return Env(Layers(values))


@pytest.mark.parametrize(
    "value",
    [
        "$HOME",
        "$$",
        "a$b${c}",
        "pass#word",
        "# no comment",
        "a=b==",
        "it's",
        'say "hi"',
        "'",
        '"',
        "two  blanks inside",
        r"C:\new\table",
        "ünïcödé ☎",
        "$ # = ' \"",
        "`id`",
        "%(x)s {y}",
    ],
)
def test_a_value_is_what_stands_behind_the_first_equals_sign(value, tmp_path, monkeypatch):
    file = tmp_path / "env"
    file.write_text(f"SOME_PASSWORD={value}\nOTHER=1\n", encoding="utf-8")
    monkeypatch.setenv("GSPNP_ENV_FILE", str(file))
    monkeypatch.delenv("SOME_PASSWORD", raising=False)
    assert build_env().str("SOME_PASSWORD") == value
    monkeypatch.setenv("SOME_PASSWORD", value)
    assert build_env().str("SOME_PASSWORD") == value


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("A=  x  ", "x"),
        ("A = x", "x"),
        ("export A=x", "x"),
        ('A=" x "', " x "),
        ("A=' x '", " x "),
        ("A='\"x\"'", '"x"'),
        ("A=\"x'", "\"x'"),
        ('A="x" # y', '"x" # y'),
        ("A=", ""),
        ("\ufeffA=x", "x"),
        ("A=x\r", "x"),
    ],
)
def test_blanks_around_a_value_go_and_one_pair_of_quotes_keeps_them(line, expected):
    assert parse_env_file(line) == {"A": expected}


def test_comments_and_empty_lines_say_nothing():
    assert parse_env_file("# A=1\n\n   # B=2\n  \nC=3") == {"C": "3"}


@pytest.mark.parametrize("line", ["just words", "1A=x", "A B=x", "=x"])
def test_a_line_of_another_shape_is_named_by_number(line):
    with pytest.raises(SettingError, match="line 2"):
        parse_env_file(f"# first\n{line}")


def test_the_environment_wins_and_an_empty_value_is_none(monkeypatch):
    monkeypatch.setenv("GSPNP_TEST_A", "environment")
    env = env_of(GSPNP_TEST_A="file", GSPNP_TEST_B="file", GSPNP_TEST_C="")
    assert env.str("GSPNP_TEST_A") == "environment"
    assert env.str("GSPNP_TEST_B") == "file"
    assert env.str("GSPNP_TEST_C", "default") == "default"
    assert env.int("GSPNP_TEST_C", 7) == 7
    assert env.bool("GSPNP_TEST_C", True) is True
    monkeypatch.setenv("GSPNP_TEST_B", "")
    assert env.str("GSPNP_TEST_B", "default") == "default"


def test_the_shell_of_the_developer_is_out_of_sight():
    assert os.environ["GSPNP_ENV_FILE"] == ""
    assert not Path(os.environ["GSPNP_DATA_DIR"]).is_relative_to(BASE_DIR)


@pytest.mark.parametrize(
    ("word", "expected"), [("1", True), ("YES", True), ("on", True), ("False", False), ("0", False)]
)
def test_yes_and_no_in_every_usual_spelling(word, expected):
    assert env_of(A=word).bool("A", not expected) is expected


@pytest.mark.parametrize("word", ["ture", "2", "y", "enabled"])
def test_a_mistyped_boolean_stops_with_the_setting_and_the_remedy(word):
    with pytest.raises(SettingError, match="A is .* Write 1 or 0"):
        env_of(A=word).bool("A", False)


@pytest.mark.parametrize("value", ["80 80", "0", "65536", "-1", "http", "5e3", "٣"])
def test_a_port_that_is_none_stops_with_the_range(value):
    with pytest.raises(SettingError, match="MY_PORT.*from 1 to 65535"):
        env_of(MY_PORT=value).int("MY_PORT", 1)


def test_numbers_lists_paths_and_choices():
    env = env_of(N="5060", L=" a, ,b ,", P="data", Q="/srv/data", C="Raw")
    assert env.int("N") == 5060
    assert env.list("L") == ["a", "b"]
    assert env.list("NONE", []) == []
    assert env.path("P") == BASE_DIR / "data"
    assert env.path("Q") == Path("/srv/data")
    assert env.path("NONE", BASE_DIR / "var") == BASE_DIR / "var"
    assert env.choice("C", "auto", ("auto", "raw")) == "raw"
    with pytest.raises(SettingError, match="Write one of: auto, raw"):
        env.choice("N", "auto", ("auto", "raw"))
    with pytest.raises(SettingError, match="NONE is not set"):
        env.str("NONE")


def test_an_sqlite_path_may_hold_any_character():
    assert env_of().database("sqlite:////srv/a #1?%20/db")["NAME"] == "/srv/a #1?%20/db"
    assert env_of().database("sqlite:///var/db")["NAME"] == str(BASE_DIR / "var/db")
    assert env_of().database("postgres://u:p%40ss@h:5433/n")["PASSWORD"] == "p@ss"


@pytest.mark.parametrize("url", ["nonsense", "mysqll://u@h/n", "postgres://"])
def test_a_mistyped_database_stops_without_telling_the_password(url):
    with pytest.raises(SettingError, match="DATABASE_URL cannot be used"):
        env_of().database(url)


@pytest.mark.parametrize("url", ["redis://:secret@host:6379/0", "rediss://host", "unix:///run/redis.sock", ""])
def test_a_redis_url_is_taken_as_it_stands(url):
    assert env_of(REDIS_URL=url).redis("REDIS_URL") == url


def test_a_mistyped_redis_stops_without_telling_the_password():
    with pytest.raises(SettingError, match="redis://host") as stopped:
        env_of(REDIS_URL="http://:secret@host").redis("REDIS_URL")
    assert "secret" not in str(stopped.value)
