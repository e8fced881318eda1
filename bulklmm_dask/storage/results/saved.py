"""Saving of a result that is at hand, or of a part of one, as a finished store."""

from __future__ import annotations

import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.codecs.compression import FAST, Compression
from bulklmm_dask.storage.labels.encoding import storable
from bulklmm_dask.storage.labels.layout import Field, Layout
from bulklmm_dask.storage.labels.restored import require_contigs, require_dims, restored
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.results.blocks import ResultStore
from bulklmm_dask.storage.results.journal import Journal
from bulklmm_dask.storage.results.skeleton import Skeleton
from bulklmm_dask.surface import option
from bulklmm_dask.text import counted, listing

# Fingerprints of what no analysis has written.
ORIGIN = {"origin": "saved"}
# Dimensions of the maxima of permutations.
_PERMUTED = ("permutations", "traits")
# Size of a block of a saved result, if the result is not in even chunks.
_SAVED = 1024


def write_result(result: xr.Dataset, store: Location, compression: Compression = FAST) -> None:
    """Write a result that is at hand, or a part of one, as a finished store.

    Arrays of every pair are computed and written block by block, compressed as is given; all else
    is small.

    Raises
    ------
    InputError
        If a selection by one name has taken away a dimension of the scores, parts that were joined
        do not belong together, or a name is there twice.
    """
    score, dims = ("lod", Layout.dims) if "lod" in result else ("max_lod", _PERMUTED)
    shared = "nodes" in result[score].dims  # permutations of all traits together: small
    if shared and compression != FAST:
        raise InputError(
            "these permutations of all traits together take little room; leave out "
            f"{option('compression')} and {option('digits')}"
        )
    if not shared:
        require_dims(result, score, dims)
    if not result[score].size:
        raise InputError(f"the result holds nothing: its sizes are {dict(result.sizes)}")
    result = restored(result)
    require_contigs(result)
    for dim in set(dims) & set(result.indexes):
        if not result.indexes[dim].is_unique:
            twice = result.indexes[dim][result.indexes[dim].duplicated()].unique()
            raise InputError(
                f"the result has {counted(len(twice), 'name')} more than once along {dim!r}: "
                f"{listing(twice)}; keep one of each"
            )
    if "refined" in result:
        result = result.drop_vars("n_refined", errors="ignore")  # it is not stored
    result = _with_digits(storable(result), compression.digits)
    names = [name for name, array in result.data_vars.items() if set(dims) <= set(array.dims)]
    pairs = result[names].transpose(*dims, ..., missing_dims="ignore").reset_coords(drop=True)
    beside = result.drop_vars(names).compute()
    layout = Layout((1, 1), (1, 1), (1, 1), dims)
    if names:
        block = (_block_size(pairs[score], dims[0]), _block_size(pairs[score], dims[1]))
        layout = Layout((pairs.sizes[dims[0]], pairs.sizes[dims[1]]), block, block, dims)
    fields = {
        str(name): Field(tuple(map(str, array.dims)), array.shape, array.dtype, array.attrs)
        for name, array in pairs.data_vars.items()
    }
    Skeleton(beside, layout, fields, {}, ORIGIN, compression).write(store)
    target = ResultStore(store.path, layout, compression)
    with Journal(target, store) as journal:
        for i, j in target.pending_blocks():
            region = dict(zip(dims, layout.region(i, j), strict=True)) if names else {}
            some = pairs.isel(region).compute()
            journal.note(target.write_block(i, j, {str(name): some[name].values for name in names}))
        for j in range(layout.blocks[1]):
            journal.note(target.write_traits(j, {}))


def _with_digits(result: xr.Dataset, digits: int | None) -> xr.Dataset:
    """Note how many digits are kept; those of an earlier store may be fewer."""
    if digits is None:
        return result
    return result.assign_attrs(digits=min(digits, result.attrs.get("digits", digits)))


def _block_size(array: xr.DataArray, dim: str) -> int:
    """Size of a block: that of the array's chunks where these are even."""
    sizes = array.variable.chunksizes.get(dim, ())
    if sizes and len(set(sizes[:-1])) <= 1 and sizes[-1] <= sizes[0]:
        return int(sizes[0])
    return min(_SAVED, array.sizes[dim])
