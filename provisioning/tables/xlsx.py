"""XLSX into records of text: the few parts of a workbook that say a table, streamed, each within bounds. No Django.

openpyxl makes an object of every style, and pads what a file only claims to have, so that some kB take a minute and a
GB; it stays for writing. Here nothing is kept but the texts: what a part has costs its bytes and elements, and both
are counted while it is read. Nothing is calculated, fetched or resolved; a document type (entities) is refused.

Excel's own numbers become what a person sees (1001.0 is 1001, a format of zeros gives leading ones); what it made of
a text and cannot be undone (a date, the digits after the 15th) is refused by cell, as are formulas and errors.
Source: ECMA-376 part 1, 12.3 (parts), 18.3.1 (sheets), 18.4 (strings), 18.8 (styles), 22.9.2.19 (`_xHHHH_`).
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from xml.parsers import expat

from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format
from openpyxl.utils import get_column_letter

from provisioning.tables.table import TableError

MAX_PARTS = 500
MAX_PART_BYTES = 40_000_000  # of a part that is read, unpacked; 10,000 rows of 30 cells take 20 MB
MAX_STYLES_BYTES = 4_000_000
MAX_ELEMENTS = 1_500_000  # of all parts that are read, some 3 s: 10,000 rows of 50 cells
MAX_CHARACTERS = 20_000_000  # of all cells: many cells may name the same long text. As for CSV
MAX_NAMES = 10_000  # of elements and attributes in one part: expat keeps each of them
MAX_ROW = 1_048_576  # Excel's own
_NAMED = 5
_MAX_EXACT = 10**15
_BLOCK_BYTES = 1 << 18
_TAG_BYTES = 1 << 20  # of one tag with its attributes, of which each becomes an object before anybody can count them
_FORMAT_CHARACTERS = 255  # Excel's own
_CELL = re.compile(r"([A-Z]{1,3})[0-9]{1,10}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_ESCAPED = re.compile(r"_x(000D|005F)_")
_ZEROS = re.compile(r"0{2,20}")
_RANGE = re.compile(r"([A-Z]{1,3})([0-9]{1,7}):[A-Z]{1,3}[0-9]{1,7}", re.ASCII)
_SECTION = re.compile(r'(?:"[^"]*"|\\.|\[[^\]]*\]|[^;])*')  # of a number format; the first is that of positive ones
_LITERAL = re.compile(r'"([^"]*)"|\\(.)|\[[^\]]*\]|[_*].')
# What a broken part leads to.
_BROKEN = (expat.ExpatError, zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, LookupError, OSError, EOFError)
_NO_TABLE = "{} cannot be read as XLSX. Open it in the spreadsheet, save it anew as .xlsx, or save it as CSV."
_TOO_BIG = "{} is too big when unpacked. Keep only the sheet with the table, or use CSV."


def letters(place: int) -> str:
    """The name that a spreadsheet gives a column, counted from 0."""
    return str(get_column_letter(place + 1))


def records(shown: str, data: bytes, max_columns: int) -> Iterator[tuple[int, list[str]]]:
    """Row number and texts of each filled row of the first visible sheet. Raises TableError.

    What stands right of `max_columns` is put into one column more: there it is refused, and not passed over.
    """
    if data.count(b"PK\x01\x02") > MAX_PARTS:  # before each becomes an object
        raise TableError(_TOO_BIG.format(shown))
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield from _Workbook(shown, archive).records(max_columns)
    except TableError:
        raise
    except _BROKEN as error:
        raise TableError(_NO_TABLE.format(shown)) from error


class _Part:
    """What is made of a part while it streams by; names come without their prefixes."""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""

    def text(self, text: str) -> None:
        """A piece of what stands in it."""

    def end(self, name: str) -> None:
        """It ends."""


class _Workbook:
    def __init__(self, shown: str, archive: zipfile.ZipFile) -> None:
        self.shown = shown
        self.archive = archive
        self.left = MAX_ELEMENTS

    def records(self, max_columns: int) -> Iterator[tuple[int, list[str]]]:
        main = self._named("", "officeDocument")[1]
        sheet = self._sheet(main)
        styles, strings = _Styles(), _Strings()
        for kind, part, most in (("styles", styles, MAX_STYLES_BYTES), ("sharedStrings", strings, MAX_PART_BYTES)):
            path = self._named(main, kind)[1]
            if path:
                self._read(path, part, most)
        rows = _Rows(self.shown, styles.formats, strings.texts, max_columns)
        for _ in self._blocks(sheet, rows, MAX_PART_BYTES):
            yield from rows.taken()
        rows.refuse_faults()

    def _sheet(self, main: str) -> str:
        """The path of the first sheet that is to be seen."""
        sheets = _Elements("sheet")
        self._read(main, sheets, MAX_STYLES_BYTES)
        related = self._related(main)
        for one in sheets.found:
            kind, path = related[next(value for name, value in one.items() if name.rpartition(":")[2] == "id")]
            if kind == "worksheet" and one.get("state", "visible") == "visible":
                return path
        raise TableError(f"{self.shown} has no sheet to be seen. Put the table on the first sheet.")

    def _named(self, of: str, kind: str) -> tuple[str, str]:
        """The part of this kind that another one names; empty texts if it names none."""
        return next((one for one in self._related(of).values() if one[0] == kind), ("", ""))

    def _related(self, of: str) -> dict[str, tuple[str, str]]:
        """Kind and path of each part inside the file that another one names, by the name's id."""
        folder, name = posixpath.split(of)
        relations = _Elements("Relationship")
        self._read(posixpath.join(folder, "_rels", f"{name}.rels"), relations, MAX_STYLES_BYTES)
        return {
            one["Id"]: (one["Type"].rpartition("/")[2], posixpath.join("/", folder, one["Target"]).lstrip("/"))
            for one in relations.found
            if one.get("TargetMode") != "External"
        }

    def _read(self, path: str, part: _Part, most: int) -> None:
        for _ in self._blocks(path, part, most):
            pass

    def _blocks(self, path: str, part: _Part, most: int) -> Iterator[None]:
        """Stream a part through, with a stop after each block."""
        info = self.archive.getinfo(posixpath.normpath(path))
        if info.file_size > most:  # zipfile never gives more than the size that is written here
            raise TableError(_TOO_BIG.format(self.shown))
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("no spreadsheet packs like this")
        names: dict[str, str] = {}
        parser = expat.ParserCreate(None, None, names)
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._counted(part.start)
        parser.CharacterDataHandler = part.text
        parser.EndElementHandler = lambda name: part.end(name.rpartition(":")[2])
        read = 0
        with self.archive.open(info) as stream:
            while block := stream.read(_BLOCK_BYTES):
                parser.Parse(block, False)
                read += len(block)
                if read - parser.CurrentByteIndex > _TAG_BYTES + _BLOCK_BYTES or len(names) > MAX_NAMES:
                    raise TableError(_TOO_BIG.format(self.shown))
                yield
        parser.Parse(b"", True)
        yield

    def _counted(self, start: Callable[[str, Mapping[str, str]], None]) -> Callable[[str, Mapping[str, str]], None]:
        def counted(name: str, attributes: Mapping[str, str]) -> None:
            self.left -= 1
            if not self.left:
                raise TableError(_TOO_BIG.format(self.shown))
            start(name.rpartition(":")[2], attributes)

        return counted

    def _refuse(self, *_: object) -> None:
        raise TableError(_NO_TABLE.format(self.shown))


