"""TLS by gspnp itself, on real packets: the phones' way, phones that move to it, and the console in a browser."""

import json
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from playwright.sync_api import expect

from tests.support.browser import chromium_on, sign_in
from tests.support.certificates import Authority
from tests.support.simulated import simulated
from tests.support.site import SOON_SECONDS, Site, wait_for
from tests.support.world import World, fresh_mac

pytestmark = [pytest.mark.net, pytest.mark.timeout(240)]

SIMULATOR_SECONDS = 120
COMMAND_SECONDS = 60
PASSWORD = "Technician's own 4711"


class Certified:
    """A world, an authority of its own, and its certificate for the PBX's addresses."""

    def __init__(self, make_world: Callable[..., World]) -> None:
        self.world = make_world({"GSPNP_ADMIN_PASSWORD": PASSWORD})
        self.site, self.authority = self.world.site, Authority()
        self.files = self.authority.files(self.site.folder / "tls", self.world.pbx.addresses)
        self.ca = self.site.folder / "ca.pem"
        self.ca.write_bytes(self.authority.pem)
        self.site.manage("collectstatic", "--no-input", "--verbosity", "0")
        self.site.manage("first_admin")

    def switch_on(self, door: str) -> None:
        """For processes that are started from now on."""
        files = {f"GSPNP_{door}_CERT": str(self.files.cert), f"GSPNP_{door}_KEY": str(self.files.key)}
        self.site.environment.update(files)

    def renew(self) -> bytes:
        """As certbot does it, under the running doors; the new certificate."""
        fresh = self.authority.files(self.site.folder / "renewed", self.world.pbx.addresses)
        for old, new in ((self.files.cert, fresh.cert), (self.files.key, fresh.key)):
            new.rename(old)
        return ssl.PEM_cert_to_DER_cert(self.files.cert.read_text().partition("-----END CERTIFICATE-----")[0]
                                        + "-----END CERTIFICATE-----\n")  # fmt: skip

    def shown(self, port: int) -> bytes:
        """The certificate that a client is shown now, which has checked it."""
        client = ssl.create_default_context(cafile=str(self.ca))
        with self.world.host().socket(1) as plain:
            plain.settimeout(SOON_SECONDS)
            plain.connect((self.world.pbx.address, port))
            with client.wrap_socket(plain, server_hostname=self.world.pbx.address) as secure:
                return secure.getpeercert(binary_form=True) or b""


@pytest.fixture(scope="module")
def certified(make_world: Callable[..., World]) -> Certified:
    """Nothing runs yet."""
    return Certified(make_world)


