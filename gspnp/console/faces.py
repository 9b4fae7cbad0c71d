"""The front of each phone model as the drawer draws it: where its keys, its screen and their labels stand.

Pure geometry in units of the drawing, from data/faces.toml; the template draws it, the page's script fills in labels.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from devices.catalog import MODELS, KeyKind, KeySlot, PhoneModel, slots

DATA = Path(__file__).parent / "data" / "faces.toml"
LCD_ROW = 16  # pixels: a line of text on these screens; our choice, the vendor gives no figure
PAD = 5  # units between an edge and a text
DIGITS = "123456789*0#"


@dataclass(frozen=True)
class Box:
    """A rectangle of the drawing."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def middle_x(self) -> float:
        return self.x + self.width / 2

    @property
    def middle_y(self) -> float:
        return self.y + self.height / 2

    @property
    def attributes(self) -> SafeString:
        """As an SVG rectangle has it."""
        numbers = (f"{round(one, 2):g}" for one in (self.x, self.y, self.width, self.height))
        return format_html('x="{}" y="{}" width="{}" height="{}"', *numbers)

    def inset(self, x: float, y: float) -> Box:
        """The box that is smaller by so much on either side."""
        return Box(self.x + x, self.y + y, self.width - 2 * x, self.height - 2 * y)


@dataclass(frozen=True)
class Cap:
    """A key with its label: `hit` is all that answers a pointer, `label` what its text must fit into."""

    slot: KeySlot
    body: Box
    label: Box
    hit: Box

    @property
    def is_mpk(self) -> bool:
        return self.slot.kind is KeyKind.MPK

    @property
    def text_x(self) -> float:
        return self.label.x + PAD

    @property
    def flag(self) -> tuple[float, float]:
        """The middle of the dot that says that something is wrong."""
        return self.hit.right - 4, self.hit.y + 4

    @property
    def fit(self) -> float:
        """Units of width for the text."""
        return self.label.width - 2 * PAD


@dataclass(frozen=True)
class Face:
    """A phone's front. `rows` are the lines of its screen, from the top."""

    name: str
    size: Box
    handset: Box
    screen: Box
    rows: tuple[Box, ...]
    caps: tuple[Cap, ...]
    soft_keys: tuple[Box, ...]
    digits: tuple[tuple[str, Box], ...]
    arrows: tuple[float, float, float]
    function_keys: tuple[Box, ...]

    @property
    def text_x(self) -> float:
        return self.screen.x + PAD

    @property
    def fit(self) -> float:
        """Units of width for the first line of the screen."""
        return self.screen.width - 2 * PAD

    @property
    def body(self) -> Box:
        return self.size.inset(1, 1)

    @property
    def grip(self) -> Box:
        return self.handset.inset(7, 7)

    @property
    def ears(self) -> tuple[Box, Box]:
        """Both ends of the handset."""
        inner = self.handset.inset(13, 14)
        return Box(inner.x, inner.y, inner.width, 64), Box(inner.x, inner.bottom - 64, inner.width, 64)

    @property
    def lamp(self) -> Box:
        """The light that says that a message waits."""
        return Box(self.screen.right - 26, 21, 26, 6)


@cache
def face_of(model: PhoneModel) -> Face:
    """The drawing of this model."""
    family, lcd = _read()[model.name]
    x, y, width = family["screen"]
    screen = Box(x, y, width, width * lcd[1] / lcd[0])
    count = lcd[1] // LCD_ROW
    rows = tuple(_grid(screen, 1, count, 0))
    soft_x, soft_height, soft_count = family["soft_keys"]
    below = Box(soft_x, screen.bottom + 10, screen.right - soft_x, soft_height)
    return Face(
        name=model.name,
        size=Box(0, 0, *family["size"]),
        handset=Box(*family["handset"]),
        screen=screen,
        rows=rows,
        caps=tuple(_cap(slot, family, screen, rows) for slot in slots(model)),
        soft_keys=tuple(_grid(below, soft_count, 1, 14)),
        digits=tuple(zip(DIGITS, _grid(Box(*family["dial"]), 3, 4, 6), strict=True)),
        arrows=tuple(family["arrows"]),
        function_keys=tuple(_grid(Box(*family["function_keys"]), 2, 2, 6)),
    )


def _cap(slot: KeySlot, family: Mapping[str, Any], screen: Box, rows: tuple[Box, ...]) -> Cap:
    if slot.kind is KeyKind.MPK:
        x, y, pitch = family["mpks"]
        width, height = family["mpk_size"]
        body = Box(x, y + (slot.number - 1) * pitch, width, height)
        label = Box(body.right + 4, body.y, *family["strip"])
        return Cap(slot, body, label, Box(body.x - 2, body.y - 2, label.right - body.x + 4, pitch - 1.5))
    row = rows[slot.number]  # the first row is the phone's own
    x, width = family["line_key"]
    body = Box(x, row.y + 2, width, row.height - 4)
    hit = Box(x - 3, row.y, screen.right - x + 3, row.height)
    return Cap(slot, body, row, hit)


def _grid(box: Box, columns: int, rows: int, gap: float) -> list[Box]:
    """Boxes of one size that fill a box, row by row."""
    width = (box.width - gap * (columns - 1)) / columns
    height = (box.height - gap * (rows - 1)) / rows
    return [
        Box(box.x + column * (width + gap), box.y + row * (height + gap), width, height)
        for row in range(rows)
        for column in range(columns)
    ]


@cache
def _read() -> Mapping[str, tuple[Mapping[str, Any], list[int]]]:
    tables = tomllib.loads(DATA.read_text("utf-8"))
    faces = {name: (tables["families"][one["family"]], one["lcd"]) for name, one in tables["models"].items()}
    lacking = set(MODELS) - set(faces)
    if lacking:
        raise ValueError(f"{DATA.name} has no drawing for {', '.join(sorted(lacking))}; add it to its models.")
    return faces
