"""Who else has the form of a phone open, as the live link tells it."""

import json

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Permission, User

from gspnp.console import consumers
from tests import cast
from tests.support.live_socket import happen, make_technician, make_viewer, open_socket

pytestmark = pytest.mark.django_db(transaction=True)


def demote(name: str) -> None:
    """She may only look from now on."""
    User.objects.get(username=name).user_permissions.set(Permission.objects.filter(codename="view_phone"))


async def next_present(socket) -> tuple[str, bool]:
    """Who came or went, as the next message about that says; beats and events are passed over."""
    while True:
        message = json.loads(await socket.receive_from(timeout=10))
        if message["type"] == "live.present":
            assert set(message) == {"type", "mac", "who", "name", "here"}
            return message["name"], message["here"]


async def test_two_who_have_one_phone_open_hear_of_each_other_and_when_one_leaves():
    tess, maria = [await sync_to_async(make_technician)(name) for name in ("tess", "maria")]
    async with open_socket(tess) as hers:
        await hers.send_to(json.dumps({"open": cast.MAC}))
        async with open_socket(maria) as theirs:
            await theirs.send_to(json.dumps({"open": cast.MAC}))
            assert await next_present(hers) == ("maria", True)
            assert await next_present(theirs) == ("tess", True)
            await theirs.send_to(json.dumps({"open": None}))
            assert await next_present(hers) == ("maria", False)
            await theirs.send_to(json.dumps({"open": cast.MAC}))
            assert await next_present(hers) == ("maria", True)
        assert await next_present(hers) == ("maria", False), "a link that breaks is a leaving too"


async def test_who_may_not_open_a_form_or_has_another_phone_open_hears_of_nobody():
    _, viewer = await sync_to_async(make_viewer)()
    tess, maria = [await sync_to_async(make_technician)(name) for name in ("tess", "maria")]
    async with open_socket(viewer) as lurker, open_socket(tess) as hers, open_socket(maria) as theirs:
        await lurker.send_to(json.dumps({"open": cast.MAC}))
        await theirs.send_to(json.dumps({"open": cast.OTHER_MAC}))
        for odd in ("[]", '{"open": 7}', '{"open": "x"}', '{"open": ' + "[" * 150 + "}", "null"):
            await hers.send_to(odd)
        await hers.send_to(json.dumps({"open": cast.MAC}))
        await sync_to_async(happen)("the mark up to which all three have heard")
        for socket in (lurker, hers, theirs):
            while (message := json.loads(await socket.receive_from(timeout=10)))["type"] != "live.events":
                assert message["type"] != "live.present"


@pytest.mark.parametrize("by_itself", [True, False])
async def test_who_may_no_longer_change_phones_leaves_and_hears_of_nobody(by_itself):
    tess, maria = [await sync_to_async(make_technician)(name) for name in ("tess", "maria")]
    async with open_socket(tess) as hers, open_socket(maria) as theirs:
        await hers.send_to(json.dumps({"open": cast.MAC}))
        await theirs.send_to(json.dumps({"open": cast.MAC}))
        assert await next_present(hers) == ("maria", True)
        assert await next_present(theirs) == ("tess", True)
        await sync_to_async(demote)("tess")
        # Her page says again that the form is open, or somebody else does.
        await (hers if by_itself else theirs).send_to(json.dumps({"open": cast.MAC}))
        assert await next_present(theirs) == ("tess", False)
        await theirs.send_to(json.dumps({"open": cast.MAC}))
        await hers.send_to(json.dumps({"open": cast.MAC}))
        await sync_to_async(happen)("the mark up to which both have heard")
        for socket in (hers, theirs):
            while (message := json.loads(await socket.receive_from(timeout=10)))["type"] != "live.events":
                assert message["type"] != "live.present"


async def test_who_comes_and_goes_is_not_answered_each_time(monkeypatch):
    monkeypatch.setattr(consumers, "ANSWER_SECONDS", 3600)
    tess, maria = [await sync_to_async(make_technician)(name) for name in ("tess", "maria")]
    async with open_socket(tess) as hers, open_socket(maria) as theirs:
        await hers.send_to(json.dumps({"open": cast.MAC}))
        for _ in range(5):
            await theirs.send_to(json.dumps({"open": cast.MAC}))
            assert await next_present(hers) == ("maria", True)
            await theirs.send_to(json.dumps({"open": None}))
            assert await next_present(hers) == ("maria", False)
        await sync_to_async(happen)("the mark up to which both have heard")
        heard = []
        while (message := json.loads(await theirs.receive_from(timeout=10)))["type"] != "live.events":
            heard.append(message["type"])
        assert heard.count("live.present") <= 1
