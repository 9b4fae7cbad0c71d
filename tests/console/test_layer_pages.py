"""The pages of the layers: what a change would do is shown first, nothing typed is lost, no secret is ever shown."""

import html
import re

import pytest
from django.test import Client

from devices.models import Phone
from provisioning.gxp.catalogue import SETTINGS
from provisioning.gxp.pvalues import COMPUTED, OWNED
from provisioning.jobs import runner
from provisioning.layers import store
from provisioning.models import ConfigFile, Job, Notify, SettingsLayer
from provisioning.rendering import texts_of
from tests import cast
from tests.console.conftest import person, signed_in

pytestmark = pytest.mark.django_db
SITE = "/settings/layer/?level=site&name="
SECRET = "hush-canary"
HOSTILE = "<script>alert(1)</script>"


def fields(answer) -> dict[str, str]:
    """The hidden fields that a browser would send back with the next button."""
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', answer.content.decode())
    return {name: html.unescape(value) for name, value in found if name not in ("setting", "csrfmiddlewaretoken")}


def posted(answer, do: str, **values) -> dict:
    """A form as a browser posts it: every name in `values` is a row, `alone` names the rows to leave alone."""
    alone = values.pop("alone", ())
    rows = {
        name: text for name, text in values.items() if name not in ("country", "iana_time_zone", "q", "note", "pace")
    }
    rest = {name: text for name, text in values.items() if name in ("q", "note", "pace")}
    shorthands = {f"value-{name}": values.get(name, "") for name in ("country", "iana_time_zone")}
    return (
        fields(answer) | shorthands | {f"value-{name}": text for name, text in rows.items()}
        | {f"alone-{name}": "on" for name in alone} | {"setting": list(rows), "do": do} | rest
    )  # fmt: skip


def previewed(client: Client, url: str = SITE, **values):
    return client.post(url, posted(client.get(url), "preview", **values))


def saved(client: Client, url: str = SITE, **values):
    """Through the preview, as a person does."""
    seen = previewed(client, url, **values)
    assert seen.status_code == 200, problems(seen)
    return client.post(url, fields(seen) | {"do": "save", "pace": "300"})


def problems(answer) -> dict[str, str]:
    """What stands beside each field, by its name."""
    found = re.findall(r'<p class="gs-error"[^>]*data-error-for="([^"]+)">([^<]*)<', answer.content.decode())
    return {name: html.unescape(words) for name, words in found}


def said(level: str = "site", name: str = "") -> dict:
    return dict(store.find(level, name).values)


def file_of(phone: Phone) -> dict:
    return dict(texts_of(ConfigFile.objects.filter(phone=phone).order_by("-number").first()))


def test_who_has_lost_staff_status_uses_the_console_no_more(console, technician):
    technician.is_staff = False
    technician.save()
    page = console.get(SITE)
    assert page.status_code == 403 and "May sign in” is switched off" in page.content.decode()
    asked = console.post(SITE, headers={"X-Requested-With": "fetch"})
    assert asked.status_code == 403 and "Ask an administrator" in asked.json()["message"]


def test_only_who_may_change_phones_may_change_a_layer(viewer, console):
    stranger, looking = signed_in(person("nobody")), signed_in(viewer)
    for url in ("/settings/", SITE, "/settings/opinions/", "/settings/catalogue/?q=vlan"):
        assert stranger.get(url).status_code == 403
        assert looking.get(url).status_code == console.get(url).status_code == 200
    assert looking.post(SITE, posted(looking.get(SITE), "preview", vlan_tag="7")).status_code == 403
    assert looking.get("/settings/row/?name=vlan_tag").status_code == 403
    assert 'data-testid="preview"' not in looking.get(SITE).content.decode()


def test_a_preview_counts_the_phones_and_writes_nothing(console):
    cast.assigned()
    cast.assigned(cast.OTHER_MAC, "10.0.0.30")
    Phone.objects.filter(mac=cast.OTHER_MAC).update(site="berlin")
    cast.seen("000B82AAAA01", "10.0.0.31")
    words = previewed(console, country="DE", vlan_tag="7").content.decode()
    assert "touches 1 of 1 phone" in words
    assert "00:0B:82:27:3B:89" in words and "00:0B:82:AA:AA:AA" not in words
    assert not SettingsLayer.objects.filter(level="site").exists()
    assert not Job.objects.exists()


def test_saving_stores_the_layer_and_its_phones_get_a_new_version(console):
    version = cast.fetched(cast.assigned())
    answer = saved(console, country="DE", vlan_tag="7", note="all of us")
    job = Job.objects.get()
    assert answer.status_code == 302 and answer["Location"] == f"/jobs/{job.pk}/"
    layer = SettingsLayer.objects.get(level="site")
    assert (layer.values, layer.changed_by, layer.note) == ({"country": "DE", "vlan_tag": "7"}, "tess", "all of us")
    runner.run.call(job.pk)
    texts = file_of(version.phone)
    assert (texts["vlan_tag"], texts["display_language"]) == ("7", "de")
    newest = ConfigFile.objects.order_by("-number").first()
    assert (newest.number, newest.saved_by) == (2, "tess")
    assert Notify.objects.get(state="waiting").config_file_id == newest.pk


