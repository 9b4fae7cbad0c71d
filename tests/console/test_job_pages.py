"""The pages of jobs: how far, what failed, and that its buttons do what they say, for whom they may."""

import re
from datetime import timedelta
from html import unescape
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from gspnp.console import narrow
from provisioning.importing import applying, planning, undoing
from provisioning.jobs import kinds, orders, runner
from provisioning.layers import store
from provisioning.models import Job, Notify
from tests import cast
from tests.console.conftest import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(db) -> Job:
    cast.assigned()
    return runner.start("Settings of site berlin", {}, by="tess")


def state(job: Job) -> str:
    return Job.objects.get(pk=job.pk).state


def test_a_job_says_how_far_it_is_in_words_and_for_a_screen_reader(console, job):
    Job.objects.filter(pk=job.pk).update(total=120, done=37, changed=30)
    words = console.get(f"/jobs/{job.pk}/").content.decode()
    bar = re.search(r'<div [^>]*role="progressbar"[^>]*>', words)[0]
    assert 'aria-valuenow="30"' in bar and 'aria-valuetext="37 of 120 phones"' in bar
    assert 'data-testid="done">37<' in words and 'data-testid="changed">30<' in words
    assert "Settings of site berlin" in console.get("/jobs/").content.decode()


def test_the_live_part_alone_tells_whether_there_is_more_to_come(console, job):
    live = console.get(f"/jobs/{job.pk}/live/").content.decode()
    assert 'data-open="yes"' in live and "<html" not in live
    runner.run.call(job.pk)
    assert 'data-open="no"' in console.get(f"/jobs/{job.pk}/live/").content.decode()


def test_failures_are_listed_by_phone_and_field(console, job):
    phone = cast.Phone.objects.get()
    job.failures.create(phone=phone, field="setting.vlan_tag", message="<b>out of range</b>")
    words = console.get(f"/jobs/{job.pk}/").content.decode()
    assert f'href="/phones/{cast.MAC}/"' in words and "<b>vlan_tag</b>" in words
    assert "&lt;b&gt;out of range" in words


def test_its_buttons_pause_resume_and_cancel(console, job):
    for button, wanted in (("pause", "paused"), ("resume", "waiting"), ("cancel", "cancelled")):
        answer = console.post(f"/jobs/{job.pk}/{button}/")
        assert answer.status_code == 302 and state(job) == wanted
    refused = console.post(f"/jobs/{job.pk}/pause/", headers={"X-Requested-With": "fetch"})
    assert refused.status_code == 409 and "cancelled" in refused.json()["message"]
    assert "nothing of it is left" in console.post(f"/jobs/{job.pk}/pause/", follow=True).content.decode()


def test_an_order_that_is_not_whole_says_so_and_can_only_be_cancelled(console, job):
    """As a process leaves it that dies while the order is stored."""
    half = {"kind": "check", "state": "paused", "orders": {orders.BEING_STORED: True}, "words": orders.NOT_WHOLE}
    Job.objects.filter(pk=job.pk).update(**half)
    page = console.get(f"/jobs/{job.pk}/").content.decode()
    assert re.findall(r'data-button="(\w+)"', page) == ["cancel"] and orders.NOT_WHOLE in page
    refused = console.post(f"/jobs/{job.pk}/resume/", headers={"X-Requested-With": "fetch"})
    assert (refused.status_code, refused.json()["message"]) == (409, orders.NOT_WHOLE)
    assert console.post(f"/jobs/{job.pk}/cancel/").status_code == 302 and state(job) == "cancelled"


def test_each_button_goes_to_its_own_address(console, job):
    """The script posts to the address of the button that was pressed, not to that of the form."""
    page = console.get(f"/jobs/{job.pk}/").content.decode()
    for button in ("pause", "cancel"):
        assert re.search(rf'<button[^>]*formaction="/jobs/{job.pk}/{button}/"[^>]*data-button="{button}"', page)


