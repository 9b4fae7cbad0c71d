"""`manage.py swap`: another phone takes over from a broken one, which is retired; exactly what the console does."""

from django.core.management.base import BaseCommand, CommandError

from devices.crypto import CannotDecrypt
from devices.inventory import CannotList, VersionConflict
from gspnp.console.assign import UNREADABLE
from gspnp.console.cli import me, phone_of
from provisioning import swapping
from provisioning.assignment import AssignmentError
from provisioning.gxp.config import ConfigError


class Command(BaseCommand):
    help = "Swap a broken phone for another one, which takes over what its model can hold. Without --yes only look."

    def add_arguments(self, parser):
        parser.add_argument("old", help="MAC of the phone that is taken out of service, in any usual spelling")
        parser.add_argument("new", help="MAC of the phone that takes over, seen or not plugged in yet")
        parser.add_argument("--model", default="", help="of a new phone that is not listed yet; default: the old one's")
        parser.add_argument("--yes", action="store_true", help="do it")

    def handle(self, old, new, **options):
        try:
            seen = self._preview(old, new, options["model"])
            if not options["yes"]:
                self.stdout.write("Nothing was done. Say --yes to do it.")
                return
            done = swapping.swap(seen.old, seen.new, by=me(), seen_host=seen.new.source_host)
        except (swapping.SwapError, AssignmentError, VersionConflict, CannotList) as error:
            raise CommandError(str(error)) from error
        except ConfigError as error:
            lines = "\n".join(f"  {line}" for line in error.lines)
            raise CommandError(f"Not swapped:\n{lines}") from error
        except CannotDecrypt as error:
            raise CommandError(UNREADABLE) from error
        waits = "" if done.saved.config_file else " It gets its file as soon as it is plugged in."
        self.stdout.write(f"{done.new} takes over from {done.old}, which is retired.{waits}")

    def _preview(self, old: str, new: str, model: str) -> swapping.Preview:
        broken = phone_of(old)
        seen = swapping.preview(broken, swapping.successor(new, model, broken))
        self.stdout.write(f"{seen.new}, a {seen.new.model}, takes over from {seen.old}, a {seen.old.model}:")
        for line in seen.taken:
            self.stdout.write(f"  {line}")
        if seen.left:
            self.stdout.write("Left behind:")
        for one in seen.left:
            self.stdout.write(f"  {one.what}: {one.why}")
        return seen
