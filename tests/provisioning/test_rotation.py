"""New paths on demand, and the end of earlier ones."""

import pytest

from devices import inventory
from devices.models import LiveEvent
from provisioning import outbox, rotation
from provisioning.models import ConfigFile, Release
from provisioning.release import windows
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db, pytest.mark.usefixtures("clock")]


def renewed(version, **options) -> ConfigFile:
    phone = cast.now(version).phone
    saved = rotation.new_paths(phone, by="tess", seen_host=phone.source_host, **options)
    assert saved.changed and saved.notify is not None
    return saved.config_file


def status(path: str, host: str = cast.HOST) -> int:
    return cast.ask(path, host=host).status


@pytest.fixture
def version():
    return cast.applied(cast.assigned())


def test_new_paths_say_the_same_and_the_old_one_has_its_grace(version):
    fresh = renewed(version)
    old, new = cast.steady_path(version), cast.steady_path(fresh)
    assert {fresh.first_secret, fresh.steady_secret}.isdisjoint({version.first_secret, version.steady_secret})
    assert cast.stage(fresh) == "assigned" and fresh.why == "New paths."
    assert rotation.earlier_paths(version.phone_id) == 1
    assert cast.ask(old).body == bytes(fresh.content)
    assert status(cast.first_path(version)) == 404
    cast.download(new)  # by the old path it took the file; this proves it
    assert cast.stage(fresh) == "applied"
    assert status(old) == 404 and rotation.earlier_paths(version.phone_id) == 0


def test_a_new_assignment_has_new_paths_too(version):
    fresh = cast.save(version.phone, cast.draft(user_id="1009")).config_file
    assert fresh.first_secret != version.first_secret and fresh.steady_secret != version.steady_secret


def test_revoked_the_old_path_leads_nowhere_at_once(version):
    fresh = renewed(version)
    assert rotation.revoke(version.phone_id, by="tess") == 1
    assert cast.ask(cast.steady_path(version)) == cast.ask("/nothing")
    assert rotation.revoke(version.phone_id, by="tess") == 0
    told = LiveEvent.objects.filter(text="Its earlier paths lead nowhere any more: revoked by tess.")
    assert told.count() == 1
    cast.sent(fresh)
    assert status(cast.first_path(fresh)) == 200, "the phone that is notified gets it"


def test_the_present_path_of_a_stolen_phone_ends_in_one_step(version):
    fresh = renewed(version, revoke_old=True)
    for path in (cast.steady_path(version), cast.first_path(version)):
        for host in (cast.HOST, cast.STRANGER):
            assert cast.ask(path, host=host) == cast.ask("/nothing")
    assert status(cast.steady_path(fresh)) == 200


def test_what_is_released_ends_with_the_paths(version):
    windows.open_release(version.phone_id, cast.HOST, by="tess")
    renewed(version, revoke_old=True)
    assert Release.objects.get().ended == "revoked"
    assert status(f"/cfg{cast.MAC}.xml") == 404


def test_a_save_that_fails_revokes_nothing(version):
    phone = cast.now(version).phone
    with pytest.raises(rotation.assignment.AssignmentError, match="has moved"):
        rotation.new_paths(phone, by="tess", seen_host=cast.STRANGER, revoke_old=True)
    cast.save(phone, cast.draft(user_id="1009"))
    with pytest.raises(inventory.VersionConflict):
        rotation.new_paths(phone, by="tess", seen_host=phone.source_host, revoke_old=True)
    assert rotation.earlier_paths(version.phone_id) == 1
    assert status(cast.steady_path(version)) == 200


def test_there_is_nothing_to_make_anew_for_a_phone_without_a_file():
    phone = cast.seen(cast.OTHER_MAC)
    with pytest.raises(rotation.CannotRotate, match="no file"):
        rotation.new_paths(phone, by="tess", seen_host=phone.source_host)
    assert rotation.revoke(phone.pk, by="tess") == 0
    with pytest.raises(rotation.CannotRotate, match="forgotten"):
        rotation.revoke(phone.pk + 1, by="tess")


def test_its_password_is_not_given_anew(version):
    before = version.phone.accounts.get().password_version
    renewed(version)
    assert cast.now(version).phone.accounts.get().password_version == before


def test_a_notify_is_owed_for_the_new_file(version):
    fresh = renewed(version)
    assert cast.owed(version.phone_id).config_file_id == fresh.pk == outbox.current_file(version.phone_id).pk
