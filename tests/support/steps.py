"""Steps that several end-to-end tests take: provision a phone, tell it something, see how far it got."""

import json
import subprocess
import sys
from typing import Any

from tests.support.site import COMMAND_SECONDS, ROOT, SOON_SECONDS, Site, wait_for
from tests.support.strict_phone import StrictPhone
from tests.support.world import World

PROGRESS = """
import json, sys
import django
django.setup()
from provisioning import commands
from provisioning.models import Notify
notify = Notify.objects.filter(phone__mac=sys.argv[1], first_sent_at__isnull=False).latest("first_sent_at")
print(json.dumps({step.name: step.at.isoformat() if step.at else None for step in commands.progress(notify)}))
"""
OPEN_STATES = ("waiting", "sending", "withheld")


def provisioned(world: World, phone: StrictPhone, *more: str, **assignment: str) -> StrictPhone:
    """The whole way: started up, assigned, applied."""
    phone.boot()
    world.site.assign(phone.mac, *more, **assignment)
    phone.be_provisioned()
    assert world.site.stage(phone.mac) == "applied"
    return phone


class Tell:
    """`manage.py tell … --json`, which waits while the test plays the phone."""

    def __init__(self, site: Site, mac: str, what: str, seconds: float = SOON_SECONDS) -> None:
        self._process = subprocess.Popen(
            site.host.command(sys.executable, "manage.py", "tell", mac, what, "--wait", str(seconds), "--json"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=site.environment,
        )  # fmt: skip

    def ended(self) -> tuple[int, dict[str, Any]]:
        """Its exit code and what it said."""
        try:
            said, trouble = self._process.communicate(timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise
        assert said, trouble
        return self._process.returncode, json.loads(said)


def progress(site: Site, mac: str) -> dict[str, str | None]:
    """How far the NOTIFY that was sent last has come, in the product's own words: step -> when it was seen."""
    done = subprocess.run(
        site.host.command(sys.executable, "-c", PROGRESS, mac),
        capture_output=True, text=True, cwd=ROOT, timeout=COMMAND_SECONDS, check=False,
        env={**site.environment, "DJANGO_SETTINGS_MODULE": "gspnp.settings"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def last_row(site: Site, mac: str) -> dict[str, Any]:
    """The phone's NOTIFY that was sent last."""
    return max((row for row in site.notifies(mac) if row["first_sent_at"]), key=lambda row: row["first_sent_at"])


def wait_settled(site: Site, mac: str, seconds: float = SOON_SECONDS) -> dict[str, Any]:
    """The phone's NOTIFY that was sent last, when it has ended."""

    def settled() -> dict[str, Any] | None:
        row = last_row(site, mac)
        return None if row["state"] in OPEN_STATES else row

    return wait_for(settled, seconds, lambda: f"its NOTIFY has ended: {last_row(site, mac)}")  # type: ignore[return-value]
