"""Ask processes of this machine whether they are ready: `python -m gspnp.healthy console phones listen work`.

Of several of a kind each is named with its port: `console:8001 listen:5486`. For health checks of containers and
supervisors: it says what each /readyz says, and exits 0 if all that are named are ready. Loads no Django, for it is
started every few seconds.
"""

from __future__ import annotations

import http.client
import ssl
import sys

from gspnp import serve, tls
from gspnp.env import SettingError, build_env

TIMEOUT_SECONDS = 5.0
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 (asked, not opened)
# What has no door: setting and default of the port where it shows its metrics.
SIDE_PORTS = {"listen": ("GSPNP_LISTEN_METRICS_PORT", 5484), "work": ("GSPNP_WORK_METRICS_PORT", 5485)}
PROCESSES = (*serve.DOORS, *SIDE_PORTS)


def named(argument: str) -> tuple[str, int | None]:
    """`listen` or `listen:5486`: the process, and the port if it is said. Raises ValueError."""
    process, colon, port = argument.partition(":")
    if process not in PROCESSES or (colon and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536)):
        raise ValueError(argument)
    return process, int(port) if colon else None


def ask(process: str, port: int | None = None) -> tuple[bool, str]:
    """Whether it is ready, and its own words; without a port the one of the settings is asked. Raises SettingError."""
    env = build_env()
    certificate = ""
    if process in serve.DOORS:
        door = serve.DOORS[process]
        certificate = door.certificate
        host, number = serve.address_of(door, env)
        number = port or number
    else:
        setting, default = SIDE_PORTS[process]
        host = env.str("GSPNP_METRICS_BIND", "127.0.0.1").strip("[]")
        number = port or env.int(setting, default, 0)
        if not number:
            return False, f"It cannot be asked: {setting} is 0. Give it a port."
    address = EVERYWHERE.get(host, host)
    link: http.client.HTTPConnection
    if certificate and tls.files_of(env, certificate) is not None:
        # This very machine is asked whether it answers, not who it is: the certificate has another name.
        trusting = ssl._create_unverified_context()  # noqa: S323
        link = http.client.HTTPSConnection(address, number, timeout=TIMEOUT_SECONDS, context=trusting)
    else:
        link = http.client.HTTPConnection(address, number, timeout=TIMEOUT_SECONDS)
    try:
        link.request("GET", "/readyz")
        answer = link.getresponse()
        return answer.status == http.client.OK, answer.read(4096).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return False, f"It does not answer at port {number} on {address}: {error}"
    finally:
        link.close()


def main(arguments: list[str]) -> None:
    """Exit 0 if all of them are ready, else 1."""
    try:
        asked = {argument: named(argument) for argument in arguments}
    except ValueError:
        asked = {}
    if not asked:
        usage = f"python -m gspnp.healthy {' '.join(PROCESSES)}"
        sys.exit(f"Say which: {usage} (of several of a kind with its port: listen:5486)")
    try:
        answers = {argument: ask(*one) for argument, one in asked.items()}
    except SettingError as error:
        sys.exit(str(error))
    sys.stdout.writelines(f"{process}: {words}\n" for process, (_, words) in answers.items())
    sys.exit(0 if all(ready for ready, _ in answers.values()) else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
