"""How a result is written to its store: options of scan and permute that need one."""

from __future__ import annotations

import os

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.compression import FAST, Compression
from bulklmm_dask.study.checks import compression_of
from bulklmm_dask.surface import option
from bulklmm_dask.typing import CompressionName


def stored_as(
    store: str | os.PathLike[str] | None, compression: CompressionName | None, digits: int | None
) -> Compression:
    """Codec and digits of a store.

    Raises
    ------
    InputError
        If an option is unknown, or is given where nothing is stored.
    """
    found = compression_of(compression, digits)
    if store is None and found != FAST:
        what = option("compression" if digits is None else "digits")
        raise InputError(f"{what} is given, but nothing is stored; give {option('store')} too")
    return found
