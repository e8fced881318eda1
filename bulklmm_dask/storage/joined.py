"""Results whose parts were joined by ``xr.concat``, which repeats what the parts share."""

from __future__ import annotations

import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.frequency import FREQUENCY

PAIR = ("variants", "traits")
# Statistics of a trait alone whose names do not begin with trait_.
_OF_TRAITS = ("h2", "sigma2", "n_samples")


def joined(result: xr.Dataset) -> xr.Dataset:
    """Undo that ``xr.concat`` repeats, along traits or variants, what does not depend on these."""
    for name, array in result.variables.items():
        for dim in PAIR:
            if dim not in array.dims or not _is_repeated(str(name), dim):
                continue
            first = array.isel({dim: 0})
            if not bool(((array == first) | (array.isnull() & first.isnull())).all()):
                raise InputError(
                    f"{name} differs along {dim}, so the parts that were joined are not of one "
                    "scan of one study; look at each by itself"
                )
            array = first
            result = result.assign({name: first})
    return result


def _is_repeated(name: str, dim: str) -> bool:
    """Whether a variable that has this dimension has it only since parts were joined."""
    if name.startswith("contig_"):
        return True
    if dim == "traits":
        return name.startswith("variant_") and name != FREQUENCY
    return name.startswith("trait_") or name in _OF_TRAITS
