"""Commands by keyboard on a small screen: the question before them, and what is shown after them."""

import pytest
from django.conf import settings
from django.utils import timezone

from devices.models import Phone
from gspnp.console.actions import ASKED
from provisioning.models import NotifyKind
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_commands import URL, owed_commands
from tests.console.test_in_a_browser import narrow_page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_restart_is_asked_for_by_keyboard_and_followed_on_the_phones_page(live_server, administrator, listener):
    cast.applied(cast.assigned())
    session = signed_in(administrator).cookies[settings.SESSION_COOKIE_NAME].value
    with narrow_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/")
        page.focus(f'tr[data-mac="{cast.MAC}"] [data-act=menu]')
        page.keyboard.press("Enter")
        page.wait_for_selector("#menu:not([hidden])")
        while page.evaluate("document.activeElement.dataset.do") != "reboot":
            before = page.evaluate("document.activeElement.dataset.do")
            page.keyboard.press("ArrowDown")
            assert page.evaluate("document.activeElement.dataset.do") not in ("assign", before), "the end of the menu"
        page.keyboard.press("Enter")
        page.wait_for_selector("#confirm[open]")
        no_yet = page.evaluate("document.activeElement.dataset.confirm")
        page.keyboard.press("Tab")
        with page.expect_response("**/reboot/"):
            page.keyboard.press("Enter")
        said = page.wait_for_selector("[data-testid=toast]").text_content()
        mark = page.wait_for_selector(f'tr[data-mac="{cast.MAC}"] [data-command]').text_content()
        page.goto(f"{live_server.url}{URL}")
        block = page.wait_for_selector("[data-testid=told]").text_content()
    assert no_yet == "no"
    assert str(ASKED) in said
    assert "Restart: about to be sent" in mark
    assert "Restart" in block and "Waiting to be sent" in block
    assert owed_commands() == [NotifyKind.REBOOT]


def test_what_is_not_confirmed_is_not_done(live_server, administrator, listener):
    version = cast.applied(cast.assigned())
    Phone.objects.update(alarm="It now claims 10.0.0.99.", alarm_at=timezone.now(), claimed_host=cast.STRANGER)
    session = signed_in(administrator).cookies[settings.SESSION_COOKIE_NAME].value
    asked = []
    with narrow_page(live_server.url, session) as page:
        page.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
        page.goto(f"{live_server.url}{URL}")
        for selector in ("[data-act=accept]", "[data-do=reboot]"):
            page.click(selector)
            page.wait_for_selector("#confirm[open]")
            page.keyboard.press("Escape")
            page.wait_for_selector("#confirm:not([open])", state="attached")
        page.goto(f"{live_server.url}/")
        page.click("[data-act=accept]")
        page.click("[data-confirm=no]")
    assert asked == []
    assert Phone.objects.get(pk=version.phone_id).source_host == cast.HOST
