"""Firmware: versions, images, the path of a model, serving, and when to stop trying."""

import hashlib
from pathlib import Path

import pytest
from django.core.management import call_command

from devices.choices import Stage
from devices.models import Phone
from provisioning import outbox
from provisioning.firmware import images, pins
from provisioning.firmware.models import FirmwareImage, FirmwareTry
from provisioning.gxp import firmware
from provisioning.gxp.document import values
from provisioning.jobs import rerender, runner
from provisioning.layers import store
from provisioning.management.commands.work import follow_firmware
from provisioning.models import ConfigFile, Job, JobState
from tests import cast

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
BYTES = bytes(range(256)) * 1024
AGENT = f"Grandstream Model HW GXP1628 SW 1.0.4.88 DevId {cast.MAC.lower()}"


class TestVersions:
    """Pure: which is newer, what comes next, what has a hole."""

    @pytest.mark.parametrize(("old", "new"), [("1.0.7.9", "1.0.7.81"), ("1.0.7", "1.0.7.1"), ("1.0.9.0", "1.0.10.0")])
    def test_numbers_are_compared_as_numbers(self, old, new):
        assert firmware.order(old) < firmware.order(new)

    def test_a_trailing_zero_is_the_same_version(self):
        assert firmware.order("1.0.7.0") == firmware.order("1.0.7")

    @pytest.mark.parametrize(
        ("runs", "step"),
        [
            ("1.0.4.88", "1.0.5.12"),
            ("1.0.5.12", "1.0.7.81"),
            ("1.0.6.1", "1.0.7.81"),
            ("1.0.7.81", None),
            ("1.0.9.1", None),
        ],
    )
    def test_a_path_is_taken_step_by_step(self, runs, step):
        assert firmware.next_step(runs, ["1.0.5.12", "1.0.7.81"]) == step

    @pytest.mark.parametrize("runs", ["", "unknown", "1", "1.0.x", "9" * 50])
    def test_who_tells_no_version_takes_no_step_and_is_not_flagged(self, runs):
        assert firmware.next_step(runs, ["1.0.7.81"]) is None
        assert firmware.holes("GXP1628", runs) == []

    @pytest.mark.parametrize("model", ["GXP1610", "GXP1615", "GXP1620", "GXP1625", "GXP1628", "GXP1630"])
    def test_the_hole_of_2026_is_known_for_all_six_models(self, model):
        assert "CVE-2026-2329" in [hole.name for hole in firmware.holes(model, "1.0.7.80")]
        assert firmware.holes(model, "1.0.7.81") == []

    def test_other_models_are_not_flagged(self):
        assert firmware.holes("GRP2612W", "1.0.1.1") == []


pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock", "data_folder")]


@pytest.fixture
def data_folder(settings, tmp_path: Path) -> Path:
    settings.GSPNP_DATA_DIR = tmp_path
    return tmp_path


def add(version: str, content: bytes = BYTES) -> FirmwareImage:
    return images.add(version, [content[:1000], content[1000:]], by="tess")


def said(phone: Phone) -> dict[str, str]:
    return values(bytes(outbox.current_file(phone.pk).content))


def one_round() -> None:
    """What the worker does every 5 s."""
    pins.give_up()
    follow_firmware()
    for job in Job.objects.filter(state="waiting"):
        runner.run.call(job.pk)


def runs(phone: Phone, version: str) -> None:
    """The phone starts up with this firmware."""
    cast.seen(firmware=version)


def broken(*_arguments):
    raise RuntimeError("broken")


