"""Create the first administrator, once: `manage.py first_admin`."""

from __future__ import annotations

import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.db import transaction

from gspnp import keys
from gspnp.console.first_password import password_file
from gspnp.console.models import TemporaryPassword
from gspnp.env import env

USERNAME = "admin"
# Without what is mistaken for something else when read from a screen (i, l, o, 0, 1). 31 signs, 20 of them:
# 99 bits.
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
GROUPS, GROUP_LENGTH = 5, 4


def readable_password() -> str:
    """A random password that can be read out: five groups of four, more than 80 bits."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(GROUP_LENGTH)) for _ in range(GROUPS))


class Command(BaseCommand):
    """Does nothing if there is a superuser. A password that is made, not given, must be changed."""

    help = "Create the superuser 'admin' if there is no superuser yet."

    def handle(self, *args: Any, **options: Any) -> None:
        """Create user, password file and the duty to change it, or nothing."""
        users = get_user_model()._default_manager
        with transaction.atomic():
            if users.filter(is_superuser=True).exists():
                return
            given = env.str("GSPNP_ADMIN_PASSWORD", "")
            password = given or readable_password()
            user, _ = users.get_or_create(username=USERNAME)
            user.is_superuser = user.is_staff = user.is_active = True
            user.set_password(password)
            user.save()
            if not given:
                # A file without its user is left over from a database that is gone.
                password_file().unlink(missing_ok=True)
                keys.write_private(password_file(), password)
                TemporaryPassword.objects.get_or_create(user=user)
        if options["verbosity"] > 0:
            where = "GSPNP_ADMIN_PASSWORD" if given else str(password_file())
            self.stdout.write(f"Created the administrator {USERNAME}; the password is in {where}.")
