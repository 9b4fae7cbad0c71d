"""A phone that fetches again what it has: answered by one read, noted, and written down with others a moment later."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from unittest.mock import Mock

import pytest
from asgiref.sync import async_to_sync
from django.db import DatabaseError, DataError, InterfaceError, OperationalError, connection
from django.utils import timezone

from devices import inventory
from devices.models import LiveEvent, Phone
from provisioning import downloads, paths, repeats
from provisioning.door import again, app, delivery
from provisioning.door.http import Answer, Request, path_of
from provisioning.models import ConfigFile, Download, Notify, NotifyOrigin
from provisioning.outbox import enqueue
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db]

AGENT = "Grandstream Model HW GXP1628 SW 1.0.4.152"


@pytest.fixture
def version() -> ConfigFile:
    """A phone that has its file."""
    version = cast.assigned()
    cast.delivered(version)
    cast.download(cast.first_path(version))
    cast.download(cast.steady_path(version))
    return cast.now(version)


def find(path: str) -> repeats.Repeat | None:
    ask = paths.read(path)
    assert ask is not None
    return repeats.find(ask, repeats.read)


def one(version: ConfigFile, **changes) -> repeats.Again:
    name = f"cfg{cast.MAC.lower()}.xml"
    made = repeats.Again(version.phone_id, version.pk, name, 200, cast.HOST, AGENT, timezone.now(), version.phone.mac)
    return made._replace(**changes)


def test_what_the_phone_has_is_found_by_its_own_path_and_nothing_else_is(version):
    found = find(cast.steady_path(version))
    assert found is not None and found.content == version.content and found.etag == version.etag
    other = cast.assigned(cast.OTHER_MAC, "10.0.0.77")
    assert find(cast.steady_path(version, f"cfg{cast.OTHER_MAC.lower()}.xml")) is None, "another phone's name"
    assert find(cast.steady_path(version, f"cfg{cast.MAC.lower()}")) is None, "a name that its format does not have"
    assert find(cast.first_path(version)) is None
    assert find(f"/p/{other.steady_secret}/cfg{cast.OTHER_MAC.lower()}.xml") is None, "not applied yet"


@pytest.mark.parametrize(
    "change",
    [
        {"fetched_at": None},
        {"applied_at": None},
        {"retired_at": timezone.now()},
        {"login_scheme": "basic"},
        {"format": "encrypted", "key_known_at": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_is_to_be_looked_at_more_closely_is_no_repeat(version, change):
    ConfigFile.objects.filter(pk=version.pk).update(**change)
    assert find(cast.steady_path(version)) is None


def test_an_older_version_and_a_phone_that_is_ignored_have_no_repeats(version):
    path = cast.steady_path(version)
    Phone.objects.filter(pk=version.phone_id).update(stage="ignored")
    assert find(path) is None
    Phone.objects.filter(pk=version.phone_id).update(stage="applied")
    assert find(path) is not None
    cast.save(version.phone, cast.draft(display_name="Tess II"))
    Phone.objects.filter(pk=version.phone_id).update(stage="applied")
    assert find(path) is None


def test_many_are_written_as_each_would_be_alone(version):
    notify = enqueue(version, NotifyOrigin.AUTOMATIC, timezone.now() + timedelta(minutes=1))
    inventory.explain(version.phone_id, "It did not answer.")
    before, events = Download.objects.count(), LiveEvent.objects.count()
    at = timezone.now() + timedelta(seconds=3)
    repeats.record([one(version), one(version, status=304, at=at, host="10.0.0.99")])
    new, older = Download.objects.all()[:2]
    assert Download.objects.count() == before + 2
    assert (older.status, older.source_host, older.user_agent) == (200, cast.HOST, AGENT)
    assert (new.status, new.source_host, new.at, new.path_kind, new.counts) == (304, "10.0.0.99", at, "steady", True)
    after = cast.now(version)
    assert after.steady_at == at and after.phone.steady_host == "10.0.0.99" and after.phone.stage == "applied"
    assert after.phone.stage_reason == ""
    assert Notify.objects.get(pk=notify.pk).state == "not_needed"
    told = list(LiveEvent.objects.order_by("-id").values_list("text", flat=True)[: LiveEvent.objects.count() - events])
    assert [text for text in told if text.startswith(downloads.STILL_APPLIED)] == [
        f"{downloads.STILL_APPLIED} It asked from 10.0.0.99, and was heard at {cast.HOST}: it has moved, or a NAT or "
        "proxy is between."
    ], "one word, however often it came"


def test_what_was_asked_for_after_the_phone_came_is_still_owed(version):
    """A repeat is written up to a second later: somebody may have pressed "Notify again" meanwhile."""
    came = one(version)
    asked = enqueue(version, NotifyOrigin.PERSON, timezone.now() + timedelta(minutes=1))
    repeats.record([came])
    assert Notify.objects.get(pk=asked.pk).state == "waiting"
    repeats.record([one(version)])
    assert Notify.objects.get(pk=asked.pk).state == "not_needed"


def test_who_repeats_on_and_on_does_not_fill_the_disk(version):
    repeats.record([one(version)] * (downloads.REPEATS + 30))
    repeats.record([one(version)])
    assert Download.objects.count() == downloads.REPEATS


def test_a_phone_that_was_found_without_its_configuration_meanwhile_has_it_after_all(version):
    ConfigFile.objects.filter(pk=version.pk).update(fetched_at=None, applied_at=None)
    Phone.objects.filter(pk=version.phone_id).update(stage="assigned")
    repeats.record([one(version)])
    after = cast.now(version)
    assert after.fetched_at is not None and after.phone.stage == "fetched", "as if it had come a moment later"


def test_what_was_forgotten_or_saved_anew_meanwhile_proves_nothing(version):
    newer = cast.save(version.phone, cast.draft(display_name="Tess II")).config_file
    repeats.record([one(version)])
    assert cast.now(version).steady_at == version.steady_at and cast.now(newer).fetched_at is None
    gone = one(version)
    Phone.objects.filter(pk=version.phone_id).delete()
    repeats.record([gone])
    assert not Download.objects.exists()


def test_what_was_written_before_the_disk_was_full_is_not_written_twice(version, monkeypatch):
    monkeypatch.setattr(repeats, "PHONES_AT_ONCE", 1)
    other = cast.assigned(cast.OTHER_MAC, "10.0.0.77")
    gone = [one(version), one(version, phone_id=other.phone_id, file_id=other.pk)]
    real, before = repeats._record, Download.objects.filter(phone=version.phone_id).count()

    def full(by_phone: dict) -> list:
        if other.phone_id in by_phone:
            raise DatabaseError("the disk is full")
        return real(by_phone)

    monkeypatch.setattr(repeats, "_record", full)
    with pytest.raises(DatabaseError):
        repeats.record(gone)
    assert [row.phone_id for row in gone] == [other.phone_id]
    assert Download.objects.filter(phone=version.phone_id).count() == before + 1


def test_a_row_that_cannot_be_written_takes_no_other_with_it(version, monkeypatch):
    other = cast.assigned(cast.OTHER_MAC, "10.0.0.77")
    gone = [one(version), one(version, phone_id=other.phone_id, file_id=other.pk)]
    real, before = repeats._record, Download.objects.filter(phone=version.phone_id).count()

    def broken(by_phone: dict) -> list:
        if other.phone_id in by_phone:
            raise DataError("no such character")
        return real(by_phone)

    monkeypatch.setattr(repeats, "_record", broken)
    repeats.record(gone)
    assert gone == []
    assert Download.objects.filter(phone=version.phone_id).count() == before + 1


def test_what_is_to_be_judged_as_always_is_kept_while_the_database_is_away(version, monkeypatch):
    ConfigFile.objects.filter(pk=version.pk).update(fetched_at=None, applied_at=None)
    Phone.objects.filter(pk=version.phone_id).update(stage="assigned")
    gone = [one(version)]
    with monkeypatch.context() as away, pytest.raises(OperationalError):
        away.setattr(downloads, "record", Mock(side_effect=OperationalError))
        repeats.record(gone)
    repeats.record(gone)
    assert gone == [] and cast.now(version).fetched_at is not None


def test_what_was_answered_is_written_however_much_is_held(version, monkeypatch):
    """It is counted as a download; that there was no room any more when it was taken must not make it none."""
    monkeypatch.setattr(again, "HELD_AT_MOST", 1)
    before = Download.objects.count()
    found = find(cast.steady_path(version))

    async def two_at_once() -> None:
        answers = [again.answer(request(version), found, cast.HOST) for _ in range(2)]
        assert again.may_be(request(version))
        for given in answers:
            given.taken()
        assert not again.may_be(request(version))
        await delivery.settled()

    async_to_sync(two_at_once)()
    assert Download.objects.count() == before + 2


def test_what_is_being_written_has_its_room_until_it_is_written(version, monkeypatch):
    """Else it has none when the database turns out to be away, and is lost without a word."""
    monkeypatch.setattr(again, "HELD_AT_MOST", 1)
    again._held.append(one(version))

    def away(_gone_out: list) -> None:
        assert not again.note(one(version))
        raise OperationalError("away")

    with monkeypatch.context() as patched:
        patched.setattr(repeats, "record", away)
        again.flush()
    assert again.flush() == 1


@pytest.mark.parametrize("error", [DatabaseError, InterfaceError])
def test_what_cannot_be_written_now_is_written_later(version, monkeypatch, error):
    def busy(_gone_out: list) -> None:
        raise error("the disk is full")

    before = Download.objects.count()
    again._held.append(one(version))
    with monkeypatch.context() as patched:
        patched.setattr(repeats, "record", busy)
        assert again.flush() == 0
    assert again.flush() == 1 and again.flush() == 0
    assert Download.objects.count() == before + 1


def request(version: ConfigFile, method: str = "GET", **headers: str) -> Request:
    path = cast.steady_path(version)
    return Request(method, path_of(path.encode()), headers, cast.HOST, cast.OURS, target=path)


@pytest.fixture
def committed(transactional_db) -> Iterator[ConfigFile]:
    made = cast.assigned()
    cast.delivered(made)
    cast.download(cast.first_path(made))
    cast.download(cast.steady_path(made))
    yield cast.now(made)
    again.forget()


def test_the_answer_is_there_at_once_on_sqlite_and_is_written_when_it_was_taken(committed):
    before = Download.objects.count()

    async def come(**more: str) -> object:
        return app.respond(request(committed, **more))

    given = async_to_sync(come)()
    if connection.vendor != "sqlite":  # which is asked in a thread

        async def wait() -> object:
            return await given

        given = async_to_sync(wait)()
    assert isinstance(given, Answer) and given.body == committed.content and given.taken is not None
    assert not again._held, "nobody took it yet"

    async def take() -> None:
        given.taken()
        assert len(again._held) == 1
        await delivery.settled()

    async_to_sync(take)()
    assert Download.objects.count() == before + 1
    for more in ({"method": "HEAD"}, {"range": "bytes=0-9"}, {"if-none-match": "x"}):
        later = async_to_sync(come)(**more)
        assert asyncio.iscoroutine(later), "needs a closer look"
        later.close()
