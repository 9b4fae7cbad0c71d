"""The search for canaries finds them: a test that finds nothing proves something only then."""

import base64
import gzip
import html
import json
import sqlite3
import urllib.parse
import zlib

import pytest

from tests.support.canaries import leaks, leaks_of_folder, leaks_of_rows

SECRET = "p&<w>\"'ő$ canary 4711"
CANARIES = {"it": SECRET, "other": "something else 0815"}


@pytest.mark.parametrize(
    "written",
    [
        SECRET.encode(),
        html.escape(SECRET).encode(),
        json.dumps({"password": SECRET}).encode(),
        repr([SECRET]).encode(),
        urllib.parse.urlencode({"q": SECRET}).encode(),
        SECRET.encode("utf-16"),
        SECRET.encode().hex().encode(),
        *(base64.b64encode(b"x" * before + SECRET.encode() + b"tail") for before in range(6)),
        *(base64.urlsafe_b64encode(b"x" * before + SECRET.encode() + b"tail") for before in range(6)),
    ],
)
def test_in_every_spelling(written):
    assert leaks(b"before " + written + b" behind", CANARIES) == {"it"}


def test_in_files_and_in_what_is_packed_in_a_column(tmp_path):
    (tmp_path / "one.gz").write_bytes(gzip.compress(SECRET.encode()))
    (tmp_path / "clean").write_bytes(b"nothing")
    assert leaks_of_folder(tmp_path, CANARIES) == {str(tmp_path / "one.gz"): {"it"}}
    packed = (
        "."
        + base64.urlsafe_b64encode(zlib.compress(json.dumps({"x": SECRET}).encode())).decode().rstrip("=")
        + ":1:sig"
    )
    with sqlite3.connect(tmp_path / "db") as database:
        database.execute("CREATE TABLE django_session (session_data TEXT, other BLOB)")
        database.execute("INSERT INTO django_session VALUES (?, ?)", (packed, b"clean"))
    assert leaks_of_rows(tmp_path / "db", CANARIES) == {"django_session.session_data": {"it"}}
