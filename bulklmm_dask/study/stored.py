"""How a study or a result is stored: its codec and digits, from the options of that name."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import get_args

from bulklmm_dask.errors import OptionError
from bulklmm_dask.storage.codecs.compression import FAST, Compression
from bulklmm_dask.storage.results.resumed import digits_of
from bulklmm_dask.study.checks import require_choice, whole_number
from bulklmm_dask.surface import option
from bulklmm_dask.typing import CompressionName


def compression_of(name: CompressionName | None, digits: int | None) -> Compression:
    """How a store is written, from the options of that name; InputError if they have other values.

    None for the codec leaves it to the store, None for the digits keeps all.
    """
    if name is not None:
        require_choice(name, "compression", get_args(CompressionName))
    return Compression(name, None if digits is None else whole_number(digits, option("digits"), 1))


def stored_as(
    store: str | os.PathLike[str] | None, compression: CompressionName | None, digits: int | None
) -> Compression:
    """Codec and digits of a store; where none are given, those of a store that is gone on with.

    Raises
    ------
    InputError
        If an option is unknown, or is given where nothing is stored.
    """
    found = compression_of(compression, digits)
    if store is None and found != FAST:
        what = option("compression", compression) if digits is None else option("digits", digits)
        raise OptionError(
            f"{what} is given, but nothing is stored; give {option('store')} too, or leave it out"
        )
    if store is None or digits is not None:
        return found
    return replace(found, digits=digits_of(store))
