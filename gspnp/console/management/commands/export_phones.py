"""`manage.py export_phones`: phones as the table that `import_phones` reads."""

import os
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from devices.choices import Stage
from devices.models import Phone
from gspnp.console.cli import me
from provisioning.importing import exporting
from provisioning.tables.table import TableError
from provisioning.tables.writing import XLSX, csv_pieces, write_table


class Command(BaseCommand):
    help = "Export phones to a CSV or XLSX file, by its ending. Without --secrets no password is in it."

    def add_arguments(self, parser):
        parser.add_argument("file", type=Path)
        parser.add_argument("--site", help="only the phones of this site; empty: those of the default site")
        parser.add_argument("--retired", action="store_true", help="retired phones too")
        parser.add_argument("--secrets", action="store_true", help="with SIP passwords; the phones' timelines say so")

    def handle(self, file, **options):
        phones = Phone.objects.all() if options["retired"] else Phone.objects.exclude(stage=Stage.RETIRED)
        if options["site"] is not None:
            phones = phones.filter(site=options["site"])
        secrets = options["secrets"]
        names = exporting.headers(phones, secrets=secrets)
        try:
            rows = exporting.rows(phones, names, secrets=secrets, by=me())
        except TableError as error:
            raise CommandError(str(error)) from error
        try:
            # For nobody but its owner: it may hold every password of the house.
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                if file.suffix.lower() == f".{XLSX}":
                    out.write(write_table(XLSX, names, rows))
                else:
                    out.writelines(piece.encode("utf-8") for piece in csv_pieces(names, rows))
        except OSError as error:
            raise CommandError(f"{file} cannot be written: {error.strerror}.") from error
        except TableError as error:
            file.unlink(missing_ok=True)
            raise CommandError(str(error)) from error
        self.stderr.write(f"{phones.count()} phones are in {file}.")
