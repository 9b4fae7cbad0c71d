"""A boot storm, and who may not fill the tables: batches of sightings, verdicts, and what is forgotten again."""

from datetime import timedelta
from unittest.mock import patch

import pytest
from django.db import IntegrityError, OperationalError

from devices import batch, inventory, retention
from devices.models import Account, LiveEvent, Phone
from devices.newcomers import NewPhones
from devices.trust import Verdict
from tests import cast

pytestmark = [pytest.mark.db, pytest.mark.django_db, pytest.mark.usefixtures("clock")]
MANY = 500


def hear(*sightings, verify=cast.unknown, bound=None):
    return inventory.record_sightings(sightings, verify, bound)


def many(first: int = 0, count: int = MANY) -> list:
    return [cast.sighting(f"000B82{n:06X}", f"10.0.{n // 250}.{n % 250}") for n in range(first, first + count)]


def texts(mac=cast.MAC) -> list[str]:
    return list(LiveEvent.objects.filter(mac=mac).order_by("id").values_list("text", flat=True))


def make_assigned(phone: Phone, **changes) -> None:
    """As if Tess had saved it at its present address."""
    said = {"stage": "assigned", "version": 1, "approved_host": phone.source_host, "approved_at": cast.NOON}
    Phone.objects.filter(pk=phone.pk).update(**(said | changes))


class TestBatches:
    def test_new_known_and_moved_phones_in_one_batch(self, clock):
        hear(*many(count=300))
        clock.forward(60)
        moved = [cast.sighting(one.mac, "10.9.9.9", firmware="2.0") for one in many(first=100, count=100)]
        heard = hear(*many(count=100), *moved, *many(first=300, count=100))
        assert all(one.accepted and not one.refused for one in heard)
        ids = dict(Phone.objects.values_list("mac", "pk"))
        assert len(ids) == 400 and all(one.phone_id == ids[one.mac] for one in heard)
        assert Phone.objects.filter(last_seen_at=clock.at, subscribed_at=clock.at).count() == 300
        assert Phone.objects.filter(source_host="10.9.9.9", firmware="2.0", contact="sip:10.9.9.9:5060").count() == 100
        assert Phone.objects.filter(first_seen_at=clock.at).count() == 100
        assert LiveEvent.objects.filter(at=clock.at).count() == 300
        assert not LiveEvent.objects.filter(phone=None).exists()

    def test_what_one_says_is_not_written_into_another(self):
        said = [cast.sighting(f"000B82{n:06X}", f"10.0.1.{n}", model=f"M{n}", contact=f"sip:{n}", notify_port=5060 + n)
                for n in range(1, 50)]  # fmt: skip
        for _ in range(2):
            hear(*said)
            said.reverse()
        for n, phone in enumerate(Phone.objects.order_by("mac"), start=1):
            assert (phone.source_host, phone.model, phone.contact, phone.notify_port) == (
                f"10.0.1.{n}", f"M{n}", f"sip:{n}", 5060 + n
            )  # fmt: skip

    def test_a_batch_that_cannot_be_stored_leaves_nothing(self):
        hear(*many(count=10))
        with patch.object(batch, "insert", side_effect=IntegrityError), pytest.raises(IntegrityError):
            hear(*many(count=20))
        assert (Phone.objects.count(), LiveEvent.objects.count()) == (10, 10)

    def test_a_phone_twice_in_one_batch_is_as_it_was_last(self):
        hear(cast.sighting(firmware="1"), cast.sighting(host="10.0.0.21", firmware="2", origin="http"))
        phone = Phone.objects.get()
        assert (phone.source_host, phone.firmware, phone.subscribed_at) == ("10.0.0.21", "2", cast.NOON)

    def test_a_request_that_is_no_subscribe_is_a_sign_of_life_only(self, clock):
        hear(cast.sighting())
        clock.forward(60)
        hear(cast.sighting(origin="http"))
        phone = Phone.objects.get()
        assert (phone.last_seen_at, phone.subscribed_at) == (clock.at, cast.NOON)


class TestRepeats:
    def test_a_flood_of_one_known_mac_makes_one_event_in_a_second_and_is_still_seen(self, clock):
        hear(cast.sighting())
        for _ in range(50):
            clock.forward(0.1)
            hear(*[cast.sighting()] * 10)
            assert Phone.objects.get().last_seen_at == clock.at
        assert len(texts()) == 1
        clock.forward(1)
        hear(cast.sighting())
        assert texts()[1:] == [f"Started up at {cast.HOST}."]

    def test_another_address_is_told_at_once(self, clock):
        hear(cast.sighting())
        clock.forward(0.1)
        hear(cast.sighting(host="10.0.0.21"))
        assert texts()[-1] == "Started up at 10.0.0.21."

    def test_a_flood_of_claims_makes_one_event_in_a_second(self, clock):
        make_assigned(cast.seen())
        for _ in range(20):
            clock.forward(0.01)
            hear(*[cast.sighting(host=cast.STRANGER)] * 10)
        assert len(texts()) == 2
        assert Phone.objects.get().claim_heard_at == clock.at

    def test_a_clock_that_went_back_hides_nothing(self, clock):
        hear(cast.sighting())
        clock.forward(hours=-1)
        hear(cast.sighting())
        assert len(texts()) == 2


