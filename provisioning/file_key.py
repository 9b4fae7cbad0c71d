"""The key of a phone's encrypted files is sent once: until the phone has proved that it has it.

Whoever asks by a path that stands only inside an encrypted file has opened it. From then on neither that version nor
one with the same key gives the key by itself: who sends frames with the phone's MAC gets a file that it cannot read. A
phone that was reset has lost its key; only a person can say so.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from devices import batch, inventory
from devices.choices import EventKind
from devices.models import Phone
from provisioning import outbox
from provisioning.models import ConfigFile, Notify, NotifyOrigin
from provisioning.release import windows


class CannotGive(Exception):
    """There is no key to give; the text says what to do."""


def carry(versions: Iterable[ConfigFile]) -> None:
    """What is known of the key goes over to new versions with the same one. Call it in the transaction that stores
    them, with their phones locked: the proof, or a person's word, may have come while they were rendered."""
    like = {version.same_key_as: version for version in versions if version.same_key_as is not None}
    for pk, known_at in batch.select(ConfigFile, ("pk", "key_known_at"), "pk", list(like)) if like else ():
        like[pk].key_known_at = known_at


def proved(version: ConfigFile) -> None:
    """The phone has taken this version by a path that stands in a file with the same key."""
    if version.choice.is_encrypted and version.key_known_at is None:
        ConfigFile.objects.filter(pk=version.pk, key_known_at__isnull=True).update(key_known_at=timezone.now())


def give_again(phone_id: int, *, by: str, seen_host: str | None) -> Notify:
    """A person says that the phone has lost its key: its present version gives it again, to the address shown, of which
    it is notified. Raises CannotGive, outbox.AddressMoved and outbox.Forgotten.

    That ends when the phone has proved once more that it has it.
    """
    with transaction.atomic():
        outbox.lock_phones([phone_id])
        phone = Phone.objects.filter(pk=phone_id).first()
        if phone is None:
            raise outbox.Forgotten
        current = outbox.current_file(phone_id)
        if current is None or not phone.is_assigned:
            raise CannotGive(gettext("This phone has no file yet, and so no key. Assign it first."))
        if not current.choice.is_encrypted:
            words = gettext("Its file is not encrypted, so that it needs no key. Press “Notify again”.")
            raise CannotGive(words)
        if not inventory.approve_address(phone_id, seen_host):
            raise outbox.AddressMoved(phone.source_host)
        # To nobody else: not to where an earlier NOTIFY went, nor to what was released without the key.
        windows.close(phone_id, by=by)
        ConfigFile.objects.filter(pk=current.pk).update(
            key_known_at=None, bootstrap_at=None, first_host=None, first_until=None
        )
        # One that is under way names the encrypted file, and ends.
        notify = outbox.enqueue(current, NotifyOrigin.PERSON, outbox.after_the_last(current, timezone.now()))
        inventory.explain(phone_id, "")
        inventory.tell(phone_id, EventKind.RELEASE, f"The key of its file may leave once more: asked for by {by}.")
    return notify
