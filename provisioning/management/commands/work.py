"""`manage.py work`: what must happen without anybody asking; explains stuck phones, prunes old events."""

import logging
import signal
import threading

from django.core.management.base import BaseCommand
from django.db import DatabaseError, InterfaceError, close_old_connections

from devices import retention
from provisioning import stuck

log = logging.getLogger(__name__)

EVERY_SECONDS = 5.0


class Command(BaseCommand):
    help = "Explain phones that stopped on their way, and delete events that are older than 90 days."

    def add_arguments(self, parser):
        parser.add_argument("--once", action="store_true", help="do one round and end")
        parser.add_argument(
            "--keep-trying",
            action="store_true",
            help="if the database is away, say so and try again every 5 s",
        )

    def handle(self, **options):
        if options["once"]:
            one_round()
            return
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        log.info("working every %.0f s", EVERY_SECONDS)
        while not stopping.is_set():
            try:
                close_old_connections()
                one_round()
            except (DatabaseError, InterfaceError) as error:
                if not options["keep_trying"]:
                    raise
                log.error("the database is away (%s); trying again in %.0f s", error, EVERY_SECONDS)
            except Exception:
                if not options["keep_trying"]:
                    raise
                log.exception("this round failed; the next one is in %.0f s", EVERY_SECONDS)
            stopping.wait(EVERY_SECONDS)
        log.info("stopped")


def one_round() -> None:
    """Everything that is due now."""
    stuck.explain_all()
    retention.prune_events()
    retention.forget_unheard()
