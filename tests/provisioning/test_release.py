"""A file by its plain name: only while a person lets it out, to one address, once."""

import pytest
from django.db import IntegrityError

from devices import inventory
from devices.choices import Stage
from devices.models import LiveEvent, Phone
from provisioning import downloads, paths, rotation
from provisioning.layers import store
from provisioning.models import Attempt, ConfigFile, Download, Release
from provisioning.release import windows
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db]
PLAIN = f"/provisioning/cfg{cast.MAC.lower()}.xml"
NAMES = [PLAIN, f"/cfg{cast.MAC}", f"/a/b/cfg{cast.MAC}.XML", f"/cfg{cast.MAC.lower()}"]


def opened(version, host: str = cast.HOST, **options) -> Release:
    return windows.open_release(version.phone_id, host, by="tess", **options)


def told(version) -> list[str]:
    rows = LiveEvent.objects.filter(mac=version.phone.mac, kind="release").order_by("id")
    return list(rows.values_list("text", flat=True))


@pytest.fixture
def version(clock):
    return cast.assigned()


@pytest.mark.parametrize("path", NAMES)
def test_what_is_released_leaves_once_and_to_its_address_only(version, path):
    nothing = cast.ask("/nothing")
    assert cast.ask(path) == nothing
    opened(version)
    assert cast.ask(path, host=cast.STRANGER) == nothing
    assert cast.ask(path.replace(cast.MAC, cast.OTHER_MAC).replace(cast.MAC.lower(), cast.OTHER_MAC)) == nothing
    answer = cast.ask(path)
    assert answer.status == 200 and cast.PASSWORD.encode() in answer.body
    assert answer.headers["content-length"] == str(len(answer.body))
    for again in NAMES:
        for host in (cast.HOST, cast.STRANGER):
            assert cast.ask(again, host=host) == nothing
    assert cast.proofs(version) == ("fetched", True, False, 1)
    assert Download.objects.get().path_kind == "plain"
    row = Release.objects.get()
    assert row.ended == "fetched" and row.closed_at is not None
    assert told(version) == [
        "Released to 10.0.0.20 by its plain name for 10 minutes by tess: one download.",
        "Its file was fetched by its plain name from 10.0.0.20, as released by tess.",
    ]


def test_it_goes_on_by_the_steady_path_as_every_phone_does(version):
    opened(version)
    assert cast.ask(PLAIN).status == 200
    cast.download(cast.steady_path(version))
    assert cast.stage(version) == "applied"


def test_time_is_up(version, clock):
    opened(version, minutes=3)
    clock.forward(minutes=3)
    assert cast.ask(PLAIN) == cast.ask("/nothing")
    assert windows.expire() == 1 and windows.expire() == 0
    assert told(version)[-1] == "Release to 10.0.0.20 is over: nobody fetched in time."
    assert Release.objects.get().ended == "expired"


def test_a_clock_that_went_back_opens_nothing(version, clock):
    opened(version)
    clock.forward(hours=-2)
    assert cast.ask(PLAIN).status == 404
    assert windows.open_one(version.phone_id) is None


def test_a_look_at_the_headers_or_a_part_closes_nothing_and_gives_nothing(version):
    opened(version)
    head = cast.ask(PLAIN, method="HEAD")
    assert head.status == 200 and not head.body and "etag" not in head.headers
    assert cast.ask(PLAIN, range="bytes=0-99999") == cast.ask("/nothing")
    for method in ("POST", "PUT", "OPTIONS", "PROPFIND"):
        assert cast.ask(PLAIN, method=method) == cast.ask("/nothing")
    assert windows.open_one(version.phone_id) is not None
    assert cast.ask(PLAIN, if_none_match="*").status == 200, "whole, whatever it says that it has"
    assert cast.proofs(version)[:2] == ("fetched", True)


def test_what_breaks_off_may_come_again_but_not_for_ever(version):
    opened(version)
    for round_number in range(windows.BROKEN_AT_MOST):
        assert windows.open_one(version.phone_id) is not None, round_number
        answer = cast.ask(PLAIN, hang_up_after=1)
        assert answer.status == 200 and len(answer.body) < int(answer.headers["content-length"])
    assert cast.proofs(version) == ("assigned", False, False, 0)
    assert cast.ask(PLAIN) == cast.ask("/nothing")
    assert Release.objects.get().ended == "broken"
    assert told(version)[-1] == "Release to 10.0.0.20 closed: its download broke off three times."


