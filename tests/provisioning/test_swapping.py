"""A broken phone is swapped for another one: what it had goes over as far as it fits, its own paths lead nowhere."""

import pytest
from django.db import transaction

from devices import inventory
from devices.catalog import KeyMode, KeySlot
from devices.models import Account, LiveEvent, Phone
from provisioning import assignment, commands, outbox, plan, starts, swapping
from provisioning.gxp.config import ConfigError, KeyConfig
from provisioning.jobs import arrivals
from provisioning.layers import store
from provisioning.models import ConfigFile, Job, Notify, NotifyKind, SettingsLayer
from tests import cast

pytestmark = [pytest.mark.db, pytest.mark.django_db, pytest.mark.usefixtures("clock")]
NEW = cast.OTHER_MAC
NEW_HOST = "10.0.0.30"


@pytest.fixture
def old() -> Phone:
    """A GXP1630 at the site berlin, in use: two accounts, keys, a template and settings of its own."""
    template = store.save(store.find("template", "front desk"), {"vlan_tag": "7"}, by="tess")
    phone = cast.seen(model="GXP1630")
    draft = plan.Draft(
        (cast.account(), cast.account(2, user_id="2002", display_name="Theo"), cast.account(3, user_id="3003")),
        (cast.blf("mpk1", "1002", "Reception"), cast.blf("mpk8", "1008"),
         KeyConfig(KeySlot.parse("line3"), KeyMode.SPEED_DIAL, 3, "Shop", "4004")),
    )  # fmt: skip
    saved = assignment.save(
        phone, draft, by="tess", seen_host=cast.HOST, own={"display_language": "de", "key_mpk2": "blf:1010"},
        templates=[template],
    )  # fmt: skip
    inventory.move(phone.pk, "berlin", "tess")
    cast.applied(saved.config_file)
    return Phone.objects.get(pk=phone.pk)


def heard(model: str = "GXP1630", **changes) -> Phone:
    return cast.seen(NEW, NEW_HOST, model=model, **changes)


def swap(old: Phone, new: Phone) -> swapping.Swapped:
    return swapping.swap(old, new, by="tess", seen_host=new.source_host)


def texts(mac: str) -> list[str]:
    return list(LiveEvent.objects.filter(mac=mac).order_by("id").values_list("text", flat=True))


class TestTakingOver:
    def test_the_same_model_gets_all_of_it(self, old):
        new = heard()
        assert swapping.preview(old, new).left == []
        done = swap(old, new)
        new.refresh_from_db()
        assert plan.draft_of(new).in_order() == plan.draft_of(old).in_order()
        assert new.accounts.get(number=1).password == cast.PASSWORD
        assert (new.stage, new.site, done.saved.notify.origin) == ("assigned", "berlin", "save")
        assert [one.layer.name for one in new.templates.all()] == ["front desk"]
        assert {"display_language", "key_mpk2"} <= new.own_layer.values.keys()
        assert b"<P51>7</P51>" in bytes(done.saved.config_file.content)

    def test_what_was_made_at_random_for_the_old_one_stays_its_own(self, old):
        new = heard()
        swap(old, new)
        made = [
            {name: text for name, text in SettingsLayer.objects.get(phone=phone).values.items() if ":" in name}
            for phone in (old, new)
        ]
        assert made[0].keys() == made[1].keys() and made[0] != made[1]

    def test_a_smaller_model_says_what_it_cannot_hold_and_gets_the_rest(self, old):
        new = heard("GXP1610")
        seen = swapping.preview(old, new)
        assert [(one.what, one.why) for one in seen.left] == [
            ("Account 2: 2002 Theo", "a GXP1610 has 1 account"),
            ("Account 3: 3003 Tess", "a GXP1610 has 1 account"),
            ("Line key 3: Speed dial 4004 “Shop”", "a GXP1610 has 2 line keys"),
            ("Key 1: BLF 1002 “Reception”", "a GXP1610 has no key beside the screen"),
            ("Key 8: BLF 1008", "a GXP1610 has no key beside the screen"),
            ("Own setting: Key mpk2", "a GXP1610 has no such key"),
        ]
        assert cast.PASSWORD not in repr(seen)
        swap(old, new)
        new.refresh_from_db()
        assert [one.user_id for one in new.accounts.all()] == ["1001"]
        assert not new.keys.exists() and new.own_layer.values["display_language"] == "de"
        assert "key_mpk2" not in new.own_layer.values

    def test_a_mode_that_its_keys_lack_and_an_account_that_it_does_not_have_are_said(self, old):
        lacking = (
            KeyConfig(KeySlot.parse("line1"), KeyMode.SPEED_DIAL_ACTIVE, 1, "", "1"),
            KeyConfig(KeySlot.parse("line2"), KeyMode.SPEED_DIAL, 2, "", "2"),
        )
        cast.save(old, plan.Draft((cast.account(), cast.account(2, user_id="2002")), lacking))
        left = swapping.preview(Phone.objects.get(pk=old.pk), heard("GXP1610")).left
        assert [one.why for one in left if one.what.startswith("Line key")] == [
            "such a key of a GXP1610 cannot do that", "it uses account 2, and a GXP1610 has 1 account",
        ]  # fmt: skip

    def test_a_phone_that_was_never_heard_takes_over_when_it_is_plugged_in(self, old):
        new = swapping.successor("00-0b-82-aa-aa-aa", "", old)
        assert new.pk is None
        done = swap(old, new)
        assert done.saved == assignment.Saved(None, None, changed=True)
        listed = Phone.objects.get(mac=NEW)
        assert (listed.stage, listed.model, listed.site, listed.awaits_file) == ("assigned", "GXP1630", "berlin", True)
        assert listed.accounts.count() == 3 and done.old.stage == "retired"

    def test_one_that_was_listed_already_and_never_heard_too(self, old):
        inventory.prestage(NEW, "GXP1628", "", "tess")
        swap(old, swapping.successor(NEW, "", old))
        listed = Phone.objects.get(mac=NEW)
        assert (listed.model, listed.site, listed.accounts.count()) == ("GXP1628", "berlin", 2)


