"""The journal of a run: what it has finished, in one file for many blocks.

While a run goes on, the arrays that tell what is finished stay as they are: each entry would change
several of them. Instead an entry of the journal, ``manifest_blocks/journal/NNNNN``, has the marks
of its blocks, their checksums and their summaries. What reads marks sees both (`manifest.marks`).
At the end of the run, or by the next one, all entries are put into the arrays and removed.

An entry is bound to its store and to its number, and has two checksums: of its head, which has the
marks, and of its arrays. One that is damaged tells of nothing: its blocks are computed again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs import blosc

from bulklmm_dask.storage.arrays.sums import SUM, ends
from bulklmm_dask.storage.places.location import METADATA, Location, ServerError
from bulklmm_dask.storage.proof.attributes import attributes_in
from bulklmm_dask.storage.proof.stamp import DIGEST

BLOCKS, TRAITS = "manifest_blocks", "manifest_traits"
# Its folder lies in that of an array, where Zarr looks for nothing but chunks.
JOURNAL = f"{BLOCKS}/journal"

_MAGIC, _LENGTH = b"journal of bulklmm 1\n", 4
# Bytes that are read of an entry for its head, which is seldom longer.
_FIRST = 2**16

Marks = list[tuple[int, ...]]


@dataclass(frozen=True)
class Finished:
    """Blocks, or chunks of traits, that an entry tells of.

    Attributes
    ----------
    marks : list of tuple
        Their indices.
    arrays : mapping of str to array
        What belongs to them, in their order, by the name of an array of the store.
    """

    marks: Marks
    arrays: Mapping[str, npt.NDArray[Any]]


# What an entry tells, by the name of the array of its marks.
Entry = Mapping[str, Finished]


def encoded(entry: Entry, number: int, store: str) -> bytes:
    """Give the bytes of the file of an entry.

    Parameters
    ----------
    entry : Entry
        What it tells.
    number : int
        Its place in the journal.
    store : str
        Digest of the attributes of its store.
    """
    marks, described, parts = {}, [], []
    for kind, finished in entry.items():
        marks[kind] = finished.marks
        for name, values in finished.arrays.items():
            parts.append(_encode(values))
            described.append((kind, name, values.dtype.str, values.shape, len(parts[-1])))
    head = {"number": number, "store": store, "marks": marks, "arrays": described}
    text = json.dumps(head).encode()
    first = _MAGIC + len(text).to_bytes(_LENGTH, "little") + text
    return _checked(first) + _checked(b"".join(parts))


def numbered(store: Location, number: int) -> Location:
    """File of the entry of a number."""
    return store / JOURNAL / f"{number:05d}"


def listed(store: Location) -> list[Location]:
    """Files of all entries of the journal of a store, in order."""
    folder = store / JOURNAL
    try:
        names = [name for name in folder.names() if name.isdecimal()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in sorted(names, key=int)]


def marked(store: Location) -> Iterator[Mapping[str, Marks]]:
    """Marks in the heads of all entries that are whole; one that is removed meanwhile is none."""
    files = listed(store)
    yield from (_marks(found[0]) for found in store.each(_Reader(store).head, files) if found)


def entries_of(store: Location, files: Sequence[Location] | None = None) -> Iterator[Entry]:
    """All entries that are sound, in order; or those in some files."""
    files = listed(store) if files is None else files
    yield from (one for one in store.each(_Reader(store).entry, files, large=True) if one)


def damaged_entries(store: Location) -> list[Location]:
    """Files of entries that are not as they were written, or not of this place."""
    files, reader = listed(store), _Reader(store)
    return [file for file in files if reader.entry(file) is None and file.is_file()]


class _Reader:
    """Reads the entries of a store; gives None for what is no sound entry there."""

    def __init__(self, store: Location) -> None:
        self._digest = (attributes_in(store / METADATA) or {}).get(DIGEST)

    def head(self, file: Location) -> tuple[dict[str, Any], int] | None:
        """Read the head of a file; with it, where the arrays begin."""
        try:
            data = file.first(_FIRST)
            end = _end_of_head(data)
            data = data if end <= len(data) else file.first(end)
            found = self._head(file, data)
            if file.size() != end + sum(part[-1] for part in found["arrays"]) + SUM:
                raise ValueError("it is cut short")
        except ServerError:
            raise
        except Exception:  # whatever damaged bytes lead to
            return None
        return found, end

    def entry(self, file: Location) -> Entry | None:
        """Read all of a file."""
        try:
            data = file.read_bytes()
            found, start = self._head(file, data), _end_of_head(data)
            _require_sound(data[start:])
            arrays: dict[str, dict[str, npt.NDArray[Any]]] = {kind: {} for kind in found["marks"]}
            for kind, name, dtype, shape, length in found["arrays"]:
                values = np.frombuffer(blosc.decompress(data[start : start + length]), dtype)
                arrays[kind][name] = values.reshape(shape)
                start += length
            if start + SUM != len(data):
                raise ValueError("it is of another length")
            return {name: Finished(own, arrays[name]) for name, own in _marks(found).items()}
        except ServerError:
            raise
        except Exception:  # whatever damaged bytes lead to
            return None

    def _head(self, file: Location, data: bytes) -> dict[str, Any]:
        end = _end_of_head(data)
        _require_sound(data[:end])
        found = dict(json.loads(data[len(_MAGIC) + _LENGTH : end - SUM]))
        if found["number"] != int(file.name) or found["store"] != self._digest:
            raise ValueError("it is of another place, or of another store")
        return found


def _marks(head: Mapping[str, Any]) -> dict[str, Marks]:
    return {name: list(map(tuple, marks)) for name, marks in head["marks"].items()}


def _end_of_head(data: bytes) -> int:
    start = len(_MAGIC) + _LENGTH
    if len(data) < start or not data.startswith(_MAGIC):
        raise ValueError("it is no entry of a journal")
    return start + int.from_bytes(data[len(_MAGIC) : start], "little") + SUM


def _encode(values: npt.NDArray[Any]) -> bytes:
    size = values.dtype.itemsize
    coder = blosc.Blosc("lz4", clevel=3, shuffle=blosc.SHUFFLE, typesize=size)
    return bytes(coder.encode(np.ascontiguousarray(values)))


def _checked(data: bytes) -> bytes:
    return data + google_crc32c.value(data).to_bytes(SUM, "little")


def _require_sound(data: bytes) -> None:
    own, written = ends(data)
    if own != written:
        raise ValueError("its bytes do not agree with their checksum")
