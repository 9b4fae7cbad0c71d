"""A phone belongs to where it was last heard, unless a person has said otherwise; two that hear it do not tear it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from devices import inventory
from devices.models import LiveEvent, Phone
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db]


def hear(site: str | None, verify=cast.match, **changes) -> bool:
    (heard,) = inventory.record_sightings([cast.sighting(**changes)], verify, site=site)
    return heard.accepted


def later(minutes: float = 5) -> None:
    """As if what has happened so far were some minutes older."""
    ago = timedelta(minutes=minutes)
    for phone in Phone.objects.all():
        for name in ("last_seen_at", "subscribed_at", "claimed_at", "claim_heard_at"):
            at = getattr(phone, name)
            setattr(phone, name, at and at - ago)
        phone.save()


def places() -> tuple[str, str | None]:
    return Phone.objects.values_list("site", "heard_site").get()


def test_a_new_phone_stands_where_it_was_heard_and_follows_from_there():
    hear("berlin")
    assert places() == ("berlin", "berlin")
    later()
    assert hear("munich", source_host="10.1.0.9")
    assert places() == ("munich", "munich")
    assert "at site munich" in LiveEvent.objects.latest("id").text


def test_what_a_person_has_set_stays_and_who_tells_the_phone_follows():
    hear("")
    phone = Phone.objects.get()
    inventory.move(phone.pk, "floor-2", "tess")
    later()
    hear("")
    assert places() == ("floor-2", "")
    later()
    hear("munich", source_host="10.1.0.9")
    assert places() == ("floor-2", "munich")
    assert Phone.objects.get().site_moved_at is None, "its file is what it was"


def test_a_phone_that_was_listed_for_a_site_stays_there_wherever_it_is_plugged_in():
    inventory.prestage(cast.MAC, "GXP1628", "berlin", "tess")
    hear("munich")
    assert places() == ("berlin", "munich")


def test_what_was_heard_before_sites_were_noted_belongs_to_the_next_that_hears_it():
    hear("")
    Phone.objects.update(heard_site=None)
    hear("munich")
    assert places() == ("munich", "munich")


def test_what_asks_at_the_door_stays_where_it_was_heard():
    hear("berlin")
    later()
    hear(None, interface="")
    assert places() == ("berlin", "berlin")


@pytest.mark.parametrize("home", ["annex", "berlin"])
@pytest.mark.parametrize("verify", [cast.match, cast.unknown])
def test_a_phone_that_two_listeners_hear_stays_where_it_is_whoever_is_the_first(home, verify):
    """To and fro at each start, it would lose what is known of its address, and its timeline would be full of moves."""
    order = [home, "berlin" if home == "annex" else "annex"]
    hear(home)
    cast.save(Phone.objects.get())
    Phone.objects.update(steady_host=cast.HOST)
    for _ in range(4):
        later()
        order.reverse()
        for site in order:
            assert hear(site, verify) == (site == home)
        Phone.objects.filter(claimed_at__isnull=False).update(claimed_at=timezone.now() - timedelta(seconds=2))
        assert inventory.judge_claims(verify, "annex") == inventory.judge_claims(verify, "berlin") == []
        phone = Phone.objects.get()
        assert (*places(), phone.claimed_host, phone.alarm) == (home, home, None, "")
    assert phone.steady_host == phone.approved_host == cast.HOST
    assert not LiveEvent.objects.filter(text__contains="annex" if home == "berlin" else "berlin").exists()


@pytest.mark.parametrize("order", [("annex", "berlin"), ("berlin", "annex")])
def test_who_hears_the_phone_of_another_site_is_told_of_it(order):
    hear("annex")
    later()
    said = [inventory.record_sightings([cast.sighting()], cast.match, site=site)[0].also_at for site in order]
    assert said == [None, order[0]]


def test_a_phone_whose_own_listener_does_not_hear_it_is_the_others_a_second_later():
    hear("berlin")
    cast.save(Phone.objects.get())
    later()
    assert not hear("munich")
    assert places() == ("berlin", "berlin"), "its own may hear it in a moment"
    Phone.objects.update(claimed_at=timezone.now() - timedelta(seconds=2))
    assert len(inventory.judge_claims(cast.match, "munich")) == 1
    assert places() == ("munich", "munich")
    assert f"Moved to {cast.HOST} at site munich;" in LiveEvent.objects.latest("id").text


def test_a_strangers_claim_that_a_person_is_asked_about_is_not_written_over():
    hear("berlin")
    cast.save(Phone.objects.get())
    hear("berlin", cast.unknown, source_host="10.0.0.66")
    Phone.objects.update(claimed_at=timezone.now() - timedelta(seconds=2))
    inventory.judge_claims(cast.unknown, "berlin")
    later()
    hear("annex")
    hear("berlin")
    phone = Phone.objects.get()
    assert "now claims 10.0.0.66" in phone.alarm and phone.claimed_host == "10.0.0.66"


def test_a_claim_of_a_phone_that_its_own_listener_heard_too_is_none():
    """Its kernel had not asked yet who is there; a second later it would have been another's phone."""
    hear("annex")
    cast.save(Phone.objects.get())
    later()
    hear("berlin", cast.unknown)
    assert Phone.objects.get().claimed_site == "berlin"
    hear("annex")
    Phone.objects.update(claimed_at=timezone.now() - timedelta(seconds=2))
    assert inventory.judge_claims(cast.match, "berlin") == []
    phone = Phone.objects.get()
    assert (phone.claimed_host, phone.alarm, phone.heard_site) == (None, "", "annex")


