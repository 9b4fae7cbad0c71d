"""The clock of the machine is set back by an hour, or ahead, while phones are owed a NOTIFY: nothing waits for an hour.

Only the processes of the installation see it (tests/support/faked_clock.py); phones and browser have the right time.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import chromium_on, sign_in
from tests.support.faked_clock import FakedClock, faked_clock
from tests.support.site import SOON_SECONDS, wait_for
from tests.support.strict_phone import StrictPhone
from tests.support.world import World

pytestmark = [pytest.mark.browser, pytest.mark.net, pytest.mark.long, pytest.mark.timeout(900)]

HOUR = 3600
PAGE_SECONDS = 120  # a bound: each look at the clock reads a file here, and the machine may have other work
EVERYTHING = ("console", "phones", "listen", "work")
PASSWORD = "Technician's own 4711"
# Not needed is the one that is kept ready for a phone that starts up and then fetches by its own path.
TOLD = "SELECT state, count(*) AS n FROM provisioning_notify WHERE state <> 'not_needed' GROUP BY state"
FILES = "SELECT phone_id, count(*) AS n FROM provisioning_configfile GROUP BY phone_id"
REMARK = "[data-testid=listener-warning]:has-text('clock of this machine was set back')"


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[FakedClock]:
    with faked_clock(tmp_path) as faked:
        yield faked


@pytest.fixture
def world(clock: FakedClock, make_world: Callable[..., World]) -> Iterator[World]:
    """Everything of the Procfile, by that clock."""
    built = make_world(clock.settings | {"GSPNP_ADMIN_PASSWORD": PASSWORD})
    built.site.manage("collectstatic", "--no-input", "--verbosity", "0")
    built.site.manage("first_admin")
    built.site.start(*EVERYTHING)
    yield built
    built.site.close()  # before the clock goes


@pytest.fixture
def page(world: World, tmp_path: Path) -> Iterator[Page]:
    """The list, open from before the clock is set; never loaded again."""
    expect.set_options(timeout=PAGE_SECONDS * 1000)
    with chromium_on(world.host(), tmp_path) as browser:
        context = browser.new_context()
        context.set_default_timeout(PAGE_SECONDS * 1000)
        opened = context.new_page()
        sign_in(opened, f"http://{world.pbx.address}:8000/", "admin", PASSWORD)
        yield opened


@contextmanager
def held_up(world: World) -> Iterator[None]:
    """The listener does nothing meanwhile."""
    pid = world.site.process("listen").pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def seen(world: World, count: int) -> list[StrictPhone]:
    phones = [world.phone() for _ in range(count)]
    for phone in phones:
        phone.boot()
        world.site.wait_stage(phone.mac, "seen")
    return phones


def all_is_well(world: World, page: Page, phones: list[StrictPhone]) -> None:
    """What holds whatever the clock did."""
    for phone in phones:
        world.site.wait_stage(phone.mac, "applied")
        stage = page.locator(f'tr[data-mac="{phone.mac}"] [data-stage]').first
        expect(stage).to_have_attribute("data-stage", "applied")
        expect(page.locator(f'tr[data-mac="{phone.mac}"]')).to_have_count(1)
    assert [row["n"] for row in world.site.rows(FILES)] == [1] * len(phones)
    told = [{"state": "delivered", "n": len(phones)}]
    wait_for(lambda: world.site.rows(TOLD) == told, SOON_SECONDS, lambda: f"{world.site.rows(TOLD)} is {told}")
    assert [len(phone.transactions()) for phone in phones] == [1] * len(phones), "each was told once"
    context = page.context.browser.new_context()  # somebody else signs in
    context.set_default_timeout(PAGE_SECONDS * 1000)
    opened = context.new_page()
    sign_in(opened, page.url, "admin", PASSWORD)
    expect(opened.locator("tr[data-mac]")).to_have_count(len(phones))
    for name in EVERYTHING:
        assert world.site.process(name).poll() is None, f"{name} ended"
        assert "Traceback" not in world.site.log(name)


@pytest.mark.parametrize("step", [-HOUR, HOUR], ids=["back", "ahead"])
def test_while_everything_runs(world: World, clock: FakedClock, page: Page, step: int):
    first, ringing, owed, later = seen(world, 4)
    world.site.assign(first.mac)
    first.be_provisioned()
    world.site.wait_stage(first.mac, "applied")
    world.site.assign(ringing.mac, user="1002")
    notify = ringing.await_notify()
    with held_up(world):
        world.site.assign(owed.mac, user="1003")
        clock.set(step)
    ringing.be_provisioned(notify)
    owed.be_provisioned()
    world.site.assign(later.mac, user="1004")
    later.be_provisioned()
    first.come_back()  # it starts up as on any day: no NOTIFY
    expect(page.locator(REMARK)).to_have_count(1 if step < 0 else 0)
    all_is_well(world, page, [first, ringing, owed, later])


def test_while_nothing_runs(world: World, clock: FakedClock, page: Page):
    first, ringing, owed, later = seen(world, 4)
    world.site.assign(first.mac)
    first.be_provisioned()
    world.site.assign(ringing.mac, user="1002")
    ringing.await_notify()
    world.site.kill("listen")
    world.site.assign(owed.mac, user="1003")
    for name in ("work", "phones", "console"):  # as when the power goes, which is when clocks go wrong
        world.site.kill(name)
    clock.set(-HOUR)
    world.site.assign(later.mac, user="1004")  # before anybody has found out
    world.site.start(*EVERYTHING)
    for phone in (ringing, owed, later):
        phone.be_provisioned()
    first.come_back()
    expect(page.locator(REMARK)).to_have_count(1)
    all_is_well(world, page, [first, ringing, owed, later])
