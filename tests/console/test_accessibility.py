"""axe-core looks at every page, in dark and in light: nothing serious and nothing critical.

What stands in EXCEPT belongs to unfold's templates, which we do not copy; each has its reason.
"""

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.utils import timezone
from playwright.sync_api import Page

from devices import alarms, decoys
from devices.choices import AlarmKind
from devices.models import Phone
from provisioning.jobs import runner
from provisioning.layers import store
from provisioning.models import Job
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_settings_in_a_browser import NARROW, browser_page
from tests.support.browser import pages_at_rest

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
EXCEPT: dict[str, str] = {}
THEMES = ("light", "dark")
MOST_PAGES = ("light", pytest.param("dark", marks=pytest.mark.long))  # dark: the rows, the menu and the drawer
GRAVE = ("serious", "critical")


@pytest.fixture(autouse=True)
def loopback_only(settings):
    """The doctor asks nobody outside."""
    settings.GSPNP_PNP_INTERFACES, settings.GSPNP_PNP_PORT, settings.GSPNP_PHONES_PORT = ["lo"], 5998, 5999


@pytest.fixture
def session(live_server, administrator, listener) -> str:
    return signed_in(administrator).cookies[settings.SESSION_COOKIE_NAME].value


@pytest.fixture
def furnished(session) -> str:
    """One phone applied, with two versions and an alarm; one seen; one stuck; a layer and a job with a failure."""
    version = cast.applied(cast.assigned())
    cast.save(Phone.objects.get(mac=cast.MAC), cast.draft(cast.blf("mpk1", "1002", "Otto"), display_name="Otto"))
    cast.seen(cast.OTHER_MAC, "10.0.0.30")
    stuck = cast.assigned("000B82CCCCCC", "10.0.0.40")
    Phone.objects.filter(pk=stuck.phone_id).update(stage_reason="It did not answer our NOTIFY: it may be off.")
    now = timezone.now()
    Phone.objects.filter(mac=cast.MAC).update(
        alarm="It now claims 10.0.0.99.", alarm_at=now, claimed_host=cast.STRANGER, online=True, online_at=now, rtt_ms=2
    )
    alarms.raise_alarm(AlarmKind.NAMES, "10.0.0.66", count=40)
    decoys.add("000B82DEC001", by="tess")
    store.save(store.find("site", "berlin"), {"country": "DE", "vlan_tag": "42"}, by="tess")
    job = runner.start("Settings of site berlin", {}, by="tess")
    job.failures.create(phone=version.phone, field="setting.vlan_tag", message="Out of range.")
    return session


