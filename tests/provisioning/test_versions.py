"""The history of a phone: what changed, the way back, and what is kept."""

import pytest

from provisioning import assignment, outbox, versions
from provisioning.gxp.document import values
from provisioning.layers import store
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db]


def save(phone, draft=None, **options):
    phone.refresh_from_db()
    return assignment.save(phone, draft or cast.draft(), by="tess", seen_host=phone.source_host, **options)


def said(phone) -> dict[str, str]:
    return values(bytes(outbox.current_file(phone.pk).content))


def settings_of(phone) -> dict[str, str]:
    return {name: text for name, text in said(phone).items() if not name.endswith("_server_path")}


def test_a_version_says_who_when_and_why():
    phone = cast.seen()
    save(phone)
    (entry,) = versions.history(phone)
    assert (entry.number, entry.by, entry.why, entry.current) == (1, "tess", "Saved.", True)


def test_a_diff_names_settings_and_masks_secrets():
    phone = cast.seen()
    save(phone, cast.draft(password="old-secret"))
    save(phone, cast.draft(password="new-secret", display_name="Tess II"), own={"vlan_tag": "9"})
    changes = {change.name: (change.before, change.after) for change in versions.compare(phone, 1, 2)}
    assert changes["account1_display_name"] == ("Tess", "Tess II")
    assert changes["vlan_tag"] == (None, "9")
    assert changes["account1_auth_password"] == ("********", "********")
    assert "config_server_path" not in changes


def test_a_diff_tells_that_the_servers_address_is_another_one(settings):
    phone = cast.seen()
    save(phone)
    settings.GSPNP_PHONES_PORT = 5491
    save(phone)
    (change,) = versions.compare(phone, 1, 2)
    assert (change.name, change.after) == ("server_address", f"http://{cast.OURS}:5491")
    assert change.before != change.after and versions.compare(phone, 2, 2) == []


def test_the_way_back_gives_the_old_settings_under_new_paths():
    phone = cast.seen()
    save(phone, cast.draft(cast.blf("mpk1", "1002", "Hall")), own={"vlan_tag": "9"})
    old, old_paths = settings_of(phone), said(phone)["config_server_path"]
    save(phone, cast.draft(display_name="Somebody"), own={"lldp_enable": "0"})
    store.save(store.find("site", ""), {"syslog_server": "log.example"}, by="theo")
    save(phone, cast.draft(display_name="Somebody"))
    phone.refresh_from_db()
    versions.roll_back(phone, 1, by="tess", seen_host=phone.source_host)
    assert said(phone)["config_server_path"] != old_paths
    new = settings_of(phone)
    assert {name: new.get(name) for name in old} == old
    # What the phone was told meanwhile is back at the factory's value, though a layer of today says otherwise.
    assert (new["lldp_enable"], new["syslog_server"]) == ("1", "")
    entry = versions.history(phone)[0]
    assert (entry.by, entry.why) == ("tess", "Back to version 1.")
    assert phone.accounts.get().display_name == "Tess"
    assert phone.keys.get().value == "1002"


def test_a_save_after_the_way_back_keeps_it():
    phone = cast.seen()
    save(phone, own={"vlan_tag": "9"})
    save(phone, own={"vlan_tag": "8"})
    phone.refresh_from_db()
    versions.roll_back(phone, 1, by="tess", seen_host=phone.source_host)
    assert not save(phone).changed
    assert said(phone)["vlan_tag"] == "9"


def test_there_is_no_way_back_to_what_is_gone():
    phone = cast.seen()
    save(phone)
    with pytest.raises(versions.RollbackError, match="none any more"):
        versions.roll_back(phone, 7, by="tess", seen_host=phone.source_host)
