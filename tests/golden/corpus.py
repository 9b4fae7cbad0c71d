"""The golden corpus: tests/golden/<model>/<case>/, the files of each case and a listing that says what they mean.

Pure: rendering it needs no Django. Phones in the field read these bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from devices.catalog import MODELS
from provisioning.gxp import document, files
from provisioning.gxp.catalogue import Kind, Setting, by_element
from provisioning.gxp.config import DeviceConfig
from provisioning.gxp.files import Bootstrap, FileFormat, FormatChoice
from tests.golden.cases import PRINTABLE, configurations

LISTING, TEXT, ENCODER = "listing.txt", "text.xml", "encoder.bin"
ENCRYPTED = {"md5": "encrypted-md5.xml", "sha256": "encrypted-sha256.xml"}
BOOTSTRAPS = {"md5": ("bootstrap.bin", Bootstrap.BINARY), "sha256": ("bootstrap.xml", Bootstrap.XML)}
SALT = bytes.fromhex("0102030405060708")
FIRST_PATH = "172.18.0.10:5481/p/fIrStfIrStfIrStfIrSt12"
IN_ALL_FORMATS = ("plain", "desk", "special", "site")  # the others as XML text only: the corpus stays small
ALSO_IN_ALL_FORMATS = (("GXP1630", "settings-300"), ("GXP1628", "raw-code"))


@dataclass(frozen=True)
class Case:
    """One configuration and its folder."""

    model: str
    name: str
    about: str
    config: DeviceConfig

    @property
    def folder(self) -> str:
        return f"{self.model.lower()}/{self.name}"

    @property
    def in_all_formats(self) -> bool:
        return self.name in IN_ALL_FORMATS or (self.model, self.name) in ALSO_IN_ALL_FORMATS

    @property
    def key(self) -> str:
        """The passphrase of its encrypted files."""
        return PRINTABLE.strip() if self.name == "special" else "Kq3vX8nB2mZ7tR4wY9pL6sD1fG5hJ0cA"

    def files(self) -> dict[str, bytes]:
        """Every file of the folder by its name."""
        texts = document.settings(self.config)
        plain = document.written(self.config.mac, texts)
        made = {LISTING: self._listing(plain).encode(), TEXT: plain}
        if self.in_all_formats:
            binary = FormatChoice(FileFormat.BINARY)
            made[ENCODER] = files.bodies(self.config.mac, plain, texts, binary, FIRST_PATH, SALT).final
            made |= self._encrypted(texts)
        return made

    def _encrypted(self, texts: dict[str, str]) -> Iterator[tuple[str, bytes]]:
        with_key = document.in_order(texts | {files.KEY_SETTING: self.key})
        plain = document.written(self.config.mac, with_key)
        for digest, (name, bootstrap) in BOOTSTRAPS.items():
            choice = FormatChoice(FileFormat.ENCRYPTED, digest, bootstrap)  # type: ignore[arg-type]
            made = files.bodies(self.config.mac, plain, with_key, choice, FIRST_PATH, SALT)
            yield from ((ENCRYPTED[digest], made.final), (name, made.bootstrap))

    def _listing(self, plain: bytes) -> str:
        """P-value, name, value, and what the value means, for people."""
        rows = [(element, by_element(element), text) for element, text in document.read(plain)[1]]
        names = [row.name if row else "(not in the catalogue)" for _, row, _ in rows]
        wide = max(map(len, names))
        lines = [
            f'{element:8} {name:{wide}}  "{text}"{_meaning(row, text)}'
            for (element, row, text), name in zip(rows, names, strict=True)
        ]
        return "\n".join([f"{self.model}, {self.name}: {self.about}", "", *lines, ""])


def _meaning(row: Setting | None, text: str) -> str:
    if row is None or not text:
        return ""
    labels = [row.choices[one] for one in text.split(",")] if row.kind is Kind.LIST else [row.choices.get(text)]
    meaning = ", ".join(filter(None, labels)) or row.unit
    return f"  {meaning}" if meaning else ""


@cache
def corpus() -> tuple[Case, ...]:
    """Every case of every model."""
    return tuple(Case(model, *case) for model in MODELS for case in configurations(model))


def rendered(cases: Iterable[Case]) -> dict[str, bytes]:
    """The files of these cases, by their paths below tests/golden."""
    return {f"{case.folder}/{name}": content for case in cases for name, content in case.files().items()}
