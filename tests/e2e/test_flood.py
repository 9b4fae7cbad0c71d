"""A flood of invented phones from one address, and a real phone beside it that is plugged in meanwhile."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.netns import Host
from tests.support.site import SOON_SECONDS, wait_for
from tests.support.world import World

pytestmark = pytest.mark.net

FLOOD_SECONDS = 12
# T1 of RFC 3261: a phone that is answered before its second resend was served within a second and a half.
RESENDS = 2

FLOOD = """
import os, socket, sys, time
host, seconds = sys.argv[1], float(sys.argv[2])
message = (
    "SUBSCRIBE sip:MAC%3A000B82{mac}@224.0.1.75 SIP/2.0\\r\\n"
    "Via: SIP/2.0/UDP " + host + ":5060;branch=z9hG4bK{mac};rport\\r\\n"
    "From: <sip:MAC%3A000B82{mac}@224.0.1.75>;tag={mac}\\r\\nTo: <sip:MAC%3A000B82{mac}@224.0.1.75>\\r\\n"
    "Call-ID: {mac}@flood\\r\\nCSeq: 1 SUBSCRIBE\\r\\nContact: <sip:" + host + ":5060>\\r\\nMax-Forwards: 70\\r\\n"
    "User-Agent: Grandstream GXP1628 1.0.2.7\\r\\nExpires: 0\\r\\n"
    'Event: ua-profile;profile-type="device";vendor="Grandstream";model="GXP1628";version="1.0.2.7"\\r\\n'
    "Content-Length: 0\\r\\n\\r\\n"
)
before, *between, after = message.encode().split(b"{mac}")
sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sending.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(host))
sending.bind((host, 5060))
ends_at, sent = time.monotonic() + seconds, 0
print("flooding", flush=True)
while time.monotonic() < ends_at:
    for _ in range(100):
        mac = os.urandom(3).hex().upper().encode()
        sending.sendto(before + mac + b"".join(piece + mac for piece in between) + after, ("224.0.1.75", 5060))
        sent += 1
print(sent, flush=True)
"""


@pytest.fixture
def flood(world: World) -> Iterator[subprocess.Popen]:
    host: Host = world.host()
    process = subprocess.Popen(
        host.command(sys.executable, "-c", FLOOD, host.address, str(FLOOD_SECONDS)), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "flooding\n"
    yield process
    process.kill()
    process.wait()


def test_a_real_phone_is_served_beside_a_flood(world: World, flood: subprocess.Popen):
    served = []
    for lan in (0, 1, 0):
        phone = world.phone(lan)
        phone.power_on()
        for copy in range(RESENDS):
            phone.send_subscribe()
            if phone.await_200(0.5 * 2**copy):
                served.append(copy)
                break
        else:
            pytest.fail(f"not answered by its second copy; copies that the others needed: {served}")
        wait_for(lambda mac=phone.mac: world.site.phone(mac), SOON_SECONDS, "it is in the list")
    assert flood.poll() is None, "the flood was over before the phones were served"
