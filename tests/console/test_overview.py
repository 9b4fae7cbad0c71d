"""The overview: that its figures are those of the list they lead to, whatever phones and strangers say."""

import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from playwright.sync_api import expect

from devices import inventory, trust
from devices.choices import WAY, Stage
from devices.models import Phone
from devices.trust import Verdict
from gspnp.console import figures, narrow, reasons
from gspnp.running import running
from provisioning import settling, starts, stuck_words
from provisioning.firmware import pins
from provisioning.jobs import alive
from provisioning.models import Attempt, AttemptKind, DoorHour, Download, Job, NotifyKind
from provisioning.plain import missed
from tests import cast
from tests.console.conftest import person, signed_in
from tests.console.test_settings_in_a_browser import browser_page, elsewhere

pytestmark = pytest.mark.django_db
URL, LIVE = "/overview/", "/overview/live/"
HOSTILE = "</script><img src=x onerror=alert(1)>"
SAFE, UNSAFE, OLD = "1.0.7.84", "1.0.7.13", "1.0.4.88"


def phone(number: int, **changes) -> Phone:
    """A phone with nothing behind it, first seen an hour ago."""
    at = changes.pop("at", timezone.now() - timedelta(hours=1))
    row = {
        "mac": f"000B82{number:06X}", "vendor": "Grandstream", "model": "GXP1628", "firmware": SAFE,
        "stage": Stage.APPLIED, "stage_at": at, "first_seen_at": at, "last_seen_at": at, "source_host": "10.0.0.7",
    }  # fmt: skip
    return Phone.objects.create(**(row | changes))


@pytest.fixture
def fleet(db) -> None:
    """Eight phones in all states that the overview tells apart."""
    phone(1, online=True, online_at=timezone.now())
    phone(2, firmware=UNSAFE, online=False, online_at=timezone.now())
    phone(3, firmware=OLD, stage=Stage.SEEN)
    phone(4, model="GXP1610", stage=Stage.NOTIFIED, stage_reason="It did not answer our NOTIFY: it may be off.")
    phone(5, firmware="", stage=Stage.FETCHED, stage_reason=stuck_words.WITHOUT_FILE)
    phone(6, firmware=OLD, stage=Stage.IGNORED, stage_reason="Seen, not ours: Other.")
    phone(7, at=timezone.now() - timedelta(days=3), alarm="Another device.", alarm_at=timezone.now())
    phone(8, model=HOSTILE, at=timezone.now() - timedelta(days=40))


def drawn(html: str) -> dict:
    """What the script of the page draws."""
    return json.loads(re.search(r'<script id="drawn" type="application/json">(.*?)</script>', html, re.DOTALL)[1])


def lines(html: str, testid: str) -> dict[str, tuple[int, str]]:
    """Label -> count and place to go, of one list."""
    part = re.search(rf'data-testid="{testid}".*?</ul>', html, re.DOTALL)[0]
    found = re.findall(r'<a href="([^"]*)"[^>]*>(?:<span[^>]*></span>)?([^<]*)</a><b>([\d,]+)</b>', part)
    return {unescape(label): (int(count.replace(",", "")), unescape(url)) for url, label, count in found}


def listed(client: Client, url: str) -> list[str]:
    return re.findall(r'<tr[^>]* data-mac="([0-9A-F]{12})"', client.get(url).content.decode())


def test_only_who_may_see_phones_sees_it():
    nobody, stranger = signed_in(person("nobody")), Client(headers={"host": "localhost"})
    for url in (URL, LIVE):
        assert stranger.get(url).status_code == 302
        assert nobody.get(url).status_code == 403
        assert stranger.get(url, headers={"X-Requested-With": "fetch"}).status_code == 401


def test_an_empty_installation_says_what_to_do_instead_of_showing_empty_pictures(console, listener):
    html = console.get(URL).content.decode()
    assert "Listening for phones" in html and "simulate_phones" in html
    assert "<canvas" not in html
    assert "No worker has run yet" in html