class TestImages:
    """Uploads."""

    def test_an_image_lies_under_its_digest(self, data_folder):
        image = add("1.0.7.81")
        assert image.sha256 == hashlib.sha256(BYTES).hexdigest()
        assert (data_folder / "firmware" / f"{image.sha256}.bin").read_bytes() == BYTES
        assert image.size_bytes == len(BYTES)

    @pytest.mark.parametrize(
        ("version", "content", "words"),
        [
            ("newest", BYTES, "is no version"),
            ("1.0.7.81", b"", "only 0 bytes"),
            ("1.0.7.81", b"PK\x03\x04" + BYTES, "unpack it"),
            ("1.0.7.81", b"<!DOCTYPE html>" + BYTES, "web page"),
        ],
    )
    def test_what_is_no_image_is_refused_and_nothing_stays(self, data_folder, version, content, words):
        with pytest.raises(images.ImageError, match=words):
            add(version, content)
        assert not list((data_folder / "firmware").glob("*")) if (data_folder / "firmware").exists() else True
        assert not FirmwareImage.objects.exists()

    def test_one_that_is_too_large_is_refused_before_the_disk_is_full(self, data_folder, monkeypatch):
        monkeypatch.setattr(images, "MAX_BYTES", 10_000)
        with pytest.raises(images.ImageError, match="larger than"):
            add("1.0.7.81")
        assert not list((data_folder / "firmware").glob("*"))

    def test_a_version_is_uploaded_once_and_one_in_use_stays(self):
        image = add("1.0.7.81")
        with pytest.raises(images.ImageError, match="already"):
            add("1.0.7.81")
        pins.pin("GXP1628", ["1.0.7.81"])
        with pytest.raises(images.ImageError, match="path of GXP1628"):
            images.remove(image)
        pins.pin("GXP1628", [])
        images.remove(image)
        assert not images.path_of(image).exists()


class TestServing:
    """The phones' door."""

    @pytest.fixture(autouse=True)
    def image(self, data_folder):
        return add("1.0.7.81")

    def ask(self, path: str = "/firmware/1.0.7.81/gxp1600fw.bin", agent: str = AGENT, **headers):
        return cast.ask(path, **{"user-agent": agent, **headers})

    def test_the_whole_image(self, image):
        answer = self.ask()
        assert (answer.status, answer.body) == (200, BYTES)
        assert answer.headers["content-length"] == str(len(BYTES))
        assert answer.headers["etag"] == f'"{image.sha256}"'

    @pytest.mark.parametrize(
        ("range_", "status", "expected", "content_range"),
        [
            ("bytes=0-9", 206, BYTES[:10], "bytes 0-9/262144"),
            ("bytes=262140-", 206, BYTES[-4:], "bytes 262140-262143/262144"),
            ("bytes=-4", 206, BYTES[-4:], "bytes 262140-262143/262144"),
            ("bytes=10-999999999", 206, BYTES[10:], "bytes 10-262143/262144"),
            ("bytes=262144-", 416, b"", "bytes */262144"),
            ("bytes=9-1", 200, BYTES, None),
            ("bytes=0-1,4-5", 200, BYTES, None),
            ("lines=1-2", 200, BYTES, None),
        ],
    )
    def test_a_part_of_it(self, range_, status, expected, content_range):
        answer = self.ask(range=range_)
        assert (answer.status, answer.body) == (status, expected)
        assert answer.headers.get("content-range") == content_range

    def test_a_part_of_another_image_is_the_whole_one(self):
        assert self.ask(range="bytes=0-9", **{"if-range": '"other"'}).status == 200

    def test_head_and_if_none_match_send_no_body(self, image):
        assert cast.ask("/firmware/1.0.7.81/gxp1600fw.bin", method="HEAD").body == b""
        assert self.ask(**{"if-none-match": f'"{image.sha256}"'}).status == 304

    @pytest.mark.parametrize("path", ["/gxp1600fw.bin", "/firmware/gxp1600fw.bin", "/GXP1600FW.BIN"])
    def test_old_firmware_that_ignores_the_folder_gets_its_next_step(self, path):
        cast.seen(firmware="1.0.4.88")
        assert self.ask(path).status == 404, "nothing is pinned"
        pins.pin("GXP1628", ["1.0.7.81"])
        assert self.ask(path).body == BYTES
        assert self.ask(path, agent="").body == BYTES, "known by its address"
        assert cast.ask(path, host=cast.STRANGER).status == 404
        assert cast.ask(path, host=cast.STRANGER, **{"user-agent": AGENT}).status == 404, "tells that we have this MAC"

    @pytest.mark.parametrize(
        "path", ["/firmware/1.0.7.99/gxp1600fw.bin", "/firmware/../gxp1600fw.bin", "/firmware/1.0.7.81/other.bin"]
    )
    def test_what_is_not_there_is_the_one_refusal(self, path):
        assert self.ask(path) == cast.ask("/nothing")

    def test_an_image_that_is_gone_from_disk_is_a_refusal(self, image):
        images.path_of(image).unlink()
        assert self.ask().status == 404


