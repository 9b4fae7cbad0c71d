"""How long the phones' door takes to refuse: is a path that exists told from one that does not by the time it takes?

The door runs alone, on SQLite, with a site of 1,000 phones of which one has every kind of path that is refused. Each
request is a connection of its own on loopback, from connecting to the last byte, and the kinds come in shuffled turns.
"""

import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.report import Part, Table
from tests.support.site import ROOT, SOON_SECONDS, wait_for

REQUESTS = 10_000
WARM = 200
PHONES = 1000
ARRANGE = f"""
import json, secrets
from datetime import timedelta
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.utils import timezone
from provisioning.models import ConfigFile
from tests import cast
for number in range({PHONES}):
    cast.seen(f"000B82{{number:06X}}", f"10.0.{{number // 250}}.{{number % 250 + 1}}")
def assigned(number):
    mac = f"000B82{{number:06X}}"
    return mac, cast.assigned(mac, f"10.0.0.{{number + 1}}")
now, paths = timezone.now(), {{}}
mac, denied = assigned(1)
ConfigFile.objects.filter(pk=denied.pk).update(first_host="10.9.9.9", first_until=now + timedelta(hours=1))
paths["first path, asked from another address"] = f"/p/{{denied.first_secret}}/cfg{{mac}}"
mac, expired = assigned(2)
ConfigFile.objects.filter(pk=expired.pk).update(first_host="127.0.0.1", first_until=now - timedelta(hours=1))
paths["first path, expired"] = f"/p/{{expired.first_secret}}/cfg{{mac}}"
mac, retired = assigned(3)
assert cast.save(retired.phone, cast.draft(display_name="Otto")).config_file.pk != retired.pk
ConfigFile.objects.filter(pk=retired.pk).update(retired_at=now)
paths["steady path, revoked"] = f"/p/{{retired.steady_secret}}/cfg{{mac}}.xml"
paths["path of another phone"] = f"/p/{{expired.steady_secret}}/cfg000B82000001.xml"
paths["unknown path"] = f"/p/{{secrets.token_urlsafe(16)}}/cfg{{mac}}.xml"
paths["plain name, phone known"] = f"/cfg{{mac}}.xml"
paths["plain name, phone unknown"] = "/cfg000B82FFFFFF.xml"
paths["unknown phonebook"] = f"/phonebook/{{secrets.token_urlsafe(16)}}/phonebook.xml"
paths["unknown firmware"] = "/firmware/9.9.9.9/gxp1600fw.bin"
paths["malformed"] = "/p/%ff%00/../x"
print(json.dumps(paths))
"""


def main(repeats: int) -> Part:
    """Ten thousand requests in one run; a repeat is of no use beside so many."""
    del repeats
    part = Part("refusals", "One refusal, in the same time", __doc__ or "")
    with tempfile.TemporaryDirectory() as folder, _door(Path(folder)) as (address, paths):
        seconds = _measure(address, paths)
    medians = {what: statistics.median(of_one) * 1e6 for what, of_one in seconds.items()}
    least = min(medians.values())
    table = Table("Microseconds", ["", "median", "beside the least", "figures"])
    for what, median in sorted(medians.items(), key=lambda pair: pair[1]):
        beside = f"+{median - least:.0f} ({100 * (median / least - 1):.1f} %)"
        table.add(what, f"{median:.0f}", beside, len(seconds[what]))
    part.add(table)
    return part


def _measure(address: tuple[str, int], paths: dict[str, str]) -> dict[str, list[float]]:
    kinds = [*paths, "no HTTP"]
    ending = "HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    requests = {what: f"GET {path} {ending}".encode() for what, path in paths.items()}

    requests["no HTTP"] = b"hello\r\n\r\n"
    order = [kind for kind in kinds for _ in range(REQUESTS // len(kinds))]
    random.Random(1).shuffle(order)
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for place, kind in enumerate(order[:WARM] + order):
        taken = _ask(address, requests[kind])
        if place >= WARM:
            found[kind].append(taken)
    return found


def _ask(address: tuple[str, int], request: bytes) -> float:
    began = time.perf_counter()
    with socket.create_connection(address, timeout=SOON_SECONDS) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    taken = time.perf_counter() - began
    if not answer.startswith(b"HTTP/1.1 404"):
        raise SystemExit(f"it was not refused: {answer[:60]!r}")
    return taken


@contextmanager
def _door(folder: Path) -> Iterator[tuple[tuple[str, int], dict[str, str]]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    environment = {**os.environ, "GSPNP_DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "gspnp.settings"}
    environment |= {"GSPNP_PHONES_BIND": address[0], "GSPNP_PHONES_PORT": str(address[1]), "PYTHONPATH": str(ROOT)}
    made = subprocess.run(
        [sys.executable, "-c", ARRANGE], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise SystemExit(made.stderr)
    with (folder / "door.log").open("wb") as log:
        door = subprocess.Popen(
            [sys.executable, "-m", "gspnp.serve", "phones"], env=environment, cwd=ROOT, stdout=log, stderr=log
        )
    try:
        wait_for(lambda: _is_open(address), SOON_SECONDS, "the door is open")
        yield address, json.loads(made.stdout.splitlines()[-1])
    finally:
        door.terminate()
        door.wait(SOON_SECONDS)


def _is_open(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True
