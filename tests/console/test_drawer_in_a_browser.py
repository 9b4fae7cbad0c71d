"""The drawer as a person with a mouse, a finger or a keyboard meets it: drawing, keys, the way back, two people."""

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from playwright.sync_api import Page, expect

from devices import inventory
from devices.catalog import KeyMode, KeySlot
from devices.choices import Stage
from devices.models import Account, Key, Phone
from provisioning import assignment, plan
from provisioning.gxp.config import KeyConfig
from provisioning.layers import store
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_settings_in_a_browser import NARROW, browser_page, elsewhere, press

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
LONG = "Door at the back of the house"


@pytest.fixture
def session(live_server, administrator, listener) -> str:
    """Signed in; a GXP1628 at the site berlin is assigned, with keys of its own and of the site."""
    phone = cast.seen()
    store.save(store.find("site", "berlin"), {"key_mpk5": "protected blf:1005:Stock"}, by="root")
    Phone.objects.filter(pk=phone.pk).update(site="berlin")
    dial = KeyConfig(KeySlot.parse("mpk3"), KeyMode.SPEED_DIAL, 1, "Taxi", "22222")
    cast.save(phone, cast.draft(cast.blf("mpk1", "1002", "Reception"), cast.blf("mpk2", "1003", LONG), dial))
    return signed_in(administrator).cookies[settings.SESSION_COOKIE_NAME].value


def opened(page: Page, url: str, mac: str = cast.MAC) -> None:
    page.goto(url)
    page.click(f'tr[data-mac="{mac}"] [data-act=assign]')
    page.wait_for_selector("#drawer form")


def cap(page: Page, name: str):
    return page.locator(f'[data-cap="{name}"]')


def shown(page: Page) -> dict[str, str]:
    """What each key of the drawing is called."""
    return {one.get_attribute("data-cap"): one.get_attribute("aria-label") for one in page.locator("[data-cap]").all()}


def saved_keys() -> set[str]:
    return {f"{key} {key.label}".strip() for key in Key.objects.all()}


def test_the_drawing_says_what_is_on_each_key_and_cuts_what_has_no_room(live_server, session):
    with browser_page(live_server.url, session) as page:
        opened(page, live_server.url)
        names = shown(page)
        label = cap(page, "mpk2").locator("[data-cap-text]").text_content()
        inherited = page.locator(".gs-cap-inherited").evaluate_all("all => all.map((one) => one.dataset.cap)")
        legend = page.inner_text("[data-legend]")
        cap(page, "mpk2").click()
        expect(page.locator("[name=key-mpk2-value]")).to_be_focused()
        cut = page.inner_text("#editor-mpk2 [data-cut]")
    assert names["mpk1"] == "MPK 1: BLF 1002 Reception"
    assert names["mpk5"] == "MPK 5: BLF 1005 Stock, protected by site berlin"
    assert names["mpk8"] == "MPK 8: not set"
    assert names["line1"] == "Line key 1: not set"
    assert LONG.startswith(label) and 0 < len(label) < len(LONG)
    assert label.strip() in cut
    assert inherited == ["mpk5"]
    assert legend == "Dashed: 1 key from site berlin."


def test_keys_are_set_moved_and_cleared_without_a_mouse_and_each_step_can_be_undone(live_server, session):
    with browser_page(live_server.url, session) as page:
        opened(page, live_server.url)
        cap(page, "mpk1").focus()
        press(page, "ArrowDown", "ArrowDown", "ArrowDown", "Enter")
        expect(page.locator("[name=key-mpk4-mode]")).to_be_focused()
        press(page, "Tab")
        page.keyboard.type("1004")
        assert page.input_value("[name=key-mpk4-mode]") == "blf"
        cap(page, "mpk1").focus()
        assert page.locator('[data-cap][tabindex="0"]').count() == 1
        press(page, "Alt+ArrowDown")
        expect(cap(page, "mpk2")).to_be_focused()
        assert (shown(page)["mpk1"], shown(page)["mpk2"]) == (f"MPK 1: BLF 1003 {LONG}", "MPK 2: BLF 1002 Reception")
        press(page, "ArrowDown", "Delete")
        assert shown(page)["mpk3"] == "MPK 3: not set"
        press(page, "ControlOrMeta+z")
        assert shown(page)["mpk3"] == "MPK 3: Speed dial 22222 Taxi"
        press(page, "ControlOrMeta+z")
        assert shown(page)["mpk1"] == "MPK 1: BLF 1002 Reception"
        press(page, "ArrowUp", "ArrowUp", "Alt+ArrowDown", "Control+Enter")
        page.wait_for_selector("[data-testid=toast-button]")
        assert page.locator("#drawer[open]").count() == 0
    assert saved_keys() == {
        f"mpk1: blf 1003 {LONG}",
        "mpk2: blf 1002 Reception",
        "mpk3: speed_dial 22222 Taxi",
        "mpk4: blf 1004",
    }


