"""Online or offline, by OPTIONS that real phones answer, or do not."""

from collections.abc import Callable

import pytest

from tests.support.site import SOON_SECONDS, wait_for
from tests.support.steps import provisioned
from tests.support.strict_phone import TRANSACTION_SECONDS, StrictPhone
from tests.support.world import World

pytestmark = pytest.mark.net

INTERVAL_SECONDS = 2
FOLLOW_SECONDS = 15  # the listener reads anew whom to ask
OFFLINE_SECONDS = TRANSACTION_SECONDS + 2 * INTERVAL_SECONDS + SOON_SECONDS


@pytest.fixture(scope="module")
def asking(make_world: Callable[..., World]) -> World:
    world = make_world({"GSPNP_OPTIONS_SECONDS": str(INTERVAL_SECONDS)})
    world.site.start("listen", "phones")
    return world


@pytest.fixture(scope="module")
def phones(asking: World) -> dict[str, StrictPhone]:
    """Phones in use; a listener that starts now knows them at once."""
    made = {name: provisioned(asking, asking.phone(lan=n % 2)) for n, name in enumerate(("plain", "unknowing", "off"))}
    made["unknowing"].options_status = 404
    assert asking.site.stop("listen") == 0
    asking.site.start("listen")
    return made


def wait_online(world: World, phone: StrictPhone, online: bool, seconds: float) -> dict:
    """The row when it says so; the phone answers meanwhile, if it is on."""

    def as_wanted() -> dict | None:
        if phone.is_on:
            assert phone.listen(0.1) == []
        row = world.site.phone(phone.mac)
        return row if row["online"] is not None and bool(row["online"]) is online else None

    return wait_for(as_wanted, seconds, f"{phone.mac} is {'online' if online else 'offline'}")


def test_a_phone_that_answers_is_online_with_its_round_trip_and_since_when(
    asking: World, phones: dict[str, StrictPhone]
):
    phone = phones["plain"]
    wait_online(asking, phone, True, SOON_SECONDS)
    wait_for(
        lambda: phone.listen(0.1) == [] and asking.site.phone(phone.mac)["rtt_ms"], SOON_SECONDS, "a sure round trip"
    )
    shown = asking.site.phones()[phone.mac]
    assert shown["online"] is True
    assert shown["rtt_ms"] > 0
    assert shown["online_at"] >= shown["first_seen_at"]
    assert asking.site.timeline(phone.mac).count("Online: it answers.") == 1


def test_one_question_at_a_time_and_a_new_one_each_time(asking: World, phones: dict[str, StrictPhone]):
    phone = phones["plain"]
    phone.listen(0.0)  # what was resent while nobody read
    known = len(phone.options)

    def branches() -> list[str]:
        return list(dict.fromkeys(one.branch for one in phone.options[known:]))

    wait_for(lambda: phone.listen(0.1) == [] and len(branches()) >= 3, SOON_SECONDS, "three more questions")
    recent = phone.options[known:]
    assert len({one.one("call-id") for one in recent}) == len(branches())
    order = [branches().index(one.branch) for one in recent]
    assert order == sorted(order), "a new question while the last one was open"
    assert {one.source[0] for one in recent} == {phone.server}


def test_a_phone_that_refuses_the_question_is_there(asking: World, phones: dict[str, StrictPhone]):
    wait_online(asking, phones["unknowing"], True, SOON_SECONDS)
    assert asking.site.phones()[phones["unknowing"].mac]["online"] is True


def test_a_phone_that_nobody_assigned_is_not_asked(asking: World):
    stranger = asking.phone()
    stranger.boot()
    asking.site.wait_stage(stranger.mac, "seen")
    stranger.listen(FOLLOW_SECONDS / 5)
    assert stranger.options == []


@pytest.mark.long
def test_a_phone_that_is_switched_off_is_offline_and_back_when_it_returns(
    asking: World, phones: dict[str, StrictPhone]
):
    phone = phones["off"]
    wait_online(asking, phone, True, SOON_SECONDS)
    phone.power_off()
    row = wait_online(asking, phone, False, OFFLINE_SECONDS)
    assert row["rtt_ms"] is None
    assert asking.site.stage(phone.mac) == "applied", "off is not unassigned"
    phone.boot()
    assert not phone.flash(phone.fetch_stored())
    wait_online(asking, phone, True, OFFLINE_SECONDS)
    words = [text.partition(":")[0] for text in asking.site.timeline(phone.mac)]
    assert [word for word in words if word in ("Online", "Offline")] == ["Online", "Offline", "Online"]


@pytest.mark.long
def test_a_phone_that_ignores_options_but_fetches_is_not_offline(asking: World, phones: dict[str, StrictPhone]):
    phone = phones["plain"]
    wait_online(asking, phone, True, SOON_SECONDS)
    phone.options_status = 0
    first, known = len(phone.options), len(asking.site.timeline(phone.mac))

    def a_question_has_ended() -> bool:
        """The same phone is asked anew only when 32 s without an answer are over."""
        phone.fetch_stored()
        phone.listen(1.0)
        return len({one.branch for one in phone.options[first:]}) >= 3

    wait_for(a_question_has_ended, 2 * OFFLINE_SECONDS, "two questions went unanswered")
    row = asking.site.phone(phone.mac)
    assert row["online"] == 1
    assert not any(text.startswith("Offline") for text in asking.site.timeline(phone.mac)[known:])
