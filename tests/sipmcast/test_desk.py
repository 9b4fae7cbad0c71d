"""The desk: what a listener does in its writer thread; above all, who may be told a URL that leads to secrets."""

import pytest
from django.core.management import call_command
from django.utils import timezone

from devices import alarms, decoys, inventory
from devices.choices import WAY, AlarmKind
from devices.models import Phone
from devices.trust import Verdict
from provisioning import commands, outbox, starts
from provisioning.models import Notify, NotifyKind
from sipmcast import desk
from sipmcast.calls import Send
from sipmcast.events import Leg, NotifyAnswered, NotifyTimedOut
from sipmcast.models import ListenerStatus
from sipmcast.sip.message import parse_message
from sipmcast.status import Said, heartbeat
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]
ME = "pbx/all/224.0.1.75:5060#1"
ME_AFTER_A_CRASH = "pbx/all/224.0.1.75:5060#2"
ANOTHER = "branch/all/224.0.1.75:5060#9"


class Table:
    """The neighbour table as a test wants it; unknown for the rest."""

    def __init__(self, verdicts: dict[str, Verdict]) -> None:
        self.verdicts = verdicts

    def verify(self, host: str, mac: str, interface: str = "") -> Verdict:
        return self.verdicts.get(host, Verdict.UNKNOWN)


@pytest.fixture(autouse=True)
def table(monkeypatch):
    """The neighbour table: (host -> verdict), unknown for the rest."""
    verdicts: dict[str, Verdict] = {}
    shown = Table(verdicts)
    monkeypatch.setattr("sipmcast.neighbours.snapshot", lambda: shown)
    monkeypatch.setattr("sipmcast.neighbours.verify", shown.verify)
    return verdicts


@pytest.fixture
def version():
    return cast.assigned()


def look(name=ME, legs=cast.LEGS, sending=(), probed=None) -> desk.Plan:
    """One turn of the worker; `probed` goes from turn to turn."""
    rare = desk.upkeep(legs, name, set(sending))
    plan = desk.look(legs, name, {} if probed is None else probed, 1000)
    plan.sends = [*rare.sends, *plan.sends]
    plan.cancelled = rare.cancelled
    return plan


def store(*sightings) -> None:
    """What the worker does with what was heard."""
    heard = desk.store(list(sightings), "").heard
    desk.owe({one.phone_id: timezone.now() for one in heard if one.accepted and one.stage in WAY})


def settle(*events) -> list[Send]:
    return desk.settle(events, cast.LEGS)


def state(version) -> tuple[str, str]:
    notify = Notify.objects.filter(phone_id=version.phone_id).first()
    return notify.state, notify.note