class TestTheOldOne:
    def test_it_is_out_of_service_at_once(self, old):
        version = ConfigFile.objects.get(phone=old)
        outbox.notify_again(old.pk, "tess", cast.HOST)
        assert cast.ask(cast.steady_path(version)).status == 200
        new = heard()
        swap(old, new)
        old.refresh_from_db()
        assert (old.stage, old.stage_reason) == ("retired", f"Replaced by {new}.")
        assert cast.ask(cast.steady_path(version)).status == cast.ask(cast.first_path(version)).status == 404
        assert cast.owed(old.pk) is None
        with pytest.raises(commands.CannotTell, match="retired"):
            commands.send(old.pk, NotifyKind.REBOOT, "tess", cast.HOST)
        assert outbox.notify_again(old.pk, "tess", cast.HOST) is None
        assert texts(old.mac)[-1] == f"Retired by tess. Replaced by {new}."
        assert texts(NEW)[-1] == f"Takes over from {old}, which is retired."

    def test_it_is_answered_when_it_is_heard_again_and_never_told_anything(self, old, clock):
        swap(old, heard())
        clock.forward(hours=1)
        (again,) = inventory.record_sightings([cast.sighting(model="GXP1630")], cast.match)
        starts.owe_after_start(old.pk, clock.at)
        assert again.accepted and cast.owed(old.pk) is None
        assert texts(old.mac)[-1].endswith("It is retired: it is answered, and not notified.")
        old.refresh_from_db()
        assert old.stage == "retired" and old.stage_reason.startswith("Replaced by")

    def test_an_alarm_about_it_is_over(self, old):
        inventory.raise_alarm(old.pk, "Something is wrong.")
        swap(old, heard())
        old.refresh_from_db()
        assert (old.alarm, old.claimed_host) == ("", None)

    def test_back_in_service_its_extension_is_not_on_two_phones(self, old):
        new = heard()
        swap(old, new)
        with pytest.raises(assignment.AssignmentError, match="Extension 1001 is on"):
            assignment.bring_back(old.pk, "tess")
        old.refresh_from_db()
        with pytest.raises(assignment.AssignmentError, match="Extension 1001 is on"):
            cast.save(old)
        cast.save(old, cast.draft(user_id="5005"))  # as a spare one
        old.refresh_from_db()
        assert (old.stage, old.stage_reason) == ("assigned", "")

    def test_an_ignored_phone_has_its_extension_too(self, old):
        new = heard()
        swap(old, new)
        inventory.ignore(new.pk, "tess")
        with pytest.raises(assignment.AssignmentError, match="is on 00:0B:82"):
            assignment.bring_back(old.pk, "tess")

    def test_the_same_number_on_another_server_is_another_extension(self, old):
        swap(old, heard("GXP1610"))
        old.refresh_from_db()
        cast.save(old, cast.draft(sip_server="172.18.0.11"))
        assert Phone.objects.get(pk=old.pk).stage == "assigned"

    def test_back_in_service_it_goes_on_where_it_was(self, old):
        new = heard()
        swap(old, new)
        inventory.forget(new.pk, "tess")
        assert assignment.bring_back(old.pk, "tess")
        old.refresh_from_db()
        assert (old.stage, old.stage_reason) == ("applied", "")
        assert Job.objects.filter(scope={"phones": [old.pk]}).exists()
        assert cast.ask(cast.steady_path(ConfigFile.objects.get(phone=old))).status == 200
        assert not assignment.bring_back(old.pk, "tess")

    def test_back_in_service_one_that_was_never_heard_waits_again(self, old, clock):
        listed = swap(old, swapping.successor(NEW, "", old)).new
        listed.refresh_from_db()
        third = cast.seen("000B82CCCCCC", "10.0.0.40", model="GXP1630")
        swap(listed, third)
        cast.seen(NEW, NEW_HOST, model="GXP1630")
        assert arrivals.provide() == 0  # it is retired
        assert texts(NEW)[-1].endswith("It is retired: it is answered, and not notified.")
        inventory.forget(third.pk, "tess")
        assert assignment.bring_back(listed.pk, "tess")
        assert arrivals.provide() == 1  # it is here
        listed.refresh_from_db()
        assert (listed.stage, listed.stage_reason, listed.awaits_file) == ("assigned", "", False)

    def test_a_repaired_phone_is_swapped_back(self, old):
        new = heard()
        swap(old, new)
        old.refresh_from_db()
        new.refresh_from_db()
        swap(new, old)
        old.refresh_from_db()
        new.refresh_from_db()
        assert (old.stage, new.stage) == ("assigned", "retired")
        assert old.accounts.count() == 3


