"""Canary secrets: each is searched for in every spelling in which a program may have written it."""

import base64
import gzip
import html
import json
import sqlite3
import urllib.parse
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

LEAST_BYTES = 6  # of what is searched for: shorter pieces are found everywhere


def spellings(secret: str) -> set[bytes]:
    """As it stands, escaped for HTML, JSON, URLs and Python, in base64 at each offset, in hex, in UTF-16."""
    raw = secret.encode()
    found = {raw, raw.hex().encode(), raw.hex().upper().encode(), secret.encode("utf-16-le")}
    found |= {html.escape(secret).encode(), json.dumps(secret)[1:-1].encode(), repr(secret)[1:-1].encode()}
    found |= {urllib.parse.quote(secret, safe="").encode(), urllib.parse.quote_plus(secret).encode()}
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw)
        coded = coded[4 if shift else 0 : len(coded) // 4 * 4 - 4]
        found |= {coded, coded.replace(b"+", b"-").replace(b"/", b"_")}
    return {one for one in found if len(one) >= LEAST_BYTES}


def leaks(data: bytes, canaries: Mapping[str, str]) -> set[str]:
    """The names of the canaries that are in it, in whatever spelling."""
    return {name for name, secret in canaries.items() if any(one in data for one in spellings(secret))}


def leaks_of_file(path: Path, canaries: Mapping[str, str]) -> set[str]:
    """The same for a file, and for what is in it if it is compressed."""
    data = path.read_bytes()
    found = leaks(data, canaries)
    if data[:2] == b"\x1f\x8b":
        found |= leaks(gzip.decompress(data), canaries)
    return found


def leaks_of_folder(folder: Path, canaries: Mapping[str, str], but: Iterable[str] = ()) -> dict[str, set[str]]:
    """Which file below this folder holds which; those named in `but` are the ones that may."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in but]
    assert files, f"nothing was written in {folder}"
    return {str(path): found for path in files if (found := leaks_of_file(path, canaries))}


def leaks_of_rows(database: Path, canaries: Mapping[str, str]) -> dict[str, set[str]]:
    """Which column holds which, also where it is packed: what is compressed in a value is looked into."""
    found: dict[str, set[str]] = {}
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=20)
    try:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = connection.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in rows.description]
            for row in rows:
                for name, value in zip(names, row, strict=True):
                    if isinstance(value, str | bytes) and (there := leaks(_unpacked(value), canaries)):
                        found.setdefault(f"{table}.{name}", set()).update(there)
    finally:
        connection.close()
    return found


def _unpacked(value: str | bytes) -> bytes:
    """The value, and what Django's signing has packed into it (sessions, messages)."""
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    packed = data.removeprefix(b".").partition(b":")[0]
    for read in (lambda coded: coded, zlib.decompress):
        try:
            data += b"\n" + read(base64.urlsafe_b64decode(packed + b"=" * (-len(packed) % 4)))
        except (ValueError, zlib.error):
            continue
    return data
