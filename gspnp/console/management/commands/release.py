"""`manage.py release`: let a phone's file out by its plain name for minutes, to one address, once; see what is open."""

import json

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from devices.mac import colons
from gspnp.console.cli import me, phone_of
from provisioning.models import Release
from provisioning.release import windows
from provisioning.release.windows import CannotRelease


class Command(BaseCommand):
    help = (
        "Release a phone's file by its plain name (DHCP option 66, a stored path): to one address, for minutes, one "
        "download. Without a MAC it lists what is open."
    )

    def add_arguments(self, parser):
        parser.add_argument("mac", nargs="?", help="the phone's MAC in any usual spelling")
        parser.add_argument("--address", help="the only address that may fetch; else the one where it was last heard")
        parser.add_argument("--minutes", type=int, default=windows.MINUTES, help="1 to 60 (default: %(default)s)")
        parser.add_argument(
            "--key", action="store_true", help="it was reset: the key of its encrypted file leaves too, if it had that"
        )
        parser.add_argument("--close", action="store_true", help="end what is open for this phone")
        parser.add_argument("--json", action="store_true", help="list as JSON")

    def handle(self, mac, **options):
        if mac is None:
            if options["close"] or options["address"]:
                raise CommandError("Say which phone, by its MAC.")
            self._list(options["json"])
            return
        phone = phone_of(mac)
        if options["close"]:
            closed = windows.close(phone.pk, by=me())
            self.stdout.write(f"{colons(phone.mac)}: {'closed' if closed else 'nothing was open'}.")
            return
        try:
            host = options["address"] if options["address"] is not None else phone.source_host or ""
            minutes, with_key = options["minutes"], options["key"]
            made = windows.open_release(phone.pk, host, by=me(), minutes=minutes, with_key=with_key)
        except CannotRelease as refusal:
            raise CommandError(str(refusal)) from refusal
        until = f"until {made.until:%H:%M:%S} UTC"
        self.stdout.write(f"{colons(phone.mac)}: may fetch its file once by its plain name, from {made.host}, {until}.")

    def _list(self, as_json: bool) -> None:
        rows = Release.objects.filter(windows.is_open(timezone.now())).select_related("phone").order_by("until")
        if as_json:
            found = [
                {"mac": one.phone.mac, "address": one.host, "until": one.until.isoformat(), "by": one.opened_by}
                for one in rows
            ]
            self.stdout.write(json.dumps(found, indent=1))
            return
        for one in rows:
            self.stdout.write(f"{colons(one.phone.mac)} {one.host:<15} until {one.until:%H:%M:%S} UTC, {one.opened_by}")
        if not rows:
            self.stdout.write("Nothing is released.")
