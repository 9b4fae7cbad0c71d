"""Online, offline, or not to be known: what the answers to OPTIONS, and their absence, say of assigned phones."""

from datetime import timedelta

import pytest

from devices import inventory
from devices.models import LiveEvent, Phone
from provisioning.models import ConfigFile
from sipmcast import reach
from sipmcast.reach import Reached
from sipmcast.roll_call import RollCall
from sipmcast.rounds import Rounds
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db]
TCP = "its configuration uses SIP over TCP"


@pytest.fixture
def version(clock) -> ConfigFile:
    """A phone that has applied its file, a minute ago."""
    made = cast.applied(cast.assigned())
    clock.forward(minutes=1)
    return made


def phone_of(version: ConfigFile) -> Phone:
    return Phone.objects.get(pk=version.phone_id)


def ended(version: ConfigFile, answered: bool, clock, rtt_ms: float | None = None, host: str = cast.HOST) -> None:
    """A question of now, which ends 32 s later if it is not answered."""
    asked_at = clock.at
    if not answered:
        clock.forward(32)
    reach.record([Reached(version.phone_id, host, answered, rtt_ms, asked_at)])


def events(version: ConfigFile) -> list[str]:
    return list(LiveEvent.objects.filter(phone_id=version.phone_id, kind="reach").values_list("text", flat=True))


class TestWhomToAsk:
    def test_assigned_phones_are_asked_where_they_were_heard(self, version):
        port = phone_of(version).notify_port
        assert reach.whom(set(cast.LEGS)) == [(version.phone_id, cast.HOST, port, cast.LEG.interface, cast.LEG.host)]

    def test_a_phone_that_nobody_assigned_is_left_in_peace(self, clock):
        cast.seen()
        assert reach.whom(set(cast.LEGS)) == []

    def test_an_ignored_phone_is_left_in_peace(self, version):
        inventory.ignore(version.phone_id, "tess")
        assert reach.whom(set(cast.LEGS)) == []

    def test_a_phone_of_another_interface_or_address_is_not_asked_from_here(self, version):
        assert reach.whom({("eth1", cast.OURS)}) == []
        assert reach.whom({("eth0", "10.9.9.9")}) == []
        assert reach.whom(set()) == []

    async def test_the_listener_is_told_of_a_few_at_a_time_and_forgets_who_is_not_there_any_more(self, monkeypatch):
        """To read thousands at once would stop it."""
        there = [(n, f"10.0.0.{n}", 5060, *(("eth9", "x") if n == 3 else (cast.LEG.interface, cast.LEG.host)))
                 for n in range(1, 8)]  # fmt: skip
        told: list[list[int]] = []

        async def two(call, places, _site, after):
            told.append([row[0] for row in there if row[0] > after and row[3:] in places][:2])
            return [row for row in there if row[0] in told[-1]]

        roll_call, rounds = RollCall(60.0), Rounds(60.0)
        await roll_call._follow(rounds, set(cast.LEGS), 0.0, two)
        assert told == [[1, 2], [4, 5], [6, 7], []]
        assert set(roll_call._phones) == {1, 2, 4, 5, 6, 7} and len(rounds) == 6
        there = there[4:]
        await roll_call._follow(rounds, set(cast.LEGS), 0.0, two)
        assert set(roll_call._phones) == {5, 6, 7} and len(rounds) == 3

    def test_they_are_looked_for_in_bites_also_where_few_are_of_these_places(self, clock, monkeypatch):
        monkeypatch.setattr(reach, "WHOM_AT_ONCE", 2)
        phones = [cast.assigned(f"000B8200000{n}", f"10.0.0.{40 + n}").phone_id for n in range(7)]
        Phone.objects.filter(pk__in=phones[1:5]).update(local_host="10.9.9.9")
        found, after = [], 0
        while some := reach.whom(set(cast.LEGS), None, after):
            assert len(some) <= 2
            found += [row[0] for row in some]
            after = found[-1]
        assert found == [phones[0], *phones[5:]]


class TestLost:
    """The interface towards a phone went away."""

    def test_nobody_knows_whether_a_phone_is_online_that_cannot_be_asked_any_more(self, version, clock):
        ended(version, True, clock, rtt_ms=12.5)
        clock.forward(60)
        reach.lose({version.phone_id: cast.LEG.interface})
        phone = phone_of(version)
        assert (phone.online, phone.rtt_ms, phone.online_at) == (None, None, clock.at)
        assert events(version)[1:] == [reach.NOBODY_ASKS.format("eth0")]
        reach.lose({version.phone_id: cast.LEG.interface})
        assert len(events(version)) == 2

    def test_one_that_was_heard_elsewhere_meanwhile_is_left_alone(self, version, clock):
        ended(version, True, clock)
        reach.lose({version.phone_id: "eth7"})
        assert phone_of(version).online is True

    def test_an_ignored_phone_is_left_in_peace(self, version, clock):
        ended(version, True, clock)
        inventory.ignore(version.phone_id, "tess")
        reach.lose({version.phone_id: cast.LEG.interface})
        assert not any("Nobody" in text for text in events(version))

    async def test_a_roll_call_that_loses_an_interface_says_so_once(self, monkeypatch):
        """By what it was asking before; a listener that has just begun says nothing."""
        told = []
        row = (7, cast.HOST, 5060, cast.LEG.interface, cast.LEG.host)
        monkeypatch.setattr(reach, "whom", lambda places, _site, after: [row] * (row[3:] in places and after < 7))
        monkeypatch.setattr(reach, "lose", told.append)

        async def at_once(call, *arguments):
            return call(*arguments)

        roll_call = RollCall(60.0)
        for places in (set(), set(cast.LEGS), set(), set()):
            await roll_call._follow(roll_call._rounds, places, 0.0, at_once)
        assert told == [{7: cast.LEG.interface}]


