"""The key of encrypted files is given once: who sends frames with the phone's own MAC gets what it cannot read."""

import pytest
from django.db import connection

from devices import inventory
from devices.models import LiveEvent, Phone
from provisioning import assignment, attempts, file_key, outbox, rotation, stuck, stuck_words, swapping, versions
from provisioning.gxp.document import values
from provisioning.gxp.openssl_enc import decrypt
from provisioning.jobs import runner
from provisioning.layers import store
from provisioning.models import ConfigFile, Download, PathKind, Release, UrlForm
from provisioning.release import windows
from sipmcast import calls
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db]

NAME, XML = f"cfg{cast.MAC.lower()}", f"cfg{cast.MAC.lower()}.xml"


@pytest.fixture(params=["binary", "xml"])
def version(request, clock):
    """Its first version, as it was assigned; the key comes in either kind of bootstrap."""
    store.save(store.find("site", ""), {"file_format": "encrypted", "file_bootstrap": request.param}, by="tess")
    return cast.assigned()


def key(version) -> str:
    return values(bytes(cast.now(version).content))["xml_config_file_password"]


def taken(version) -> ConfigFile:
    """The whole way of a phone that has no key."""
    assert not named(cast.owed(version.phone_id))
    cast.delivered(version)
    assert cast.ask(cast.first_path(version, NAME)).status == 200
    assert cast.ask(cast.first_path(version, XML)).status == 200
    assert cast.ask(cast.steady_path(version)).status == 200
    assert cast.stage(version) == "applied"
    return cast.now(version)


def newer(version, name: str = "Tess II") -> ConfigFile:
    return cast.save(version.phone, cast.draft(display_name=name)).config_file


def gives(version) -> bool:
    """Does its first path give the key, to the address of the phone?"""
    answer = cast.ask(cast.first_path(version, NAME))
    if answer.status != 200:
        assert answer == cast.ask("/nothing"), "refused as everything is"
    return answer.status == 200


def named(notify) -> bool:
    """Does this NOTIFY name the encrypted file itself? Some phones ask for what it names and nothing else."""
    (row,) = outbox.read(type(notify).objects.filter(pk=notify.pk))
    return b".xml" in calls.first(row, cast.LEG, UrlForm.FILE, "x" * 22).datagram


def test_every_further_version_is_taken_with_the_key_that_the_phone_has(version):
    first = taken(version)
    for name in ("II", "III"):
        second = newer(first, name)
        assert key(second) == key(first) and second.key_known_at == first.key_known_at is not None
        assert named(cast.owed(second.phone_id))
        cast.delivered(second)
        assert not gives(second)
        file = cast.ask(cast.first_path(second, XML))
        assert decrypt(file.body, key(first), "md5") == bytes(cast.now(second).content)
        assert cast.proofs(second)[:3] == ("fetched", True, False)
        assert cast.ask(cast.steady_path(second)).status == 200
        assert cast.proofs(second)[:3] == ("applied", True, True)


def test_who_announces_itself_as_a_phone_that_has_its_file_gets_no_key(version, clock):
    """No save is needed for this one: a phone that does not come by its own path is notified by itself."""
    taken(version)
    clock.forward(hours=1)
    assert cast.restarted(version) is not None
    clock.forward(60)
    cast.delivered(version)
    assert cast.stage(version) == "notified" and not gives(version)
    assert cast.ask(cast.first_path(version, XML)).body.startswith(b"Salted__")


def test_one_that_only_fetched_may_need_the_key_with_its_next_version(version):
    cast.delivered(version)
    for name in (NAME, XML):
        assert cast.ask(cast.first_path(version, name)).status == 200
    second = newer(version)
    assert second.key_known_at is None
    cast.delivered(second)
    assert gives(second)


def test_the_path_in_an_earlier_file_is_a_proof_as_well(version):
    cast.delivered(version)
    for name in (NAME, XML):
        cast.ask(cast.first_path(version, name))
    second = newer(version)
    assert cast.ask(cast.steady_path(version)).status == 200
    assert Download.objects.first().path_kind == PathKind.OLD
    outbox.notify_again(second.phone_id, "tess", cast.HOST)
    cast.delivered(second)
    assert cast.now(second).key_known_at is not None and not gives(second)


@pytest.mark.parametrize("how", ["a look at the headers", "a part", "broken off"])
def test_what_is_not_a_whole_download_proves_nothing(version, how):
    cast.delivered(version)
    for name in (NAME, XML):
        cast.ask(cast.first_path(version, name))
    options = {
        "a look at the headers": {"method": "HEAD"},
        "a part": {"range": "bytes=0-9"},
        "broken off": {"hang_up_after": 1},
    }
    cast.ask(cast.steady_path(version), **options[how])
    assert cast.now(version).key_known_at is None


