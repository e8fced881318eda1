"""Studies in Zarr stores: saved completely or not at all, opened lazily."""

from __future__ import annotations

import os
from collections.abc import Hashable
from functools import partial
from typing import Any

import xarray as xr

from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.storage.arrays.chunks import files, is_whole, missing_files
from bulklmm_dask.storage.arrays.datasets import forms_of, read_array, read_dataset
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.codecs.compression import Compression, small_codecs
from bulklmm_dask.storage.health.contents import require_own
from bulklmm_dask.storage.labels.coordinates import arranged
from bulklmm_dask.storage.labels.encoding import plain, storable
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.proof.attributes import attributes_of, require_attributes
from bulklmm_dask.storage.proof.lazy import lazily
from bulklmm_dask.storage.proof.manifest import Opening, record
from bulklmm_dask.storage.proof.remedy import remedy
from bulklmm_dask.storage.proof.seal import has_lost_root, require_seal, seal
from bulklmm_dask.storage.proof.stamp import (
    DIGEST,
    FIRST,
    KIND,
    KINSHIP,
    PARTS,
    RESULT,
    STAMP,
    STUDY,
    VALUES,
    format_of,
    is_first,
    stamp,
)
from bulklmm_dask.storage.proof.unstamped import is_unstamped, open_unstamped
from bulklmm_dask.storage.results.result import is_result
from bulklmm_dask.storage.results.saved import write_result
from bulklmm_dask.storage.results.soundness import being_written
from bulklmm_dask.study.digests import digests_of_rows, values_kept
from bulklmm_dask.study.gaps import gaps_in_words, uncounted, without_mark
from bulklmm_dask.study.origin import remember
from bulklmm_dask.study.schema import IMPORT, require_form, validate
from bulklmm_dask.study.stored import compression_of
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import either, option
from bulklmm_dask.text import listing
from bulklmm_dask.typing import CompressionName

# Missing calls of every variant, and digests of the rows of an array: computed while the genotypes
# are written, and not kept.
_GAPS, _DIGESTS = "variant_gaps", "digests_of_"
# Attributes of the root group that describe the store, not the study.
_OWN = (*STAMP, VALUES, PARTS, DIGEST)
_CHUNK_BYTES = 2**22  # uncompressed size of a chunk
# Large variables, and the dimension that each is chunked along; a chunk holds all samples.
_LARGE = {
    "call_dosage": "variants",
    "call_genotype_probability": "variants",
    "call_code": "variants",
    "sample_trait": "traits",
}


