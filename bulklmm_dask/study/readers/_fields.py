"""Tables without quotation marks: fields between blanks, tabs or commas, any number of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.readers._files import Folder
from bulklmm_dask.study.readers._tables import CellError, floats
from bulklmm_dask.text import counted


class Rows:
    """The rows of a file, plain or gzipped, with the number of the line last given."""

    def __init__(self, path: str | Path, *, commas: bool = False) -> None:
        self.path = Path(path).expanduser()
        self.number = 0
        self._commas = commas

    @property
    def here(self) -> str:
        """The file and the line last given, for messages."""
        return f"{self.path}, line {self.number}"

    def __iter__(self) -> Iterator[list[str]]:
        with Folder(self.path.parent).open(self.path.name) as stream:
            for self.number, line in enumerate(stream, 1):
                found = (line.replace(",", " ") if self._commas else line).split()
                if found:
                    yield found

    def expect(self, fields: list[str], count: int, what: str) -> None:
        """Raise InputError where a row has not as many fields as it should."""
        if len(fields) != count:
            raise InputError(
                f"{self.here}: {counted(len(fields), 'field')} instead of {count} ({what}); the "
                "file may be cut short: fetch or make it again"
            )

    def numbers(
        self, fields: list[str], missing: frozenset[str], columns: str = "field"
    ) -> npt.NDArray[np.float64]:
        """Turn fields into numbers, missing ones into NaN; InputError quotes what is neither."""
        try:
            return np.array(floats(fields, missing), dtype=np.float64)
        except CellError as error:
            raise InputError(
                f"{self.here}: {columns} {error.at + 1} is {error.cell!r}, which is not a number; "
                "correct it, or mark it as missing (NA)"
            ) from None
