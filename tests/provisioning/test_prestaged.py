"""Phones that a person lists and assigns before they are heard: saved in full, given their files when plugged in."""

import pytest
from django.db import transaction

from devices import inventory, retention
from devices.choices import Stage
from devices.models import Account, LiveEvent, Phone
from devices.trust import Verdict
from provisioning import assignment, commands, outbox
from provisioning.gxp.config import ConfigError
from provisioning.jobs import arrivals
from provisioning.layers import store
from provisioning.models import ConfigFile, Notify, NotifyKind, SettingsLayer
from sipmcast import desk
from tests import cast

pytestmark = [pytest.mark.db, pytest.mark.django_db, pytest.mark.usefixtures("clock")]
STORM = 120  # more than are read at once


def listed(mac: str = cast.MAC, model: str = "GXP1628", site: str = "berlin") -> Phone:
    return inventory.prestage(mac, model, site, "tess")


def waiting(mac: str = cast.MAC, **changes) -> Phone:
    """Listed and assigned; it waits to be plugged in."""
    phone = listed(mac)
    assignment.save(phone, cast.draft(**changes), by="tess", seen_host=None)
    return Phone.objects.get(pk=phone.pk)


def plugged_in(mac: str = cast.MAC, **changes) -> Phone:
    return cast.seen(mac, **changes)


def texts(phone: Phone) -> list[str]:
    return list(LiveEvent.objects.filter(mac=phone.mac).order_by("id").values_list("text", flat=True))


class TestListing:
    def test_a_listed_phone_has_a_place_and_no_times(self, clock):
        phone = Phone.objects.get(pk=listed().pk)
        assert (phone.stage, phone.model, phone.site, phone.listed_at) == ("seen", "GXP1628", "berlin", clock.at)
        assert (phone.first_seen_at, phone.last_seen_at, phone.source_host) == (None, None, None)
        assert texts(phone) == ["Listed by tess before it was heard."]

    @pytest.mark.parametrize(
        ("mac", "model", "site", "field"),
        [(cast.OTHER_MAC, "GXP9999", "", "model"), ("000B82", "GXP1628", "", "mac"),
         (cast.OTHER_MAC, "GXP1628", "Büro 1", "site"), (cast.MAC, "GXP1628", "", "mac")],
    )  # fmt: skip
    def test_what_cannot_be_listed_is_refused_and_the_transaction_goes_on(self, mac, model, site, field):
        listed()
        with transaction.atomic():
            with pytest.raises(inventory.CannotList) as refusal:
                inventory.prestage(mac, model, site, "tess")
            assert refusal.value.field == field
            listed("000B82000001")
        assert Phone.objects.count() == 2

    def test_any_spelling_of_a_mac_is_the_same_phone(self):
        assert inventory.prestage("00-0b-82-27-3b-89", "gxp1628", "", "tess").mac == cast.MAC

    def test_it_is_never_forgotten_by_itself_heard_or_not(self, clock):
        listed()
        listed(cast.OTHER_MAC)
        plugged_in(cast.OTHER_MAC)
        clock.forward(days=400)
        assert retention.forget_unheard() == 0

    def test_it_takes_no_room_of_the_bound_on_new_phones(self):
        listed()
        bound = desk.NewPhones(per_source=0, overall=0)
        (heard,) = inventory.record_sightings([cast.sighting()], cast.unknown, bound)
        assert not heard.refused


