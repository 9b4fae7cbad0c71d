"""`manage.py simulate_phones`: faithful GXP16xx phones against a running server; no database."""

import sys
from argparse import ArgumentParser
from typing import Any, TextIO, cast

from django.core.management.base import BaseCommand, CommandError

from sipmcast.simulator import Options, OptionsError, add_arguments, run
from sipmcast.simulator.options import DESCRIPTION


class Command(BaseCommand):
    """Arguments in, exit code out; everything else is in `sipmcast.simulator`."""

    help = DESCRIPTION
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the simulator's own options, the same as `python -m sipmcast.simulator`."""
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the phones; leave with 1 if one did not get through."""
        self.stderr.ending = ""  # the progress bar redraws its line
        self.stderr.style_func = None
        try:
            code = run(Options.from_mapping(options), cast(TextIO, self.stdout), cast(TextIO, self.stderr))
        except OptionsError as error:
            self.stderr.ending = "\n"
            raise CommandError(str(error)) from error
        if code:
            sys.exit(code)
