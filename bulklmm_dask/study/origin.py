"""The store that a study was opened from: results keep its path, so that they can be mended."""

from __future__ import annotations

import xarray as xr

from bulklmm_dask.storage.proof.stamp import OF


def remember(ds: xr.Dataset, path: str | None) -> xr.Dataset:
    """Give a study the path of its store; None for none.

    xarray keeps it through most selections: the fingerprints of a result tell whether a study is
    the one that it was made from.
    """
    ds = ds.copy()
    ds.encoding = {name: value for name, value in ds.encoding.items() if name != OF}
    if path is not None:
        ds.encoding[OF] = path
    return ds


def origin(ds: xr.Dataset) -> dict[str, str]:
    """The path of the store of a study as an attribute of results, if it is known."""
    return {OF: ds.encoding[OF]} if OF in ds.encoding else {}
