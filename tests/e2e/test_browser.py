"""The whole way in a real browser on another machine, with the keyboard, and what it looks like."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import chromium_on, sign_in
from tests.support.site import ROOT, SOON_SECONDS, wait_for
from tests.support.steps import provisioned
from tests.support.strict_phone import StrictPhone
from tests.support.world import World, together

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

PASSWORD = "Technician's own 4711"
SIP_PASSWORD = " p&<w>\"'ő$# "
CALLER = "Zoë & <b>Co</b>"
SHOWN_SECONDS = 15  # a bound of what hangs, not a measure: this machine may be busy with other tests
MOST_PRESSES = 40
PICTURES = ROOT / "tests" / "artifacts"


@pytest.fixture(scope="module")
def world(make_world: Callable[..., World]) -> World:
    """Everything of the Procfile."""
    built = make_world({"GSPNP_ADMIN_PASSWORD": PASSWORD})
    built.site.manage("collectstatic", "--no-input", "--verbosity", "0")
    built.site.manage("first_admin")
    built.site.start("console", "phones", "listen", "work")
    return built


@pytest.fixture(scope="module")
def browser(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    expect.set_options(timeout=SHOWN_SECONDS * 1000)
    with chromium_on(world.host(), tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture
def errors() -> list[str]:
    """What the page's scripts complained about."""
    return []


