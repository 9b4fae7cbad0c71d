"""`manage.py assign`: exactly what the console's save does."""

import sys
from dataclasses import replace

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from devices import inventory
from devices.catalog import CODECS, DEFAULT_CODECS, KeySlot
from devices.inventory import CannotList, VersionConflict
from devices.mac import MacError, colons, parse_mac
from devices.models import Phone
from gspnp.console.cli import me
from gspnp.console.extensions.conflicts import also_on
from provisioning import assignment, plan
from provisioning.gxp.config import AccountConfig, ConfigError, KeyConfig
from provisioning.gxp.layout import read_key
from sipmcast import neighbours

CODEC_NAMES = {name.upper(): name for name in CODECS}


class Command(BaseCommand):
    help = (
        "Assign an account and keys to a phone: its file is made, and it is owed a NOTIFY. One that was not heard yet "
        "is listed with its --model, and gets its file as soon as it is plugged in."
    )

    def add_arguments(self, parser):
        parser.add_argument("mac", help="the phone's MAC in any usual spelling")
        parser.add_argument("--model", default="", help="of a phone that was not heard yet, such as GXP1628")
        parser.add_argument("--site", default="", help="where a phone that was not heard yet will stand")
        parser.add_argument("--account", type=int, default=1, help="number of the account, from 1 (%(default)s)")
        parser.add_argument("--user-id", required=True, help="extension (SIP user id)")
        parser.add_argument("--auth-id", default="", help="authentication id, if it differs from the user id")
        parser.add_argument(
            "--password-stdin",
            action="store_true",
            help="read the SIP password from standard input (one line)",
        )
        parser.add_argument("--name", default="", help="caller name")
        parser.add_argument("--sip-server", help="host or host:port; default: the one that is stored")
        parser.add_argument("--voicemail", default="", help="number behind the message key")
        parser.add_argument("--codecs", default="", help=f"in order, comma separated: {', '.join(CODECS)}")
        parser.add_argument(
            "--key",
            action="append",
            default=[],
            metavar="SLOT=MODE[@ACCOUNT]:VALUE[:LABEL]",
            help="for example mpk1=blf:1002:Reception; may be given again; other keys stay",
        )

    def handle(self, mac, **options):
        try:
            phone = Phone.objects.filter(mac=parse_mac(mac)).first()
        except MacError as error:
            raise CommandError(str(error)) from error
        if phone is None and not options["model"]:
            raise CommandError(
                f"{mac} was not seen yet. Plug the phone in (`manage.py phones` lists what was seen), or say what it "
                "is, such as --model GXP1628, to assign it before that."
            )
        draft = self._draft(plan.draft_of(phone) if phone else plan.Draft(), options)
        try:
            saved = _save(phone, draft, options) if phone else _list_and_save(mac, draft, options)
        except (assignment.AssignmentError, VersionConflict, CannotList) as error:
            raise CommandError(str(error)) from error
        except ConfigError as error:
            lines = "\n".join(f"  {line}" for line in error.lines)
            raise CommandError(f"Not saved:\n{lines}") from error
        self.stdout.write(_words(parse_mac(mac), saved))
        for there in Phone.objects.filter(mac=parse_mac(mac)):  # unless somebody has forgotten it since
            for words in also_on(there, draft.accounts):
                self.stderr.write(words)
            if neighbours.shows_another(there):
                self.stderr.write(_warning(there))

    def _draft(self, stored: plan.Draft, options: dict) -> plan.Draft:
        accounts = {account.number: account for account in stored.accounts}
        old = accounts.get(options["account"])
        server = options["sip_server"] or (old.sip_server if old else "")
        accounts[options["account"]] = AccountConfig(
            number=options["account"],
            sip_server=server,
            user_id=options["user_id"],
            auth_id=options["auth_id"],
            password=_password() if options["password_stdin"] else (old.password if old else ""),
            display_name=options["name"],
            voicemail=options["voicemail"],
            codecs=tuple(CODEC_NAMES.get(one.upper(), one) for one in options["codecs"].replace(",", " ").split())
            or (old.codecs if old else DEFAULT_CODECS),
        )
        keys = {key.slot: key for key in stored.keys}
        for text in options["key"]:
            key = _key(text, options["account"])
            keys[key.slot] = key
        return replace(stored, accounts=tuple(accounts[n] for n in sorted(accounts)), keys=tuple(keys.values()))


def _password() -> str:
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise CommandError("--password-stdin: standard input is empty. Write the SIP password to it, in one line.")
    return password


def _key(text: str, account: int) -> KeyConfig:
    """Read SLOT=MODE[@ACCOUNT]:VALUE[:LABEL], written as a layer's keys are; without one it is for `account`."""
    slot, equals, rest = text.partition("=")
    try:
        if not equals:
            raise ValueError("has no “=”")
        key = read_key(KeySlot.parse(slot), rest).key
        return key if "@" in rest.partition(":")[0] else replace(key, account=account)
    except ValueError as error:
        raise CommandError(
            f"--key {text}: {error}. Write SLOT=MODE[@ACCOUNT]:VALUE[:LABEL], e.g. mpk1=blf:1002:Reception."
        ) from error


def _save(phone: Phone, draft: plan.Draft, options: dict) -> assignment.Saved:
    kept = draft.numbers - ({options["account"]} if options["password_stdin"] else set())
    return assignment.save(phone, draft, by=me(), seen_host=phone.source_host, kept=kept)


def _list_and_save(mac: str, draft: plan.Draft, options: dict) -> assignment.Saved:
    """Both or nothing; what is wrong with the assignment is said before anything is written."""
    assignment.check_ahead(inventory.to_be_listed(mac, options["model"], options["site"]), draft)
    with transaction.atomic():
        return _save(inventory.prestage(mac, options["model"], options["site"], me()), draft, options)


def _warning(phone: Phone) -> str:
    known = f"The neighbour table shows another device's MAC at {phone.source_host}"
    if neighbours.knows_phones(phone.interface):
        return (
            f"{known}: nothing is sent there. If it is this phone all the same, `manage.py tell {phone.mac} push` does."
        )
    return (
        f"{known}: whoever is there gets this file, with its passwords. If that is not the phone, forget it and change "
        "the SIP password."
    )


def _words(mac: str, saved: assignment.Saved) -> str:
    name = colons(mac)
    if saved.config_file is None:
        return f"{name}: saved; it was not heard yet, and gets its file as soon as it is plugged in."
    if saved.changed:
        return f"{name}: version {saved.config_file.number} saved; its NOTIFY is owed and goes out by the listener."
    if saved.notify is not None:
        return f"{name}: nothing has changed; it is notified again."
    return f"{name}: nothing has changed; the phone already has this configuration."
