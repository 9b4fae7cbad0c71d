"""Assigned phones whose files have 12 KB, for `boot.py`; run with the site's own settings.

`python -m tests.bench.boot_site FIRST COUNT OUR-ADDRESS INTERFACE FOLDER`. They were assigned while they had no power:
each start owes a NOTIFY. FOLDER gets `paths`, the steady path of each phone on a line, and below `files` what nginx
serves: the same bytes by these paths, and for the peer's NOTIFY as `told/cfg<MAC>`.
"""

import sys
from pathlib import Path

import django

django.setup()

from devices.choices import Stage  # noqa: E402
from provisioning.models import ConfigFile  # noqa: E402
from tests.bench.arrange import arrange  # noqa: E402
from tests.bench.download_site import filled  # noqa: E402


def serve(file: ConfigFile, files: Path) -> str:
    """Put it where nginx finds it; its steady path."""
    path = f"p/{file.steady_secret}/cfg{file.phone.mac.lower()}.xml"
    for place in (files / path, files / "told" / f"cfg{file.phone.mac}"):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.content)
    return f"/{path}"


def main(first: int, count: int, ours: str, interface: str, folder: Path) -> None:
    made = arrange(Stage.ASSIGNED, range(first, first + count), ours, interface, with_files=True, finish=filled)
    paths = [serve(file, folder / "files") for file in made]
    (folder / "paths").write_text("\n".join(paths) + "\n", encoding="ascii")
    folder.chmod(0o755)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], Path(sys.argv[5]))
