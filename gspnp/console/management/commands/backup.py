"""`manage.py backup`: the data into one place, the keys into another."""

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from gspnp.backup.archive import BackupError
from gspnp.backup.making import beside, make


class Command(BaseCommand):
    help = (
        "Back up database and firmware images into an archive in DIR, while gspnp runs or not; no key is in it, and "
        "without its keys it tells no secret. The keys go to another folder."
    )

    def add_arguments(self, parser):
        parser.add_argument("folder", type=Path, metavar="DIR")
        where = parser.add_mutually_exclusive_group()
        where.add_argument(
            "--keys",
            type=Path,
            metavar="FOLDER",
            help="for the keys, on another disk; else DIR-keys beside DIR",
        )
        where.add_argument("--no-keys", action="store_true", help="write no keys; they are backed up elsewhere")

    def handle(self, folder, **options):
        apart = None if options["no_keys"] else options["keys"] or beside(folder)
        try:
            made = make(folder, apart)
        except BackupError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"The data is in {made.archive} ({made.archive.stat().st_size:,} bytes).")
        if made.lost:
            self.stderr.write(
                f"{made.lost} secrets in it are opened by none of the keys. Look for older keys, add them to "
                "field-keys, and back up anew."
            )
        if made.keys is None:
            self.stdout.write("No key was written. Without field-keys this backup cannot be brought back.")
        else:
            self.stdout.write(f"Its keys are in {made.keys}: keep them elsewhere. Whoever has both has every secret.")
        if made.stays:
            both = " and ".join(map(str, made.stays))
            needed = " Without its keys the archive is worthless." if made.keys in made.stays else ""
            self.stderr.write(
                f"On the same disk as the data folder, and lost with it: {both}.{needed} Copy that to another machine "
                "or disk now, or name another place (--keys for the keys)."
            )
