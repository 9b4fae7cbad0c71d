"""A table of text into CSV or XLSX, which `read_table` takes back as it was. Imports no Django.

Cells that a spreadsheet would take for formulas get an apostrophe in front (cells.py). CSV begins with a BOM, without
which Excel takes it for its own code page. XLSX has every cell as text, so that 0012 stays what it is when edited.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font

from provisioning.tables.cells import guard
from provisioning.tables.table import TableError

CSV, XLSX = "csv", "xlsx"
CONTENT_TYPES = {
    CSV: "text/csv; charset=utf-8",
    XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
MAX_XLSX_ROWS = 20_000  # a phone with its keys takes about 1 ms; CSV has no limit and opens in the same programs
_MAX_XLSX_CELL = 32_767  # Excel's own
_LOOKS_ESCAPED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")  # ECMA-376 part 1, 22.9.2.19
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def write_table(kind: str, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """The whole file. Raises TableError for a kind that is none, or more rows than XLSX is written with."""
    if kind == CSV:
        return "".join(csv_pieces(headers, rows)).encode("utf-8")
    if kind == XLSX:
        return _workbook(headers, rows)
    raise TableError(f"“{kind[:20]}” is no kind of table that is written here; choose csv or xlsx.")


def csv_pieces(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The same as CSV, row by row, for tables that should never stand in memory as a whole."""
    line = io.StringIO(newline="")
    writer = csv.writer(line)
    yield "\ufeff"
    for row in chain([headers], rows):
        line.seek(0)
        line.truncate()
        writer.writerow([guard(text) for text in row])
        yield line.getvalue()


def _workbook(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    # Refused before the first is written: openpyxl leaves a temporary file where it is stopped half-way.
    rows = list(islice(rows, MAX_XLSX_ROWS + 1))
    if len(rows) > MAX_XLSX_ROWS:
        raise TableError(f"XLSX is written with up to {MAX_XLSX_ROWS:,} rows. Choose CSV; Excel opens it too.")
    if any(len(text) >= _MAX_XLSX_CELL for row in rows for text in row):
        raise TableError(f"A cell has more than {_MAX_XLSX_CELL:,} characters. Choose CSV.")
    workbook = Workbook(write_only=True)
    sheet = workbook.create_sheet("Table")
    sheet.freeze_panes = "A2"
    bold = [WriteOnlyCell(sheet) for _ in headers]
    plain = [WriteOnlyCell(sheet) for _ in headers]
    for cell in bold:
        cell.font = Font(bold=True)
    for cell in (*bold, *plain):
        cell.number_format = "@"
    _append(sheet, bold, headers)
    for row in rows:
        _append(sheet, plain, row)
    file = io.BytesIO()
    workbook.save(file)
    return file.getvalue()


def _append(sheet: object, cells: Sequence[WriteOnlyCell], row: Sequence[str]) -> None:
    """One row; the cells are used again, because a row is written at once."""
    filled: list[WriteOnlyCell | None] = []
    for cell, text in zip(cells, row, strict=True):
        if not text:
            filled.append(None)
            continue
        cell.value = _LOOKS_ESCAPED.sub("_x005F_", _NOT_IN_XML.sub("\ufffd", guard(text)))
        cell.data_type = "s"  # openpyxl would make an error of “#N/A”
        filled.append(cell)
    sheet.append(filled)  # type: ignore[attr-defined]
