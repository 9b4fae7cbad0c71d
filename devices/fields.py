"""Model fields of the inventory: a MAC with one spelling, and values that are encrypted in the database."""

import base64

from django.core.exceptions import ValidationError
from django.db import models

from devices import crypto
from devices.mac import MacError, parse_mac


class MacField(models.CharField):
    """A MAC address, stored as 12 upper-case hex digits whatever spelling comes in."""

    def __init__(self, *args, **kwargs):
        kwargs["max_length"] = 12
        super().__init__(*args, **kwargs)

    def deconstruct(self):
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_length"]
        return name, path, args, kwargs

    def to_python(self, value):
        if value in self.empty_values:
            return value
        try:
            return parse_mac(str(value))
        except MacError as error:
            raise ValidationError(str(error), code="invalid") from error

    def get_prep_value(self, value):
        value = super().get_prep_value(value)
        return value if value is None else parse_mac(value)


# In front of a secret in a dump (`manage.py dumpdata`), which holds what the database holds and nothing in the clear.
DUMPED = "gspnp-sealed:"


class Sealed(str):
    """A secret that was encrypted beforehand, outside the transaction that stores it."""

    __slots__ = ()


class _Sealed(models.Field):
    """What the encrypted fields share: no look-up by value, for the same text never gives the same ciphertext."""

    def get_lookup(self, lookup_name):
        if lookup_name != "isnull":
            raise TypeError(f"{self.name} is encrypted: it cannot be searched by {lookup_name!r}")
        return super().get_lookup(lookup_name)

    def value_to_string(self, obj):
        """For a serializer: encrypted, under the first key."""
        value = self.value_from_object(obj)
        return value if value in (None, "") else self._dumped(value)

    def _dumped(self, value):
        raise NotImplementedError

    def of_dump(self, value):
        """A value of a dump, which may be older and in the clear. Raises CannotDecrypt."""
        raise NotImplementedError


def open_dumped(sender, instance, raw=False, **_):
    """Before a row of a dump is stored (`manage.py loaddata`): its secrets as they are. A receiver of `pre_save`.

    Raises CannotDecrypt. Only here: nobody can have a secret opened by typing what stands in a dump.
    """
    if not raw:
        return
    for field in sender._meta.concrete_fields:
        if isinstance(field, _Sealed):
            setattr(instance, field.attname, field.of_dump(getattr(instance, field.attname)))


class EncryptedTextField(_Sealed, models.TextField):
    """A short secret (password); plain in Python, a Fernet token in the database."""

    _seal, _open = staticmethod(crypto.seal_text), staticmethod(crypto.open_text)

    def from_db_value(self, value, expression, connection):
        return value if value in (None, "") else self._open(value)

    def get_db_prep_save(self, value, connection):
        if isinstance(value, Sealed):
            return str(value)
        value = super().get_db_prep_save(value, connection)
        if value in (None, "") or hasattr(value, "resolve_expression"):
            return value  # the values inside an expression come here one by one
        return self._seal(value)

    def _dumped(self, value):
        return f"{DUMPED}{self._seal(value)}"

    def of_dump(self, value):
        """A value of a dump, which may be older and in the clear."""
        is_sealed = isinstance(value, str) and value.startswith(DUMPED)
        return self._open(value.removeprefix(DUMPED)) if is_sealed else value


class EncryptedTokenField(EncryptedTextField):
    """A secret path; the same with AES-GCM, because it is read for each NOTIFY and each download."""

    _seal, _open = staticmethod(crypto.seal_token), staticmethod(crypto.open_token)


def sealed_names(model: type[models.Model]) -> tuple[str, ...]:
    """The names of a model's encrypted columns: what no page may show, and what a lost key makes unreadable."""
    return tuple(field.name for field in model._meta.concrete_fields if isinstance(field, _Sealed))


class EncryptedBytesField(_Sealed, models.BinaryField):
    """A file; plain bytes in Python, AES-GCM in the database."""

    def from_db_value(self, value, expression, connection):
        return value if value is None else crypto.open_bytes(bytes(value))

    def get_db_prep_value(self, value, connection, prepared=False):
        sealed = value if value is None else crypto.seal_bytes(bytes(value))
        return super().get_db_prep_value(sealed, connection, prepared)

    def _dumped(self, value):
        return base64.b64encode(DUMPED.encode() + crypto.seal_bytes(bytes(value))).decode("ascii")

    def of_dump(self, value):
        """A value of a dump, which may be older and in the clear."""
        content, mark = bytes(value or b""), DUMPED.encode()
        return crypto.open_bytes(content.removeprefix(mark)) if content.startswith(mark) else value
