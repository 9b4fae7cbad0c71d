"""`manage.py contacts`: contacts of the phonebooks from a CSV file, and back. All of a file, or nothing of it."""

import csv
import sys
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from gspnp.console.admin.contacts import NUMBERS, ContactForm
from provisioning.models import Contact

COLUMNS = ("site", "first_name", "last_name", "department", *NUMBERS)
MAX_ROWS = 100_000
ERRORS_SHOWN = 20


class Command(BaseCommand):
    help = f"Contacts as CSV with a first line of names: {', '.join(COLUMNS)}."

    def add_arguments(self, parser):
        what = parser.add_subparsers(dest="what", required=True)
        read = what.add_parser("import", help="read contacts; those that are there already stay once")
        read.add_argument("file", help="a CSV file in UTF-8; - is standard input")
        read.add_argument("--site", help="of every contact, whatever the file says")
        what.add_parser("export", help="write every contact to standard output")

    def handle(self, **options):
        if options["what"] == "export":
            writer = csv.writer(self.stdout)
            writer.writerow(COLUMNS)
            writer.writerows(Contact.objects.values_list(*COLUMNS))
            return
        forms = _read(options["file"], options["site"])
        known = set(Contact.objects.values_list(*COLUMNS))
        fresh = []
        for form in forms:
            row = tuple(form.cleaned_data[name] for name in COLUMNS)
            if row not in known:
                known.add(row)
                fresh.append(form.instance)
        with transaction.atomic():
            Contact.objects.bulk_create(fresh, batch_size=100)
        self.stdout.write(f"{len(fresh)} contacts stored, {len(forms) - len(fresh)} were there already.")


def _read(name: str, site: str | None) -> list[ContactForm]:
    """A valid form for each line. Raises CommandError with every line that is wrong; nothing is stored then."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror}.") from error
    except UnicodeError as error:
        raise CommandError(f"{name} is not in UTF-8; save it as CSV UTF-8.") from error
    reader = csv.DictReader(text.splitlines())
    unknown = set(reader.fieldnames or ()) - set(COLUMNS)
    if unknown or not reader.fieldnames:
        raise CommandError(f"The first line must name columns from: {', '.join(COLUMNS)}.")
    forms: list[ContactForm] = []
    wrong: list[str] = []
    for row in reader:
        if len(forms) >= MAX_ROWS:
            raise CommandError(f"The file has more than {MAX_ROWS} lines; split it.")
        if None in row:
            wrong.append(f"line {reader.line_num}: more fields than the first line names")
            continue
        form = ContactForm({**row, "site": row.get("site") or "" if site is None else site})
        forms.append(form)
        for field, problems in form.errors.items():
            wrong.append(f"line {reader.line_num}: {'' if field == '__all__' else f'{field}: '}{problems[0]}")
    if wrong:
        more = f"\n… and {len(wrong) - ERRORS_SHOWN} more" if len(wrong) > ERRORS_SHOWN else ""
        raise CommandError("Nothing was stored:\n" + "\n".join(wrong[:ERRORS_SHOWN]) + more)
    return forms
