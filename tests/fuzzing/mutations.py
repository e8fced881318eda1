"""Mutations of files: what a slip of a hand, a broken copy or another program makes of them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import shutil
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from numcodecs.zstd import compress

Mutation = Callable[[Random, bytes], bytes]

CELLS = (
    *("", " ", "NA", "nan", "-inf", "1e400", "-1", "0", "1", "2", "3", "1.5", "1_0", "1,5", "0x10"),
    *("#", '"', "'", "\\", "$x$", "%s", "{}", "=1+1", "../x.csv", "/etc/passwd", "s3://b/x", "~"),
    *("\x1b[31m", "\u202e", "\ufeff", "\uff11", "\u00e9", "\u65e5\u672c", "a" * 300, "9" * 6000),
    *("TRUE", "chr1", "X", "sample", "id", "-", ".", "a:b", "1:AA", "\x00", "\r", "A", "B", "H"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 3, 10**6, 10**30, 0.5, 1e308, "", "x", "NaN", "variants"),
    *([], {}, [1], [0], [-1, 4], ["x"], [[]], {"x": 1}, "string", "float32", "int8", [None]),
)
_JSON = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
_SEPARATORS = b",\t; |"
# Characters that other programs write, or that look the same.
_ALIKE: tuple[dict[str, str], ...] = (
    {"-": "\u2212", " ": "\u00a0", ",": "\uff0c", ".": "\u066b"},
    {str(i): chr(0xFF10 + i) for i in range(10)},
    {"a": "\u0430", "e": "\u0435", "o": "\u043e", "m": "\u217f", "A": "\u0391", "X": "\u0425"},
    {"1": "l", "0": "O", "m": "rn", '"': "\u201d", "'": "\u2019"},
)
# What else metadata of Zarr arrays may say.
_METADATA: dict[str, tuple[Any, ...]] = {
    "data_type": ("string", "float32", "int8", "uint64", "bool", "complex64", "float16", "x"),
    "dtype": ("<f4", "|i1", "|O", "<U3", "<M8[ns]", "|S2", "<c8", ">i4", "x"),
    "shape": ([], [0], [1], [3], [10**12], [2, 2], [6, 4], [-1], 3),
    "chunk_shape": ([], [0], [1], [10**12], [2, 2], [2]),
    "chunks": ([], [0], [1], [10**12], [2, 2], [2]),
    "dimension_names": (None, [None], ["traits"], ["x"], ["variants", "variants"], []),
    "fill_value": (None, "NaN", 1, "x", True, -1, "Infinity", [0.0, 1.0]),
    "codecs": ([], [{"name": "bytes"}], [{"name": "vlen-utf8"}], [{"name": "gzip"}], None),
    "node_type": ("group", "array", None),
    "zarr_format": (2, 3, 4, "3"),
    "attributes": ({}, None, [], {"units": 3}, {"maximum": 7}, {"_FillValue": 0.0}),
}


def flip(rng: Random, content: bytes) -> bytes:
    """Change bits of one to three bytes."""
    out = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        if out:
            out[rng.randrange(len(out))] ^= rng.randint(1, 255)
    return bytes(out)


def cut(rng: Random, content: bytes) -> bytes:
    """Lose the end, or the beginning."""
    at = rng.randint(0, len(content))
    return content[:at] if rng.random() < 0.8 else content[at:]


def insert(rng: Random, content: bytes) -> bytes:
    """Insert bytes, or a text that means something elsewhere."""
    at = rng.randint(0, len(content))
    piece = rng.choice(CELLS).encode() if rng.random() < 0.7 else rng.randbytes(rng.randint(1, 9))
    return content[:at] + piece + content[at:]


def repeat(rng: Random, content: bytes) -> bytes:
    """Repeat a part."""
    start = rng.randint(0, len(content))
    stop = rng.randint(start, len(content))
    return content[:stop] + content[start:stop] * rng.randint(1, 3) + content[stop:]


def pack(rng: Random, content: bytes) -> bytes:
    """Pack it, perhaps cut short."""
    method = rng.choice((gzip.compress, bz2.compress, lzma.compress, compress))
    packed = bytes(method(content))
    return packed if rng.random() < 0.6 else packed[: rng.randint(0, len(packed))]


def empty(rng: Random, content: bytes) -> bytes:
    """Lose all."""
    return b""


def nest(rng: Random, content: bytes) -> bytes:
    """Pack it twice, or in an archive of one member, perhaps inside another."""
    if rng.random() < 0.3:
        return gzip.compress(gzip.compress(content))
    for _ in range(rng.randint(1, 2)):
        held = io.BytesIO()
        if rng.random() < 0.7:
            with zipfile.ZipFile(held, "w") as archive:
                archive.writestr(rng.choice(("x.csv", "a/b.csv", "../x.csv", "x.zip")), content)
        else:
            with tarfile.open(fileobj=held, mode="w:gz") as packed:
                member = tarfile.TarInfo("x.csv")
                member.size = len(content)
                packed.addfile(member, io.BytesIO(content))
        content = held.getvalue()
    return content


def alike(rng: Random, content: bytes) -> bytes:
    """Put look-alikes in the place of some characters."""
    table = rng.choice(_ALIKE)
    text = content.decode("utf-8", "replace")
    chosen = rng.random()
    return "".join(table.get(c, c) if rng.random() < chosen else c for c in text).encode()


def recode(rng: Random, content: bytes) -> bytes:
    """Write it in another encoding."""
    text = content.decode("utf-8", "replace") + rng.choice(("", "\u00e9"))
    return text.encode(rng.choice(("utf-16", "utf-16-le", "utf-8-sig", "latin-1")), "replace")


def end_lines(rng: Random, content: bytes) -> bytes:
    """Change line ends."""
    return content.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b"\r\r\n", b"")))


def separate(rng: Random, content: bytes) -> bytes:
    """Change separators."""
    one, other = (bytes([rng.choice(_SEPARATORS)]) for _ in range(2))
    return content.replace(one, other)


def _by_lines(change: Callable[[Random, list[bytes]], None]) -> Mutation:
    def mutation(rng: Random, content: bytes) -> bytes:
        lines = content.split(b"\n")
        change(rng, lines)
        return b"\n".join(lines)

    mutation.__name__, mutation.__doc__ = change.__name__, change.__doc__
    return mutation


@_by_lines
def drop_line(rng: Random, lines: list[bytes]) -> None:
    """Lose a line."""
    del lines[rng.randrange(len(lines))]


@_by_lines
def double_line(rng: Random, lines: list[bytes]) -> None:
    """Repeat a line elsewhere."""
    lines.insert(rng.randint(0, len(lines)), rng.choice(lines))


@_by_lines
def add_line(rng: Random, lines: list[bytes]) -> None:
    """Insert a line of odd cells."""
    cells = [rng.choice(CELLS).encode() for _ in range(rng.randint(1, 5))]
    lines.insert(rng.randint(0, len(lines)), bytes([rng.choice(_SEPARATORS)]).join(cells))


def _by_cells(change: Callable[[Random, list[list[bytes]]], None]) -> Mutation:
    """A change of rows of cells, split at the most frequent separator."""

    def mutation(rng: Random, content: bytes) -> bytes:
        separator = bytes([max(_SEPARATORS, key=content.count)])
        rows = [line.split(separator) for line in content.split(b"\n")]
        change(rng, rows)
        return b"\n".join(map(separator.join, rows))

    mutation.__name__, mutation.__doc__ = change.__name__, change.__doc__
    return mutation


@_by_cells
def set_cell(rng: Random, rows: list[list[bytes]]) -> None:
    """Write an odd cell."""
    row = rng.choice(rows)
    row[rng.randrange(len(row))] = rng.choice(CELLS).encode()


@_by_cells
def add_cell(rng: Random, rows: list[list[bytes]]) -> None:
    """Insert a cell in one row, or in all."""
    chosen = rows if rng.random() < 0.5 else [rng.choice(rows)]
    at, cell = rng.choice((0, 1, 99)), rng.choice(CELLS).encode()
    for row in chosen:
        row.insert(at, cell)


@_by_cells
def drop_cell(rng: Random, rows: list[list[bytes]]) -> None:
    """Lose a cell of one row, or of all."""
    chosen = rows if rng.random() < 0.5 else [rng.choice(rows)]
    at = rng.randint(0, 2)
    for row in chosen:
        if len(row) > at:
            del row[at]


@_by_cells
def swap_columns(rng: Random, rows: list[list[bytes]]) -> None:
    """Exchange two columns."""
    one, other = rng.randint(0, 3), rng.randint(0, 3)
    for row in rows:
        if len(row) > max(one, other):
            row[one], row[other] = row[other], row[one]


@_by_cells
def double_name(rng: Random, rows: list[list[bytes]]) -> None:
    """Give one cell the text of another."""
    row, other = rng.choice(rows), rng.choice(rows)
    row[rng.randrange(len(row))] = rng.choice(other)


@_by_cells
def double_column(rng: Random, rows: list[list[bytes]]) -> None:
    """Repeat a column, or insert an empty one."""
    at, to, filled = rng.randint(0, 3), rng.randint(0, 4), rng.random() < 0.6
    for row in rows:
        if len(row) > at:
            row.insert(to, row[at] if filled else b"")


@_by_cells
def fill_column(rng: Random, rows: list[list[bytes]]) -> None:
    """Write one text into all cells of a column below the first."""
    at, cell = rng.randint(0, 3), rng.choice(CELLS).encode()
    for row in rows[1:]:
        if len(row) > at:
            row[at] = cell


BYTES = (flip, cut, empty, insert, repeat, pack, nest)
TEXT = (
    *(recode, end_lines, separate, alike, drop_line, double_line, add_line),
    *(set_cell, set_cell, set_cell, add_cell, drop_cell, swap_columns, double_name),
    *(double_column, fill_column),
)


def mutate_json(rng: Random, content: bytes) -> bytes:
    """Change, lose, rename or move one value of a JSON file."""
    try:
        root = json.loads(content)
    except ValueError:  # damaged by an earlier mutation
        return cut(rng, content)
    places: list[tuple[Any, Any]] = []

    def walk(one: Any) -> None:
        keys = list(one) if isinstance(one, dict) else range(len(one))
        for key in keys:
            places.append((one, key))
            if isinstance(one[key], dict | list):
                walk(one[key])

    if isinstance(root, dict | list):
        walk(root)
    if not places:
        return cut(rng, content)
    holder, key = rng.choice(places)
    what = rng.random()
    if what < 0.25:
        del holder[key]
    elif what < 0.35 and isinstance(holder, dict):
        holder[str(key) + "x"] = holder.pop(key)
    elif what < 0.5:
        other, place = rng.choice(places)
        holder[key] = other[place] if other is not root else rng.choice(VALUES)
    else:
        holder[key] = rng.choice(_METADATA.get(key, VALUES) if rng.random() < 0.7 else VALUES)
    try:
        return json.dumps(root).encode()
    except (ValueError, RecursionError):  # a value moved into itself
        return cut(rng, content)


def mutate_member(rng: Random, content: bytes) -> bytes:
    """Mutate a member of a zip, or lose, rename or double it."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
    except Exception:  # damaged by an earlier mutation, in one of many ways
        return cut(rng, content)
    if members:
        at = rng.randrange(len(members))
        name, held = members[at]
        what = rng.random()
        if what < 0.1:
            del members[at]
        elif what < 0.2:
            members[at] = rng.choice((f"deep/{name}", f"../{name}", f"/{name}", name[:-1])), held
        elif what < 0.3:
            members.append((name, rng.choice(TEXT)(rng, held)))
        else:
            members[at] = name, rng.choice(BYTES + TEXT)(rng, held)
    out = io.BytesIO()
    method = rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2))
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", method) as archive:
        warnings.simplefilter("ignore")  # a name twice
        for name, held in members:
            archive.writestr(name, held)
    return out.getvalue()


