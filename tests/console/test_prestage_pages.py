"""Adding a phone before it is plugged in, and swapping one for another: the pages and the commands behind them."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from devices import inventory
from devices.models import Phone
from devices.trust import Verdict
from provisioning import assignment
from tests import cast
from tests.console.conftest import signed_in, typed

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("listener")]
ADD = "/phones/add/"
SCRIPT = {"X-Requested-With": "fetch"}
EVIL = "<img src=x onerror=alert(1)>"


def run(*arguments: str, given: str = "", monkeypatch=None) -> str:
    said = io.StringIO()
    if monkeypatch is not None:
        monkeypatch.setattr("sys.stdin", io.StringIO(given))
    call_command(*arguments, stdout=said)
    return said.getvalue()


def add(console, **fields):
    return console.post(ADD, {"mac": "00-0b-82-27-3b-89", "model": "GXP1628", "site": "berlin"} | fields)


def waiting(mac: str = cast.MAC) -> Phone:
    phone = inventory.prestage(mac, "GXP1628", "berlin", "tess")
    assignment.save(phone, cast.draft(), by="tess", seen_host=None)
    return Phone.objects.get(pk=phone.pk)


class TestAdding:
    def test_a_phone_is_listed_and_leads_to_its_assignment(self, console):
        answer = add(console)
        assert answer.json()["mac"] == cast.MAC
        assert answer.json()["assign_url"] == f"/phones/{cast.MAC}/assign/"
        phone = Phone.objects.get()
        assert (phone.model, phone.site, phone.is_heard) == ("GXP1628", "berlin", False)
        saved = console.post(answer.json()["assign_url"], typed(phone), headers=SCRIPT)
        assert "as soon as it is plugged in" in saved.json()["message"]
        assert Phone.objects.get().stage == "assigned"

    @pytest.mark.parametrize(
        ("fields", "name", "words"),
        [({"mac": "000B82"}, "mac", "12 hex digits"), ({"mac": ""}, "mac", "scan it"),
         ({"mac": EVIL}, "mac", "not a hex digit"), ({"model": EVIL}, "model", "valid choice"),
         ({"model": ""}, "model", "that its label names"),
         ({"site": EVIL}, "site", "letters, digits")],
    )  # fmt: skip
    def test_what_is_wrong_stands_beside_its_field(self, console, fields, name, words):
        answer = add(console, **fields)
        assert answer.status_code == 422 and not Phone.objects.exists()
        html = answer.content.decode()
        assert f'data-error-for="{name}"' in html and words in html and EVIL not in html

    def test_no_model_is_chosen_for_the_person(self, console):
        cast.seen(cast.OTHER_MAC, "10.0.0.30", model="GXP1610")
        assert "selected" in console.get(ADD).content.decode().partition('value="GXP1610"')[0]
        assert 'value="GXP1630" selected' in console.get(ADD, {"model": "GXP1630"}).content.decode()

    def test_one_that_is_listed_already_is_said_so(self, console):
        cast.seen()
        assert "is listed already" in add(console).content.decode()

    def test_who_may_only_look_adds_nothing(self, viewer):
        browser = signed_in(viewer)
        assert browser.post(ADD, {}, headers=SCRIPT).status_code == 403
        assert b"add-phone" not in browser.get("/").content
        assert browser.get(f"/phones/{waiting().mac}/swap/").status_code == 403


class TestShowing:
    def test_the_list_and_the_page_say_that_it_was_not_heard(self, console):
        waiting()
        inventory.prestage(cast.OTHER_MAC, "GXP1610", "", "tess")
        html = console.get("/").content.decode()
        assert html.count('data-testid="not-heard"') == 2
        assert inventory.WAITS in html and "Listed" in html and "Needs attention" not in html
        page = console.get(f"/phones/{cast.MAC}/").content.decode()
        assert "listed, not heard yet" in page and "Last seen" not in page and "Restart" not in page
        assert console.get(f"/phones/{cast.OTHER_MAC}/").status_code == 200
        for tab in ("settings", "history"):
            assert console.get(f"/phones/{cast.MAC}/{tab}/").status_code == 200

    def test_sorted_by_when_they_were_seen_those_that_never_were_come_last(self, console):
        waiting()
        cast.seen(cast.OTHER_MAC, "10.0.0.30")
        for sort, first in (("-seen", cast.OTHER_MAC), ("seen", cast.MAC)):
            html = console.get(f"/?sort={sort}").content.decode()
            macs = (cast.MAC, cast.OTHER_MAC)
            assert min(macs, key=lambda mac: html.index(f'data-mac="{mac}"')) == first

    def test_programs_read_that_it_has_no_times(self, console):
        waiting()
        (row,) = console.get("/phones.json").json()
        assert (row["first_seen_at"], row["last_seen_at"], row["stage"]) == (None, None, "assigned")
        assert json.loads(run("phones", "--json")) == [row]
        assert inventory.WAITS in run("phones")

    def test_the_admin_shows_it(self, administrator):
        phone = waiting()
        browser = signed_in(administrator)
        assert browser.get("/admin/devices/phone/").status_code == 200
        assert browser.get(f"/admin/devices/phone/{phone.pk}/change/").status_code == 200

    def test_told_to_notify_it_the_console_says_what_it_waits_for(self, console):
        waiting()
        answer = console.post(f"/phones/{cast.MAC}/notify/", {"host": ""}, headers=SCRIPT)
        assert answer.status_code == 409 and "plugged in" in answer.json()["message"]


class TestAssignCommand:
    ARGUMENTS = ("assign", cast.MAC, "--user-id", "1001", "--sip-server", "10.0.0.1", "--password-stdin")

    def test_it_lists_a_phone_that_was_not_heard(self, monkeypatch):
        said = run(*self.ARGUMENTS, "--model", "gxp1628", "--site", "berlin", given="pw\n", monkeypatch=monkeypatch)
        assert "as soon as it is plugged in" in said
        phone = Phone.objects.get()
        assert (phone.model, phone.site, phone.accounts.get().password) == ("GXP1628", "berlin", "pw")

    def test_without_a_model_it_says_what_to_do(self, monkeypatch):
        with pytest.raises(CommandError, match="--model GXP1628"):
            run(*self.ARGUMENTS, given="pw\n", monkeypatch=monkeypatch)

    def test_what_is_wrong_with_the_assignment_lists_nothing(self, monkeypatch):
        with pytest.raises(CommandError, match="Not saved"):
            run(*self.ARGUMENTS, "--model", "GXP1610", "--key", "mpk1=blf:1002", given="pw\n", monkeypatch=monkeypatch)
        assert not Phone.objects.exists()


class TestSwapping:
    @pytest.fixture
    def old(self) -> Phone:
        version = cast.save(cast.seen(), cast.draft(cast.blf("mpk1", "1002", EVIL[:16]))).config_file
        cast.applied(version)
        return Phone.objects.get(pk=version.phone_id)

    def page(self, console, old: Phone, **asked) -> str:
        answer = console.get(f"/phones/{old.mac}/swap/", asked)
        assert answer.status_code == 200
        return answer.content.decode()

    def agree(self, console, old: Phone, new: Phone, **fields):
        shown = {"new": new.mac, "model": new.model, "old_version": old.version, "new_version": new.version,
                 "seen_host": new.source_host or ""}  # fmt: skip
        return console.post(f"/phones/{old.mac}/swap/", shown | fields)

    def test_phones_that_nobody_has_assigned_are_offered_the_newest_first(self, console, old, clock):
        for number in (1, 2):
            clock.forward(60)
            cast.seen(f"000B8200000{number}", f"10.0.0.5{number}")
        cast.seen("000B82000003", "10.0.0.53", model="GXP2170")
        html = self.page(console, old)
        assert 0 < html.index("000B82000002") < html.index("000B82000001")
        assert "000B82000003" not in html
        assert "000B82000001" not in self.page(console, old, q="10.0.0.52")

    def test_what_is_taken_over_and_left_behind_is_shown_and_nothing_is_done(self, console, old):
        cast.seen(cast.OTHER_MAC, "10.0.0.30", model="GXP1610")
        html = self.page(console, old, new="00:0b:82:aa:aa:aa")
        assert "Account 1: 1001 Tess" in html and "no key beside the screen" in html
        assert cast.PASSWORD not in html and EVIL[:16] not in html
        assert Phone.objects.get(pk=old.pk).stage == "applied"

    def test_agreed_to_it_is_done_and_leads_to_the_new_phone(self, console, old):
        new = cast.seen(cast.OTHER_MAC, "10.0.0.30")
        answer = self.agree(console, old, new)
        assert answer.headers["Location"] == f"/phones/{new.mac}/"
        assert "takes over from" in console.get(answer.headers["Location"]).content.decode()
        assert [one.stage for one in Phone.objects.order_by("mac")] == ["retired", "assigned"]
        page = console.get(f"/phones/{old.mac}/").content.decode()
        assert "Replaced by 00:0B:82:AA:AA:AA." in page and "Bring back" in page
        assert old.mac not in console.get("/rows/").content.decode()

    def test_a_mac_that_was_never_heard_takes_over(self, console, old):
        assert "not heard yet" in self.page(console, old, new=cast.OTHER_MAC, model="GXP1610")
        new = inventory.to_be_listed(cast.OTHER_MAC, "GXP1610", "")
        assert self.agree(console, old, new, new_version="").status_code == 302
        assert Phone.objects.get(mac=cast.OTHER_MAC).awaits_file

    @pytest.mark.parametrize("typed", ["000B82", EVIL, cast.MAC])
    def test_a_mac_that_cannot_be_it_is_refused_in_words(self, console, old, typed):
        answer = console.get(f"/phones/{old.mac}/swap/", {"new": typed})
        assert answer.status_code == 422 and b'data-testid="problem"' in answer.content
        assert EVIL not in answer.content.decode()

    def test_a_save_in_between_is_not_lost(self, console, old):
        new = cast.seen(cast.OTHER_MAC, "10.0.0.30")
        cast.save(old, cast.draft(user_id="7007"))
        answer = self.agree(console, old, new)
        assert answer.status_code == 409 and b"7007" in answer.content
        assert Phone.objects.get(pk=old.pk).stage == "assigned"

    def test_a_retired_phone_comes_back_unless_its_extension_is_anothers(self, console, old):
        new = cast.seen(cast.OTHER_MAC, "10.0.0.30")
        self.agree(console, old, new)
        back = f"/phones/{old.mac}/bring-back/"
        answer = console.post(back, headers=SCRIPT)
        assert answer.status_code == 409 and "Extension 1001 is on" in answer.json()["message"]
        inventory.forget(new.pk, "tess")
        assert console.post(back, headers=SCRIPT).status_code == 200
        assert console.post(back, headers=SCRIPT).status_code == 409

    def test_the_command_looks_first_and_does_it_with_yes(self, old):
        said = run("swap", old.mac, "00:0b:82:aa:aa:aa", "--model", "GXP1610")
        assert "Account 1: 1001 Tess" in said and "Left behind" in said and "Say --yes" in said
        assert Phone.objects.count() == 1
        assert "is retired" in run("swap", old.mac, cast.OTHER_MAC, "--model", "GXP1610", "--yes")
        assert Phone.objects.get(mac=cast.OTHER_MAC).model == "GXP1610"
        with pytest.raises(CommandError, match="retired"):
            run("swap", old.mac, "000B82CCCCCC", "--yes")


def test_a_swap_says_what_speaks_against_the_new_phones_address(console):
    """Whoever agrees confirms that address, and the passwords of the old phone go there."""
    cast.assigned()
    new = cast.seen(cast.OTHER_MAC, "10.0.0.66")
    url = f"/phones/{cast.MAC}/swap/?new={cast.OTHER_MAC}"
    assert "neighbour-mismatch" not in console.get(url).content.decode()
    inventory.raise_alarm(new.pk, "10.0.0.99 claims to be this phone.")
    with cast.neighbours_say(Verdict.MISMATCH):
        page = console.get(url).content.decode()
    assert "another device's MAC at 10.0.0.66" in page and "10.0.0.99 claims to be this phone." in page
