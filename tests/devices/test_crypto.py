"""Secrets at rest: rotation, lost keys, tampering, and no search by value."""

import pytest
from cryptography.fernet import Fernet
from django.db import connection

from devices import crypto
from devices.models import Account
from provisioning.models import ConfigFile, Notify
from tests import cast

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture(autouse=True)
def old_key(settings):
    settings.GSPNP_FIELD_KEYS = [OLD]


@pytest.mark.parametrize("text", ["", "x", "päß 📞 & < > \" '", "\x00", "\ud800", "x" * 100_000])
def test_texts_round_trip_and_never_give_the_same_token(text):
    assert crypto.open_text(crypto.seal_text(text)) == text
    assert crypto.seal_text(text) != crypto.seal_text(text)


@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 100])
def test_files_round_trip_and_never_give_the_same_bytes(content):
    assert crypto.open_bytes(crypto.seal_bytes(content)) == content
    assert crypto.seal_bytes(content) != crypto.seal_bytes(content)


def test_a_new_key_in_front_still_opens_what_the_old_one_wrote(settings):
    text, content = crypto.seal_text("secret"), crypto.seal_bytes(b"file")
    settings.GSPNP_FIELD_KEYS = [NEW, OLD]
    assert (crypto.open_text(text), crypto.open_bytes(content)) == ("secret", b"file")
    newer_text, newer_content = crypto.seal_text("secret"), crypto.seal_bytes(b"file")
    settings.GSPNP_FIELD_KEYS = [NEW]
    assert (crypto.open_text(newer_text), crypto.open_bytes(newer_content)) == ("secret", b"file")


def test_without_its_key_nothing_opens(settings):
    text, content = crypto.seal_text("secret"), crypto.seal_bytes(b"file")
    settings.GSPNP_FIELD_KEYS = [NEW]
    with pytest.raises(crypto.CannotDecrypt):
        crypto.open_text(text)
    with pytest.raises(crypto.CannotDecrypt):
        crypto.open_bytes(content)


def test_a_changed_bit_anywhere_is_noticed():
    sealed = crypto.seal_bytes(b"file")
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(crypto.CannotDecrypt):
            crypto.open_bytes(bytes(changed))


def test_a_cut_off_or_foreign_value_is_cannot_decrypt_and_nothing_else():
    sealed = crypto.seal_bytes(b"file")
    wrong = {}
    for length in range(len(sealed)):
        try:
            crypto.open_bytes(sealed[:length])
            wrong[length] = "opened"
        except crypto.CannotDecrypt:
            pass
        except Exception as error:
            wrong[length] = type(error).__name__
    assert wrong == {}
    for token in ("plain", "gAAAA", "ü", " ", crypto.seal_text("x")[:-4]):
        with pytest.raises(crypto.CannotDecrypt):
            crypto.open_text(token)


def test_the_error_names_no_secret_and_no_key(settings):
    text = crypto.seal_text("canary")
    settings.GSPNP_FIELD_KEYS = [NEW]
    with pytest.raises(crypto.CannotDecrypt) as caught:
        crypto.open_text(text)
    assert not any(secret in str(caught.value) for secret in (text, OLD, NEW, "canary"))


@pytest.mark.django_db
def test_an_encrypted_field_cannot_be_searched_by_value():
    for query in ({"password": "x"}, {"password__in": ["x"]}, {"password__startswith": "x"}, {"password__gt": ""}):
        with pytest.raises(TypeError):
            Account.objects.filter(**query).exists()
    with pytest.raises(TypeError):
        ConfigFile.objects.exclude(steady_secret="x").exists()
    assert not Notify.objects.filter(datagram__isnull=False).exists()


@pytest.mark.django_db
def test_every_way_to_write_a_field_encrypts_it():
    with cast.stopped_clock():
        phone = cast.seen()
    plain = {"phone": phone, "sip_server": "h", "user_id": "1", "password": "canary-1"}
    row = Account.objects.create(number=1, **plain)
    Account.objects.bulk_create([Account(number=2, **plain | {"password": "canary-2"})])
    for number, write in enumerate(("save", "update", "bulk_update"), start=3):
        row.password = f"canary-{number}"
        if write == "save":
            row.save()
        elif write == "update":
            Account.objects.filter(pk=row.pk).update(password=row.password)
        else:
            Account.objects.bulk_update([row], ["password"])
        assert Account.objects.get(pk=row.pk).password == f"canary-{number}"
        with connection.cursor() as cursor:
            cursor.execute("SELECT password FROM devices_account")
            stored = [value for (value,) in cursor.fetchall()]
        assert all(value.startswith("gAAAA") and "canary" not in value for value in stored)
