"""The proof rules: `fetched` and `applied` are believed only for what nothing but the phone could have done.

Source: design, "Serving". Requests go through the real ASGI application of the phones' door.
"""

import asyncio
from itertools import count, repeat

import pytest
from asgiref.sync import async_to_sync

from devices import inventory
from devices.models import LiveEvent, Phone
from provisioning import attempts, downloads, paths
from provisioning.door import delivery
from provisioning.door.http import Request, Withdrawn
from provisioning.models import Attempt, AttemptKind, Download, Notify, NotifyOrigin
from provisioning.outbox import enqueue
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]


@pytest.fixture
def version():
    """A version whose NOTIFY the phone answered with 200."""
    version = cast.assigned()
    cast.delivered(version)
    return version


@pytest.fixture
def second_version(version):
    """The phone applied version 1; version 2 was saved and notified, not fetched."""
    cast.download(cast.first_path(version))
    cast.download(cast.steady_path(version))
    newer = cast.save(version.phone, cast.draft(display_name="Tess II")).config_file
    cast.delivered(newer)
    return newer


def etag(version) -> str:
    return f'"{version.etag}"'


def test_the_whole_way_is_fetched_by_the_first_path_and_applied_by_the_steady_one(version):
    assert cast.ask(cast.first_path(version)).body == version.content
    assert cast.proofs(version) == ("fetched", True, False, 1)
    assert cast.ask(cast.steady_path(version)).body == version.content
    assert cast.proofs(version) == ("applied", True, True, 2)


def test_two_downloads_by_the_first_path_stay_fetched(version):
    for name in (f"cfg{cast.MAC}", f"cfg{cast.MAC}.xml", f"cfg{cast.MAC.lower()}"):
        assert cast.ask(cast.first_path(version, name)).status == 200
    assert cast.proofs(version) == ("fetched", True, False, 3)


def test_head_proves_nothing_by_either_path(version):
    for path in (cast.first_path(version), cast.steady_path(version)):
        answer = cast.ask(path, method="HEAD")
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-length"] == str(len(version.content))
        assert answer.headers["etag"] == etag(version)
    assert cast.proofs(version) == ("notified", False, False, 0)


def test_a_range_request_proves_nothing(version):
    for asked in ("bytes=0-", "bytes=0-10", "bytes=-1"):
        cast.ask(cast.first_path(version), range=asked)
        assert cast.proofs(version)[:3] == ("notified", False, False)
    cast.download(cast.first_path(version))
    cast.ask(cast.steady_path(version), range="bytes=0-")
    assert cast.proofs(version)[:3] == ("fetched", True, False)
    assert list(Download.objects.filter(counts=True).values_list("path_kind", flat=True)) == ["first"]


@pytest.mark.parametrize("fetched_before", [False, True], ids=["first path", "steady path"])
def test_a_client_that_hangs_up_before_the_end_proves_nothing(version, fetched_before):
    path = cast.first_path(version)
    if fetched_before:
        cast.download(path)
        path = cast.steady_path(version)
    before = cast.proofs(version)
    answer = cast.ask(path, hang_up_after=1)
    assert 0 < len(answer.body) < len(version.content)
    assert cast.proofs(version) == before


def body_of(version, path, unarrived_bytes=lambda: 0):
    offer = downloads.find(paths.read(path), cast.HOST)
    request = Request("GET", path, {}, cast.HOST, unarrived_bytes=unarrived_bytes)
    return delivery.pieces_of(request, offer, True, cast.HOST)


@pytest.mark.parametrize("left", ["nothing comes", "it never ends"])
def test_what_does_not_arrive_proves_nothing(version, monkeypatch, left):
    """Its power is gone, or its network: it acknowledges nothing, and closes nothing."""
    monkeypatch.setattr(delivery, "SILENT_SECONDS" if left == "nothing comes" else "ARRIVAL_SECONDS", 0.05)
    before = cast.proofs(version)
    unarrived = repeat(9) if left == "nothing comes" else count(10_000, -1)

    async def never(body):
        await anext(body)
        with pytest.raises(Withdrawn):
            await anext(body)

    async_to_sync(never)(body_of(version, cast.first_path(version), lambda: next(unarrived)))
    assert cast.proofs(version) == before
    attempts.flush()
    assert Attempt.objects.get().kind == AttemptKind.BROKEN


