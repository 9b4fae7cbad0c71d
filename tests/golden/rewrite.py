"""Write the golden files anew: `python -m tests.golden.rewrite`, from the root of the repository.

Phones in the field read these bytes: review the difference as a change of a public interface.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tests.golden.cases import FOLDER
from tests.golden.corpus import corpus, rendered


def rewrite(folder: Path) -> Iterator[str]:
    """Bring the folder up to date; a line for each file that is new, changed or deleted."""
    fresh = rendered(corpus())
    for path, content in fresh.items():
        file = folder / path
        before = file.read_bytes() if file.exists() else None
        if before != content:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            yield f"{'new' if before is None else 'changed':8} {path}"
    for path in stored(folder) - fresh.keys():
        (folder / path).unlink()
        yield f"deleted  {path}"
    for place in sorted((place for place in folder.glob("gxp*/**/") if place.is_dir()), reverse=True):
        if not any(place.iterdir()):
            place.rmdir()


def stored(folder: Path) -> set[str]:
    """The paths of all golden files that are there."""
    return {path.relative_to(folder).as_posix() for path in folder.glob("gxp*/**/*") if path.is_file()}


def main() -> None:
    lines = sorted(rewrite(FOLDER))
    for line in lines:
        sys.stdout.write(f"{line}\n")
    count = len(stored(FOLDER))
    sys.stdout.write(f"{len(lines)} changes, {count} golden files\n" if lines else f"all {count} files are unchanged\n")


if __name__ == "__main__":
    main()
