"""Every kind of job is in one table; what is in none does nothing; and the runner goes on whatever the clock does."""

import os
import subprocess
import sys
from datetime import timedelta
from importlib import import_module

import pytest
from django.utils import timezone

from provisioning import outbox
from provisioning.jobs import kinds, orders, runner
from provisioning.jobs.models import Job, JobState
from provisioning.layers import store
from provisioning.layers.scope import phones_under
from provisioning.models import OPEN_STATES, Notify, NotifyKind
from tests import cast
from tests.support.orders import carried_out, ordered, phones

pytestmark = [pytest.mark.django_db, pytest.mark.db]


@pytest.fixture
def clock():
    with cast.stopped_clock() as clock:
        yield clock


def job_of(kind: str, **values: object) -> Job:
    now = timezone.now()
    return Job.objects.create(kind=kind, title="x", created_by="tess", created_at=now, called_at=now, **values)


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_each_kind_can_be_carried_out_and_says_what_becomes_of_its_phones(kind):
    found = kinds.KINDS[kind]
    assert callable(import_module(found.module).run_chunk)
    words = found.words
    assert all((words.held, words.dropped, words.our_fault, str(words.cancelled))) and words.held != words.dropped


def test_who_asks_what_is_said_of_a_job_loads_no_queue():
    asks = "import django; django.setup(); import provisioning.jobs.telling, provisioning.jobs.chunks, sys; "
    loaded = "print([name for name in sys.modules if name.startswith(('django_tasks', 'provisioning.importing.a'))])"
    door = {**os.environ, "DJANGO_SETTINGS_MODULE": "gspnp.settings_phones"}
    done = subprocess.run([sys.executable, "-c", asks + loaded], env=door, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class TestUnknown:
    """What this version does not know, of a newer one, say."""

    def test_a_job_of_an_unknown_kind_is_refused_and_touches_no_phone(self, clock):
        (phone,) = phones(1)
        store.save(store.find("site", ""), {"vlan_tag": "9"}, by="tess")
        job = carried_out(job_of("levitate", scope={}))
        assert job.state == JobState.FAILED and "levitate" in job.words
        assert outbox.current_file(phone.pk).number == 1 and not Notify.objects.exists()

    def test_it_can_be_paused_and_cancelled(self, clock):
        job = job_of("levitate")
        runner.pause(job.pk)
        runner.cancel(job.pk)
        assert Job.objects.get().state == JobState.CANCELLED

    def test_nobody_orders_one(self):
        with pytest.raises(AssertionError, match="levitate"):
            runner.start("x", {}, by="tess", kind="levitate")

    @pytest.mark.parametrize("scope", [{"floor": 3}, {"import": 1}, {"template": "1"}, {"site": "", "floor": 3}])
    def test_an_unknown_scope_is_not_everybody(self, clock, scope):
        (phone,) = phones(1)
        store.save(store.find("site", ""), {"vlan_tag": "9"}, by="tess")
        with pytest.raises(ValueError, match="no such scope"):
            phones_under(scope)
        job = carried_out(job_of(kinds.RERENDER, scope=scope))
        assert (job.state, job.words) == (JobState.FAILED, kinds.RERENDERING.our_fault)
        assert outbox.current_file(phone.pk).number == 1
        assert phones_under({}).count() == 1


class TestClockThatWentBack:
    """A week, say: nobody waits until it has caught up."""

    def test_an_order_between_two_turns_goes_on(self, clock):
        job = carried_out(ordered("reboot", phones(20)))
        assert (job.worker, job.done) == ("", 8)
        clock.forward(days=-7)
        assert runner.revive() == 1, "the queue would call only when the clock has caught up"
        assert runner.revive() == 0
        job = carried_out(job)
        assert (job.state, job.done) == (JobState.RUNNING, 16)
        assert Notify.objects.filter(next_at__lte=clock.at + timedelta(seconds=15)).count() == 8

    def test_a_job_whose_worker_is_gone_is_taken_up(self, clock):
        phones(1)
        job = job_of(kinds.RERENDER, state=JobState.RUNNING, worker="gone", beat_at=clock.at)
        clock.forward(days=-7)
        assert runner.revive() == 1
        assert carried_out(job).state == JobState.DONE

    def test_no_turn_is_waited_for_longer_than_is_believed(self, clock):
        job = job_of("reboot", state=JobState.RUNNING, worker="me")
        assert not runner._goes_on(job, kinds.Next(at=clock.at + timedelta(days=1)))
        job.refresh_from_db()
        assert job.called_at == clock.at + timedelta(seconds=runner.LONGEST_WAIT_SECONDS)
        clock.forward(runner.LONGEST_WAIT_SECONDS)
        carried_out(job)
        assert Job.objects.get().state == JobState.DONE


def test_two_who_order_the_same_at_the_same_moment_restart_nobody_twice(clock, monkeypatch):
    made = phones(3)
    second, stored = [], orders._store

    def meanwhile(*args):
        if not second:
            second.append(None)
            second.append(ordered("reboot", made, by="theo"))
        return stored(*args)

    monkeypatch.setattr(orders, "_store", meanwhile)
    first = carried_out(ordered("reboot", made))
    theirs = carried_out(second[1])
    assert (first.state, theirs.state) == (JobState.DONE, JobState.DONE)
    restarts = Notify.objects.filter(kind=NotifyKind.REBOOT, state__in=OPEN_STATES)
    assert sorted(restarts.values_list("phone", flat=True)) == [phone.pk for phone in made]