class TestTwoInterfaces:
    """Two networks with the same addresses: what comes from the other one is not this phone."""

    def test_a_stranger_on_the_other_network_is_a_claim(self):
        make_assigned(cast.seen())
        (heard,) = hear(cast.sighting(interface="eth1", local_host="10.0.0.2"), verify=cast.mismatch)
        phone = Phone.objects.get()
        assert not heard.accepted
        assert (phone.interface, phone.local_host, phone.claimed_interface) == ("eth0", cast.OURS, "eth1")

    def test_the_alarm_says_on_which_interface(self, clock):
        make_assigned(cast.seen())
        hear(cast.sighting(interface="eth1"), verify=cast.mismatch)
        clock.forward(1)
        inventory.judge_claims(cast.mismatch)
        assert f"now claims {cast.HOST} on eth1." in Phone.objects.get().alarm

    def test_a_phone_that_was_plugged_in_there_is_followed(self, clock):
        make_assigned(cast.seen())
        assert hear(cast.sighting(interface="eth1", local_host="10.0.0.2"), verify=cast.match)[0].accepted
        phone = Phone.objects.get()
        assert (phone.interface, phone.local_host, phone.neighbour) == ("eth1", "10.0.0.2", "match")

    def test_the_table_is_asked_about_the_interface_that_heard_it(self, clock):
        asked = []

        def verify(*question):
            asked.append(question)
            return Verdict.MISMATCH

        make_assigned(cast.seen())
        hear(cast.sighting(host=cast.STRANGER, interface="eth1"), verify=verify)
        clock.forward(1)
        inventory.judge_claims(verify)
        assert asked == [(cast.STRANGER, cast.MAC, "eth1")] * 2


class TestNeighbour:
    def test_it_is_noted_when_a_phone_is_new_or_moves_and_stays_while_it_stays(self, clock):
        hear(cast.sighting(), verify=cast.match)
        assert Phone.objects.get().neighbour == "match"
        clock.forward(60)
        hear(cast.sighting(), verify=cast.mismatch)
        assert Phone.objects.get().neighbour == "match"
        hear(cast.sighting(host="10.0.0.21"), verify=cast.match)
        assert (Phone.objects.get().source_host, Phone.objects.get().neighbour) == ("10.0.0.21", "match")

    @pytest.mark.parametrize("verify", [cast.unknown, cast.mismatch])
    def test_whoever_announces_a_phone_that_nobody_assigned_does_not_draw_it_away(self, clock, verify):
        """It is at 10.0.0.20, as the table has shown; a stranger says so of himself before it is assigned."""
        hear(cast.sighting(), verify=cast.match)
        (heard,) = hear(cast.sighting(host=cast.STRANGER), verify=verify)
        assert not heard.accepted and Phone.objects.get().source_host == cast.HOST
        clock.forward(1)
        inventory.judge_claims(verify)
        assert f"now claims {cast.STRANGER}" in Phone.objects.get().alarm

    def test_a_phone_that_nobody_assigned_moves_as_soon_as_the_table_shows_it(self, clock):
        hear(cast.sighting(), verify=cast.match)
        hear(cast.sighting(host="10.0.0.21"), verify=cast.unknown)
        clock.forward(1)
        inventory.judge_claims(cast.match)
        assert (Phone.objects.get().source_host, Phone.objects.get().alarm) == ("10.0.0.21", "")

    def test_where_the_table_never_showed_it_a_phone_that_nobody_assigned_is_followed(self):
        hear(cast.sighting(), verify=cast.unknown)
        hear(cast.sighting(host="10.0.0.21"), verify=cast.unknown)
        assert Phone.objects.get().source_host == "10.0.0.21"

    def test_the_phone_itself_puts_an_end_to_what_a_stranger_began(self):
        """He announced it first, from his own address; then it is plugged in."""
        hear(cast.sighting(host=cast.STRANGER), verify=cast.mismatch)
        hear(cast.sighting(), verify=cast.match)
        assert (Phone.objects.get().source_host, Phone.objects.get().neighbour) == (cast.HOST, "match")

    def test_a_verdict_is_written_where_the_phone_still_is(self):
        one, two = cast.seen(), cast.seen(cast.OTHER_MAC, "10.0.0.21")
        inventory.record_verdicts([(one.pk, cast.HOST, Verdict.MATCH), (two.pk, "10.0.0.22", Verdict.MATCH)])
        assert list(Phone.objects.order_by("pk").values_list("neighbour", flat=True)) == ["match", "unknown"]
        inventory.record_verdicts([(one.pk + two.pk + 1, cast.HOST, Verdict.MATCH)])
        inventory.record_verdicts([])

    @pytest.mark.parametrize(
        ("before", "after", "told"),
        [
            ("unknown", Verdict.MATCH, None),
            ("unknown", Verdict.MISMATCH, "alarm"),
            ("match", Verdict.MISMATCH, "alarm"),
            ("mismatch", Verdict.MATCH, "changed"),
            ("mismatch", Verdict.MISMATCH, None),
            ("match", Verdict.UNKNOWN, None),
        ],
    )
    def test_people_are_told_of_another_device_and_of_its_end(self, before, after, told):
        phone = cast.seen()
        Phone.objects.update(neighbour=before)
        count = LiveEvent.objects.count()
        inventory.record_verdicts([(phone.pk, cast.HOST, after)])
        assert Phone.objects.get().neighbour == after.value
        assert [event.kind for event in LiveEvent.objects.order_by("id")[count:]] == ([told] if told else [])

    def test_verdicts_that_change_nothing_lock_nothing(self, django_assert_num_queries):
        hear(*many())
        rows = [(pk, host, Verdict.UNKNOWN) for pk, host in Phone.objects.values_list("pk", "source_host")]
        with django_assert_num_queries(1):
            inventory.record_verdicts(rows)


