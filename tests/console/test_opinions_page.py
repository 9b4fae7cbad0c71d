"""The page of our opinions: all of them, each with its reason and a switch that is a value of the site's layer."""

import re

import pytest

from provisioning.gxp.pvalues import GENERATED, KEEPS_OUT, OPINIONS
from provisioning.jobs import runner
from provisioning.layers import store
from provisioning.models import Job, SettingsLayer
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_layer_pages import fields, file_of, said

pytestmark = pytest.mark.django_db
URL = "/settings/opinions/"
DHCP = "allow_dhcp_option_43_66_override"


def switched_off(answer) -> set[str]:
    return set(re.findall(r'name="alone" value="(\w+)" checked', answer.content.decode()))


def switch(console, *names: str, url: str = URL):
    """Set exactly these switches, look at the preview, save."""
    seen = console.post(url, fields(console.get(url)) | {"alone": names})
    assert seen.status_code == 200
    action = re.search(r'action="(/settings/layer/[^"]*)"', seen.content.decode())[1].replace("&amp;", "&")
    return seen, console.post(action, fields(seen) | {"do": "save", "pace": "300"})


def test_every_opinion_is_listed_with_its_reason(console):
    words = console.get(URL).content.decode()
    for name in (*OPINIONS, *GENERATED):
        assert f'data-testid="opinion-{name}"' in words
    for why in (*(opinion.why for opinion in OPINIONS.values()), *GENERATED.values()):
        assert why.replace("'", "&#x27;") in words


def test_whom_a_default_keeps_out_is_said_beside_its_switch(console):
    words = console.get(URL).content.decode()
    for name, whom in KEEPS_OUT.items():
        line = words.partition(f'data-testid="opinion-{name}"')[2].partition("</li>")[0]
        assert whom.replace("'", "&#x27;") in line


def test_what_closes_a_phone_comes_first_as_a_group(console):
    words = console.get(URL).content.decode()
    assert "<h3>Safety</h3>" in words
    assert set(re.findall(r'data-testid="opinion-(\w+)"', words)[: len(KEEPS_OUT)]) == set(KEEPS_OUT)


def test_a_switch_takes_it_out_of_the_files_of_the_site_and_back(console):
    version = cast.assigned()
    assert file_of(version.phone)[DHCP] == "0"
    seen, _ = switch(console, DHCP)
    assert "touches 1 of 1" in seen.content.decode()
    assert said() == {DHCP: None} and switched_off(console.get(URL)) == {DHCP}
    runner.run.call(Job.objects.latest("pk").pk)
    assert DHCP not in file_of(version.phone)
    switch(console)
    assert said() == {} and switched_off(console.get(URL)) == set()
    runner.run.call(Job.objects.latest("pk").pk)
    assert file_of(version.phone)[DHCP] == "0"


def test_other_settings_of_the_site_stay(console):
    store.save(store.find("site", "berlin"), {"vlan_tag": "7", "admin_password": "Hush1"}, by="otto")
    url = f"{URL}?site=berlin"
    assert "This site says instead: ********" in console.get(url).content.decode()
    switch(console, DHCP, "user_password", url=url)
    assert said("site", "berlin") == {"vlan_tag": "7", "admin_password": "Hush1", DHCP: None, "user_password": None}
    assert not SettingsLayer.objects.filter(level="site", name="").exists()


def test_switches_set_on_an_old_page_change_nothing(console):
    old = fields(console.get(URL)) | {"alone": [DHCP]}
    store.save(store.find("site", ""), {"vlan_tag": "7"}, by="otto")
    assert console.post(URL, old).status_code == 409


def test_the_switches_of_the_environment_are_said(console, settings):
    settings.GSPNP_OPINIONS_OFF = [DHCP]
    assert "GSPNP_OPINIONS_OFF" in console.get(URL).content.decode()


def test_who_may_only_look_cannot_switch(viewer):
    looking = signed_in(viewer)
    assert looking.post(URL, fields(looking.get(URL)) | {"alone": [DHCP]}).status_code == 403
