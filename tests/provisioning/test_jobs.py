"""Jobs: a change of a layer reaches exactly the phones whose bytes change, at its pace, and can be stopped."""

from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection

from devices import inventory
from devices.choices import Stage
from devices.models import LiveEvent, Phone
from provisioning import assignment, outbox, plan, rendering
from provisioning.gxp.document import values
from provisioning.jobs import chunks, kinds, pace, rerender, runner, standing, telling
from provisioning.jobs.models import Job, JobState
from provisioning.layers import stack, store
from provisioning.models import ConfigFile, Notify, NotifyOrigin, NotifyState, SettingsLayer
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
    return runner.start("Site settings changed", {"site": ""}, by="tess", pace_per_minute=120)


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


@pytest.mark.parametrize("named", [True, False])
def test_a_phone_that_is_forgotten_meanwhile_leaves_nothing_undone(named, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 1)
    made = phones(3)
    scope = {"phones": [phone.pk for phone in made]} if named else {"site": ""}
    job = runner.start("Site settings changed", scope, by="tess")
    inventory.forget(made[1].pk, "theo")
    job = carried_out(job)
    assert (job.state, job.done, job.total) == (JobState.DONE, 2, 2)


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


@contextmanager
def paused_in_its_first_chunk(monkeypatch):
    """Somebody pauses the job that is carried out in here, while its first chunk is rendered."""
    real = rerender.rerender

    def pausing(job, ids):
        runner.pause(job.pk)
        return real(job, ids)

    with monkeypatch.context() as patched:
        patched.setattr(rerender, "run_chunk", chunks.by_ids(pausing))
        yield


def test_it_can_be_paused_resumed_and_cancelled(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 1)
    made = phones(3)
    job = change(vlan_tag="9")
    with paused_in_its_first_chunk(monkeypatch):
        assert (carried_out(job).state, job.done) == (JobState.PAUSED, 1)
        assert carried_out(job).done == 1, "a paused job does nothing"
    runner.resume(job.pk)
    assert (carried_out(job).state, job.done, job.changed) == (JobState.DONE, 3, 3)
    assert {outbox.current_file(phone.pk).number for phone in made} == {2}


class TestTelling:
    """What a job owes to its phones can be stopped too, while it renders and afterwards."""

    def states(self, made) -> list[str]:
        return [Notify.objects.filter(phone=phone).order_by("-pk").first().state for phone in made]

    def test_a_paused_job_tells_nobody_and_goes_on_at_its_pace(self, clock, monkeypatch):
        monkeypatch.setattr(chunks, "CHUNK", 2)
        made = phones(4)
        job = change(vlan_tag="9")
        with paused_in_its_first_chunk(monkeypatch):
            carried_out(job)
        assert self.states(made[:2]) == [NotifyState.WITHHELD] * 2, "what the last chunk owes is held back too"
        clock.forward(hours=1)
        runner.resume(job.pk)
        carried_out(job)
        assert self.states(made) == [NotifyState.WAITING] * 4
        due = [cast.owed(phone.pk).next_at - clock.at for phone in made]
        assert due == [timedelta(seconds=place / 2) for place in range(4)], "not all at once after an hour"

    def test_a_job_that_goes_on_while_its_chunk_is_stored_holds_nobody_back_for_ever(self, monkeypatch):
        made = phones(2)
        job = change(vlan_tag="9")
        store_chunk, go_on, outcomes = rerender._store, telling.go_on, []

        def pressed(job, versions):
            """Paused before the chunk is stored; resumed so that it is stored after others were let go."""

            def stored_afterwards(job):
                released = go_on(job)
                outcomes.append(store_chunk(job, versions))
                return released

            runner.pause(job.pk)
            with monkeypatch.context() as patched:
                patched.setattr(telling, "go_on", stored_afterwards)
                runner.resume(job.pk)
            return outcomes[0]

        monkeypatch.setattr(rerender, "_store", pressed)
        carried_out(job)
        assert self.states(made) == [NotifyState.WAITING] * 2

    def test_the_telling_of_a_job_that_is_done_can_be_paused_and_goes_on(self, clock):
        made = phones(3)
        job = carried_out(change(vlan_tag="9"))
        clock.forward(minutes=10)
        runner.pause(job.pk)
        assert self.states(made) == [NotifyState.WITHHELD] * 3
        assert standing.of(job).told.held == 3
        runner.resume(job.pk)
        assert self.states(made) == [NotifyState.WAITING] * 3
        assert standing.of(job).told.until == clock.at + timedelta(seconds=1)

    def test_a_cancelled_job_tells_nobody_any_more(self):
        made = phones(2)
        job = carried_out(change(vlan_tag="9"))
        runner.cancel(job.pk)
        assert self.states(made) == [NotifyState.NOT_NEEDED] * 2
        assert [said(phone)["vlan_tag"] for phone in made] == ["9"] * 2, "they take it at their next start"
        for press in (runner.pause, runner.resume, runner.cancel):
            with pytest.raises(runner.JobError, match="done"):
                press(job.pk)

    def test_a_phone_that_starts_up_is_told_although_its_job_is_paused(self):
        (phone,) = phones(1)
        job = carried_out(change(vlan_tag="9"))
        runner.pause(job.pk)
        cast.restarted(outbox.current_file(phone.pk))
        assert self.states([phone]) == [NotifyState.WAITING]
        assert telling.go_on(job) == 0

    def test_whom_a_person_withheld_is_not_let_go_with_the_job(self):
        (phone,) = phones(1)
        job = carried_out(change(vlan_tag="9"))
        Notify.objects.filter(job=job).update(state=NotifyState.WITHHELD, note="Another device has its address.")
        assert telling.go_on(job) == 0
        assert standing.of(job).told.held == 0