@pytest.mark.db
def test_every_figure_leads_to_the_phones_that_it_counts(console, fleet):
    html = console.get(URL).content.decode()
    stages, stopped, holes = (lines(html, name) for name in ("stages", "stopped", "holes"))
    counts = {label: count for label, (count, _) in stages.items()}
    assert counts == {
        "Seen": 1, "Assigned": 0, "Notified": 1, "Fetched": 1, "Applied": 4, "Ignored": 1, "online": 1, "offline": 1,
    }  # fmt: skip
    assert {label: count for label, (count, _) in stopped.items()} == {
        "They do not answer our NOTIFY": 1, "They restart without keeping their configuration": 1, "Alarms": 1,
    }  # fmt: skip
    assert {label: count for label, (count, _) in holes.items()} == {"CVE-2026-2329": 2, "Older findings": 1}
    for count, url in (*stages.values(), *stopped.values(), *holes.values()):
        assert len(listed(console, url)) == count, url
    assert listed(console, holes["Older findings"][1]) == ["000B82000003"], "the ignored one is out of sight"
    assert "<b>4</b> of 7 run the configuration" in html
    said = re.sub(r"<[^>]+>", "", html)
    assert "2 phones run firmware with a known hole." in said and "2 phones stand still on their way." in said


@pytest.mark.db
def test_arrivals_lead_to_who_arrived(console, fleet):
    shown = drawn(console.get(URL).content.decode())
    assert (sum(shown["hours"]["counts"]), sum(shown["days"]["counts"])) == (6, 7)
    assert (len(shown["hours"]["counts"]), len(shown["days"]["counts"])) == (24, 30)
    for span in ("hours", "days"):
        for count, url in zip(shown[span]["counts"], shown[span]["urls"], strict=True):
            if count:
                assert len(listed(console, url)) == count


def test_what_a_phone_says_is_text(console, fleet):
    html = console.get(URL).content.decode()
    assert HOSTILE not in html and "<img src=x" not in html
    assert HOSTILE in drawn(html)["models"]["labels"]
    row = drawn(html)["models"]
    assert listed(console, row["urls"][row["labels"].index(HOSTILE)]) == ["000B82000008"]


def test_models_are_parted_by_the_safety_of_their_firmware(console, fleet):
    shown = drawn(console.get(URL).content.decode())["models"]
    at = shown["labels"].index("GXP1628")
    assert (shown["unsafe"][at], shown["safe"][at], shown["unclear"][at]) == (2, 2, 1)


def test_a_narrowed_list_says_to_what_and_leads_back(console, fleet):
    html = console.get("/?only=hole:CVE-2026-2329&stage=applied").content.decode()
    chip = re.search(r'<a class="gs-chip gs-chip-filter" href="([^"]*)"[^>]*data-filter="only".*?</a>', html, re.DOTALL)
    assert "firmware with a known hole: CVE-2026-2329" in chip[0]
    assert unescape(chip[1]) == "?stage=applied"


@pytest.mark.parametrize(
    "only",
    [
        "", "hole", "hole:", "hole:CVE-1", "why:nonsense", "alarm:x", "arrived:1", "arrived:1-2-3", "arrived:-",
        "arrived:١-٢", f"arrived:1-{'9' * 12}", f"arrived:1-{'9' * 5000}", "model:", "sql:1", "\0", "why:\0",
    ],
)  # fmt: skip
def test_a_narrowing_that_is_not_understood_narrows_nothing(console, fleet, only):
    assert narrow.read(only) == ""
    assert len(listed(console, "/?only=" + only.replace("\0", "%00"))) == 7


# --- reasons ------------------------------------------------------------------------------------------------------


def objections() -> list[str]:
    told = {"source_host": cast.HOST, "approved_host": None, "steady_host": None, "contact_age_seconds": 1e6}
    changes = [{}, {"source_host": None}, {"approved_host": cast.HOST}]
    found = [trust.objection(trust.Standing(**(told | change)), Verdict.UNKNOWN) for change in changes]
    return [*found, trust.objection(trust.Standing(**told), Verdict.MISMATCH)]


