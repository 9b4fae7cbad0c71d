"""Whether processes of this machine do their work: `python -m gspnp.healthy console phones listen work`.

For health checks of containers: exit status 0 if each one that is named does, else 1 and a line that says which does
not. A door is asked over HTTP, at the address where it listens; of listener and worker the last sign of life in the
database counts.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import sys
from collections.abc import Callable, Sequence

from gspnp import serve, tls
from gspnp.env import build_env

ANSWER_SECONDS = 5.0
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def door_fault(name: str) -> str:
    """Why this door is not well; "" if it is. It asks the database itself."""
    door, env = serve.DOORS[name], build_env()
    host, port = serve.address_of(door, env)
    host = EVERYWHERE.get(host, host)
    connection: http.client.HTTPConnection
    if tls.files_of(env, door.certificate) is None:
        connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    else:
        # Whether its certificate is good for its name is no question of whether it works.
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(host, port, timeout=ANSWER_SECONDS, context=context)
    try:
        connection.request("GET", "/healthz", headers={"Host": "localhost"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"no answer ({error})"
    finally:
        connection.close()
    return "" if status == 200 else f"it answers with {status}"


def listener_fault() -> str:
    """Why no listener of this machine is well; "" if one is."""
    from datetime import timedelta

    from django.utils import timezone

    from sipmcast.models import STALE_SECONDS, ListenerStatus

    here = ListenerStatus.objects.filter(name__startswith=f"{socket.gethostname()[:40]}/")
    fresh = here.filter(heartbeat_at__gte=timezone.now() - timedelta(seconds=STALE_SECONDS))
    return "" if fresh.exists() else "no sign of life"


def worker_fault() -> str:
    """Why the worker of this machine is not well; "" if it is."""
    from provisioning.jobs import alive
    from provisioning.jobs.models import WorkerStatus

    here = WorkerStatus.objects.filter(machine=alive.this_machine()).first()
    return "" if here is not None and alive.is_fresh(here) else "no sign of life"


CHECKS: dict[str, Callable[[], str]] = {
    "console": lambda: door_fault("console"),
    "phones": lambda: door_fault("phones"),
    "listen": listener_fault,
    "work": worker_fault,
}
IN_DATABASE = {"listen", "work"}


def faults(names: Sequence[str]) -> list[str]:
    """What is wrong with these, a line for each."""
    if IN_DATABASE & set(names):
        os.environ["DJANGO_SETTINGS_MODULE"] = "gspnp.settings"
        import django
        from django.conf import settings

        # It is asked every minute: no console is loaded for that.
        settings.INSTALLED_APPS = ["devices", "provisioning", "sipmcast"]
        django.setup()
    return [f"{name}: {fault}" for name in names if (fault := CHECKS[name]())]


def main(names: Sequence[str]) -> None:
    """Ask, and say."""
    if not names or not set(names) <= set(CHECKS):
        sys.exit(f"Say which: python -m gspnp.healthy {' '.join(CHECKS)}")
    try:
        found = faults(names)
    except Exception as error:  # whatever it is: it is not well, and a health check is one line
        found = [f"cannot be looked at ({type(error).__name__}: {error})"]
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main(sys.argv[1:])
