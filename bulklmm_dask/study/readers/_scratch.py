"""Numbers of a text file, copied to a temporary file from which any range of rows can be read.

A text file cannot be read from the middle, least of all a gzipped one. One pass checks every cell,
with its line in errors, and writes it as float32; memory holds one row at a time.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.places.location import explained
from bulklmm_dask.study.calls import say_uncalled
from bulklmm_dask.study.gaps import missing_in_words
from bulklmm_dask.study.schema import require_unique
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import listing
from bulklmm_dask.typing import Index, Single


@dataclass
class Scratch:
    """Rows of a temporary file, which is removed with the last array that reads it.

    Row i of the array is row ``order[i]`` of the file.
    """

    label: str
    path: str
    row: tuple[int, ...]
    order: Index
    owner: _Owner | None
    step: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (variants, samples) or (variants, samples, genotypes)."""
        return (len(self.order), *self.row)

    def take(self, index: Index) -> Scratch:
        """Select rows, in the order of `index`."""
        return replace(self, order=self.order[index])

    def read(self, start: int, stop: int) -> Single:
        """Read a range of rows."""
        try:
            whole = np.memmap(self.path, np.float32, "r").reshape(-1, *self.row)
        except FileNotFoundError:
            raise InputError(
                f"the scratch copy of {self.label} is not on this machine ({self.path}); save the "
                "study with save (bulklmm import), and work from that"
            ) from None
        return np.asarray(whole[self.order[start:stop]])

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"owner": None}  # copies in other processes do not remove the file


class _Owner:
    """The temporary file, removed with this object or at the end of the program."""

    def __init__(self) -> None:
        handle, self.path = tempfile.mkstemp(prefix="bulklmm_dask-", suffix=".f32")
        os.close(handle)
        weakref.finalize(self, Path(self.path).unlink, missing_ok=True)


def keep(rows: Iterable[tuple[str, Single]], label: str) -> tuple[list[str], Scratch]:
    """Write named rows of one shape to a temporary file.

    Parameters
    ----------
    rows : iterable of (name, array of float32)
        Genotypes of one variant each, (samples,) or (samples, genotypes).
    label : str
        The file they come from, for messages.

    Returns
    -------
    names : list of str
        Names of the rows kept; those without any call are left out, with a StudyWarning.
    scratch : Scratch
        The rows.
    """
    names: list[str] = []
    uncalled: list[str] = []
    gaps = variants = 0
    shape: tuple[int, ...] = ()
    with explained(f"the scratch copy of {label} in {tempfile.gettempdir()}"):
        owner = _Owner()
        with Path(owner.path).open("wb") as stream:
            for name, values in rows:
                shape = values.shape
                missing = int(np.isnan(values).reshape(shape[0], -1).any(axis=1).sum())
                if missing == shape[0]:
                    uncalled.append(name)
                    continue
                stream.write(values.astype(np.float32, copy=False).tobytes())
                names.append(name)
                gaps, variants = gaps + missing, variants + (missing > 0)
    if not names:
        what = f"no call at any of its variants: {listing(uncalled)}" if uncalled else "no variants"
        raise InputError(f"{label} has {what}; a study needs some")
    require_unique(names, f"the markers of {label}", "keep one row for each")
    say_uncalled(uncalled, len(names) + len(uncalled))
    if gaps:
        say(missing_in_words(gaps, len(names) * shape[0], variants))
    return names, Scratch(label, owner.path, shape, np.arange(len(names)), owner)