class TestPath:
    """A pinned path, from the first file to the last step."""

    @pytest.fixture
    def phone(self, data_folder) -> Phone:
        add("1.0.5.12"), add("1.0.7.81", BYTES[::-1])
        pins.pin("gxp1628", ["1.0.5.12", "1.0.7.81"])
        phone = cast.seen(firmware="1.0.4.88")
        cast.save(phone)
        return phone

    def test_the_file_lets_the_upgrade_run_unattended(self, phone):
        file = said(phone)
        assert file["firmware_server_path"] == "10.0.0.1:5481/firmware/1.0.5.12"
        assert (file["firmware_upgrade_confirmation"], file["firmware_check_policy"]) == ("0", "0")
        assert (file["firmware_file_prefix"], file["firmware_file_postfix"]) == ("", "")

    def test_a_phone_that_took_a_step_gets_the_next_one_and_then_rests(self, phone):
        one_round()
        assert outbox.current_file(phone.pk).number == 1, "nothing to do"
        runs(phone, "1.0.5.12")
        one_round()
        assert said(phone)["firmware_server_path"].endswith("/1.0.7.81")
        runs(phone, "1.0.7.81")
        one_round()
        assert said(phone)["firmware_server_path"] == "10.0.0.1:5481/firmware"
        assert outbox.current_file(phone.pk).number == 3
        one_round()
        assert outbox.current_file(phone.pk).number == 3

    def test_an_image_that_changes_nothing_is_tried_three_times(self, phone):
        path = "/firmware/1.0.5.12/gxp1600fw.bin"
        for _ in range(pins.MAX_TRIES):
            one_round()
            assert said(phone)["firmware_server_path"].endswith("/1.0.5.12")
            assert cast.ask(path, **{"user-agent": AGENT}).status == 200
            runs(phone, "1.0.4.88")
        one_round()
        assert said(phone)["firmware_server_path"] == "10.0.0.1:5481/firmware", "it is not asked a fourth time"
        number = outbox.current_file(phone.pk).number
        one_round()
        assert outbox.current_file(phone.pk).number == number
        phone.refresh_from_db()
        assert "refuses the image" in phone.stage_reason

    def test_what_others_fetch_in_its_name_is_no_try(self, phone):
        for _ in range(pins.MAX_TRIES):
            cast.ask("/firmware/1.0.5.12/gxp1600fw.bin", host="10.0.0.250", **{"user-agent": AGENT})
        assert not FirmwareTry.objects.exists()

    def test_one_that_falls_back_does_not_begin_anew_for_ever(self, phone):
        numbers = []
        for _ in range(pins.MAX_TRIES + 3):
            runs(phone, "1.0.4.88")
            one_round()
            if outbox.current_file(phone.pk).firmware == "1.0.5.12":
                cast.ask("/firmware/1.0.5.12/gxp1600fw.bin", **{"user-agent": AGENT})
                runs(phone, "1.0.5.12")
                one_round()
            numbers.append(outbox.current_file(phone.pk).number)
        assert numbers[-1] == numbers[-2] == numbers[-3]

    def test_a_step_that_changes_no_byte_makes_no_version_and_one_job(self, phone):
        store.save(store.find("site", ""), {"firmware_server_path": None}, by="tess")
        one_round()
        runs(phone, "1.0.5.12")
        for _ in range(3):
            one_round()
        jobs = Job.objects.count()
        number = outbox.current_file(phone.pk).number
        one_round()
        assert (Job.objects.count(), outbox.current_file(phone.pk).number) == (jobs, number)

    def test_a_step_that_cannot_be_written_is_not_tried_every_few_seconds(self, phone, clock):
        store.save(store.find("site", ""), {"file_format": "binary", "openvpn_ca": PEM}, by="tess")
        runs(phone, "1.0.5.12")
        for _ in range(3):
            one_round()
        assert Job.objects.count() == 1
        assert Job.objects.get().failures.get().field == "setting.openvpn_ca"
        clock.forward(minutes=61)
        one_round()
        assert Job.objects.count() == 2

    def test_a_job_that_somebody_stopped_does_not_begin_anew_at_once(self, clock, phone):
        other = cast.seen("000B82000009", "10.0.0.9", firmware="1.0.5.12")
        cast.save(other)
        runs(phone, "1.0.5.12")
        follow_firmware()
        first = Job.objects.get()
        runner.pause(first.pk)
        cast.seen("000B82000009", "10.0.0.9", firmware="1.0.7.81")
        follow_firmware()
        assert Job.objects.latest("pk").scope == {"phones": [other.pk]}, "it is in nobody else's way"
        one_round()
        runner.cancel(first.pk)
        one_round()
        assert Job.objects.count() == 2
        clock.forward(minutes=61)
        one_round()
        assert Job.objects.count() == 2, "cancelled is cancelled"
        pins.pin("GXP1628", ["1.0.5.12", "1.0.7.81"])
        one_round()
        assert said(phone)["firmware_server_path"].endswith("/1.0.7.81")

    def test_a_job_that_failed_is_not_begun_anew_every_few_seconds(self, phone, clock, monkeypatch):
        runs(phone, "1.0.5.12")
        with monkeypatch.context() as patched:
            patched.setattr(rerender, "_read", broken)
            for _ in range(3):
                one_round()
        assert Job.objects.get().state == JobState.FAILED
        clock.forward(minutes=61)
        one_round()
        assert said(phone)["firmware_server_path"].endswith("/1.0.7.81")

    def test_a_model_in_another_spelling_is_the_same_model(self, phone):
        Phone.objects.filter(pk=phone.pk).update(model="gxp1628", firmware="1.0.5.12")
        one_round()
        assert said(phone)["firmware_server_path"].endswith("/1.0.7.81")

    def test_parts_and_other_versions_are_no_tries(self, phone):
        for path, headers in (
            ("/firmware/1.0.5.12/gxp1600fw.bin", {"range": "bytes=0-9"}),
            ("/firmware/1.0.7.81/gxp1600fw.bin", {}),
        ):
            cast.ask(path, **{"user-agent": AGENT, **headers})
        assert not FirmwareTry.objects.exists()

    def test_a_new_path_is_tried_anew(self, phone):
        FirmwareTry.objects.create(phone=phone, version="1.0.5.12", tries=3)
        pins.pin("GXP1628", ["1.0.5.12"])
        assert pins.next_versions([phone]) == {phone.pk: "1.0.5.12"}

    def test_a_path_that_is_taken_away_is_taken_from_the_files(self, phone):
        pins.pin("GXP1628", [])
        one_round()
        assert said(phone)["firmware_server_path"] == "10.0.0.1:5481/firmware"
        assert said(phone)["firmware_upgrade_confirmation"] == "1", "back to the factory's value"

    @pytest.mark.parametrize(
        ("model", "path", "words"),
        [
            ("GXP9999", ["1.0.5.12"], "no model"),
            ("GXP1628", ["1.0.9.9"], "upload it first"),
            ("GXP1628", ["1.0.7.81", "1.0.5.12"], "older version first"),
        ],
    )
    def test_a_path_that_makes_no_sense_is_refused(self, phone, model, path, words):
        with pytest.raises(pins.PinError, match=words):
            pins.pin(model, path)
        assert pins.paths() == {"GXP1628": ["1.0.5.12", "1.0.7.81"]}

    def test_upgrade_first_secrets_after(self, phone):
        store.save(store.find("site", ""), {"upgrade_first": "yes", "ldap_password": "hidden"}, by="tess")
        cast.save(phone, cast.draft(display_name="Tess II"))
        file = said(phone)
        assert file["account1_active"] == "0"
        assert not [name for name in file if name.endswith("password") and file[name]]
        assert cast.PASSWORD not in str(file) and "hidden" not in str(file)
        assert phone.accounts.get().password == cast.PASSWORD, "what was decided is kept"
        runs(phone, "1.0.7.81")
        one_round()
        assert said(phone)["account1_auth_password"] == cast.PASSWORD
        assert said(phone)["ldap_password"] == "hidden"
        phone.refresh_from_db()
        assert phone.stage == Stage.ASSIGNED and cast.owed(phone.pk)

    def test_who_does_not_say_what_it_runs_gets_no_secret_and_a_reason(self, phone, clock):
        store.save(store.find("site", ""), {"upgrade_first": "yes"}, by="tess")
        runs(phone, "")
        cast.save(phone, cast.draft(display_name="Tess II"))
        version = outbox.current_file(phone.pk)
        assert version.held_back and said(phone)["account1_active"] == "0"
        cast.applied(version)
        clock.forward(minutes=pins.HELD_BACK_MINUTES + 1)
        one_round()
        phone.refresh_from_db()
        assert "It has no account yet" in phone.stage_reason and "1.0.7.81" in phone.stage_reason
        runs(phone, "1.0.7.81")
        one_round()
        assert said(phone)["account1_active"] == "1"

    def test_an_upgrade_that_is_refused_gives_no_secret_to_old_firmware(self, phone):
        store.save(store.find("site", ""), {"upgrade_first": "yes"}, by="tess")
        FirmwareTry.objects.create(phone=phone, version="1.0.5.12", tries=3)
        cast.save(phone, cast.draft(display_name="Tess II"))
        one_round()
        assert said(phone)["account1_active"] == "0"
        runs(phone, "1.0.7.81")
        one_round()
        assert said(phone)["account1_active"] == "1", "somebody upgraded it by hand"

    def test_an_applied_phone_that_started_up_without_fetching_in_time_keeps_its_account(self, phone):
        version = cast.applied(outbox.current_file(phone.pk))
        ConfigFile.objects.filter(pk=version.pk).update(fetched_at=None, applied_at=None)
        store.save(store.find("site", ""), {"upgrade_first": "yes"}, by="tess")
        cast.save(phone, cast.draft(display_name="Tess II"))
        assert said(phone)["account1_active"] == "1"

    def test_the_key_that_old_firmware_was_told_is_not_that_of_the_whole_file(self, phone):
        store.save(store.find("site", ""), {"upgrade_first": "yes", "file_format": "encrypted"}, by="tess")
        cast.save(phone, cast.draft(display_name="Tess II"))
        early = said(phone)["xml_config_file_password"]
        runs(phone, "1.0.7.81")
        one_round()
        assert said(phone)["account1_active"] == "1" and said(phone)["xml_config_file_password"] != early

    def test_who_has_its_account_keeps_it_while_it_is_upgraded(self, phone):
        cast.applied(outbox.current_file(phone.pk))
        store.save(store.find("site", ""), {"upgrade_first": "yes"}, by="tess")
        cast.save(phone, cast.draft(display_name="Tess II"))
        assert said(phone)["account1_active"] == "1"


def test_the_worker_does_it_in_its_rounds():
    add("1.0.7.81")
    phone = cast.seen(firmware="1.0.4.88")
    cast.save(phone)
    pins.pin("GXP1628", ["1.0.7.81"])
    call_command("work", "--once")
    assert Job.objects.get().scope == {"phones": [phone.pk]}
