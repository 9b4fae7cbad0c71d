"""Prepared lxml trees: files of phones differ in a few texts, so their elements are made once for each set of them.

Pure: must never import Django, asyncio or socket. A tree belongs to one caller at a time: threads never share one.
A waiting tree still holds the texts of the last file, in the memory of a process that can decrypt them all anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from lxml import etree

MAX_SHAPES = 64  # sets of elements that are kept; six models with a handful of layers each. Our choice.
_INDENT = "\n  "

_free: dict[tuple[bool, tuple[str, ...]], list[Tree]] = {}


class Tree:
    """The elements of one file; `written` puts texts into them and gives the bytes."""

    def __init__(self, with_mac: bool, elements: Sequence[str]) -> None:
        self._root = etree.Element("gs_provision", version="1")
        self._root.text = _INDENT
        self._mac = etree.SubElement(self._root, "mac") if with_mac else None
        if self._mac is not None:
            self._mac.tail = _INDENT
        config = etree.SubElement(self._root, "config", version="1")
        config.tail = "\n"
        # An empty text, not None: gives <P1></P1>, the form seen in the field, instead of <P1/>.
        config.text = _INDENT + "  " if elements else ""
        self._settings = [etree.SubElement(config, element) for element in elements]
        for setting in self._settings:
            setting.text, setting.tail = "", _INDENT + "  "
        if self._settings:
            self._settings[-1].tail = _INDENT
        self._texts = [""] * len(self._settings)

    def written(self, mac: str | None, texts: Iterable[str]) -> bytes:
        """The root element as UTF-8 with a line end; ValueError if a text cannot stand in XML."""
        if self._mac is not None:
            self._mac.text = mac
        for place, (setting, was, text) in enumerate(zip(self._settings, self._texts, texts, strict=True)):
            if was != text:
                setting.text = text
                self._texts[place] = text
        body: bytes = etree.tostring(self._root, encoding="UTF-8", xml_declaration=False)
        return body + b"\n"


@contextmanager
def tree(with_mac: bool, names: tuple[str, ...], element: Callable[[str], str]) -> Iterator[Tree]:
    """A tree of these settings for the caller alone; afterwards it waits for the next one.

    `element` gives the element name of a setting's name; it is only asked when a tree is made.
    """
    shape = (with_mac, names)
    try:
        one = _free[shape].pop()
    except (KeyError, IndexError):
        one = Tree(with_mac, [element(name) for name in names])
    yield one
    # After an exception it does not come here: half of the texts would be of another phone.
    if shape not in _free and len(_free) >= MAX_SHAPES:
        _free.clear()
    _free.setdefault(shape, []).append(one)
