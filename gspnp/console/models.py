"""What the console itself must remember."""

from django.conf import settings
from django.db import models


class TemporaryPassword(models.Model):
    """A user who still has the password that the set-up made; the row goes when the user chooses another."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="temporary_password")

    def __str__(self) -> str:
        return f"temporary password of {self.user_id}"


class ListColumns(models.Model):
    """The columns of the list that a user has chosen, in order; without a row they are the usual ones."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="list_columns")
    names = models.JSONField(default=list)

    def __str__(self) -> str:
        return f"columns of {self.user_id}"
