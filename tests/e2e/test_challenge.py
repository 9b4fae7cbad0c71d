"""A phone asks for a password: it gets the right one once it is known, never another try, and nobody else gets any."""

import dataclasses
import time
from collections.abc import Callable

import pytest

from tests.support.site import SOON_SECONDS, wait_for
from tests.support.steps import Tell, last_row, progress, provisioned, wait_settled
from tests.support.strict_digest import Lock, must_go_on
from tests.support.strict_phone import StrictPhone
from tests.support.world import World

pytestmark = pytest.mark.net

PASSWORD = "p&<w>\"'ő$#\\"
FOREIGN = "this phone belongs to another system: reset it to factory defaults"
NOTHING_MORE_SECONDS = 2.5  # two resends of a transaction that were still open
MOVED_NUMBER = 240


def other_password(lock: Lock, password: str) -> Lock:
    """The same lock, that is the same nonces, with another key."""
    return dataclasses.replace(lock, password=password)


def nothing_follows(phone: StrictPhone, seconds: float = NOTHING_MORE_SECONDS) -> None:
    """No further transaction; copies that were on their way are none."""
    before = phone.transactions()
    phone.listen(seconds)
    assert phone.transactions() == before


@pytest.fixture(scope="module")
def phone(world: World) -> StrictPhone:
    """One that is in use, for every way of asking."""
    return provisioned(world, world.phone(), password=PASSWORD)


@pytest.mark.parametrize(
    "lock",
    [
        Lock(),
        pytest.param(Lock(algorithms=("",)), marks=pytest.mark.long),
        pytest.param(Lock(algorithms=("SHA-256",)), marks=pytest.mark.long),
        pytest.param(Lock(algorithms=("SHA-256", "MD5")), marks=pytest.mark.long),
        pytest.param(Lock(algorithms=("MD5", "SHA-256"), status=407), marks=pytest.mark.long),
        pytest.param(Lock(qop=""), marks=pytest.mark.long),
        Lock(algorithms=("SHA-256",), qop="", status=407),
        Lock(qop="auth,auth-int", realm='a "quoted" \\ realm'),
    ],
    ids=lambda lock: f"{lock.status}-{'+'.join(lock.algorithms) or 'unnamed'}-{lock.qop or 'no qop'}",
)
def test_each_way_of_asking_is_answered_at_the_first_try(world: World, phone: StrictPhone, lock: Lock):
    lock.password = PASSWORD
    telling = Tell(world.site, phone.mac, "check")
    first = phone.next_transaction()
    assert not first.has_login, "nothing is shown before it is asked for"
    second, right = phone.await_login(first, lock)
    assert right
    phone.answer(second)
    code, said = telling.ended()
    assert (code, said["state"], said["status"]) == (0, "delivered", 200)
    seen = said["seen"]
    assert seen["sent"] <= seen["challenged"] <= seen["answered"]
    assert seen["fetched"] is seen["applied"] is None, "it agreed, and did nothing yet"


def test_a_stale_nonce_is_renewed_with_the_same_account_once(world: World, phone: StrictPhone):
    lock = Lock(password=PASSWORD)
    telling = Tell(world.site, phone.mac, "check")
    second, right = phone.await_login(phone.next_transaction(), lock)
    assert right
    third, right = phone.await_login(second, lock, stale=True)
    assert right
    phone.answer(third)
    assert telling.ended()[0] == 0


def test_a_phone_for_which_every_nonce_is_stale_is_not_asked_for_ever(world: World, phone: StrictPhone):
    lock = Lock(password=PASSWORD)
    telling = Tell(world.site, phone.mac, "check")
    notify = phone.next_transaction()
    for stale in (False, True):
        notify, right = phone.await_login(notify, lock, stale=stale)
        assert right
    phone.challenge(notify, lock, stale=True)
    code, said = telling.ended()
    assert (code, said["state"], said["status"]) == (1, "refused", 401)
    nothing_follows(phone)


def changed_password(world: World) -> StrictPhone:
    """A phone that has applied the password `old` and is owed the configuration with `new`."""
    phone = provisioned(world, world.phone(), password="old")
    world.site.assign(phone.mac, password="new")
    return phone


def test_a_save_that_changes_the_password_is_told_with_the_one_that_the_phone_still_has(world: World):
    phone, lock = changed_password(world), Lock(password="old")
    second, right = phone.await_login(phone.next_transaction(), lock)
    assert right, "the last applied version's account is tried first"
    phone.be_provisioned(second)
    assert phone.values["P34"] == "new"
    assert world.site.stage(phone.mac) == "applied"
    assert len(phone.logins()) == 1


