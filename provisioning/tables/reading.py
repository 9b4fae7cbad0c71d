"""CSV and XLSX into a table of text. Imports no Django.

What a file is says its content, not its name. Everything in it is hostile: sizes are limited before anything is
unpacked, and nothing is calculated, fetched or resolved.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

from provisioning.tables import xlsx
from provisioning.tables.cells import unguard
from provisioning.tables.table import Row, Table, TableError, canonical

__all__ = ["MAX_BYTES", "MAX_COLUMNS", "Row", "Table", "TableError", "read_table"]

MAX_BYTES = 20_000_000  # of the file. Our choice: 100,000 rows of 200 characters
MAX_COLUMNS = 200
MAX_CELL = 4_000  # characters; more than any setting takes
DELIMITERS = ",;\t"
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"  # .xls, and every workbook with a password
_NAMED = 5  # rows or columns that a refusal names


def read_table(name: str, data: bytes, *, max_rows: int) -> Table:
    """Read a file that somebody uploaded; `name` is for words only. Raises TableError: show its text."""
    shown = re.sub(r"[^\w. -]", "_", name)[-60:] or "This file"
    if len(data) > MAX_BYTES:
        raise TableError(f"{shown} has more than {MAX_BYTES // 1_000_000} MB. Split it into several files.")
    if data.startswith(_OLD_EXCEL):
        raise TableError(f"{shown} is an old Excel file, or has a password. Save it as .xlsx without one, or as CSV.")
    records = xlsx.records(shown, data, MAX_COLUMNS) if data.startswith(b"PK") else _csv_records(shown, data)
    return _table(shown, records, max_rows)


def _table(shown: str, records: Iterator[tuple[int, Sequence[str]]], max_rows: int) -> Table:
    first = next((record for record in records if _is_filled(record[1])), None)
    if first is None:
        raise TableError(f"{shown} is empty. The first row names the columns, every further row is one entry.")
    headers, places = _headers(first[1])
    rows: list[Row] = []
    for number, texts in records:
        if not _is_filled(texts):
            continue
        if len(rows) == max_rows:
            raise TableError(f"{shown} has more than {max_rows:,} rows. Split it into several files.")
        _refuse_nameless(number, texts, places)
        cells = {header: unguard(texts[place]) if place < len(texts) else "" for place, header in places.items()}
        long = next((header for header, text in cells.items() if len(text) > MAX_CELL), None)
        if long is not None:
            raise TableError(f"Row {number}, column {long}: more than {MAX_CELL:,} characters. Shorten it.")
        rows.append(Row(number, cells))
    return Table(headers, rows)


def _is_filled(texts: Sequence[str]) -> bool:
    return any(text.strip() for text in texts)


def _headers(texts: Sequence[str]) -> tuple[list[str], dict[int, str]]:
    """The headers, and which place has which."""
    if len(texts) > MAX_COLUMNS and any(text.strip() for text in texts[MAX_COLUMNS:]):
        raise TableError(f"There are more than {MAX_COLUMNS} columns. Remove those that are not needed.")
    places = {place: canonical(unguard(text)) for place, text in enumerate(texts) if text.strip()}
    headers = [header for header in places.values() if header]
    if len(headers) != len(places):
        raise TableError("A column has a name without letters. Name it, or remove it.")
    doubled = sorted({header for header in headers if headers.count(header) > 1})
    if doubled:
        raise TableError(f"Named twice: {', '.join(one[:40] for one in doubled[:_NAMED])}. Keep one column of each.")
    return headers, places


def _refuse_nameless(number: int, texts: Sequence[str], places: dict[int, str]) -> None:
    for place, text in enumerate(texts):
        if place not in places and text.strip():
            raise TableError(
                f"Row {number} has a cell in column {xlsx.letters(place)}, which has no name in the first row. Name "
                "the column, or put quotes around a text that has the separator in it."
            )


def _csv_records(shown: str, data: bytes) -> Iterator[tuple[int, list[str]]]:
    """Row number and texts of each record; a spreadsheet counts records and not lines."""
    text = _decoded(shown, data)
    if "\0" in text:
        raise TableError(f"{shown} is neither CSV nor XLSX. Save the table as one of these.")
    head, _, rest = text.partition("\n")
    told = re.fullmatch(r'sep=([^\r"])\r?', head)  # Excel's own way to name the separator; no row to it
    delimiter = told[1] if told else _delimiter(text)
    reader = csv.reader(io.StringIO(rest if told else text, newline=""), delimiter=delimiter, strict=True)
    number = 0
    try:
        for number, record in enumerate(reader, start=1):
            yield number, record
    except csv.Error as error:
        raise TableError(
            f"Row {number + 1} of {shown} cannot be read ({error}). Look for a quote that is opened and not closed."
        ) from error


def _decoded(shown: str, data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):  # Excel's "Unicode text"
        encodings: tuple[str, ...] = ("utf-16",)
    else:
        encodings = ("utf-8-sig", "cp1252")  # the second is what Excel writes in Western Europe and America
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise TableError(f"The letters of {shown} cannot be read. Save it as “CSV UTF-8”, or as .xlsx.")


def _delimiter(text: str) -> str:
    """The separator that the first filled line has most of, outside quotes."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    bare = re.sub(r'"[^"]*"', "", line)
    return max(DELIMITERS, key=bare.count)
