"""`manage.py import_phones`: exactly what the console's import does, from its preview to its end."""

import json
import sys
from pathlib import Path

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from gspnp.console.cli import me
from provisioning.importing import applying, planning, undoing
from provisioning.importing.columns import KNOWN
from provisioning.importing.models import PhoneImport, RowOutcome
from provisioning.jobs import runner
from provisioning.jobs.pace import TOLD
from provisioning.tables.reading import MAX_BYTES, TableError


class Command(BaseCommand):
    help = f"Import phones from a CSV or XLSX file, all or nothing. Columns: {', '.join(KNOWN)}."

    def add_arguments(self, parser):
        parser.add_argument("file", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="say what would be done; nothing is stored")
        parser.add_argument("--json", action="store_true", help="what each row comes to, as JSON")
        parser.add_argument("--wait", action="store_true", help="until a worker has applied it")
        parser.add_argument(
            "--pace", type=float, default=TOLD.offered, metavar="N", help="phones told a minute (%(default)s)"
        )

    def handle(self, file, **options):
        one = _read(file)
        try:
            self._tell(one, options["json"])
            if one.faulty:
                undoing.discard(one)
                raise CommandError(f"{one.faulty} of {one.total} rows have errors; nothing was written.")
        finally:
            if options["dry_run"]:
                undoing.discard(one)
        if options["dry_run"] or not one.new + one.changed:
            undoing.discard(one)
            return
        try:
            job = applying.apply(one, by=me(), pace_per_minute=options["pace"])
        except (applying.ImportRefused, runner.JobError) as error:
            undoing.discard(one)
            raise CommandError(str(error)) from error
        self.stderr.write(f"Job {job.pk} applies it. `manage.py jobs {job.pk} --wait` tells when it has.")
        if options["wait"]:
            call_command("jobs", str(job.pk), "--wait", stdout=sys.stderr)

    def _tell(self, one: PhoneImport, as_json: bool) -> None:
        rows = one.rows.order_by("pk").defer("before", "after")
        if as_json:
            found = [
                {"row": row.number, "mac": row.mac, "outcome": row.outcome, **row.shown} for row in rows.iterator()
            ]
            self.stdout.write(json.dumps(found, indent=2, ensure_ascii=False))
            return
        for row in rows.filter(outcome=RowOutcome.FAULTY).iterator():
            for column, words in row.shown["faults"]:
                self.stderr.write(f"row {row.number}, {column or 'the phone'}: {words}")
        for row in rows.filter(warned=True).iterator():
            for column, words in row.shown["warnings"]:
                self.stderr.write(f"row {row.number}, {column}: {words} (a warning)")
        self.stdout.write(
            f"{one.total} rows: {one.new} new phones, {one.changed} changes, {one.same} without a change, "
            f"{one.faulty} with errors."
        )


def _read(file: Path) -> PhoneImport:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise TableError(f"{file.name} has more than {MAX_BYTES // 1_000_000} MB. Split it into several files.")
        return planning.read_file(file.name, file.read_bytes(), by=me())
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
    except TableError as error:
        raise CommandError(str(error)) from error
