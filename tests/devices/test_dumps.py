"""`manage.py dumpdata` writes what the database holds and nothing in the clear; `loaddata` takes it back."""

import base64
import json

import pytest
from cryptography.fernet import Fernet
from django.core import serializers
from django.core.management import call_command

from devices.crypto import CannotDecrypt
from devices.fields import DUMPED
from devices.models import Account, Extension, Phone
from provisioning.layers import store
from provisioning.models import ConfigFile, SettingsLayer
from tests import cast

pytestmark = pytest.mark.django_db
APPS = ("devices", "provisioning")


@pytest.fixture
def version():
    store.save(store.find("model", "GXP1628"), {"xsi_password": cast.PASSWORD}, by="tess")
    return cast.applied(cast.assigned())


@pytest.mark.parametrize("kind", ["json", "jsonl", "xml"])
def test_a_dump_holds_no_secret_and_can_be_loaded_again(version, tmp_path, kind):
    content, steady, first = bytes(version.content), version.steady_secret, version.first_secret
    file = tmp_path / f"dump.{kind}"
    call_command("dumpdata", *APPS, format=kind, output=str(file), verbosity=0)
    text = file.read_text()
    for secret in (cast.PASSWORD, steady, first):
        for form in (secret, base64.b64encode(secret.encode()).decode(), json.dumps(secret)[1:-1]):
            assert form not in text
    assert base64.b64encode(content).decode()[:40] not in text
    SettingsLayer.objects.all().delete()
    Phone.objects.all().delete()
    call_command("loaddata", str(file), verbosity=0)
    again = ConfigFile.objects.get()
    assert (bytes(again.content), again.steady_secret, again.first_secret) == (content, steady, first)
    assert again.body is None
    assert Account.objects.get().password == cast.PASSWORD
    assert store.find("model", "GXP1628").values == {"xsi_password": cast.PASSWORD}


def test_a_dump_of_an_older_release_which_was_in_the_clear_can_still_be_loaded(version):
    (row,) = json.loads(serializers.serialize("json", Account.objects.all()))
    row["fields"]["password"] = "clear"
    for one in serializers.deserialize("json", json.dumps([row])):
        one.save()
    assert Account.objects.get().password == "clear"
    (file,) = json.loads(serializers.serialize("json", ConfigFile.objects.all()))
    file["fields"]["content"] = base64.b64encode(b"<xml/>").decode()
    for one in serializers.deserialize("json", json.dumps([file])):
        one.save()
    assert bytes(ConfigFile.objects.get().content) == b"<xml/>"


def test_a_dump_is_worthless_without_its_keys(version, settings):
    dumped = serializers.serialize("json", Account.objects.all())
    settings.GSPNP_FIELD_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(CannotDecrypt):
        for one in serializers.deserialize("json", dumped):
            one.save()


def test_who_types_what_stands_in_a_dump_has_nothing_opened():
    row = json.loads(serializers.serialize("json", [Extension(number="1", secret=cast.PASSWORD)]))[0]
    typed = row["fields"]["secret"]
    assert typed.startswith(DUMPED)
    with cast.stopped_clock() as clock:
        Extension.objects.create(number="2", secret=typed, created_at=clock(), changed_at=clock())
    assert Extension.objects.get().secret == typed