def test_a_second_one_while_the_first_is_under_way_gets_nothing(version):
    release = opened(version)
    offer = downloads.released(paths.read(PLAIN), cast.HOST)
    assert windows.begin(release, "one") and not windows.begin(release, "two")
    assert cast.ask(PLAIN) == cast.ask("/nothing")
    assert not downloads.record_released(offer, "two", cast.HOST, "")
    assert downloads.record_released(offer, "one", cast.HOST, "")
    assert not downloads.record_released(offer, "one", cast.HOST, ""), "it is closed"
    assert Download.objects.count() == 1


def test_what_a_killed_process_had_in_hand_is_free_again(version, clock):
    release = opened(version)
    assert windows.begin(release, "one")
    clock.forward(windows.IN_HAND_SECONDS)
    assert windows.begin(release, "two")
    offer = downloads.released(paths.read(PLAIN), cast.HOST)
    assert offer is not None
    windows.give_back(release, "one")  # comes back late: it is somebody else's now
    assert Release.objects.get().in_hand == "two"


@pytest.mark.parametrize("what", ["closed", "expired", "replaced", "saved", "ignored", "forgotten"])
def test_what_happens_meanwhile_keeps_the_end_back(version, clock, what):
    release = opened(version)
    offer = downloads.released(paths.read(PLAIN), cast.HOST)
    assert windows.begin(release, "one")
    if what == "closed":
        assert windows.close(version.phone_id, by="tess")
    elif what == "expired":
        clock.forward(minutes=windows.MINUTES)
    elif what == "replaced":
        opened(version)
    elif what == "saved":
        cast.save(version.phone, cast.draft(user_id="1009"))
    elif what == "ignored":
        inventory.ignore(version.phone_id, "tess")
    else:
        inventory.forget(version.phone_id, "tess")
    assert not downloads.record_released(offer, "one", cast.HOST, "")
    assert not Download.objects.exists()


def test_it_ends_with_the_phones_service(version):
    opened(version)
    assert windows.expire() == 0
    inventory.ignore(version.phone_id, "tess")
    assert windows.expire() == 1
    inventory.heed(version.phone_id, Stage.ASSIGNED, "tess")
    assert cast.ask(PLAIN).status == 404
    assert LiveEvent.objects.filter(text__contains="the phone is not in service").exists()


def test_there_is_one_for_each_phone_and_a_new_one_ends_the_old(version):
    first = opened(version)
    opened(version, cast.STRANGER)
    first.refresh_from_db()
    assert first.ended == "replaced"
    assert cast.ask(PLAIN).status == 404 and cast.ask(PLAIN, host=cast.STRANGER).status == 200
    with pytest.raises(IntegrityError):
        for _ in range(2):
            Release.objects.create(
                phone_id=version.phone_id, host="10.0.0.3", opened_at=cast.NOON, until=cast.NOON, opened_by="x"
            )


@pytest.mark.parametrize("host", ["", "phone.example", "10.0.0", "0.0.0.0", "224.0.1.75", "8.8.8.8", "255.255.255.255"])
def test_it_is_released_to_one_address_that_may_ask_at_all(version, host):
    with pytest.raises(windows.CannotRelease):
        opened(version, host)
    assert not Release.objects.exists()


def test_an_address_is_released_as_the_door_sees_it(version):
    assert opened(version, "::ffff:10.0.0.20").host == "10.0.0.20"
    assert opened(version, "fe80::1%eth0").host == "fe80::1"


def test_nothing_is_released_to_everybody_behind_a_proxy(version, settings):
    settings.GSPNP_TRUSTED_PROXIES = ["10.0.0.5/32"]
    with pytest.raises(windows.CannotRelease, match="is the proxy"):
        opened(version, "10.0.0.5")
    assert opened(version).host == cast.HOST


