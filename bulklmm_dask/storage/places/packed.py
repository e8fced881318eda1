"""The bytes of text files: unpacked as their content says, in a stream, within limits.

What a file is follows from its first bytes, never from its name. A file is read a part at a time;
one that unpacks to far more than its size, or whose lines have no end, is refused before it fills
the memory.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import IO, Any, NoReturn

from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.text import storage

# A packed file may hold this many bytes in any case, and this many times its size if that is more:
# genotype tables shrink 10 to 60 times.
_UNPACKED, _RATIO = 10**8, 200
_LINE = 2**27  # bytes of a line: a name of 25 letters for each of five million markers
_BUFFER = 2**18
_HEAD = 16  # bytes that tell what a file is

_ZSTD, _ZSTD_SKIPPABLE = b"\x28\xb5\x2f\xfd", b"\x2a\x4d\x18"
_ZSTD_BLOCK = 2**17  # largest block, unpacked
_EXPORT = "export the sheet as CSV (UTF-8) and give that file"

# First bytes of files that are often given in place of a table, what they are, and the remedy.
_FOREIGN = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a spreadsheet (.xls)", _EXPORT),
    (b"PAR1", "a Parquet file", "write it as CSV and give that file"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "write its table as CSV and give that file"),
    (b"RDX", "an R data file", "write its table with write.csv in R and give that file"),
    (b"X\n\x00\x00", "an R object (.rds)", "write it with write.csv in R and give that file"),
    (b"%PDF", "a PDF", "give the table as CSV"),
    (b"\x6c\x1b", "a PLINK file (.bed)", "read it with read_plink (bulklmm import plink)"),
)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass
class Budget:
    """Bytes that a packed file may still give."""

    size: int
    taken: int = 0

    @property
    def limit(self) -> int:
        """Most bytes in all."""
        return max(_UNPACKED, _RATIO * self.size)

    def take(self, count: int, label: str) -> None:
        """Count bytes, or raise InputError if they are too many."""
        self.taken += count
        if self.taken > self.limit:
            raise InputError(
                f"{label} unpacks to more than {storage(self.limit)}, from {storage(self.size)}; "
                "if that is right, unpack it and give the unpacked file"
            )


def text_bytes(raw: IO[bytes], label: str, budget: Budget, *, packed: bool) -> io.BufferedReader:
    """Give the bytes of a text file as a stream, unpacked if they are packed.

    Parameters
    ----------
    raw : binary file
        A file, or a member of an archive.
    label : str
        Its name, for messages.
    budget : Budget
        How much it may unpack to.
    packed : bool
        Whether `raw` is unpacked already from something smaller: then it counts as such.

    Raises
    ------
    InputError
        Then, or while the stream is read: if the file is damaged, too large, or no UTF-8 text.
    """
    inner = io.BufferedReader(_Guarded(raw, label), _BUFFER)
    opener = _opener(inner.peek(_HEAD)[:_HEAD], inner, label, budget)
    if opener is not None:
        packed, inner = True, io.BufferedReader(_Guarded(opener(inner), label), _BUFFER)
        _refuse_foreign(inner.peek(_HEAD)[:_HEAD], None, label)
    return io.BufferedReader(_Text(inner, label, budget if packed else None), _BUFFER)


def refuse_spreadsheet(archive: zipfile.ZipFile, label: str) -> None:
    """Raise InputError if a zip file is a spreadsheet."""
    names = set(archive.namelist())
    for name, suffix in (("xl/workbook.xml", ".xlsx"), ("content.xml", ".ods")):
        if name in names:
            raise InputError(f"{label} is a spreadsheet ({suffix}); {_EXPORT}")


def _opener(
    head: bytes, stream: IO[bytes], label: str, budget: Budget
) -> Callable[[IO[bytes]], Any] | None:
    """Choose how a file is unpacked; None if it is plain."""
    if head.startswith(b"\x1f\x8b"):
        return lambda raw: gzip.GzipFile(fileobj=raw)
    if head.startswith(b"BZh") and head[4:10] == b"1AY&SY":
        return bz2.BZ2File
    if head.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMAFile
    if head.startswith(_ZSTD) or head[1:4] == _ZSTD_SKIPPABLE:
        return lambda raw: io.BytesIO(_zstd(raw.read(), label, budget))
    _refuse_foreign(head, stream, label)
    return None


def _refuse_foreign(head: bytes, stream: IO[bytes] | None, label: str) -> None:
    """Raise InputError if the first bytes are those of a file that holds no text."""
    for start, what, remedy in _FOREIGN:
        if head.startswith(start):
            raise InputError(f"{label} is {what}, no text; {remedy}")
    if head.startswith(_UTF16):
        raise InputError(f"{label} is text in UTF-16; save it as UTF-8")
    if head.startswith(b"PK\x03\x04"):
        if stream is not None and stream.seekable():
            try:
                with zipfile.ZipFile(stream) as archive:
                    refuse_spreadsheet(archive, label)
            except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
                if isinstance(error, InputError):
                    raise
                damaged(label, error)
        raise InputError(f"{label} is a zip file, no table; unpack it and give the table in it")


def _zstd(content: bytes, label: str, budget: Budget) -> bytes:
    """Unpack zstd at once, after its block headers have told how much it can be."""
    from numcodecs.zstd import decompress  # only here: guessing a format starts without NumPy

    try:
        bound = _zstd_bound(content)
        replace(budget).take(bound, label)
        return bytes(decompress(content)) if bound else b""
    except InputError:
        raise
    except Exception as error:  # of our own walk, or of the codec
        damaged(label, error)


def _zstd_bound(content: bytes) -> int:
    """Most bytes that zstd frames unpack to; IndexError if they are cut short.

    RFC 8878, section 3.1.1: every block says its length, which for raw blocks and runs is the
    length unpacked.
    """
    bound = at = 0
    while at < len(content):
        if content[at + 1 : at + 4] == _ZSTD_SKIPPABLE:
            at += 8 + int.from_bytes(content[at + 4 : at + 8], "little")
            continue
        descriptor = content[at + 4]
        single = descriptor >> 5 & 1
        length_of_size = (single, 2, 4, 8)[descriptor >> 6]
        at += 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3] + length_of_size
        last = 0
        while not last:
            header = int.from_bytes(content[at : at + 3], "little")
            last, kind, size = header & 1, header >> 1 & 3, header >> 3
            if at + 3 > len(content):
                raise EOFError("the end of a zstd frame is missing")
            bound += _ZSTD_BLOCK if kind == 2 else size
            at += 3 + (1 if kind == 1 else size)
        at += 4 * (descriptor >> 2 & 1)
    return bound


class _Guarded(io.RawIOBase):
    """A stream whose errors are an InputError that names the file."""

    def __init__(self, stream: Any, label: str) -> None:
        self._stream, self._label = stream, label

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._stream.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def readinto(self, buffer: Any) -> int:
        try:
            found = self._stream.read(len(buffer))
        except (InputError, StoreError):
            raise
        except Exception as error:  # each method of packing fails in its own way
            damaged(self._label, error)
        buffer[: len(found)] = found
        return len(found)


class _Text(io.RawIOBase):
    """A stream of UTF-8 text without NUL bytes, whose lines end."""

    def __init__(self, stream: IO[bytes], label: str, budget: Budget | None) -> None:
        self._stream, self._label, self._budget = stream, label, budget
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._lines, self._length = 1, 0  # the line, and its bytes so far

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = self._stream.read(len(buffer))
        if self._budget is not None:
            self._budget.take(len(found), self._label)
        self._check(found)
        buffer[: len(found)] = found
        return len(found)

    def _check(self, found: bytes) -> None:
        if b"\x00" in found:
            line = self._line_after(found[: found.index(b"\x00")])
            raise InputError(
                f"{self._label} is no text: line {line} holds a NUL byte; if it is text in UTF-16, "
                "save it as UTF-8"
            )
        try:
            self._decoder.decode(found, final=not found)
        except UnicodeDecodeError as error:
            line, byte = self._line_after(error.object[: error.start]), error.object[error.start]
            raise InputError(
                f"{self._label} is not UTF-8 text: line {line} holds the byte {byte:#04x}; save it "
                "as UTF-8"
            ) from None
        ended = found.rfind(b"\n")
        self._lines += found.count(b"\n")
        self._length = self._length + len(found) if ended < 0 else len(found) - ended - 1
        if self._length > _LINE:
            raise InputError(
                f"{self._label}, line {self._lines} has more than {storage(_LINE)}; it is no table "
                "of text, or its line ends are lost"
            )

    def _line_after(self, part: bytes) -> int:
        return self._lines + part.count(b"\n")


def damaged(label: str, error: Exception) -> NoReturn:
    """Raise InputError about a file that cannot be read or unpacked."""
    if isinstance(error, OSError) and error.strerror:
        raise InputError(f"{label} cannot be read: {error.strerror}") from error
    if isinstance(error, RuntimeError) and "encrypted" in str(error):
        raise InputError(f"{label} is encrypted; unpack it with its password first") from error
    if isinstance(error, NotImplementedError):
        raise InputError(
            f"{label} is packed by a method that cannot be read ({error}); pack it anew"
        ) from error
    raise InputError(
        f"{label} is damaged or cut short ({error}); fetch or make it again"
    ) from error