class TestSending:
    def test_a_save_is_sent_at_once_with_its_first_path_to_the_phone_it_was_saved_for(self, version):
        (send,) = look().sends
        request = parse_message(send.datagram)
        assert (request.method, send.target, send.leg) == ("NOTIFY", (cast.HOST, 5060), cast.LEG)
        assert request.body.decode() == f"http://{cast.OURS}:5481{cast.first_path(version)}"
        row = Notify.objects.get()
        assert (row.state, row.call_id, row.branch) == ("sending", request.required("call-id"), request.via.branch)
        assert look(sending=[row.pk]).sends == []

    def test_a_listener_without_the_phones_leg_leaves_the_row(self, version):
        for legs in ({}, {("eth1", cast.OURS): Leg("eth1", cast.OURS, 6060)},
                     {("eth0", "10.9.9.1"): Leg("eth0", "10.9.9.1", 6060)}):  # fmt: skip
            plan = look(legs=legs)
            assert (plan.sends, plan.probes, state(version)[0]) == ([], [], "waiting")
        assert len(look().sends) == 1

    def test_rows_of_another_listener_do_not_stand_in_the_way(self, clock):
        for number in range(desk.DUE_LIMIT + 5):
            away = cast.seen(
                f"000B820000{number:02X}", f"10.1.0.{number + 1}", interface="vlan9", local_host="10.1.0.254"
            )
            cast.save(away)
        clock.forward(1)
        version = cast.assigned()
        assert [send.notify_id for send in look().sends] == [cast.owed(version.phone_id).pk]

    def test_a_file_that_no_key_opens_keeps_no_other_phone_waiting(self, settings, clock):
        old_keys = settings.GSPNP_FIELD_KEYS
        settings.GSPNP_FIELD_KEYS = ["b3RoZXIga2V5OiAgMzIgYnl0ZXMgb2YgYSBrZXkuLi4="]
        lost = cast.assigned(cast.OTHER_MAC, "10.0.0.21")
        settings.GSPNP_FIELD_KEYS = old_keys
        clock.forward(1)
        version = cast.assigned()
        assert [send.target[0] for send in look().sends] == [cast.HOST]
        assert Notify.objects.filter(phone_id=lost.phone_id).values_list("state", flat=True)[0] == "withheld"
        assert cast.stage(version) == "assigned"

    def test_a_phone_ignored_before_sending_is_dropped_in_true_words(self, version):
        inventory.ignore(version.phone_id, "tess")
        assert look().sends == []
        left, note = state(version)
        assert left == "not_needed"
        assert "fetched by its own path" not in note

    def test_a_phone_ignored_since_anybody_looked_through_what_waits_is_sent_nothing(self, version):
        inventory.ignore(version.phone_id, "tess")
        rare = desk.upkeep(cast.LEGS, ME, set(), thorough=False)
        assert rare.sends == desk.look(cast.LEGS, ME, {}, 1000).sends == []
        assert state(version) == ("not_needed", outbox.UNWANTED)

    def test_a_command_clicked_while_no_listener_was_there_does_not_leave_later(self, version, clock):
        cast.applied(version)
        commands.send(version.phone_id, NotifyKind.REBOOT, "tess", cast.HOST)
        clock.forward(minutes=3)
        assert desk.look(cast.LEGS, ME, {}, 1000).sends == []
        ended = Notify.objects.get(kind=NotifyKind.REBOOT)
        assert (ended.state, ended.note) == ("not_needed", outbox.TOO_LATE)

    def test_a_phone_that_is_heeded_again_in_this_very_moment_keeps_its_notify(self, version, monkeypatch):
        inventory.ignore(version.phone_id, "tess")
        drop = outbox.drop_unwanted

        def heeded_meanwhile(*states):
            Phone.objects.filter(pk=version.phone_id).update(stage="assigned")
            drop(*states)

        monkeypatch.setattr(outbox, "drop_unwanted", heeded_meanwhile)
        assert desk.look(cast.LEGS, ME, {}, 1000).sends == []
        assert len(desk.look(cast.LEGS, ME, {}, 1000).sends) == 1

    def test_a_phone_ignored_while_its_notify_is_under_way_hears_no_more(self, version):
        (send,) = look().sends
        inventory.ignore(version.phone_id, "tess")
        rare = desk.upkeep(cast.LEGS, ME, {send.notify_id}, thorough=False)
        assert rare.cancelled == [send.notify_id]
        assert look(ME_AFTER_A_CRASH).sends == []

    def test_superseded_and_forgotten_transactions_are_cancelled(self, version):
        (send,) = look().sends
        cast.save(version.phone, cast.draft(display_name="Other"))
        plan = look(sending=[send.notify_id])
        assert plan.cancelled == [send.notify_id]
        (newer,) = plan.sends
        inventory.forget(version.phone_id, "tess")
        assert look(sending=[newer.notify_id]).cancelled == [newer.notify_id]

    def test_the_public_address_changed_since_the_save(self, version, settings):
        settings.GSPNP_PUBLIC_URL = "https://pnp.example.net"
        assert look().sends == []
        assert state(version)[0] == "withheld"
        assert "Save the assignment again" in cast.reason(version)
        cast.save(version.phone)
        assert len(look().sends) == 1

    def test_nothing_secret_is_in_the_plans_repr(self, version):
        assert version.first_secret not in repr(look())


