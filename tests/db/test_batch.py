"""Many rows in one call: the same result on SQLite and PostgreSQL, whatever a field keeps."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from devices import batch
from devices.choices import EventKind, Stage
from devices.models import Account, LiveEvent, Phone
from tests import cast

pytestmark = [pytest.mark.db, pytest.mark.django_db]

NEW = ("mac", "stage", "stage_at", "first_seen_at", "last_seen_at", "vendor", "source_host", "model")
TOUCHED = (*NEW, "firmware", "stage_reason", "contact", "interface", "claimed_interface", "alarm", "neighbour",
           "version", "notify_port", "claimed_port")  # fmt: skip
REST = ("", "", "", "", "", "", "unknown", 0, 5060, 5060)


def row(number: int = 1, vendor: str = "Grandstream", host: str | None = cast.HOST) -> tuple:
    return (f"000B82{number:06X}", Stage.SEEN, cast.NOON, cast.NOON, cast.NOON, vendor, host, "", *REST)


def insert(*rows, **more):
    return batch.insert(Phone, TOUCHED, rows, **more)


def keys() -> list[int]:
    return list(Phone.objects.order_by("mac").values_list("pk", flat=True))


class TestInsert:
    def test_rows_come_back_as_they_went_in(self):
        insert(row(1), row(2, vendor="Grün \\ \"'% \U0001f4de", host=None), row(3, host="fe80::1"))
        one, two, three = Phone.objects.order_by("mac")
        assert (one.mac, one.stage, one.first_seen_at, one.source_host) == (
            "000B82000001",
            "seen",
            cast.NOON,
            cast.HOST,
        )
        assert (two.vendor, two.source_host, three.source_host) == ("Grün \\ \"'% \U0001f4de", None, "fe80::1")
        assert {one.online, one.claimed_at, one.steady_host} == {None}

    def test_known_rows_are_passed_over_and_the_ids_of_new_ones_are_told(self):
        insert(row(1, vendor="old"))
        told = insert(row(3), row(1, vendor="new"), row(2), unique="mac", returning=["mac", "pk"])
        assert dict(told) == dict(Phone.objects.exclude(vendor="old").values_list("mac", "pk"))
        assert len(told) == 2 and Phone.objects.count() == 3

    def test_no_rows_are_no_statement(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert insert() == []
            assert batch.update(Phone, ("pk", "vendor"), []) == set()
            batch.write(Phone, [], vendor="x")

    def test_a_thousand_rows_are_a_few_statements(self, django_assert_max_num_queries):
        with django_assert_max_num_queries(3):
            told = insert(*(row(number) for number in range(1000)), unique="mac", returning=["pk"])
        assert len({pk for (pk,) in told}) == Phone.objects.count() == 1000

    def test_a_row_that_breaks_a_rule_stores_nothing_and_the_transaction_can_go_on(self):
        with pytest.raises(IntegrityError), transaction.atomic():
            insert(row(1), ("not a mac", *row(2)[1:]))
        with pytest.raises(IntegrityError), transaction.atomic():
            insert(row(3), row(3))
        assert not Phone.objects.exists()
        insert(row(1))
        assert Phone.objects.count() == 1

    @pytest.mark.parametrize("rows", [[row(1)[:-1]], [row(1), row(2)[:-1]]], ids=["all", "one"])
    def test_a_row_of_another_length_is_refused(self, rows):
        with pytest.raises(ValueError):
            insert(*rows)

    def test_secrets_and_documents_are_stored_as_their_fields_do_it(self):
        insert(row(1))
        names = (
            "phone",
            "number",
            "sip_server",
            "user_id",
            "auth_id",
            "password",
            "display_name",
            "voicemail",
            "codecs",
        )
        batch.insert(Account, names, [(keys()[0], 1, "pbx", "1001", "", cast.PASSWORD, "", "", ["PCMU", "G.722"])])
        account = Account.objects.get()
        assert (account.password, account.codecs) == (cast.PASSWORD, ["PCMU", "G.722"])
        assert cast.PASSWORD not in str(batch.select(Account, ["password"], "pk", [account.pk]))


class TestUpdate:
    def test_each_row_gets_its_own_values(self):
        insert(row(1), row(2), row(3))
        one, two, three = keys()
        written = batch.update(
            Phone, ("pk", "vendor", "rtt_ms", "online"), [(two, "b", 2.5, True), (one, "a", None, None)]
        )
        assert written == {one, two}
        found = Phone.objects.order_by("mac").values_list("vendor", "rtt_ms", "online")
        assert list(found) == [("a", None, None), ("b", 2.5, True), ("Grandstream", None, None)]

    def test_a_time_that_is_taken_away(self):
        insert(row(1))
        batch.update(Phone, ("pk", "alarm_at"), [(keys()[0], cast.NOON)])
        assert Phone.objects.get().alarm_at == cast.NOON
        batch.update(Phone, ("pk", "alarm_at"), [(keys()[0], None)])
        assert Phone.objects.get().alarm_at is None

    def test_only_rows_that_are_still_in_one_of_the_states_are_won(self):
        insert(row(1), row(2), row(3))
        one, two, three = keys()
        Phone.objects.filter(pk=two).update(stage=Stage.IGNORED)
        Phone.objects.filter(pk=three).delete()
        rows = [(pk, Stage.ASSIGNED) for pk in (three, two, one)]
        assert batch.update(Phone, ("pk", "stage"), rows, only_if=("stage", [Stage.SEEN, Stage.RETIRED])) == {one}
        assert list(Phone.objects.order_by("mac").values_list("stage", flat=True)) == ["assigned", "ignored"]

    def test_where_all_are_lost_nothing_is_written(self):
        insert(row(1))
        assert batch.update(Phone, ("pk", "stage"), [(keys()[0], "retired")], only_if=("stage", ["assigned"])) == set()
        assert batch.update(Phone, ("pk", "stage"), [(keys()[0] + 1, "retired")]) == set()
        assert Phone.objects.get().stage == "seen"

    def test_the_same_values_for_many(self):
        insert(row(1), row(2), row(3))
        batch.write(Phone, keys()[:2], stage=Stage.RETIRED, stage_reason="gone", last_seen_at=cast.NOON + timedelta(1))
        assert Phone.objects.filter(stage="retired", stage_reason="gone").count() == 2
        assert Phone.objects.filter(last_seen_at=cast.NOON).count() == 1


class TestSelect:
    def test_values_are_those_of_the_model(self):
        insert(row(1), row(2, host=None))
        names = ("pk", "mac", "last_seen_at", "source_host", "online", "claimed_at")
        macs = ["000B82000001", "000B82000002", "000B82000003"]
        found = batch.select(Phone, names, "mac", macs)
        assert sorted(found) == sorted(Phone.objects.values_list(*names))
        assert batch.select(Phone, names, "mac", []) == []

    def test_locked_rows_come_in_the_order_of_their_keys(self):
        insert(row(3), row(1), row(2))
        with transaction.atomic():
            found = batch.select(Phone, ["pk"], "mac", [f"000B82{n:06X}" for n in (3, 1, 2)], lock=True)
        assert found == sorted(found)

    def test_a_condition_leaves_rows_out(self):
        insert(row(1), row(2, vendor="snom"), row(3))
        found = batch.select(Phone, ["mac"], "stage", [Stage.SEEN.value], only_if=("vendor", ["snom", "Yealink"]))
        assert found == [("000B82000002",)]

    def test_the_newest_of_each(self):
        """A phone that has been saved for years has many versions; only one of them counts."""
        insert(row(1), row(2), row(3))
        one, two, three = keys()
        Account.objects.bulk_create(Account(phone_id=phone, number=n) for phone in (one, three) for n in (2, 3, 1))
        found = batch.newest(Account, ("phone", "number"), "phone", [one, two], by="number")
        assert found == [(one, 3)]
        assert batch.newest(Account, ("phone", "number"), "phone", [], by="number") == []


def test_an_event_without_a_phone():
    batch.insert(LiveEvent, ("phone", "mac", "kind", "stage", "text", "at"),
                 [(None, cast.MAC, EventKind.FORGOTTEN, "", "gone", cast.NOON)])  # fmt: skip
    assert LiveEvent.objects.get().phone is None