class TestBothOrNothing:
    def nothing_happened(self, old: Phone) -> bool:
        there = Phone.objects.get(pk=old.pk)
        new = Phone.objects.filter(mac=NEW).first()
        taken = Account.objects.exclude(phone=old).exists()
        return there.stage == "applied" and not taken and (new is None or new.stage == "seen")

    def test_somebody_who_saved_the_old_one_meanwhile_loses_nothing(self, old):
        read = Phone.objects.get(pk=old.pk)
        cast.save(old, cast.draft(user_id="7007"))
        for new in (heard(), swapping.successor("000B82BBBBBB", "", read)):
            with pytest.raises(inventory.VersionConflict):
                swap(read, new)
        assert Phone.objects.get(pk=old.pk).stage == "assigned"
        assert not Account.objects.exclude(phone=old).exists()
        assert not Phone.objects.filter(mac="000B82BBBBBB").exists()

    def test_somebody_who_assigned_the_new_one_meanwhile_loses_nothing(self, old):
        read = heard()
        cast.save(read, cast.draft(user_id="7007"))
        with pytest.raises(inventory.VersionConflict):
            swap(old, read)
        assert Account.objects.exclude(phone=old).get().user_id == "7007"
        assert Phone.objects.get(pk=old.pk).stage == "applied"

    def test_a_new_phone_that_has_moved_is_looked_at_again(self, old):
        with pytest.raises(assignment.AssignmentError, match="moved"):
            swapping.swap(old, heard(), by="tess", seen_host=cast.STRANGER)
        assert self.nothing_happened(old)

    def test_a_layer_that_does_not_fit_stops_it(self, old):
        layer = SettingsLayer.objects.get(phone=old)
        layer.values = {**layer.values, "vlan_tag": "99999"}
        layer.save()
        for new in (heard(), swapping.successor("000B82BBBBBB", "", old)):
            with pytest.raises(ConfigError):
                swap(old, new)
        assert self.nothing_happened(old)

    def test_a_mac_that_was_listed_in_the_same_moment_stops_it(self, old):
        new = swapping.successor(NEW, "", old)
        heard()
        with pytest.raises(inventory.CannotList, match="listed already"):
            swap(old, new)
        assert self.nothing_happened(old)

    @pytest.mark.parametrize("which", ["itself", "assigned", "ignored", "unknown", "nothing"])
    def test_what_makes_no_sense_is_refused(self, old, which):
        new = old if which == "itself" else heard("GXP2170" if which == "unknown" else "GXP1628")
        if which == "assigned":
            cast.save(new)
        elif which == "ignored":
            inventory.ignore(new.pk, "tess")
        new.refresh_from_db()
        giver = cast.seen("000B82CCCCCC", "10.0.0.40") if which == "nothing" else old
        with pytest.raises(swapping.SwapError):
            swap(giver, new)

    def test_the_notify_goes_out_with_the_rest_or_not_at_all(self, old):
        new = heard()
        with pytest.raises(RuntimeError), transaction.atomic():
            swap(old, new)
            raise RuntimeError("the machine stops here")
        assert self.nothing_happened(old) and not Notify.objects.filter(phone=new).exists()