def stood_still() -> list[str]:
    """What is said of phones that stopped by themselves, whatever they tried at the door."""
    one = Phone(interface="eth0", local_host=cast.OURS, model="GXP2170")
    tries = [None, *(Attempt(kind=kind, name="cfg.xml", size=1, source_host=cast.HOST) for kind in AttemptKind)]
    told = [stuck_words.Told(cast.OURS, **more) for more in ({}, {"has_key": True}, {"key_known": True})]
    away = Phone(online=False)
    says = (stuck_words.not_fetched, stuck_words.without_file, stuck_words.not_back)
    found = {say(phone, what, tried) for say in says for phone in (one, away) for what in told for tried in tries}
    unsent = [stuck_words.not_sent(one, {}), stuck_words.not_sent(Phone(heard_site="annex"), {"annex": "pbx/annex"})]
    return [*sorted(found), *unsent, stuck_words.wrong_model(one)]


def every_reason() -> list[str]:
    """What the product writes, made by the code that writes it."""
    statuses = {status for listed, _ in settling.REFUSALS for status in listed} | {401, 407, 599, 604}
    refusals = [settling._refusal_words(NotifyKind.PROFILE, code, f"{code} Why") for code in sorted(statuses)]
    upgrade = {"version": "1.0.7.84", "tries": 3, "runs": "1.0.4.88"}
    given_up = [pins.GIVEN_UP.format(**upgrade), pins.HELD_BACK.format(**upgrade)]
    later = starts._Batch([], [], {}, [])
    starts._say_when(1, timezone.now() + timedelta(hours=1), timezone.now(), later)
    moved = ["This server is now reached at 10.0.0.2. Save the assignment again.", "It cannot be notified: why."]
    deaf = [settling.IGNORES_IT, settling.IGNORES_IT + settling.ASKED_AGAIN]
    return [*refusals, *given_up, *stood_still(), *objections(), *later.reasons.values(), *moved, *deaf,
            starts.LOOP_REASON, inventory.WAITS]  # fmt: skip


@pytest.mark.db
def test_every_reason_that_we_write_is_of_a_kind_and_its_rule_finds_exactly_it():
    written = every_reason()
    assert [words for words in written if reasons.kind_of(words) is reasons.OTHER] == []
    for number, words in enumerate([*written, "A sentence of tomorrow."]):
        phone(number, stage=WAY[number % len(WAY)], stage_reason=words)
    for kind in reasons.BY_KEY.values():
        found = set(Phone.objects.filter(reasons.rule(kind.key)).values_list("stage_reason", flat=True))
        assert found == {words for words in [*written, "A sentence of tomorrow."] if reasons.kind_of(words) is kind}


def test_a_phone_that_did_not_answer_is_told_apart_from_one_that_refused(clock):
    version = cast.assigned()
    settling.unanswered(cast.sent(version).pk)
    assert reasons.kind_of(cast.reason(version)).key == "no-answer"
    (line,) = [kind for kind, _count in figures._stopped()]
    assert line.key == "no-answer"


# --- the door -----------------------------------------------------------------------------------------------------


@pytest.fixture
def door(settings):
    """Nothing is left of what other tests asked for."""
    missed._held.clear()
    missed._counted.clear()
    yield
    missed._held.clear()
    missed._counted.clear()


@pytest.mark.django_db(transaction=True)
def test_what_phones_fetched_and_what_they_did_not_get(door, administrator):
    version = cast.assigned()
    cast.delivered(version)
    cast.ask(cast.first_path(version), hang_up_after=1)
    cast.ask(cast.first_path(version))
    cast.ask(cast.steady_path(version), if_none_match=f'"{cast.now(version).etag}"')
    for agent in ("Grandstream Model HW GXP1628 SW 1.0.7.81 DevId 000B82273B89", "curl/8"):
        cast.ask("/ring1.bin", user_agent=agent)
    missed.flush()
    (hour,) = DoorHour.objects.all()
    assert (hour.refused, hour.refused_strangers, hour.broken_off) == (1, 1, 1)
    figures.memory.clear()
    newest = figures.downloads()[-1].counts
    assert newest == {
        "complete": 1, "unchanged": 1, "partial": 0, "refused": 1, "refused_strangers": 1, "broken_off": 1,
    }  # fmt: skip
    client = signed_in(administrator)
    html = client.get(URL).content.decode()
    assert "<b>1</b> files were fetched whole; 1 requests found that the phone had its file already." in html
    assert "1 downloads were broken off, and 1 requests got a 404." in html
    url = drawn(html)["downloads"]["urls"][-1]
    assert client.get(url).context["cl"].result_count == Download.objects.count() == 2