class TestOnline:
    def test_an_answer_is_online_with_its_round_trip_and_since_when(self, version, clock):
        ended(version, True, clock, rtt_ms=12.5)
        phone = phone_of(version)
        assert (phone.online, phone.rtt_ms, phone.online_at) == (True, 12.5, clock.at)
        assert events(version) == ["Online: it answers."]

    def test_the_next_answers_change_the_round_trip_and_say_nothing(self, version, clock):
        ended(version, True, clock, rtt_ms=12.5)
        since = clock.at
        clock.forward(60)
        ended(version, True, clock, rtt_ms=80.0)
        phone = phone_of(version)
        assert (phone.rtt_ms, phone.online_at) == (80.0, since)
        assert len(events(version)) == 1

    def test_an_answer_to_a_resend_keeps_the_last_sure_round_trip(self, version, clock):
        ended(version, True, clock, rtt_ms=12.5)
        ended(version, True, clock, rtt_ms=None)
        assert phone_of(version).rtt_ms == 12.5

    def test_an_answer_is_a_sign_of_life(self, version, clock):
        ended(version, True, clock)
        assert phone_of(version).last_seen_at == clock.at


class TestOffline:
    def test_silence_is_offline_since_now_and_without_a_round_trip(self, version, clock):
        ended(version, True, clock, rtt_ms=12.5)
        clock.forward(60)
        ended(version, False, clock)
        phone = phone_of(version)
        assert (phone.online, phone.rtt_ms, phone.online_at) == (False, None, clock.at)
        assert events(version)[-1].startswith("Offline:")

    def test_it_comes_back(self, version, clock):
        ended(version, False, clock)
        clock.forward(60)
        ended(version, True, clock, rtt_ms=3.0)
        phone = phone_of(version)
        assert (phone.online, phone.rtt_ms, phone.online_at) == (True, 3.0, clock.at)
        assert [text.partition(":")[0] for text in events(version)] == ["Offline", "Online"]

    def test_a_phone_that_moved_while_it_was_asked_is_not_judged_by_its_old_address(self, version, clock):
        ended(version, False, clock, host=cast.STRANGER)
        assert (phone_of(version).online, events(version)) == (None, [])

    def test_a_forgotten_phone_is_no_trouble(self, version, clock):
        gone = version.phone_id
        Phone.objects.filter(pk=gone).delete()
        reach.record([Reached(gone, cast.HOST, True, 1.0, clock.at)])

    def test_an_ignored_phone_is_not_judged(self, version, clock):
        inventory.ignore(version.phone_id, "tess")
        ended(version, False, clock)
        assert phone_of(version).online is None


class TestOtherSignsOfLife:
    def test_a_subscribe_since_the_question(self, version, clock):
        asked_at = clock.at
        clock.forward(10)
        cast.restarted(version)
        clock.forward(22)
        reach.record([Reached(version.phone_id, cast.HOST, False, None, asked_at)])
        assert phone_of(version).online is True

    def test_a_download_since_the_question(self, version, clock):
        asked_at = clock.at
        clock.forward(10)
        cast.download(cast.steady_path(version))
        clock.forward(22)
        reach.record([Reached(version.phone_id, cast.HOST, False, None, asked_at)])
        assert phone_of(version).online is True

    def test_a_download_before_the_question_is_none(self, version, clock):
        cast.download(cast.steady_path(version))
        clock.forward(1)
        ended(version, False, clock)
        assert phone_of(version).online is False


class TestAPhoneThatCannotBeAsked:
    """Its applied file chose TCP, TLS, a random port, or its proxy alone."""

    @pytest.fixture
    def silent(self, version) -> ConfigFile:
        ConfigFile.objects.filter(pk=version.pk).update(silent_because=TCP)
        return cast.now(version)

    def test_its_silence_is_not_offline(self, silent, clock):
        ended(silent, False, clock)
        assert (phone_of(silent).online, events(silent)) == (None, [])

    def test_whether_it_is_still_there_is_not_known_once_it_falls_silent(self, silent, clock):
        ended(silent, True, clock, rtt_ms=3.0)
        clock.forward(60)
        ended(silent, False, clock)
        phone = phone_of(silent)
        assert (phone.online, phone.rtt_ms) == (None, None)
        assert events(silent)[-1] == "It cannot be asked over UDP: whether it is online is not known."

    def test_an_answer_or_a_download_says_that_it_is_there(self, silent, clock):
        ended(silent, True, clock)
        assert phone_of(silent).online is True

    def test_only_the_file_that_it_applied_counts(self, version, clock):
        """The next one, which it never took, says TCP."""
        changed = cast.save(phone_of(version), cast.draft(display_name="Another")).config_file
        ConfigFile.objects.filter(pk=changed.pk).update(silent_because=TCP)
        ended(version, False, clock)
        assert phone_of(version).online is False


def test_many_answers_are_written_in_few_statements(clock, django_assert_max_num_queries):
    macs = [f"000B82{number:06X}" for number in range(2 * reach.BITE)]
    inventory.record_sightings([cast.sighting(mac) for mac in macs], cast.unknown)
    Phone.objects.update(stage="applied")
    clock.forward(60)
    asked_at = clock.at - timedelta(seconds=1)
    said = [Reached(pk, cast.HOST, True, 5.0, asked_at) for pk in Phone.objects.values_list("pk", flat=True)]
    with django_assert_max_num_queries(24):
        reach.record(said)
    assert Phone.objects.filter(online=True, rtt_ms=5.0).count() == len(macs)
