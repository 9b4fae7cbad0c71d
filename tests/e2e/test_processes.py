"""The Procfile's four processes: each may die at any moment, and comes back as if nothing had been."""

from collections.abc import Callable

import pytest

from tests.support.site import SOON_SECONDS, procfile, wait_for
from tests.support.world import World

pytestmark = pytest.mark.net

PROCESSES = ("console", "phones", "listen", "work")


@pytest.fixture(scope="module")
def all_four(make_world: Callable[..., World]) -> World:
    built = make_world()
    built.site.start(*PROCESSES)
    return built


def test_the_procfile_names_exactly_these():
    assert tuple(procfile()) == PROCESSES


def test_both_doors_say_that_they_are_well(all_four: World):
    phone = all_four.phone()
    for port in (8000, all_four.site.phones_port):
        answer = phone.get(f"http://{all_four.pbx.address}:{port}/healthz")
        assert (answer.status, answer.body.strip()) == (200, b"ok")


def test_the_phones_door_knows_no_console(all_four: World):
    phone = all_four.phone()
    for path in ("/admin/", "/admin/login/", "/login/", "/static/admin/css/base.css"):
        assert phone.get(f"http://{all_four.pbx.address}:{all_four.site.phones_port}{path}").status == 404


def test_a_phone_gets_through_while_each_process_is_killed_once(all_four: World):
    """One kill -9 and restart between any two of its steps."""
    site, phone = all_four.site, all_four.phone(lan=1)

    def crash(name: str) -> None:
        site.kill(name)
        site.start(name)

    phone.boot()
    wait_for(lambda: site.stage(phone.mac) == "seen", SOON_SECONDS, "it is seen")
    crash("console")
    site.assign(phone.mac)
    crash("listen")
    notify = phone.await_notify()
    crash("phones")
    phone.answer(notify)
    phone.flash(phone.get(notify.url))
    crash("work")
    phone.come_back()
    assert site.stage(phone.mac) == "applied"
    assert (phone.boots, len(phone.transactions())) == (2, 1)
    steps = [text.split()[0] for text in site.timeline(phone.mac)]
    for first_word in ("Seen", "Assigned", "NOTIFY", "Fetched", "Applied:"):
        assert steps.count(first_word) == 1, steps


def test_sigterm_ends_each_in_good_order(all_four: World):
    """Stands last: nothing runs afterwards, and no log has a traceback."""
    site = all_four.site
    for name in PROCESSES:
        assert site.stop(name) in (0, -15), name
        assert "Traceback" not in site.log(name), site.log(name)
