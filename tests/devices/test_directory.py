"""The directory of extensions: one writer, no lost change, no secret at rest, and which phones have a number."""

import pytest
from django.db import connection

from devices import directory, holders, inventory
from devices.choices import Stage
from devices.directory import Entry, Step, Taken, VersionConflict
from devices.models import Extension, Phone
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db]
SECRET = "s3cr3t-of-the-directory"


def stored(pk: int) -> Extension:
    return Extension.objects.get(pk=pk)


def column(pk: int) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM devices_extension WHERE id = %s", [pk])
        return cursor.fetchone()[0]


def test_a_secret_is_encrypted_at_rest_and_stays_when_nobody_types_one():
    pk = directory.add(Entry("", "1001", "Tess", SECRET))
    assert SECRET not in column(pk) and stored(pk).secret == SECRET
    directory.change(pk, 1, Entry("", "1001", "Tessa"))
    assert (stored(pk).name, stored(pk).secret, stored(pk).version) == ("Tessa", SECRET, 2)
    assert directory.readable().get(pk=pk).secret_chars
    directory.change(pk, 2, Entry("", "1001", "Tessa", ""))
    assert (column(pk), directory.readable().get(pk=pk).secret_chars) == ("", 0)


def test_no_repr_tells_a_secret():
    pk = directory.add(Entry("", "1001", "Tess", SECRET))
    assert SECRET not in repr([Entry("", "1", secret=SECRET), Step(Entry("", "1", secret=SECRET)), stored(pk)])


def test_a_number_is_there_once_at_each_site():
    directory.add(Entry("", "1001"))
    other = directory.add(Entry("berlin", "1001"))
    with pytest.raises(Taken, match="The default site has an extension 1001 already"):
        directory.add(Entry("", "1001"))
    with pytest.raises(Taken):
        directory.change(other, 1, Entry("", "1001"))
    assert stored(other).site == "berlin"


def test_whoever_read_an_older_state_overwrites_and_deletes_nothing():
    pk = directory.add(Entry("", "1001", "Tess"))
    directory.change(pk, 1, Entry("", "1001", "Otto"))
    with pytest.raises(VersionConflict):
        directory.change(pk, 1, Entry("", "1001", "Ida"))
    with pytest.raises(VersionConflict):
        directory.remove(pk, 1)
    assert stored(pk).name == "Otto"
    directory.remove(pk, 2)
    assert not Extension.objects.exists()


def test_a_whole_file_is_stored_or_nothing_of_it():
    pk = directory.add(Entry("", "1001", "Tess", SECRET))
    with pytest.raises(VersionConflict):
        directory.store([Step(Entry("", "1002", "New", "x")), Step(Entry("", "1001", "Otto"), pk, 7)])
    with pytest.raises(VersionConflict):  # somebody added it since
        directory.store([Step(Entry("", "1003")), Step(Entry("", "1001"))])
    assert list(Extension.objects.values_list("number", "name")) == [("1001", "Tess")]
    directory.store([Step(Entry("", "1002", "New", "x")), Step(Entry("", "1001", "Otto"), pk, 1)])
    assert [(one.number, one.name, one.secret) for one in Extension.objects.all()] == [
        ("1001", "Otto", SECRET),
        ("1002", "New", "x"),
    ]


def test_numbers_stand_in_the_order_of_people():
    for number in ("1000", "99", "201", "2000"):
        directory.add(Entry("", number))
    assert list(Extension.objects.values_list("number", flat=True)) == ["99", "201", "1000", "2000"]


class TestHolders:
    """Who has an extension."""

    def have(self, mac: str, host: str, site: str = "", server: str = "172.18.0.10", user_id: str = "1001") -> Phone:
        phone = cast.seen(mac, host)
        cast.save(phone, cast.draft(sip_server=server, user_id=user_id))
        inventory.move(phone.pk, site, "tess")
        return phone

    @pytest.mark.parametrize(
        ("site", "server", "same"),
        [
            ("", "172.18.0.10", True),
            ("", "other.example", True),  # the same site
            ("berlin", "172.18.0.10", True),  # the same server
            ("berlin", "other.example", False),
            ("berlin", "", False),
        ],
    )
    def test_the_same_server_or_the_same_site_make_it_the_same(self, site, server, same):
        self.have(cast.MAC, cast.HOST)
        pk = directory.add(Entry(site, "1001", sip_server=server))
        wanted = holders.wanted_of(stored(pk))
        assert [one.mac for one in holders.of_one(wanted)] == ([cast.MAC] if same else [])
        assert holders.of_one(wanted, but=cast.MAC) == []
        everyone = Extension.objects.all()
        assert [holders.used(everyone).exists(), holders.free(everyone).exists()] == [same, not same]

    def test_a_server_is_the_same_in_any_letter_case(self):
        self.have(cast.MAC, cast.HOST, "hamburg", "PBX.example")
        pk = directory.add(Entry("berlin", "1001", sip_server="pbx.Example"))
        assert holders.of_extensions([stored(pk)])[pk] and holders.used(Extension.objects.all()).exists()

    def test_two_phones_share_it_and_a_retired_one_counts_not(self):
        first, second = self.have(cast.MAC, cast.HOST), self.have(cast.OTHER_MAC, "10.0.0.21")
        directory.add(Entry("", "1001"))
        assert holders.shared(Extension.objects.all()).exists()
        Phone.objects.filter(pk=second.pk).update(stage=Stage.RETIRED)
        assert not holders.shared(Extension.objects.all()).exists()
        assert [one.phone_id for one in holders.of_one(holders.Wanted("1001", "", ""))] == [first.pk]
