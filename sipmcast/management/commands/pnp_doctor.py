"""`manage.py pnp_doctor`: why phones may not be seen, checked one thing after the other."""

import socket

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from sipmcast import sockets
from sipmcast.models import STALE_SECONDS, ListenerStatus


class Command(BaseCommand):
    help = "Check what could keep phones from being seen; exit code 1 if something is wrong."

    def handle(self, **options):
        self.wrong = 0
        self._interfaces()
        self._listeners()
        self._door()
        if self.wrong:
            raise SystemExit(1)

    def _say(self, fine: bool, words: str) -> None:
        self.wrong += not fine
        self.stdout.write(f"{'ok   ' if fine else 'WRONG'}  {words}")

    def _interfaces(self) -> None:
        found = sockets.find_interfaces(settings.GSPNP_PNP_INTERFACES)
        self._say(bool(found), "interfaces: " + (", ".join(f"{one.name} ({one.host})" for one in found) or
                  "none; check GSPNP_PNP_INTERFACES"))  # fmt: skip
        if found and all(one.name == sockets.LOOPBACK for one in found):
            self._say(False, "only the loopback interface is up: no phone on a LAN can be heard")

    def _listeners(self) -> None:
        rows = list(ListenerStatus.objects.all())
        alive = [row for row in rows if (timezone.now() - row.heartbeat_at).total_seconds() < STALE_SECONDS]
        self._say(bool(alive), f"listeners alive: {len(alive)}" if alive else
                  "no listener is running: start `make run` or `manage.py listen_pnp`")  # fmt: skip
        for row in alive:
            self._say(not row.trouble, f"{row.name}: {row.trouble or ', '.join(row.interfaces)}")
            heard = row.counters.get("received", 0)
            self._say(
                True,
                f"{row.name}: {heard} datagrams heard, {row.counters.get('sighted', 0)} SUBSCRIBEs taken",
            )
            if not heard:
                self.stdout.write("       nothing at all was heard: is the phone in the same VLAN? Does a switch filter"
                                  " multicast (IGMP snooping without a querier)?")  # fmt: skip

    def _door(self) -> None:
        address = ("127.0.0.1", settings.GSPNP_PHONES_PORT)
        try:
            socket.create_connection(address, timeout=2).close()
            self._say(True, f"the phones' door answers on port {address[1]}")
        except OSError as error:
            self._say(False, f"the phones' door does not answer on port {address[1]} ({error}); phones cannot fetch")
