"""Many proofs in one transaction: each phone has what it would have alone, and none pays for another one's failure."""

from unittest.mock import patch

import pytest
from django.db import DatabaseError, transaction

from devices import inventory
from devices.models import Alarm, LiveEvent, Phone
from provisioning import downloads, paths, proofs, url_forms
from provisioning.models import ConfigFile, Download, FileFormat, LearnedUrlForm, Notify, UrlForm
from provisioning.proofs import Proof
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db, pytest.mark.usefixtures("clock")]
AGENT = "Grandstream Model HW GXP1628"


def first(version: ConfigFile) -> str:
    suffix = ".xml" if version.format == FileFormat.ENCRYPTED else ""
    return cast.first_path(version, f"cfg{version.phone.mac}{suffix}")


def steady(version: ConfigFile) -> str:
    suffix = "" if version.format == FileFormat.BINARY else ".xml"
    return cast.steady_path(version, f"cfg{version.phone.mac.lower()}{suffix}")


class Twin:
    """One phone that goes its way, until a download of it is under way."""

    def __init__(self, number: int, story: str) -> None:
        self.mac, self.host, self.story = f"000B82C0{number:04X}", f"10.0.1.{number + 1}", story
        version = cast.now(cast.assigned(self.mac, self.host))
        cast.delivered(version)
        self.path = getattr(self, story)(version)

    def done(self, path: str) -> None:
        cast.download(path, host=self.host)

    def first_time(self, version: ConfigFile) -> str:
        return first(version)

    def before_its_answer(self, version: ConfigFile) -> str:
        inventory.explain(version.phone_id, "It did not answer.")
        return first(version)

    def a_save_waits(self, version: ConfigFile) -> str:
        self.done(first(version))
        self.done(steady(version))
        newer = cast.save(version.phone, cast.draft(display_name="Tess II")).config_file
        return steady(cast.now(newer))

    def first_with_a_notify_that_waits(self, version: ConfigFile) -> str:
        Notify.objects.filter(phone_id=version.phone_id).update(state="waiting")
        return first(version)

    def again_by_the_first_path(self, version: ConfigFile) -> str:
        self.done(first(version))
        return first(version)

    def by_its_own_path(self, version: ConfigFile) -> str:
        self.done(first(version))
        return steady(version)

    def by_its_own_path_before_the_first(self, version: ConfigFile) -> str:
        return steady(version)

    def second_version(self, version: ConfigFile) -> str:
        self.done(first(version))
        self.done(steady(version))
        newer = cast.save(version.phone, cast.draft(display_name="Tess II")).config_file
        cast.delivered(newer)
        newer = cast.now(newer)
        self.done(first(newer))
        return steady(newer)

    def from_elsewhere(self, version: ConfigFile) -> str:
        self.done(first(version))
        self.host = "10.0.2.77"
        return steady(version)

    def overtaken(self, version: ConfigFile) -> str:
        return first(version)  # see `begin`

    def forgotten(self, version: ConfigFile) -> str:
        return first(version)

    def proof(self) -> Proof:
        """Its download has come to its last bytes."""
        offer = downloads.find(paths.read(self.path), self.host)
        assert isinstance(offer, downloads.Offer)
        if self.story == "overtaken":
            cast.save(Phone.objects.get(mac=self.mac), cast.draft(display_name="Tess II"))
        if self.story == "forgotten":
            inventory.forget(offer.config_file.phone_id, "tess")
        return Proof(offer, self.host, AGENT)

    def state(self) -> list[list[tuple]]:
        """All that there is of it, but for what makes it this one."""
        phones = Phone.objects.filter(mac=self.mac)
        versions = ConfigFile.objects.filter(phone__mac=self.mac).order_by("number")
        return [
            list(phones.values_list("stage", "stage_reason", "stage_at", "last_seen_at", "version")),
            [(one.steady_host == self.host, one.steady_host is None) for one in phones],
            list(versions.values_list("number", "fetched_at", "applied_at", "steady_at", "retired_at", "key_known_at")),
            list(Notify.objects.filter(phone__mac=self.mac).order_by("pk").values_list("state", "note", "settled_at")),
            list(Download.objects.filter(phone__mac=self.mac).order_by("pk").values_list(
                "path_kind", "status", "counts", "user_agent", "at", "config_file__number")),
            [(kind, stage, text.replace(self.mac, "MAC").replace(self.mac.lower(), "MAC"), at)
             for kind, stage, text, at in LiveEvent.objects.filter(mac=self.mac).order_by("pk").values_list(
                "kind", "stage", "text", "at")],
        ]  # fmt: skip


