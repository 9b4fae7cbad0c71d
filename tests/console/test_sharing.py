"""Many open lists fetch their rows at the same moment: one is made for all of them, and nobody gets an older one."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from gspnp.console import views
from gspnp.console.sharing import MADE_AT_ONCE, Sharing
from tests import cast

BOUND_SECONDS = 30  # ends what hangs


class Work:
    """What is made, step by step: each making waits until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.goes_on = threading.Semaphore(0)
        self.made = 0
        self.fails = False

    def __call__(self) -> str:
        self.made = number = self.made + 1
        self.begun.release()
        assert self.goes_on.acquire(timeout=BOUND_SECONDS)
        if self.fails:
            raise ValueError("cannot be made")
        return f"made {number}"


@pytest.fixture
def work():
    return Work()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(max_workers=8) as threads:
        yield threads


class Counting(dict):
    """The rounds that are asked for, and a word for each look at them."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = threading.Semaphore(0)

    def get(self, key, default=None):
        found = super().get(key, default)
        self.looked.release()
        return found


def watched() -> tuple[Sharing, threading.Semaphore]:
    sharing: Sharing[str] = Sharing()
    sharing._asked = Counting()
    return sharing, sharing._asked.looked


def wait(semaphore: threading.Semaphore) -> None:
    assert semaphore.acquire(timeout=BOUND_SECONDS)


def test_who_asks_after_it_was_begun_gets_a_newer_one(work, pool):
    sharing: Sharing[str] = Sharing()
    first = pool.submit(sharing.get, "list", work)
    wait(work.begun)
    second = pool.submit(sharing.get, "list", work)
    wait(work.begun)  # another one: the first may have read the phones before something changed
    work.goes_on.release(2)
    assert (first.result(BOUND_SECONDS), second.result(BOUND_SECONDS)) == ("made 1", "made 2")


def test_those_who_wait_for_room_share_one(work, pool):
    sharing, looked = watched()
    busy = [pool.submit(sharing.get, f"other {number}", work) for number in range(MADE_AT_ONCE)]
    for _ in busy:
        wait(work.begun)
        wait(looked)  # asked
        wait(looked)  # begun
    waiting = []
    for _ in range(4):
        waiting.append(pool.submit(sharing.get, "list", work))
        wait(looked)
    work.goes_on.release(MADE_AT_ONCE + 1)
    assert len({one.result(BOUND_SECONDS) for one in waiting}) == 1
    assert work.made == MADE_AT_ONCE + 1


def test_a_failure_is_told_to_each_and_hangs_nobody(work, pool):
    sharing, looked = watched()
    busy = [pool.submit(sharing.get, f"other {number}", work) for number in range(MADE_AT_ONCE)]
    for _ in busy:
        wait(work.begun)
        wait(looked)
        wait(looked)
    waiting = []
    for _ in range(3):
        waiting.append(pool.submit(sharing.get, "list", work))
        wait(looked)
    work.fails = True
    work.goes_on.release(MADE_AT_ONCE + 3)
    for one in waiting:
        with pytest.raises(ValueError, match="cannot be made"):
            one.result(BOUND_SECONDS)
    work.fails = False
    work.goes_on.release()
    assert sharing.get("list", work).startswith("made")


@pytest.mark.django_db
def test_rows_are_not_shared_between_people_who_may_do_different_things(monkeypatch):
    cast.seen()
    keys = []
    real = views._rows.get
    monkeypatch.setattr(views._rows, "get", lambda key, make: keys.append(key) or real(key, make))
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_phone"))
    changer = User.objects.create_superuser("changer")
    twin = User.objects.create_superuser("twin")
    pages = {}
    for user, cookie in ((viewer, ""), (changer, ""), (twin, ""), (twin, "Pacific%2FAuckland")):
        client = Client()
        client.force_login(user)
        client.cookies["gspnp_zone"] = cookie
        pages[user.username, cookie] = client.get(reverse("console:rows")).content
    of_viewer, of_changer, of_twin, elsewhere = keys
    assert of_changer == of_twin
    assert len({of_viewer, of_changer, elsewhere}) == 3
    assert b"csrf" not in b"".join(pages.values()).lower()
