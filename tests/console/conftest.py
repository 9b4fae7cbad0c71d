"""People of the console and what they type; the phones are those of `tests/cast.py`."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from devices.catalog import DEFAULT_CODECS, slots
from gspnp.console import figures
from sipmcast.models import ListenerStatus


def person(name: str, *permissions: str, **options) -> User:
    """A user of the console who may do exactly this."""
    user = User.objects.create_user(name, **({"is_staff": True} | options))
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


@pytest.fixture
def technician(db) -> User:
    return person("tess", "view_phone", "change_phone", "delete_phone")


@pytest.fixture
def viewer(db) -> User:
    return person("viewer", "view_phone")


@pytest.fixture
def administrator(db) -> User:
    return User.objects.create_superuser("root")


def signed_in(user: User) -> Client:
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    return client


@pytest.fixture
def console(technician) -> Client:
    """The technician's browser."""
    return signed_in(technician)


@pytest.fixture
def listener(db) -> ListenerStatus:
    """A listener with a fresh heartbeat."""
    now = timezone.now()
    return ListenerStatus.objects.create(name="lab", started_at=now, heartbeat_at=now, interfaces=["eth7 (10.0.0.1)"])


def typed(phone, **changes) -> dict:
    """The fields of the drawer as a browser posts them for an extension 1001."""
    model = phone.known_model
    fields = {"version": phone.version, "seen_host": phone.source_host or ""}
    for number in range(1, model.accounts + 1):
        blank = dict.fromkeys(("user_id", "password", "display_name", "sip_server", "auth_id", "voicemail"), "")
        fields |= {f"account-{number}-{name}": value for name, value in blank.items()}
        fields[f"account-{number}-codecs"] = list(DEFAULT_CODECS)
    for slot in slots(model):
        blank = {"mode": "", "value": "", "label": "", "account": "1"}
        fields |= {f"key-{slot.name}-{name}": value for name, value in blank.items()}
    fields |= {
        "account-1-user_id": "1001",
        "account-1-password": "s3cr3t",
        "account-1-sip_server": "172.18.0.10",
    }
    return fields | changes


@pytest.fixture(autouse=True)
def counted_anew():
    """No test sees what another one counted."""
    figures.memory.clear()
