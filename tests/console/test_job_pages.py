"""The pages of jobs: how far, what failed, and that its buttons do what they say, for whom they may."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from provisioning.jobs import runner
from provisioning.layers import store
from provisioning.models import Job
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


@pytest.mark.parametrize(
    ("kind", "words"), [("rerender", "Save the layer, or set the path"), ("follow", "Assign the phones that are left")]
)
def test_cancelled_it_says_how_to_go_on_with_the_rest_of_its_kind(console, job, kind, words):
    Job.objects.filter(pk=job.pk).update(kind=kind)
    console.post(f"/jobs/{job.pk}/cancel/")
    page = console.get(f"/jobs/{job.pk}/").content.decode()
    said = re.search(r'data-testid="cancelled">(.*?)</p>', page)[1]
    assert "nobody is told of it any more." in said and words in said
    assert ("Save the layer" in said) == (kind == "rerender")


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
    assert "1 is held back" in console.get(f"/jobs/{job.pk}/").content.decode()
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
