"""`python -m sipmcast.simulator`: the same phones and options without Django, for network namespaces."""

import argparse
import sys

from sipmcast.simulator.fleet import run
from sipmcast.simulator.options import DESCRIPTION, Options, OptionsError, add_arguments


def main(arguments: list[str] | None = None) -> int:
    """Run the phones that the command line asks for; the exit code is 0 only if every one got through."""
    parser = argparse.ArgumentParser(prog="python -m sipmcast.simulator", description=DESCRIPTION)
    add_arguments(parser)
    chosen = vars(parser.parse_args(arguments))
    try:
        options = Options.from_mapping(chosen)
        return run(options, sys.stdout, sys.stderr)
    except OptionsError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
