"""`manage.py phones`: what the console's list shows, for people at a terminal and for scripts."""

import json

from django.core.management.base import BaseCommand

from devices.mac import colons
from devices.models import Phone
from gspnp.console.phone_json import as_json


class Command(BaseCommand):
    help = "List the phones that were seen, or listed before that."

    def add_arguments(self, parser):
        parser.add_argument("--json", action="store_true", help="one JSON array with the contract's field names")

    def handle(self, **options):
        phones = Phone.objects.order_by("listed_at", "mac")
        if options["json"]:
            self.stdout.write(json.dumps([as_json(phone) for phone in phones], indent=1))
            return
        if not phones:
            self.stdout.write("No phone was seen yet. Plug one in, or try: manage.py simulate_phones --interface lo")
            return
        width = max(len("SITE"), *(len(phone.site) for phone in phones))
        self.stdout.write(
            f"{'MAC':<18} {'MODEL':<9} {'FIRMWARE':<12} {'ADDRESS':<16} {'SITE':<{width}} {'STAGE':<9} WHY"
        )
        for phone in phones:
            self.stdout.write(
                f"{colons(phone.mac):<18} {phone.model:<9} {phone.firmware:<12} {phone.source_host or '-':<16} "
                f"{phone.site or '-':<{width}} {phone.stage:<9} {phone.alarm or phone.stage_reason}".rstrip()
            )
