"""What phones tried at the door in vain: seen, understood afterwards, and said in the words about a stuck phone."""

import pytest

from devices import inventory
from devices.inventory import REASON_CHARS
from devices.models import LiveEvent, Phone
from provisioning import attempts, stuck, stuck_words
from provisioning.models import Attempt, ConfigFile
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db, pytest.mark.usefixtures("clock")]


@pytest.fixture(autouse=True)
def nothing_held():
    attempts._held.clear()
    yield
    attempts._held.clear()


@pytest.fixture
def version():
    return cast.assigned()


def seen() -> dict[str, tuple]:
    attempts.flush()
    return {row.kind: (row.name, row.source_host, row.count) for row in Attempt.objects.all()}


def said(version, clock, minutes: float = 6) -> str:
    """What is said of the phone after that time."""
    attempts.flush()
    clock.forward(minutes=minutes)
    stuck.explain_all()
    words = cast.reason(version)
    assert len(words) < REASON_CHARS
    for secret in (version.first_secret, version.steady_secret):
        assert secret not in words and secret not in str(list(Attempt.objects.values()))
    return words


# --- how a request comes to nothing, through the real door: kind, then what the words must hold -----------------------
def plain(version):
    assert cast.ask(f"/cfg{cast.MAC.lower()}.xml").status == 404


def head(version):
    assert cast.ask(cast.first_path(version), "HEAD").status == 200


def part(version):
    assert cast.ask(cast.first_path(version), range="bytes=0-9").status == 200


def broken(version):
    cast.ask(cast.first_path(version), hang_up_after=1)


def elsewhere(version):
    assert cast.ask(cast.first_path(version), host=cast.STRANGER).status == 404


def name(version):
    assert cast.ask(cast.steady_path(version, f"cfg{cast.MAC}.bin")).status == 404


WAYS = [
    (plain, "plain", "by its plain name"),
    (head, "head", "the headers of cfg"),
    (part, "part", "a part of it only"),
    (broken, "broken", "broke off before the end of its"),
    (elsewhere, "elsewhere", f"{cast.STRANGER} asked for it, and our NOTIFY went to {cast.HOST}"),
    (name, "name", "no such name"),
]


@pytest.mark.parametrize(("way", "kind", "words"), WAYS, ids=[kind for _, kind, _ in WAYS])
def test_a_notified_phone_that_does_something_else_hears_what_it_did(version, clock, way, kind, words):
    cast.delivered(version)
    way(version)
    assert list(seen()) == [kind]
    told = said(version, clock)
    assert told.startswith(stuck_words.NOT_FETCHED) and words in told
    assert "switch" in told.lower() or "restart" in told or "Notify again" in told


def test_one_that_asks_for_nothing_is_told_from_one_that_asks_in_vain(version, clock):
    cast.delivered(version)
    told = said(version, clock)
    assert "asked this server for nothing" in told and f"http://{cast.OURS}:5481" in told


def test_one_that_does_not_answer_any_more_is_off(version, clock):
    cast.delivered(version)
    Phone.objects.update(online=False)
    assert "it is off, or its cable is out" in said(version, clock)
    Phone.objects.update(online=True)  # the cable is in again
    assert "it may not reach" in said(version, clock, 0)
    assert stuck.explain_all() == 0
    Phone.objects.update(online=False)
    assert "it is off, or its cable is out" in said(version, clock, 0)


def test_what_it_does_after_the_words_were_written_changes_them_once(version, clock):
    cast.delivered(version)
    assert "asked this server for nothing" in said(version, clock)
    plain(version)
    assert "by its plain name" in said(version, clock, minutes=0.1)
    plain(version)
    said(version, clock, minutes=0.1)
    assert LiveEvent.objects.filter(kind="reason").count() == 2
    cast.download(cast.first_path(version))
    assert cast.reason(version) == ""


def test_an_old_path_after_a_new_save_is_said(version, clock):
    cast.applied(version)
    newer = cast.save(version.phone, cast.draft(display_name="Otto")).config_file
    cast.fetched(newer)
    cast.download(cast.steady_path(newer), counts=False)
    ConfigFile.objects.filter(pk=version.pk).update(retired_at=clock.at)
    clock.forward(10)
    assert cast.ask(cast.steady_path(version)).status == 404
    assert "old" in seen()
    told = said(newer, clock)
    assert told.startswith(stuck_words.NOT_BACK) and "that of an earlier version" in told


@pytest.mark.parametrize(("way", "words"), [(plain, "by its plain name"), (name, "no such name")])
def test_a_phone_that_has_its_file_and_asks_otherwise_hears_that(version, clock, way, words):
    cast.fetched(version)
    clock.forward(20)
    cast.seen()
    way(version)
    told = said(version, clock, minutes=1.1)
    assert told.startswith(stuck_words.WITHOUT_FILE) and words in told


