"""What a NOTIFY leads to when the phone does not simply say 200: logins, each once, and the user's name."""

import hashlib
import re

import pytest

from devices.models import LiveEvent, Phone
from provisioning import commands, outbox
from provisioning.models import Notify, NotifyKind
from sipmcast import desk
from sipmcast.calls import Send
from sipmcast.events import NotifyAnswered, NotifyTimedOut
from sipmcast.sip.digest import Challenge
from sipmcast.sip.message import Request, parse_message
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock", "at_home")]
CHALLENGE = Challenge("pbx", "n0nce", qop=("auth",))
FOREIGN = "this phone belongs to another system: reset it to factory defaults"
OLD, NEW = "old-secret", "new-secret"


@pytest.fixture
def at_home():
    """The neighbour table shows every phone where it says that it is."""
    with cast.neighbours_say(cast.Verdict.MATCH):
        yield


def look() -> list[Send]:
    return desk.look(cast.LEGS, "pbx#1", {}, 1000).sends


def challenged(send: Send, challenge: Challenge = CHALLENGE, status: int = 401) -> list[Send]:
    return desk.settle([NotifyAnswered(send.notify_id, status, "Unauthorized", (challenge,))], cast.LEGS)


def request(send: Send) -> Request:
    message = parse_message(send.datagram)
    assert isinstance(message, Request)
    return message


def login(send: Send, name: str = "authorization") -> dict[str, str]:
    return dict(re.findall(r'(\w+)="?([^",]*)"?', request(send).required(name)))


def knows(send: Send, password: str, user: str = "1001") -> bool:
    """Does this login prove that password? RFC 2617 3.2.2, computed here."""

    def digest(*parts: str) -> str:
        return hashlib.md5(":".join(parts).encode()).hexdigest()

    said = login(send)
    ha1, ha2 = digest(user, said["realm"], password), digest("NOTIFY", said["uri"])
    expected = digest(ha1, said["nonce"], said["nc"], said["cnonce"], said["qop"], ha2)
    return said["username"] == user and said["response"] == expected


def changed_password():
    """A phone that applied the old password, and was saved with a new one."""
    version = cast.applied(cast.save(cast.seen(), cast.draft(password=OLD)).config_file)
    return cast.save(version.phone, cast.draft(password=NEW)).config_file


def row() -> Notify:
    return Notify.objects.order_by("-id").first()


def test_the_login_is_a_new_transaction_of_the_same_call():
    """RFC 3261 8.1.3.5 and 22.2."""
    changed_password()
    (first,) = look()
    (again,) = challenged(first)
    before, after = request(first), request(again)
    assert (after.call_id, after.from_.tag, after.uri, after.body) == (
        before.call_id, before.from_.tag, before.uri, before.body,
    )  # fmt: skip
    assert (before.cseq.number, after.cseq.number) == (1, 2)
    assert after.via.branch != before.via.branch
    assert login(again)["uri"] == after.uri
    assert (row().state, row().branch, row().cseq) == ("sending", after.via.branch, 2)


def test_the_applied_account_is_tried_first_then_the_new_one_each_once():
    version = changed_password()
    (first,) = look()
    (second,) = challenged(first)
    (third,) = challenged(second)
    assert knows(second, OLD) and knows(third, NEW)
    assert challenged(third) == []
    assert (row().state, row().status) == ("refused", 401)
    assert FOREIGN in cast.reason(version)


def test_a_phone_that_never_applied_is_tried_with_its_only_account():
    version = cast.assigned()
    (first,) = look()
    (second,) = challenged(first)
    assert knows(second, cast.PASSWORD)
    assert challenged(second) == []
    assert FOREIGN in cast.reason(version)


def test_a_login_that_is_accepted_notifies_the_phone():
    version = changed_password()
    (second,) = challenged(look()[0])
    desk.settle([NotifyAnswered(second.notify_id, 200, "OK")], cast.LEGS)
    assert cast.stage(version) == "notified"
    assert [step.name for step in commands.progress(row())] == ["sent", "challenged", "answered", "fetched", "applied"]


def test_a_stale_nonce_is_answered_anew_with_the_same_login_and_only_once():
    changed_password()
    (second,) = challenged(look()[0])
    stale = Challenge("pbx", "fresh", qop=("auth",), stale=True)
    (third,) = challenged(second, stale)
    assert knows(third, OLD) and login(third)["nonce"] == "fresh"
    (fourth,) = challenged(third, stale)
    assert knows(fourth, NEW)
    assert challenged(fourth, stale) == []


def test_a_proxy_challenge_has_its_own_header():
    changed_password()
    (again,) = challenged(look()[0], Challenge("pbx", "n", proxy=True), 407)
    assert login(again, "proxy-authorization")["nonce"] == "n"
    assert request(again).first("authorization") is None


