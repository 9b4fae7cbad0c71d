"""How heavy pages are; what their scripts and styles weigh is measured in tests/e2e/test_browser.py."""

import gzip

from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command

from tests import cast


def test_a_full_page_of_assigned_phones_stays_light(console):
    for number in range(50):
        cast.assigned(f"000B8200{number:04X}", f"10.0.0.{number + 1}")
    answer = console.get("/", headers={"host": "localhost", "accept-encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.content).count(b"<tr class=") == 50
    assert len(answer.content) < 25_000


def test_scripts_import_each_other_by_the_names_that_never_change(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    call_command("collectstatic", interactive=False, verbosity=0)
    name = staticfiles_storage.stored_name("console/list.js")
    assert name != "console/list.js"
    text = (tmp_path / name).read_text()
    imported = [line.split('"')[1] for line in text.splitlines() if line.startswith("import ")]
    assert imported
    for one in imported:
        assert len(one.split(".")) == 4, f"{one} has no hash"
        assert (tmp_path / "console" / one.removeprefix("./")).exists()