def test_what_arrives_late_and_little_by_little_proves_as_much(version, monkeypatch):
    monkeypatch.setattr(delivery, "SILENT_SECONDS", 0.03)  # the pauses between two looks add up to far more
    unarrived = count(9, -1)
    body = body_of(version, cast.first_path(version), lambda: max(0, next(unarrived)))

    async def whole():
        return b"".join([piece async for piece in body])

    assert async_to_sync(whole)() == bytes(version.content)
    assert cast.proofs(version)[0] == "fetched"


def test_the_stage_has_moved_before_the_last_bytes_leave(version):
    async def all_but_the_last(body):
        pieces = [await anext(body)]
        assert b"".join(pieces) != version.content
        last = await anext(body)
        await body.aclose()
        return pieces[0] + last

    held_until = async_to_sync(all_but_the_last)(body_of(version, cast.first_path(version)))
    assert held_until == version.content
    assert cast.stage(version) == "fetched"


def test_a_body_that_is_closed_before_its_last_bytes_records_nothing(version):
    async def one_piece_and_close(body):
        await anext(body)
        await body.aclose()

    async_to_sync(one_piece_and_close)(body_of(version, cast.first_path(version)))
    assert cast.proofs(version) == ("notified", False, False, 0)


def test_a_body_that_is_cancelled_while_it_waits_records_nothing(version):
    async def cancelled(body):
        await anext(body)
        waiting = asyncio.ensure_future(anext(body))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    async_to_sync(cancelled)(body_of(version, cast.first_path(version)))
    assert cast.proofs(version) == ("notified", False, False, 0)


@pytest.mark.parametrize(
    "name",
    ["cfg.xml", "cfggxp1628.xml", f"cfg{cast.MAC}.bin", f"cfg{cast.OTHER_MAC}", f"cfg{cast.OTHER_MAC}.xml",
     f"{cast.MAC}.xml", f"cfg{cast.MAC}.XML.gz", f"x/cfg{cast.MAC}.xml", "", "cfg", f"cfg{cast.MAC}.xml/"],
)  # fmt: skip
def test_other_names_are_refused_below_both_secrets(version, name):
    cast.download(cast.first_path(version))
    assert cast.ask(cast.first_path(version, name)).status == 404
    assert cast.ask(cast.steady_path(version, name)).status == 404
    assert cast.proofs(version) == ("fetched", True, False, 1)


def test_the_steady_path_has_no_file_without_suffix(version):
    cast.download(cast.first_path(version))
    for mac in (cast.MAC, cast.MAC.lower()):
        assert cast.ask(cast.steady_path(version, f"cfg{mac}")).status == 404
    assert cast.stage(version) == "fetched"


def test_the_steady_path_before_any_fetch_counts_as_a_fetch_only(version):
    assert cast.ask(cast.steady_path(version)).status == 200
    assert cast.proofs(version) == ("fetched", True, False, 1)
    assert cast.ask(cast.steady_path(version)).status == 200
    assert cast.proofs(version) == ("applied", True, True, 2)


def test_a_matching_etag_by_the_steady_path_after_the_fetch_is_applied(version):
    cast.download(cast.first_path(version))
    answer = cast.ask(cast.steady_path(version), if_none_match=f'"other", {etag(version)}')
    assert (answer.status, answer.body) == (304, b"")
    assert cast.proofs(version) == ("applied", True, True, 2)