def findings(page: Page, *context: str) -> list[str]:
    """What axe finds grave, with the element and what it says of it."""
    page.wait_for_load_state("networkidle")
    options = {"resultTypes": ["violations"], "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
    found = Axe().run(page, context={"exclude": [[selector] for selector in EXCEPT]}, options=options)
    return [
        f"{one['impact']} {one['id']}: {node['html'][:220]} ({node['failureSummary'][:300]})"
        for one in found.response["violations"]
        if one["impact"] in GRAVE
        for node in one["nodes"]
    ]


def look(url: str, session: str, theme: str, paths: dict[str, str]) -> dict[str, list[str]]:
    """The findings of these pages by their names."""
    found = {}
    with browser_page(url, session, color_scheme=theme, reduced_motion="reduce") as page:
        pages = pages_at_rest(page.context, [f"{url}{path}" for path in paths.values()])
        for name, (one, _) in zip(paths, pages, strict=True):
            found[name] = findings(one)
    return found


def nothing_grave(found: dict[str, list[str]]) -> None:
    lines = [f"{name}: {words}" for name, said in found.items() for words in said]
    assert not lines, "\n".join(lines)


@pytest.mark.parametrize("theme", MOST_PAGES)
def test_an_empty_installation(live_server, session, theme):
    paths = {"list": "/", "overview": "/overview/", "jobs": "/jobs/", "settings": "/settings/"}
    nothing_grave(look(live_server.url, session, theme, paths))


@pytest.mark.parametrize("theme", MOST_PAGES)
def test_pages_of_the_console(live_server, furnished, theme):
    phone = f"/phones/{cast.MAC}/"
    paths = {
        "list": "/", "nothing found": "/?q=zzz", "overview": "/overview/", "phone": phone,
        "history": f"{phone}history/?before=1&after=2", "its settings": f"{phone}settings/", "settings": "/settings/",
        "layer": "/settings/layer/?level=site&name=berlin", "opinions": "/settings/opinions/", "jobs": "/jobs/",
        "job": f"/jobs/{Job.objects.get().pk}/", "firmware": "/firmware/", "phonebook": "/phonebook/",
        "doctor": "/doctor/", "listeners": "/listeners/", "alarms": "/alarms/", "people": "/people/",
        "changes": "/changes/",
    }  # fmt: skip
    nothing_grave(look(live_server.url, furnished, theme, paths))


@pytest.mark.parametrize("theme", THEMES)
def test_rows_that_are_new_or_selected_or_have_the_focus(live_server, furnished, theme):
    with browser_page(live_server.url, furnished, color_scheme=theme, reduced_motion="reduce") as page:
        page.goto(live_server.url)
        page.keyboard.press("ArrowDown")
        found = {"focus": findings(page)}
        page.keyboard.press("Control+a")
        found["selected"] = findings(page)
        page.keyboard.press("Escape")
        page.evaluate("document.querySelectorAll('.gs-row').forEach((row) => row.classList.add('gs-new'))")
        found["new"] = findings(page)
        page.reload()
        found["changed"] = flashing(page)
        page.set_viewport_size({"width": NARROW, "height": 800})
        found["changed, narrow"] = flashing(page)
    assert found == dict.fromkeys(("focus", "selected", "new", "changed", "changed, narrow"), [])


def flashing(page: Page) -> list[str]:
    """What axe finds while the cells light up that have just changed: at the beginning, when they are lightest."""
    page.add_style_tag(content=".gs-row, .gs-row > * { animation-play-state: paused !important; }")
    page.emulate_media(reduced_motion="no-preference")
    marked = ".gs-row :is(.gs-col-stage, .gs-col-extension, .gs-col-address)"
    page.evaluate(f"document.querySelectorAll('{marked}').forEach((cell) => cell.classList.add('gs-flash'))")
    assert page.evaluate("document.getAnimations().some((one) => one.animationName === 'gs-flash')")
    return findings(page)


@pytest.mark.parametrize("theme", THEMES)
def test_the_list_with_its_menu_and_its_drawer(live_server, furnished, theme):
    found = {}
    with browser_page(live_server.url, furnished, color_scheme=theme, reduced_motion="reduce") as page:
        page.goto(f"{live_server.url}/")
        page.click(f'tr[data-mac="{cast.MAC}"]', button="right")
        page.wait_for_selector("[role=menu]:visible")
        found["menu"] = findings(page)
        page.keyboard.press("Escape")
        page.click(f'tr[data-mac="{cast.MAC}"] [data-act=assign]')
        page.wait_for_selector("#drawer [name='account-1-user_id']")
        found["drawer"] = findings(page)
        page.fill("#drawer [name='account-1-user_id']", "10 01 <>")
        page.fill("#drawer [name='account-1-sip_server']", "no server")
        page.click("#drawer [type=submit]")
        page.wait_for_selector("#drawer [aria-invalid=true]")
        found["drawer with errors"] = findings(page)
    nothing_grave(found)


@pytest.mark.parametrize("theme", MOST_PAGES)
def test_signing_in_and_the_admin(live_server, furnished, theme):
    phone = Phone.objects.get(mac=cast.MAC).pk
    paths = {
        "admin": "/admin/devices/phone/", "phone": f"/admin/devices/phone/{phone}/change/",
        "forget": f"/admin/devices/phone/{phone}/delete/", "history": f"/admin/devices/phone/{phone}/history/",
        "events": "/admin/devices/liveevent/", "listeners": "/admin/sipmcast/listenerstatus/",
        "user": "/admin/auth/user/add/",
    }  # fmt: skip
    found = look(live_server.url, furnished, theme, paths)
    with browser_page(live_server.url, furnished, color_scheme=theme) as page:
        page.goto(f"{live_server.url}/admin/devices/phone/")
        page.check("#action-toggle")
        page.evaluate("""document.querySelector("select[name=action]").value = "set_sip_server";
                         document.getElementById("changelist-form").submit()""")
        page.wait_for_selector("[data-testid=bulk-form]")
        found["bulk change"] = findings(page)
        page.fill("[name=value]", "no server")
        page.click("[name=apply]")
        page.wait_for_selector("[data-testid=bulk-form] [role=alert]")
        found["bulk change refused"] = findings(page)
        page.context.clear_cookies()
        page.goto(f"{live_server.url}/admin/login/")
        found["sign in"] = findings(page)
    nothing_grave(found)