def test_a_phone_that_has_the_new_password_already_is_told_with_that(world: World):
    phone, lock = changed_password(world), Lock(password="new")
    second, right = phone.await_login(phone.next_transaction(), lock)
    assert not right
    assert other_password(lock, "old").opened_by(second)
    third, right = phone.await_login(second, lock)
    assert right
    phone.be_provisioned(third)
    assert world.site.stage(phone.mac) == "applied"
    assert len(phone.logins()) == 2


def test_a_phone_of_another_system_gets_each_account_once_and_the_technician_reads_what_to_do(world: World):
    phone, lock = changed_password(world), Lock(password="another system's")
    before = len(phone.transactions())
    second, right = phone.await_login(phone.next_transaction(), lock)
    assert not right
    assert other_password(lock, "old").opened_by(second)
    third, right = phone.await_login(second, lock)
    assert not right
    assert other_password(lock, "new").opened_by(third)
    phone.challenge(third, lock)
    row = wait_settled(world.site, phone.mac)
    assert (row["state"], row["status"], row["logins_tried"]) == ("refused", 401, 2)
    assert FOREIGN in world.site.phones()[phone.mac]["stage_reason"]
    nothing_follows(phone)
    assert (len(phone.logins()), len(phone.transactions()) - before) == (2, 3)


def test_a_new_phone_that_belongs_to_another_system_is_told_nothing_it_could_not_know(world: World):
    """It never applied anything of ours: there is one account to try, that of the file which it is to get."""
    phone, lock = world.phone(), Lock(username="500", password="theirs", realm="another")
    phone.boot()
    world.site.assign(phone.mac, password="ours")
    second, right = phone.await_login(phone.next_transaction(), lock)
    assert not right
    phone.challenge(second, lock)
    row = wait_settled(world.site, phone.mac)
    assert row["state"] == "refused"
    shown = world.site.phones()[phone.mac]
    assert FOREIGN in shown["stage_reason"]
    assert (shown["stage"], len(phone.transactions())) == ("assigned", 2)


def test_a_way_of_asking_that_nobody_knows_ends_with_words(world: World):
    phone = world.phone()
    phone.boot()
    world.site.assign(phone.mac)
    phone.challenge(phone.next_transaction(), Lock(algorithms=("ROT-13",)))
    row = wait_settled(world.site, phone.mac)
    assert row["state"] == "refused"
    assert "in a way that we do not know" in world.site.phones()[phone.mac]["stage_reason"]
    assert phone.logins() == []


def test_a_user_that_had_to_be_asked_by_name_is_answered_for_that_name(world: World, phone: StrictPhone):
    """404 for the device, 401 for its user: uri= and Request-URI are those of the second question."""
    telling = Tell(world.site, phone.mac, "resync")
    phone.answer(phone.next_transaction(), 404, "Not Found")
    by_name = phone.next_transaction()
    assert (by_name.user, by_name.event, by_name.has_login) == ("1001", "resync", False)
    second, right = phone.await_login(by_name, Lock(password=PASSWORD))
    assert right
    assert second.user == "1001"
    phone.answer(second)
    assert telling.ended()[0] == 0


def test_a_challenge_from_where_the_phone_no_longer_is_collects_nothing(world: World):
    """It has started up at another address since: who is at the old one now, nobody knows."""
    phone = provisioned(world, world.phone())
    telling = Tell(world.site, phone.mac, "check")
    notify = phone.next_transaction()
    lan = world.lans[0]
    phone.host.ip("address", "add", f"{lan.address(MOVED_NUMBER)}/24", "dev", "eth0")
    moved = world.phone(mac=phone.mac, host=dataclasses.replace(phone.host, addresses=[lan.address(MOVED_NUMBER)]))
    moved.boot()
    here = lambda: world.site.phone(phone.mac)["source_host"] == moved.address  # noqa: E731
    wait_for(here, SOON_SECONDS, "the new address is taken")
    phone.challenge(notify, Lock())
    code, said = telling.ended()
    assert (code, said["state"]) == (1, "refused")
    assert said["seen"]["challenged"] is not None
    assert phone.address in said["note"] and "none was sent" in said["note"]
    nothing_follows(phone)
    nothing_follows(moved, 0.1)
    assert phone.logins() == moved.logins() == []