def test_a_matching_etag_by_the_first_path_proves_nothing(version):
    assert cast.ask(cast.first_path(version), if_none_match=etag(version)).status == 304
    assert cast.proofs(version)[:3] == ("notified", False, False)
    cast.download(cast.first_path(version))
    assert cast.ask(cast.first_path(version), if_none_match=etag(version)).status == 304
    assert cast.proofs(version)[:3] == ("fetched", True, False)


@pytest.mark.parametrize("tag", ['"0123456789abcdef0123456789abcdef"', "*", '""', "no-quotes"])
def test_another_etag_gets_the_whole_file(version, tag):
    cast.download(cast.first_path(version))
    answer = cast.ask(cast.steady_path(version), if_none_match=tag)
    assert (answer.status, answer.body) == (200, version.content)


def test_a_304_before_any_complete_fetch_changes_nothing_at_all(version, clock):
    """A 304 sends no file; before `fetched` it must not pass for a steady download in any way."""
    notify = enqueue(version, NotifyOrigin.PERSON, clock.at)
    inventory.explain(version.phone_id, "It stands still.")
    assert cast.ask(cast.steady_path(version), if_none_match=etag(version)).status == 304
    after = cast.now(version)
    assert (after.fetched_at, after.applied_at, after.steady_at) == (None, None, None)
    assert after.phone.stage_reason == "It stands still."
    assert after.phone.steady_host is None
    assert Notify.objects.get(pk=notify.pk).state == "waiting"
    assert not LiveEvent.objects.filter(text__contains="still applied").exists()


def test_an_old_steady_path_serves_the_current_bytes_and_never_proves_applied(version, second_version):
    answer = cast.ask(cast.steady_path(version))
    assert answer.body == second_version.content
    assert cast.proofs(second_version)[:3] == ("fetched", True, False)
    assert cast.ask(cast.steady_path(version), if_none_match=etag(second_version)).status == 304
    cast.ask(cast.steady_path(version))
    assert cast.proofs(second_version)[:3] == ("fetched", True, False)


def test_an_old_steady_path_ends_with_the_new_ones_first_complete_download(version, second_version):
    cast.download(cast.first_path(second_version))
    assert cast.ask(cast.steady_path(version)).status == 200
    cast.ask(cast.steady_path(second_version))
    assert cast.stage(second_version) == "applied"
    assert cast.ask(cast.steady_path(version)).status == 404


def test_an_old_first_path_is_shut_by_a_new_save(version, second_version):
    assert cast.ask(cast.first_path(version)).status == 404


def test_the_steady_path_of_a_version_that_was_never_fetched_is_shut_by_a_new_save(version):
    newer = cast.save(version.phone, cast.draft(display_name="Tess II")).config_file
    assert cast.ask(cast.steady_path(version)).status == 404
    assert cast.proofs(newer) == ("assigned", False, False, 0)


@pytest.mark.parametrize("path", [cast.first_path, cast.steady_path], ids=["first", "steady"])
def test_a_version_saved_between_offer_and_end_is_not_proven_by_the_old_bytes(version, path):
    cast.download(cast.first_path(version))
    offer = downloads.find(paths.read(path(version)), cast.HOST)
    newer = cast.save(version.phone, cast.draft(display_name="Tess II")).config_file
    downloads.record(offer, 200, True, cast.HOST, "")
    assert cast.proofs(newer)[:3] == ("assigned", False, False)
    assert not cast.now(version).applied_at


def test_an_ignored_phone_gets_nothing_and_stays_ignored(version):
    cast.download(cast.first_path(version))
    offer = downloads.find(paths.read(cast.steady_path(version)), cast.HOST)
    inventory.ignore(version.phone_id, "tess")
    assert cast.ask(cast.first_path(version)).status == 404
    assert cast.ask(cast.steady_path(version)).status == 404
    downloads.record(offer, 200, True, cast.HOST, "")
    assert cast.stage(version) == "ignored"


def test_a_forgotten_phone_gets_nothing(version):
    inventory.forget(version.phone_id, "tess")
    assert cast.ask(cast.first_path(version)).status == 404
    assert cast.ask(cast.steady_path(version)).status == 404


