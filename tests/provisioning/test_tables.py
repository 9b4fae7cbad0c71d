"""Tables from outside and back: nothing in them runs, nothing is lost, and what cannot be read says what to do."""

import csv
import io
import re
import tracemalloc
import zipfile
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

from provisioning.tables.cells import guard, unguard
from provisioning.tables.reading import TableError, read_table
from provisioning.tables.writing import MAX_XLSX_ROWS, csv_pieces, write_table

SHEET = "xl/worksheets/sheet1.xml"
LINE = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=30)
TRICKY = st.sampled_from(
    ["+4930123", "=1+1", "-", "--", "@x", "'", "'=x", "''+1", " =1", "\t=1", "\r=1", "#N/A", "007", "a\nb", 'a"b',
     "a;b,c\td", "a;=1", "a;'=1", ';"=1', "a,\t@x;\n-1;;+", "x; \t=1;'",
     "_x000D_", "_x005F_x000D_", "＝1", "TRUE", "1.0", "1e5", " 12 ", "ü€", "'a"]
)  # fmt: skip


def read(text: str | bytes, **options):
    data = text.encode() if isinstance(text, str) else text
    return read_table("phones.csv", data, **({"max_rows": 100} | options))


def cells(table) -> list[dict[str, str]]:
    return [row.cells for row in table.rows]


