"""Files of tables: the format follows from the name, and numbers have no noise of rounding."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import pandas as pd

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.places.packing import PACKING
from bulklmm_dask.text import named
from bulklmm_dask.typing import Array

PARQUET = ".parquet"
SEPARATORS = {"": ",", ".csv": ",", ".txt": ",", ".tsv": "\t"}
# Significant digits of numbers in double precision: rounding changes the 16th, sums of many the
# 14th. Single precision keeps its own.
DIGITS = 12
# Where a number times a power of ten is exact, for `without_noise`.
_LEAST, _MOST = 1e-6, 1e12
_WHOLE = 2.0**24  # from here on numbers in single precision are whole


@dataclass(frozen=True)
class TableFormat:
    """How a table is written.

    Attributes
    ----------
    separator : str or None
        What stands between fields; None for Parquet.
    packed : str
        Suffix of the compression; empty for none.
    """

    separator: str | None
    packed: str = ""

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> TableFormat:
        """The format that the name of a file asks for.

        Raises
        ------
        InputError
            If the name ends otherwise.
        """
        name = os.path.basename(os.fspath(path)).lower()
        stem, suffix = os.path.splitext(name)
        packed = suffix if suffix in PACKING else ""
        if packed:
            suffix = os.path.splitext(stem)[1]
        if suffix in SEPARATORS:
            return cls(SEPARATORS[suffix], packed)
        if suffix == PARQUET and not packed:
            return cls(None)
        raise InputError(
            f"{named(path)} is no name of a table: end it with .csv, .tsv, .txt (commas) or "
            f"{PARQUET}; {', '.join(PACKING)} behind one of the first three compresses it"
        )

    def require_library(self) -> None:
        """Raise InputError if what writes Parquet is not installed."""
        if self.separator is None and find_spec("pyarrow") is None:
            raise InputError(
                "a name that ends with .parquet needs pyarrow, and it is not installed; install it "
                "with: pip install pyarrow, or let the name end with .csv"
            )

    def write(self, table: pd.DataFrame, path: str, digits: int) -> None:
        """Write a table, without its index, to a file; numbers as `without_noise` gives them."""
        if self.separator is None:
            table.to_parquet(path, index=False)
            return
        with PACKING[self.packed](path) if self.packed else open(path, "wb") as stream:
            without_noise(table, digits).to_csv(stream, sep=self.separator, index=False)


def write_table_file(
    table: pd.DataFrame, out: str | os.PathLike[str], digits: int = DIGITS
) -> None:
    """Write a table in the format that its name asks for, complete or not at all.

    A pipe or a device, such as that of ``>(command)`` of a shell, gets it as it is made.
    """
    place = Location.of(out)
    if place.is_special():
        try:
            TableFormat.of(out).write(table, place.path, digits)
        except OSError as error:  # a stream does not say where it leads
            error.filename = error.filename or os.fspath(out)
            raise
        return
    with place.appearing_file() as target:
        TableFormat.of(out).write(table, target.path, digits)


def without_noise(table: pd.DataFrame, digits: int = DIGITS) -> pd.DataFrame:
    """Copy of a table whose numbers have no digits but their own: 0.1 + 0.2 is 0.3.

    Those that were stored in single precision have its digits, 0.7 and not 0.699999988079071;
    others are rounded to `digits` significant digits.
    """
    floats = [name for name, kind in table.dtypes.items() if kind in (np.float32, np.float64)]
    return table.assign(**{str(name): rounded(table[name].to_numpy(), digits) for name in floats})


def rounded(values: Array, digits: int = DIGITS) -> Array:
    """Give the numbers nearest to the decimals of `without_noise`."""
    out = np.array(values, dtype=np.float64)
    size = np.abs(out)
    with np.errstate(over="ignore"):
        single = out.astype(np.float32)
    # Of a number in double precision, one in 500 million is one in single precision by chance.
    stored = (single == out) & (size < _WHOLE) & (out != np.rint(out))
    out[stored] = single[stored].astype(str).astype(np.float64)
    common = (size > _LEAST) & (size < _MOST) & ~stored
    # Up to 1e22 powers of ten are exact, and so the quotient is the nearest.
    scale = 10.0 ** (digits - 1 - np.floor(np.log10(size[common])))
    out[common] = np.rint(out[common] * scale) / scale
    others = ~common & ~stored & (size > 0) & np.isfinite(size)
    out[others] = [float(f"{one:.{digits}g}") for one in out[others]]
    return out