STORIES = [name for name in vars(Twin) if not name.startswith("_") and name not in ("done", "proof", "state")]


def hosts_hidden(state: list[list[tuple]], *twins: Twin) -> str:
    text = repr(state)
    for one in twins:
        text = text.replace(f"10.0.1.{int(one.mac[-4:], 16) + 1}", "HOST")
    return text


@pytest.mark.parametrize("format", [FileFormat.XML, FileFormat.ENCRYPTED, FileFormat.BINARY])
def test_together_each_has_what_it_would_have_alone(settings, format):
    settings.GSPNP_FILE_FORMAT = format.value
    alone = [Twin(number, story) for number, story in enumerate(STORIES)]
    together = [Twin(100 + number, story) for number, story in enumerate(STORIES)]
    for one in alone:
        proof = one.proof()
        downloads.record(proof.offer, 200, True, one.host, AGENT)
    made = [one.proof() for one in together]
    assert proofs.record_all(made) == dict.fromkeys(made)
    for one, other in zip(alone, together, strict=True):
        assert hosts_hidden(one.state(), one) == hosts_hidden(other.state(), other), one.story
    assert not Alarm.objects.exists()


@pytest.mark.parametrize("why", [DatabaseError("disk full"), ValueError("nobody thought of this")])
def test_one_that_cannot_be_stored_costs_nobody_else_his_proof(why):
    good, bad = Twin(0, "first_time").proof(), Twin(1, "again_by_the_first_path").proof()
    record = downloads.record

    def fails(offer, *rest):
        if offer is bad.offer:
            raise why
        record(offer, *rest)

    with patch.object(downloads, "record", fails):
        assert proofs.record_all([good, bad]) == {good: None, bad: why}
    assert cast.proofs(good.offer.config_file)[:3] == ("fetched", True, False)
    assert Download.objects.filter(phone_id=bad.phone_id).count() == 1


def test_a_phone_that_fetches_twice_at_once_is_told_of_once():
    twin = Twin(0, "first_time")
    both = [twin.proof(), twin.proof()]
    assert proofs.record_all(both) == dict.fromkeys(both)
    told = LiveEvent.objects.filter(mac=twin.mac, stage="fetched", kind="stage")
    assert (told.count(), Download.objects.count()) == (1, 2)


def test_what_makes_phones_fetch_is_learned_for_each_model_and_firmware():
    some = [Twin(number, "first_time") for number in range(3)]
    Phone.objects.filter(mac=some[2].mac).update(firmware="9.9.9.9")
    Notify.objects.filter(phone__mac=some[2].mac).update(url_form=UrlForm.FOLDER)
    Notify.objects.exclude(phone__mac=some[2].mac).update(url_form=UrlForm.FILE)
    proofs.record_all([one.proof() for one in some])
    learned = set(LearnedUrlForm.objects.values_list("firmware", "form"))
    firmware = Phone.objects.get(mac=some[0].mac).firmware
    assert learned == {(firmware, UrlForm.FILE), ("9.9.9.9", UrlForm.FOLDER)}
    url_forms.learn_all({})  # nobody: nothing


@pytest.mark.django_db(transaction=True)
def test_what_goes_the_long_way_holds_the_lock_for_a_few_at_a_time(settings, monkeypatch):
    """Of encrypted files all do: two hundred in one transaction would keep everybody else out for half a second."""
    settings.GSPNP_FILE_FORMAT = FileFormat.ENCRYPTED.value
    made = [Twin(number, "first_time").proof() for number in range(proofs.LONG_WAY_AT_ONCE + 2)]
    real, written, committed = downloads.record, [], []

    def record(*args):
        if not written:
            transaction.on_commit(lambda: (committed.append(len(written)), written.clear()))
        written.append(args)
        real(*args)

    monkeypatch.setattr(downloads, "record", record)
    assert proofs.record_all(made) == dict.fromkeys(made)
    assert committed == [proofs.LONG_WAY_AT_ONCE, 2]
    assert Phone.objects.filter(stage="fetched").count() == len(made)
