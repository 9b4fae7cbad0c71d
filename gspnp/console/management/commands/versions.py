"""`manage.py versions`: the history of a phone's file, what differs between two versions, and the way back."""

from django.core.management.base import BaseCommand, CommandError

from devices.crypto import CannotDecrypt
from devices.inventory import VersionConflict
from devices.mac import colons
from devices.models import Phone
from gspnp.console.cli import me, phone_of
from provisioning import versions
from provisioning.assignment import AssignmentError
from provisioning.gxp.config import ConfigError


class Command(BaseCommand):
    help = "List the versions of a phone's file, compare two of them, or go back to one."

    def add_arguments(self, parser):
        parser.add_argument("mac", help="the phone's MAC in any usual spelling")
        parser.add_argument("--diff", nargs=2, type=int, metavar=("A", "B"), help="what differs; secrets are masked")
        parser.add_argument("--back", type=int, metavar="N", help="make what version N said a new version")

    def handle(self, mac, **options):
        phone = phone_of(mac)
        try:
            if options["diff"]:
                for one in versions.compare(phone, *options["diff"]):
                    self.stdout.write(f"{one.name}: {_words(one.before)} -> {_words(one.after)}")
            elif options["back"] is not None:
                self._back(phone, options["back"])
            else:
                self._list(phone)
        except (versions.RollbackError, AssignmentError, VersionConflict) as error:
            raise CommandError(str(error)) from error
        except ConfigError as error:
            lines = "\n".join(f"  {line}" for line in error.lines)
            raise CommandError(f"Not saved:\n{lines}") from error
        except CannotDecrypt as error:
            words = "Its stored secrets cannot be opened: put their key back into GSPNP_FIELD_KEYS."
            raise CommandError(words) from error

    def _list(self, phone: Phone) -> None:
        found = versions.history(phone)
        if not found:
            self.stdout.write("There is no version yet. Saving an assignment makes the first one.")
        for one in found:
            mark = f"{'current' if one.current else '':<8}{'applied' if one.applied else ''}"
            self.stdout.write(f"{one.number:>5} {one.at:%Y-%m-%d %H:%M:%S} {mark:<16} {one.by}: {one.why}".rstrip())

    def _back(self, phone: Phone, number: int) -> None:
        saved = versions.roll_back(phone, number, by=me(), seen_host=phone.source_host)
        if saved.config_file is not None and saved.changed:
            made = f"version {saved.config_file.number} says what version {number} said; its NOTIFY is owed."
        else:
            made = f"nothing has changed: the phone already has what version {number} said."
        self.stdout.write(f"{colons(phone.mac)}: {made}")


def _words(text: str | None) -> str:
    return "not said" if text is None else text or "empty"
