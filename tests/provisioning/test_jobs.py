"""Jobs: a change of a layer reaches exactly the phones whose bytes change, at its pace, and can be stopped."""

from datetime import timedelta

import pytest

from devices.choices import Stage
from devices.models import LiveEvent, Phone
from provisioning import assignment, outbox
from provisioning.gxp.document import values
from provisioning.jobs import rerender, runner
from provisioning.jobs.models import Job, JobState
from provisioning.layers import store
from provisioning.models import ConfigFile, NotifyOrigin, NotifyState
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db]


@pytest.fixture
def clock():
    with cast.stopped_clock() as clock:
        yield clock


def phones(count: int) -> list[Phone]:
    """Assigned phones of one site."""
    made = [cast.seen(f"000B82{number:06X}", f"10.0.1.{number}") for number in range(1, count + 1)]
    for phone in made:
        cast.save(phone)
    return made


def change(**settings) -> Job:
    """Tess changes the site's layer; its job waits."""
    store.save(store.find("site", ""), settings, by="tess")
    return runner.start("Site settings changed", {"site": ""}, by="tess", pace_per_second=2)


def carried_out(job: Job) -> Job:
    runner.run.call(job.pk)
    job.refresh_from_db()
    return job


def said(phone: Phone) -> dict[str, str]:
    return values(bytes(outbox.current_file(phone.pk).content))


def test_every_phone_of_the_site_gets_a_version_and_a_notify_at_the_pace(clock):
    made = phones(5)
    job = carried_out(change(vlan_tag="9"))
    assert (job.state, job.total, job.done, job.changed, job.failed) == (JobState.DONE, 5, 5, 5, 0)
    assert [said(phone)["vlan_tag"] for phone in made] == ["9"] * 5
    owed = [cast.owed(phone.pk) for phone in made]
    assert [one.origin for one in owed] == [NotifyOrigin.JOB] * 5
    assert [one.next_at - clock.at for one in owed] == [timedelta(seconds=place / 2) for place in range(5)]
    version = outbox.current_file(made[0].pk)
    assert (version.number, version.saved_by, version.why) == (2, "tess", "Site settings changed")


def test_only_those_whose_bytes_change():
    one, other = phones(2)
    one.refresh_from_db()
    assignment.save(one, cast.draft(), by="tess", seen_host=one.source_host, own={"vlan_tag": "9"})
    job = carried_out(change(vlan_tag="9"))
    assert (job.done, job.changed) == (2, 1)
    assert outbox.current_file(one.pk).number == 2 and outbox.current_file(other.pk).number == 2
    assert carried_out(runner.start("Again", {"site": ""}, by="tess")).changed == 0


def test_a_phone_starts_its_way_anew_and_says_why():
    phone = cast.applied(cast.assigned()).phone
    carried_out(change(vlan_tag="9"))
    phone.refresh_from_db()
    assert phone.stage == Stage.ASSIGNED
    assert LiveEvent.objects.filter(mac=phone.mac, text__startswith="Site settings changed, by tess").exists()


def test_the_old_notify_is_superseded():
    (phone,) = phones(1)
    before = cast.owed(phone.pk)
    carried_out(change(vlan_tag="9"))
    before.refresh_from_db()
    assert before.state == NotifyState.SUPERSEDED
    assert cast.owed(phone.pk).pk != before.pk


def test_seen_and_ignored_phones_are_left_alone():
    seen, ignored = cast.seen(), phones(1)[0]
    Phone.objects.filter(pk=ignored.pk).update(stage=Stage.IGNORED)
    assert carried_out(change(vlan_tag="9")).total == 0
    assert not ConfigFile.objects.filter(phone=seen).exists()


def test_a_phone_that_cannot_have_it_is_named_with_its_field_and_the_others_go_on():
    broken, fine = phones(2)
    # An account without its server: as if the rows had been written by hand.
    broken.accounts.update(sip_server="")
    job = carried_out(change(vlan_tag="9"))
    assert (job.state, job.changed, job.failed) == (JobState.DONE, 1, 1)
    (failure,) = job.failures.all()
    assert (failure.phone, failure.field) == (broken, "account.1.sip_server")
    assert "enter host" in failure.message
    assert outbox.current_file(broken.pk).number == 1, "it keeps its last good file"
    assert said(fine)["vlan_tag"] == "9"


def test_it_can_be_paused_resumed_and_cancelled(monkeypatch):
    monkeypatch.setattr(runner, "CHUNK", 1)
    made = phones(3)
    job = change(vlan_tag="9")
    real = rerender.rerender

    def pausing(job, ids):
        runner.pause(job.pk)
        return real(job, ids)

    monkeypatch.setattr(runner, "rerender", pausing)
    assert (carried_out(job).state, job.done) == (JobState.PAUSED, 1)
    assert carried_out(job).done == 1, "a paused job does nothing"
    monkeypatch.setattr(runner, "rerender", real)
    runner.resume(job.pk)
    assert (carried_out(job).state, job.done, job.changed) == (JobState.DONE, 3, 3)
    assert {outbox.current_file(phone.pk).number for phone in made} == {2}
    with pytest.raises(runner.JobError, match="done"):
        runner.cancel(job.pk)


def test_a_cancelled_job_does_nothing():
    phones(1)
    job = change(vlan_tag="9")
    runner.cancel(job.pk)
    assert (carried_out(job).state, job.done) == (JobState.CANCELLED, 0)


def test_it_is_taken_up_where_a_worker_died(monkeypatch, clock):
    monkeypatch.setattr(runner, "CHUNK", 1)
    made = phones(3)
    job = change(vlan_tag="9")
    real, calls = rerender.rerender, []

    def dying(job, ids):
        calls.append(ids)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(job, ids)

    monkeypatch.setattr(runner, "rerender", dying)
    with pytest.raises(KeyboardInterrupt):
        runner.run.call(job.pk)
    assert carried_out(job).done == 1, "another worker leaves it alone while the first may still be there"
    clock.forward(runner.LOST_AFTER_SECONDS + 1)
    assert runner.revive() == 1
    assert runner.revive() == 0, "it is called once in a while, not in every round"
    assert (carried_out(job).state, job.done, job.changed) == (JobState.DONE, 3, 3)
    assert calls == [[made[0].pk], [made[1].pk], [made[1].pk], [made[2].pk]]


def test_whoever_is_saved_meanwhile_is_looked_at_anew(monkeypatch):
    (phone,) = phones(1)
    job = change(vlan_tag="9")
    real = rerender._store

    def store_later(job, versions, before):
        monkeypatch.setattr(rerender, "_store", real)
        cast.save(phone, cast.draft(display_name="Tess II"))
        return real(job, versions, before)

    monkeypatch.setattr(rerender, "_store", store_later)
    carried_out(job)
    assert said(phone)["account1_display_name"] == "Tess II"
    assert said(phone)["vlan_tag"] == "9"
    assert list(ConfigFile.objects.filter(phone=phone).values_list("number", flat=True)) == [2, 1]


@pytest.mark.parametrize("pace", [0, -1, 1000])
def test_a_pace_that_is_none_is_refused(pace):
    with pytest.raises(runner.JobError, match="enter a number"):
        runner.start("x", {}, by="tess", pace_per_second=pace)