def test_while_its_phones_are_told_a_job_that_is_done_can_be_paused(console, job):
    store.save(store.find("site", ""), {"vlan_tag": "9"}, by="tess")
    runner.run.call(job.pk)
    page = console.get(f"/jobs/{job.pk}/").content.decode()
    assert "Told of their new files: 0 of 1 phones" in page and "Pause" in page
    console.post(f"/jobs/{job.pk}/pause/")
    assert "1 waits while the job is paused" in console.get(f"/jobs/{job.pk}/").content.decode()
    console.post(f"/jobs/{job.pk}/resume/")
    console.post(f"/jobs/{job.pk}/cancel/")
    page = console.get(f"/jobs/{job.pk}/").content.decode()
    assert "Pause" not in page and "1 is not told any more" in page


def test_a_script_gets_the_job_as_it_is_then(console, job):
    answer = console.post(f"/jobs/{job.pk}/pause/", headers={"X-Requested-With": "fetch"})
    assert 'data-state="paused"' in answer.content.decode()
    assert 'data-button="resume"' in answer.content.decode()


def test_who_may_only_look_has_no_buttons(viewer, job):
    looking = signed_in(viewer)
    assert "data-button" not in looking.get(f"/jobs/{job.pk}/").content.decode()
    assert looking.post(f"/jobs/{job.pk}/cancel/").status_code == 403
    assert state(job) == "waiting"


def test_a_job_that_no_worker_takes_says_so(console, job):
    assert 'data-testid="nobody"' not in console.get(f"/jobs/{job.pk}/").content.decode()
    Job.objects.update(called_at=timezone.now() - timedelta(seconds=30))
    assert 'data-testid="nobody"' in console.get(f"/jobs/{job.pk}/").content.decode()


def test_the_list_without_a_job_says_where_jobs_come_from(console):
    assert 'href="/settings/"' in console.get("/jobs/").content.decode()
    assert console.get("/jobs/77/").status_code == 404


@pytest.mark.parametrize("kind", [*kinds.KINDS, "levitate"])
def test_cancelled_it_says_what_is_left_and_how_to_go_on_in_the_words_of_its_kind(console, job, kind):
    Job.objects.update(kind=kind, state="cancelled", scope={"import": 7} if kind == kinds.IMPORT else {})
    page = unescape(console.get(f"/jobs/{job.pk}/").content.decode())
    said = re.search(r'data-testid="cancelled"><span>(.*?)(?: <a|</span>)', page)[1]
    assert said == str(kinds.of(Job.objects.get()).words.cancelled)
    assert ("again what this job is named after" in said) == (kind in (kinds.RERENDER, "levitate"))
    assert ("Assign the phones that are left" in said) == (kind == kinds.FOLLOW)


def test_the_button_says_what_cancelling_an_import_means_as_things_stand(console, db):
    cast.assigned()
    one = planning.read_file("phones.csv", f"mac,name\n{cast.MAC},Theo\n".encode(), by="tess")
    job = applying.apply(one, by="tess")
    assert "What is stored of it is taken back" in console.get(f"/jobs/{job.pk}/").content.decode()
    runner.run.call(job.pk)
    assert "Phones that have their new file keep it" in console.get(f"/jobs/{job.pk}/").content.decode()
    back = undoing.undo(one, by="tess")
    assert "the rest can be undone again" in console.get(f"/jobs/{back.pk}/").content.decode()
    console.post(f"/jobs/{back.pk}/cancel/")
    assert "Undo" in console.get(reverse("console:import", args=[one.pk])).content.decode()


