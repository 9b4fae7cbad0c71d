"""`manage.py pnp_doctor`: arguments, exit code and how the report looks in a terminal; nothing else."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sipmcast.doctor.dhcp import BY_RELEASE_ONLY
from sipmcast.doctor.examine import examine, unknown_interfaces
from sipmcast.doctor.finding import Finding, Report, State

MARKS = {State.OK: "ok", State.UNKNOWN: "?", State.WARNING: "warn", State.WRONG: "WRONG"}
INDENT = " " * 9


class Command(BaseCommand):
    help = (
        "Say why phones may not be seen, and what to do. Looks at this machine, and sends one SUBSCRIBE to itself and "
        "one of a phone that does not exist on each interface. Exit code 1 if something is wrong."
    )

    def add_arguments(self, parser):
        parser.add_argument("--json", action="store_true", help="for programs")
        parser.add_argument(
            "--interface",
            action="append",
            metavar="NAME|ADDR",
            help="look at this one only (may be given again); default: where the listener listens",
        )
        parser.add_argument("--no-probe", action="store_true", help="send nothing, look at this machine only")

    def handle(self, **options: Any) -> None:
        chosen = options["interface"] or []
        missing = unknown_interfaces(chosen) if chosen else []
        if missing:
            raise CommandError(f"This machine has no interface or address {', '.join(missing)}.")
        report = examine(chosen, probe=not options["no_probe"])
        if options["json"]:
            self.stdout.write(json.dumps(report.as_json(), indent=2))
        else:
            self._write(report)
        if report.worst is State.WRONG:
            raise SystemExit(1)

    def _write(self, report: Report) -> None:
        self.stdout.write(f"Looked at {report.machine}, {report.at:%Y-%m-%d %H:%M:%S %Z}")
        for section in report.sections:
            if section.findings:
                self.stdout.write(f"\n{section.title}")
            for finding in section.findings:
                self._write_finding(finding)
        self._write_recipes(report)
        counts = ", ".join(f"{count} {MARKS[State(state)]}" for state, count in report.counts.items() if count)
        self.stdout.write(f"\n{counts}")

    def _write_finding(self, finding: Finding) -> None:
        style = {State.WRONG: self.style.ERROR, State.WARNING: self.style.WARNING, State.OK: self.style.SUCCESS}
        mark = style.get(finding.state, str)(f"{MARKS[finding.state]:<7}")
        self.stdout.write(f"  {mark}{finding.title}: {finding.words}")
        if finding.remedy:
            self.stdout.write(f"{INDENT}-> {finding.remedy}")
        if finding.command:
            self.stdout.write(f"{INDENT}   {finding.command}")

    def _write_recipes(self, report: Report) -> None:
        if not report.recipes:
            return
        self.stdout.write(f"\nWhen multicast cannot work: DHCP option 66\n  {BY_RELEASE_ONLY}")
        for recipe in report.recipes:
            self.stdout.write(
                f"\n  {recipe.server}, phones on {recipe.interface} ({recipe.network}). {recipe.place}:\n"
            )
            for line in recipe.text.splitlines():
                self.stdout.write(f"      {line}")
