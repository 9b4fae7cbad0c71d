"""What a phone has, what was said over SIP, what came to nothing, and the timeline in parts."""

import html
import re

import pytest

from devices import inventory
from devices.models import LiveEvent
from gspnp.console.timeline import FIRST_SHOWN, MORE
from provisioning import assignment
from provisioning.layers import store
from provisioning.models import Attempt, ConfigFile
from sipmcast import transcripts
from sipmcast.agent import Agent
from sipmcast.models import Transcript
from tests import cast
from tests.console.conftest import signed_in
from tests.sipmcast.test_transcripts import subscribe

pytestmark = pytest.mark.django_db
URL = f"/phones/{cast.MAC}/"
LIVE = f"{URL}live/"
AT = 1_772_366_400.0
NEVER_A_KEY = "b3RoZXIga2V5OiAzMiBieXRlcyBvZiBhIGtleS4uLi4="


def words(client, url: str = LIVE) -> str:
    return html.unescape(re.sub(r"\s+", " ", client.get(url).content.decode()))


def section(client, name: str, url: str = LIVE) -> str:
    return re.search(rf'data-testid="{name}".*?</section>', words(client, url))[0]


class TestSip:
    """The last messages."""

    def test_a_phone_that_nobody_assigned_says_what_it_said(self, console):
        cast.seen()
        assert "Nothing is on record yet" in section(console, "sip")
        agent = Agent(b"key")
        subscribe(agent, 100.0)
        transcripts.store(agent.journal.ripe(105.0, 9), 105.0, AT)
        said = section(console, "sip")
        assert "SUBSCRIBE sip:MAC%3A" in said and "SIP/2.0 200 OK" in said
        assert f"{cast.HOST}:5060 → the group ({cast.OURS}:6060)" in said
        assert "We answered 200 OK." in said

    def test_a_notify_shows_its_resends_and_the_answer_and_no_secret(self, console):
        version = cast.assigned()
        notify = cast.sent(version)
        agent = Agent(b"key")
        datagram = f"NOTIFY sip:x SIP/2.0\r\n\r\n{version.base_url}/p/{version.first_secret}/cfg".encode()
        agent.notify(notify.pk, datagram, "z9hG4bK1", (cast.HOST, 5060), cast.LEG, 100.0)
        agent.tick(100.5)
        agent.tick(101.5)
        transcripts.store(agent.journal.ripe(105.0, 9), 105.0, AT)
        said = section(console, "sip")
        assert "sent 2 more times: +0.5 s, +1.5 s" in said and "It has not answered." in said
        assert version.first_secret not in words(console, URL)
        agent.journal.answer_heard("z9hG4bK1", b"SIP/2.0 489 Bad Event\r\n\r\n", (cast.HOST, 5060), cast.LEG, 102.0)
        transcripts.store(agent.journal.ripe(110.0, 9), 110.0, AT)
        assert "It answered 489 Bad Event." in section(console, "sip")

    def test_what_a_stranger_writes_is_text(self, console):
        phone = cast.seen()
        agent = Agent(b"key")
        subscribe(agent, 100.0, extra='<script>alert(1)</script>"><img src=x onerror=alert(2)>')
        transcripts.store(agent.journal.ripe(105.0, 9), 105.0, AT)
        page = console.get(URL).content.decode()
        assert "&lt;script&gt;alert(1)" in page and "\\xff\\x1b" in page
        assert "<script>alert(1)" not in page and "<img src=x" not in page
        assert Transcript.objects.get().phone == phone


