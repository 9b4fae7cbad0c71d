"""The inventory: sightings in, claims judged, stages forward; strangers move nothing that is assigned."""

import pytest

from devices import inventory
from devices.models import LiveEvent, Phone
from provisioning import outbox
from sipmcast import desk
from tests import cast

pytestmark = [pytest.mark.db, pytest.mark.django_db, pytest.mark.usefixtures("clock")]


@pytest.fixture
def version():
    return cast.assigned()


def hear(*sightings, verify=cast.unknown):
    return inventory.record_sightings(sightings, verify)


def texts(mac=cast.MAC) -> list[str]:
    return list(LiveEvent.objects.filter(mac=mac).order_by("id").values_list("text", flat=True))


class TestSightings:
    def test_a_new_phone_is_one_row_and_one_event(self, clock):
        (heard,) = hear(cast.sighting())
        phone = Phone.objects.get()
        assert (heard.phone_id, heard.mac, heard.stage, heard.accepted) == (phone.pk, cast.MAC, "seen", True)
        assert (phone.vendor, phone.model, phone.firmware) == ("Grandstream", "GXP1628", "1.0.4.88")
        assert phone.first_seen_at == phone.last_seen_at == phone.subscribed_at == clock.at
        assert texts() == [f"Seen for the first time, at {cast.HOST}."]
        assert LiveEvent.objects.get().phone_id == phone.pk

    def test_a_batch_of_new_known_and_doubled_phones_keeps_its_order(self):
        cast.seen()
        new, doubled = "000B82000001", "000B82000002"
        batch = [cast.sighting(doubled), cast.sighting(), cast.sighting(new), cast.sighting(doubled), cast.sighting()]
        heard = hear(*batch)
        assert [one.mac for one in heard] == [one.mac for one in batch]
        assert Phone.objects.count() == 3
        assert [heard[0].phone_id, heard[1].phone_id] == [heard[3].phone_id, heard[4].phone_id]
        assert None not in [one.phone_id for one in heard]
        assert len(texts(doubled)) == len(texts(new)) == 1

    def test_an_empty_batch_is_nothing(self):
        assert hear() == []

    @pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
    def test_a_site_after_a_power_cut_is_a_few_statements(self, known, clock, django_assert_max_num_queries):
        """500 phones start at once: SQLite's lock is held for milliseconds."""
        batch = [cast.sighting(f"000B8200{number:04X}") for number in range(500)]
        if known:
            hear(*batch)
            clock.forward(60)
        with django_assert_max_num_queries(8):
            hear(*batch)
        assert Phone.objects.filter(last_seen_at=clock.at).count() == 500
        assert LiveEvent.objects.filter(at=clock.at).count() == 500

    def test_a_foreign_vendor_is_listed_as_not_ours(self):
        cast.seen(vendor="<script>alert(1)</script>", ours=False)
        phone = Phone.objects.get()
        assert phone.stage == "ignored"
        assert phone.stage_reason.startswith("Seen, not ours: <script>")

    def test_a_stranger_cannot_hide_a_phone_by_naming_its_mac_with_another_vendor_first(self):
        cast.seen(vendor="Yealink", ours=False, host=cast.STRANGER)
        hear(cast.sighting())
        phone = Phone.objects.get()
        assert (phone.vendor, phone.stage, phone.stage_reason) == ("Grandstream", "seen", "")

    def test_a_phone_that_a_person_ignored_stays_ignored(self):
        phone = cast.seen()
        inventory.ignore(phone.pk, "tess")
        hear(cast.sighting())
        phone.refresh_from_db()
        assert (phone.stage, phone.stage_reason) == ("ignored", "Ignored by tess.")

    def test_hostile_texts_are_bounded_and_printable(self):
        nasty = "\x00\n\r\x1b[31m\u202e\ud800" + "A" * 100_000
        hear(cast.sighting(vendor=nasty, model=nasty, firmware=nasty, contact=nasty, interface=nasty))
        phone = Phone.objects.get()
        for name in ("vendor", "model", "firmware", "contact", "interface"):
            text = getattr(phone, name)
            assert len(text) <= Phone._meta.get_field(name).max_length
            assert text.isprintable()
        assert all(len(text) <= 300 for text in texts())

    @pytest.mark.parametrize("mac", ["", "000b82273b89", "000B82273B8", "000B82273B890", "000B82273B8G", "０" * 12])
    def test_a_mac_is_12_upper_hex_digits_or_no_sighting(self, mac):
        with pytest.raises(ValueError):
            cast.sighting(mac)

    def test_a_sighting_without_model_does_not_take_away_what_is_known(self, version):
        """A SUBSCRIBE without Event parameters and User-Agent; saving again must still work."""
        hear(cast.sighting(model="", firmware=""))
        assert Phone.objects.get().known_model is not None