@pytest.mark.parametrize("between", ["xml", "binary"])
def test_another_format_between_makes_another_key_that_nobody_has(version, between):
    first = taken(version)
    for file_format in (between, "encrypted"):
        store.save(store.find("site", ""), {"file_format": file_format}, by="tess")
        last = cast.save(first.phone).config_file
        assert last.key_known_at is None
    assert key(last) != key(first)
    cast.delivered(last)
    assert gives(last)


def test_a_file_that_we_cannot_open_any_more_leads_to_another_key(version):
    first = taken(version)
    old = key(first)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE provisioning_configfile SET content = %s", [b"x"])
    last = newer(first)
    assert key(last) != old and last.key_known_at is None


def test_after_a_file_without_secrets_there_is_another_key(version):
    """The key that went to firmware that was to have no secret is none for the file with all of them."""
    first = taken(version)
    ConfigFile.objects.update(held_back=True)
    last = cast.save(first.phone).config_file
    assert key(last) != key(first) and last.key_known_at is None


def test_new_paths_the_way_back_and_a_job_keep_what_is_known(version):
    first = taken(version)
    phone = Phone.objects.get()
    assert rotation.new_paths(phone, by="tess", seen_host=cast.HOST).config_file.key_known_at
    newer(first)
    phone.refresh_from_db()
    assert versions.roll_back(phone, 1, by="tess", seen_host=cast.HOST).config_file.key_known_at
    store.save(store.find("site", ""), {"file_format": "encrypted", "ntp_server": "ntp.example"}, by="tess")
    job = runner.start("Another clock", {"phones": [phone.pk]}, by="tess")
    runner.run.call(job.pk)
    last = outbox.current_file(phone.pk)
    assert last.why == job.title and last.key_known_at == first.key_known_at


def test_another_phone_in_its_place_has_another_key(version):
    first = taken(version)
    other = cast.seen(cast.OTHER_MAC, "10.0.0.21")
    saved = swapping.swap(Phone.objects.get(pk=first.phone_id), other, by="tess", seen_host="10.0.0.21")
    current = outbox.current_file(other.pk)
    assert saved and current.key_known_at is None and key(current) != key(first)


def test_one_that_was_forgotten_begins_anew(version):
    taken(version)
    inventory.forget(version.phone_id, "tess")
    again = cast.assigned()
    cast.delivered(again)
    assert gives(again)


def test_the_proof_that_comes_while_a_version_is_rendered_holds_for_it(version, monkeypatch):
    cast.delivered(version)
    for name in (NAME, XML):
        cast.ask(cast.first_path(version, name))
    still = assignment._still_newest

    def late(order, current):
        cast.ask(cast.steady_path(version))
        still(order, current)

    monkeypatch.setattr(assignment, "_still_newest", late)
    assert newer(version).key_known_at is not None


class TestAPhoneThatWasReset:
    @pytest.fixture
    def stuck_one(self, version, clock):
        """It was applied, came without its configuration, and took a file that it cannot open."""
        taken(version)
        clock.forward(hours=1)
        cast.restarted(version)
        clock.forward(60)
        cast.delivered(version)
        assert cast.ask(cast.first_path(version, XML)).status == 200
        return cast.now(version)

    def test_it_stays_and_says_what_helps(self, stuck_one, clock):
        clock.forward(minutes=5)
        stuck.explain_all()
        words = cast.reason(stuck_one)
        assert words.startswith(stuck_words.NOT_BACK + stuck_words.LOST_KEY) and "“Give it the key again”" in words
        assert len(words) < inventory.REASON_CHARS
        clock.forward(20)
        assert cast.restarted(stuck_one) is None, "it is not sent into a loop"
        clock.forward(61)
        stuck.explain_all()
        words = cast.reason(stuck_one)
        assert words.startswith(stuck_words.WITHOUT_FILE + stuck_words.LOST_KEY) and stuck_words.GIVE_KEY in words
        assert (len(words) < inventory.REASON_CHARS) and cast.stage(stuck_one) == "fetched"

    def test_a_person_gives_it_the_key_again_and_then_it_is_over(self, stuck_one, clock):
        clock.forward(minutes=6)
        stuck.explain_all()
        notify = file_key.give_again(stuck_one.phone_id, by="tess", seen_host=cast.HOST)
        assert (notify.origin, cast.reason(stuck_one)) == ("person", "")
        cast.delivered(stuck_one)
        assert gives(stuck_one)
        assert cast.ask(cast.first_path(stuck_one, XML)).status == 200
        assert cast.ask(cast.steady_path(stuck_one)).status == 200
        assert cast.stage(stuck_one) == "applied"
        told = LiveEvent.objects.filter(kind="release").values_list("text", flat=True)
        assert list(told) == ["The key of its file may leave once more: asked for by tess."]
        clock.forward(hours=1)
        outbox.notify_again(stuck_one.phone_id, "tess", cast.HOST)
        cast.delivered(stuck_one)
        assert not gives(stuck_one), "to notify it again is not enough"

    def test_a_save_before_that_gives_it_too(self, stuck_one):
        file_key.give_again(stuck_one.phone_id, by="tess", seen_host=cast.HOST)
        second = newer(stuck_one)
        cast.delivered(second)
        assert second.key_known_at is None and gives(second)

    def test_a_notify_that_is_under_way_leads_past_the_key_and_ends(self, stuck_one, clock):
        outbox.notify_again(stuck_one.phone_id, "tess", cast.HOST)
        sending = cast.sent(stuck_one)
        notify = file_key.give_again(stuck_one.phone_id, by="tess", seen_host=cast.HOST)
        sending.refresh_from_db()
        assert sending.state == "superseded"
        assert (notify.next_at - clock.at).total_seconds() == outbox.TRANSACTION_SECONDS
        assert not named(notify)


