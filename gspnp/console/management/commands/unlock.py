"""Let somebody sign in again who typed too many wrong passwords: `manage.py unlock NAME`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from gspnp.console import lockout


class Command(BaseCommand):
    """Without a name it lists who is locked out."""

    help = "Unlock a user who typed too many wrong passwords; without a name, list who is locked out."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", help="user name")
        parser.add_argument("--from", dest="address", default="", help="only the lock of this address")

    def handle(self, *args: Any, name: str | None, address: str, **options: Any) -> None:
        """CommandError if nothing was locked."""
        if name is None:
            for row in lockout.locked():
                self.stdout.write(f"{row['name'] or row['key']}  from {row['host']}  until {row['until']:%H:%M:%S %Z}")
            return
        if not lockout.unlock(name, address):
            where = f" from {address}" if address else ""
            raise CommandError(
                f"No wrong password of “{name}”{where} is on record; without a name the locks are listed."
            )
        self.stdout.write(f"{name} may sign in again.")