class TestAssigning:
    def test_the_save_is_whole_and_its_file_waits(self):
        phone = listed()
        saved = assignment.save(phone, cast.draft(cast.blf("mpk1", "1002")), by="tess", seen_host=None)
        assert saved == assignment.Saved(None, None, changed=True)
        phone = Phone.objects.get(pk=phone.pk)
        assert (phone.stage, phone.stage_reason, phone.awaits_file) == ("assigned", inventory.WAITS, True)
        assert (phone.accounts.get().user_id, phone.keys.get().value) == ("1001", "1002")
        assert not ConfigFile.objects.exists() and not Notify.objects.exists()

    def test_what_is_wrong_is_said_at_the_save_and_nothing_is_written(self):
        phone = listed(model="GXP1610")
        wrong = cast.draft(cast.blf("mpk1", "1002"), user_id="")
        with pytest.raises(ConfigError) as refusal:
            assignment.save(phone, wrong, by="tess", seen_host=None, own={"vlan_tag": "7"})
        assert {problem.field for problem in refusal.value.problems} >= {"account.1.user_id", "key.mpk1"}
        assert not Account.objects.exists() and not SettingsLayer.objects.exists()
        assert Phone.objects.get().stage == "seen"

    def test_a_bad_setting_of_its_own_is_said_too(self):
        with pytest.raises(ConfigError):
            assignment.save(listed(), cast.draft(), by="tess", seen_host=None, own={"vlan_tag": "99999"})

    def test_its_own_settings_and_templates_are_kept(self):
        template = store.save(store.find("template", "front desk"), {"vlan_tag": "7"}, by="tess")
        phone = listed()
        assignment.save(
            phone, cast.draft(), by="tess", seen_host=None, own={"display_language": "de"}, templates=[template]
        )
        assert phone.own_layer.values["display_language"] == "de"
        assert [one.layer for one in phone.templates.all()] == [template]

    def test_two_who_save_it_at_once_do_not_lose_a_save(self):
        phone = listed()
        other = Phone.objects.get(pk=phone.pk)
        assignment.save(phone, cast.draft(), by="tess", seen_host=None)
        with pytest.raises(inventory.VersionConflict):
            assignment.save(other, cast.draft(user_id="9"), by="tom", seen_host=None)

    def test_nobody_can_command_it(self):
        with pytest.raises(commands.CannotTell, match="plugged in"):
            commands.send(waiting().pk, NotifyKind.REBOOT, "tess", None)

    def test_ignored_and_heeded_it_waits_again(self):
        phone = waiting()
        inventory.ignore(phone.pk, "tess")
        assert assignment.heed(phone.pk, "tess")
        phone.refresh_from_db()
        assert (phone.stage, phone.stage_reason) == ("assigned", inventory.WAITS)