class _Elements(_Part):
    """The attributes of every element of one name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.found: list[Mapping[str, str]] = []

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == self.name and len(self.found) < 10 * MAX_PARTS:
            self.found.append(attributes)


class _Styles(_Part):
    """How a cell's number is shown, by the number of the cell's style."""

    def __init__(self) -> None:
        self.formats: list[str] = []
        self._own: dict[str, str] = {}
        self._inside = ""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name in ("numFmts", "cellXfs"):
            self._inside = name
        elif name == "numFmt" and self._inside == "numFmts":
            self._own[attributes["numFmtId"]] = attributes["formatCode"][:_FORMAT_CHARACTERS]
        elif name == "xf" and self._inside == "cellXfs":
            number = attributes.get("numFmtId", "0")
            built_in = BUILTIN_FORMATS.get(int(number), "") if _NUMBER.fullmatch(number) else ""
            self.formats.append(self._own.get(number) or str(built_in))

    def end(self, name: str) -> None:
        if name == self._inside:
            self._inside = ""


class _Strings(_Part):
    """The texts that cells name by their number; how Japanese is spoken (`rPh`) is no part of them."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._pieces: list[str] = []
        self._is_text = self._is_spoken = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "rPh":
            self._is_spoken = True
        self._is_text = name == "t" and not self._is_spoken

    def text(self, text: str) -> None:
        if self._is_text:
            self._pieces.append(text)

    def end(self, name: str) -> None:
        self._is_text = False
        if name == "rPh":
            self._is_spoken = False
        elif name == "si":
            self.texts.append("".join(self._pieces))
            self._pieces = []


