"""`manage.py settings`: look settings up, see what a phone gets and from which layer, change a layer."""

import sys

from django.core.management.base import BaseCommand, CommandError

from devices.crypto import CannotDecrypt
from devices.inventory import VersionConflict
from devices.mac import colons
from devices.models import Extension, Phone
from gspnp.console.cli import me, phone_of
from gspnp.console.layer_list import levels
from provisioning import effective
from provisioning.changing import change, changes, preview
from provisioning.gxp.catalogue import Kind
from provisioning.gxp.config import ConfigError
from provisioning.gxp.entries import Entry, search, shown
from provisioning.gxp.layers import canonical, warnings
from provisioning.jobs import runner
from provisioning.jobs.pace import TOLD
from provisioning.layers import store
from provisioning.models import Contact, Handout, LayerLevel, Phonebook, SettingsLayer
from provisioning.revealing import CannotReveal, reveal
from sipmcast.models import ListenerStatus

AT_A_SITE = (Phone, Extension, ListenerStatus, Contact, Phonebook, Handout)
LEVELS = (LayerLevel.SITE, LayerLevel.MODEL, LayerLevel.TEMPLATE)
UNREADABLE = "It cannot be opened: put the key that it was written with back into GSPNP_FIELD_KEYS."
HOW = "Write set NAME=VALUE …, unset NAME … or leave NAME …; NAME=- reads the value from standard input."


class Command(BaseCommand):
    help = (
        "Without arguments: the layers of settings. With a MAC: what that phone gets. "
        "With --layer: what a layer says, or a change of it: set NAME=VALUE … unset NAME … leave NAME …"
    )

    def add_arguments(self, parser):
        parser.add_argument("words", nargs="*", metavar="MAC | set NAME=VALUE … | unset NAME … | leave NAME …")
        parser.add_argument("--search", metavar="TEXT", help="look settings up by name, group, note or P-code")
        parser.add_argument("--explain", action="store_true", help="with a MAC: also the layers that are overridden")
        parser.add_argument("--reveal", metavar="NAME", help="with a MAC: print one password; the timeline says so")
        parser.add_argument("--layer", metavar="LEVEL:NAME", help="site:berlin, model:GXP1628, template:desk; site: is "
                            "the default site")  # fmt: skip
        parser.add_argument("--new-site", action="store_true", help="with --layer: nothing is at that site yet")
        parser.add_argument("--note", help="with --layer: a note for your colleagues")
        parser.add_argument("--pace", type=float, default=TOLD.offered, help="phones told a minute (%(default)s)")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, words, **options):
        try:
            if options["search"] is not None:
                self._search(options["search"])
            elif options["layer"] is not None:
                self._layer(options["layer"], words, options)
            elif not words:
                self._overview()
            elif len(words) > 1:
                raise CommandError(f"Which layer? Say --layer LEVEL:NAME. {HOW}")
            elif options["reveal"] is not None:
                self.stdout.write(reveal(phone_of(words[0]), options["reveal"], by=me()))
            else:
                self._phone(words[0], options["explain"])
        except CannotReveal as error:
            raise CommandError(str(error)) from error
        except CannotDecrypt as error:
            raise CommandError(UNREADABLE) from error

    def _search(self, text: str) -> None:
        found = search(text)
        if not found:
            raise CommandError(f"No setting fits to {text!r}. A raw P-code such as P8765 can be set as it stands.")
        for one in found:
            self.stdout.write(f"{one.name:<44} {one.codes:<20} {_takes(one)}".rstrip())
            if one.note:
                self.stdout.write(f"    {one.note}")

    def _overview(self) -> None:
        for level in levels():
            for line in level.lines:
                if line.stored:
                    size = "cannot be opened" if line.settings is None else f"{line.settings} settings"
                    name = "" if line.title == "Default site" else line.title
                    at = f"{line.changed_at:%Y-%m-%d %H:%M}"
                    self.stdout.write(
                        f"{level.level}:{name:<24} {size:<16} {line.phones:>6} phones  {at} by {line.changed_by}"
                    )

    def _phone(self, mac: str, explain: bool) -> None:
        phone = phone_of(mac)
        if phone.known_model is None:
            raise CommandError(f"{phone.model or 'This model'} cannot be configured.")
        picture = effective.picture(phone)
        self.stdout.write(f"{colons(phone.mac)} {phone.model}")
        for one in picture.settings:
            self.stdout.write(f"{one.name:<44} {one.text:<36} {one.origin.words}".rstrip())
            if explain:
                for other in one.overrides:
                    self.stdout.write(f"{'':<44} instead of {other.text} ({other.words})")
        for problem in picture.problems:
            self.stderr.write(f"No new file can be made: {problem.message}")

    def _layer(self, named: str, words: list[str], options: dict) -> None:
        layer = _find(named)
        if not words:
            for name, text in layer.values.items():
                self.stdout.write(f"{name:<44} {shown(name, text) or 'empty'}")
            return
        values = _read_words(dict(layer.values), words)
        if layer.level == LayerLevel.SITE and layer.pk is None and not options["new_site"]:
            _refuse_unknown_site(layer.name)
        try:
            seen = preview(layer, values)
            for problem in warnings({name: seen.values[name] for name in seen.values if name not in layer.values}):
                self.stderr.write(problem.message)
            for one in changes(layer.values, seen.values):
                self.stdout.write(f"{one.name}: {one.before} -> {one.after}")
            self.stdout.write(f"{layer} touches {len(seen.touched)} of {seen.reached} phones.")
            if not options["yes"] and not _agreed():
                raise CommandError("Nothing was changed.")
            by, pace = me(), options["pace"]
            _, job = change(layer, seen.values, by=by, note=options["note"], pace_per_minute=pace)
        except ConfigError as error:
            lines = "\n".join(f"  {line}" for line in error.lines)
            raise CommandError(f"Not saved:\n{lines}") from error
        except (VersionConflict, runner.JobError) as error:
            raise CommandError(str(error)) from error
        if job is None:
            self.stdout.write("Saved. It reaches no phone yet.")
        else:
            self.stdout.write(f"Saved. Job {job.pk} brings its phones after; `manage.py jobs {job.pk} --wait` follows.")


