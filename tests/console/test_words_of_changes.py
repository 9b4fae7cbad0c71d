"""The list of changes speaks words: of every deed that may be recorded, and of what differs."""

import pytest
from django.urls import resolve

from gspnp.console import actions, audit, deeds, orders
from gspnp.console.models import Change
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_layer_pages import saved
from tests.console.test_roles_and_routes import NEVER, ROUTES, path_of, rule_of

PRESSED = {"console:import_press": ("apply", "discard", "undo")}
# The administration's own, which change nothing and are answered with no redirect, or lead on.
NO_DEEDS = ("admin:index", "admin:search", "admin:view_on_site", "admin:app_list", "admin:login", "admin:logout",
            "admin:autocomplete", "admin:jsi18n", "admin/(?P<url>.*)$")  # fmt: skip


def recorded() -> set[str]:
    """Every deed that a request of the console door may be recorded as."""
    found = {*actions.ACTIONS, *(f"order {kind}" for kind in orders.DEEDS), deeds.LOCKED_OUT, "signed in", "signed out"}
    found |= {f"import_press {button}" for button in PRESSED["console:import_press"]}
    for name, pattern in ROUTES:
        if name in audit.PASSED_OVER or name in NO_DEEDS or rule_of(name, pattern)[1] == NEVER:
            continue
        if name in (*PRESSED, "console:act", "console:order") or name.endswith("_history") or name.startswith("admin/"):
            continue
        found.add(audit.deed_of(resolve(path_of(pattern))))
    return found


def test_every_deed_that_may_be_recorded_has_words():
    without = {deed for deed in recorded() if deed not in deeds.DEEDS}
    assert not without, f"say in gspnp/console/deeds.py what a person reads for: {', '.join(sorted(without))}"


def test_our_words_are_of_deeds_that_there_are():
    assert len(recorded()) > 50
    assert not any("_" in deeds.words(deed) for deed in deeds.DEEDS)


@pytest.mark.django_db
def test_rows_speak_of_no_columns_and_have_one_mask(administrator, listener):
    client = signed_in(administrator)
    cast.assigned()
    Change.objects.all().delete()
    audit.write("tess", "reveal", what="a phone", after={"name": "user_password"})
    audit.write("tess", "assign", before={"approved_host": ""}, after={
        "approved_host": "10.0.0.20", "setting: Made:admin password": "********", "account 1 password": "••••••••",
    })  # fmt: skip
    audit.write("boss", "add", what="vera", after={"is_staff": "True", "is_superuser": "False"})
    audit.write("", "locked out", what="vera")
    page = client.get("/changes/").content.decode()
    for code in ("approved_host", "Made:", "user_password", "is_staff", "is_superuser", "True", "****", "setting:"):
        assert code not in page, code
    for words in ("confirmed address", "Admin password, made at random", "User password", "may sign in", "yes"):
        assert words in page, words
    locked = page.partition("was locked out")[0].rpartition('data-testid="change"')[2]
    assert "vera" in locked and "–" not in locked


@pytest.mark.django_db
def test_settings_of_the_default_site_are_told_as_its(administrator, listener):
    client = signed_in(administrator)
    assert saved(client, "/settings/layer/?level=site&name=", vlan_tag="7").status_code == 302
    page = client.get("/changes/").content.decode()
    assert "changed settings of the default site" in " ".join(page.split())