@pytest.mark.db
def test_old_hours_of_the_door_go(door):
    old = timezone.now() - timedelta(days=missed.HOURS_KEPT_DAYS + 1)
    DoorHour.objects.create(hour=old, refused=1)
    missed._store_hour({"refused": 2}, timezone.now())
    missed._store_hour({"refused": 2, "broken_off": 1}, timezone.now())
    assert [(row.refused, row.broken_off) for row in DoorHour.objects.all()] == [(4, 1)]


def test_who_may_not_see_downloads_gets_no_link_to_them(console, fleet):
    assert set(drawn(console.get(URL).content.decode())["downloads"]["urls"]) == {""}


# --- listeners and workers --------------------------------------------------------------------------------------------


def test_a_worker_that_fell_silent_and_one_with_trouble_are_seen(console, fleet, clock):
    alive.beat(clock())
    assert 'data-state="well" data-testid="worker"' in console.get(URL).content.decode()
    alive.beat(clock(), ["explain_all"])
    assert "In its last round this failed: explain_all." in console.get(URL).content.decode()
    clock.forward(seconds=alive.STALE_SECONDS)
    html = console.get(URL).content.decode()
    assert 'data-state="away" data-testid="worker"' in html and "manage.py work" in html


def test_a_worker_that_died_before_the_clock_was_set_back_is_not_alive_for_an_hour(console, fleet, clock):
    alive.beat(clock())
    clock.forward(hours=-1)
    assert 'data-state="away" data-testid="worker"' in console.get(URL).content.decode()
    assert running() == []
    alive.beat(clock())
    assert 'data-state="well" data-testid="worker"' in console.get(URL).content.decode()
    assert len(running()) == 1


def test_a_listener_is_shown_with_what_it_counts_and_what_hinders_it(console, fleet, listener):
    listener.counters = {"sighted": 12345, "answered": 12340, "kernel_drops": 7}
    listener.trouble, listener.warnings = HOSTILE, [HOSTILE]
    listener.save()
    html = console.get(URL).content.decode()
    assert "12,345" in html and "eth7 (10.0.0.1)" in html and 'data-state="trouble"' in html
    assert HOSTILE not in html


def test_jobs_that_are_not_over_are_counted(console, fleet):
    now = timezone.now()
    for state in ("waiting", "waiting", "failed", "done"):
        Job.objects.create(kind="x", title="y", state=state, created_by="tess", created_at=now, called_at=now)
    html = console.get(URL).content.decode()
    said = re.search(r'data-testid="jobs".*?</li>', html, re.DOTALL)[0]
    assert "Waiting 2" in said and "Failed 1" in said and "Done" not in said


# --- time -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "now", "first", "last", "seconds"),
    [
        ("Europe/Berlin", datetime(2026, 7, 1, 10, 20, tzinfo=UTC), "13:00", "12:00", {3600}),
        ("Asia/Kolkata", datetime(2026, 7, 1, 10, 20, tzinfo=UTC), "16:00", "15:00", {3600}),
        ("Europe/Berlin", datetime(2026, 10, 25, 10, 20, tzinfo=UTC), "13:00", "11:00", {3600}),  # the clock goes back
    ],
)
def test_hours_are_those_of_the_readers_clock(zone, now, first, last, seconds):
    with cast.stopped_clock(now), timezone.override(zone):
        spans = figures.hours(24)
    assert (f"{spans[0][0]:%H:%M}", f"{spans[-1][0]:%H:%M}") == (first, last)
    assert {(end.astimezone(UTC) - start.astimezone(UTC)).total_seconds() for start, end in spans} == seconds
    assert spans[-1][0] <= now < spans[-1][1]


def test_days_are_those_of_the_readers_calendar_and_one_may_have_25_hours():
    with cast.stopped_clock(datetime(2026, 10, 26, 23, 30, tzinfo=UTC)), timezone.override(ZoneInfo("Europe/Berlin")):
        spans = figures.days(30)
    assert f"{spans[-1][0]:%Y-%m-%d %H:%M}" == "2026-10-27 00:00"
    lengths = [(end.astimezone(UTC) - start.astimezone(UTC)) / timedelta(hours=1) for start, end in spans]
    assert sorted(lengths)[-2:] == [24.0, 25.0]


