"""`manage.py listen_pnp`: arguments, signals, exit codes; nothing else."""

import argparse
import asyncio
import contextlib
import gc
import hashlib
import hmac
import logging
import os
import re
import signal
import socket
import time

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from devices import metrics, said_of
from devices.mac import parse_oui
from provisioning import readiness, side_port
from sipmcast import helpers, watched
from sipmcast.agent import Agent
from sipmcast.listener import Listener, Options
from sipmcast.pnp import Served
from sipmcast.sockets import LOOPBACK
from sipmcast.worker import Worker

log = logging.getLogger(__name__)

SITE_CHARS = 40  # as many as a phone's site has
SITE = re.compile(r"[-a-zA-Z0-9_]+")


class Command(BaseCommand):
    help = "Hear phones that plug in, answer them, and send them the NOTIFYs that they are owed."

    def add_arguments(self, parser):
        parser.add_argument(
            "--interface",
            action="append",
            metavar="NAME|ADDR",
            help="listen here (may be given again); default: all",
        )
        parser.add_argument("--group", default=settings.GSPNP_PNP_GROUP, help="multicast group (%(default)s)")
        parser.add_argument("--port", type=int, default=settings.GSPNP_PNP_PORT, help="UDP port (%(default)s)")
        parser.add_argument("--site", default="", type=site_name, help="name of the LAN that this listener serves")
        parser.add_argument(
            "--keep-trying",
            action="store_true",
            help="if nothing can be heard, say why and try again every 5 s",
        )

    def handle(self, **options):
        log.info("starting; it says where it listens as soon as it does")
        listening = Options(
            interfaces=options["interface"] or _configured_interfaces(),
            group=options["group"],
            port=options["port"],
            sip_port=settings.GSPNP_SIP_PORT,
            receive=settings.GSPNP_RECEIVE,
            allowed_networks=settings.GSPNP_ALLOWED_NETWORKS,
            per_second=settings.GSPNP_SIP_RATE,
            source_per_second=settings.GSPNP_SIP_RATE_PER_SOURCE,
        )
        # What is loaded by now stays, and thousands of open transactions are no garbage: looking through all of that
        # would hold up answers for a tenth of a second. The worker has it done when nobody waits.
        gc.collect()
        gc.freeze()
        gc.disable()
        asyncio.run(listen(listening, options["site"], options["keep_trying"]))


def _configured_interfaces() -> list[str]:
    """GSPNP_PNP_INTERFACES and always `lo`, where simulated phones live; empty means all."""
    chosen = list(settings.GSPNP_PNP_INTERFACES)
    return [*chosen, LOOPBACK] if chosen and LOOPBACK not in chosen else chosen


async def listen(options: Options, site: str, keep_trying: bool) -> None:
    """Listen until SIGTERM or SIGINT. Raises CommandError if no interface can be heard and nobody said to wait."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    worker = Worker(site, instance_name(options, site), helpers.Process("store"), helpers.Process("outbox"))
    agent = Agent(tag_key(), served=served(), name=str(os.getpid()))
    listener = worker.listener = Listener(options, agent, worker.deliver)
    tasks: list[asyncio.Task] = []
    said_of.serves(site)
    side = await _open_side_port(worker)
    try:
        await worker.ready()
        listener.look()
        if not listener.legs and not keep_trying:
            raise CommandError(" ".join(listener.trouble.values()) or "There is no interface to listen on.")
        tasks = [asyncio.create_task(one) for one in (*worker.loops(), listener.follow())]
        stop = asyncio.create_task(stopping.wait())
        done, _ = await asyncio.wait([*tasks, stop], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stop}:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        side.close()
        listener.close()
        await worker.say_goodbye()
        worker.close()
    log.info("stopped")


async def _open_side_port(worker: Worker) -> contextlib.ExitStack:
    """Show how this listener does, until it is closed."""
    closing = contextlib.ExitStack()
    looks = watched.checks(worker.listener, worker.pulse)

    async def ready() -> readiness.Readiness:
        return readiness.examine(looks)

    port_setting = "GSPNP_LISTEN_METRICS_PORT"
    where = side_port.Where(settings.GSPNP_METRICS_BIND, getattr(settings, port_setting), port_setting)
    server = await side_port.opened(where, ready)
    closing.enter_context(metrics.reading(lambda: watched.of_listener(worker.listener, worker.pulse)))
    if server is not None:
        closing.callback(server.close)
    return closing


def site_name(text: str) -> str:
    """A site as phones have it. Raises ArgumentTypeError, which says what to write instead."""
    if text and not (len(text) <= SITE_CHARS and SITE.fullmatch(text)):
        raise argparse.ArgumentTypeError(f"use at most {SITE_CHARS} letters, digits, hyphens and underscores")
    return text


def instance_name(options: Options, site: str = "") -> str:
    """Who claims NOTIFYs: the part before "#" is the same after a restart, the rest is this process alone. Listeners of
    two sites may run on one machine, or on two of the same name."""
    place, host = ",".join(options.interfaces) or "all", socket.gethostname()
    where = f"{host[:20]}/{site}/{place[:14]}" if site else f"{host[:40]}/{place[:40]}"
    return f"{where}/{options.group}:{options.port}#{os.getpid()}-{time.time():.0f}"


def served() -> Served:
    """Whose phones are ours, as the settings say."""
    ouis = (parse_oui(text) for text in settings.GSPNP_OUIS)
    return Served(frozenset(vendor.lower() for vendor in settings.GSPNP_VENDORS), frozenset(ouis))


def tag_key() -> bytes:
    """The key of To tags; derived, so that a resend gets the same bytes even after a restart."""
    return hmac.digest(settings.SECRET_KEY.encode(), b"gspnp sip tag", hashlib.sha256)
