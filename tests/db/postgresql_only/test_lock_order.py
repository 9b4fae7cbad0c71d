"""Phone before NOTIFY: whoever withholds or drops a row waits for a person who asks again, never in a circle with him.

A person's transaction has locked the phone and is about to write its NOTIFY; the listener comes by another connection.
"""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from devices import batch, inventory
from provisioning import commands, outbox, starts
from provisioning.jobs import orders
from provisioning.jobs.models import JobState, JobTarget
from provisioning.models import Notify, NotifyKind
from tests import cast
from tests.support.site import wait_for

pytestmark = [pytest.mark.db, pytest.mark.django_db(transaction=True)]
SECONDS = 20


def withheld(row: outbox.Due) -> None:
    outbox.withhold(row, "The address is not verified.", alarm=True)


def three_sent_today(row: outbox.Due) -> None:
    """It is an automatic one, and three of them were sent today."""
    at = timezone.now() - timedelta(hours=1)
    Notify.objects.filter(pk=row.pk).update(origin="automatic")
    for _ in range(starts.AUTOMATIC_PER_DAY):
        Notify.objects.create(phone_id=row.phone_id, config_file_id=row.config_file_id, origin="automatic",
                              state="delivered", created_at=at, next_at=at, first_sent_at=at)  # fmt: skip


def somebody_waits_for_us() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        return cursor.fetchone()[0] > 0


def in_the_way_of(person: Callable[[], object], listener: Callable[[], object], phone_id: int) -> None:
    """The listener comes when the person's transaction has the phone; both must come to their end."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            listener()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    other = threading.Thread(target=run)
    with transaction.atomic():
        assert inventory.approve_address(phone_id, cast.HOST)
        other.start()
        wait_for(somebody_waits_for_us, SECONDS, "the listener waits for the phone")
        person()
    other.join(SECONDS)
    assert not other.is_alive()
    if errors:
        raise errors[0]


@pytest.fixture
def row() -> outbox.Due:
    notify = cast.owed(cast.assigned().phone_id)
    return outbox.read(Notify.objects.filter(pk=notify.pk))[0]


def asks_again(row: outbox.Due) -> None:
    assert outbox.notify_again(row.phone_id, "tess", cast.HOST) is not None


def test_a_row_is_withheld_while_a_person_asks_again(row):
    in_the_way_of(lambda: asks_again(row), lambda: withheld(row), row.phone_id)
    assert Notify.objects.get(pk=row.pk).state == "superseded"
    assert (cast.owed(row.phone_id).state, cast.owed(row.phone_id).origin) == ("waiting", "person")


def test_a_row_over_the_limits_is_dropped_while_a_person_asks_again(row):
    three_sent_today(row)
    (automatic,) = outbox.read(Notify.objects.filter(pk=row.pk))
    in_the_way_of(lambda: asks_again(row), lambda: starts.hold_to_limits([automatic], timezone.now()), row.phone_id)
    assert Notify.objects.get(pk=row.pk).state == "superseded"
    assert cast.owed(row.phone_id).origin == "person"


def test_a_command_expires_while_a_person_asks_again(row):
    old = commands.send(row.phone_id, NotifyKind.REBOOT, "tess", cast.HOST)
    Notify.objects.filter(pk=old.pk).update(next_at=timezone.now() - timedelta(minutes=3))
    in_the_way_of(
        lambda: commands.send(row.phone_id, NotifyKind.REBOOT, "tess", cast.HOST),
        lambda: outbox.expire_commands(timezone.now()),
        row.phone_id,
    )
    assert Notify.objects.get(pk=old.pk).state == "superseded"
    (waiting,) = Notify.objects.filter(kind=NotifyKind.REBOOT, state="waiting")
    assert waiting.pk != old.pk


def test_a_phone_is_forgotten_while_an_order_for_it_is_stored(row, monkeypatch):
    """Forgetting waits, and takes the target along; the order is whole."""

    def forget() -> None:
        inventory.forget(row.phone_id, "theo")
        connection.close()

    forgetting, insert = threading.Thread(target=forget), batch.insert

    def meanwhile(model, *rest, **more):
        if model is JobTarget:
            forgetting.start()
            wait_for(lambda: somebody_waits_for_us() or not forgetting.is_alive(), SECONDS, "it waits, or is done")
        return insert(model, *rest, **more)

    monkeypatch.setattr(batch, "insert", meanwhile)
    ordered = orders.start("reboot", [(row.phone_id, cast.HOST)], by="tess")
    forgetting.join(SECONDS)
    assert ordered.state == JobState.WAITING and not ordered.targets.exists()
