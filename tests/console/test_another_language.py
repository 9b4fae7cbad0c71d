"""A language is its catalogues and nothing else: the pages, what the scripts say, and times follow the reader."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import expect

from devices.models import LiveEvent
from provisioning.layers import store
from provisioning.models import SettingsLayer
from tests import cast
from tests.console.test_settings_in_a_browser import browser_page, session  # noqa: F401
from tests.support.translation import write_catalogue

PAGES = {
    "Settings in layers": "Einstellungen in Schichten",
    "%(number)s setting\0%(number)s settings": "%(number)s Einstellung\0%(number)s Einstellungen",
    "Restart": "Neustart",
    "Seen": "Gesehen",
    "This phone has no configuration yet. Assign it first.": "Dieses Telefon hat noch keine Konfiguration.",
}
SCRIPTS = {
    "{count} setting\0{count} settings": "{count} Einstellung\0{count} Einstellungen",
    "{setting} is removed.": "{setting} ist entfernt.",
}


@pytest.fixture
def german(settings, tmp_path) -> None:
    """The console in a language that has a few texts; the rest stays in English."""
    write_catalogue(tmp_path, "de", "django", PAGES)
    write_catalogue(tmp_path, "de", "djangojs", SCRIPTS)
    settings.LOCALE_PATHS = [Path(tmp_path)]
    settings.LANGUAGES = [("en", "English"), ("de", "Deutsch")]


def get(client: Client, address: str, language: str) -> str:
    return client.get(address, headers={"accept-language": language}).content.decode()


@pytest.mark.django_db
def test_pages_and_scripts_speak_the_language_that_the_browser_asks_for(console, german):
    store.save(store.find("site", ""), {"vlan_tag": "9"}, by="otto")
    page = get(console, "/settings/", "de-AT, en;q=0.5")
    assert '<html lang="de"' in page and "Einstellungen in Schichten" in page and ">1 Einstellung<" in page
    assert "There is none yet." in page, "what is not translated is said in English"
    assert "Einstellungen" in get(console, "/words.js", "de") and "Einstellungen" not in get(console, "/words.js", "en")
    assert "Settings in layers" in get(console, "/settings/", "fr")


@pytest.mark.django_db
def test_a_refusal_is_said_in_the_readers_language_and_what_is_stored_in_english(console, german):
    phone = cast.seen()
    asked = {"data": {"host": cast.HOST}, "headers": {"accept-language": "de", "x-requested-with": "fetch"}}
    refusal = console.post(f"/phones/{phone.mac}/notify/", **asked)
    assert refusal.json()["message"] == "Dieses Telefon hat noch keine Konfiguration."
    cast.save(phone)
    assert console.post(f"/phones/{phone.mac}/reboot/", **asked).status_code == 200
    assert "Restart: asked for by tess." in LiveEvent.objects.values_list("text", flat=True)


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_scripts_and_times_are_in_the_pages_language(live_server, german, administrator, listener, session):  # noqa: F811
    store.save(store.find("site", "berlin"), {"vlan_tag": "9", "syslog_server": "10.0.0.9"}, by="otto")
    SettingsLayer.objects.update(changed_at=timezone.now() - timedelta(days=1))
    with browser_page(live_server.url, session, locale="de-DE") as page:
        page.goto(f"{live_server.url}/settings/layer/?level=site&name=berlin")
        expect(page.locator("[data-count]")).to_have_text("2 Einstellungen")
        page.locator("[data-testid=setting-vlan_tag] [data-act=remove]").click()
        expect(page.locator("[data-count]")).to_have_text("1 Einstellung")
        expect(page.get_by_test_id("live-region")).to_contain_text("VLAN tag ist entfernt.")
        expect(page.locator("time").first).to_have_text("gestern")