def test_the_key_is_given_again_only_where_the_phone_was_seen(version):
    taken(version)
    with pytest.raises(outbox.AddressMoved):
        file_key.give_again(version.phone_id, by="tess", seen_host=cast.STRANGER)
    with pytest.raises(outbox.Forgotten):
        file_key.give_again(version.phone_id + 1, by="tess", seen_host=cast.HOST)
    assert cast.now(version).key_known_at is not None


def test_there_is_none_to_give_without_an_encrypted_file(clock):
    phone = cast.seen()
    with pytest.raises(file_key.CannotGive, match="Assign it first"):
        file_key.give_again(phone.pk, by="tess", seen_host=cast.HOST)
    plain = cast.applied(cast.save(phone).config_file)
    assert plain.key_known_at is None
    with pytest.raises(file_key.CannotGive, match="not encrypted"):
        file_key.give_again(phone.pk, by="tess", seen_host=cast.HOST)


def test_one_that_asks_for_the_key_only_is_told_what_helps(version, clock):
    attempts._held.clear()
    second = newer(taken(version))
    cast.delivered(second)
    assert not gives(second)
    attempts.flush()
    clock.forward(minutes=6)
    stuck.explain_all()
    assert stuck_words.GIVE_KEY in cast.reason(second) and len(cast.reason(second)) < inventory.REASON_CHARS


class TestReleased:
    def opened(self, version, **options) -> Release:
        return windows.open_release(version.phone_id, cast.HOST, by="tess", **options)

    def test_a_release_gives_no_key_to_a_phone_that_has_it(self, version):
        taken(version)
        self.opened(version)
        assert cast.ask(f"/{NAME}") == cast.ask("/nothing")
        assert cast.ask(f"/{XML}").body.startswith(b"Salted__")
        assert Release.objects.get().ended == "fetched"

    def test_unless_a_person_says_that_it_was_reset(self, version):
        taken(version)
        self.opened(version, with_key=True)
        assert cast.ask(f"/{NAME}").status == 200
        assert cast.ask(f"/{NAME}") == cast.ask("/nothing"), "once"
        assert cast.ask(f"/{XML}").status == 200
        assert LiveEvent.objects.filter(kind="release", text__endswith="its key leaves with it.").count() == 1
        assert not Release.objects.filter(closed_at=None).exists()

    def test_a_first_one_needs_no_such_word(self, version):
        self.opened(version)
        assert cast.ask(f"/{NAME}").status == 200

    def test_a_file_that_is_not_encrypted_has_none(self, clock):
        plain = cast.assigned()
        assert not self.opened(plain, with_key=True).with_key


def test_the_key_goes_to_the_address_that_was_seen_and_by_no_way_that_was_open_before(version, clock):
    """An earlier NOTIFY and a release without the key had named other addresses, for a file that nobody opens there."""
    first = taken(version)
    clock.forward(hours=1)
    outbox.notify_again(first.phone_id, "tess", cast.HOST)
    cast.delivered(first)
    assert not gives(first)
    windows.open_release(first.phone_id, cast.STRANGER, by="tess", minutes=30)
    Phone.objects.update(source_host="10.0.0.30")
    clock.forward(60)
    file_key.give_again(first.phone_id, by="tess", seen_host="10.0.0.30")
    assert not gives(first), "the address of the earlier NOTIFY"
    assert cast.ask(f"/{NAME}", host=cast.STRANGER) == cast.ask("/nothing"), "released without its tick"
    assert Release.objects.get().ended == "closed"
    assert cast.claim(cast.owed(first.phone_id), cast.opening("2", host="10.0.0.30"))
    assert cast.ask(cast.first_path(first, NAME), host="10.0.0.30").status == 200