def test_a_challenge_that_we_do_not_know_ends_it_in_words():
    version = changed_password()
    (first,) = look()
    assert challenged(first, Challenge("pbx", "n", algorithm="AKAv1-MD5")) == []
    assert desk.settle([NotifyAnswered(first.notify_id, 401, "No", ())], cast.LEGS) == []
    assert "in a way that we do not know" in cast.reason(version)


class TestToWhom:
    """A challenge is also a way to collect hashes: design 5.2 holds for logins too."""

    def test_a_phone_that_has_moved_gets_none(self):
        version = changed_password()
        (first,) = look()
        Phone.objects.update(source_host="10.0.0.66")
        assert challenged(first) == []
        assert "none was sent" in cast.reason(version)

    def test_a_mismatch_in_the_neighbour_table_gets_none_even_if_a_person_just_asked(self):
        version = changed_password()
        (first,) = look()
        with cast.neighbours_say(cast.Verdict.MISMATCH):
            assert challenged(first) == []
        assert "none was sent" in cast.reason(version)


class TestUser:
    """First the device, then once its SIP user: on 404, on 481, and on no answer."""

    @pytest.mark.parametrize("status", [404, 481, None])
    def test_a_command_is_sent_to_the_user_once(self, status):
        version = cast.applied(cast.assigned())
        commands.send(version.phone_id, NotifyKind.REBOOT, "tess", cast.HOST)
        (first,) = look()
        end = NotifyTimedOut(first.notify_id) if status is None else NotifyAnswered(first.notify_id, status, "No")
        (second,) = desk.settle([end], cast.LEGS)
        assert request(first).uri == f"sip:{cast.HOST}:5060"
        assert request(second).uri == f"sip:1001@{cast.HOST}:5060"
        assert (request(second).first("event"), request(second).call_id != request(first).call_id) == (
            "check-sync;reboot=true", True,
        )  # fmt: skip
        assert desk.settle([end], cast.LEGS) == []
        assert row().state in ("refused", "unanswered")

    def test_the_user_may_be_challenged_too(self):
        version = cast.applied(cast.assigned())
        commands.send(version.phone_id, NotifyKind.RESYNC, "tess", cast.HOST)
        (second,) = desk.settle([NotifyAnswered(look()[0].notify_id, 404, "Not Found")], cast.LEGS)
        (third,) = challenged(second)
        assert knows(third, cast.PASSWORD) and request(third).uri == f"sip:1001@{cast.HOST}:5060"

    def test_a_phone_that_never_applied_has_no_user_to_ask(self):
        version = cast.assigned()
        (first,) = look()
        assert desk.settle([NotifyAnswered(first.notify_id, 404, "Not Found")], cast.LEGS) == []
        assert "404 Not Found" in cast.reason(version)

    def test_a_user_with_odd_characters_is_escaped(self):
        version = cast.applied(cast.save(cast.seen(), cast.draft(user_id="a#b")).config_file)
        commands.send(version.phone_id, NotifyKind.REBOOT, "tess", cast.HOST)
        (second,) = desk.settle([NotifyTimedOut(look()[0].notify_id)], cast.LEGS)
        assert request(second).uri == f"sip:a%23b@{cast.HOST}:5060"


