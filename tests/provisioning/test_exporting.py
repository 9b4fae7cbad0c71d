"""Exports: what an import reads, byte for byte of meaning; passwords only when they are asked for, and then told."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices import inventory
from devices.catalog import KeyMode, KeySlot
from devices.choices import EventKind
from devices.models import LiveEvent, Phone
from provisioning import plan
from provisioning.gxp.config import KeyConfig
from provisioning.importing import exporting, making, planning
from provisioning.importing.columns import Target, key_text
from provisioning.layers import store
from provisioning.tables.reading import read_table
from provisioning.tables.table import TableError
from provisioning.tables.writing import write_table
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db]


def exported(kind: str = "csv", secrets: bool = False, phones=None) -> bytes:
    phones = Phone.objects.all() if phones is None else phones
    names = exporting.headers(phones, secrets=secrets)
    return write_table(kind, names, exporting.rows(phones, names, secrets=secrets, by="tess"))


def tricky() -> Phone:
    """A phone with everything that a spreadsheet, or our own words, could take for something else."""
    store.save(store.find("template", "=Lobby"), {"vlan_tag": "7"}, by="tess")
    phone = cast.seen()
    accounts = (
        cast.account(1, user_id="+4930123", password="-", display_name="=cmd|' /C calc'!A0", voicemail="0012"),
        cast.account(2, password="a\"b;c,d'", display_name="'@x", codecs=("PCMA",)),
    )
    keys = (
        cast.blf("mpk1", "1002", "Desk: 2"),
        KeyConfig(KeySlot.parse("mpk2"), KeyMode.SPEED_DIAL, 2, " Taxi ", "+4930777"),
        KeyConfig(KeySlot.parse("line2"), KeyMode.LINE, 2, "", ""),
    )
    cast.save(phone, plan.Draft(accounts, keys))
    inventory.move(phone.pk, "berlin", "tess")
    store.give(phone, store.find("template", "=Lobby"))
    return phone


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.parametrize("secrets", [True, False])
def test_an_export_comes_back_as_no_change(kind, secrets):
    tricky()
    one = planning.read_file("x", exported(kind, secrets), by="tess")
    assert (one.total, one.same) == (1, 1), list(one.rows.values_list("shown", flat=True))


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_an_export_makes_the_same_phone_again(kind):
    phone = tricky()
    data = exported(kind, secrets=True)
    phone.refresh_from_db()
    before = planning.targets_of([phone])
    cells = read_table("x", data, max_rows=9).rows[0].cells
    inventory.forget(phone.pk, "tess")
    one = planning.read_file("x", data, by="tess")
    assert one.new == 1, list(one.rows.values_list("shown", flat=True))
    assert cells["name"] == "=cmd|' /C calc'!A0" and cells["extension"] == "+4930123"
    after = Target.from_json(making.opened(one.rows.get().after))
    assert after == next(iter(before.values()))


def test_no_cell_is_a_formula():
    tricky()
    for line in exported().decode("utf-8-sig").splitlines():
        assert not any(cell.strip('" ').startswith(("=", "+", "-", "@")) for cell in line.split(","))


def test_without_secrets_nothing_is_decrypted_and_nothing_told():
    tricky()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE devices_account SET password = 'no key opens this'")
    data = exported()
    assert b"password" not in data and b"1001" not in data
    assert not LiveEvent.objects.filter(kind=EventKind.LOOKED).exists()


def test_with_secrets_every_phone_of_it_says_so():
    phone = tricky()
    assert b'"a""b;c,d\'"' in exported(secrets=True)
    assert LiveEvent.objects.get(kind=EventKind.LOOKED).text == "tess exported its SIP passwords."
    assert LiveEvent.objects.get(kind=EventKind.LOOKED).phone == phone


def test_an_export_with_passwords_that_cannot_be_opened_is_refused_before_anything_is_told():
    """A row without its account would look like a phone that has none."""
    tricky()
    cast.save(cast.seen("000B82000001", "10.0.0.21"))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE devices_account SET password = 'broken' WHERE user_id = '+4930123'")
    with pytest.raises(TableError, match="GSPNP_FIELD_KEYS. Put that key back, or export without passwords"):
        exporting.rows(Phone.objects.all(), ["mac"], secrets=True, by="tess")
    assert not LiveEvent.objects.filter(kind=EventKind.LOOKED).exists()
    rows = read_table("x", exported(), max_rows=9).rows
    assert {row.cells["extension"] for row in rows} == {"+4930123", "1001"}


def test_an_unreadable_password_takes_no_other_row_along():
    tricky()
    cast.save(cast.seen(cast.OTHER_MAC, "10.0.0.21"))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE devices_account SET password = 'broken' WHERE user_id = '+4930123'")
    one = planning.read_file("x", f"mac,name\n{cast.MAC},Theo\n{cast.OTHER_MAC},Theo\n".encode(), by="tess")
    assert (one.faulty, one.changed) == (1, 1)


def test_many_phones_are_read_in_bites(monkeypatch):
    monkeypatch.setattr(exporting, "BITE", 2)
    for number in range(5):
        cast.save(cast.seen(f"000B82{number:06X}", f"10.0.1.{number + 1}"))
    names = exporting.headers(Phone.objects.all(), secrets=False)
    rows = exporting.rows(Phone.objects.all(), names, secrets=False, by="tess")
    with CaptureQueriesContext(connection) as queries:
        next(rows)
    assert len(queries) <= 4
    assert len(list(rows)) == 4


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (cast.blf("mpk1", "1002"), "blf:1002"),
        (cast.blf("mpk1", "1002", "A:B"), "blf:1002:A:B"),
        (KeyConfig(KeySlot.parse("mpk1"), KeyMode.BLF, 2, "", "1"), "blf@2:1"),
        (cast.blf("mpk1", "1002", " blank"), "blf:1002: blank"),
    ],
)
def test_a_key_as_text(key, text):
    assert key_text(key) == text
