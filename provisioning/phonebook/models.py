"""Rows of phonebooks."""

from django.db import models

from devices.fields import EncryptedBytesField, EncryptedTokenField


class Contact(models.Model):
    """Somebody without a phone of ours, for the phonebook of a site; of all sites, if it names none."""

    site = models.SlugField(max_length=40, blank=True, help_text="Empty: in the phonebook of every site.")
    first_name = models.CharField(max_length=64, blank=True)
    last_name = models.CharField(max_length=64, blank=True)
    department = models.CharField(max_length=64, blank=True)
    work = models.CharField("work number", max_length=32, blank=True)
    home = models.CharField("home number", max_length=32, blank=True)
    cell = models.CharField("mobile number", max_length=32, blank=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("last_name", "first_name", "id")

    def __str__(self) -> str:
        return " ".join(filter(None, (self.first_name, self.last_name))) or self.work or self.home or self.cell


class Phonebook(models.Model):
    """The phonebook of a site: made beforehand, found by the hash of its secret path."""

    site = models.SlugField(max_length=40, blank=True, unique=True)
    is_on = models.BooleanField(default=False)
    secret = EncryptedTokenField()
    secret_hash = models.CharField(max_length=64, unique=True)
    content = EncryptedBytesField(null=True)
    etag = models.CharField(max_length=64, blank=True)
    entries = models.PositiveIntegerField(default=0)
    left_out = models.PositiveIntegerField(default=0, help_text="Entries beyond what the phones take.")
    made_of = models.CharField(
        max_length=200, blank=True, help_text="Which rows it was made of; another one: make anew."
    )
    made_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("site",)

    def __str__(self) -> str:
        return f"phonebook of {self.site or 'the default site'}"