def save(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    compression: CompressionName | None = None,
    digits: int | None = None,
) -> None:
    """Write a study, or a result or a part of one, to a Zarr store (format 3).

    Lazy variables are streamed, so a study larger than memory can be saved. The store appears
    under its name when it is complete; whatever goes wrong before, nothing is left behind.

    Parameters
    ----------
    ds : Dataset
        A study, from `create_dataset` or a reader. Or a result of `scan` or `permute`, also some of
        its traits, markers or permutations: `open_result` and the commands open it.
    path : path
        The folder to write, such as study.zarr.
    overwrite : bool
        Whether to replace a store of that name. It stays until the new one is complete. A study
        replaces a study, and a result a result; a folder that holds anything else is not replaced.
    compression : {"lz4", "zstd"}, optional
        Codec of genotypes and traits, or of the values of pairs of a result; ``"lz4"`` by default.
        ``"zstd"`` takes less room, and several times as long to write. Both are without loss.
    digits : int, optional
        Significant decimal digits of the values of pairs of a result, to save room, as in `scan`.
        All digits by default; those of a study are always kept.

    Raises
    ------
    StoreError
        If something of that name exists, the folder cannot be written, or the disk is full.
    InputError
        If `ds` is neither a study nor a result, or an option cannot be used.

    Warns
    -----
    StudyWarning
        For missing calls of lazy genotypes, which are counted while they are written.

    Examples
    --------
    >>> blmm.save(ds, "study.zarr")
    >>> study = blmm.open_dataset("study.zarr")
    >>> dict(study.sample_trait.sizes)
    {'samples': 120, 'traits': 12}
    >>> blmm.save(ds, "study.zarr", overwrite=True)

    A part of a result is a result:

    >>> result = blmm.scan(ds, store="scan.zarr")
    >>> blmm.save(result.sel(traits=["trait06", "trait10"]), "two.zarr")
    >>> blmm.open_result("two.zarr").lod.shape
    (60, 2)
    """
    kept = compression_of(compression, digits)
    of_result = is_result(ds)
    if of_result:
        require_form(ds, {})
    else:
        ds = validate(ds)
        if digits is not None:
            raise InputError(
                f"{option('digits')} is {digits}, but a study keeps all digits, since scans depend "
                "on them; leave it out"
            )
    target = Location.of(path).opened(to_write=True)
    target.require_free(overwrite=overwrite)
    may_go = partial(_require_replaceable, RESULT if of_result else STUDY)
    if target.exists():
        may_go(target)
    replaceable = may_go if overwrite else None
    target.require_writable(ds.nbytes)
    if of_result:
        with target.appearing(replaceable) as unfinished:
            write_result(ds, unfinished, kept)
        return
    gaps, ds = uncounted(ds), without_mark(ds)
    ds = _aligned(storable(ds))
    large = [name for name in _LARGE if name in ds]
    beside = {f"{_DIGESTS}{name}": rows for name, rows in digests_of_rows(ds).items()}
    if gaps is not None:
        beside[_GAPS] = gaps
    passing = {name: array for name, array in beside.items() if array.chunks is not None}
    ds = _aligned(ds.assign(passing))
    with target.appearing(replaceable) as unfinished:
        encoding = {name: _encoding(name, one, kept) for name, one in ds.variables.items()}
        unfinished.write_dataset(ds, write_empty_chunks=True, encoding=encoding)
        found = {name: array.values for name, array in beside.items() if name not in passing}
        for name in passing:
            found[name] = read_array(unfinished / name, Form.of(unfinished / name))
            (unfinished / name).remove()
        missing = found.pop(_GAPS, None)
        values = values_kept({name.removeprefix(_DIGESTS): rows for name, rows in found.items()})
        record(unfinished, large)
        seal(unfinished, stamp(STUDY) | {VALUES: values}, frozenset(large))
    if missing is not None:
        for message in gaps_in_words(missing, ds.sizes["samples"], ds["variant_id"].values):
            say(message)