class TestTrust:
    def test_attended_and_fresh_goes_out_whatever_the_table_says(self, version, table):
        """Design 5.2 (a): the address that Tess saw when saving, while the contact is fresh."""
        table[cast.HOST] = Verdict.MISMATCH
        assert len(look().sends) == 1

    def test_attended_and_old_is_withheld_with_an_alarm_on_a_mismatch(self, version, table, clock):
        table[cast.HOST] = Verdict.MISMATCH
        clock.forward(minutes=15, seconds=1)
        assert look().sends == []
        assert state(version)[0] == "withheld"
        assert "different MAC" in Phone.objects.get().alarm

    def test_attended_and_old_goes_out_on_a_match(self, version, table, clock):
        table[cast.HOST] = Verdict.MATCH
        clock.forward(days=30)
        assert len(look().sends) == 1

    def test_an_unknown_address_is_probed_and_then_withheld_without_alarm(self, version, clock):
        clock.forward(minutes=20)
        probed: dict[int, int] = {}
        for _ in range(desk.PROBES):
            plan = look(probed=probed)
            assert (plan.sends, plan.probes) == ([], [(cast.LEG, cast.HOST)])
            assert look(probed=probed).probes == [], "each probe waits for its answer"
            clock.forward(1)
        plan = look(probed=probed)
        assert (plan.sends, plan.probes, probed) == ([], [], {})
        assert state(version)[0] == "withheld"
        assert (Phone.objects.get().alarm, cast.reason(version)) == ("", state(version)[1])

    def test_a_probe_that_is_answered_lets_it_out(self, version, table, clock):
        clock.forward(minutes=20)
        probed: dict[int, int] = {}
        look(probed=probed)
        table[cast.HOST] = Verdict.MATCH
        clock.forward(1)
        assert len(look(probed=probed).sends) == 1

    def test_loopback_is_never_probed_and_stays_confirmed(self, clock):
        """A simulated phone on this machine: nobody else can take its address."""
        version = cast.assigned(host="127.0.0.1")
        clock.forward(minutes=20)
        assert look().probes == []
        assert state(version)[0] == "sending"

    def test_a_person_confirms_and_a_withheld_row_goes_out(self, version, clock):
        clock.forward(minutes=20)
        look(probed={cast.owed(version.phone_id).pk: desk.PROBES})
        assert state(version)[0] == "withheld"
        clock.forward(1)
        cast.restarted(version)
        outbox.notify_again(version.phone_id, "tess", cast.HOST)
        assert len(look().sends) == 1

    def test_a_mismatch_is_never_served_unattended_even_at_the_address_of_an_old_save(self, version, table, clock):
        """A year after the save another device takes the phone's address and sends its SUBSCRIBE.

        Design 5.2: "A mismatch is never served unattended and raises an alarm."
        """
        cast.applied(version)
        clock.forward(days=365)
        table[cast.HOST] = Verdict.MISMATCH
        store(cast.sighting())
        clock.forward(63)
        assert look().sends == [], "the URL of the configuration went to a device with another MAC"
        assert state(version)[0] == "withheld"
        assert Phone.objects.get().alarm

    def test_an_approval_from_the_future_makes_nothing_fresh(self, version, table, clock):
        """The clock went back a year after the save; a device with another MAC sends the SUBSCRIBE."""
        clock.forward(days=-365)
        table[cast.HOST] = Verdict.MISMATCH
        store(cast.sighting())
        assert look().sends == []

    def test_a_routed_phone_is_told_where_its_last_steady_download_went(self, clock):
        version = cast.assigned(host="127.0.0.9")
        cast.delivered(version)
        for path in (cast.first_path(version), cast.steady_path(version)):
            cast.download(path, host="127.0.0.9")
        clock.forward(days=30)
        store(cast.sighting(host="127.0.0.9"))
        clock.forward(63)
        assert [send.target[0] for send in look().sends] == ["127.0.0.9"]

    def test_an_unattended_address_that_the_table_could_know_is_probed_first(self, version, clock):
        """UNKNOWN may just mean "not asked yet": the last steady address counts only where the table cannot know."""
        cast.applied(version)
        clock.forward(days=30)
        store(cast.sighting())
        clock.forward(63)
        plan = look()
        assert (plan.sends, plan.probes) == ([], [(cast.LEG, cast.HOST)])

    def test_a_second_host_with_the_mac_gets_no_url_and_raises_an_alarm(self, version, table, clock):
        cast.applied(version)
        clock.forward(hours=1)
        table[cast.STRANGER] = Verdict.MISMATCH
        store(cast.sighting(host=cast.STRANGER))
        for _ in range(120):
            clock.forward(1)
            plan = look()
            assert (plan.sends, plan.probes) == ([], [])
        phone = Phone.objects.get()
        assert (phone.source_host, phone.claimed_host) == (cast.HOST, cast.STRANGER)
        assert cast.STRANGER in phone.alarm
        assert cast.owed(phone.pk) is None

    def test_a_phone_that_really_moved_is_owed_what_it_lacks(self, version, table, clock):
        cast.delivered(version)
        clock.forward(hours=1)
        store(cast.sighting(host="10.0.0.30"))
        table["10.0.0.30"] = Verdict.MATCH
        clock.forward(2)
        sends = look().sends
        sends += look(sending=[send.notify_id for send in sends]).sends
        assert [send.target[0] for send in sends] == ["10.0.0.30"]


