"""What a result must have to be searched: LODs of markers and traits, and often a marker map."""

from __future__ import annotations

from typing import Any

import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.text import listing

PAIR = ("variants", "traits")
MAP = ("variant_contig", "contig_id", "variant_position")


def require_result(result: Any, caller: str) -> xr.Dataset:
    """Raise InputError unless this is a result with LODs of variants and traits."""
    if not isinstance(result, xr.Dataset) or "lod" not in result:
        raise InputError(f"{caller} needs the Dataset that scan or open_result gives, with its lod")
    for dim in PAIR:
        if dim not in result["lod"].dims:
            raise InputError(
                f"the result has lost its dimension {dim!r}, for one name was selected; select "
                f"with a list instead: result.sel({dim}=[name])"
            )
    if not result["lod"].size:
        raise InputError(f"the result has no LODs: its sizes are {dict(result['lod'].sizes)}")
    return result


def has_map(ds: xr.Dataset) -> bool:
    """Whether the variables of a marker map are there."""
    return all(name in ds for name in MAP)


def require_map(ds: xr.Dataset, caller: str) -> None:
    """Raise InputError where a study or result has no marker map, which `caller` needs."""
    for name in MAP:
        if name not in ds:
            raise InputError(
                f"there is no {name}, which {caller} needs; give the study a marker map"
            )


def require_columns(table: Any, columns: tuple[str, ...], subject: str, remedy: str) -> None:
    """Raise InputError unless `table` is a DataFrame with these columns.

    The message begins with `subject`, such as "the findings have", and ends with `remedy`.
    """
    if not isinstance(table, pd.DataFrame):
        kind = type(table).__name__
        raise InputError(
            f"{subject} no columns: this is a {kind}, not a pandas DataFrame; {remedy}"
        )
    absent = [name for name in columns if name not in table]
    if absent:
        raise InputError(f"{subject} no column {listing(absent)}; {remedy}")
