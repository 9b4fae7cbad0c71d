"""Programs that are not ours meet the server: SIPp as a phone, curl for the file, xmllint to read it."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.parts import require
from tests.support.site import wait_for
from tests.support.world import World, fresh_mac

pytestmark = pytest.mark.net

SECONDS = 20
GROUP = "224.0.1.75"

# SIPp's own language: a phone that subscribes on the group and, in a second scenario, takes a NOTIFY.
SUBSCRIBE = """<?xml version="1.0" encoding="UTF-8"?>
<scenario name="a phone starts up">
  <send retrans="500"><![CDATA[

SUBSCRIBE sip:MAC%3A@MAC@@224.0.1.75 SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch];rport
From: <sip:MAC%3A@MAC@@224.0.1.75>;tag=[pid]SIPpTag[call_number]
To: <sip:MAC%3A@MAC@@224.0.1.75>
Call-ID: [call_id]
CSeq: 20000 SUBSCRIBE
Contact: <sip:[local_ip]:[local_port]>
Max-Forwards: 70
User-Agent: Grandstream GXP1628 1.0.2.7
Expires: 0
Event: ua-profile;profile-type="device";vendor="Grandstream";model="GXP1628";version="1.0.2.7"
Accept: application/url
Content-Length: 0

]]></send>
  <recv response="200" timeout="10000"/>
</scenario>
"""
TAKE_NOTIFY = """<?xml version="1.0" encoding="UTF-8"?>
<scenario name="a phone takes a NOTIFY">
  <recv request="NOTIFY" timeout="15000"/>
  <send><![CDATA[

SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=[pid]SIPpTag[call_number]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
</scenario>
"""


def sipp(world: World, host, folder: Path, scenario: str, *more: str) -> subprocess.Popen:
    file = folder / f"{len(list(folder.iterdir()))}.xml"
    file.write_text(scenario, encoding="utf-8")
    arguments = ["-sf", str(file), "-m", "1", "-i", host.address, "-p", "5060", "-nostdin", "-timeout", f"{SECONDS}s"]
    return subprocess.Popen(
        host.command(require("sipp"), *arguments, "-trace_msg", "-message_file", str(folder / "messages.log"), *more),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, cwd=folder,
    )  # fmt: skip


def test_sipp_is_a_phone_and_curl_and_xmllint_read_its_file(world: World, tmp_path: Path):
    mac = fresh_mac()
    host = world.host(mac=mac)
    assert sipp(world, host, tmp_path, SUBSCRIBE.replace("@MAC@", mac, 3), f"{GROUP}:5060").wait(SECONDS) == 0
    wait_for(lambda: world.site.phones().get(mac), SECONDS, "SIPp's phone is listed")
    phone = sipp(world, host, tmp_path, TAKE_NOTIFY)
    world.site.assign(mac, name="Zoë & <Co>")
    assert phone.wait(SECONDS) == 0
    world.site.wait_stage(mac, "notified", seconds=SECONDS)
    url = re.findall(r"http://\S+/p/\S+", (tmp_path / "messages.log").read_text(encoding="utf-8"))[-1]
    file = tmp_path / "config"
    fetch = [require("curl"), "-sS", "--fail", "--max-time", "10", "-o", str(file), url]
    subprocess.run(host.command(*fetch), check=True, timeout=SECONDS)
    subprocess.run([require("xmllint"), "--noout", "--nonet", str(file)], check=True, timeout=SECONDS)
    said = subprocess.run(
        [require("xmllint"), "--xpath", "string(//P3)", str(file)], check=True, capture_output=True, text=True
    )
    assert said.stdout.strip() == "Zoë & <Co>"
    assert world.site.stage(mac) == "fetched"