class TestResuming:
    def test_after_a_crash_the_same_bytes_go_on_with_their_age(self, version, clock):
        (send,) = look().sends
        clock.forward(7.5)
        (again,) = look(ME_AFTER_A_CRASH).sends
        assert again == Send(send.notify_id, send.about, send.branch, send.datagram, send.target, send.leg, 7.5)
        assert look(ME_AFTER_A_CRASH, sending=[again.notify_id]).sends == []

    def test_a_crash_longer_than_the_transaction_ends_it(self, version, clock):
        (send,) = look().sends
        clock.forward(hours=3)
        (again,) = look(ME_AFTER_A_CRASH).sends
        assert (again.datagram, again.elapsed_seconds) == (send.datagram, 32.0)

    def test_a_clock_that_went_back_gives_no_negative_age(self, version, clock):
        look()
        clock.forward(days=-3)
        assert look(ME_AFTER_A_CRASH).sends[0].elapsed_seconds == 0.0

    def test_a_listener_that_starts_after_the_clock_was_set_back_sends_at_once_and_says_so(self, version, clock):
        clock.forward(hours=-1)
        desk._steps.cache_clear()  # as in a new process
        plan = look()
        assert (len(plan.sends), plan.set_back_seconds) == (1, 3600)
        assert look().set_back_seconds == 0

    def test_another_listeners_live_transaction_is_not_taken(self, version, clock):
        (send,) = look().sends
        for seconds in (0, 31, 10):
            clock.forward(seconds)
            assert look(ANOTHER).sends == []
        clock.forward(5)
        assert look(ANOTHER).sends[0].datagram == send.datagram

    def test_a_transaction_is_resumed_only_on_its_own_leg(self, version, clock):
        look()
        other = Leg("eth1", "10.9.9.1", 6060)
        assert look(ME_AFTER_A_CRASH, legs={("eth1", "10.9.9.1"): other}).sends == []

    def test_a_transaction_whose_leg_is_gone_for_good_does_not_block_its_phone_for_ever(self, version, clock):
        """The server got another address and the listener was restarted within the 32 s."""
        look()
        elsewhere = {("eth0", "10.0.0.2"): Leg("eth0", "10.0.0.2", 6060)}
        for _ in range(10):
            clock.forward(minutes=1)
            look(ME_AFTER_A_CRASH, legs=elsewhere)
        assert state(version)[0] != "sending"

    def test_a_claimed_row_that_never_reached_our_agent_is_not_lost(self, version, clock):
        """The plan was lost after its commit (the heartbeat behind it failed): the agent does not know the row."""
        (send,) = look().sends
        clock.forward(1)
        assert [one.datagram for one in look(sending=[]).sends] == [send.datagram]

    def test_answers_and_timeouts_are_settled_once(self, version):
        (send,) = look().sends
        settle(NotifyAnswered(send.notify_id, 200, "OK"), NotifyTimedOut(send.notify_id))
        assert (state(version)[0], cast.stage(version)) == ("delivered", "notified")
        settle(NotifyAnswered(4711, 200, "OK"), NotifyTimedOut(4711))

    def test_one_settlement_of_a_phone_forgotten_meanwhile_does_not_lose_the_others(self, version):
        other = cast.assigned(cast.OTHER_MAC, "10.0.0.21")
        sends = look().sends
        inventory.forget(version.phone_id, "tess")
        settle(*[NotifyAnswered(send.notify_id, 200, "OK") for send in sends])
        assert cast.stage(other) == "notified"


