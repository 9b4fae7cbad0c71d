"""`manage.py paths`: new secret paths for a phone's file, and the end of those of earlier versions."""

from django.core.management.base import BaseCommand, CommandError

from devices.inventory import VersionConflict
from devices.mac import colons
from gspnp.console.cli import me, phone_of
from provisioning import file_key, outbox, rotation
from provisioning.assignment import AssignmentError
from provisioning.gxp.config import ConfigError

REFUSED = (rotation.CannotRotate, AssignmentError, VersionConflict, file_key.CannotGive, outbox.AddressMoved)


class Command(BaseCommand):
    help = (
        "How many paths lead to a phone's file; make new ones, revoke those of earlier versions, or both at once. Or "
        "give the key of its encrypted file once more."
    )

    def add_arguments(self, parser):
        parser.add_argument("mac", help="the phone's MAC in any usual spelling")
        parser.add_argument("--new", action="store_true", help="new paths; the phone is notified of them")
        parser.add_argument("--revoke", action="store_true", help="paths of earlier versions lead nowhere from now on")
        parser.add_argument(
            "--key-again", action="store_true", help="it was reset: it is notified, and the key leaves once more"
        )

    def handle(self, mac, **options):
        phone = phone_of(mac)
        shown = colons(phone.mac)
        if options["key_again"] and (options["new"] or options["revoke"]):
            raise CommandError("Say --key-again by itself.")
        try:
            if options["key_again"]:
                file_key.give_again(phone.pk, by=me(), seen_host=phone.source_host)
                self.stdout.write(f"{shown}: its key leaves once more, its NOTIFY is owed.")
            elif options["new"]:
                revoke = options["revoke"]
                rotation.new_paths(phone, by=me(), seen_host=phone.source_host, revoke_old=revoke)
                old = "the old ones lead nowhere" if revoke else "the old one works until it has come by the new one"
                self.stdout.write(f"{shown}: has new paths, its NOTIFY is owed; {old}.")
            elif options["revoke"]:
                led = rotation.revoke(phone.pk, by=me())
                self.stdout.write(f"{shown}: {f'{led} revoked' if led else 'no earlier path led anywhere'}.")
            else:
                led = rotation.earlier_paths(phone.pk)
                self.stdout.write(f"{shown}: {led} of earlier versions still lead to its present file.")
        except REFUSED as refusal:
            raise CommandError(str(refusal)) from refusal
        except ConfigError as error:
            lines = "\n".join(f"  {line}" for line in error.lines)
            raise CommandError(f"Nothing was changed:\n{lines}") from error