def test_the_list_counts_settings_and_phones(console):
    cast.assigned()
    saved(console, vlan_tag="7", disable_ssh="1")
    line = re.search(r"<b>Default site</b>.*?</li>", console.get("/settings/").content.decode(), re.DOTALL)[0]
    words = re.sub(r"<[^>]+>|\s+", " ", line)
    assert "2 settings" in words and "1 phone " in words and "tess" in words


def test_every_problem_stands_beside_its_field_and_what_was_typed_stays(console):
    answer = previewed(
        console, vlan_tag="99999", mtu="", syslog_server="two words", disable_ssh="", iana_time_zone="Europe/Nowhere"
    )
    assert answer.status_code == 422
    assert problems(answer).keys() == {"vlan_tag", "mtu", "syslog_server", "disable_ssh", "iana_time_zone"}
    words = answer.content.decode()
    for text in ("99999", "two words", "Europe/Nowhere"):
        assert f'value="{text}"' in words
    assert not SettingsLayer.objects.exists()


def test_a_secret_is_kept_through_every_step_and_never_shown(console):
    answer = previewed(console, xsi_password=SECRET, vlan_tag="99999")
    assert answer.status_code == 422 and SECRET not in answer.content.decode()
    # The field comes back empty, as every password field does; what was typed went along.
    seen = console.post(SITE, posted(answer, "preview", xsi_password="", vlan_tag="9"))
    assert seen.status_code == 200 and SECRET not in seen.content.decode()
    back = console.post(SITE, fields(seen) | {"do": "back"})
    assert SECRET not in back.content.decode() and 'value="9"' in back.content.decode()
    seen = console.post(SITE, posted(back, "preview", xsi_password="", vlan_tag="9"))
    assert console.post(SITE, fields(seen) | {"do": "save", "pace": "300"}).status_code == 302
    assert said() == {"xsi_password": SECRET, "vlan_tag": "9"}
    page = console.get(SITE).content.decode()
    assert SECRET not in page and "stored; blank keeps it" in page
    saved(console, xsi_password="", vlan_tag="10")
    assert said() == {"xsi_password": SECRET, "vlan_tag": "10"}


def test_a_secret_that_nobody_typed_is_asked_for(console):
    answer = previewed(console, xsi_password="")
    assert answer.status_code == 422 and "Type it" in problems(answer)["xsi_password"]


def test_leave_alone_and_removed_are_two_things(console):
    version = cast.assigned()
    saved(console, vlan_tag="7", allow_dhcp_option_43_66_override="", alone=("allow_dhcp_option_43_66_override",))
    assert said() == {"vlan_tag": "7", "allow_dhcp_option_43_66_override": None}
    runner.run.call(Job.objects.latest("pk").pk)
    assert "allow_dhcp_option_43_66_override" not in file_of(version.phone)
    answer = console.post(SITE, posted(console.get(SITE), "remove:allow_dhcp_option_43_66_override", vlan_tag="7",
                                       allow_dhcp_option_43_66_override=""))  # fmt: skip
    assert 'data-setting="vlan_tag"' in answer.content.decode()
    assert 'data-setting="allow_dhcp_option_43_66_override"' not in answer.content.decode()
    saved(console, vlan_tag="7")
    assert said() == {"vlan_tag": "7"}


def test_a_draft_is_of_one_person_and_one_layer(console, administrator):
    seen = previewed(console, vlan_tag="7")
    stolen = fields(seen) | {"do": "save", "pace": "300"}
    signed_in(administrator).post(SITE, stolen)
    console.post("/settings/layer/?level=model&name=GXP1628", stolen)
    console.post(SITE, stolen | {"draft": "AAAA"})
    assert not SettingsLayer.objects.exists()


def test_what_somebody_else_saved_meanwhile_is_not_overwritten(console):
    seen = previewed(console, vlan_tag="7")
    store.save(store.find("site", ""), {"mtu": "1400"}, by="otto")
    answer = console.post(SITE, fields(seen) | {"do": "save", "pace": "300"})
    assert answer.status_code == 409
    words = answer.content.decode()
    assert "otto changed this layer" in words and 'value="7"' in words
    assert said() == {"mtu": "1400"}
    seen = console.post(SITE, posted(answer, "preview", vlan_tag="7"))
    assert "1400" in seen.content.decode(), "what would go is shown before it goes"


def test_adding_a_row_does_not_hide_that_somebody_else_saved(console):
    page = console.get(SITE)
    store.save(store.find("site", ""), {"mtu": "1400"}, by="otto")
    grown = console.post(SITE, posted(page, "add:vlan_tag"))
    assert console.post(SITE, posted(grown, "preview", vlan_tag="7")).status_code == 409