def trusting(certified: Certified, mac: str, *more: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """A phone that knows the authority and checks names; it says its story when it is through."""
    trusts = ("--ca", str(certified.ca), "--wait-assign", "60", "--seed", "3")
    return simulated(certified.site, certified.world.host(mac=mac), mac, *trusts, *more)


def staying(certified: Certified, mac: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """The same; it stays switched on, and SIGTERM makes it say its story."""
    return trusting(certified, mac, "--stay", str(SIMULATOR_SECONDS))


def test_a_phone_from_before_moves_and_a_new_one_begins_with_https(certified: Certified):
    site = certified.site
    site.start("phones", "listen", "work")
    old, new = fresh_mac(), fresh_mac()
    with staying(certified, old) as process:
        site.assign(old, user="1001")
        site.wait_stage(old, "applied", seconds=SIMULATOR_SECONDS)
        for name in ("phones", "listen", "work"):
            site.stop(name)
        certified.switch_on("PHONES")
        site.start("phones", "listen", "work")

        tell = site.manage("tell", old, "check", "--until", "applied", "--wait", "60")
        assert tell.returncode == 0, "by its path over plain HTTP it is still served"
        for transport in ("https", "http", "https"):
            site.manage("settings", "--layer", "model:GXP1628", "set", f"file_transport={transport}", "--yes")
            wait_until_back(site, old, transport)
        assert site.manage("tell", old, "check", "--until", "applied", "--wait", "60").returncode == 0
        process.send_signal(signal.SIGTERM)
        story = json.loads(process.communicate(timeout=COMMAND_SECONDS)[0])
    assert (story["outcome"], story["stage"]) == ("through", "applied")
    with staying(certified, new) as process:
        site.assign(new, user="1003")
        site.wait_stage(new, "applied", seconds=SIMULATOR_SECONDS)
    said = json.loads(site.manage("pnp_doctor", "--json", check=False).stdout)
    (section,) = [one for one in said["sections"] if one["key"] == "certificates"]
    assert [one["state"] for one in section["findings"]] == ["ok", "ok"], section


def wait_until_back(site: Site, mac: str, transport: str) -> None:
    """It has applied its newest file, and that one names this transport."""

    def is_back() -> bool:
        newest = site.rows(
            "SELECT base_url, applied_at FROM provisioning_configfile WHERE phone_id = "
            "(SELECT id FROM devices_phone WHERE mac = ?) ORDER BY number DESC LIMIT 1", mac
        )[0]  # fmt: skip
        return newest["base_url"].startswith(f"{transport}://") and newest["applied_at"] is not None

    wait_for(is_back, SIMULATOR_SECONDS, f"it came back by {transport}")


def test_a_download_that_breaks_off_within_tls_proves_nothing(certified: Certified):
    site, mac = certified.site, fresh_mac()
    with trusting(certified, mac, "--faults", "aborted-download=100") as process:
        site.assign(mac)
        story = json.loads(process.communicate(timeout=SIMULATOR_SECONDS)[0])
    assert "aborted on purpose" in [one["problem"] for one in story["downloads"]]
    whole = [one for one in story["downloads"] if one["status"] == 200]
    there = (
        "SELECT count(*) AS n FROM provisioning_download d JOIN devices_phone p ON p.id = d.phone_id WHERE p.mac = ?"
    )
    assert site.rows(there, mac)[0]["n"] == len(whole) == 2


def test_what_is_in_a_file_with_https_is_not_had_by_plain_http(certified: Certified):
    phone = certified.world.phone()
    phone.boot()
    certified.site.assign(phone.mac)
    notify = phone.await_notify()
    phone.answer(notify)
    assert notify.url.startswith(f"https://{certified.world.pbx.address}:5481/p/")
    assert phone.get(notify.url.replace("https:", "http:", 1)).status == 404


def test_a_renewed_certificate_is_shown_without_a_restart(certified: Certified):
    before = certified.shown(5481)
    fresh = certified.renew()
    assert fresh != before
    wait_for(lambda: certified.shown(5481) == fresh, SOON_SECONDS, "the door shows the new one")


@pytest.mark.parametrize("door", ["phones", "console"])
def test_a_door_without_its_key_stays_closed_says_why_and_opens_when_it_is_there(certified: Certified, door: str):
    site = certified.site
    if door == "phones":
        site.stop("phones")
    certified.switch_on(door.upper())
    away = certified.files.key.rename(certified.files.key.with_suffix(".away"))
    site.launch(door, f"exec {sys.executable} -m gspnp.serve {door}")
    setting = f"GSPNP_{door.upper()}_KEY"
    wait_for(lambda: setting in site.fresh_log(door), SOON_SECONDS, "it says which file is missing")
    assert "Traceback" not in site.fresh_log(door)
    away.rename(certified.files.key)
    port = {"phones": 5481, "console": 8000}[door]
    wait_for(lambda: "opens on" in site.fresh_log(door), SOON_SECONDS, "it opens")
    wait_for(lambda: shows(certified, port), SOON_SECONDS, "it speaks TLS")


def shows(certified: Certified, port: int) -> bool:
    try:
        return bool(certified.shown(port))
    except OSError:
        return False


@pytest.mark.browser
def test_the_console_by_its_own_certificate_in_a_browser(certified: Certified, tmp_path):
    """Runs after the door of the console was opened above."""
    address = certified.world.pbx.address
    expect.set_options(timeout=15_000)
    with chromium_on(certified.world.host(), tmp_path) as browser:
        page = browser.new_context(ignore_https_errors=True).new_page()
        sockets: list[str] = []
        page.on("websocket", lambda one: sockets.append(one.url))
        sign_in(page, f"https://{address}:8000/", "admin", PASSWORD)
        assert [one["secure"] for one in page.context.cookies() if one["name"] in ("sessionid", "csrftoken")]
        assert all(one["secure"] for one in page.context.cookies())
        expect(page.get_by_text("This page comes over plain HTTP")).to_have_count(0)
        mac = fresh_mac()
        phone = certified.world.phone(mac=mac)
        phone.boot()
        shown = ":".join(mac[place : place + 2] for place in range(0, 12, 2))
        expect(page.get_by_text(shown).first).to_be_visible()
        assert sockets and all(one.startswith(f"wss://{address}:8000/") for one in sockets)
        page.goto(f"http://{address}:8000/doctor/")
        assert page.url == f"https://{address}:8000/doctor/"
        expect(page.get_by_test_id("section-certificates")).to_contain_text("The console")


def test_garbage_on_either_port_leaves_no_traceback(certified: Certified):
    host = certified.world.host()
    for port in (5481, 8000):
        for sent in (b"\x16\x03\x01\x00\x05hello", b"\x16" * 300, b"\x00\x01\x02", b"GET / HTTP/1.1\r\n\r\n"):
            with host.socket(1) as asking:
                asking.settimeout(SOON_SECONDS)
                asking.connect((certified.world.pbx.address, port))
                asking.sendall(sent)
                asking.shutdown(1)
                try:
                    while asking.recv(4096):
                        pass
                except ConnectionResetError:
                    pass
    for name in ("phones", "console"):
        assert "Traceback" not in certified.site.log(name)