class TestNewPhones:
    def test_beyond_the_bound_a_new_mac_is_not_stored_and_a_known_one_is_never_refused(self, clock):
        bound = NewPhones(per_source=3, overall=100)
        flood = [cast.sighting(f"000B82{n:06X}", cast.STRANGER) for n in range(10)]
        heard = hear(*flood, *flood, bound=bound)
        assert [one.refused for one in heard] == ([False] * 3 + [True] * 7) * 2
        assert {(one.phone_id, one.accepted, one.stage) for one in heard if one.refused} == {(None, False, "")}
        assert (Phone.objects.count(), LiveEvent.objects.count()) == (3, 3)
        clock.forward(60)
        assert not hear(flood[0], bound=bound)[0].refused
        assert hear(cast.sighting(), bound=bound)[0].accepted

    def test_a_store_that_is_away_uses_nothing_up(self):
        """Held sightings are tried again every second; that must not lock their phones out."""
        bound = NewPhones(per_source=5, overall=100)
        batch_of_5 = [cast.sighting(f"000B82{n:06X}") for n in range(5)]
        for _ in range(20):
            with patch.object(batch, "insert", side_effect=OperationalError), pytest.raises(OperationalError):
                hear(*batch_of_5, bound=bound)
        assert not any(one.refused for one in hear(*batch_of_5, bound=bound))


class TestForgetting:
    def old(self, mac: str = cast.MAC, **changes) -> Phone:
        phone = cast.seen(mac)
        Phone.objects.filter(pk=phone.pk).update(last_seen_at=cast.NOON - timedelta(days=31), **changes)
        return phone

    def test_a_phone_that_nobody_wanted_is_forgotten_and_told(self):
        self.old()
        cast.seen(cast.OTHER_MAC)
        assert retention.forget_unheard() == 1
        assert list(Phone.objects.values_list("mac", flat=True)) == [cast.OTHER_MAC]
        gone = LiveEvent.objects.filter(mac=cast.MAC).order_by("id")
        assert [event.kind for event in gone] == ["seen", "forgotten"] and not any(event.phone_id for event in gone)

    def test_one_that_is_not_ours_too(self):
        phone = cast.seen(vendor="Yealink", ours=False)
        Phone.objects.filter(pk=phone.pk).update(last_seen_at=cast.NOON - timedelta(days=31))
        assert retention.forget_unheard() == 1

    @pytest.mark.parametrize(
        "touched",
        [{"stage": "assigned"}, {"stage": "ignored", "stage_reason": "Ignored by tess."}, {"stage": "retired"},
         {"version": 1}, {"alarm": "look here"}, {"approved_at": cast.NOON}],
        ids=lambda one: next(iter(one)),
    )  # fmt: skip
    def test_one_that_somebody_touched_stays(self, touched):
        self.old(**touched)
        assert retention.forget_unheard() == 0

    def test_one_with_an_account_stays(self):
        Account.objects.create(phone=self.old(), number=1, sip_server="pbx", user_id="1001")
        assert retention.forget_unheard() == 0

    def test_it_comes_in_bites_and_after_the_days_that_are_set(self, settings):
        settings.GSPNP_FORGET_SEEN_DAYS = 40
        hear(*many(count=250))
        Phone.objects.update(last_seen_at=cast.NOON - timedelta(days=39))
        assert retention.forget_unheard() == 0
        Phone.objects.update(last_seen_at=cast.NOON - timedelta(days=41))
        bites = []
        forget = inventory.forget_unheard
        with patch.object(inventory, "forget_unheard", lambda *given: bites.append(forget(*given)) or bites[-1]):
            assert retention.forget_unheard() == 250
        assert bites == [100, 100, 50] and not Phone.objects.exists()

    def test_a_flood_of_them_does_not_end_in_one_round(self):
        hear(*many(count=50))
        Phone.objects.update(last_seen_at=cast.NOON - timedelta(days=31))
        with patch.object(retention, "FORGET_BITE", 10), patch.object(retention, "FORGET_BITES", 2):
            assert [retention.forget_unheard() for _ in range(4)] == [20, 20, 10, 0]