def test_a_phone_forgotten_between_hearing_and_owing_is_no_error(version, monkeypatch):
    real = inventory.record_sightings

    def record_then_forget(*arguments):
        heard = real(*arguments)
        inventory.forget(version.phone_id, "tess")
        return heard

    monkeypatch.setattr(inventory, "record_sightings", record_then_forget)
    store(cast.sighting())


def test_a_phone_forgotten_while_its_notify_is_being_opened_is_no_error(version, monkeypatch):
    other = cast.assigned(cast.OTHER_MAC, "10.0.0.21")

    class Forgetful(Table):
        def verify(self, host, mac, interface=""):
            if mac == cast.MAC:
                inventory.forget(version.phone_id, "tess")
            return Verdict.MATCH

    monkeypatch.setattr("sipmcast.neighbours.snapshot", lambda: Forgetful({}))
    assert [send.target[0] for send in look().sends] == ["10.0.0.21"]
    assert cast.stage(other) == "assigned"


def beat(name, site, interfaces, trouble, counters) -> None:
    heartbeat(name, site, Said(interfaces, trouble, counters))


def test_heartbeat_keeps_one_row_per_listener_and_says_since_when_it_runs(clock):
    beat(ME, "hq", ["eth0 (10.0.0.1)"], "x" * 1000, {"received": 1})
    clock.forward(60)
    beat(ME, "hq", [], "", {"received": 2})
    row = ListenerStatus.objects.get()
    assert (row.started_at, row.heartbeat_at, row.counters) == (cast.NOON, clock.at, {"received": 2})
    beat(ANOTHER, "branch", [], "", {})
    assert ListenerStatus.objects.count() == 2


OTHER_KEYS = ["b3RoZXIga2V5OiAgMzIgYnl0ZXMgb2YgYSBrZXkuLi4="]


def test_a_transaction_under_a_lost_key_ends_and_keeps_no_other_phone_waiting(settings, clock):
    ours = settings.GSPNP_FIELD_KEYS
    settings.GSPNP_FIELD_KEYS = OTHER_KEYS
    lost = cast.assigned(cast.OTHER_MAC, "10.0.0.21")
    assert look().sends
    settings.GSPNP_FIELD_KEYS = ours
    healthy = cast.assigned()
    assert [send.target[0] for send in look(ME_AFTER_A_CRASH).sends] == [cast.HOST]
    assert state(lost)[0] == "waiting" or state(lost)[0] == "unanswered"
    assert state(healthy)[0] == "sending"
    settle(NotifyAnswered(cast.owed(lost.phone_id).pk, 200, "OK"))
    clock.forward(minutes=30)
    call_command("work", "--once")


