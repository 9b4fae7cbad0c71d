"""The password that the set-up made: where it lies, and when it has done its duty.

Receivers below end it when its user saves another password by whatever way (console, admin,
`changepassword`), or is deleted. They are connected when this module is imported; `apps.py` and the
middleware do.
"""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.utils.translation import gettext as _

from gspnp.console.models import TemporaryPassword

FILE_NAME = "first-admin-password"


def password_file() -> Path:
    """Where the generated password is kept until it is changed."""
    return Path(settings.GSPNP_DATA_DIR) / FILE_NAME


def is_generated(password: str) -> bool:
    """Whether this is the password in the file."""
    try:
        generated = password_file().read_text(encoding="utf-8").strip()
    except OSError:
        return False
    return hmac.compare_digest(generated.encode(), password.strip().encode())


class NotTheGeneratedOne:
    """A password validator: the one that the set-up made is there to be replaced."""

    def validate(self, password: str, user: Any = None) -> None:
        """Raises ValidationError."""
        if is_generated(password):
            raise ValidationError(_("This is the password that the set-up made. Choose another one."), "generated")

    def get_help_text(self) -> str:
        return _("Your password can’t be the one that the set-up made.")


@receiver(post_save, sender=get_user_model(), dispatch_uid="gspnp.first_password.changed")
def forget_changed(instance: Any, created: bool, **_: object) -> None:
    """A user was saved with a new password in hand: unless it is the generated one again, the duty is done."""
    # set_password keeps it there until after this save (AbstractBaseUser.save).
    raw = getattr(instance, "_password", None)
    if raw is None or created or is_generated(raw):
        return
    for row in TemporaryPassword.objects.filter(user=instance):
        row.delete()


@receiver(post_delete, sender=TemporaryPassword, dispatch_uid="gspnp.first_password.removed")
def remove_file(**_: object) -> None:
    """No one has the generated password any more, so the file goes."""
    if not TemporaryPassword.objects.exists():
        password_file().unlink(missing_ok=True)