def test_what_it_did_before_it_had_its_file_is_over(version, clock):
    cast.delivered(version)
    broken(version)
    seen()
    clock.forward(5)
    cast.download(cast.first_path(version))
    told = said(version, clock)
    assert told.startswith(stuck_words.NOT_BACK) and "broke off" not in told


def test_a_phone_that_was_switched_off_and_on_gets_the_words_for_that(version, clock):
    cast.fetched(version)
    assert said(version, clock).startswith(stuck_words.NOT_BACK + " for it")
    cast.seen()
    told = said(version, clock, minutes=1.1)
    assert told.startswith(stuck_words.WITHOUT_FILE)
    clock.forward(minutes=1)
    assert stuck.explain_all() == 0


def test_a_stranger_who_asks_by_its_mac_is_not_the_phone(version, clock):
    cast.delivered(version)
    assert cast.ask(f"/cfg{cast.MAC}", host=cast.STRANGER).status == 404
    assert seen() == {"plain": (f"cfg{cast.MAC}", cast.STRANGER, 1)}
    assert "by its plain name" not in said(version, clock)


def test_what_happened_before_its_notify_says_nothing(version, clock):
    plain(version)
    seen()
    clock.forward(5)
    cast.delivered(version)
    assert "asked this server for nothing" in said(version, clock)


def test_repeats_are_one_row_and_what_belongs_to_no_phone_is_none(version):
    cast.sent(version)
    for _ in range(3):
        plain(version)
    cast.ask(f"/cfg{cast.OTHER_MAC}")
    cast.ask("/p/AAAAAAAAAAAAAAAAAAAAAA/cfg" + cast.MAC)
    cast.ask("/cfggxp1628.xml")
    assert seen() == {"plain": (f"cfg{cast.MAC.lower()}.xml", cast.HOST, 3)}


def test_any_other_name_below_its_path_is_noted_without_the_secret(version, clock):
    cast.delivered(version)
    secret = version.first_secret
    for path in (f"/p/{secret}", f"/p/{secret}/{secret}", f"/p/{secret}/cfg{cast.MAC}/{secret}"):
        assert cast.ask(path).status == 404
    assert seen() == {"name": (attempts.NO_FILE_NAME, cast.HOST, 3)}
    assert cast.ask(f"/p/{secret}/config.txt").status == 404
    assert "it asked for config.txt" in said(version, clock)
    cast.ask("/p/AAAAAAAAAAAAAAAAAAAAAA/config.txt")
    attempts.flush()
    assert Attempt.objects.get().count == 4


def test_a_flood_of_names_is_bounded(version):
    for host in (cast.HOST, cast.STRANGER, "10.0.0.98"):
        for number in range(attempts.HELD_PER_SOURCE + 10):
            cast.ask(f"/cfg{number:012x}", host=host)
    assert len(attempts._held) == attempts.HELD_AT_MOST


def test_it_goes_with_the_phone(version):
    cast.sent(version)
    plain(version)
    assert seen()
    inventory.forget(version.phone_id, "tess")
    assert not Attempt.objects.exists()


def test_a_phone_that_is_another_model_now_says_so_until_it_is_not(version, clock):
    cast.applied(version)
    cast.seen(model="GRP2612")
    assert "a GRP2612, for which no configuration can be made" in said(version, clock, 0)
    cast.seen(model="GXP1628")
    assert said(version, clock, 0) == ""


@pytest.mark.parametrize(
    ("status", "words"),
    [(489, "plug and play is off"), (403, "its own SIP server"), (481, "neither its own address"),
     (501, "a SIP gateway"), (415, "upgrade its firmware"), (503, "busy"), (302, "points to another address"),
     (603, "Notify again")],
)  # fmt: skip
def test_every_refusal_is_named_and_says_what_to_do(version, status, words):
    cast.answered(cast.sent(version), status, "x" * 120)
    told = cast.reason(version)
    assert f"({status} xxx" in told and words in told and len(told) <= REASON_CHARS


def test_a_phone_that_took_the_key_and_not_the_file_hears_that(settings, clock):
    settings.GSPNP_FILE_FORMAT = "encrypted"
    version = cast.assigned()
    cast.delivered(version)
    assert cast.ask(cast.first_path(version)).status == 200
    assert "it took the key of it" in said(version, clock)


def test_a_phone_that_answers_options_and_not_our_notify_is_not_called_off(version):
    first = cast.sent(version)
    Phone.objects.update(online=True)
    cast.settling.unanswered(first.pk)
    assert "ignores one that comes long after its start. Switch the phone off and on." in cast.reason(version)
    assert "may be off" not in cast.reason(version)


def test_a_download_from_another_address_says_so(version):
    cast.fetched(version)
    cast.download(cast.steady_path(version), host=cast.STRANGER)
    told = LiveEvent.objects.order_by("id").last().text
    assert told.startswith("Applied: ") and f"asked from {cast.STRANGER}, and was heard at {cast.HOST}" in told
    cast.download(cast.steady_path(version))
    assert "asked from" not in LiveEvent.objects.order_by("id").last().text