class TestClaims:
    """Another address says that it is an assigned phone."""

    def claim(self, host=cast.STRANGER, verify=cast.unknown):
        (heard,) = hear(cast.sighting(host=host), verify=verify)
        return heard

    def test_it_moves_nothing_and_is_not_accepted(self, version):
        before = Phone.objects.values().get()
        assert not self.claim().accepted
        after = Phone.objects.values().get()
        assert {name for name in after if after[name] != before[name]} == {
            "claimed_host", "claimed_at", "claim_heard_at", "claimed_interface", "claimed_local_host"
        }  # fmt: skip

    def test_an_alarm_is_raised_after_the_settle_time_and_once(self, version, clock):
        self.claim()
        clock.forward(inventory.CLAIM_SETTLE_SECONDS - 0.1)
        assert inventory.judge_claims(cast.mismatch) == [] and not Phone.objects.get().alarm
        clock.forward(0.1)
        for _ in range(3):
            assert inventory.judge_claims(cast.mismatch) == []
            self.claim()
            clock.forward(10)
        phone = Phone.objects.get()
        assert (phone.source_host, phone.claimed_host) == (cast.HOST, cast.STRANGER)
        assert "00:0B:82:27:3B:89 now claims 10.0.0.99" in phone.alarm
        assert LiveEvent.objects.filter(kind="alarm").count() == 1

    def test_an_unknown_verdict_is_an_alarm_too(self, version, clock):
        self.claim()
        clock.forward(1)
        inventory.judge_claims(cast.unknown)
        assert Phone.objects.get().alarm

    def test_no_notify_is_owed_for_it(self, version, clock):
        cast.applied(version)
        with cast.neighbours_say(cast.Verdict.MISMATCH):
            (heard,) = desk.store([cast.sighting(host=cast.STRANGER)], "").heard
        assert not heard.accepted
        assert cast.owed(version.phone_id) is None

    def test_a_claim_that_is_settled_while_they_are_looked_for_raises_no_alarm(self, version, clock):
        self.claim()
        clock.forward(1)
        with cast.before_query(2, lambda: inventory.accept_claim(version.phone_id, cast.STRANGER, by="tess")):
            inventory.judge_claims(cast.unknown)
        phone = Phone.objects.get()
        assert (phone.source_host, phone.alarm) == (cast.STRANGER, "")

    def test_another_stranger_raises_another_alarm(self, version, clock):
        self.claim()
        clock.forward(1)
        inventory.judge_claims(cast.mismatch)
        clock.forward(1)
        self.claim("10.0.0.98")
        clock.forward(1)
        inventory.judge_claims(cast.mismatch)
        assert "10.0.0.98" in Phone.objects.get().alarm

    def test_two_strangers_who_take_turns_cannot_keep_the_alarm_from_being_raised(self, version, clock):
        for turn in range(20):
            self.claim(f"10.0.0.{98 + turn % 2}")
            clock.forward(0.5)
            inventory.judge_claims(cast.mismatch)
        assert Phone.objects.get().alarm

    def test_an_address_that_the_neighbour_table_verifies_is_the_phone(self, version, clock):
        assert self.claim("10.0.0.30", cast.match).accepted
        phone = Phone.objects.get()
        assert (phone.source_host, phone.approved_host, phone.claimed_host) == ("10.0.0.30", None, None)

    def test_a_claim_that_verifies_after_the_settle_time_is_the_phone(self, version, clock):
        self.claim("10.0.0.30")
        clock.forward(1)
        assert inventory.judge_claims(cast.match) == [version.phone_id]
        phone = Phone.objects.get()
        assert (phone.source_host, phone.approved_host, phone.claimed_host, phone.alarm) == (
            "10.0.0.30",
            None,
            None,
            "",
        )
        assert inventory.judge_claims(cast.match) == []

    def test_a_verified_start_ends_the_claim_and_its_alarm_about_the_same_address(self, version, clock):
        self.claim("10.0.0.30")
        clock.forward(1)
        inventory.judge_claims(cast.unknown)
        clock.forward(60)
        assert self.claim("10.0.0.30", cast.match).accepted
        phone = Phone.objects.get()
        assert (phone.source_host, phone.claimed_host) == ("10.0.0.30", None)
        assert "Nothing is sent there" not in phone.alarm

    def test_a_person_accepts(self, version, clock):
        self.claim()
        clock.forward(1)
        inventory.judge_claims(cast.mismatch)
        assert inventory.accept_claim(version.phone_id, cast.STRANGER, by="tess")
        phone = Phone.objects.get()
        assert (phone.source_host, phone.approved_host, phone.alarm) == (cast.STRANGER, cast.STRANGER, "")
        assert "confirmed by tess" in texts()[-1]
        assert not inventory.accept_claim(version.phone_id, cast.STRANGER, by="tess")

    def test_accepting_counts_from_when_the_claim_was_last_heard(self, version, clock):
        """It has claimed for an hour; it was heard a minute ago; one click must be enough (design 5.2)."""
        self.claim()
        clock.forward(hours=1)
        self.claim()
        clock.forward(60)
        inventory.accept_claim(version.phone_id, cast.STRANGER, by="tess")
        phone = Phone.objects.get()
        assert (clock.at - phone.subscribed_at).total_seconds() == 60

    def test_a_person_dismisses(self, version, clock):
        self.claim()
        clock.forward(1)
        inventory.judge_claims(cast.mismatch)
        assert inventory.dismiss_alarm(version.phone_id, by="tess")
        phone = Phone.objects.get()
        assert (phone.source_host, phone.claimed_host, phone.alarm) == (cast.HOST, None, "")
        assert not inventory.dismiss_alarm(version.phone_id, by="tess")
        self.claim()
        clock.forward(1)
        inventory.judge_claims(cast.mismatch)
        assert Phone.objects.get().alarm, "the stranger is still there"

    def test_a_stranger_at_an_address_where_the_phone_was_once_does_not_take_it_over(self, version, clock):
        """The phone moved away; its old address now belongs to a device with another MAC."""
        cast.applied(version)
        self.claim("10.0.0.30", cast.match)
        heard = self.claim(cast.HOST, cast.mismatch)
        assert not heard.accepted
        assert Phone.objects.get().source_host == "10.0.0.30"


