"""Checksums of the files of a summary, so that a run that goes on need not decode them.

The array ``summary/files`` has one for each file of the arrays of the summary: the last four bytes
of the file, which are the checksum of all before; 0 where there is none yet. A file that is sound
and has this checksum is the one that was written, with the checksums of its blocks compared then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.arrays.datasets import read_array, write_file
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.arrays.sums import ends
from bulklmm_dask.storage.places.location import Location, ServerError
from bulklmm_dask.storage.summaries.of_blocks import FILES, forms_of
from bulklmm_dask.typing import Sums

# A file of an array of the summary: name of the array, and index in the grid of its files.
File = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class FileSums:
    """Checksums of the files of the summary of a store.

    Attributes
    ----------
    store : Location
        The store.
    forms : mapping of str to Form
        Forms of the arrays of its summary (`forms_of`).
    form : Form
        That of the checksums.
    sums : array (files,)
        The checksums, of array after array.
    """

    store: Location
    forms: Mapping[str, Form]
    form: Form
    sums: Sums

    @classmethod
    def of(cls, store: Location, forms: Mapping[str, Form]) -> Self | None:
        """Read those of a store, which are 0 if they are damaged; None for an older store."""
        array = store / FILES
        if not array.is_store():
            return None
        form, nothing = Form.of(array), _nothing(forms)
        try:
            sums = read_array(array, form)
        except ServerError:
            raise
        except Exception:  # each codec fails in its own way
            sums = nothing
        same = (sums.shape, sums.dtype) == (nothing.shape, nothing.dtype)
        return cls(store, forms, form, sums if same else nothing)

    def set(self, file: File, checksum: int) -> None:
        """Note the checksum of a file that was written."""
        self.sums[self._place(file)] = checksum

    def write(self) -> Location:
        """Write all; give the file."""
        return write_file(self.store / FILES, self.form, (0,), self.sums)

    def get(self, file: File) -> int:
        """Checksum that a file should have; 0 if it is not yet written."""
        return int(self.sums[self._place(file)])

    def found(self, file: File) -> int:
        """Checksum that a file has; 0 if it is not there, or not sound."""
        name, index = file
        try:
            own, written = ends((self.store / name / self.forms[name].path(index)).record() or b"")
        except OSError:  # the disk does not give it
            return 0
        return int.from_bytes(own, "little") if own == written else 0

    def _place(self, file: File) -> int:
        name, index = file
        return self._starts[name] + int(np.ravel_multi_index(index, self.forms[name].files))

    @cached_property
    def _starts(self) -> dict[str, int]:
        sizes = [math.prod(form.files) for form in self.forms.values()]
        starts = np.cumsum([0, *sizes[:-1]]).tolist()
        return dict(zip(self.forms, starts, strict=True))


def _nothing(forms: Mapping[str, Form]) -> Sums:
    """Checksums of no files."""
    return np.zeros(sum(math.prod(form.files) for form in forms.values()), np.uint32)


def unwritten(store: Location, name: str) -> set[tuple[int, ...]]:
    """Indices of the files of an array of the summary that are known not to be written yet."""
    try:
        forms = forms_of(store)
        sums = FileSums.of(store, forms)
    except ServerError:
        raise
    except StoreError:  # of metadata that are damaged
        return set()
    if sums is None or name not in forms:
        return set()
    return {index for index in np.ndindex(forms[name].files) if not sums.get((name, index))}