def test_what_has_passed_is_not_counted_again_and_the_present_is(fleet, django_assert_max_num_queries):
    figures.downloads()
    figures.arrivals_by_hour()
    figures.arrivals_by_day()
    with django_assert_max_num_queries(1):  # the door's hours
        figures.downloads()
        figures.arrivals_by_hour()
        figures.arrivals_by_day()


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
class TestBrowser:
    @pytest.fixture
    def session(self, live_server, technician, fleet, listener) -> str:
        return signed_in(technician).cookies[settings.SESSION_COOKIE_NAME].value

    def test_a_click_into_a_picture_leads_to_the_phones(self, live_server, session):
        with browser_page(live_server.url, session) as page:
            page.goto(f"{live_server.url}{URL}")
            at = page.evaluate(
                """() => { const meta = Chart.getChart("draw-models").getDatasetMeta(0).data[0];
                           const box = document.getElementById("draw-models").getBoundingClientRect();
                           return [box.x + meta.x - 4, box.y + meta.y]; }"""
            )
            page.mouse.click(*at)
            page.wait_for_url("**/?only=model%3AGXP1628")
            assert page.locator("tr[data-mac]").count() == 5

    def test_it_renews_itself_without_a_reload_and_keeps_the_focus(self, live_server, session):
        with browser_page(live_server.url, session) as page:
            page.goto(f"{live_server.url}{URL}")
            page.evaluate("window.mark = 1")
            page.focus("[data-key=stage-seen]")
            elsewhere(lambda: (phone(99, stage=Stage.SEEN, at=timezone.now()), figures.memory.clear()))
            expect(page.locator("[data-testid=stages] .gs-stage-seen b")).to_have_text("2", timeout=20_000)
            expect(page.locator("[data-key=stage-seen]")).to_be_focused()
            counts = page.evaluate("Chart.getChart('draw-stages').data.datasets[0].data[0]")
            assert (counts, page.evaluate("window.mark")) == (2, 1)

    def test_pictures_follow_the_theme_and_the_span(self, live_server, session):
        paint = "Chart.getChart('draw-arrivals').getDatasetMeta(0).data[0].options.backgroundColor"
        with browser_page(live_server.url, session) as page:
            errors = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(f"{live_server.url}{URL}")
            light = page.evaluate(paint)
            page.evaluate("document.documentElement.classList.add('dark')")
            page.wait_for_function(f"{paint} !== '{light}'")
            page.click("[data-span=days]")
            assert page.evaluate("Chart.getChart('draw-arrivals').data.labels.length") == 30
            assert page.get_attribute("[data-span=days]", "aria-pressed") == "true"
            assert errors == []

    def test_it_fits_a_telephone_and_works_without_a_script(self, live_server, session):
        with browser_page(live_server.url, session, 360) as page:
            page.route("**/*.woff2", lambda route: route.abort())
            page.goto(f"{live_server.url}{URL}")
            for summary in page.locator(".gs-figure summary").all():
                summary.click()
            assert page.evaluate("document.documentElement.scrollWidth") == 360
        with browser_page(live_server.url, session, java_script_enabled=False) as page:
            page.goto(f"{live_server.url}{URL}")
            page.click(".gs-figure summary >> nth=1")
            assert page.locator("[data-testid=arrivals] th[scope=row]").count() == 54


@pytest.mark.db
def test_who_waits_to_be_plugged_in_does_not_stand_still_and_the_button_says_how_many_it_shows(console, fleet):
    listed_phone = inventory.prestage("000B82DD0001", "GXP1628", "", "tess")
    cast.save(listed_phone)
    html = console.get(URL).content.decode()
    said = re.sub(r"<[^>]+>", "", html)
    assert "2 phones stand still on their way. 1 waits to be plugged in." in said
    count, url = re.search(r'<a[^>]*href="([^"]*)" data-key="attention">\D*(\d+)', html).group(2, 1)
    assert len(listed(console, unescape(url))) == int(count)