class TestStages:
    def test_advance_moves_only_from_its_sources(self, version):
        stages = inventory.Stage
        assert not inventory.advance(version.phone_id, stages.APPLIED, [stages.FETCHED], "no")
        assert inventory.advance(version.phone_id, stages.NOTIFIED, [stages.ASSIGNED], "yes")
        assert not inventory.advance(version.phone_id, stages.NOTIFIED, [stages.ASSIGNED], "again")
        assert "yes" in texts() and "no" not in texts() and "again" not in texts()

    def test_a_reason_is_an_event_once_and_bounded(self, version):
        assert inventory.explain(version.phone_id, "x" * 1000)
        assert not inventory.explain(version.phone_id, "x" * 1000)
        assert texts().count("x" * 300) == 1
        assert inventory.explain(version.phone_id, "")

    def test_ignoring_twice_is_one_event(self, version):
        assert inventory.ignore(version.phone_id, "tess")
        assert not inventory.ignore(version.phone_id, "tom")
        assert texts()[-1] == "Ignored by tess."

    def test_forgetting_leaves_its_timeline_and_the_phone_comes_back_as_new(self, version):
        assert inventory.forget(version.phone_id, "tess")
        assert not inventory.forget(version.phone_id, "tess")
        assert texts()[-1] == "Forgotten by tess." and len(texts()) > 2
        assert outbox.current_file(version.phone_id) is None
        phone = cast.seen()
        assert (phone.stage, phone.version) == ("seen", 0)


class TestAlarms:
    def test_an_accepted_claim_is_the_one_that_was_seen(self, version, clock):
        """While Tess reads, another device claims: her click must not confirm an address that she never saw."""
        hear(cast.sighting(host=cast.STRANGER))
        clock.forward(2)
        inventory.judge_claims(cast.mismatch)
        hear(cast.sighting(host="10.0.0.98"))
        assert not inventory.accept_claim(version.phone_id, cast.STRANGER, by="tess")
        assert Phone.objects.get().source_host == cast.HOST

    def test_a_claim_does_not_cover_another_alarm_and_takes_only_its_own_words_away(self, version, clock):
        inventory.raise_alarm(version.phone_id, "Restarts without keeping its configuration.")
        hear(cast.sighting(host=cast.STRANGER))
        clock.forward(2)
        inventory.judge_claims(cast.mismatch)
        alarm = Phone.objects.get().alarm
        assert "now claims" in alarm and "Restarts without" in alarm
        inventory.accept_claim(version.phone_id, cast.STRANGER, by="tess")
        assert Phone.objects.get().alarm == "Restarts without keeping its configuration."
        inventory.dismiss_alarm(version.phone_id, by="tess")
        assert Phone.objects.get().alarm == ""

    def test_a_forgotten_phone_raises_no_alarm(self, version):
        inventory.forget(version.phone_id, "tess")
        inventory.raise_alarm(version.phone_id, "x")
        assert not Phone.objects.exists()