class TestNobodyIsTold:
    """A job that has done its part is not well done while its phones wait for somebody to confirm their addresses."""

    @pytest.fixture
    def done(self, job) -> Job:
        made = [cast.seen(f"000B8200000{number}", f"10.0.1.{number}") for number in range(1, 4)]
        for phone in made:
            cast.save(phone)
        Notify.objects.all().delete()
        order = orders.start("notify", [(phone.pk, phone.source_host) for phone in made], by="tess", pace_per_minute=60)
        runner.run.call(order.pk)
        order.refresh_from_db()
        assert order.state == "done"
        unknown = "Nobody has confirmed that this phone is at 10.0.1.1. Check it and press “Notify again”."
        Notify.objects.filter(phone__in=made[:2]).update(state="withheld", note=unknown)
        return order

    def test_it_says_how_many_wait_for_whom_and_leads_to_them(self, console, done):
        Notify.objects.filter(state="waiting").update(state="delivered")
        words = unescape(console.get(f"/jobs/{done.pk}/").content.decode())
        assert "2 phones are not told, because nobody has confirmed their addresses" in words
        assert "Done, 2 held back" in words and "check_circle" not in words
        url = re.search(r'href="([^"]*)" data-testid="withheld-phones"', words)[1]
        listed = console.get(url).content.decode()
        assert re.findall(r'<tr[^>]* data-mac="(\w+)"', listed) == ["000B82000002", "000B82000001"]
        assert f"held back, of job {done.pk}" in listed

    def test_the_list_of_jobs_does_not_show_it_as_all_done(self, console, done):
        Notify.objects.filter(state="waiting").update(state="delivered")
        words = console.get("/jobs/").content.decode()
        line = re.search(rf'<li data-state="done" data-withheld>.*?{done.title}.*?</li>', words, re.DOTALL)[0]
        assert "Done, 2 held back" in line

    def test_once_they_are_told_it_is_done(self, console, done):
        Notify.objects.update(state="delivered")
        words = console.get(f"/jobs/{done.pk}/").content.decode()
        assert "check_circle" in words and "data-withheld" not in words

    def test_what_the_job_holds_back_itself_is_not_meant(self, console, done):
        Notify.objects.update(state="withheld", note=kinds.ORDERED.held)
        words = console.get(f"/jobs/{done.pk}/").content.decode()
        assert "data-withheld" not in words and "3 wait while the job is paused" in words

    def test_cancelled_it_counts_as_asked_only_who_was(self, console, done):
        Job.objects.filter(pk=done.pk).update(state="running")
        runner.cancel(done.pk)
        words = console.get(f"/jobs/{done.pk}/").content.decode()
        assert 'data-testid="done">0<' in words and 'data-testid="changed">0<' in words and "were asked" in words
        assert 'data-testid="unasked">3<' in words and "data-withheld" not in words and 'aria-valuenow="0"' in words

    def test_who_is_held_back_is_named_with_the_reason(self, console, done):
        words = unescape(console.get(f"/jobs/{done.pk}/").content.decode())
        named = re.search(r'data-testid="withheld".*?</section>', words, re.DOTALL)[0]
        assert "00:0B:82:00:00:01" in named and "00:0B:82:00:00:03" not in named
        assert "Nobody has confirmed that this phone is at 10.0.1.1" in named and "more" not in named
        assert 'data-testid="held-back">2<' in words and "about to be" not in words


