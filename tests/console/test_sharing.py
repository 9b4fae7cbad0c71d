"""Many open lists fetch their rows at the same moment: one is made for all of them, and nobody gets an older one, or
one that was made for somebody else."""

import asyncio
from http import HTTPStatus
from itertools import count
from types import SimpleNamespace

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from channels.testing import HttpCommunicator
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from devices.models import Account, Phone
from gspnp.asgi import application
from gspnp.console import columns, drawn, sessions, sharing, standing
from gspnp.console.access import CHANGE, FORGET, VIEW
from gspnp.console.sharing import Reader
from tests import cast

pytestmark = pytest.mark.django_db(transaction=True)
BOUND_SECONDS = 30  # ends what hangs
ASSIGN = b'data-act="assign"'


class Fetch(HttpCommunicator):
    """Channels' own keeps open what the product gives back."""

    send_input = ApplicationCommunicator.send_input
    receive_output = ApplicationCommunicator.receive_output


def person(name: str, *permissions: str) -> User:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def session_of(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


async def fetch(session: str, query: str = "", **cookies: str) -> dict:
    said = {"sessionid": session, **cookies}
    headers = [
        (b"host", b"localhost"),
        (b"x-requested-with", b"fetch"),
        (b"cookie", "; ".join(f"{name}={value}" for name, value in said.items()).encode()),
    ]
    asked = Fetch(application, "GET", reverse("console:rows") + query, headers=headers)
    answer = await asked.get_response(timeout=BOUND_SECONDS)
    await asked.wait(timeout=BOUND_SECONDS)  # until it has given back its database connection
    return answer


@pytest.fixture
def made(monkeypatch):
    """What Django is asked for on behalf of many; each making waits until it is let go."""
    real, makings = sharing._respond, Makings()

    async def respond(scope):
        makings.count += 1
        makings.begun.release()
        await makings.goes_on.acquire()
        if makings.fails:
            raise ValueError("cannot be made")
        return await real(scope)

    monkeypatch.setattr(sharing, "_respond", respond)
    return makings


class Makings:
    def __init__(self) -> None:
        self.count = 0
        self.fails = False
        self.begun, self.goes_on = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def wait_begun(self) -> None:
        await asyncio.wait_for(self.begun.acquire(), BOUND_SECONDS)

    def let_go(self, times: int = 1) -> None:
        for _ in range(times):
            self.goes_on.release()


def run(coroutine):
    return asyncio.run(coroutine)


def test_those_who_ask_while_one_is_made_share_the_next_one(made):
    cast.seen()
    sessions_ = [session_of(person(f"viewer {number}", "view_phone")) for number in range(6)]

    async def ask():
        first = asyncio.create_task(fetch(sessions_[0]))
        await made.wait_begun()
        others = [asyncio.create_task(fetch(one)) for one in sessions_[1:]]
        await database_sync_to_async(lambda: Phone.objects.update(vendor="Changed Meanwhile"))()
        made.let_go(2)
        return [await one for one in (first, *others)]

    answers = run(ask())
    assert {one["status"] for one in answers} == {HTTPStatus.OK}
    assert made.count == 2  # the first may have read the phones before something changed
    assert all(b"Changed Meanwhile" in one["body"] for one in answers[1:])


def test_a_failure_is_nobody_elses_and_hangs_nobody(made):
    cast.seen()
    session = session_of(person("viewer", "view_phone"))

    async def ask():
        made.fails = True
        made.let_go(2)
        failed = await asyncio.gather(fetch(session), fetch(session))
        made.fails = False
        made.let_go()
        return [*failed, await fetch(session)]

    assert [one["status"] for one in run(ask())] == [HTTPStatus.OK] * 3  # each by Django itself, where it failed


def test_who_goes_away_takes_it_from_nobody(made):
    cast.seen()
    session = session_of(person("viewer", "view_phone"))

    async def ask():
        gone = asyncio.create_task(fetch(session))
        await made.wait_begun()
        gone.cancel()
        stays = asyncio.create_task(fetch(session))
        made.let_go(2)
        return await stays

    assert run(ask())["status"] == HTTPStatus.OK


def test_rows_are_not_shared_between_people_who_see_different_ones():
    cast.seen()
    viewer, changer, chooser = (
        person(name, *may)
        for name, may in (
            ("viewer", ["view_phone"]),
            ("changer", ["view_phone", "change_phone"]),
            ("chooser", ["view_phone"]),
        )
    )
    columns.choose(chooser, ["mac", "site"])
    keys = {user.username: session_of(user) for user in (viewer, changer, chooser)}

    async def ask():
        return await asyncio.gather(
            *(fetch(key) for key in keys.values()),
            fetch(keys["viewer"], gspnp_zone="Pacific%2FAuckland"),
            fetch(keys["viewer"], query="?q=nobody"),
        )

    of_viewer, of_changer, of_chooser, elsewhere, searching = (one["body"] for one in run(ask()))
    assert ASSIGN in of_changer
    assert ASSIGN not in of_viewer + of_chooser
    assert b"gs-col-site" in of_chooser
    assert b"gs-col-site" not in of_viewer + of_changer
    assert b"NZ" in elsewhere
    assert b"NZ" not in of_viewer
    assert b"nothing-found" in searching


def test_who_was_signed_out_or_may_not_look_is_refused_while_others_get_their_rows():
    cast.seen()
    may, may_not, gone = session_of(person("may", "view_phone")), session_of(person("may not")), "nothing"

    async def ask():
        return await asyncio.gather(*(fetch(one) for one in (may, may_not, gone)))

    answers = run(ask())
    assert [one["status"] for one in answers] == [HTTPStatus.OK, HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED]
    assert cast.MAC.encode() not in answers[1]["body"] + answers[2]["body"]


def test_an_answer_for_other_rights_than_were_known_is_given_to_nobody(monkeypatch):
    cast.seen()
    session = session_of(person("changer", "view_phone", "change_phone"))

    async def out_of_date(keys):
        return {key: Reader(may_change=False, may_forget=False, columns=None) for key in keys}

    asked = []
    real = sharing._respond

    async def respond(scope):
        asked.append(scope["path"])
        return await real(scope)

    monkeypatch.setattr(sharing, "_read", out_of_date)
    monkeypatch.setattr(sharing, "_respond", respond)
    answer = run(fetch(session))
    assert asked
    assert ASSIGN in answer["body"]  # by Django itself, as this person is now


def test_nobody_gets_the_cookie_of_somebody_else():
    cast.seen()
    first, second = session_of(person("first", "view_phone")), session_of(person("second", "view_phone"))
    for key in (first, second):  # from before an upgrade: the next request writes the session, and its cookie
        store = sessions_store(key)
        del store[sessions.BEGAN]
        store.save()

    async def ask():
        return await asyncio.gather(fetch(first), fetch(second))

    for key, answer in zip((first, second), run(ask()), strict=True):
        cookies = [value.decode() for name, value in answer["headers"] if name.lower() == b"set-cookie"]
        assert all(cookie.startswith(f"sessionid={key};") for cookie in cookies)


def sessions_store(key: str) -> SessionStore:
    return SessionStore(key)


def test_an_answer_with_a_cookie_is_no_ones(monkeypatch):
    cast.seen()
    session = session_of(person("viewer", "view_phone"))

    async def respond(scope):
        response = HttpResponse("of somebody else")
        response.set_cookie("sessionid", "of somebody else")
        return response

    monkeypatch.setattr(sharing, "_respond", respond)
    answer = run(fetch(session))
    assert b"of somebody else" not in answer["body"]
    assert answer["status"] == HTTPStatus.OK


def test_shared_rows_come_with_the_headers_of_every_page():
    cast.seen()
    session = session_of(person("viewer", "view_phone"))
    headers = {name.lower(): value for name, value in run(fetch(session))["headers"]}
    plain = Client()
    plain.cookies["sessionid"] = session
    usual = plain.get(reverse("console:rows"), HTTP_X_REQUESTED_WITH="fetch")
    for name in ("Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options", "Vary"):
        assert headers[name.lower().encode()].decode().replace("localhost", "testserver") == usual[name]
    assert b"no-store" in headers[b"cache-control"]


def test_permissions_are_those_that_django_knows():
    group = Group.objects.create(name="changers")
    group.permissions.set(Permission.objects.filter(codename__in=["view_phone", "change_phone"]))
    own, by_group, none = person("own", "view_phone"), person("group"), person("none")
    both = person("both", "delete_phone")
    by_group.groups.add(group)
    both.groups.add(group)
    everybody = [own, by_group, both, none, User.objects.create_superuser("root", is_staff=True)]
    found = standing.holders(everybody, VIEW, CHANGE, FORGET)
    for user in User.objects.all():
        assert {name: user.pk in who for name, who in found.items()} == {
            name: user.has_perm(name) for name in (VIEW, CHANGE, FORGET)
        }


def test_a_kept_row_is_the_one_that_would_be_made(client):
    """What changes of a phone or its account is in its row at once."""
    phone = cast.assigned().phone
    client.force_login(person("changer", "view_phone", "change_phone"))
    changes = (
        lambda: None,
        lambda: Account.objects.filter(phone=phone).update(display_name="Somebody Else"),
        lambda: Phone.objects.update(source_host="10.9.9.9", neighbour="mismatch"),
        lambda: Phone.objects.update(online=False, online_at=cast.NOON),
        lambda: Phone.objects.update(firmware="1.0.4.1"),
        lambda: Phone.objects.update(alarm="an alarm"),
    )
    seen = set()
    for change in changes:
        change()
        kept = client.get(reverse("console:rows")).content
        drawn._kept.clear()
        assert kept == client.get(reverse("console:rows")).content
        seen.add(kept)
    assert len(seen) == len(changes)


def test_what_a_database_kept_waiting_is_not_left_alone_for_as_long_again(monkeypatch):
    """A minute in which the database hung says nothing of how busy this process is."""
    cast.seen()
    session = session_of(person("viewer", "view_phone"))
    minutes = count(0, 60)
    monkeypatch.setattr(sharing, "time", SimpleNamespace(monotonic=lambda: next(minutes)))

    async def ask():
        return [await fetch(session) for _ in range(2)]

    assert [one["status"] for one in run(ask())] == [HTTPStatus.OK] * 2  # `fetch` waits for less than a minute


def test_a_session_that_no_database_can_look_for_is_nobody_elses_failure():
    """PostgreSQL refuses a text with a NUL: asked for together with others, it would refuse them all."""
    key = session_of(person("viewer", "view_phone"))
    with CaptureQueriesContext(connection) as captured:
        assert set(standing.read([key, "a" * 31 + "\0"])) == {key}
    assert not any("aaaa" in query["sql"] for query in captured)


def test_a_session_from_before_an_upgrade_is_given_its_times_also_beside_others():
    """Without them it would never be idle for too long, as long as somebody else's request answers its page's."""
    cast.seen()
    timed, untimed = session_of(person("timed", "view_phone")), session_of(person("untimed", "view_phone"))
    store = sessions_store(untimed)
    del store[sessions.BEGAN], store[sessions.DONE]
    store.save()

    async def ask():
        return await asyncio.gather(fetch(timed), fetch(untimed))

    assert [one["status"] for one in run(ask())] == [HTTPStatus.OK] * 2
    assert sessions.BEGAN in sessions_store(untimed)