def test_dragging_swaps_and_a_key_that_cannot_take_it_says_so(live_server, session):
    with browser_page(live_server.url, session) as page:
        opened(page, live_server.url)
        cap(page, "mpk1").drag_to(cap(page, "mpk8"))
        after_move = shown(page)
        cap(page, "mpk8").drag_to(cap(page, "line1"))
        refused = page.locator("[data-testid=toast]").last.inner_text()
        cap(page, "mpk8").drag_to(cap(page, "mpk5"))
        guarded = page.locator("[data-testid=toast]").last.inner_text()
        at_last = shown(page)
        cap(page, "mpk3").drag_to(cap(page, "line2"))
        dialled = shown(page)
    assert (after_move["mpk1"], after_move["mpk8"]) == ("MPK 1: not set", "MPK 8: BLF 1002 Reception")
    assert "Line key 1 cannot do BLF" in refused
    assert "MPK 5 is protected by site berlin" in guarded
    assert at_last == after_move
    assert dialled["line2"] == "Line key 2: Speed dial 22222 Taxi"


def touch(page: Page, start, end, hold_ms: int) -> None:
    """A finger that is laid down, waits, moves and is lifted."""
    client = page.context.new_cdp_session(page)
    boxes = [one.bounding_box() for one in (start, end)]
    (x, y), (to_x, to_y) = [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in boxes]

    def send(kind: str, *points) -> None:
        made = [{"x": px, "y": py} for px, py in points]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": made})

    send("touchStart", (x, y))
    page.wait_for_timeout(hold_ms)
    for part in range(1, 11):
        send("touchMove", (x + (to_x - x) * part / 10, y + (to_y - y) * part / 10))
        page.wait_for_timeout(20)
    send("touchEnd")


def test_a_finger_moves_keys_and_codecs_and_the_new_order_is_said(live_server, session):
    with browser_page(live_server.url, session, NARROW, has_touch=True) as page:
        opened(page, live_server.url)
        page.locator("[data-drawing]").scroll_into_view_if_needed()
        touch(page, cap(page, "mpk1").locator(".gs-cap-body"), cap(page, "mpk4").locator(".gs-cap-body"), 400)
        expect(cap(page, "mpk4")).to_have_attribute("aria-label", "MPK 4: BLF 1002 Reception")
        codecs = page.locator("[data-account='1'] li[data-codec]")
        codecs.first.scroll_into_view_if_needed()
        before = codecs.evaluate_all("all => all.map((one) => one.dataset.codec)")
        touch(page, codecs.nth(0).locator(".gs-grip"), codecs.nth(2).locator(".gs-grip"), 100)
        moved = [before[1], before[2], before[0]]
        expect(page.locator("#drawer [data-live] p").last).to_contain_text("Codecs in order: 1 ")
        after = codecs.evaluate_all("all => all.map((one) => one.dataset.codec)")
        codecs.first.locator("[data-act=codec-down]").focus()
        press(page, "Alt+ArrowDown")
        by_key = codecs.evaluate_all("all => all.map((one) => one.dataset.codec)")
        page.click("[data-testid=save]")
        page.wait_for_selector("[data-testid=toast-button]")
    assert after[:3] == moved
    assert by_key[:3] == [moved[1], moved[0], moved[2]]
    assert Account.objects.get().codecs == by_key
    assert "mpk4: blf 1002 Reception" in saved_keys()


def test_the_codecs_are_one_stop_of_tab_and_arrows_go_through_them(live_server, session):
    """Else fifteen presses lie between an account and the keys."""
    with browser_page(live_server.url, session) as page:
        opened(page, live_server.url)
        codecs = page.locator("[data-account='1'] li[data-codec]")
        before = codecs.evaluate_all("all => all.map((one) => one.dataset.codec)")
        page.focus("[name=account-1-voicemail]")
        press(page, "Tab")
        expect(codecs.nth(0).locator("[data-act=codec-up]")).to_be_focused()
        press(page, "ArrowDown", "ArrowRight", "ArrowRight")
        expect(codecs.nth(1).locator("[data-act=codec-remove]")).to_be_focused()
        press(page, "Alt+ArrowUp")
        expect(codecs.nth(0).locator("[data-act=codec-remove]")).to_be_focused()
        moved = codecs.evaluate_all("all => all.map((one) => one.dataset.codec)")
        press(page, "Enter")
        expect(codecs.nth(0).locator("[data-act=codec-remove]")).to_be_focused()
        assert page.locator("[data-account='1'] li[data-codec] button[tabindex='0']").count() == 1
        press(page, "Tab")
        expect(page.locator("[data-account='1'] [data-codec-add]")).to_be_focused()
        press(page, "Shift+Tab")
        expect(codecs.nth(0).locator("[data-act=codec-remove]")).to_be_focused()
    assert moved[:2] == [before[1], before[0]]