class TestCommands:
    @pytest.mark.parametrize(
        ("kind", "event"),
        [
            (NotifyKind.CHECK_SYNC, "check-sync"),
            (NotifyKind.RESYNC, "resync"),
            (NotifyKind.REBOOT, "check-sync;reboot=true"),
        ],
    )
    def test_it_is_addressed_to_the_device_without_a_body(self, kind, event):
        version = cast.applied(cast.assigned())
        commands.send(version.phone_id, kind, "tess", cast.HOST)
        (send,) = look()
        said = request(send)
        assert (said.uri, said.first("event"), said.body) == (f"sip:{cast.HOST}:5060", event, b"")
        assert said.first("content-type") is None

    def test_a_phone_without_configuration_cannot_be_told(self):
        with pytest.raises(commands.CannotTell, match="Assign it first"):
            commands.send(cast.seen().pk, NotifyKind.REBOOT, "tess", cast.HOST)

    def test_its_answer_moves_no_stage_and_its_refusal_stops_no_way(self):
        version = cast.applied(cast.assigned())
        for status in (200, 403):
            commands.send(version.phone_id, NotifyKind.RESYNC, "tess", cast.HOST)
            (send,) = look()
            desk.settle([NotifyAnswered(send.notify_id, status, "Said")], cast.LEGS)
            assert (cast.stage(version), cast.reason(version)) == ("applied", "")
        assert "403 Said" in row().note
        assert LiveEvent.objects.filter(text__contains="403 Said").exists()

    def test_two_transactions_of_one_phone_wait_for_each_other(self):
        version = cast.applied(cast.assigned())
        commands.send(version.phone_id, NotifyKind.RESYNC, "tess", cast.HOST)
        commands.send(version.phone_id, NotifyKind.REBOOT, "tess", cast.HOST)
        outbox.notify_again(version.phone_id, "tess", cast.HOST)
        told = []
        for _ in range(3):
            (send,) = look()
            told.append(request(send).first("event"))
            desk.settle([NotifyAnswered(send.notify_id, 200, "OK")], cast.LEGS)
        assert told == ["resync", "check-sync;reboot=true", "ua-profile"]

    def test_progress_is_what_was_seen(self, clock):
        version = cast.applied(cast.assigned())
        clock.forward(hours=1)
        notify = commands.send(version.phone_id, NotifyKind.REBOOT, "tess", cast.HOST)

        def seen() -> list[str]:
            steps = commands.progress(Notify.objects.get(pk=notify.pk))
            return [step.name for step in steps if step.at is not None]

        assert seen() == []
        (send,) = look()
        assert seen() == ["sent"], "what left is not answered"
        desk.settle([NotifyAnswered(send.notify_id, 200, "OK")], cast.LEGS)
        assert seen() == ["sent", "answered"]
        clock.forward(20)
        cast.restarted(version)
        clock.forward(1)
        cast.download(cast.steady_path(version))
        assert seen() == ["sent", "answered", "started up", "fetched", "applied"]

    def test_a_waiting_command_is_no_owed_configuration(self):
        """A phone that starts up must be owed what it lacks even while somebody wants it to restart."""
        version = cast.delivered(cast.assigned()).config_file
        commands.send(version.phone_id, NotifyKind.REBOOT, "tess", cast.HOST)
        cast.restarted(version)
        kinds = Notify.objects.filter(phone_id=version.phone_id, state="waiting").values_list("kind", flat=True)
        assert sorted(kinds) == ["profile", "reboot"]


def test_after_a_crash_the_login_goes_on_as_it_was(clock):
    changed_password()
    (second,) = challenged(look()[0])
    clock.forward(3)
    (resumed,) = desk.upkeep(cast.LEGS, "pbx#2", set()).sends
    assert (resumed.datagram, resumed.branch, resumed.elapsed_seconds) == (second.datagram, second.branch, 3.0)


def test_an_answer_to_an_earlier_transaction_of_the_row_opens_none():
    """A late copy of the first challenge after a crash must not use up a login."""
    changed_password()
    (first,) = look()
    notify = Notify.objects.select_related("phone").get(pk=first.notify_id)
    (second,) = challenged(first)
    assert not outbox.reopen(notify, cast.opening("late"))
    assert row().branch == second.branch


def test_no_password_is_in_a_repr_or_an_event():
    changed_password()
    (first,) = look()
    sends = [first, *challenged(first)]
    shown = repr(sends) + repr(list(LiveEvent.objects.values_list("text", flat=True)))
    assert OLD not in shown and NEW not in shown and "response=" not in shown


def test_a_phone_that_has_moved_is_not_told_its_secret_by_name_either():
    version = changed_password()
    (first,) = look()
    Phone.objects.update(source_host="10.0.0.66")
    assert desk.settle([NotifyTimedOut(first.notify_id)], cast.LEGS) == []
    assert row().state in ("unanswered", "waiting")
    assert cast.stage(version) == "assigned"


def test_the_same_challenge_again_uses_up_no_login():
    """The helper died after its commit, and what it was given is given to the next one."""
    changed_password()
    (first,) = look()
    event = NotifyAnswered(first.notify_id, 401, "Unauthorized", (CHALLENGE,), first.branch)
    (second,) = desk.settle([event], cast.LEGS)
    assert desk.settle([event], cast.LEGS) == []
    assert (row().state, row().branch, row().logins_tried) == ("sending", second.branch, 1)


def test_a_lost_key_of_ours_is_not_taken_for_a_foreign_phone(settings):
    version = changed_password()
    (first,) = look()
    settings.GSPNP_FIELD_KEYS = ["b3RoZXIga2V5OiAgMzIgYnl0ZXMgb2YgYSBrZXkuLi4="]
    assert challenged(first) == []
    assert "GSPNP_FIELD_KEYS" in cast.reason(version) and FOREIGN not in cast.reason(version)


def test_a_command_is_for_now(clock):
    version = cast.applied(cast.assigned())
    commands.send(version.phone_id, NotifyKind.REBOOT, "tess", cast.HOST)
    clock.forward(days=3)
    desk.upkeep(cast.LEGS, "pbx#1", set())
    assert look() == []
    assert (row().state, "Ask again" in row().note) == ("not_needed", True)
