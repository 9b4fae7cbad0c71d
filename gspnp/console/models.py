"""What the console itself must remember."""

from django.conf import settings
from django.db import models
from django.utils import timezone


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


class Change(models.Model):
    """Something that a person did: who, when, what, and how it was before and after. Never holds a secret: what is one
    stands as a fixed mask (gspnp/console/audit.py writes it, and nobody changes it)."""

    at = models.DateTimeField(default=timezone.now, db_index=True)
    who = models.CharField(max_length=150, blank=True)
    host = models.CharField(max_length=45, blank=True)
    deed = models.CharField(max_length=40)  # created, changed, deleted, signed in …, or the route of a page's button
    kind = models.CharField(max_length=60, blank=True)  # app.model, if it was done to something
    what = models.CharField(max_length=200, blank=True)  # as a person calls it
    mac = models.CharField(max_length=12, blank=True, db_index=True)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.who} {self.deed} {self.what}"
