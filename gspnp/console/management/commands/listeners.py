"""`manage.py listeners`: which ones there are, by site, and whether they are heard of; forget one that is gone."""

import json

from django.core.management.base import BaseCommand, CommandError

from gspnp.console.cli import me
from gspnp.console.listeners import Shown
from sipmcast import silence
from sipmcast.models import ListenerStatus

FIELDS = ("name", "site", "started_at", "heartbeat_at", "stopped_at", "interfaces", "trouble", "warnings", "counters")


class Command(BaseCommand):
    help = "List the listeners by site, or forget those that are gone for good."

    def add_arguments(self, parser):
        parser.add_argument("--forget", action="append", default=[], metavar="NAME", help="may be repeated")
        parser.add_argument("--json", action="store_true", help="print them as JSON")

    def handle(self, forget, **options):
        left = [name for name in forget if not silence.forget(name, me())]
        rows = [Shown(row) for row in ListenerStatus.objects.order_by("site", "name")]
        if options["json"]:
            said = [{name: getattr(one.status, name) for name in FIELDS} | {"state": one.state} for one in rows]
            self.stdout.write(json.dumps(said, default=lambda at: at.isoformat()))
        else:
            for one in rows:
                beat = f"{one.status.heartbeat_at:%Y-%m-%d %H:%M:%S}"
                places = ", ".join(map(str, one.status.interfaces)) or "no interface"
                self.stdout.write(
                    f"{one.status.site or '-':<16} {one.state_words:<20} {beat}  {one.status.name}  ({places})"
                )
        if left:
            raise CommandError(f"Not forgotten, because it is not there or lives: {', '.join(left)}.")