class TestArriving:
    def test_it_gets_its_file_and_is_owed_a_notify_that_nobody_attended(self):
        phone = waiting()
        assert arrivals.provide() == 0  # it is not here
        plugged_in()
        assert arrivals.provide() == 1
        phone.refresh_from_db()
        assert (phone.stage, phone.stage_reason, phone.awaits_file) == ("assigned", "", False)
        version = ConfigFile.objects.get()
        assert (version.number, version.base_url) == (1, "http://10.0.0.1:5481")
        assert b"1001" in bytes(version.content)
        notify = Notify.objects.get()
        assert (notify.origin, notify.state, notify.config_file) == ("automatic", "waiting", version)
        assert arrivals.provide() == 0

    def test_it_goes_the_whole_way(self):
        waiting()
        plugged_in()
        arrivals.provide()
        cast.applied(ConfigFile.objects.get())
        assert Phone.objects.get().stage == "applied"

    @pytest.mark.parametrize(
        ("verdict", "sends", "state", "alarm"),
        [(Verdict.MATCH, 1, "sending", False), (Verdict.MISMATCH, 0, "withheld", True),
         (Verdict.UNKNOWN, 0, "withheld", False)],
    )  # fmt: skip
    def test_only_where_its_mac_is_verified_it_is_told_by_itself(self, clock, verdict, sends, state, alarm):
        waiting()
        plugged_in()
        arrivals.provide()
        with cast.neighbours_say(verdict):
            probed, sent = {}, 0
            for _ in range(desk.PROBES + 1):
                plan = desk.look(cast.LEGS, "pbx#1", probed, 10)
                probed, sent = plan.probed, sent + len(plan.sends)
                clock.forward(1)
        assert (sent, Notify.objects.get().state, bool(Phone.objects.get().alarm)) == (sends, state, alarm)

    def test_a_person_confirms_an_address_that_nobody_can_verify_with_one_click(self, clock):
        phone = waiting()
        plugged_in()
        arrivals.provide()
        outbox.withhold(outbox.due(clock.at, cast.LEGS, 1)[0], "Nobody has confirmed it.", alarm=False)
        assert outbox.notify_again(phone.pk, "tess", cast.HOST)
        with cast.neighbours_say(Verdict.UNKNOWN):
            assert len(desk.look(cast.LEGS, "pbx#1", {}, 10).sends) == 1

    def test_a_phone_of_another_model_stops_and_says_what_helps(self):
        phone = waiting()
        plugged_in(model="GXP1625")
        assert arrivals.provide() == 1
        assert arrivals.provide() == 0  # a person decides
        phone.refresh_from_db()
        assert phone.stage == "assigned" and not ConfigFile.objects.exists()
        assert phone.stage_reason.startswith("It is a GXP1625, listed as GXP1628")
        assert cast.save(phone).config_file.number == 1  # to accept
        phone.refresh_from_db()
        assert phone.stage_reason == ""

    def test_a_layer_that_became_wrong_meanwhile_is_a_reason_and_keeps_nobody_else(self, monkeypatch):
        bad, good = waiting(), waiting(cast.OTHER_MAC)
        layer = SettingsLayer.objects.get(phone=bad)
        layer.values = {**layer.values, "vlan_tag": "99999"}
        layer.save()
        plugged_in()
        plugged_in(cast.OTHER_MAC, host="10.0.0.21")
        arrivals.provide()
        bad.refresh_from_db()
        assert bad.stage_reason.startswith("Its file cannot be made.")
        assert ConfigFile.objects.get().phone == good

    def test_a_save_that_comes_in_between_wins(self, monkeypatch):
        phone = waiting()
        plugged_in()
        first = arrivals._first

        def saved_meanwhile(*arguments):
            made = first(*arguments)
            cast.save(phone, cast.draft(user_id="2002"))
            return made

        monkeypatch.setattr(arrivals, "_first", saved_meanwhile)
        arrivals.provide()
        assert Account.objects.get().user_id == "2002"
        version = ConfigFile.objects.get()
        assert b"2002" in bytes(version.content) and Notify.objects.get().origin == "save"

    def test_two_workers_make_it_once(self, monkeypatch):
        waiting()
        plugged_in()
        first = arrivals._first

        def another_worker(*arguments):
            monkeypatch.setattr(arrivals, "_first", first)
            arrivals.provide()
            return first(*arguments)

        monkeypatch.setattr(arrivals, "_first", another_worker)
        arrivals.provide()
        assert ConfigFile.objects.count() == Notify.objects.count() == 1

    def test_a_layer_that_changes_in_between_is_in_the_file(self, monkeypatch):
        waiting()
        plugged_in()
        first = arrivals._first

        def changed_meanwhile(*arguments):
            made = first(*arguments)
            store.save(store.find("site", "berlin"), {"vlan_tag": "77"}, by="tess")
            return made

        monkeypatch.setattr(arrivals, "_first", changed_meanwhile)
        arrivals.provide()
        assert not ConfigFile.objects.exists()
        monkeypatch.setattr(arrivals, "_first", first)
        arrivals.provide()
        assert b"<P51>77</P51>" in bytes(ConfigFile.objects.get().content)

    def test_a_storm_comes_through_in_few_transactions(self):
        macs = [f"000B82{number:06X}" for number in range(STORM)]
        for mac in macs:
            waiting(mac)
        sightings = [cast.sighting(mac, f"10.0.1.{place}") for place, mac in enumerate(macs, start=1)]
        inventory.record_sightings(sightings, cast.match)
        assert (arrivals.provide(), arrivals.provide(), arrivals.provide()) == (100, 20, 0)
        assert ConfigFile.objects.count() == Notify.objects.filter(state="waiting").count() == STORM

    def test_a_start_that_is_looked_at_before_its_file_is_made_owes_nothing_twice(self, clock):
        phone = waiting()
        plugged_in()
        desk.owe({phone.pk: clock.at})
        arrivals.provide()
        desk.owe({phone.pk: clock.at})
        assert Notify.objects.count() == 1

    def test_its_first_address_is_no_claim_and_a_second_one_is(self):
        phone = waiting()
        plugged_in()
        phone.refresh_from_db()
        assert (phone.source_host, phone.claimed_host, phone.local_host) == (cast.HOST, None, cast.OURS)
        plugged_in(host=cast.STRANGER)
        phone.refresh_from_db()
        assert (phone.source_host, phone.claimed_host) == (cast.HOST, cast.STRANGER)

    def test_where_it_was_listed_to_stand_stays(self):
        listed()
        inventory.record_sightings([cast.sighting()], cast.unknown, site="hamburg")
        assert Phone.objects.get().site == "berlin"

    def test_its_first_hour_is_not_looked_at_as_long_ago(self, clock):
        phone = waiting()
        clock.forward(days=30)
        plugged_in()
        phone.refresh_from_db()
        assert phone.first_seen_at == phone.last_seen_at == phone.subscribed_at == clock.at
        assert phone.listed_at == clock.at
        assert texts(phone)[-1] == f"Heard for the first time, at {cast.HOST}."
        assert phone.stage == Stage.ASSIGNED

    def test_one_whose_rows_are_broken_takes_no_other_along_and_is_not_tried_for_ever(self):
        broken, other = waiting(), waiting(cast.OTHER_MAC)
        plugged_in()
        arrivals.provide()
        Phone.objects.filter(pk=broken.pk).update(awaits_file=True)  # its first file is there already
        plugged_in(cast.OTHER_MAC, host="10.0.0.21")
        assert arrivals.provide() == 2
        assert outbox.current_file(other.pk) is not None
        broken.refresh_from_db()
        assert (broken.awaits_file, broken.stage_reason) == (False, arrivals.OUR_FAULT)
        assert arrivals.provide() == 0