@pytest.fixture
def page(world: World, browser: Browser, errors: list[str]) -> Iterator[Page]:
    """The list, signed in, from another machine by this one's address."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.set_default_timeout(SHOWN_SECONDS * 1000)
    sign_in(opened, f"http://{world.pbx.address}:8000/", "admin", PASSWORD)
    yield opened
    context.close()
    assert errors == []


def row_of(page: Page, phone: StrictPhone):
    return page.locator(f'tr[data-mac="{phone.mac}"]')


def picture(page: Page, name: str) -> None:
    """Kept when a folder for it exists: for a person to look at, not for a machine to compare."""
    with contextlib.suppress(OSError):
        os.makedirs(PICTURES, exist_ok=True)
        page.screenshot(path=PICTURES / f"{name}.png")


def fill_drawer(page: Page, user: str) -> None:
    """Type an assignment; the drawer is open and the cursor stands in the extension field."""
    expect(page.locator("#drawer [name='account-1-user_id']")).to_be_focused()
    page.keyboard.type(user)
    page.fill("#drawer [name='account-1-password']", SIP_PASSWORD)
    page.fill("#drawer [name='account-1-display_name']", CALLER)
    page.fill("#drawer [name='account-1-sip_server']", "10.0.0.1")


def expect_stage(page: Page, phone: StrictPhone, stage: str) -> None:
    cell = row_of(page, phone).locator("[data-stage]").first
    expect(cell).to_have_attribute("data-stage", stage)


def test_a_phone_goes_the_whole_way_before_the_technicians_eyes(world: World, page: Page):
    expect(page.locator("tr[data-mac]")).to_have_count(0)
    picture(page, "first-run")
    phone = world.phone()
    phone.boot()
    expect(row_of(page, phone)).to_be_visible()
    for text in ("Grandstream", "GXP1628", "1.0.2.7", phone.address):
        expect(row_of(page, phone)).to_contain_text(text)
    expect_stage(page, phone, "seen")
    row_of(page, phone).focus()
    page.keyboard.press("Enter")
    fill_drawer(page, "1001")
    page.select_option("#drawer [name='key-mpk1-mode']", "blf")
    page.fill("#drawer [name='key-mpk1-value']", "1002")
    page.fill("#drawer [name='key-mpk1-label']", "Réception")
    picture(page, "drawer")
    page.click("#drawer button[type=submit]")
    notify = phone.await_notify()
    phone.answer(notify)
    expect_stage(page, phone, "notified")
    phone.flash(phone.get(notify.url))
    expect_stage(page, phone, "fetched")
    phone.come_back()
    expect_stage(page, phone, "applied")
    picture(page, "applied")
    said = phone.values
    assert (said["P35"], said["P34"], said["P3"]) == ("1001", SIP_PASSWORD, CALLER)
    assert (said["P323"], said["P303"], said["P302"]) == ("1", "1002", "Réception")
    assert phone.boots == 2


def go_to(page: Page, key: str, selector: str) -> None:
    """Press this key until the cursor is there; that it gets there at all, and soon, is what a person needs."""
    for _ in range(MOST_PRESSES):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press(key)
    raise AssertionError(f"{key} does not lead to {selector}")


def test_a_phone_goes_the_whole_way_by_the_keyboard_alone(world: World, page: Page):
    phone = world.phone()
    phone.boot()
    expect(row_of(page, phone)).to_be_visible()
    go_to(page, "ArrowDown", f'tr[data-mac="{phone.mac}"]')
    page.keyboard.press("Enter")
    expect(page.locator("#drawer [name='account-1-user_id']")).to_be_focused()
    page.keyboard.type("1003")
    for field, text in (("password", SIP_PASSWORD), ("display_name", CALLER), ("sip_server", "10.0.0.1")):
        go_to(page, "Tab", f"#drawer [name='account-1-{field}']")
        page.keyboard.type(text)
    go_to(page, "Tab", "#drawer [data-cap]")
    go_to(page, "ArrowDown", "#drawer [data-cap=mpk2]")
    page.keyboard.press("Enter")
    mode = page.locator("#drawer [name='key-mpk2-mode']")
    expect(mode).to_be_focused()
    for field, text in (("mode", "BLF"), ("value", "1002"), ("label", "Réception")):
        go_to(page, "Tab", f"#drawer [name='key-mpk2-{field}']")
        page.keyboard.type(text)
    expect(mode).to_have_value("blf")
    page.keyboard.press("Control+Enter")
    notify = phone.await_notify()
    expect(page.locator("#drawer")).to_be_hidden()
    expect(row_of(page, phone)).to_be_focused()
    phone.answer(notify)
    expect_stage(page, phone, "notified")
    phone.flash(phone.get(notify.url))
    phone.come_back()
    expect_stage(page, phone, "applied")
    said = phone.values
    assert (said["P35"], said["P34"], said["P3"]) == ("1003", SIP_PASSWORD, CALLER)
    assert "1002" in said.values() and "Réception" in said.values()


def test_a_row_opens_by_right_click_and_by_its_button(world: World, page: Page):
    phone = world.phone()
    phone.boot()
    row_of(page, phone).click(button="right")
    picture(page, "menu")
    page.get_by_role("menuitem", name="Assign").first.click()
    expect(page.locator("#drawer [name='account-1-user_id']")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#drawer [name='account-1-user_id']")).to_be_hidden()
    row_of(page, phone).get_by_role("button", name="Assign").click()
    expect(page.locator("#drawer [name='account-1-user_id']")).to_be_focused()


def test_an_error_stands_beside_its_field_and_nothing_typed_is_lost(world: World, page: Page):
    phone = world.phone(model="GXP1610")
    phone.boot()
    row_of(page, phone).focus()
    page.keyboard.press("Enter")
    fill_drawer(page, "10 01")
    page.fill("#drawer [name='account-1-sip_server']", "http://10.0.0.1")
    page.click("#drawer button[type=submit]")
    expect(page.locator("#drawer [name='account-1-user_id']")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#drawer [name='account-1-display_name']")).to_have_value(CALLER)
    assert page.locator("#drawer [name^='key-mpk']").count() == 0, "a GXP1610 has no MPKs"
    assert world.site.stage(phone.mac) == "seen"


def test_two_who_have_one_phone_open_see_each_other_and_a_save_at_once(world: World, page: Page, browser: Browser):
    phone = world.phone()
    phone.boot()
    other = browser.new_context().new_page()
    other.set_default_timeout(SHOWN_SECONDS * 1000)
    sign_in(other, f"http://{world.pbx.address}:8000/", "admin", PASSWORD)
    for one in (page, other):
        expect(one.locator("[data-testid=connection]").first).to_have_attribute("data-state", "live")
        row_of(one, phone).get_by_role("button", name="Assign").click()
        expect(one.locator("#drawer [name='account-1-user_id']")).to_be_focused()
    for one in (page, other):
        expect(one.locator("[data-present]")).to_have_text("admin has this phone open too.")
    page.fill("#drawer [name='account-1-display_name']", "Mine")
    fill_drawer(other, "1002")
    other.click("#drawer [data-testid=save]")
    expect(page.locator("[data-testid=news]")).to_contain_text("Saved by admin just now.")
    expect(page.locator("[data-present]")).to_have_text("")
    page.click("[data-testid=news] [data-act=show-changes]")
    expect(page.locator("[data-theirs='account-1-display_name']")).to_contain_text(CALLER)
    expect(page.locator("#drawer [name='account-1-user_id']")).to_have_value("1002")
    expect(page.locator("#drawer [name='account-1-display_name']")).to_have_value("Mine")
    picture(page, "two-people")
    page.click("#drawer [data-testid=save]")
    expect(page.locator("#drawer")).to_be_hidden()
    phone.answer(phone.await_notify())
    other.context.close()


def test_a_hostile_model_is_text_and_no_script(world: World, page: Page):
    phone = world.phone(model="<script>document.title='x'</script>")
    phone.boot()
    expect(row_of(page, phone)).to_contain_text("<script>")
    assert page.title() != "x"


def test_a_second_host_with_an_assigned_phones_mac_raises_an_alarm_in_the_page(world: World, page: Page):
    phone = world.phone()
    phone.boot()
    world.site.assign(phone.mac)
    phone.be_provisioned()
    stranger = world.phone(mac=phone.mac, host=world.host())
    stranger.boot()
    expect(page.get_by_text(f"now claims {stranger.address}").first).to_be_visible()
    picture(page, "alarm")
    assert stranger.next_notify(1.0) is None


def test_a_browser_that_lost_its_connection_catches_up(world: World, page: Page):
    phone = world.phone()
    page.context.set_offline(True)
    world.site.kill("console")
    phone.boot()
    wait_for(lambda: phone.mac in world.site.phones(), SOON_SECONDS, "the phone is stored while no console runs")
    world.site.start("console")
    page.context.set_offline(False)
    expect(row_of(page, phone)).to_be_visible(timeout=60_000)  # htmx waits longer after each failure


def test_by_another_name_the_console_does_not_open(world: World, browser: Browser, tmp_path: Path):
    technician = world.host()
    answer = technician.command(
        "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: evil.example", f"http://{world.pbx.address}:8000/"
    )  # fmt: skip
    said = subprocess.run(answer, capture_output=True, text=True, check=True, timeout=SOON_SECONDS)
    assert said.stdout == "400"


def page_width(page: Page) -> int:
    """How wide the page is when it is drawn and its fonts are there; an icon is wide text until then."""
    return page.evaluate(
        """async () => {
            const frame = () => new Promise(requestAnimationFrame);
            await frame(); await frame();  // what was changed has been laid out, so its fonts are asked for
            await document.fonts.ready;
            await frame();
            return document.documentElement.scrollWidth;
        }"""
    )


def bytes_of(page: Page, url: str) -> int:
    """How many bytes come over the wire until the page is there with all that it loads."""
    received: list[int] = []
    devtools = page.context.new_cdp_session(page)
    devtools.send("Network.enable")
    devtools.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    page.goto(url, wait_until="networkidle")
    devtools.detach()
    return int(sum(received))


def test_pages_are_light_and_what_never_changes_is_fetched_once(world: World, page: Page, browser: Browser):
    url = f"http://{world.pbx.address}:8000/"
    context = browser.new_context(storage_state=page.context.storage_state())
    opened = context.new_page()
    first, again = bytes_of(opened, url), bytes_of(opened, url)
    context.close()
    assert 100_000 < first < 1_200_000
    assert again < 50_000


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (360, "dark"),
        (1280, "light"),
        (2560, "dark"),
        *(pytest.param(*one, marks=pytest.mark.long) for one in ((360, "light"), (1280, "dark"), (2560, "light"))),
    ],
)
def test_nothing_is_wider_than_the_window(world: World, page: Page, browser: Browser, width: int, scheme: str):
    together([world.phone(lan=number % 2) for number in range(2)], StrictPhone.boot)
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, storage_state=page.context.storage_state()
    )
    opened = context.new_page()
    opened.set_default_timeout(SHOWN_SECONDS * 1000)
    opened.goto(f"http://{world.pbx.address}:8000/")
    expect(opened.locator("tr[data-mac]").first).to_be_visible()
    assert page_width(opened) <= width
    picture(opened, f"list-{width}-{scheme}")
    opened.locator("tr[data-mac]").first.focus()
    opened.keyboard.press("Enter")
    expect(opened.locator("#drawer [name='account-1-user_id']")).to_be_focused()
    assert page_width(opened) <= width
    picture(opened, f"drawer-{width}-{scheme}")
    context.close()


def test_two_phones_that_are_selected_are_asked_one_after_the_other_and_the_job_tells_what_they_said(
    world: World, page: Page
):
    first, second = (provisioned(world, world.phone()) for _ in range(2))
    for phone in (first, second):
        expect_stage(page, phone, "applied")
        row_of(page, phone).focus()
        page.keyboard.press("Space")
    expect(page.locator("[data-selected]")).to_have_text("2 selected")
    page.click("[data-order=check]")
    page.fill("#order-pace", "60")
    page.keyboard.press("Enter")
    page.click("[data-testid=toast] a")
    first.answer(first.next_transaction())
    refused = second.next_transaction()
    second.answer(refused, 480, "Temporarily Unavailable")
    assert refused.event == "check-sync"
    expect(page.locator("#job")).to_have_attribute("data-open", "no")
    expect(page.get_by_test_id("done")).to_have_text("2")
    expect(page.get_by_test_id("answered")).to_have_text("1")
    expect(page.get_by_test_id("troubles")).to_contain_text("480 Temporarily Unavailable")
