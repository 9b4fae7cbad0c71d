"""The page of one phone: the way with its times, the timeline, what was sent and fetched, and no secret."""

import re

import pytest

from devices.models import Phone
from provisioning import attempts
from provisioning.jobs import orders, runner
from tests import cast
from tests.console.conftest import signed_in

pytestmark = pytest.mark.django_db
URL = f"/phones/{cast.MAC}/"


def done_steps(answer) -> list[str]:
    steps = re.findall(r'<li class="([^"]*)"[^>]*><span class="gs-way-icon">.*?<b>(\w+)</b>', answer.content.decode())
    return [name for classes, name in steps if "gs-done" in classes]


def test_the_way_grows_step_by_step(console):
    cast.seen()
    assert done_steps(console.get(URL)) == ["Seen"]
    version = cast.save(Phone.objects.get()).config_file
    assert done_steps(console.get(URL)) == ["Seen", "Assigned"]
    cast.fetched(version)
    assert done_steps(console.get(URL)) == ["Seen", "Assigned", "Notified", "Fetched"]
    cast.download(cast.steady_path(version))
    assert done_steps(console.get(URL)) == ["Seen", "Assigned", "Notified", "Fetched", "Applied"]


def test_the_timeline_tells_everything_newest_first(console):
    cast.applied(cast.assigned())
    words = console.get(URL).content.decode()
    assert (
        words.index("Applied: it fetched again")
        < words.index("Answered our NOTIFY.")
        < words.index("Assigned by tess.")
    )
    assert words.index("Assigned by tess.") < words.index("Seen for the first time")


def test_notifies_and_downloads_are_listed_with_their_outcome(console):
    version = cast.assigned()
    notify = cast.sent(version)
    cast.answered(notify, 489, "Bad Event")
    words = console.get(URL).content.decode()
    assert "Refused by the phone: 489 Bad Event" in words
    cast.outbox.notify_again(version.phone_id, "tess", cast.HOST)
    cast.fetched(version)
    words = console.get(URL).content.decode()
    assert f"200 cfg{cast.MAC}" in words
    assert "First path" in words


def test_the_file_is_shown_with_its_secrets_masked(console):
    version = cast.assigned()
    words = console.get(URL).content.decode()
    assert "&lt;gs_provision" in words
    assert "********" in words
    for secret in (cast.PASSWORD, version.first_secret, version.steady_secret):
        assert secret not in words


def test_the_live_part_is_what_the_page_shows(console):
    cast.assigned()
    part = console.get(f"{URL}live/").content.decode()
    assert "Assigned by tess." in part
    assert "<html" not in part
    assert "gs_provision" not in part


@pytest.mark.parametrize("base", ["http://10.0.0.1:5481", "https://pnp.example:5481"])
def test_whether_it_was_told_http_or_https_is_a_fact(console, settings, base):
    settings.GSPNP_PUBLIC_URL = base
    cast.assigned()
    assert f'data-testid="told-base" data-untranslated>{base}</dd>' in console.get(URL).content.decode()


def test_a_notify_that_waits_for_a_silent_listener_is_said(console):
    cast.assigned()
    assert "Waiting for the listener, which is not running." in console.get(URL).content.decode()


def test_its_notify_button_carries_the_address_that_is_shown(console):
    cast.assigned()
    words = console.get(f"{URL}live/").content.decode()
    assert re.search(rf'data-do="notify"[^>]* data-host="{cast.HOST}"', words)


def test_a_forgotten_phone_is_not_found_and_its_events_do_not_leak_to_it_again(console):
    cast.assigned()
    console.post(f"{URL}forget/")
    assert console.get(f"{URL}live/").status_code == 404


def test_a_viewer_sees_it_without_buttons(viewer):
    cast.assigned()
    words = signed_in(viewer).get(URL).content.decode()
    assert "Assigned by tess." in words
    for action in ("assign", "do"):
        assert f'data-act="{action}"' not in words


def test_an_ignored_phone_comes_back(console):
    phone = cast.seen()
    assert console.post(f"/phones/{phone.mac}/ignore/").status_code == 200
    assert "Stop ignoring" in console.get(f"/phones/{phone.mac}/").content.decode()
    assert console.post(f"/phones/{phone.mac}/heed/").status_code == 200
    assert console.post(f"/phones/{phone.mac}/heed/").status_code == 409
    phone.refresh_from_db()
    assert (phone.stage, phone.stage_reason) == ("seen", "")


def test_a_name_that_is_tried_before_the_one_of_the_file_is_in_vain_only_until_it_has_the_file(console):
    version = cast.fetched(cast.assigned())
    assert cast.ask(cast.steady_path(version, f"cfg{cast.MAC.lower()}")).status == 404
    attempts.flush()
    assert "a name that its file does not have" in console.get(URL).content.decode()
    cast.download(cast.steady_path(version))
    assert "In vain" not in console.get(URL).content.decode()


def test_a_retired_phone_is_brought_back_first(console):
    cast.assigned()
    Phone.objects.update(stage="retired")
    head = console.get(URL).content.decode()
    (main,) = re.findall(r'<button[^>]*gs-button-primary[^>]*data-do="([a-z-]+)"', head)
    assert main == "bring-back"
    assert not re.search(r'<button[^>]*gs-button-primary[^>]*data-act="assign"', head)


def test_a_notify_of_a_job_names_the_job_and_what_took_its_place_need_not_be_a_save(console):
    cast.assigned()
    phone = Phone.objects.get()
    for kind in ("notify", "resync"):
        job = orders.start(kind, [(phone.pk, phone.source_host)], by="tess")
        runner.run.call(job.pk)
    card = re.search(r'data-testid="notifies">.*?</section>', console.get(URL).content.decode(), re.DOTALL)[0]
    assert "occasion: Load the configuration again: 1 phone, job" in card
    assert "occasion: Notify at known addresses: 1 phone, job" in card
    assert "Superseded by a newer one" in card and "save" not in card.split("Superseded by a newer one")[0]
    assert "change of settings" not in card


def test_a_model_that_cannot_be_configured_is_not_offered_for_it_first(console):
    for model, primary in (("GXP1628", True), ("GXP2170", False)):
        cast.seen(model=model)
        page = console.get(f"/phones/{cast.MAC}/").content.decode()
        assert ('class="gs-button gs-button-primary" data-act="assign"' in page) is primary, model