def test_a_worker_whose_job_was_taken_over_counts_nothing(monkeypatch):
    phones(2)
    monkeypatch.setattr(chunks, "CHUNK", 1)
    job = change(vlan_tag="9")
    real = rerender.rerender

    def taken_over(job, ids):
        Job.objects.filter(pk=job.pk).update(worker="another")
        return real(job, ids)

    monkeypatch.setattr(rerender, "run_chunk", chunks.by_ids(taken_over))
    assert carried_out(job).done == 0


def test_a_pace_that_takes_more_than_a_day_is_refused(monkeypatch):
    phones(3)
    monkeypatch.setattr(pace, "LONGEST_MINUTES", 0.2)
    with pytest.raises(runner.JobError, match="enter 15 or more"):
        runner.start("x", {}, by="tess", pace_per_minute=12)
    runner.start("x", {}, by="tess", pace_per_minute=15)


def test_one_phone_that_cannot_be_read_does_not_stop_the_others():
    made = phones(3)
    job = change(vlan_tag="9")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE provisioning_settingslayer SET sealed = %s WHERE phone_id = %s", [b"x", made[1].pk])
        cursor.execute("UPDATE devices_account SET password = 'gAAAAx' WHERE phone_id = %s", [made[2].pk])
    done = carried_out(job)
    assert (done.state, done.changed, done.failed) == (JobState.DONE, 1, 2)
    assert {one.phone_id for one in done.failures.all()} == {made[1].pk, made[2].pk}
    assert all("GSPNP_FIELD_KEYS" in one.message for one in done.failures.all())


def test_a_fault_of_ours_with_one_phone_is_its_failure_and_with_the_job_ends_it(monkeypatch):
    made = phones(2)
    real = rendering.next_version

    def broken(wanted, *args, **options):
        if wanted.phone.pk == made[0].pk:
            raise RuntimeError("broken")
        return real(wanted, *args, **options)

    monkeypatch.setattr(rendering, "next_version", broken)
    done = carried_out(change(vlan_tag="9"))
    assert (done.state, done.changed, done.failed) == (JobState.DONE, 1, 1)
    monkeypatch.setattr(rerender, "run_chunk", broken)
    failed = carried_out(change(vlan_tag="8"))
    assert (failed.state, failed.words) == (JobState.FAILED, kinds.RERENDERING.our_fault)
    assert runner.revive() == 0


def test_a_job_that_was_faster_than_a_person_takes_nothing_away(monkeypatch):
    """And the other way round: both decisions are in the file of the one that came last."""
    (phone,) = phones(1)
    job = change(vlan_tag="9")
    real, done = rendering.next_version, []

    def job_first(wanted, current, **options):
        version = real(wanted, current, **options)
        if not done:
            done.append(True)
            store.save(store.find("site", ""), {"vlan_tag": "8"}, by="theo")
            carried_out(job)
        return version

    monkeypatch.setattr(rendering, "next_version", job_first)
    cast.save(phone, cast.draft(user_id="7777"))
    assert (said(phone)["vlan_tag"], said(phone)["account1_sip_user_id"]) == ("8", "7777")


