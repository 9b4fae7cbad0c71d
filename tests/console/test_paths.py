"""Release, new paths and their end as people reach them: pages, roles, and the command line."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from devices.models import LiveEvent, Phone
from devices.trust import Verdict
from gspnp.console import meanwhile, reasons
from provisioning import attempts, outbox, rotation, stuck, stuck_words
from provisioning.layers import store
from provisioning.models import Release
from provisioning.release import windows
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db]
PLAIN = f"/cfg{cast.MAC}.xml"


@pytest.fixture
def version(clock):
    return cast.applied(cast.assigned())


def url(action: str = "release", mac: str = cast.MAC) -> str:
    return reverse("console:release", args=[mac]) if action == "release" else reverse("console:act", args=[mac, action])


def page(client) -> str:
    return client.get(reverse("console:phone", args=[cast.MAC])).content.decode()


def test_a_technician_releases_and_closes(console, version):
    answer = console.post(url(), {"host": " 10.0.0.20 ", "minutes": "5"})
    assert answer.status_code == 200 and "for 5 minutes" in answer.json()["message"]
    assert "switch the phone off and on" in answer.json()["message"]
    shown = page(console)
    assert "Now switch the phone off and on" in shown
    assert "Released to 10.0.0.20" in shown and 'data-moment="left"' in shown and "By tess" in shown
    listed = console.get(reverse("console:phones")).content.decode()
    assert 'data-testid="released"' in listed and "released by tess" in listed
    assert console.post(url("close-release")).status_code == 200
    assert cast.ask(PLAIN).status == 404
    assert "any more" in console.post(url("close-release")).json()["message"]
    assert 'data-testid="released"' not in console.get(reverse("console:phones")).content.decode()
    texts = list(LiveEvent.objects.filter(kind="release").values_list("text", flat=True))
    assert texts[-1] == "Release to 10.0.0.20 closed by tess."


@pytest.mark.parametrize(
    "typed", [{"host": ""}, {"host": "<b>"}, {"host": "8.8.8.8"}, {"minutes": "61"}, {"minutes": "x"}]
)
def test_what_is_no_address_or_too_long_is_refused_in_words(console, version, typed):
    answer = console.post(url(), {"host": cast.HOST, "minutes": "10"} | typed)
    assert answer.status_code == 409 and answer.json()["message"]
    assert not Release.objects.exists()


@pytest.mark.parametrize(
    "action", ["release", "close-release", "new-paths", "replace-paths", "revoke-paths", "key-again"]
)
def test_who_may_only_look_does_nothing(client, console, viewer, version, action):
    from tests.console.conftest import signed_in

    before = rotation.outbox.current_file(version.phone_id).pk
    typed = {"host": cast.HOST, "minutes": "10"}
    looking = signed_in(viewer)
    assert looking.post(url(action), typed).status_code == 403
    assert client.post(url(action), typed).status_code == 302
    assert console.get(url(action)).status_code == 405
    assert not Release.objects.exists() and rotation.outbox.current_file(version.phone_id).pk == before
    shown = page(looking)
    assert "data-release" not in shown and "new-paths" not in shown and "Ways to its file" in shown


def asked_from(host: str) -> None:
    attempts._held.clear()
    cast.ask(PLAIN, host=host)
    attempts.flush()


def test_who_asks_for_a_plain_name_does_not_come_to_be_the_address_of_the_form(console, version):
    asked_from(cast.STRANGER)
    shown = page(console)
    assert f'value="{cast.HOST}"' in shown and f'value="{cast.STRANGER}"' not in shown
    assert f"asked for by its plain name from {cast.STRANGER}" in shown and "Anybody can ask" in shown


def test_the_address_that_asked_is_proposed_where_the_neighbour_table_shows_the_phone(console, version):
    asked_from(cast.STRANGER)
    with cast.neighbours_say(Verdict.MATCH):
        shown = page(console)
    assert f'value="{cast.STRANGER}"' in shown and "Look twice" not in shown and "Anybody can ask" not in shown


def test_or_where_the_phone_was_heard_nowhere_and_then_it_is_looked_at_twice(console, version):
    Phone.objects.update(source_host=None)
    asked_from(cast.STRANGER)
    shown = page(console)
    assert f'value="{cast.STRANGER}"' in shown and "Look twice" in shown


def test_what_asked_for_its_file_and_got_it_asks_no_more(console, version, clock):
    asked_from(cast.HOST)
    clock.forward(seconds=30)
    assert 'data-testid="asked"' in page(console)
    assert console.post(url(), {"host": cast.HOST, "minutes": "5"}).status_code == 200
    assert cast.ask(PLAIN).status == 200
    assert 'data-testid="asked"' not in page(console)


def test_the_timeline_says_new_paths_and_an_open_drawer_whose_they_are(console, version):
    first = LiveEvent.objects.latest("id").pk
    assert console.post(url("new-paths"), {"host": cast.HOST}).status_code == 200
    texts = list(LiveEvent.objects.filter(pk__gt=first).values_list("text", flat=True))
    assert "New paths by tess." in texts and "Assigned by tess." not in texts
    assert meanwhile.saved_by(Phone.objects.get(), first) == "tess"


def test_new_paths_then_the_old_one_is_revoked(console, version):
    assert "revoke-paths" not in page(console)
    assert console.post(url("new-paths"), {"host": cast.HOST}).status_code == 200
    assert "1 path of an earlier version" in page(console)
    assert console.post(url("revoke-paths")).status_code == 200
    assert cast.ask(cast.steady_path(version)).status == 404
    assert "revoke-paths" not in page(console)


def test_replaced_at_once_and_only_where_the_person_saw_it(console, version):
    assert console.post(url("replace-paths"), {"host": cast.STRANGER}).status_code == 409
    assert cast.ask(cast.steady_path(version)).status == 200
    assert console.post(url("replace-paths"), {"host": cast.HOST}).status_code == 200
    assert cast.ask(cast.steady_path(version)).status == 404


class TestTheKeyOfAnEncryptedFile:
    @pytest.fixture
    def version(self, clock):
        store.save(store.find("site", ""), {"file_format": "encrypted"}, by="tess")
        version = cast.assigned()
        cast.delivered(version)
        for path in (
            cast.first_path(version),
            cast.first_path(version, f"cfg{cast.MAC}.xml"),
            cast.steady_path(version),
        ):
            assert cast.ask(path).status == 200
        return cast.now(version)

    def gives(self, version) -> bool:
        outbox.notify_again(version.phone_id, "tess", cast.HOST)
        cast.delivered(version)
        return cast.ask(cast.first_path(version)).status == 200

    def test_a_technician_gives_it_again_where_the_phone_was_seen(self, console, version):
        shown = page(console)
        assert 'data-testid="key-known"' in shown and shown.count('data-do="key-again"') == 1
        assert console.post(url("key-again"), {"host": cast.STRANGER}).status_code == 409
        assert not self.gives(version)
        answer = console.post(url("key-again"), {"host": cast.HOST})
        assert answer.status_code == 200 and "the key once more" in answer.json()["message"]
        cast.delivered(version)
        assert cast.ask(cast.first_path(version)).status == 200
        assert "key-again" not in page(console), "it may have it now"
        assert "asked for by tess" in page(console)

    def test_the_button_stands_beside_the_words_of_a_phone_that_may_have_lost_it(self, console, version, clock):
        clock.forward(hours=1)
        cast.restarted(version)
        clock.forward(60)
        cast.delivered(version)
        cast.ask(cast.first_path(version, f"cfg{cast.MAC}.xml"))
        clock.forward(minutes=6)
        stuck.explain_all()
        shown = page(console)
        assert stuck_words.LOST_KEY in shown and 'data-key="key-again-here"' in shown
        assert reasons.kind_of(cast.reason(version)).key == "key"

    def test_a_release_gives_it_only_with_a_tick(self, console, version):
        assert 'name="with_key"' in page(console)
        assert console.post(url(), {"host": cast.HOST, "minutes": "5"}).status_code == 200
        assert cast.ask(f"/cfg{cast.MAC}").status == 404
        assert console.post(url(), {"host": cast.HOST, "minutes": "5", "with_key": "yes"}).status_code == 200
        assert "The key of its encrypted file leaves with it." in page(console)
        assert cast.ask(f"/cfg{cast.MAC}").status == 200

    def test_on_the_command_line(self, version, capsys):
        with pytest.raises(CommandError, match="by itself"):
            call_command("paths", cast.MAC, "--key-again", "--new")
        call_command("paths", cast.MAC, "--key-again")
        assert "its key leaves once more" in capsys.readouterr().out
        assert cast.now(version).key_known_at is None
        call_command("release", cast.MAC, "--key")
        assert Release.objects.get().with_key

    def test_or_says_why_not(self, version):
        store.save(store.find("site", ""), {"file_format": "xml"}, by="tess")
        cast.save(version.phone)
        with pytest.raises(CommandError, match="not encrypted"):
            call_command("paths", cast.MAC, "--key-again")


def test_a_file_that_is_not_encrypted_has_no_key_to_give(console, version):
    shown = page(console)
    assert "key-again" not in shown and 'name="with_key"' not in shown
    answer = console.post(url("key-again"), {"host": cast.HOST})
    assert answer.status_code == 409 and "not encrypted" in answer.json()["message"]


def test_no_path_stands_in_a_page(console, version):
    console.post(url(), {"host": cast.HOST})
    console.post(url("new-paths"), {"host": cast.HOST})
    current = rotation.outbox.current_file(version.phone_id)
    shown = page(console)
    for one in (version, current):
        assert one.first_secret not in shown and one.steady_secret not in shown


class TestCommands:
    def test_release_list_and_close(self, version, capsys):
        call_command("release")
        call_command("release", "00-0b-82-27-3b-89", minutes=20)
        call_command("release")
        call_command("release", json=True)
        call_command("release", cast.MAC, close=True)
        call_command("release", cast.MAC, close=True)
        said = capsys.readouterr().out
        assert said.startswith("Nothing is released.") and "from 10.0.0.20, until 12:20:00 UTC" in said
        assert json.loads(said[said.index("[") : said.index("]") + 1])[0]["mac"] == cast.MAC
        assert said.endswith("closed.\n00:0B:82:27:3B:89: nothing was open.\n")

    @pytest.mark.parametrize(
        "options", [{"address": "8.8.8.8"}, {"address": ""}, {"minutes": 61}, {"minutes": 0}, {"address": "phone"}]
    )
    def test_what_cannot_be_released_is_an_error(self, version, options):
        with pytest.raises(CommandError):
            call_command("release", cast.MAC, **options)
        with pytest.raises(CommandError):
            call_command("release", close=True)

    def test_paths(self, version, capsys):
        call_command("paths", cast.MAC, new=True)
        call_command("paths", cast.MAC)
        call_command("paths", cast.MAC, revoke=True)
        call_command("paths", cast.MAC, new=True, revoke=True)
        said = capsys.readouterr().out
        assert "the old one works" in said and "1 of earlier versions" in said and "1 revoked" in said
        assert "the old ones lead nowhere" in said and version.steady_secret not in said
        assert windows.open_one(version.phone_id) is None
        cast.seen(cast.OTHER_MAC)
        with pytest.raises(CommandError, match="no file"):
            call_command("paths", cast.OTHER_MAC, new=True)