class TestTelling:
    """A worker has done its part long before the last phone has its turn: for a person the job runs until then."""

    @pytest.fixture
    def order(self, db) -> Job:
        made = [cast.seen(f"000B8200000{number}", f"10.0.1.{number}") for number in range(1, 7)]
        for phone in made:
            cast.save(phone)
        Notify.objects.all().delete()
        order = orders.start("reboot", [(phone.pk, phone.source_host) for phone in made], by="tess")
        runner.run.call(order.pk)
        order.refresh_from_db()
        assert order.state == "done"
        sent = list(Notify.objects.order_by("pk").values_list("pk", flat=True)[:2])
        Notify.objects.filter(pk__in=sent).update(state="delivered", first_sent_at=timezone.now())
        return order

    def told(self, console, order: Job) -> list[str]:
        """The state and the bar on the page, in the list of jobs, and in the command."""
        page, listed = (console.get(url).content.decode() for url in (f"/jobs/{order.pk}/", "/jobs/"))
        output = StringIO()
        call_command("jobs", stdout=output)
        said = [
            re.search(r'(?:id="job"|<li) data-state="(\w+)".*?aria-valuenow="(\d+)"', text, re.DOTALL).groups()
            for text in (page, listed)
        ]
        words = re.search(r"data-words>.*?</span>([^<]*)<", page, re.DOTALL)[1]
        return [*map(" ".join, said), words, " ".join(output.getvalue().split()[1:3])]

    def test_it_runs_while_one_waits_for_its_turn(self, console, order):
        assert self.told(console, order) == ["running 33", "running 33", "Running", "Running 33"]
        page = console.get(f"/jobs/{order.pk}/").content.decode().partition("</main>")[0]
        assert "Sent to 2 of 6 phones" in page and "4 wait for their turn" in page and " ended" not in page

    def test_it_is_paused_when_they_wait_because_of_that(self, console, order):
        runner.pause(order.pk)
        assert self.told(console, order) == ["paused 33", "paused 33", "Paused", "Paused 33"]

    def test_it_is_done_when_nobody_waits_and_who_is_held_back_does_not_keep_it(self, console, order):
        Notify.objects.filter(state="waiting").update(state="withheld", note="It waits to be plugged in.")
        assert self.told(console, order) == ["done 100", "done 100", "Done, 4 held back", "Done, 4"]

    def test_cancelled_it_leads_to_those_who_are_not_asked_any_more(self, console, order):
        Job.objects.filter(pk=order.pk).update(state="running", done=5)
        order.targets.create(phone=cast.Phone.objects.get(mac="000B82000006"), host="10.0.1.6")
        Notify.objects.filter(phone__mac="000B82000006").delete()
        runner.cancel(order.pk)
        assert self.told(console, order)[:2] == ["cancelled 33", "cancelled 33"]
        page = unescape(console.get(f"/jobs/{order.pk}/").content.decode())
        assert 'data-testid="changed">2<' in page and 'data-testid="unasked">4<' in page
        listed = console.get(re.search(r'href="([^"]*)" data-testid="unasked-phones"', page)[1]).content.decode()
        macs = re.findall(r'<tr[^>]* data-mac="(\w+)"', listed)
        assert sorted(macs) == [f"000B8200000{number}" for number in range(3, 7)]

    def test_whom_an_order_left_out_has_not_failed(self, console, order):
        Job.objects.filter(pk=order.pk).update(failed=3)
        listed = console.get("/jobs/").content.decode()
        assert "3 left out" in listed and "3 failed" not in listed

    def test_a_turn_that_has_passed_is_not_said_to_come(self, console, order):
        Notify.objects.filter(state="waiting").update(next_at=timezone.now() - timedelta(seconds=18))
        page = console.get(f"/jobs/{order.pk}/").content.decode()
        assert "4 are due" in page and "the last is due" not in page
        Job.objects.filter(pk=order.pk).update(state="running", called_at=timezone.now() + timedelta(seconds=9))
        assert "The next ones have their turn" in console.get(f"/jobs/{order.pk}/").content.decode()
        Job.objects.filter(pk=order.pk).update(called_at=timezone.now() - timedelta(seconds=58))
        page = console.get(f"/jobs/{order.pk}/").content.decode()
        assert "The next ones have their turn" not in page and "nobody" not in page
        Job.objects.filter(pk=order.pk).update(worker="")
        assert 'data-testid="nobody"' in console.get(f"/jobs/{order.pk}/").content.decode()


@pytest.mark.parametrize("text", ["unasked:x", "withheld:", "withheld:x", "withheld:²", "withheld:1234567890123"])
def test_what_is_no_number_of_a_job_narrows_nothing(text):
    assert narrow.read(text) == ""