def test_a_listener_that_hears_nothing_does_not_speak_over_the_one_that_does(clock):
    beat(f"{ME.partition('#')[0]}#1", "", ["eth0 (10.0.0.1)"], "", {})
    beat(f"{ME.partition('#')[0]}#2", "", [], "another listener already hears it", {})
    assert ListenerStatus.objects.get().interfaces == ["eth0 (10.0.0.1)"]
    clock.forward(60)
    beat(f"{ME.partition('#')[0]}#2", "", [], "nothing", {})
    assert ListenerStatus.objects.get().trouble == "nothing"


def test_a_save_sends_nothing_into_a_mismatch_where_the_table_knows_phones(version, table, monkeypatch):
    """A stranger announced the phone from his own address before it was assigned: its password is not for him."""
    table[cast.HOST] = Verdict.MISMATCH
    monkeypatch.setattr("sipmcast.neighbours.knows_phones", lambda interface: True)
    assert look().sends == []
    assert "Another device answers" in state(version)[1] and version.phone.events.filter(kind="alarm").exists()
    outbox.notify_again(version.phone_id, "tess", cast.HOST)
    assert len(look().sends) == 1


def test_where_the_table_does_not_know_phones_a_save_into_a_mismatch_is_sent_and_told(version, table):
    table[cast.HOST] = Verdict.MISMATCH
    assert len(look().sends) == 1
    assert version.phone.events.filter(kind="alarm", text__contains="another device's MAC").exists()


def test_a_question_that_nobody_asked_for_is_not_sent_to_another_device(version, table, clock):
    """The phone took its file and another device has its address now: nobody looks at what is asked by itself."""
    cast.fetched(version)
    table[cast.HOST] = Verdict.MISMATCH
    assert starts.ask_again([version.phone_id]) == {version.phone_id}
    assert look().sends == []
    phone = Phone.objects.get()
    assert "different MAC" in phone.alarm
    assert not phone.events.filter(text__startswith="Sent as asked").exists()


def test_a_question_that_nobody_asked_for_waits_for_a_listener_that_was_away(version, clock):
    """No click grows old: a phone that is asked once for a version is asked although its listener was killed."""
    cast.fetched(version)
    starts.ask_again([version.phone_id])
    clock.forward(seconds=outbox.COMMAND_SECONDS + 60)
    assert len(look().sends) == 1


def test_a_phone_that_has_shown_its_file_meanwhile_is_not_asked_for_it(version, clock):
    cast.fetched(version)
    starts.ask_again([version.phone_id])
    cast.download(cast.steady_path(version))
    assert cast.stage(version) == "applied"
    assert look().sends == []


# --- alarms that belong to no phone -----------------------------------------------------------------------------------
DECOY = "000B82DEC001"


def test_who_announces_a_decoy_is_named_and_the_decoy_becomes_no_phone():
    decoys.add(DECOY, by="tess")
    stored = desk.store([cast.sighting(), cast.sighting(DECOY, cast.STRANGER)], "")
    assert [one.mac for one in stored.heard] == [cast.MAC] and list(stored.decoys) == [(cast.STRANGER, DECOY)]
    desk.alarm({}, {(cast.STRANGER, DECOY): 3}, {})
    (alarm,) = alarms.open_alarms()
    assert (alarm.kind, alarm.source, alarm.count) == (AlarmKind.DECOY_SIP, cast.STRANGER, 3)
    assert cast.STRANGER in alarms.words(alarm) and "00:0B:82:DE:C0:01" in alarms.words(alarm)
    assert not Phone.objects.filter(mac=DECOY).exists()


def test_a_burst_of_unknown_phones_and_a_flood_raise_alarms():
    desk.alarm({cast.STRANGER: 70}, {}, {cast.STRANGER: 1000, "": 5})
    desk.alarm({cast.STRANGER: 65}, {}, {cast.STRANGER: 10})
    found = {(one.kind, one.source): one.count for one in alarms.open_alarms()}
    assert found == {
        (AlarmKind.PHONES, cast.STRANGER): 70,
        (AlarmKind.FLOOD_SIP, cast.STRANGER): 1010,
        (AlarmKind.FLOOD_SIP, ""): 5,
    }
