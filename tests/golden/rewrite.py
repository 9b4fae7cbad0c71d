"""Write the golden files anew: `python -m tests.golden.rewrite`, from the root of the repository.

Phones in the field read these bytes: review the difference as a change of a public interface.
"""

from __future__ import annotations

import sys

from provisioning.gxp.document import render
from tests.golden.cases import CASES, golden_path


def main() -> None:
    for model, config in CASES.items():
        path = golden_path(model)
        fresh = render(config)
        changed = not path.exists() or path.read_bytes() != fresh
        path.write_bytes(fresh)
        sys.stdout.write(f"{'written  ' if changed else 'unchanged'} {path.name}\n")


if __name__ == "__main__":
    main()
