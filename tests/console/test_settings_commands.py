"""`manage.py settings`, `jobs` and `versions`: what the pages do, at a terminal."""

import getpass
import io
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from devices import directory
from devices.directory import Entry
from devices.models import LiveEvent
from provisioning.jobs import runner
from provisioning.layers import store
from provisioning.models import ConfigFile, Job, SettingsLayer
from sipmcast.models import ListenerStatus
from tests import cast
from tests.console.test_layer_pages import SECRET, file_of, said

pytestmark = pytest.mark.django_db
BERLIN = "site:berlin"


def run(*words: str, stdin: str | None = None) -> str:
    """A command's output, with its warnings."""
    out = io.StringIO()
    with patch("sys.stdin", io.StringIO(stdin or "")):
        call_command(*words, stdout=out, stderr=out)
    return out.getvalue()


def line(output: str, name: str) -> str:
    return next((one for one in output.splitlines() if one.startswith(name)), "")


@pytest.fixture(autouse=True)
def listener_in_berlin(db):
    now = timezone.now()
    ListenerStatus.objects.create(name="b", site="berlin", started_at=now, heartbeat_at=now)


@pytest.fixture
def phone(db):
    return cast.assigned().phone


# --- settings -----------------------------------------------------------------------------------------------------


def test_settings_are_looked_up_by_name_and_p_code():
    assert "0 to 4094" in line(run("settings", "--search", "vlan tag"), "vlan_tag")
    assert line(run("settings", "--search", "P51"), "vlan_tag")
    assert "0=off 1=on" in line(run("settings", "--search", "lldp"), "lldp_enable")
    with pytest.raises(CommandError, match="No setting fits"):
        run("settings", "--search", "no such thing")


def test_a_phones_settings_come_with_their_layer_and_masked(phone):
    store.save(store.find("site", ""), {"vlan_tag": "10", "xsi_password": SECRET}, by="otto")
    store.save(store.find("model", "GXP1628"), {"vlan_tag": "20"}, by="otto")
    output = run("settings", cast.MAC.lower())
    assert line(output, "vlan_tag").split() == ["vlan_tag", "20", "model", "GXP1628"]
    assert "instead of" not in output
    assert "instead of 10 (default site)" in run("settings", cast.MAC, "--explain")
    for secret in (SECRET, cast.PASSWORD, file_of(phone)["admin_password"]):
        assert secret not in output


def test_one_password_is_printed_and_the_timeline_says_so(phone):
    assert run("settings", cast.MAC, "--reveal", "admin_password").strip() == file_of(phone)["admin_password"]
    assert (
        f"{getpass.getuser()} (command line) looked at the admin password." in LiveEvent.objects.get(kind="looked").text
    )
    with pytest.raises(CommandError, match="Only these"):
        run("settings", cast.MAC, "--reveal", "account1_auth_password")


def test_a_layer_is_changed_after_saying_what_it_touches(phone):
    phone.site = "berlin"
    phone.save()
    output = run("settings", "--layer", BERLIN, "--yes", "set", "country=DE", "P51=7", "leave", "config_file_prefix")
    assert "vlan_tag: not said -> 7" in output and "touches 1 of 1 phones" in output
    assert said("site", "berlin") == {"country": "DE", "vlan_tag": "7", "config_file_prefix": None}
    assert SettingsLayer.objects.get(level="site").changed_by == f"{getpass.getuser()} (command line)"
    runner.run.call(Job.objects.get().pk)
    assert file_of(phone)["vlan_tag"] == "7" and "config_file_prefix" not in file_of(phone)
    run("settings", "--layer", BERLIN, "--yes", "unset", "country", "config_file_prefix", "set", "vlan_tag=8")
    assert said("site", "berlin") == {"vlan_tag": "8"}
    assert line(run("settings", "--layer", BERLIN), "vlan_tag").split() == ["vlan_tag", "8"]
    assert "site:berlin" in run("settings")


def test_a_secret_comes_by_standard_input_and_is_never_printed():
    output = run("settings", "--layer", BERLIN, "--yes", "set", "xsi_password=-", "vlan_tag=7", stdin=f"{SECRET}\n")
    assert said("site", "berlin")["xsi_password"] == SECRET
    assert SECRET not in output + run("settings", "--layer", BERLIN)
    with pytest.raises(CommandError, match="no line"):
        run("settings", "--layer", BERLIN, "--yes", "set", "xsi_password=-")


