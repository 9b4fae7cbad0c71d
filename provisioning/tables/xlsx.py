"""XLSX into records of text, by openpyxl in its read-only mode. Imports no Django.

Excel's own numbers become what a person sees (1001.0 is 1001, a format of zeros gives leading ones); what it made of
a text and cannot be undone (a date, the digits after the 15th) is refused by cell, as are formulas and errors.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Iterator
from typing import IO, Any

from openpyxl import load_workbook
from openpyxl.utils import get_column_letter

from provisioning.tables.table import TableError

MAX_UNPACKED_BYTES = 150_000_000  # of the whole workbook, and
MAX_STRINGS_BYTES = 40_000_000  # of each part that is held in memory at once
MAX_PARTS = 500
MAX_ROW = 1_048_576  # Excel's own
_NAMED = 5
_MAX_EXACT = 10**15
_BLOCK_BYTES = 1 << 20
_ENCODING = re.compile(rb"""encoding\s*=\s*["']([^"']+)""")
_ZEROS = re.compile(r"0{2,20}")
_NO_TABLE = "{} cannot be read as XLSX. Open it in the spreadsheet, save it anew as .xlsx, or save it as CSV."


def letters(place: int) -> str:
    """The name that a spreadsheet gives a column, counted from 0."""
    return str(get_column_letter(place + 1))


def records(shown: str, data: bytes, max_columns: int) -> Iterator[tuple[int, list[str]]]:
    """Row number and texts of each row of the first visible sheet. Raises TableError."""
    _look_into(shown, data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            workbook = load_workbook(io.BytesIO(data), read_only=True, keep_links=False)
            sheet: Any = next((one for one in workbook.worksheets if one.sheet_state == "visible"), None)
            if sheet is None:
                raise TableError(f"{shown} has no sheet to be seen. Put the table on the first sheet.")
            sheet.reset_dimensions()  # what the file says of its own size may be a lie
            yield from _rows(sheet, max_columns)
    except TableError:
        raise
    except Exception as error:  # openpyxl raises whatever a broken part leads to
        raise TableError(_NO_TABLE.format(shown)) from error


def _rows(sheet: Any, max_columns: int) -> Iterator[tuple[int, list[str]]]:
    faults: list[str] = []
    number = 0
    # One column more: a header there is refused, and not passed over in silence.
    for number, row in enumerate(sheet.iter_rows(max_row=MAX_ROW, max_col=max_columns + 1), start=1):
        texts = []
        for place, cell in enumerate(row):
            text, fault = _text(cell)
            if fault:
                faults.append(f"{letters(place)}{number} {fault}")
            texts.append(text)
        while texts and not texts[-1]:
            texts.pop()
        if len(faults) > _NAMED:
            break
        if texts:
            yield number, texts
    if faults:
        more = " and more" if len(faults) > _NAMED else ""
        raise TableError(
            f"{'; '.join(faults[:_NAMED])}{more}. Format these columns as text and enter the values again, or copy the "
            "column and paste it as values."
        )


def _text(cell: Any) -> tuple[str, str]:
    """A cell as text, or what is wrong with it."""
    value = cell.value
    if value is None or value == "":
        return "", ""
    if cell.data_type == "f":
        return "", "is a formula"
    if cell.data_type == "e":
        return "", "is an error of the spreadsheet"
    if cell.data_type == "d":
        return "", "was made a date by the spreadsheet"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE", ""
    if isinstance(value, (int, float)):
        return _digits(value, str(cell.number_format or ""))
    # Excel writes a CR as an escape in a string.
    return str(value).replace("_x000D_", "\r"), ""


def _digits(value: int | float, shown_as: str) -> tuple[str, str]:
    if value != value or abs(value) >= _MAX_EXACT:
        return "", "is a number whose last digits the spreadsheet has lost"
    text = str(int(value)) if value == int(value) else repr(value)
    return (text.zfill(len(shown_as)) if _ZEROS.fullmatch(shown_as) else text), ""


def _look_into(shown: str, data: bytes) -> None:
    """Refuse what would take the memory, and what would be fetched or resolved, before anything is parsed."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
            sheets = [part for part in parts if part.filename.startswith("xl/worksheets/")]
            others = [part for part in parts if part not in sheets and part.filename.endswith((".xml", ".rels"))]
            # zipfile never gives more than the size that is written here.
            too_big = len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED_BYTES
            if too_big or any(part.file_size > MAX_STRINGS_BYTES for part in others):
                raise TableError(f"{shown} is too big when unpacked. Keep only the sheet with the table, or use CSV.")
            for part in (*sheets, *others):
                with archive.open(part) as stream:
                    if _declares(stream):
                        raise TableError(_NO_TABLE.format(shown))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        if isinstance(error, TableError):
            raise
        raise TableError(_NO_TABLE.format(shown)) from error


def _declares(stream: IO[bytes]) -> bool:
    """Whether a part has a document type (entities), which no spreadsheet writes, or hides one in an encoding."""
    block = stream.read(_BLOCK_BYTES)
    encoding = _ENCODING.search(block[:200])
    if b"\0" in block or (encoding and encoding[1].lower() not in (b"utf-8", b"us-ascii")):
        return True
    tail = b""
    while block:
        if b"<!DOCTYPE" in tail + block or b"<!ENTITY" in tail + block:
            return True
        tail, block = block[-16:], stream.read(_BLOCK_BYTES)
    return False