def test_save_and_next_opens_the_next_new_phone_and_the_save_can_be_undone_from_there(live_server, session):
    cast.seen(cast.OTHER_MAC, "10.0.0.30")
    with browser_page(live_server.url, session) as page:
        opened(page, live_server.url)
        page.fill("[name=account-1-display_name]", "Wrong")
        press(page, "Control+Shift+Enter")
        expect(page.locator("#drawer form")).to_have_attribute("data-mac", cast.OTHER_MAC)
        expect(page.locator("[name=account-1-user_id]")).to_be_focused()
        with page.expect_response("**/undo/") as answered:
            page.click("[data-testid=toast-button]")
        assert answered.value.status == 200
        expect(page.locator("[data-testid=toast]").last).to_contain_text("Taken back.")
        page.fill("[name=account-1-user_id]", "1009")
        page.fill("[name=account-1-sip_server]", "10.0.0.1")
        page.click("[data-testid=save-next]")
        expect(page.locator("#drawer")).to_be_hidden()
        expect(page.locator("[data-testid=toasts]")).to_contain_text("No other new phone is waiting.")
    names = dict(Account.objects.values_list("phone__mac", "display_name"))
    assert names == {cast.MAC: "Tess", cast.OTHER_MAC: ""}


def test_a_save_is_undone_by_the_keyboard_from_the_list(live_server, session):
    with browser_page(live_server.url, session) as page:
        opened(page, live_server.url)
        page.fill("[name=account-1-display_name]", "Wrong")
        press(page, "Enter")
        page.wait_for_selector("[data-testid=toast-button]")
        with page.expect_response("**/undo/") as answered:
            press(page, "ControlOrMeta+z")
        assert answered.value.status == 200
        expect(page.locator("[data-testid=toast]")).to_contain_text(["Taken back."])  # it takes the other's place
        press(page, "ControlOrMeta+z")  # once: nothing is offered any more
        assert page.locator("[data-testid=toast-button]").count() == 0
    assert Account.objects.get().display_name == "Tess"


def test_reset_shows_what_is_stored_and_gives_back_what_was_typed(live_server, session):
    with browser_page(live_server.url, session) as page:
        opened(page, live_server.url)
        page.fill("[name=key-mpk8-value]", "1008")
        page.click("[data-act=reset]")
        expect(page.locator("[name=key-mpk8-value]")).to_have_value("")
        page.click("[data-testid=toast-button]")
        expect(page.locator("[name=key-mpk8-value]")).to_have_value("1008")


def test_an_error_of_a_key_opens_its_editor_and_marks_the_drawing(live_server, session):
    with browser_page(live_server.url, session, NARROW) as page:
        opened(page, live_server.url)
        page.locator("[data-drawing]").scroll_into_view_if_needed()
        cap(page, "mpk6").click()
        page.select_option("[name=key-mpk6-mode]", "speed_dial")
        cap(page, "mpk1").click()
        page.click("[data-testid=save]")
        expect(page.locator("[name=key-mpk6-value]")).to_be_focused()
        assert shown(page)["mpk6"].endswith("has an error")
        assert page.locator(".gs-cap-bad").count() == 1