def test_a_site_that_nothing_is_at_is_not_made_by_a_slip(phone):
    """`site:default` was a new site, which reached nobody; the default site has no name."""
    change = ("--yes", "set", "vlan_tag=7")
    with pytest.raises(CommandError, match=r"default site is `site:`; there are site:berlin\. .*--new-site"):
        run("settings", "--layer", "site:default", *change)
    assert not SettingsLayer.objects.filter(level="site").exists()
    assert "touches 1 of 1 phones" in run("settings", "--layer", "site:", *change)
    directory.add(Entry("rome", "1001", "Tess", "s3cret", sip_server="pbx.example"))
    for named in (("site:rome",), ("site:paris", "--new-site"), ("site:paris",)):
        run("settings", "--layer", *named, *change)
    assert set(SettingsLayer.objects.filter(level="site").values_list("name", flat=True)) == {"", "rome", "paris"}


def test_without_a_yes_nothing_is_changed():
    with pytest.raises(CommandError, match="--yes"):
        run("settings", "--layer", BERLIN, "set", "vlan_tag=7")
    for answer, stored in (("n", 0), ("", 0), ("y", 1)):
        with (
            patch("gspnp.console.management.commands.settings.sys.stdin") as terminal,
            patch("builtins.input", return_value=answer),
        ):
            terminal.isatty.return_value = True
            try:
                call_command("settings", "--layer", BERLIN, "set", "vlan_tag=7", stdout=io.StringIO())
            except CommandError as error:
                assert "Nothing was changed" in str(error)
        assert SettingsLayer.objects.count() == stored


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--layer", BERLIN, "--yes", "set", "vlan_tag=99999"], r"vlan_tag: .*out of range"),
        (["--layer", BERLIN, "--yes", "set", "nonsense=1"], "There is no setting"),
        (["--layer", BERLIN, "--yes", "set", "vlan_tag"], "not understood"),
        (["--layer", BERLIN, "--yes", f"xsi_password={SECRET}"], "not understood"),
        (["--layer", BERLIN, "--yes", "unset", "vlan_tag"], "does not say"),
        (["--layer", "phone:x", "set", "vlan_tag=1"], "--layer is one of"),
        (["--layer", "site:two words", "set", "vlan_tag=1"], "A site is named"),
        (["000B82FFFFFF"], "was not seen"),
        (["set", "vlan_tag=1"], "Which layer"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(words, why):
    with pytest.raises(CommandError, match=why) as told:
        run("settings", *words)
    assert SECRET not in str(told.value)
    assert not SettingsLayer.objects.exists()


# --- jobs ---------------------------------------------------------------------------------------------------------


def test_jobs_are_listed_paused_resumed_and_cancelled(phone):
    job = runner.start("Settings of site berlin", {}, by="tess")
    assert "Settings of site berlin: 0 of 1 phones" in run("jobs")
    assert "Paused" in run("jobs", str(job.pk), "--pause")
    assert "Waiting" in run("jobs", str(job.pk), "--resume")
    assert "Cancelled" in run("jobs", str(job.pk), "--cancel")
    with pytest.raises(CommandError, match="cancelled"):
        run("jobs", str(job.pk), "--pause")
    with pytest.raises(CommandError, match="no job"):
        run("jobs", "77")


def test_waiting_ends_with_the_job_and_tells_whether_it_went_well(phone):
    job = runner.start("Settings of site berlin", {}, by="tess")
    runner.run.call(job.pk)
    assert "Done" in run("jobs", str(job.pk), "--wait")
    job.failures.create(phone=phone, field="setting.vlan_tag", message="out of range")
    Job.objects.update(failed=1)
    with pytest.raises(SystemExit) as ended:
        run("jobs", str(job.pk), "--wait")
    assert ended.value.code == 1


# --- versions -----------------------------------------------------------------------------------------------------


def test_versions_are_listed_compared_and_brought_back(phone):
    cast.save(phone, cast.draft(display_name="Otto", password="another-canary"))
    output = run("versions", cast.MAC)
    assert [one.split()[0] for one in output.splitlines()] == ["2", "1"]
    diff = run("versions", cast.MAC, "--diff", "1", "2")
    assert "account1_display_name: Tess -> Otto" in diff
    assert "account1_auth_password: ******** -> ********" in diff and "another-canary" not in diff
    assert "version 3 says what version 1 said" in run("versions", cast.MAC, "--back", "1")
    assert file_of(phone)["account1_display_name"] == "Tess"
    assert ConfigFile.objects.latest("number").saved_by == f"{getpass.getuser()} (command line)"
    with pytest.raises(CommandError, match="none any more"):
        run("versions", cast.MAC, "--back", "9")