class TestHolding:
    """Which version it has, and what differs."""

    def test_it_is_said_on_each_step(self, console):
        version = cast.assigned()
        assert "It has none of ours yet, as far as it was seen; version 1 waits for it." in words(console)
        cast.fetched(version)
        assert "It has taken version 1, and has not proved yet that it uses it." in words(console)
        cast.download(cast.steady_path(version))
        assert "It has the current version, 1." in words(console)
        assert 'data-testid="difference"' not in words(console)

    def test_a_phone_that_waits_to_be_plugged_in_shows_what_it_will_get(self, console):
        phone = inventory.prestage(cast.MAC, "GXP1628", "", "tess")
        assert 'data-testid="configuration"' not in words(console)
        assignment.save(phone, cast.draft(cast.blf("mpk1", "1002")), by="tess", seen_host=None)
        shown = section(console, "configuration")
        assert "Its file is made when it is plugged in." in shown and 'data-current="no"' in shown
        assert "172.18.0.10" in shown and "1 of its own" in shown and "the assignment <b>" in shown

    def test_what_takes_a_phone_away_comes_last(self, console):
        cast.assigned()
        assert (
            0
            < console.get(URL).content.index(b'data-testid="file"')
            < console.get(URL).content.index(b"gs-danger-card")
        )
        assert b'data-testid="file"' not in console.get(f"{URL}live/").content

    def test_what_differs_from_what_it_has_is_shown_without_secrets(self, console):
        version = cast.applied(cast.assigned())
        cast.save(version.phone, cast.draft(display_name="Otto", password="another-canary"))
        shown = section(console, "configuration")
        assert "It has version 1; version 2 is the current one, and it has not taken that file yet." in shown
        assert 'data-change="account1_display_name"' in shown and "Otto" in shown and "Tess" in shown
        assert "another-canary" not in shown and cast.PASSWORD not in shown
        assert "before=1&after=2#differences" in shown

    def test_a_lost_key_is_said_and_breaks_nothing(self, console, settings):
        version = cast.applied(cast.assigned())
        store.save(store.find("model", "GXP1628"), {"xsi_password": "s3cr3t"}, by="tess")
        cast.save(version.phone, cast.draft(display_name="Otto"))
        settings.GSPNP_FIELD_KEYS = [NEVER_A_KEY]
        assert "cannot be opened" in section(console, "configuration", URL)

    def test_layers_are_counted(self, console):
        store.save(store.find("model", "GXP1628"), {"vlan_tag": "42", "ntp_server": "ntp.example"}, by="tess")
        cast.assigned()
        shown = section(console, "configuration")
        assert re.search(r"model GXP1628 <b>2</b>", shown)
        assert "the assignment <b>" in shown and "1001" in shown

    @pytest.mark.parametrize(("form", "said"), [("encrypted", "encrypted"), ("binary", "a binary file")])
    def test_the_file_is_shown_as_the_phone_reads_it(self, console, settings, form, said):
        settings.GSPNP_FILE_FORMAT = form
        cast.assigned()
        assert ConfigFile.objects.get().format == form
        page = words(console, URL)
        assert said in re.search(r'data-testid="format-words">.*?</p>', page)[0]
        assert "<gs_provision" in page and cast.PASSWORD not in page


class TestTimeline:
    """In parts, by kind."""

    def test_it_pages_and_filters_by_the_address(self, console):
        phone = cast.seen()
        for number in range(FIRST_SHOWN + MORE):
            inventory.tell(phone.pk, "notify" if number % 2 else "reach", f"number {number}.")
        first = words(console)
        assert first.count("data-event=") == FIRST_SHOWN and "Seen for the first time" not in first
        more = re.search(r'href="\?([^"]*)#phone-timeline" data-timeline[^>]*data-testid="more"', first)[1]
        assert words(console, f"{LIVE}?{more}").count("data-event=") == FIRST_SHOWN + MORE
        assert words(console, f"{LIVE}?events=1000").count("data-event=") == FIRST_SHOWN + MORE + 1
        shown = words(console, f"{LIVE}?kind=notify&events=1000")
        assert shown.count("data-event=") == (FIRST_SHOWN + MORE) // 2 and 'data-testid="more"' not in shown
        assert 'data-kind="notify" data-key="kind-notify" aria-current="true"' in shown

    @pytest.mark.parametrize(
        "odd", ["?kind=<script>", "?events=-1", "?events=9999999", "?events=%C2%B2", "?kind=&events="]
    )
    def test_an_odd_address_is_the_usual_timeline(self, console, odd):
        cast.seen()
        answer = console.get(LIVE + odd)
        assert answer.status_code == 200 and "<script>" not in answer.content.decode()

    def test_a_look_at_a_secret_has_its_own_filter(self, console):
        phone = cast.seen()
        inventory.tell(phone.pk, "looked", "tess looked.")
        assert "tess looked." in words(console, f"{LIVE}?kind=looked")
        assert "tess looked." not in words(console, f"{LIVE}?kind=way")
        assert LiveEvent.objects.count() == 2


def test_what_came_to_nothing_stands_below_the_downloads(console):
    version = cast.assigned()
    Attempt.objects.create(
        phone=version.phone, kind="plain", name="<b>cfg", source_host=cast.HOST, count=3, at=version.created_at
    )
    shown = section(console, "downloads")
    assert "Asked by the plain name" in shown and "3 times" in shown
    assert "&lt;b&gt;cfg" in console.get(LIVE).content.decode()


def test_what_cannot_be_undone_stands_apart(console, viewer):
    cast.assigned()
    page = words(console)
    assert 'data-do="forget"' not in section(console, "commands")
    assert page.index('data-testid="commands"') < page.index('data-do="forget"')
    for does in ("notify", "check", "resync", "reboot", "forget"):
        assert f'aria-describedby="does-{does}"' in page and f'id="does-{does}"' in page
    assert 'data-do="' not in words(signed_in(viewer))
