"""A site of phones that have their files of 12 KB, for `downloads.py`; run with the site's own settings.

`python -m tests.bench.download_site COUNT FOLDER`. The rows are those that the product leaves behind; the files are
rendered ones, filled up with a comment to one size. FOLDER gets `paths`, one on a line, and below `files` what nginx
serves by the same paths.
"""

import sys
from pathlib import Path

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from devices.choices import Stage  # noqa: E402
from devices.models import Phone  # noqa: E402
from provisioning.models import ConfigFile  # noqa: E402
from tests.bench.arrange import chunks, phone_row, rendered  # noqa: E402

FILE_BYTES = 12 * 1024
OURS, INTERFACE = "127.0.0.1", "lo"
COMMENT = b"<!--", b"-->\n"


def filled(content: bytes) -> bytes:
    """A file of exactly FILE_BYTES; it stays XML."""
    room = FILE_BYTES - len(content) - sum(map(len, COMMENT))
    assert room >= 0, f"a rendered file has {len(content)} bytes"
    return content + COMMENT[0] + b"x" * room + COMMENT[1]


def arrange(numbers: range, folder: Path) -> list[str]:
    """Some phones in one transaction; the paths of their files."""
    now, paths = timezone.now(), []
    with transaction.atomic():
        phones = Phone.objects.bulk_create(phone_row(n, Stage.APPLIED, OURS, INTERFACE, now) for n in numbers)
        files = [rendered(phone, number, now) for phone, number in zip(phones, numbers, strict=True)]
        for file in files:
            file.content = filled(file.content)
        ConfigFile.objects.bulk_create(files)
    for file in files:
        path = f"/p/{file.steady_secret}/cfg{file.phone.mac.lower()}.xml"
        place = folder / "files" / path[1:]
        place.parent.mkdir(parents=True)
        place.write_bytes(file.content)
        paths.append(path)
    return paths


def main(count: int, folder: Path) -> None:
    call_command("migrate", verbosity=0)
    paths = [path for numbers in chunks(0, count) for path in arrange(numbers, folder)]
    (folder / "paths").write_text("\n".join(paths) + "\n", encoding="ascii")
    (folder / "files").chmod(0o755)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
