"""`manage.py firmware`: what the console's firmware page does."""

import getpass
from collections.abc import Iterator
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from gspnp.console.firmware import model_rows
from provisioning.firmware import images, pins
from provisioning.firmware.models import FirmwareImage


class Command(BaseCommand):
    help = "Firmware: list what runs and what is stored, add or remove an image, set the path of a model."

    def add_arguments(self, parser):
        what = parser.add_subparsers(dest="what", required=True)
        what.add_parser("list", help="images, paths, and who runs what")
        add = what.add_parser("add", help="store an image")
        add.add_argument("file", type=Path, help="the gxp1600fw.bin from the vendor's archive")
        add.add_argument("--version", dest="number", required=True, help="as the phone shows it, such as 1.0.7.81")
        remove = what.add_parser("remove", help="delete an image that no path names")
        remove.add_argument("number", metavar="VERSION")
        pin = what.add_parser("pin", help="set the path of a model; no version: the phones keep what they run")
        pin.add_argument("model")
        pin.add_argument("path", nargs="*", metavar="VERSION", help="in their order, the oldest first")

    def handle(self, **options):
        try:
            getattr(self, f"_{options['what']}")(options)
        except (images.ImageError, pins.PinError) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{error.filename or 'The image'}: {error.strerror}.") from error

    def _list(self, options):
        for image in FirmwareImage.objects.all():
            self.stdout.write(f"image {image.version:<12} {image.size_bytes:>10} bytes  SHA-256 {image.sha256}")
        for row in model_rows():
            if row.path:
                self.stdout.write(f"path  {row.name}: {' → '.join(row.path)}")
            for runs in row.runs:
                holes = "".join(f"  {hole.name}: fixed in {hole.fixed_in}" for hole in runs.holes)
                self.stdout.write(f"runs  {row.name:<10} {runs.version:<12} {runs.count:>6}{holes}")

    def _add(self, options):
        image = images.add(options["number"], _pieces(options["file"]), by=f"{getpass.getuser()} (command line)")
        self.stdout.write(f"Firmware {image.version} is stored, SHA-256 {image.sha256}.")

    def _remove(self, options):
        image = FirmwareImage.objects.filter(version=options["number"]).first()
        if image is None:
            raise CommandError(f"There is no image of {options['number']}; `manage.py firmware list` shows what is.")
        images.remove(image)
        self.stdout.write(f"The image of {image.version} is removed.")

    def _pin(self, options):
        touched = pins.touched(options["model"], options["path"])
        pins.pin(options["model"], options["path"])
        path = " → ".join(options["path"]) or "none"
        self.stdout.write(f"The path of {options['model'].upper()}: {path}. `manage.py work` gives phones their files.")
        if touched:
            self.stdout.write(f"Phones that fetch another firmware and restart: {touched}.")


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(images.CHUNK_BYTES):
            yield piece
