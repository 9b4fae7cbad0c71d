"""`manage.py decoys`: list decoy MACs, make some, list or remove one."""

import json

from django.core.management.base import BaseCommand, CommandError

from devices import decoys
from devices.mac import MacError, colons, parse_mac
from devices.models import Decoy
from gspnp.console.cli import me


class Command(BaseCommand):
    help = (
        "Decoys are MACs that no phone has: whoever asks for the file of one, or announces one, raises an alarm. "
        "Without an option they are listed."
    )

    def add_arguments(self, parser):
        parser.add_argument("--make", type=int, metavar="N", help="make so many near the MACs of listed phones")
        parser.add_argument("--add", action="append", default=[], metavar="MAC", help="list this MAC; may be repeated")
        parser.add_argument("--remove", action="append", default=[], metavar="MAC", help="no decoy any more")
        parser.add_argument("--note", default="", help="what --add and --make note beside them")
        parser.add_argument("--json", action="store_true", help="print the decoys as JSON")

    def handle(self, make, add, remove, note, **options):
        try:
            gone = [parse_mac(mac) for mac in remove]
            for mac in add:
                decoys.add(mac, me(), note)
            if make is not None:
                decoys.make(make, me(), note)
        except (MacError, decoys.CannotBeDecoy) as error:
            raise CommandError(str(error)) from error
        if gone and decoys.remove(gone, me()) < len(set(gone)):
            self.stderr.write("Not all of those to be removed were decoys.")
        if options["json"]:
            rows = Decoy.objects.values("mac", "note", "created_by", "created_at")
            self.stdout.write(json.dumps(list(rows), default=lambda at: at.isoformat()))
            return
        for one in Decoy.objects.all():
            self.stdout.write(f"{colons(one.mac)}  {one.note}".rstrip())