def test_a_save_between_the_reading_of_accounts_and_of_versions_is_not_lost(monkeypatch):
    (phone,) = phones(1)
    job = change(vlan_tag="9")
    real, done = stack.stacks, []

    def save_meanwhile(phones):
        if not done:
            done.append(True)
            cast.save(phone, cast.draft(user_id="7777"))
        return real(phones)

    monkeypatch.setattr(stack, "stacks", save_meanwhile)
    carried_out(job)
    assert (said(phone)["vlan_tag"], said(phone)["account1_sip_user_id"]) == ("9", "7777")


def test_a_save_that_changes_no_byte_is_not_lost_to_a_job(monkeypatch):
    (phone,) = phones(1)
    carried_out(change(vlan_tag="7"))
    job = change(vlan_tag="9")
    real, done = rerender._store, []

    def own_first(job, versions):
        if not done:
            done.append(own_vlan(phone, "7"))
        return real(job, versions)

    monkeypatch.setattr(rerender, "_store", own_first)
    carried_out(job)
    assert done == [False] and said(phone)["vlan_tag"] == "7"


def test_a_job_is_not_lost_to_a_save_that_changes_no_byte(monkeypatch):
    (phone,) = phones(1)
    carried_out(change(vlan_tag="7"))
    real, done = rendering.next_version, []

    def job_first(wanted, current, **options):
        version = real(wanted, current, **options)
        if not done:
            done.append(True)
            carried_out(change(vlan_tag="9"))
        return version

    monkeypatch.setattr(rendering, "next_version", job_first)
    assert own_vlan(phone, "7")
    assert said(phone)["vlan_tag"] == "7"


def own_vlan(phone: Phone, vlan: str) -> bool:
    """Tess pins her phone to a VLAN; whether that made a version."""
    fresh = Phone.objects.get(pk=phone.pk)
    draft, own = plan.draft_of(fresh), {"vlan_tag": vlan}
    return assignment.save(fresh, draft, by="tess", seen_host=fresh.source_host, own=own).changed


def test_a_password_that_a_layer_does_not_name_any_more_is_made_at_random():
    store.save(store.find("site", ""), {"admin_password": "ForAll1"}, by="tess")
    (phone,) = phones(1)
    assert said(phone)["admin_password"] == "ForAll1"
    carried_out(change(vlan_tag="9"))
    assert len(said(phone)["admin_password"]) == rendering.PASSWORD_CHARS
    assert SettingsLayer.objects.get(phone=phone).values["made:admin_password"] == said(phone)["admin_password"]
    number = outbox.current_file(phone.pk).number
    assert carried_out(runner.start("again", {}, by="tess")).changed == 0
    assert outbox.current_file(phone.pk).number == number


def test_a_cancelled_job_does_nothing():
    phones(1)
    job = change(vlan_tag="9")
    runner.cancel(job.pk)
    assert (carried_out(job).state, job.done) == (JobState.CANCELLED, 0)


def test_it_is_taken_up_where_a_worker_died(monkeypatch, clock):
    monkeypatch.setattr(chunks, "CHUNK", 1)
    made = phones(3)
    job = change(vlan_tag="9")
    real, calls = rerender.rerender, []

    def dying(job, ids):
        calls.append(ids)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(job, ids)

    monkeypatch.setattr(rerender, "run_chunk", chunks.by_ids(dying))
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

    def store_later(job, versions):
        monkeypatch.setattr(rerender, "_store", real)
        cast.save(phone, cast.draft(display_name="Tess II"))
        return real(job, versions)

    monkeypatch.setattr(rerender, "_store", store_later)
    carried_out(job)
    assert said(phone)["account1_display_name"] == "Tess II"
    assert said(phone)["vlan_tag"] == "9"
    assert list(ConfigFile.objects.filter(phone=phone).values_list("number", flat=True)) == [2, 1]


@pytest.mark.parametrize("typed", ["0", "-1", "60000", "", "soon", "nan"])
def test_a_pace_that_is_none_is_refused(typed):
    with pytest.raises(runner.JobError, match="enter a number"):
        runner.start("x", {}, by="tess", pace_per_minute=pace.TOLD.read(typed))


def test_who_was_ignored_meanwhile_catches_up():
    (phone,) = phones(1)
    inventory.ignore(phone.pk, "tess")
    assert carried_out(change(vlan_tag="9")).changed == 0
    assert assignment.heed(phone.pk, "tess")
    carried_out(Job.objects.latest("pk"))
    assert said(phone)["vlan_tag"] == "9"
