"""`manage.py restore`: bring back what `backup` wrote."""

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from gspnp.backup.archive import BackupError
from gspnp.backup.restoring import restore


class Command(BaseCommand):
    help = (
        "Bring a backup back, gspnp being stopped. It is looked through first: whether it is whole, and whether the "
        "keys open every secret in it. What was there is kept, unless the database is PostgreSQL's."
    )
    requires_system_checks = ()
    requires_migrations_checks = False

    def add_arguments(self, parser):
        parser.add_argument("archive", type=Path)
        parser.add_argument(
            "--keys", type=Path, metavar="FOLDER", help="with its field-keys; if not given, those in use"
        )
        parser.add_argument("--force", action="store_true", help="although there is a database already")

    def handle(self, archive, **options):
        try:
            words = restore(archive, options["keys"], force=options["force"])
        except BackupError as error:
            raise CommandError(str(error)) from error
        for one in words:
            self.stdout.write(one)
        self.stdout.write(
            "The backup is back; everybody signs in anew. Start gspnp. Phones that were saved since then have a file "
            "that this database does not know: save them once more. What was taken away since then is there again: "
            "users, their rights and old passwords, and paths that were revoked. Take it away anew."
        )
