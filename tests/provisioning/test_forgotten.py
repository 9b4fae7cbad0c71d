"""A phone that is forgotten, or a file that an undoing deletes, just when somebody does something with it."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from devices import inventory
from provisioning import assignment, commands, outbox
from provisioning.models import ConfigFile, NotifyKind
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db]


def meanwhile(monkeypatch, do) -> None:
    """Once, between the look at the phone's newest file and what is made of it."""
    real, left = outbox.current_file, [do]

    def read(phone_id: int) -> ConfigFile | None:
        found = real(phone_id)
        if left:
            left.pop()()
        return found

    monkeypatch.setattr(outbox, "current_file", read)


def test_a_file_that_is_deleted_while_its_phone_is_saved_is_made_anew(monkeypatch):
    phone = cast.assigned().phone
    meanwhile(monkeypatch, ConfigFile.objects.all().delete)
    assert cast.save(phone, cast.draft(display_name="Theo")).changed
    assert outbox.current_file(phone.pk).number == 1


def test_who_saves_a_phone_that_is_forgotten_reads_so(monkeypatch):
    phone = cast.assigned().phone
    meanwhile(monkeypatch, lambda: inventory.forget(phone.pk, "theo"))
    with pytest.raises((inventory.VersionConflict, assignment.AssignmentError)):
        cast.save(phone, cast.draft(display_name="Theo"))
    assert not ConfigFile.objects.exists()


def test_a_phone_that_is_forgotten_or_moves_before_it_is_asked_again_by_a_save(monkeypatch):
    phone = cast.assigned().phone
    notify_again = outbox.notify_again

    def asked(*arguments, **how):
        inventory.forget(phone.pk, "theo")
        return notify_again(*arguments, **how)

    monkeypatch.setattr(outbox, "notify_again", asked)
    with pytest.raises(assignment.AssignmentError, match="forgotten"):
        cast.save(phone)


def test_who_asks_a_phone_that_is_forgotten_reads_so():
    phone = cast.assigned().phone
    inventory.forget(phone.pk, "theo")
    with pytest.raises(outbox.Forgotten, match="forgotten"):
        outbox.notify_again(phone.pk, "tess", cast.HOST)
    with pytest.raises(outbox.Forgotten, match="forgotten"):
        commands.send(phone.pk, NotifyKind.REBOOT, "tess", cast.HOST)


@pytest.mark.parametrize("what", ["push", "reboot"])
def test_the_command_line_says_so(monkeypatch, what):
    phone = cast.assigned().phone
    for name, module in (("notify_again", outbox), ("send", commands)):
        real = getattr(module, name)

        def asked(*arguments, real=real, **how):
            inventory.forget(phone.pk, "theo")
            return real(*arguments, **how)

        monkeypatch.setattr(module, name, asked)
    with pytest.raises(CommandError, match="forgotten"):
        call_command("tell", phone.mac, what, stdout=StringIO())


def test_the_command_line_says_so_while_it_waits(monkeypatch):
    phone = cast.assigned().phone
    monkeypatch.setattr("gspnp.console.management.commands.tell.time.sleep", lambda _: inventory.forget(phone.pk, ""))
    with pytest.raises(CommandError, match="forgotten"):
        call_command("tell", phone.mac, "reboot", "--wait", "60", stdout=StringIO())


def test_how_far_a_command_came_can_be_read_while_its_phone_is_forgotten():
    version = cast.assigned()
    notify = cast.delivered(version)
    inventory.forget(version.phone_id, "theo")
    steps = {step.name: step.at is not None for step in commands.progress(notify)}
    assert steps["sent"] and not steps["fetched"] and not steps["applied"]
