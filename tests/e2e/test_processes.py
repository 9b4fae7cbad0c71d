"""The Procfile's four processes: each may die at any moment, and comes back as if nothing had been."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.support.site import ROOT, SOON_SECONDS, Site, procfile, wait_for
from tests.support.world import World

pytestmark = pytest.mark.net

PROCESSES = ("console", "phones", "listen", "work")


@pytest.fixture(scope="module")
def all_four(make_world: Callable[..., World]) -> World:
    built = make_world()
    built.site.start(*PROCESSES)
    return built


def test_the_procfile_names_exactly_these():
    assert tuple(procfile()) == PROCESSES


def test_both_doors_say_that_they_are_well(all_four: World):
    phone = all_four.phone()
    for port in (8000, all_four.site.phones_port):
        answer = phone.get(f"http://{all_four.pbx.address}:{port}/healthz")
        assert (answer.status, answer.body.strip()) == (200, b"ok")


def test_the_phones_door_knows_no_console(all_four: World):
    phone = all_four.phone()
    for path in ("/admin/", "/admin/login/", "/login/", "/static/admin/css/base.css"):
        assert phone.get(f"http://{all_four.pbx.address}:{all_four.site.phones_port}{path}").status == 404


def test_a_phone_gets_through_while_each_process_is_killed_once(all_four: World):
    """One kill -9 and restart between any two of its steps."""
    site, phone = all_four.site, all_four.phone(lan=1)

    def crash(name: str) -> None:
        site.kill(name)
        site.start(name)

    phone.boot()
    wait_for(lambda: site.stage(phone.mac) == "seen", SOON_SECONDS, "it is seen")
    crash("console")
    site.assign(phone.mac)
    crash("listen")
    notify = phone.await_notify()
    crash("phones")
    phone.answer(notify)
    phone.flash(phone.get(notify.url))
    crash("work")
    phone.come_back()
    assert site.stage(phone.mac) == "applied"
    assert (phone.boots, len(phone.transactions())) == (2, 1)
    steps = [text.split()[0] for text in site.timeline(phone.mac)]
    for first_word in ("Seen", "Assigned", "NOTIFY", "Fetched", "Applied:"):
        assert steps.count(first_word) == 1, steps


def local(site: Site, port: int, path: str, *more: str) -> tuple[int, str]:
    """Status and body of a request that is made on the very machine, by curl."""
    asked = site.host.command(
        "curl", "-s", "-m", "30", "-w", "\\n%{http_code}", *more, f"http://127.0.0.1:{port}{path}"
    )
    body, _, status = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.rpartition("\n")
    return int(status), body


def test_each_of_the_four_says_how_it_does_and_only_on_its_machine(all_four: World):
    site = all_four.site
    ports = {"console": 8000, "phones": site.phones_port, "listen": 5484, "work": 5485}
    shown = {}
    for name, port in ports.items():
        wait_for(lambda port=port: local(site, port, "/readyz")[0] == 200, SOON_SECONDS, f"{name} is ready")
        status, shown[name] = local(site, port, "/metrics")
        assert status == 200, name
        assert local(site, port, "/metrics", "-H", "X-Forwarded-For: 10.0.0.1")[0] == 404, name
        healthy = [sys.executable, "-m", "gspnp.healthy", name]
        done = subprocess.run(site.host.command(*healthy), cwd=ROOT, env=site.environment, timeout=60, check=False)
        assert done.returncode == 0, name
    # What the phone above has done: counted by who saw it, and in the whole by the worker.
    assert "gspnp_console_seconds_count" in shown["console"]
    assert 'gspnp_door_downloads_total{result="complete"}' in shown["phones"]
    assert 'gspnp_sip_subscribes_total{result="ours"}' in shown["listen"]
    assert 'gspnp_phones{stage="applied"} 1.0' in shown["work"]
    assert [name for name in shown if "gspnp_phones{" in shown[name]] == ["work"]
    assert not [name for name in shown if "000B82" in shown[name].upper()]
    phone = all_four.phone()
    for port in (8000, site.phones_port):
        assert phone.get(f"http://{all_four.pbx.address}:{port}/metrics").status == 404


def test_sigterm_ends_each_in_good_order(all_four: World):
    """Stands last: nothing runs afterwards, and no log has a traceback."""
    site = all_four.site
    for name in PROCESSES:
        assert site.stop(name) in (0, -15), name
        assert "Traceback" not in site.log(name), site.log(name)