def _takes(one: Entry) -> str:
    """What a value of it looks like."""
    if not one.settable:
        return "computed for each phone; it can be left alone"
    if one.kind is Kind.NUMBER:
        return f"{one.least} to {one.most} {one.unit}".rstrip()
    if one.choices and len(one.choices) <= 8:
        return " ".join(f"{value}={label}" for value, label in one.choices.items())
    return f"one of {len(one.choices)} choices" if one.choices else f"{one.kind}{', secret' if one.secret else ''}"


def _find(named: str) -> SettingsLayer:
    level, colon, name = named.partition(":")
    if level not in LEVELS or not colon:
        raise CommandError(f"--layer is one of {', '.join(f'{one.value}:NAME' for one in LEVELS)}.")
    try:
        return store.find(level, name)
    except ConfigError as error:
        raise CommandError(" ".join(problem.message for problem in error.problems)) from error


def _refuse_unknown_site(name: str) -> None:
    """Raises CommandError: a site that is spelled otherwise would be saved, and reach nobody."""
    known = set().union(*(set(one.objects.order_by().values_list("site", flat=True).distinct()) for one in AT_A_SITE))
    if name and name not in known:
        there = ", ".join(f"site:{one}" for one in sorted(known - {""}))
        raise CommandError(
            f"No phone, listener, extension or contact is at a site {name!r}. The default site is `site:`"
            f"{f'; there are {there}' if there else ''}. If the site is still to come, say --new-site."
        )


def _read_words(values: dict[str, str | None], words: list[str]) -> dict[str, str | None]:
    """The layer's values after `set … unset … leave …`. Raises CommandError."""
    what = ""
    for word in words:
        if word in ("set", "unset", "leave"):
            what = word
            continue
        name, equals, text = word.partition("=")
        if what == "set" and equals:
            values[canonical(name)] = _line_for(name) if text == "-" else text
        elif what == "leave" and not equals:
            values[canonical(name)] = None
        elif what == "unset" and not equals:
            if canonical(name) not in values:
                raise CommandError(f"The layer does not say {name}.")
            del values[canonical(name)]
        else:
            # The word itself may hold a secret; only its name is repeated.
            raise CommandError(f"{name}: not understood here. {HOW}")
    return values


def _line_for(name: str) -> str:
    line = sys.stdin.readline()
    if not line:
        raise CommandError(f"{name}=-: standard input has no line for it. Write one line for each such setting.")
    return line.rstrip("\r\n")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise CommandError("Nobody can be asked here. Look at what it touches, then say --yes.")
    return input("Save it and tell the phones? [y/N] ").strip().lower() in ("y", "yes")