def mutate_file(rng: Random, file: Path) -> str:
    """Mutate the content of a file; the name of what was done."""
    content = file.read_bytes()
    if file.suffix == ".zip" and rng.random() < 0.8:
        file.write_bytes(mutate_member(rng, content))
        return "mutate_member"
    if file.name in _JSON and rng.random() < 0.8:
        file.write_bytes(mutate_json(rng, content))
        return "mutate_json"
    is_text = b"\x00" not in content and file.suffix not in (".bed", ".zip", ".npy")
    mutation = rng.choice(BYTES + TEXT * is_text)
    file.write_bytes(mutation(rng, content))
    return mutation.__name__


def mutate_folder(rng: Random, folder: Path) -> list[str]:
    """Mutate files of a folder, one to three times; what was done, for a report."""
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        if not files:
            break
        file, other = rng.choice(files), rng.choice(files)
        what = rng.random()
        if what < 0.04:
            file.unlink()
            done.append(f"remove {file.relative_to(folder)}")
        elif what < 0.08:
            content, change = file.read_bytes(), other.read_bytes()
            file.write_bytes(change)
            if rng.random() < 0.5:
                other.write_bytes(content)
            done.append(f"exchange {other.relative_to(folder)} and {file.relative_to(folder)}")
        elif what < 0.10 and file.parent != folder:
            shutil.rmtree(file.parent)
            done.append(f"remove {file.parent.relative_to(folder)}")
        else:
            done.append(f"{mutate_file(rng, file)} {file.relative_to(folder)}")
    return done