def open_dataset(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open a study that `save` wrote; genotypes and traits stay on disk until they are used.

    What ``ds.to_zarr(path)`` wrote of a study is opened too, in Zarr format 3 or 2. It has no
    checksums: what is missing in it, xarray reads as missing values.

    Parameters
    ----------
    path : path
        The folder of the store.

    Returns
    -------
    Dataset
        The study; genotypes and traits are dask arrays, all else is in memory.

    Raises
    ------
    StoreError
        If there is no such store, it is of another kind, or parts of it are missing or cut short,
        or its format is newer than this version of the package.

    Examples
    --------
    >>> blmm.save(ds, "study.zarr")
    >>> study = blmm.open_dataset("study.zarr")
    >>> dict(study.call_dosage.sizes)
    {'variants': 60, 'samples': 120}
    >>> result = blmm.scan(study)
    """
    store = Location.of(path).opened()
    if is_unstamped(store):
        ds = open_unstamped(store, lambda array: array.name in _LARGE)
        if "sample_trait" in ds and any(name in ds for name in _LARGE if name != "sample_trait"):
            return _checked(store, ds)
    attrs = _require_study(store)
    _require_files(store, is_first(attrs))
    try:
        ds = read_dataset(store, _LARGE)
        for name in set(_LARGE) & set(ds.variables):
            chunks = ds[name].encoding["preferred_chunks"]
            ds[name] = lazily(store, ds[name], chunks, opening=Opening.of(store, name, attrs))
    except StoreError:
        raise
    except Exception as error:  # every codec fails in its own way
        raise StoreError(f"{store} is damaged ({error}); {remedy(store)}") from error
    return _checked(store, plain(ds))


def _checked(store: Location, ds: xr.Dataset) -> xr.Dataset:
    """A study from a store, or StoreError if it is none."""
    ds.attrs = {name: value for name, value in ds.attrs.items() if name not in _OWN}
    try:
        study = arranged(validate(ds), sorted(map(str, ds.variables)))
    except InputError as error:
        raise StoreError(f"{store} holds no valid study: {error}") from error
    return remember(study, store.fixed.path)


def seal_again(study: Location) -> None:
    """Seal a study of which small parts were changed; those of format 1 have no seal."""
    if PARTS in attributes_of(study):
        seal(study, {}, frozenset(name for name in _LARGE if (study / name).exists()))


def _require_replaceable(kind: str, store: Location) -> None:
    """Raise StoreError unless a store is all ours, of this kind, and no run writes into it."""
    require_own(store, kind)
    if by := being_written(store):
        raise StoreError(f"{store} {by}, so it is not overwritten; wait for its end")


def _aligned(ds: xr.Dataset) -> xr.Dataset:
    """Give lazy variables the chunks of the store: two tasks must never write to one chunk."""
    for name in list(ds.variables):
        variable = ds[name]
        if variable.chunks is not None:
            pieces = _chunks(str(name), variable.variable) if name in _LARGE else variable.shape
            ds[name] = variable.chunk(dict(zip(variable.dims, pieces, strict=True)))
    return ds


def _encoding(name: Hashable, variable: xr.Variable, kept: Compression) -> dict[str, Any]:
    if name in _LARGE:
        return {"chunks": _chunks(str(name), variable), "compressors": kept.codecs}
    return {"compressors": small_codecs()}


def _chunks(name: str, variable: xr.Variable) -> tuple[int, ...]:
    """Chunk shape: about 4 MiB, cut along one dimension only."""
    along = _LARGE[name]
    length = variable.sizes[along]
    piece = max(1, _CHUNK_BYTES * length // max(variable.nbytes, 1))
    return tuple(
        max(1, min(size, piece) if dim == along else size) for dim, size in variable.sizes.items()
    )


def _require_study(store: Location) -> dict[str, Any]:
    """Attributes of a study as it was sealed; StoreError says what else is there."""
    if not store.is_folder():
        raise StoreError(f"there is no store {store}; check the path")
    if has_lost_root(store):
        raise StoreError(f"{store} is damaged: its zarr.json is lost; {remedy(store)}")
    if not store.is_store():
        raise StoreError(f"{store} is no Zarr store (it has no zarr.json); check the path")
    attrs = attributes_of(store)
    kind = attrs.get(KIND)
    if kind == RESULT:
        raise StoreError(
            f"{store} holds a result, no study; "
            + either("open it with open_result", f"give a store of {IMPORT}")
        )
    if kind == KINSHIP:
        raise StoreError(
            f"{store} holds a kinship, no study; "
            + either("open it with open_kinship", f"give it as --kinship, and a store of {IMPORT}")
        )
    if kind != STUDY:
        raise StoreError(
            f"{store} was not written by {either('save', IMPORT)} (its attribute {KIND} is "
            f"{kind!r}); "
            + either(
                "read it with xarray, and pass its arrays to create_dataset",
                f"give a store of {IMPORT}",
            )
        )
    if format_of(store, attrs) > FIRST:
        require_attributes(store, attrs, (PARTS, DIGEST))
        large = tuple(f"{name}/c/" for name in _LARGE)
        store.fetch(lambda path: not path.startswith(large))
        require_seal(store, attrs)
    return attrs


def _require_files(store: Location, first: bool) -> None:
    """Raise StoreError if a file is missing, or cut short in a store without checksums."""
    try:
        known = forms_of(store)
        large = [name for name in _LARGE if name in known]
        absent = [name for name in (known if first else large) if missing_files(store, name)]
        if absent:
            raise StoreError(f"{store} lacks chunks of {listing(absent)}; {remedy(store)}")
        for name in large if first else ():
            array = store.open_array(name)
            for index, file in files(store, name, array):
                if not is_whole(file, array, index):
                    raise StoreError(f"{file} is cut short; {remedy(store)}")
    except StoreError:
        raise
    except Exception as error:  # whatever the damaged metadata lead to
        raise StoreError(f"{store} is damaged ({error}); {remedy(store)}") from error