@pytest.mark.django_db(transaction=True)
def test_a_phone_forgotten_during_its_download_is_no_error(version):
    offer = downloads.find(paths.read(cast.first_path(version)), cast.HOST)
    inventory.forget(version.phone_id, "tess")
    downloads.record(offer, 200, True, cast.HOST, "")
    assert not Phone.objects.exists()
    assert not Download.objects.exists()


def test_another_phones_mac_below_this_ones_secrets_is_refused(version):
    other = cast.assigned(cast.OTHER_MAC, "10.0.0.21")
    cast.delivered(other)
    for secret in (version.first_secret, version.steady_secret):
        for suffix in ("", ".xml"):
            assert cast.ask(f"/p/{secret}/cfg{cast.OTHER_MAC}{suffix}").status == 404
    assert cast.proofs(version) == ("notified", False, False, 0)
    assert cast.proofs(other) == ("notified", False, False, 0)


def test_the_first_path_works_only_where_its_notify_went(version):
    assert cast.ask(cast.first_path(version), host=cast.STRANGER).status == 404
    assert cast.ask(cast.first_path(version)).status == 200


def test_the_first_path_leads_nowhere_before_its_notify_was_sent():
    version = cast.assigned()
    assert cast.ask(cast.first_path(version)).status == 404
    cast.sent(version)
    assert cast.ask(cast.first_path(version)).status == 200


def test_the_first_path_ends_after_a_day_and_the_steady_one_does_not(version, clock):
    clock.forward(hours=24)
    assert cast.ask(cast.first_path(version)).status == 200
    clock.forward(1)
    assert cast.ask(cast.first_path(version)).status == 404
    clock.forward(days=400)
    assert cast.ask(cast.steady_path(version)).status == 200
    assert cast.stage(version) == "applied"


@pytest.mark.parametrize(
    "tail",
    ["cfg{m}/cfg{l}.xml", "cfg{m}.xml/cfg{m}.xml", "CFG{l}.XML", "Cfg{m}/CFG{l}", "cfg{m}/cfg{l}"],
)
def test_letter_case_and_a_file_path_taken_as_a_folder_work_by_the_first_path(version, tail):
    path = f"/p/{version.first_secret}/" + tail.format(m=cast.MAC, l=cast.MAC.lower())
    assert cast.ask(path).body == version.content
    assert cast.stage(version) == "fetched"


def test_a_notify_that_waits_is_dropped_when_the_phone_has_fetched(version, clock):
    notify = enqueue(version, NotifyOrigin.AUTOMATIC, clock.at)
    cast.ask(cast.first_path(version))
    assert Notify.objects.get(pk=notify.pk).state == "not_needed"


@pytest.mark.parametrize("headers", [{}, {"range": "bytes=0-9"}, {"if_none_match": "its own"}])
def test_who_repeats_a_download_on_and_on_does_not_fill_the_disk(version, clock, headers):
    cast.download(cast.first_path(version))
    if not headers.get("range"):
        cast.download(cast.steady_path(version))
    if headers.get("if_none_match"):
        headers = {"if_none_match": etag(version)}
    for _ in range(downloads.REPEATS + 30):
        assert cast.ask(cast.steady_path(version), **headers).status in (200, 304)
    assert Download.objects.count() == downloads.REPEATS
    assert LiveEvent.objects.count() < downloads.REPEATS + 20
    steady_at = cast.now(version).steady_at
    clock.forward(seconds=5)
    cast.ask(cast.steady_path(version))
    assert cast.proofs(version)[:3] == ("applied", True, True), "what it proves counts all the same"
    assert cast.now(version).steady_at != steady_at
    clock.forward(minutes=downloads.REPEATS_MINUTES)
    written = Download.objects.count()
    cast.ask(cast.steady_path(version))
    assert Download.objects.count() == written + 1
