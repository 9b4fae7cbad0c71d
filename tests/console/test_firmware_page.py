"""The firmware page and command: images, paths, who runs what, and what is known of it."""

import io
import re

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client

from devices.models import Phone
from provisioning.firmware import images, pins
from provisioning.firmware.models import FirmwareImage
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_in_a_browser import NARROW, narrow_page

pytestmark = pytest.mark.django_db
BYTES = b"\x00firmware" * 2000


@pytest.fixture(autouse=True)
def data_folder(settings, tmp_path):
    settings.GSPNP_DATA_DIR = tmp_path


def upload(console: Client, version: str = "1.0.7.81", content: bytes = BYTES):
    file = SimpleUploadedFile("gxp1600fw.bin", content)
    return console.post("/firmware/upload/", {"version": version, "image": file}, follow=True)


def test_an_upload_and_a_path_by_the_page(console):
    cast.seen(firmware="1.0.4.88")
    assert "1.0.7.81 is stored" in upload(console).content.decode()
    html = console.post("/firmware/path/GXP1628/", {"path": "1.0.7.81"}, follow=True).content.decode()
    assert "The path of GXP1628 is set" in html
    assert pins.paths() == {"GXP1628": ["1.0.7.81"]}
    assert FirmwareImage.objects.get().uploaded_by == "tess"


def test_a_wrong_image_is_refused_and_what_was_typed_stays(console):
    answer = upload(console, "1.0.7.99", b"PK\x03\x04" + BYTES)
    assert answer.status_code == 422
    html = answer.content.decode()
    assert "unpack it" in html and 'value="1.0.7.99"' in html


def test_a_wrong_path_is_refused_beside_its_field(console):
    answer = console.post("/firmware/path/GXP1628/", {"path": "1.0.7.81 1.0.4.2"})
    assert answer.status_code == 422
    html = answer.content.decode()
    assert "upload it first" in html and 'value="1.0.7.81 1.0.4.2"' in html


def test_who_runs_what_is_counted_and_flagged(console):
    cast.seen(firmware="1.0.4.88")
    cast.seen(cast.OTHER_MAC, "10.0.0.21", firmware="1.0.7.81")
    html = console.get("/firmware/").content.decode()
    assert "1 phone runs firmware with a known hole" in html
    rows = re.findall(r'<td class="gs-mono" data-label="Firmware">(.*?)</tr>', html, re.S)
    assert len(rows) == 2
    assert "CVE-2026-2329" in next(row for row in rows if row.startswith("1.0.4.88"))
    assert "none known" in next(row for row in rows if row.startswith("1.0.7.81"))


def test_a_phone_is_flagged_from_its_first_subscribe(console):
    phone = cast.seen(firmware="1.0.4.88")
    assert "unsafe" in console.get("/rows/").content.decode()
    assert "CVE-2026-2329" in console.get(f"/phones/{phone.mac}/").content.decode()


def test_a_viewer_sees_and_changes_nothing(viewer):
    upload(signed_in(viewer))
    assert not FirmwareImage.objects.exists()
    html = signed_in(viewer).get("/firmware/").content.decode()
    assert "Who runs what" in html and 'data-testid="upload"' not in html
    for path in ("/firmware/upload/", "/firmware/path/GXP1628/", "/firmware/remove/1.0.7.81/"):
        assert signed_in(viewer).post(path).status_code == 403


def test_hostile_versions_are_text(console):
    cast.seen(firmware='1.0<script>alert("x")</script>')
    assert "<script>alert" not in console.get("/firmware/").content.decode()


def test_an_image_in_use_stays_and_another_one_goes(console):
    upload(console)
    pins.pin("GXP1628", ["1.0.7.81"])
    assert console.post("/firmware/remove/1.0.7.81/").status_code == 422
    pins.pin("GXP1628", [])
    console.post("/firmware/remove/1.0.7.81/")
    assert not FirmwareImage.objects.exists()


class TestCommand:
    """`manage.py firmware`."""

    def call(self, *arguments) -> str:
        out = io.StringIO()
        call_command("firmware", *arguments, stdout=out)
        return out.getvalue()

    def test_it_does_what_the_page_does(self, tmp_path):
        cast.seen(firmware="1.0.4.88")
        file = tmp_path / "gxp1600fw.bin"
        file.write_bytes(BYTES)
        self.call("add", str(file), "--version", "1.0.7.81")
        self.call("pin", "gxp1628", "1.0.7.81")
        listed = self.call("list")
        assert "image 1.0.7.81" in listed and "path  GXP1628: 1.0.7.81" in listed and "CVE-2026-2329" in listed
        self.call("pin", "gxp1628")
        self.call("remove", "1.0.7.81")
        assert not FirmwareImage.objects.exists()

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("add", "/nowhere/file", "--version", "1.0.7.81"), "No such file"),
            (("pin", "gxp1628", "1.0.7.81"), "upload it first"),
            (("remove", "1.0.7.81"), "no image"),
        ],
    )
    def test_what_cannot_be_done_is_said(self, arguments, words):
        with pytest.raises(CommandError, match=words):
            self.call(*arguments)


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_nothing_is_wider_than_a_telephone(live_server, administrator):
    session = signed_in(administrator).cookies[settings.SESSION_COOKIE_NAME].value
    cast.seen(firmware="1.0.4.88")
    cast.seen(cast.OTHER_MAC, "10.0.0.21", model="M" * 60)
    images.add("1.0.7.81", [BYTES], by="tess")
    pins.pin("GXP1628", ["1.0.7.81"])
    with narrow_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/firmware/")
        assert page.evaluate("document.documentElement.scrollWidth") == NARROW


def test_a_path_that_makes_phones_restart_is_asked_about_and_a_hole_at_its_end_is_shown(console):
    phone = cast.seen(firmware="1.0.4.88")
    cast.save(phone)
    images.add("1.0.4.152", [BYTES], by="tess")
    asked = console.post("/firmware/path/GXP1628/", {"path": "1.0.4.152"})
    page = asked.content.decode()
    assert "1 phone will fetch another firmware and restart" in page and not pins.paths()
    assert "CVE-2026-2329" in page
    answer = console.post("/firmware/path/GXP1628/", {"path": "1.0.4.152", "sure": "1"}, follow=True)
    assert pins.paths() == {"GXP1628": ["1.0.4.152"]}
    assert "The last version has a known hole" in answer.content.decode()


def test_a_stranger_who_makes_up_firmware_makes_no_endless_page(console, monkeypatch):
    monkeypatch.setattr("gspnp.console.narrow.RUNS_READ", 20)
    for number in range(30):
        cast.seen(f"000B820000{number:02X}", f"10.0.1.{number + 1}", firmware=f"9.{number}")
    html = console.get("/firmware/").content.decode()
    assert html.count("<meter") == 20
    assert "Only the 20 combinations of model and firmware" in html
    Phone.objects.filter(firmware__gt="9.15").delete()
    assert 'data-testid="cut"' not in console.get("/firmware/").content.decode()


def test_nothing_is_said_of_the_holes_of_a_firmware_that_is_not_known_and_retired_phones_are_not_counted(console):
    cast.seen(firmware="")
    retired = cast.seen(cast.OTHER_MAC, "10.0.0.21")
    Phone.objects.filter(pk=retired.pk).update(stage="retired")
    html = console.get("/firmware/").content.decode()
    rows = re.findall(r'<td class="gs-mono" data-label="Firmware">(.*?)</tr>', html, re.S)
    assert len(rows) == 1
    assert "not known" in rows[0] and "none known" not in rows[0]
    assert "gs-meter-unknown" in rows[0]