@pytest.mark.parametrize("pace", ["0", "60000", "nan", "soon", ""])
def test_a_pace_that_is_none_is_refused_and_the_draft_stays(console, pace):
    cast.assigned()
    seen = previewed(console, vlan_tag="7")
    answer = console.post(SITE, fields(seen) | {"do": "save", "pace": pace})
    assert answer.status_code == 422 and 'id="pace-problem"' in answer.content.decode()
    assert not SettingsLayer.objects.filter(level="site").exists() and not Job.objects.exists()
    assert console.post(SITE, fields(answer) | {"do": "save", "pace": "7,5"}).status_code == 302
    assert Job.objects.get().pace_per_minute == 7.5


def test_settings_are_found_and_added_without_a_script(console):
    page = console.get(SITE)
    found = console.post(SITE, posted(page, "enter", q="P51", mtu="1400"))
    assert 'value="add:vlan_tag"' in found.content.decode()
    grown = console.post(SITE, posted(found, "add:vlan_tag", mtu="1400")).content.decode()
    assert 'id="value-vlan_tag"' in grown and 'value="1400"' in grown


def test_a_raw_p_code_is_taken_with_a_warning(console):
    row = console.get("/settings/row/?name=p8765")
    assert row.status_code == 200
    assert "nothing checks what it does" in row.content.decode()
    saved(console, P8765="x1")
    assert said() == {"P8765": "x1"}
    assert 'value="x1"' not in console.get(SITE).content.decode(), "nobody knows whether it is a password"


def test_what_belongs_to_the_assignment_says_so(console):
    for name in ("account1_sip_user_id", "P35", "mpk1_value", "no_such_thing"):
        assert console.get("/settings/row/", {"name": name}).status_code == 422
    assert "phone's accounts" in console.get("/settings/row/?name=P35").json()["message"]


def test_names_of_layers_are_checked(console):
    for level, name in (("site", "two words"), ("model", "T46"), ("template", ""), ("phone", "x"), ("", "")):
        answer = console.get("/settings/layer/", {"level": level, "name": name})
        assert answer.status_code == 422 and 'role="alert"' in answer.content.decode()


def test_a_template_goes_only_when_no_phone_has_it(console):
    url = "/settings/layer/?level=template&name=desk"
    saved(console, url, vlan_tag="7")
    phone = cast.assigned().phone
    template = SettingsLayer.objects.get(level="template")
    template.phones.create(phone=phone, place=0)
    assert console.post(url, posted(console.get(url), "delete")).status_code == 409
    template.phones.all().delete()
    assert console.post(url, posted(console.get(url), "delete")).status_code == 302
    assert not SettingsLayer.objects.filter(level="template").exists()


def test_hostile_texts_are_only_text(console):
    url = "/settings/layer/?level=template&name=" + HOSTILE
    saved(console, url, ldap_base=HOSTILE, note=HOSTILE)
    answer = console.post(url, posted(console.get(url), "search", q=HOSTILE, ldap_base=HOSTILE))
    for page in (console.get(url), console.get("/settings/"), previewed(console, url, ldap_base=HOSTILE * 2), answer):
        assert HOSTILE not in page.content.decode()
        assert "&lt;script&gt;" in page.content.decode()


def test_a_lost_key_is_said_and_breaks_no_page(console, settings):
    saved(console, vlan_tag="7")
    settings.GSPNP_FIELD_KEYS = ["b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXItb3Q="]
    assert "cannot be opened" in console.get("/settings/").content.decode()
    for url in (SITE, "/settings/opinions/"):
        assert "GSPNP_FIELD_KEYS" in console.get(url).content.decode()
        assert console.post(url, {"do": "preview"}).status_code == 409


def test_a_layer_that_says_everything_fits_into_one_form(console):
    texts = {name: one.default for name, one in SETTINGS.items() if name not in OWNED and name not in COMPUTED}
    answer = previewed(console, **(texts | {"vlan_tag": "99999"}))
    assert answer.status_code == 422 and "vlan_tag" in problems(answer)
    assert answer.content.decode().count('<li class="gs-setting') == len(texts) > 400


@pytest.mark.parametrize("name", ["ldap_password", "admin_password"])
def test_no_preview_tells_whether_a_secret_is_right_to_whom_it_is_hidden(console, name):
    chief = signed_in(person("chief", "view_phone", "change_phone", "reveal_secret", is_staff=True))
    cast.assigned()
    stored, guess = "Hush1canary", "Another2guess"
    assert saved(console, **{name: stored}).status_code == 302
    runner.run.call(Job.objects.get().pk)

    def told(browser, guess: str) -> list[str]:
        """The preview; the same after a way back; and the one of a refused pace."""
        seen = previewed(browser, **{name: guess})
        back = browser.post(SITE, fields(seen) | {"do": "back"})
        again = browser.post(SITE, posted(back, "preview", **{name: ""}))
        refused = browser.post(SITE, fields(again) | {"do": "save", "pace": "nonsense"})
        forms = [one.content.decode().partition('data-testid="preview-form"')[2] for one in (seen, again, refused)]
        return [
            re.sub(r'(csrfmiddlewaretoken|draft)" value="[^"]*"', "", form).partition("</form>")[0] for form in forms
        ]

    right, wrong = told(console, stored), told(console, guess)
    assert right == wrong
    assert all('data-touched="1"' in words for words in right)
    assert 'data-touched="0"' in told(chief, stored)[0], "whoever may look at passwords is told"
