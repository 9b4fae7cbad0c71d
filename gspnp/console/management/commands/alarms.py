"""`manage.py alarms`: what strangers tried and nobody has dismissed yet; dismiss it."""

import json

from django.core.management.base import BaseCommand, CommandError

from devices import alarms
from gspnp.console.cli import me

FIELDS = ("id", "kind", "source", "mac", "count", "first_at", "last_at")


class Command(BaseCommand):
    help = "List the open alarms that belong to no phone, the newest first, or dismiss some."

    def add_arguments(self, parser):
        parser.add_argument("--dismiss", type=int, action="append", default=[], metavar="ID", help="may be repeated")
        parser.add_argument("--json", action="store_true", help="print the alarms as JSON")

    def handle(self, dismiss, **options):
        late = [one for one in dismiss if not alarms.dismiss(one, me())]
        found = alarms.open_alarms()
        if options["json"]:
            rows = [{name: getattr(one, name) for name in FIELDS} | {"words": alarms.words(one)} for one in found]
            self.stdout.write(json.dumps(rows, default=lambda at: at.isoformat()))
        else:
            for one in found:
                self.stdout.write(f"{one.pk}  {one.last_at:%Y-%m-%d %H:%M:%S}  {alarms.words(one)}")
        if late:
            raise CommandError(f"Not open (any more): {', '.join(map(str, late))}.")