class _Format:
    """What a number format makes of a number for who looks at it, where that is more than the number says.

    `width` is that of a format of zeros, which alone can be made good; `zeros` is the least number of digits before the
    decimal point, and `adds` says that it puts letters, digits or a plus between them.
    """

    def __init__(self, shown_as: str) -> None:
        found = _SECTION.match(shown_as)
        section = found[0] if found else ""
        bare = _LITERAL.sub("", section)
        literals = "".join(one[1] or one[2] or "" for one in _LITERAL.finditer(section))
        whole = re.split(r"\.|E[+-]", bare)[0]
        self.is_date = is_date_format(shown_as)
        self.width = len(section) if _ZEROS.fullmatch(section) else 0
        self.zeros = whole.count("0")
        self.adds = "+" in whole or re.search(r"[\w+]", literals) is not None


class _Rows(_Part):
    """The filled rows of a sheet, as texts; and the cells that cannot be taken."""

    def __init__(self, shown: str, formats: list[str], strings: list[str], max_columns: int) -> None:
        self._shown, self._formats, self._strings, self._last = shown, formats, strings, max_columns
        self._known = {shown_as: _Format(shown_as) for shown_as in {"", *formats}}
        self._number = self._place = self._characters = 0
        self._lowest = self._rightmost = 0  # of all that is filled
        self._texts: list[str] = []
        self._done: list[tuple[int, list[str]]] = []
        self._faults: list[str] = []
        self._merged: list[str] = []
        self._kind = self._shown_as = ""  # of the cell that is read
        self._pieces: list[str] = []
        self._is_formula = self._is_text = self._is_spoken = False

    def taken(self) -> list[tuple[int, list[str]]]:
        """The rows since this was asked last."""
        done, self._done = self._done, []
        return done

    def refuse_faults(self) -> None:
        """Raises TableError if a cell could not be taken, or stands for others."""
        if self._faults:
            more = " and more" if len(self._faults) > _NAMED else ""
            raise TableError(
                f"{'; '.join(self._faults[:_NAMED])}{more}. Format these columns as text and enter the values again, "
                "or copy the column and paste it as values."
            )
        if self._merged:
            more = " and more" if len(self._merged) > _NAMED else ""
            raise TableError(
                f"Merged cells: {', '.join(self._merged[:_NAMED])}{more}. Only the first cell of each has its value. "
                "Unmerge them, and fill in every cell."
            )

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "row":
            self._begin_row(attributes.get("r"))
        elif name == "c":
            self._begin_cell(attributes)
        elif name == "f":
            self._is_formula = True
        elif name == "rPh":
            self._is_spoken = True
        elif name == "mergeCell":  # these come after the rows
            self._merge(attributes.get("ref", ""))
        self._is_text = name in ("v", "t") and not self._is_spoken

    def text(self, text: str) -> None:
        if self._is_text:
            self._pieces.append(text)

    def end(self, name: str) -> None:
        self._is_text = False
        if name == "rPh":
            self._is_spoken = False
        elif name == "c" and (self._pieces or self._is_formula):
            self._take("".join(self._pieces))
        elif name == "row" and self._texts:
            self._done.append((self._number, self._texts))

    def _merge(self, cells: str) -> None:
        """Note merged cells, unless they stand beside the table or below it."""
        found = _RANGE.fullmatch(cells)
        if found and int(found[2]) <= self._lowest and _place(found[1]) <= self._rightmost:
            self._merged = [*self._merged[:_NAMED], cells]

    def _begin_row(self, number: str | None) -> None:
        before = self._number
        self._number = before + 1 if number is None else int(number if _NUMBER.fullmatch(number) else 0)
        if not before < self._number <= MAX_ROW:
            raise TableError(_NO_TABLE.format(self._shown))
        self._texts, self._place = [], -1

    def _begin_cell(self, attributes: Mapping[str, str]) -> None:
        name = _CELL.fullmatch(attributes.get("r", ""))
        self._place = _place(name[1]) if name else self._place + 1
        style = attributes.get("s", "0")
        known = _NUMBER.fullmatch(style) and int(style) < len(self._formats)
        self._shown_as = self._formats[int(style)] if known else ""
        self._kind = attributes.get("t", "n")
        self._pieces, self._is_formula = [], False

    def _take(self, written: str) -> None:
        text, fault = self._read(written)
        if fault:
            self._faults.append(f"{letters(self._place)}{self._number} {fault}")
            if len(self._faults) > _NAMED:
                self.refuse_faults()
        if not text:
            return
        self._characters += len(text)
        if self._characters > MAX_CHARACTERS:
            raise TableError(_TOO_BIG.format(self._shown))
        place = min(self._place, self._last)
        self._texts += [""] * (place + 1 - len(self._texts))
        self._texts[place] = text
        self._lowest, self._rightmost = self._number, max(self._rightmost, place)

    def _read(self, written: str) -> tuple[str, str]:
        """A cell as text, or what is wrong with it."""
        kind = self._kind
        if self._is_formula:
            return "", "is a formula"
        if kind == "e":
            return "", "is an error of the spreadsheet"
        if kind == "d" or (kind == "n" and self._known[self._shown_as].is_date):
            return "", "was made a date by the spreadsheet"
        if kind == "b":
            return "TRUE" if written.strip() == "1" else "FALSE", ""
        if kind == "n":
            return _digits(written, self._known[self._shown_as])
        text = self._strings[int(written)] if kind == "s" else written
        # Excel writes a CR as an escape in a string, and the escape's own beginning too.
        return _ESCAPED.sub(lambda found: "\r" if found[1] == "000D" else "_", text), ""


def _place(name: str) -> int:
    """A column's place from 0, by its letters."""
    place = 0
    for letter in name:
        place = place * 26 + ord(letter) - 64
    return place - 1


def _digits(written: str, shown_as: _Format) -> tuple[str, str]:
    is_whole = len(written) <= 20 and written.strip().lstrip("-").isdigit()
    value = int(written) if is_whole else float(written)
    if value != value or abs(value) >= _MAX_EXACT:
        return "", "is a number whose last digits the spreadsheet has lost"
    text = str(int(value)) if value == int(value) else repr(value)
    if shown_as.width:
        return text.zfill(shown_as.width), ""
    if shown_as.adds or shown_as.zeros > max(1, len(str(abs(int(value))))):
        return "", "is a number that its format shows otherwise"
    return text, ""