def test_a_page_with_something_typed_is_left_only_if_the_person_says_so(live_server, session):
    asked = []

    def stay(dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    with browser_page(live_server.url, session) as page:
        page.on("dialog", stay)
        opened(page, live_server.url)
        page.evaluate("location.reload()")  # nothing is typed yet
        opened(page, live_server.url)
        page.fill("[name=account-1-display_name]", "Typed")
        page.evaluate("location.assign('/overview/')")
        expect(page.locator("[name=account-1-display_name]")).to_have_value("Typed")
        press(page, "Escape")
        page.evaluate("location.assign('/overview/')")
        assert asked == ["beforeunload"] * 2, "while it is open, and while it is kept"
        page.click(f'tr[data-mac="{cast.MAC}"] [data-act=assign]')
        expect(page.locator("[name=account-1-display_name]")).to_have_value("Typed")
        press(page, "Control+Enter")
        page.wait_for_selector("[data-testid=toast-button]")
        page.goto(f"{live_server.url}/overview/")
        assert len(asked) == 2, "what is saved is not lost"


def test_an_open_drawer_says_that_somebody_else_put_the_phone_aside_or_forgot_it(live_server, session):
    found = Phone.objects.get(mac=cast.MAC)
    with browser_page(live_server.url, session, NARROW) as page:
        page.goto(f"{live_server.url}/phones/{cast.MAC}/")
        page.click("[data-testid=assign]")
        page.fill("[name=account-1-display_name]", "Typed")
        elsewhere(lambda: inventory.ignore(found.pk, "maria"))
        hear = "document.dispatchEvent(new CustomEvent('gs:heard', { detail: { type: 'poll' } }))"
        page.evaluate(hear)
        expect(page.locator("#drawer [data-aside]")).to_contain_text("Somebody else has put this phone aside")
        elsewhere(lambda: inventory.heed(found.pk, Stage.APPLIED, "maria"))
        page.evaluate(hear)
        expect(page.locator("#drawer [data-aside]")).to_be_empty()
        elsewhere(lambda: inventory.forget(found.pk, "maria"))
        page.evaluate(hear)
        expect(page.locator("#drawer [data-testid=news]")).to_contain_text("Somebody else forgot this phone")
        expect(page.locator("[data-testid=save]")).to_be_disabled()
        expect(page.locator("#phone [data-act=assign], #phone [data-act=do]")).to_have_count(0, timeout=15_000)
        press(page, "Escape")
        page.goto(f"{live_server.url}/")  # nothing is kept that could not be saved: nobody is asked


def theirs() -> None:
    """Maria saves the same phone: another name, another password, another label, another key."""
    phone = Phone.objects.get(mac=cast.MAC)
    made = cast.draft(
        cast.blf("mpk1", "1002", "Front desk"), cast.blf("mpk7", "1007", "Mo"),
        display_name="Maria's", password="canary-of-maria", codecs=("G722", "PCMA"),
    )  # fmt: skip
    assignment.save(phone, plan.Draft(made.accounts, made.keys), by="maria", seen_host=phone.source_host)


def test_a_session_that_ends_is_said_in_the_drawer_and_what_was_typed_is_saved_after_a_new_one(
    live_server, session, administrator
):
    with browser_page(live_server.url, session, NARROW) as page:
        opened(page, live_server.url)
        page.fill("[name=account-1-display_name]", "Typed before")
        elsewhere(lambda: Session.objects.all().delete())
        page.click("[data-testid=save]")
        expect(page.locator("#drawer [data-testid=session-ended]")).to_be_in_viewport()
        made = []
        elsewhere(lambda: made.append(signed_in(administrator).cookies[settings.SESSION_COOKIE_NAME].value))
        cookies = {settings.SESSION_COOKIE_NAME: made[0], settings.CSRF_COOKIE_NAME: "b" * 32}  # as after a sign-in
        page.context.add_cookies(
            [{"name": name, "value": value, "url": live_server.url} for name, value in cookies.items()]
        )
        page.click("[data-testid=save]")
        page.wait_for_selector("[data-testid=toast-button]")
    assert Account.objects.get().display_name == "Typed before"


def test_another_persons_save_is_said_shown_and_not_lost(live_server, session):
    with browser_page(live_server.url, session) as page:
        opened(page, live_server.url)
        page.fill("[name=key-mpk1-label]", "Lobby")
        page.fill("[name=key-mpk4-value]", "1004")
        elsewhere(theirs)
        page.evaluate("document.dispatchEvent(new CustomEvent('gs:heard', { detail: { type: 'poll' } }))")
        expect(page.locator("[data-testid=news]")).to_contain_text("Saved by maria just now.")
        page.click("[data-testid=save]")  # without looking: refused, and everything that was typed stays
        expect(page.locator("[data-testid=form-problem]")).to_contain_text("saved by somebody else")
        assert page.input_value("[name=key-mpk1-label]") == "Lobby"
        page.press("[data-testid=form-problem] [data-act=show-changes]", "Enter")
        expect(page.locator("[data-testid=news]")).to_contain_text("You both changed 1 field")
        assert "canary" not in page.content()
        marked = page.locator("[data-theirs]").evaluate_all("all => all.map((one) => one.dataset.theirs)")
        values = {name: page.input_value(f"[name={name}]") for name in ("account-1-display_name", "key-mpk7-value",
                  "key-mpk4-value", "key-mpk1-label", "key-mpk2-mode")}  # fmt: skip
        expect(page.locator("[data-testid=news]")).to_be_focused()  # or no key would reach the drawer
        flagged = shown(page)["mpk1"]
        page.click('[data-theirs="key-mpk1-label"] button')
        taken = page.input_value("[name=key-mpk1-label]")
        page.click("[data-testid=save]")
        page.wait_for_selector("[data-testid=toast-button]")
    assert {
        "account-1-display_name",
        "account-1-password",
        "account-1-codecs",
        "key-mpk7-value",
        "key-mpk2-mode",
    } < set(marked)
    assert values == {
        "account-1-display_name": "Maria's", "key-mpk7-value": "1007", "key-mpk4-value": "1004",
        "key-mpk1-label": "Lobby", "key-mpk2-mode": "",
    }  # fmt: skip
    assert flagged.endswith("changed by somebody else")
    assert taken == "Front desk"
    account = Account.objects.get()
    assert (account.display_name, account.password, account.codecs) == ("Maria's", "canary-of-maria", ["G722", "PCMA"])
    assert saved_keys() == {"mpk1: blf 1002 Front desk", "mpk4: blf 1004", "mpk7: blf 1007 Mo"}


def test_hostile_labels_break_neither_the_drawing_nor_the_page(live_server, session):
    cast.seen(cast.OTHER_MAC, "10.0.0.30", model="<img src=x onerror=alert(1)>")
    faults = []
    with browser_page(live_server.url, session, NARROW) as page:
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        opened(page, live_server.url)
        for text in (
            "\U0001f600" * 64,
            "<img src=x onerror=alert(1)>",
            "\u202eabc",
            "e\u0301" * 40,
            "\U0001f469\u200d\U0001f692" * 9,
        ):
            page.fill("[name=key-mpk1-label]", text)
            label = cap(page, "mpk1").locator("[data-cap-text]")
            strip = cap(page, "mpk1").locator(".gs-cap-strip").bounding_box()
            box = label.bounding_box()
            assert text.startswith(label.text_content())
            assert box["x"] + box["width"] <= strip["x"] + strip["width"] + 1, text
        assert page.evaluate("document.documentElement.scrollWidth") == NARROW
        page.click("[data-act=close] >> nth=0")
        row = page.locator(f'tr[data-mac="{cast.OTHER_MAC}"]')
        row.click(button="right")
        assert page.locator("img[src=x]").count() == 0
    assert faults == []


def test_a_message_leaves_the_buttons_free_and_names_the_phone_that_was_saved(live_server, session):
    cast.seen(cast.OTHER_MAC, "10.0.0.30")
    with browser_page(live_server.url, session) as page:
        opened(page, live_server.url)
        assert page.locator("#drawer").bounding_box()["width"] <= 1280 * 0.63, "the list beside it can be read"
        page.fill("[name=account-1-display_name]", "Tess II")
        page.click("[data-testid=save-next]")
        toast = page.locator("[data-testid=toast]").last
        expect(toast).to_contain_text("1001 · …3B:89: Saved.")
        toast.evaluate("one => Promise.all(one.getAnimations().map(rise => rise.finished))")
        box, foot = toast.bounding_box(), page.locator("#drawer .gs-drawer-foot").bounding_box()
        assert box["y"] + box["height"] <= foot["y"]


def test_a_field_that_is_corrected_is_not_red_any_more(live_server, session):
    with browser_page(live_server.url, session) as page:
        opened(page, live_server.url)
        page.fill("[name=key-mpk1-label]", "x" * 200)
        page.click("[data-testid=save]")
        label = page.locator("[name=key-mpk1-label]")
        expect(label).to_have_attribute("aria-invalid", "true")
        expect(page.locator("[data-error-for=key-mpk1-label]")).to_contain_text("The label has 200 characters")
        label.fill("Door")
        expect(label).not_to_have_attribute("aria-invalid", "true")
        expect(page.locator("[data-error-for=key-mpk1-label]")).to_have_count(0)


def test_each_thing_of_a_key_has_one_heading_and_each_button_its_own_name(live_server, session):
    with browser_page(live_server.url, session) as page:
        opened(page, live_server.url)
        cap(page, "mpk2").click()
        assert page.get_by_text("Does", exact=True).locator("visible=true").count() == 1
        names = page.locator("#editor-mpk2 button:visible").evaluate_all("all => all.map((one) => one.innerText)")
    assert len(set(names)) == len(names) == 3