def workbook(*rows, formats=()) -> bytes:
    book = Workbook()
    for row in rows:
        book.active.append(row)
    for name, shown_as in formats:
        book.active[name].number_format = shown_as
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def changed(data: bytes, part: str, change) -> bytes:
    """A workbook with one part made different."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)) if name == part else old.read(name))
    return file.getvalue()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_csv_of_every_spreadsheet_is_read(separator, encoding):
    text = separator.join(["MAC", "Caller Name", "1-SIP server"]) + "\r\n"
    text += (
        separator.join(["000B82000E10", '"Zoë\nMüller"', "pbx"]) + "\r\n\r\n" + separator.join(["x", "", "y"]) + "\r\n"
    )
    table = read(text.encode(encoding))
    assert table.headers == ["mac", "caller_name", "1_sip_server"]
    assert cells(table)[0] == {"mac": "000B82000E10", "caller_name": "Zoë\nMüller", "1_sip_server": "pbx"}
    assert [row.number for row in table.rows] == [2, 4]  # as the spreadsheet numbers them


def test_excels_own_word_for_the_separator_is_no_row():
    table = read("sep=;\r\na;b\r\n1;2\r\n")
    assert (table.headers, table.rows[0].number) == (["a", "b"], 2)


def test_what_excel_made_of_numbers_becomes_what_a_person_sees():
    data = workbook(
        ["MAC", "Extension", "Room", "Note", "On"],
        ["000B82000E10", 1001.0, 7, "0012", True],
        [None, None, None, None, None],
        ["000B82000E11", 1.5, "007", " x ", False],
        formats=[("C2", "0000")],
    )
    table = read(data)
    assert cells(table) == [
        {"mac": "000B82000E10", "extension": "1001", "room": "0007", "note": "0012", "on": "TRUE"},
        {"mac": "000B82000E11", "extension": "1.5", "room": "007", "note": " x ", "on": "FALSE"},
    ]
    assert [row.number for row in table.rows] == [2, 4]


@pytest.mark.parametrize(
    ("cell", "words"),
    [("=A1", "B2 is a formula"), (date(2026, 3, 4), "B2 was made a date"), (1e15, "B2 is a number whose last digits")],
)
def test_what_excel_spoiled_is_refused_with_its_cell(cell, words):
    with pytest.raises(TableError, match=words) as caught:
        read(workbook(["mac", "extension"], ["000B82000E10", cell]))
    assert "as text" in str(caught.value)


@pytest.mark.parametrize(
    ("shown_as", "text"),
    [
        ("000-000", None), ('"0"0', None), ("00 00", None), ("\\00", None), ("+0", None), ('"Desk "0', None),
        ("0000;-0000", "0012"), ("0", "12"), ("#,##0.00", "12"), ("0.00E+00", "12"), ('0 "€"', "12"), ("@", "12"),
        ("00-0", None), ("0-0", "12"), ("[<=9999999]###-####;(###) ###-####", "12"), ("General", "12"),
    ],
)  # fmt: skip
def test_a_number_that_its_format_shows_otherwise_is_refused(shown_as, text):
    """What a person sees there are more digits than the number has."""
    data = workbook(["mac", "extension"], ["x", 12], formats=[("B2", shown_as)])
    if text is not None:
        assert cells(read(data))[0]["extension"] == text
        return
    with pytest.raises(TableError, match="B2 is a number that its format shows otherwise.*as text and enter"):
        read(data)


def test_merged_cells_are_refused_by_name_where_the_table_is():
    """Only the first of them has the value, and the others would be empty without a word."""
    book = Workbook()
    for row in (["mac", "site"], ["000B82000E10", "berlin"], ["000B82000E11", None], ["000B82000E12", "x"]):
        book.active.append(row)
    book.active.merge_cells("D7:E9")
    book.active.merge_cells("B9:B10")

    def saved() -> bytes:
        file = io.BytesIO()
        book.save(file)
        return file.getvalue()

    assert len(read(saved()).rows) == 3
    book.active.merge_cells("B2:B3")
    with pytest.raises(TableError, match="Merged cells: B2:B3. Only the first cell .* Unmerge them"):
        read(saved())


@pytest.mark.parametrize("text", ["sep=\r\na,b\n1,2\n", 'sep="\na,b\n1,2\n'])
def test_what_can_be_no_separator_is_none(text):
    """A newer Python than ours raises another error for these than for what it cannot read."""
    with pytest.raises(TableError):
        read(text)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("mac,MAC ,b\n1,2,3", "Named twice: mac"),
        ("a,b\n1,2,3\n", "Row 2 has a cell in column C"),
        ('a,b\n"1,2\n', "opened and not closed"),
        ("a,b\n" + "1,2\n" * 101, "more than 100 rows"),
        (b"a,b\n\x81\x8d,2\n", "CSV UTF-8"),
        (b"a\x00b\n", "neither CSV nor XLSX"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Excel file, or has a password"),
        (b"PK\x03\x04 nonsense", "cannot be read as XLSX"),
        ("a\n" + "x" * 5000, "Row 2, column a: more than 4,000"),
        (",".join(f"c{n}" for n in range(201)) + "\n1", "more than 200 columns"),
        (workbook([f"c{n}" for n in range(201)], ["1"]), "more than 200 columns"),
        (b"x" * 20_000_001, "more than 20 MB"),
    ],
    # Of what is said only: a workbook has the time in it, and all processes of the suite must find the same names.
    ids=lambda value: "" if isinstance(value, bytes) or len(value) > 40 else value,
)
def test_what_cannot_be_read_says_what_to_do(data, words):
    with pytest.raises(TableError, match=words):
        read(data)


def test_an_unknown_column_is_named_with_the_one_that_was_meant():
    table = read("mac,extention,foo\n1,2,3\n")
    with pytest.raises(
        TableError, match="“extention” .meant “extension”.., “foo”.*Known are: mac, extension"
    ) as caught:
        table.need({"mac", "extension"}.__contains__, ["mac", "extension"])
    assert "Rename or remove" in str(caught.value)


def test_a_row_never_shows_its_cells_by_itself():
    assert "s3cret" not in repr(read("mac,password\n1,s3cret\n").rows[0])


def test_a_workbook_that_would_fill_the_memory_is_refused_unread():
    bomb = changed(workbook(["a"], ["1"]), "xl/worksheets/sheet1.xml", lambda old: old + b" " * 151_000_000)
    assert len(bomb) < 1_000_000
    with pytest.raises(TableError, match="too big when unpacked"):
        read(bomb)


@pytest.mark.parametrize("part", ["xl/worksheets/sheet1.xml", "xl/workbook.xml", "xl/styles.xml"])
@pytest.mark.parametrize("padding", [0, 900_000])
def test_entities_are_refused_wherever_they_hide(part, padding, tmp_path):
    (tmp_path / "secret").write_text("s3cret")
    kind = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{tmp_path}/secret">]>'.encode()
    comment = b"<!--" + b"x" * padding + b"-->" if padding else b""
    data = changed(
        workbook(["a"], ["1"]), part, lambda old: comment + kind + old[old.find(b"?>") + 2 * (b"?>" in old) :]
    )
    with pytest.raises(TableError, match="cannot be read as XLSX"):
        read(data)


BOMBS = {
    "big styles": ("xl/styles.xml", lambda old: old.replace(b"</cellXfs>", b"<xf/>" * 2_000_000 + b"</cellXfs>")),
    "loose": (SHEET, lambda old: old.replace(b"</sheetData>", b"<c/><v/>" * 1_000_000 + b"</sheetData>")),
    "cells": (SHEET, lambda old: old.replace(b"</sheetData>", b"<row>" + b"<c/>" * 1_600_000 + b"</row></sheetData>")),
    "deep": (SHEET, lambda old: old.replace(b"<sheetData>", b"<a>" * 1_600_000 + b"<sheetData>")),
    "below": (SHEET, lambda old: old.replace(b'r="2"', b'r="99999999999"')),
    "again": (SHEET, lambda old: old.replace(b'r="2"', b'r="1"')),
}


@pytest.mark.parametrize("bomb", ["big styles", "loose", "cells", "deep"])
def test_what_would_take_memory_and_time_is_refused_while_it_is_read(bomb):
    data = changed(workbook(["a"], ["1"]), *BOMBS[bomb])
    assert len(data) < 100_000
    with pytest.raises(TableError, match="too big when unpacked"):
        read(data)


def test_one_tag_with_a_million_attributes_is_refused_before_it_is_whole():
    """They are no elements, and a file of 10 MB would take 1 GB for them."""
    attributes = b"".join(b' a%x=""' % number for number in range(1_000_000))
    data = changed(
        workbook(["a"], ["1"]), SHEET, lambda old: old.replace(b"<sheetData", b"<x" + attributes + b"/><sheetData")
    )
    tracemalloc.start()
    try:
        with pytest.raises(TableError, match="too big when unpacked"):
            read(data)
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()


def test_a_million_names_of_elements_are_not_kept():
    names = b"".join(b"<a%x/>" % number for number in range(1_400_000))
    data = changed(workbook(["a"], ["1"]), SHEET, lambda old: old.replace(b"</sheetData>", names + b"</sheetData>"))
    tracemalloc.start()
    try:
        with pytest.raises(TableError, match="too big when unpacked"):
            read(data)
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()


def test_many_styles_are_not_kept():
    """Some 3 MB of them; as objects they would take 500 MB, and a minute."""
    data = changed(
        workbook(["a"], ["1"]),
        "xl/styles.xml",
        lambda old: old.replace(b"</fonts>", b"<font/>" * 400_000 + b"</fonts>"),
    )
    assert cells(read(data)) == [{"a": "1"}]


def test_a_row_far_below_is_read_without_those_above_it():
    """A million rows of padding would take half a minute."""
    data = changed(workbook(["a"], ["1"]), SHEET, lambda old: old.replace(b'r="2"', b'r="1048576"'))
    assert [(row.number, row.cells) for row in read(data).rows] == [(1_048_576, {"a": "1"})]


@pytest.mark.parametrize("bomb", ["below", "again"])
def test_rows_that_no_sheet_has_are_refused(bomb):
    with pytest.raises(TableError, match="cannot be read as XLSX"):
        read(changed(workbook(["a"], ["1"]), *BOMBS[bomb]))


def test_one_long_text_named_by_many_cells_does_not_multiply():
    row = b'<row r="%d">' + b"".join(b'<c r="%s1" t="s"><v>0</v></c>' % name for name in (b"A", b"B", b"C")) + b"</row>"
    sheet = b"".join(row % number for number in range(1, 3000))
    text = b"<si><t>" + b"x" * 4000 + b"</t></si>"
    data = changed(
        with_shared_strings(text), SHEET, lambda old: b"<worksheet><sheetData>" + sheet + b"</sheetData></worksheet>"
    )
    with pytest.raises(TableError, match="too big when unpacked"):
        read(data, max_rows=10_000)


def with_shared_strings(strings: bytes) -> bytes:
    """A workbook whose cell A1 names the first shared string, as Excel writes it."""
    row = b'<row r="1"><c r="A1" t="s"><v>0</v></c><c r="C1" t="str"><v>b</v></c></row>'
    names = (
        b'<Relationship Id="x" Type="http://purl.oclc.org/ooxml/x/sharedStrings" Target="strings.xml"/></Relationships>'
    )
    data = changed(workbook(["a"]), SHEET, lambda old: re.sub(rb"<row.*</row>", row, old))
    data = changed(data, "xl/_rels/workbook.xml.rels", lambda old: old.replace(b"</Relationships>", names))
    file = io.BytesIO(data)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("xl/strings.xml", b"<x:sst xmlns:x='x'>" + strings + b"</x:sst>")
    return file.getvalue()


def test_strings_are_read_as_excel_writes_them():
    """Rich text in pieces, how it is spoken left out, escapes undone, and a column left out."""
    strings = (
        b"<si><r><rPr><b/></rPr><t>Calle</t></r><r><t>r_x000D_Na_x005F_x000D_me</t></r>"
        b'<rPh sb="0" eb="1"><t>spoken</t></rPh></si>'
    )
    assert read(with_shared_strings(strings)).headers == ["caller_na_x000d_me", "b"]  # a CR joins words in a header


def test_the_first_sheet_that_is_to_be_seen_is_read():
    book = Workbook()
    book.active.sheet_state = "hidden"
    book.create_chartsheet("chart")
    book.create_sheet("seen").append(["mac"])
    file = io.BytesIO()
    book.save(file)
    assert read(file.getvalue()).headers == ["mac"]
    book["seen"].sheet_state = "veryHidden"
    book.create_sheet("also")["XFD3"] = "far"
    book["also"]["A1"] = "mac"
    file = io.BytesIO()
    book.save(file)
    with pytest.raises(TableError, match="Row 3 has a cell in column GS"):
        read(file.getvalue())


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(LINE | TRICKY, LINE | TRICKY), min_size=1, max_size=5))
def test_what_was_written_is_read_as_it_was(kind, rows):
    table = read(write_table(kind, ["mac", "b", "c"], [("x", *row) for row in rows]))
    assert [(row.cells["b"], row.cells["c"]) for row in table.rows] == rows


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=10) | TRICKY | st.text("';,\t\r\n |\"=+a-", max_size=12))
def test_taking_the_apostrophe_away_gives_what_was_there(text):
    assert unguard(guard(text)) == text
    assert guard(text).lstrip()[:1] not in set("=+-@＝＋－＠") | {"\t"}


FORMULAS = (
    "=1+1",
    " =1",
    'x;=HYPERLINK("http://evil.example.net/")',
    'x";"=1',
    "x;\t=1",
    "x,=1",
    "x\t+1",
    "x\n@a",
    "x\r=1",
    "x|=1",
)


@pytest.mark.parametrize("text", FORMULAS)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_no_cell_is_a_formula_whatever_a_spreadsheet_splits_at(separator, text):
    """Also where it knows nothing of our quotes, because its separator stands inside of them."""
    written = write_table("csv", ["mac", "b"], [["000B82000E10", text]]).decode("utf-8-sig")
    for row in csv.reader(io.StringIO(written, newline=""), delimiter=separator):
        assert not [cell for cell in row if cell.strip(' \t\r\n"')[:1] in set("=+-@") - {""}], row
    assert cells(read(written))[0]["b"] == text


def test_no_cell_of_ours_is_a_formula_and_every_one_is_text():
    data = write_table("xlsx", ["a", "b"], [("=1+1", "#N/A"), ("0012", "@SUM(1)")])
    rows = list(load_workbook(io.BytesIO(data)).active.iter_rows(min_row=2))
    assert {(cell.data_type, cell.number_format) for row in rows for cell in row} == {("s", "@")}
    assert rows[0][0].value == "'=1+1"
    assert write_table("csv", ["a"], [["+49"]]) == "\ufeffa\r\n'+49\r\n".encode()


def test_csv_comes_row_by_row_and_xlsx_says_where_it_ends():
    asked = iter([["1"], ["2"]])
    pieces = csv_pieces(["a"], asked)
    assert [next(pieces), next(pieces), next(pieces)] == ["\ufeff", "a\r\n", "1\r\n"]
    assert list(asked) == [["2"]]
    with pytest.raises(TableError, match="Choose CSV"):
        write_table("xlsx", ["a"], (["1"] for _ in range(MAX_XLSX_ROWS + 1)))
    with pytest.raises(TableError, match="csv or xlsx"):
        write_table("pdf", ["a"], [])