def test_an_address_that_is_familiar_at_one_site_is_a_strangers_at_another():
    """Two LANs have the same addresses: what is to be told the phone must not be told whoever has its address there."""
    hear("berlin")
    cast.save(Phone.objects.get())
    Phone.objects.update(steady_host=cast.HOST)
    later()
    assert not hear("munich", cast.unknown)
    phone = Phone.objects.get()
    assert (phone.heard_site, phone.claimed_site, phone.claimed_host) == ("berlin", "munich", cast.HOST)


def test_a_claim_is_judged_by_the_listener_that_can_know():
    hear("berlin")
    cast.save(Phone.objects.get())
    Phone.objects.update(steady_host=cast.HOST)
    later()
    hear("munich", cast.unknown)
    Phone.objects.update(claimed_at=timezone.now() - timedelta(seconds=2))
    assert inventory.judge_claims(cast.unknown, "berlin") == []
    assert not Phone.objects.get().alarm, "berlin knows nothing of munich's neighbours"
    assert len(inventory.judge_claims(cast.match, "munich")) == 1
    phone = Phone.objects.get()
    assert (phone.site, phone.heard_site, phone.claimed_site) == ("munich", "munich", None)
    assert phone.approved_host is None and phone.steady_host is None


@pytest.fixture
def claim_of_a_site_that_is_gone():
    """Its listener heard a known phone at another address, and is forgotten before it could say who is there."""
    hear("berlin")
    cast.save(Phone.objects.get())
    later()
    hear("munich", cast.unknown, source_host="10.0.0.9")
    inventory.leave_site("munich")
    Phone.objects.update(claimed_at=timezone.now() - timedelta(seconds=2))


def test_a_claim_of_a_site_that_is_gone_is_an_alarm_all_the_same(claim_of_a_site_that_is_gone):
    """Nobody would judge it, and nobody would hear that somebody says to be this phone."""
    assert inventory.judge_claims(cast.unknown, "paris") == []
    assert "now claims 10.0.0.9. Nothing is sent there." in Phone.objects.get().alarm


def test_who_sees_the_phone_of_such_a_claim_has_it(claim_of_a_site_that_is_gone):
    assert len(inventory.judge_claims(cast.match, "paris")) == 1
    assert (*places(), Phone.objects.get().source_host) == ("paris", "paris", "10.0.0.9")


def test_the_alarm_of_a_claim_says_at_which_site():
    hear("berlin")
    cast.save(Phone.objects.get())
    later()
    hear("munich", cast.unknown)
    Phone.objects.update(claimed_at=timezone.now() - timedelta(seconds=2))
    inventory.judge_claims(cast.unknown, "munich")
    assert f"{cast.HOST} at site munich" in Phone.objects.get().alarm


def test_a_file_of_the_old_site_is_ordered_anew_once():
    hear("berlin")
    cast.save(Phone.objects.get())
    later()
    hear("munich", source_host="10.1.0.9")
    phone = Phone.objects.get()
    assert inventory.take_moved(10) == [phone.pk]
    assert inventory.take_moved(10) == []
