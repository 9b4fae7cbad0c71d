"""`manage.py extensions`: the directory as a list, from a file, and into one. All of a file, or nothing of it."""

import logging
import os
import sys
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from devices import holders
from devices.crypto import CannotDecrypt
from devices.directory import VersionConflict
from devices.mac import colons
from gspnp.console.cli import me
from gspnp.console.extensions.files import UNREADABLE, table_rows
from gspnp.console.extensions.table import DirectoryQuery, filtered
from provisioning.extensions import importing
from provisioning.extensions.importing import ADD, CHANGE, COLUMNS, MAX_ROWS, Preview
from provisioning.tables.reading import read_table
from provisioning.tables.table import TableError
from provisioning.tables.writing import write_table

log = logging.getLogger(__name__)

READ_AT_ONCE = 500
ERRORS_SHOWN = 50


class Command(BaseCommand):
    help = "Extensions that phones can be given: list them, read them from a CSV or XLSX file, write them into one."

    def add_arguments(self, parser):
        what = parser.add_subparsers(dest="what", required=True)
        shown = what.add_parser("list", help="number, name, site, SIP server, and the phones that have it")
        shown.add_argument("--search", default="", help="part of a number, name, site or SIP server")
        shown.add_argument("--free", action="store_true", help="only those that no phone has")
        shown.add_argument("--site", help="only this site; '' is the default one")
        read = what.add_parser("import", help="store a file's extensions, as the console does")
        read.add_argument("file", help=f"CSV or XLSX; - is standard input. Columns: {', '.join(COLUMNS)}")
        read.add_argument("--site", default="", help="of rows that name none")
        read.add_argument("--dry-run", action="store_true", help="say what would be done, and store nothing")
        write = what.add_parser("export", help="write every extension")
        write.add_argument("file", help="name.csv or name.xlsx; - is CSV to standard output")
        write.add_argument("--secrets", action="store_true", help="with the secrets; the file is for its owner only")

    def handle(self, **options):
        {"list": self._list, "import": self._import, "export": self._export}[options["what"]](options)

    def _list(self, options: dict) -> None:
        only = "free" if options["free"] else ""
        query = DirectoryQuery(q=options["search"].strip(), only=only, site=options["site"])
        rows = filtered(query)
        for start in range(0, rows.count(), READ_AT_ONCE):
            bite = list(rows[start : start + READ_AT_ONCE])
            held = holders.of_extensions(bite)
            for one in bite:
                phones = ", ".join(dict.fromkeys(colons(holder.mac) for holder in held[one.pk])) or "free"
                self.stdout.write(
                    f"{one.number:<12} {one.name:<24} {one.site or '-':<12} {one.sip_server or '-':<24} {phones}"
                )

    def _import(self, options: dict) -> None:
        try:
            rows = importing.rows_of(read_table(Path(options["file"]).name, _read(options["file"]), max_rows=MAX_ROWS))
        except TableError as error:
            raise CommandError(str(error)) from error
        shown = importing.preview(rows, options["site"], compares_secrets=True)
        if shown.faults:
            raise CommandError("Nothing was stored:\n" + "\n".join(_faults(shown)))
        if not options["dry_run"]:
            try:
                importing.store(rows, options["site"], shown.mark, compares_secrets=True)
            except VersionConflict as conflict:
                raise CommandError("Somebody changed extensions at this moment. Try again.") from conflict
            log.info("extensions: %s: imported by %s", options["file"], me())
        would = "would be " if options["dry_run"] else ""
        added, changed = len(shown.of(ADD)), len(shown.of(CHANGE))
        self.stdout.write(f"{added} {would}added, {changed} {would}changed, {len(shown.of(importing.SAME))} the same.")

    def _export(self, options: dict) -> None:
        name, secrets = options["file"], options["secrets"]
        headers = [column for column in COLUMNS if secrets or column != "secret"]
        kind = "xlsx" if name.lower().endswith(".xlsx") else "csv"
        try:
            content = write_table(kind, headers, table_rows(DirectoryQuery(), headers))
        except CannotDecrypt as error:
            raise CommandError(UNREADABLE) from error
        except TableError as error:
            raise CommandError(str(error)) from error
        if secrets:
            log.warning("extensions: exported with their secrets by %s", me())
        if name == "-":
            self.stdout.write(content.decode("utf-8").removeprefix("\ufeff"), ending="")
            return
        try:
            _write(Path(name), content)
        except OSError as error:
            raise CommandError(f"{name}: {error.strerror}.") from error


def _read(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror}.") from error


def _write(path: Path, content: bytes) -> None:
    """For its owner only from its first byte on; one that is there is not overwritten."""
    with open(path, "xb", opener=lambda file, flags: os.open(file, flags, 0o600)) as file:
        file.write(content)


def _faults(shown: Preview) -> list[str]:
    lines = [f"row {one.row}: {one.field}: {one.message}" for one in shown.faults]
    more = len(lines) - ERRORS_SHOWN
    return [*lines[:ERRORS_SHOWN], *([f"… and {more} more"] if more > 0 else [])]
