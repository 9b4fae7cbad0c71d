"""The directory at a terminal and in the admin."""

import io
import stat
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command

from devices import directory
from devices.directory import Entry
from devices.models import Extension
from tests import cast
from tests.console.conftest import person, signed_in

pytestmark = pytest.mark.django_db
SECRET = "s3cr3t-of-the-directory"
ADMIN = "/admin/devices/extension/"


def run(*words: str, stdin: bytes = b"") -> str:
    out = io.StringIO()
    with patch("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin))):
        call_command("extensions", *words, stdout=out, stderr=out)
    return out.getvalue()


@pytest.fixture
def two(db) -> None:
    directory.add(Entry("", "1001", "Tess", SECRET, sip_server="172.18.0.10"))
    directory.add(Entry("berlin", "99", "Otto"))


def test_they_are_listed_with_their_phones(two):
    cast.assigned()
    lines = run("list").splitlines()
    assert lines[0].split() == ["99", "Otto", "berlin", "-", "free"]
    assert lines[1].split() == ["1001", "Tess", "-", "172.18.0.10", "00:0B:82:27:3B:89"]
    assert [line.split()[0] for line in run("list", "--free").splitlines()] == ["99"]
    assert [line.split()[0] for line in run("list", "--search", "tess").splitlines()] == ["1001"]
    assert [line.split()[0] for line in run("list", "--site", "").splitlines()] == ["1001"]
    assert SECRET not in run("list")


def test_a_file_comes_in_whole(two):
    text = b"number;name\n1001;Ida\n1002;New\n"
    assert "1 would be added, 1 would be changed, 0 the same" in run("import", "-", "--dry-run", stdin=text)
    assert Extension.objects.count() == 2
    assert "1 added, 1 changed, 0 the same" in run("import", "-", stdin=text)
    assert "0 added, 0 changed, 2 the same" in run("import", "-", stdin=text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"number,name\n10 01,A\n1002,B\n,C\n", "row 2: number: .*\nrow 4: number: "),
        (b"name\nTess\n", "no column"),
        (b"", "is empty"),
    ],
)
def test_a_wrong_file_is_named_row_by_row_and_nothing_is_stored(db, text, words):
    with pytest.raises(CommandError, match=words):
        run("import", "-", stdin=text)
    assert not Extension.objects.exists()


def test_what_goes_out_comes_back_and_secrets_only_when_asked_for(two, tmp_path):
    assert SECRET not in run("export", "-")
    file = tmp_path / "all.xlsx"
    run("export", str(file), "--secrets")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(CommandError, match="File exists"):
        run("export", str(file))
    Extension.objects.all().delete()
    assert "2 added" in run("import", str(file))
    assert Extension.objects.get(number="1001").secret == SECRET


def test_a_file_that_is_not_there(db):
    with pytest.raises(CommandError, match="No such file"):
        run("import", "/nowhere/at/all.csv")


def test_the_admin_shows_no_secret_and_changes_none(administrator, two):
    client = signed_in(administrator)
    pk = Extension.objects.get(number="1001").pk
    for url in (ADMIN, f"{ADMIN}?q=tess", f"{ADMIN}{pk}/change/"):
        page = client.get(url)
        assert page.status_code == 200 and SECRET not in page.content.decode() and "gAAAA" not in page.content.decode()
    assert client.post(f"{ADMIN}{pk}/change/", {"number": "2"}).status_code == 403
    assert client.get(f"{ADMIN}add/").headers["Location"] == "/extensions/add/"
    client.post(ADMIN, {"action": "delete_selected", "_selected_action": [pk], "post": "yes"})
    assert list(Extension.objects.values_list("number", flat=True)) == ["99"]


def test_who_may_not_look_sees_nothing_in_the_admin(two):
    assert signed_in(person("looker", "view_phone", is_staff=True)).get(ADMIN).status_code == 403
