"""`manage.py rotate_keys`: put a new key in front, bring every secret under it, and take the old keys away."""

from __future__ import annotations

import datetime as dt
from functools import partial
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from devices import rekeying
from gspnp import keys
from gspnp.env import SettingError, env
from gspnp.running import running

IN_ENVIRONMENT = (
    "The keys are in GSPNP_FIELD_KEYS, which only you can change: put a new one (python -m gspnp.keys makes it) in "
    "front of the others, with a comma between, and start everything anew; then run this command."
)


class Command(BaseCommand):
    help = (
        "Write every encrypted value anew under the first key of the field keys, while gspnp runs or not. It can be "
        "broken off at any time and goes on where it was. In full: stop gspnp; rotate_keys --new-key; start it; "
        "rotate_keys --drop-old; start it anew."
    )

    def add_arguments(self, parser):
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--new-key", action="store_true", help="first put a new key in front of the others")
        what.add_argument("--count", action="store_true", help="only say how many values are under an older key")
        what.add_argument("--drop-old", action="store_true", help="afterwards take away every key but the first")
        parser.add_argument("--force", action="store_true", help="although processes run that know other keys")

    def handle(self, **options):
        in_environment = bool(env.str("GSPNP_FIELD_KEYS", ""))
        if in_environment and (options["new_key"] or options["drop_old"]):
            raise CommandError(IN_ENVIRONMENT)
        folder = Path(settings.GSPNP_DATA_DIR)
        try:
            with keys.alone(folder):
                settings.GSPNP_FIELD_KEYS = keys.read_again(folder)
                self._rotate(in_environment, options)
        except BlockingIOError as error:
            raise CommandError(
                "Another rotate_keys, backup or restore is at work. Run this when it has ended."
            ) from error
        except (SettingError, OSError) as error:
            raise CommandError(str(error)) from error

    def _rotate(self, in_environment, options):
        if options["new_key"]:
            self._add(options["force"])
        if not options["count"] and not options["force"] and not in_environment:
            self._refuse_beside(_file().stat().st_mtime)
        if options["drop_old"] and len(settings.GSPNP_FIELD_KEYS) == 1:
            self._nothing_older()
            return
        total = rekeying.Count()
        for model, name in rekeying.kinds():
            label = f"{model._meta.label}.{name}"
            if options["count"]:
                found = rekeying.count(model, name)
            else:
                found = rekeying.renew(model, name, partial(self._tell, label))
            self.stdout.write(f"{label}: {_words(found)}")
            for part in ("values", "renewed", "left", "lost"):
                setattr(total, part, getattr(total, part) + getattr(found, part))
        none = "" if total.left else ", none under an older key"
        self.stdout.write(f"All: {_words(total)}{none}")
        if total.left and not options["count"]:
            raise CommandError(
                f"{total.left} values are still under an older key: somebody writes with it. Start every process of "
                "gspnp anew, then run this command again. Keep the old keys until then."
            )
        if options["drop_old"]:
            self._drop()
        elif not options["count"]:
            self.stdout.write("Every value that can be opened is under the first key.")

    def _tell(self, label: str, so_far: rekeying.Count) -> None:
        if so_far.values % 10_000 < rekeying.BITE_ROWS and so_far.values >= 10_000:
            self.stderr.write(f"{label}: {_words(so_far)} so far")

    def _add(self, force: bool) -> None:
        if not force and (there := running()):
            raise CommandError(
                f"These processes run and do not know the new key: {', '.join(there)}. Stop gspnp first."
            )
        made = [keys.new_field_key(), *settings.GSPNP_FIELD_KEYS]
        try:
            keys.replace_private(_file(), "\n".join(made))
        except OSError as error:
            raise CommandError(f"{_file()} cannot be written: {error.strerror}. Nothing was changed.") from error
        settings.GSPNP_FIELD_KEYS = made
        self.stdout.write(f"A new key stands in front in {_file()}; back the file up before you go on.")

    def _refuse_beside(self, changed_at: float) -> None:
        older = running(started_before=dt.datetime.fromtimestamp(changed_at, dt.UTC))
        if older and len(settings.GSPNP_FIELD_KEYS) > 1:
            raise CommandError(
                f"These processes were started before {_file()} was changed, and could not open what is written anew: "
                f"{', '.join(older)}. Start all of gspnp anew."
            )

    def _nothing_older(self) -> None:
        values = sum(rekeying.count(model, name).values for model, name in rekeying.kinds())
        self.stdout.write(f"{values} values, none under an older key: there is one key only, and nothing to take away.")

    def _drop(self) -> None:
        old = len(settings.GSPNP_FIELD_KEYS) - 1
        written = sum(rekeying.count(model, name).left for model, name in rekeying.kinds())
        if written:
            raise CommandError(
                f"{written} values were just written with an older key. Start all of gspnp anew, then again."
            )
        try:
            keys.replace_private(_file(), settings.GSPNP_FIELD_KEYS[0])
        except OSError as error:
            raise CommandError(
                f"{_file()} cannot be written: {error.strerror}. The old keys are still there."
            ) from error
        self.stdout.write(
            f"{old} older key{'s are' if old > 1 else ' is'} taken away. Backups that were made before need "
            f"{'them' if old > 1 else 'it'}: keep the keys that were stored with them."
        )


def _file() -> Path:
    return Path(settings.GSPNP_DATA_DIR) / keys.FIELD_KEYS_FILE


def _words(found: rekeying.Count) -> str:
    parts = [f"{found.values} values"]
    parts += [f"{found.renewed} written anew"] if found.renewed else []
    parts += [f"{found.left} under an older key"] if found.left else []
    parts += [f"{found.lost} that no key opens"] if found.lost else []
    return ", ".join(parts)