TRANSCRIPTS = """
    SELECT t.messages FROM sipmcast_transcript t JOIN devices_phone p ON p.id = t.phone_id WHERE p.mac = ?
"""

# --- kill -9 in between -----------------------------------------------------------------------------------------------


def lost_challenge(world: World, phone: StrictPhone, lock: Lock) -> None:
    """The listener dies before the 401 comes: a copy to its successor is answered by the same 401."""
    notify = phone.next_transaction()
    world.site.kill("listen")
    phone.challenge(notify, lock)
    world.site.start("listen")


def challenge_not_stored(world: World, phone: StrictPhone, lock: Lock) -> None:
    """It dies when it has read the 401 and written nothing of it."""
    notify = phone.next_transaction()
    # One helper writes both: what was said until now is to be stored before, then the 401 is the next that it is told.
    said = lambda: any(notify.transaction[1] in row["messages"] for row in world.site.rows(TRANSCRIPTS, phone.mac))  # noqa: E731
    wait_for(said, SOON_SECONDS, "what was said until now is stored")
    with world.site.nobody_writes():
        phone.challenge(notify, lock)
        heard = lambda: f"NOTIFY {last_row(world.site, phone.mac)['id']}: 401" in world.site.fresh_log("listen")  # noqa: E731
        wait_for(heard, SOON_SECONDS, "the 401 is read")
        world.site.kill("listen")
    world.site.start("listen")


def challenge_just_sent(world: World, phone: StrictPhone, lock: Lock, delay: float = 0.03) -> None:
    """It dies at some moment of its work on the 401."""
    phone.challenge(phone.next_transaction(), lock)
    time.sleep(delay)  # the very moment that this kill is about
    world.site.kill("listen")
    world.site.start("listen")


def login_under_way(world: World, phone: StrictPhone, lock: Lock) -> None:
    """It dies while its login is unanswered: the same login comes again, and no other."""
    phone.await_login(phone.next_transaction(), lock)
    world.site.kill("listen")
    world.site.start("listen")


MOMENTS: dict[str, Callable[[World, StrictPhone, Lock], None]] = {
    "lost": lost_challenge,
    "not-stored": challenge_not_stored,
    "sent-30-ms": challenge_just_sent,
    "login-under-way": login_under_way,
}


@pytest.mark.parametrize(
    "moment", [pytest.param(one, marks=[pytest.mark.long] if one in ("lost", "not-stored") else []) for one in MOMENTS]
)
def test_a_killed_listener_goes_on_with_a_challenge_and_opens_nothing_twice(
    world: World, phone: StrictPhone, moment: str
):
    lock = Lock(password=PASSWORD)
    before, logins = len(phone.transactions()), len(phone.logins())
    telling = Tell(world.site, phone.mac, "check")
    MOMENTS[moment](world, phone, lock)

    def has_ended() -> bool:
        for notify in phone.listen(0.2):  # a copy of what was challenged gets the same 401 again
            if notify.has_login:
                phone.answer(notify)
        return last_row(world.site, phone.mac)["state"] not in ("waiting", "sending")

    wait_for(has_ended, SOON_SECONDS, "it has ended")
    code, said = telling.ended()
    assert (code, said["state"]) == (0, "delivered")
    ours = [notify for notify in phone.notifies if notify.transaction in phone.transactions()[before:]]
    order = list(dict.fromkeys(notify.transaction for notify in ours))
    assert len(order) == 2 == len(phone.transactions()) - before
    assert len(phone.logins()) - logins == 1
    first, second = ([notify for notify in ours if notify.transaction == one] for one in order)
    must_go_on(first[0], second[0])
    assert lock.opened_by(second[0])
    assert max(one.message.at for one in first) < min(one.message.at for one in second), "two were open at once"


def test_what_the_phone_did_then_is_what_is_shown(world: World, phone: StrictPhone):
    telling = Tell(world.site, phone.mac, "check")
    second, _ = phone.await_login(phone.next_transaction(), Lock(password=PASSWORD))
    phone.answer(second)
    assert telling.ended()[0] == 0
    assert not phone.flash(phone.fetch_stored())
    seen = progress(world.site, phone.mac)
    assert list(seen) == ["sent", "challenged", "answered", "fetched", "applied"]
    assert all(seen.values()), seen
    assert list(seen.values()) == sorted(seen.values())  # type: ignore[type-var]