@pytest.mark.parametrize("text", ["0", "61", "-1", "1.5", "ten", "9" * 50, "٣"])
def test_minutes_are_few(version, text):
    with pytest.raises(windows.CannotRelease):
        windows.minutes_of(text)
    assert windows.minutes_of(" ") == 10 and windows.minutes_of("60") == 60


def test_only_what_has_a_file_is_released(clock):
    phone = cast.seen()
    with pytest.raises(windows.CannotRelease, match="Assign it first"):
        windows.open_release(phone.pk, cast.HOST, by="tess")
    with pytest.raises(windows.CannotRelease, match="forgotten"):
        windows.open_release(phone.pk + 1, cast.HOST, by="tess")


def test_an_ignored_phone_gets_nothing(version):
    opened(version)
    inventory.ignore(version.phone_id, "tess")
    assert cast.ask(PLAIN) == cast.ask("/nothing")


class TestEncrypted:
    @pytest.fixture
    def version(self, clock):
        store.save(store.find("site", ""), {"file_format": "encrypted"}, by="tess")
        return cast.assigned()

    def test_the_key_leaves_once_and_the_file_closes(self, version):
        opened(version)
        key = cast.ask(f"/cfg{cast.MAC}")
        assert key.status == 200 and Release.objects.get().closed_at is None
        assert cast.ask(f"/cfg{cast.MAC}") == cast.ask("/nothing")
        assert cast.stage(version) == "assigned"
        final = cast.ask(PLAIN)
        assert final.status == 200 and cast.PASSWORD.encode() not in final.body
        assert Release.objects.get().ended == "fetched" and cast.stage(version) == "fetched"
        assert cast.ask(PLAIN) == cast.ask("/nothing")

    def test_after_the_key_the_first_path_is_open_to_that_address(self, version, clock):
        opened(version)
        assert cast.ask(cast.first_path(version, f"cfg{cast.MAC}.xml")).status == 404
        cast.ask(f"/cfg{cast.MAC}")
        assert cast.ask(cast.first_path(version, f"cfg{cast.MAC}.xml"), host=cast.STRANGER).status == 404
        clock.forward(60)
        assert cast.ask(cast.first_path(version, f"cfg{cast.MAC}.xml")).status == 200

    @pytest.mark.parametrize("how", ["closed", "revoked", "opened anew", "broken"])
    def test_the_first_path_that_the_key_opened_ends_with_the_release(self, version, how):
        opened(version, minutes=60)
        path = cast.first_path(version, f"cfg{cast.MAC}.xml")
        cast.ask(f"/cfg{cast.MAC}")
        if how == "closed":
            windows.close(version.phone_id, by="tess")
        elif how == "revoked":
            rotation.revoke(version.phone_id, by="tess")
        elif how == "opened anew":
            opened(version, cast.STRANGER)
        else:
            for _ in range(windows.BROKEN_AT_MOST):
                cast.ask(PLAIN, hang_up_after=1)
        assert cast.ask(path) == cast.ask("/nothing")
        cast.sent(version)
        assert cast.ask(path).status == 200, "a NOTIFY opens it again"

    def test_a_first_path_that_a_notify_opened_since_does_not_end_with_it(self, version, clock):
        opened(version, minutes=60)
        cast.ask(f"/cfg{cast.MAC}")
        clock.forward(60)
        cast.sent(version)
        windows.close(version.phone_id, by="tess")
        assert cast.ask(cast.first_path(version, f"cfg{cast.MAC}.xml")).status == 200


def test_a_file_in_binary_form_leaves_too(clock):
    store.save(store.find("site", ""), {"file_format": "binary"}, by="tess")
    version = cast.assigned()
    opened(version)
    assert cast.ask(PLAIN).status == 404
    assert cast.ask(f"/cfg{cast.MAC}").status == 200
    assert Release.objects.get().ended == "fetched" and ConfigFile.objects.get().fetched_at is not None


def test_a_stranger_leaves_a_note_and_no_more(version):
    from provisioning import attempts

    attempts._held.clear()
    opened(version)
    cast.ask(PLAIN, host=cast.STRANGER)
    attempts.flush()
    row = Attempt.objects.get()
    assert (row.kind, row.source_host) == ("plain", cast.STRANGER)
    assert Phone.objects.get().source_host == cast.HOST
