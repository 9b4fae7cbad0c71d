"""`manage.py tell`: a command to a phone, and how far it really came."""

import getpass
import json
import time

from django.core.management.base import BaseCommand, CommandError

from devices.mac import MacError, colons, parse_mac
from devices.models import Phone
from gspnp.console.templatetags.console import notify_state
from provisioning import commands, outbox
from provisioning.models import Notify, NotifyKind, NotifyState

WHAT = {
    "check": NotifyKind.CHECK_SYNC,
    "resync": NotifyKind.RESYNC,
    "reboot": NotifyKind.REBOOT,
    "push": NotifyKind.PROFILE,
}
LOOK_SECONDS = 0.2
FAILED = (NotifyState.REFUSED, NotifyState.UNANSWERED, NotifyState.WITHHELD)


class Command(BaseCommand):
    help = "Tell an assigned phone to check, to load its configuration again, or to restart; say what came of it."

    def add_arguments(self, parser):
        parser.add_argument("mac", help="the phone's MAC in any usual spelling")
        parser.add_argument(
            "what",
            choices=WHAT,
            help="check: look for a new configuration; resync: load it again; reboot: restart; "
            "push: notify it of its configuration's place",
        )
        parser.add_argument(
            "--wait",
            type=float,
            default=0.0,
            metavar="SECONDS",
            help="wait, at most so long (%(default)s); exit code 1 if it did not come so far as --until says",
        )
        parser.add_argument(
            "--until",
            choices=("answered", "applied"),
            default="answered",
            help="what to wait for (%(default)s)",
        )
        parser.add_argument("--json", action="store_true", help="print what was seen as JSON")

    def handle(self, mac, what, **options):
        try:
            phone = Phone.objects.filter(mac=parse_mac(mac)).first()
        except MacError as error:
            raise CommandError(str(error)) from error
        if phone is None:
            raise CommandError(f"{mac} was not seen yet. `manage.py phones` lists what was seen.")
        notify = _owe(phone, WHAT[what])
        deadline = time.monotonic() + options["wait"]
        while not _is_enough(notify, options["until"]) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
            found = Notify.objects.defer("datagram").filter(pk=notify.pk).first()
            if found is None:
                raise CommandError(str(outbox.Forgotten()))
            notify = found
        self._print(phone, notify, options["json"])
        if options["wait"] and not (_is_enough(notify, options["until"]) and notify.state == NotifyState.DELIVERED):
            raise SystemExit(1)

    def _print(self, phone: Phone, notify: Notify, as_json: bool) -> None:
        steps = commands.progress(notify)
        if as_json:
            seen = {step.name: step.at.isoformat() if step.at else None for step in steps}
            said = {"mac": phone.mac, "state": notify.state, "status": notify.status, "note": notify.note, "seen": seen}
            self.stdout.write(json.dumps(said))
            return
        self.stdout.write(f"{colons(phone.mac)} {notify.get_kind_display()}: {notify_state(notify)}")
        for step in steps:
            at = step.at.isoformat(timespec="seconds") if step.at else "not yet"
            self.stdout.write(f"  {step.name:<11} {at} {step.words}".rstrip())
        if notify.note and notify.state in FAILED:
            self.stdout.write(f"  {notify.note}")


def _is_enough(notify: Notify, until: str) -> bool:
    """Has it come so far, or can it not come any further?"""
    if until == "answered" or notify.state in FAILED:
        return commands.is_over(notify)
    return all(step.at is not None for step in commands.progress(notify))


def _owe(phone: Phone, kind: NotifyKind) -> Notify:
    by = f"{getpass.getuser()} (command line)"
    try:
        if kind != NotifyKind.PROFILE:
            return commands.send(phone.pk, kind, by, phone.source_host)
        notify = outbox.notify_again(phone.pk, by, phone.source_host)
    except (commands.CannotTell, outbox.AddressMoved) as error:
        raise CommandError(str(error)) from error
    if notify is None:
        raise CommandError("This phone has no configuration of ours yet. Assign it first.")
    return notify
