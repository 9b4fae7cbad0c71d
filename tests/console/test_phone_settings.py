"""A phone's tab "Settings": where each value comes from, its own settings, its templates in order."""

import re

import pytest

from devices.models import Phone
from provisioning.layers import store
from provisioning.models import ConfigFile, PhoneTemplate, SettingsLayer
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_layer_pages import HOSTILE, SECRET, fields, file_of, posted, problems

pytestmark = pytest.mark.django_db
URL = f"/phones/{cast.MAC}/settings/"


def layer(level: str, name: str, **values) -> SettingsLayer:
    return store.save(store.find(level, name), values, by="otto")


@pytest.fixture
def phone(db) -> Phone:
    return cast.assigned().phone


def effective(answer, name: str) -> str:
    """The line of a setting, as text."""
    found = re.search(rf'<li data-effective="{name}">.*?</li>', answer.content.decode(), re.DOTALL)
    return re.sub(r"<[^>]+>|\s+", " ", found[0]) if found else ""


def rows(answer) -> dict[str, str]:
    """The phone's own settings as the page has them: secrets are blank."""
    words = answer.content.decode()
    names = re.findall(r'name="setting" value="(\w+)"', words)
    return {name: (re.search(rf'name="value-{name}" value="([^"]*)"', words) or ["", ""])[1] for name in names}


def save(client, templates=(), page=None, **changes):
    page = page or client.get(URL)
    own = {name: text for name, text in (rows(page) | changes).items() if text is not None}
    return client.post(URL, posted(page, "save", **own) | {"template": list(templates)})


def test_each_setting_tells_its_layer_and_what_it_overrides(console, phone):
    layer("site", "", vlan_tag="10", syslog_server="10.0.0.9", xsi_password=SECRET)
    layer("model", "GXP1628", vlan_tag="20")
    save(console, vlan_tag="30")
    page = console.get(URL)
    words = effective(page, "vlan_tag")
    assert " 30 " in words and "this phone" in words
    assert words.index("instead of 20 (model GXP1628)") < words.index("instead of 10 (default site)")
    assert "default site" in effective(page, "syslog_server")
    assert "our defaults" in effective(page, "allow_dhcp_option_43_66_override")
    assert "the assignment" in effective(page, "account1_sip_user_id")
    assert "********" in effective(page, "xsi_password") and "********" in effective(page, "account1_auth_password")
    for secret in (SECRET, cast.PASSWORD, *(file_of(phone)[name] for name in ("admin_password", "user_password"))):
        assert secret not in page.content.decode()


def test_the_phones_own_settings_become_a_new_version_and_keep_its_passwords(console, phone):
    before = file_of(phone)
    assert save(console, vlan_tag="30").status_code == 302
    after = file_of(phone)
    assert after["vlan_tag"] == "30"
    assert {name: after[name] for name in ("admin_password", "user_password")} == {
        name: before[name] for name in ("admin_password", "user_password")
    }
    newest = ConfigFile.objects.latest("number")
    assert (newest.number, newest.saved_by, newest.why) == (2, "tess", "Its own settings were changed.")
    save(console, vlan_tag=None)
    assert file_of(phone)["vlan_tag"] == "0", "it was told once, so it is told the factory's value"


def test_the_order_of_the_templates_decides(console, phone):
    layer("template", "desk", vlan_tag="1")
    layer("template", "lobby", vlan_tag="2")
    save(console, templates=["desk", "lobby", ""])
    assert file_of(phone)["vlan_tag"] == "2"
    assert "template lobby" in effective(console.get(URL), "vlan_tag")
    save(console, templates=["lobby", "desk"])
    assert file_of(phone)["vlan_tag"] == "1"
    assert list(PhoneTemplate.objects.values_list("layer__name", flat=True)) == ["lobby", "desk"]


def test_problems_stand_beside_their_fields_and_nothing_is_written(console, phone):
    answer = save(console, vlan_tag="99999", xsi_password=SECRET)
    assert answer.status_code == 422 and "vlan_tag" in problems(answer)
    assert SECRET not in answer.content.decode()
    assert ConfigFile.objects.count() == 1
    assert console.post(URL, posted(answer, "save", **(rows(answer) | {"vlan_tag": "5"}))).status_code == 302
    assert file_of(phone)["xsi_password"] == SECRET


def test_a_template_that_is_gone_is_said(console, phone):
    answer = save(console, templates=[HOSTILE])
    assert answer.status_code == 422
    assert "There is no template" in answer.content.decode() and HOSTILE not in answer.content.decode()


def test_a_save_of_what_somebody_saved_meanwhile_is_refused(console, phone):
    page = console.get(URL)
    cast.save(phone, cast.draft(display_name="Otto"))
    answer = save(console, page=page, vlan_tag="30")
    assert answer.status_code == 409 and 'value="30"' in answer.content.decode()
    assert "vlan_tag" not in file_of(phone)


def test_a_phone_that_moved_is_not_notified_where_nobody_looked(console, phone):
    page = console.get(URL)
    Phone.objects.update(source_host=cast.STRANGER)
    answer = save(console, page=page, vlan_tag="30")
    assert answer.status_code == 422 and cast.STRANGER in answer.content.decode()
    assert "vlan_tag" not in file_of(phone)


def test_a_phone_without_an_assignment_has_to_be_assigned_first(console):
    layer("site", "", vlan_tag="10")
    cast.seen()
    page = console.get(URL)
    assert 'data-testid="needs-assignment"' in page.content.decode()
    assert "default site" in effective(page, "vlan_tag")
    assert save(console, page=page, vlan_tag="30").status_code == 422
    assert not ConfigFile.objects.exists()


def test_a_phone_that_cannot_be_configured_has_a_page_all_the_same(console):
    cast.seen(model="GRP2612")
    assert "GRP2612 cannot be configured" in console.get(URL).content.decode()


def test_who_may_only_look_can_save_nothing(viewer, phone):
    looking = signed_in(viewer)
    page = looking.get(URL)
    assert "vlan_tag" not in fields(page) and 'data-testid="save"' not in page.content.decode()
    assert save(looking, page=page, vlan_tag="30").status_code == 403
    assert ConfigFile.objects.count() == 1


def test_a_lost_key_is_said(console, phone, settings):
    settings.GSPNP_FIELD_KEYS = ["b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXItb3Q="]
    assert "GSPNP_FIELD_KEYS" in console.get(URL).content.decode()
    assert console.post(URL, {"do": "save"}).status_code == 409
