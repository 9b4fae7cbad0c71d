"""Start one door's web server: `python -m gspnp.serve console` or `phones`.

The port is opened here, before the server is, and handed over as an open socket: a port that is taken is said
in one line and tried again, instead of ending this process and with it all the others. Imports no Django
settings: the two doors have different ones, and the server that follows loads its own.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from typing import NamedTuple

from devices import certificates
from gspnp import logs, open_port, tls
from gspnp.env import Env, SettingError, build_env, data_dir

RETRY_SECONDS = 5
BACKLOG = 4096  # who waits to be let in, as the power returns; net.core.somaxconn may say less


class Door(NamedTuple):
    """Where a door's address comes from, and what stands behind it."""

    bind: str
    port: str
    default_port: int
    command: tuple[str, ...]
    """Of its server, as arguments of Python; the number of the open socket follows."""
    certificate: str
    """The middle of the names of the settings that say where its certificate is."""
    tls_command: tuple[str, ...]
    """The same as `command`, with TLS."""
    trace: str
    """The file in the data folder by which commands see that it is open."""


# Verbosity 0 is no access log.
CONSOLE = ("-m", "daphne", "-v", "0", "--no-server-name", "gspnp.asgi:application", "--fd")
CONSOLE_TLS = ("-m", "gspnp.console_tls")
PHONES = ("-m", "gspnp.phones")
DOORS = {
    "console": Door(
        "GSPNP_CONSOLE_BIND", "GSPNP_CONSOLE_PORT", 8000, CONSOLE, tls.CONSOLE, CONSOLE_TLS, open_port.CONSOLE_FILE_NAME
    ),
    "phones": Door("GSPNP_PHONES_BIND", "GSPNP_PHONES_PORT", 5481, PHONES, tls.PHONES, PHONES, open_port.FILE_NAME),
}


class CannotServe(Exception):
    """This door cannot be opened now. The text says why and what to do."""


def address_of(door: Door, env: Env) -> tuple[str, int]:
    """Host (without brackets) and port of a door."""
    return env.str(door.bind, "0.0.0.0").strip("[]"), env.int(door.port, door.default_port)


def open_socket(door: Door, host: str, port: int) -> socket.socket:
    """A listening socket, inheritable by the server. Raises CannotServe with the remedy."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise CannotServe(f"{door.bind} is {host!r}, which is no address ({error}). Correct it.") from error
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        raise CannotServe(_remedy(door, host, port, error)) from error
    opened.set_inheritable(True)
    return opened


def _remedy(door: Door, host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is taken by another program (which one: ss -ltnp 'sport = :{port}'). "
            f"Stop it, or set {door.port} to a free port and start again."
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no address {host}. Correct {door.bind}; 0.0.0.0 means every address."
    if error.errno == errno.EACCES:
        return f"port {port} is kept for root. Set {door.port} to a port above 1023."
    return f"port {port} on {host} cannot be opened: {error.strerror}. See {door.bind} and {door.port}."


def _say(role: str, level: str, words: str) -> None:
    """A line to the log, in the format that is set; a setting that cannot be read is told by `main`."""
    try:
        form = build_env().choice("GSPNP_LOG", "text", logs.FORMS)
    except SettingError:
        form = "text"
    sys.stderr.write(logs.line(form, role, level, words) + "\n")
    sys.stderr.flush()


def main(arguments: list[str]) -> None:
    """Become the server of the door named, as soon as its port can be had."""
    if len(arguments) != 1 or arguments[0] not in DOORS:
        sys.exit("Say which door: python -m gspnp.serve console|phones")
    door = DOORS[arguments[0]]
    while True:
        try:
            host, port = address_of(door, build_env())
            files = tls.files_of(build_env(), door.certificate)
            if files is not None:
                certificates.read(files)
            opened = open_socket(door, host, port)
            break
        except (CannotServe, SettingError, certificates.CertificateError) as error:
            _say(
                arguments[0], "ERROR", f"The {arguments[0]} door is closed: {error} Trying again in {RETRY_SECONDS} s."
            )
            time.sleep(RETRY_SECONDS)
    try:
        open_port.leave(data_dir(), port, door.trace)
    except OSError as error:
        _say(arguments[0], "WARNING", f"Commands cannot see at which port this door opens: {error}.")
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)  # each server knows its own
    spoken = "" if files is None else " with TLS"
    _say(arguments[0], "INFO", f"The {arguments[0]} door opens on {host} port {port}{spoken}.")
    command = door.command if files is None else door.tls_command
    os.execv(sys.executable, [sys.executable, *command, str(opened.fileno())])


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
