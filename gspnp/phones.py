"""The phones' door as a process: `python -m gspnp.phones DESCRIPTOR` serves on a listening socket that it inherits.

No session, no middleware, no admin code: what stands behind the socket is provisioning/door/ and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
import sys

import django

from gspnp import undisturbed

DESCRIPTORS_OF_ONE = 2  # connection: an image of firmware may be open for it
SPARE_DESCRIPTORS = 100  # beside connections: the database's files
STOPPING_SECONDS = 5.0  # for answers that are on their way; Ctrl-C a second time does not wait

log = logging.getLogger("gspnp.phones")


async def serve(listening: socket.socket, recording: tuple[int, socket.socket]) -> None:
    """Answer phones until SIGTERM or SIGINT; what they fetched again is written down by the other process."""
    from django.conf import settings

    from devices import certificates, networks
    from devices.renewals import Keeper
    from provisioning.door import recorder
    from provisioning.door.app import admitted, limits_of, respond
    from provisioning.door.delivery import settled
    from provisioning.door.sockets import Listener
    from provisioning.door.tls import Opening
    from provisioning.door.wire import Connection, Room

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def is_proxy(host: str) -> bool:
        return networks.within(host, settings.GSPNP_TRUSTED_PROXIES)

    recorded = await recorder.attach(*recording)
    room = Room(is_proxy, allow_descriptors(), settings.GSPNP_HTTP_CONNECTIONS_PER_SOURCE)
    if settings.PHONES_CERTIFICATE is None:
        server = Listener(listening, lambda: Connection(respond, room))
    else:
        lowest = settings.GSPNP_PHONES_TLS_MIN
        keeper = Keeper(settings.PHONES_CERTIFICATE, lambda files: certificates.context(files, lowest))
        limits = limits_of(settings.GSPNP_HTTP_RATE, settings.GSPNP_HTTP_RATE_PER_SOURCE)

        def admit(host: str) -> bool:
            return is_proxy(host) or admitted(networks.plain_host(host), limits)

        server = Listener(listening, lambda: Opening(respond, room, keeper, admit))
    await stop.wait()
    server.close()
    await room.emptied(STOPPING_SECONDS)
    await recorded.finish()
    await settled()


def allow_descriptors() -> int:
    """As many as connections there may be, and what else is open, or as many as the system gives; how many connections
    these are for. Without any left the database's files could not be opened, and each try to accept one more would
    write to the log."""
    from provisioning.door.wire import CONNECTIONS

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS * DESCRIPTORS_OF_ONE + SPARE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return min(CONNECTIONS, max(1, (wanted - SPARE_DESCRIPTORS) // DESCRIPTORS_OF_ONE))


def main(arguments: list[str]) -> None:
    """Set Django up for this door, and serve."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "gspnp.settings_phones"
    django.setup()
    from django.db.models.sql import compiler  # noqa: F401  (else the first phone would wait for it)

    from devices import metrics

    metrics.watch_database()
    from provisioning.door import app, recorder  # noqa: F401  (what is frozen next)

    undisturbed.keep()
    listening = socket.socket(fileno=int(arguments[0]))
    recording = recorder.fork(listening.close)
    asyncio.run(serve(listening, recording))


if __name__ == "__main__":
    main(sys.argv[1:])
