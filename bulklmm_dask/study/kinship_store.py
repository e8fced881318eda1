"""Kinships in stores of their own, with their eigenvectors.

The root group holds ``kinship`` (samples_0, samples_1), or with the dimension contigs in front one
for each contig left out; ``eigenvalues`` and ``eigenvectors`` of each, in falling order, the
vectors in columns; ``sample_id`` and ``contig_id``. All parts are sealed. ``matrix_digest`` is the
fingerprint of the values that were decomposed, and ``values`` that of the genotypes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.arrays.datasets import make_array, make_group, read_array
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.health.contents import require_own
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.proof.attributes import attributes_of, require_attributes
from bulklmm_dask.storage.proof.fingerprint import fingerprint
from bulklmm_dask.storage.proof.remedy import remedy
from bulklmm_dask.storage.proof.seal import require_seal, seal
from bulklmm_dask.storage.proof.stamp import (
    DIGEST,
    KIND,
    KINSHIP,
    PARTS,
    VALUES,
    format_of,
    stamp,
)
from bulklmm_dask.surface import either
from bulklmm_dask.text import named
from bulklmm_dask.typing import Array, Names

# Attribute of an opened kinship: the path of the store that has its eigenvectors.
STORE = "kinship_store"
# Attributes of a kinship: the arguments that it was computed with, and the number of its markers.
ARGUMENTS = ("method", "variants", "covariates", "traits", "bandwidth")
OF_KINSHIPS = (*ARGUMENTS, "n_variants")
_MATRIX = "matrix_digest"
_DIMS = ("samples_0", "samples_1")
_FILE_BYTES = 2**28  # of a file before compression: codecs take less than 2 GiB at a time
_SAMPLES, _CONTIGS = "sample_id", "contig_id"


def write_kinship_store(
    path: str | os.PathLike[str],
    matrix: Array,
    samples: Names,
    contigs: Names | None,
    eigen: Sequence[tuple[Array, Array]],
    attrs: Mapping[str, Any],
    *,
    overwrite: bool,
) -> None:
    """Write a checked kinship and its eigenvectors, completely or not at all."""
    target = Location.of(path).opened(to_write=True)
    require_free_for_kinship(target, overwrite=overwrite)
    target.require_writable(2 * matrix.nbytes)
    loco = () if contigs is None else ("contigs",)
    values = np.stack([one for one, _ in eigen]).reshape(matrix.shape[:-1])
    vectors = np.stack([one for _, one in eigen]).reshape(matrix.shape)
    with target.appearing(_require_replaceable if overwrite else None) as partial:
        make_group(partial)
        n = len(samples)
        file = (*(1 for _ in loco), max(1, min(n, _FILE_BYTES // (8 * n))), n)
        make_array(partial / "kinship", matrix, file, dims=(*loco, *_DIMS))
        make_array(partial / "eigenvalues", values, dims=(*loco, "vectors"))
        make_array(partial / "eigenvectors", vectors, file, dims=(*loco, _DIMS[0], "vectors"))
        make_array(partial / _SAMPLES, samples.astype(object), dims=("samples",))
        if contigs is not None:
            make_array(partial / _CONTIGS, contigs.astype(object), dims=("contigs",))
        seal(partial, {**attrs, _MATRIX: fingerprint([matrix]), **stamp(KINSHIP)}, frozenset())


def require_free_for_kinship(target: Location, *, overwrite: bool) -> None:
    """Raise StoreError unless a kinship can take the place; only a kinship may be replaced."""
    target.require_free(overwrite=overwrite)
    if target.exists():
        _require_replaceable(target)


def _require_replaceable(target: Location) -> None:
    """Raise StoreError unless a store is a kinship: a study may be the one it is computed from."""
    require_own(target, KINSHIP)


def is_kinship_store(path: str | os.PathLike[str]) -> bool:
    """Tell whether a store of this path is one of a kinship."""
    place = Location.of(path).opened()
    return place.is_store() and attributes_of(place).get(KIND) == KINSHIP


def open_kinship(path: str | os.PathLike[str]) -> xr.DataArray:
    """Open a kinship that `save_kinship` wrote, for ``scan(ds, kinship=...)``.

    Parameters
    ----------
    path : path
        The folder of the store, such as K.zarr.

    Returns
    -------
    DataArray (samples_0, samples_1) or (contigs, samples_0, samples_1)
        In memory, in float64, with the names of its samples. Analyses of the same samples, in any
        order, use the eigenvectors that the store keeps of it.

    Raises
    ------
    StoreError
        If there is no such store, it is of another kind, or anything in it is damaged.

    Examples
    --------
    >>> blmm.save_kinship(blmm.kinship(ds), "K.zarr", ds)
    >>> matrix = blmm.open_kinship("K.zarr")
    >>> matrix.shape, matrix.attrs["method"]
    ((120, 120), 'bulklmm')
    >>> result = blmm.scan(ds, kinship=matrix)
    """
    store = Location.of(path).opened()
    attrs = kinship_attributes(store)
    matrix, samples = _read(store, "kinship"), text(_read(store, _SAMPLES))
    if fingerprint([matrix]) != attrs[_MATRIX]:
        raise StoreError(
            f"{store} is damaged: its kinship is not what was written; {remedy(store)}"
        )
    coords: dict[str, Any] = dict.fromkeys(_DIMS, samples)
    if matrix.ndim == 3:
        coords["contigs"] = text(_read(store, _CONTIGS))
    own = {name: one for name, one in attrs.items() if name in (*OF_KINSHIPS, VALUES)}
    named_by = {"source": named(path), STORE: store.fixed.path}
    dims = (*(("contigs",) if matrix.ndim == 3 else ()), *_DIMS)
    return xr.DataArray(matrix, coords, dims, "kinship", own | named_by)


def kept_eigen(
    path: str, matrix: Array, samples: Sequence[str]
) -> list[tuple[Array, Array]] | None:
    """Eigenvalues and eigenvectors of a kinship, if a store keeps them of just this one.

    Parameters
    ----------
    path : str
        The store; None is given if it is gone.
    matrix : array (samples, samples) or (contigs, samples, samples)
        The kinship in use.
    samples : sequence of str
        Its samples, in their order.

    Raises
    ------
    StoreError
        If the store is damaged.
    """
    store = Location.of(path).opened()
    if not store.is_store():
        return None
    attrs = kinship_attributes(store)
    place = {name: at for at, name in enumerate(samples)}
    order = [place.get(name, -1) for name in text(_read(store, _SAMPLES)).tolist()]
    if sorted(order) != list(range(len(samples))):
        return None
    as_stored = matrix[..., order, :][..., order]
    if fingerprint([np.ascontiguousarray(as_stored)]) != attrs[_MATRIX]:
        return None
    values, vectors = _read(store, "eigenvalues"), _read(store, "eigenvectors")
    back = np.argsort(order)
    n = len(samples)
    return [
        (one, np.ascontiguousarray(of_one[back]))
        for one, of_one in zip(values.reshape(-1, n), vectors.reshape(-1, n, n), strict=True)
    ]


def _read(store: Location, name: str) -> Any:
    try:
        return read_array(store / name, Form.of(store / name))
    except StoreError:
        raise
    except Exception as error:  # every codec fails in its own way
        raise StoreError(f"{store / name} is damaged ({error}); {remedy(store)}") from error


def kinship_attributes(store: Location) -> dict[str, Any]:
    """Attributes of a store of a kinship, as it was sealed.

    Raises
    ------
    StoreError
        If it is none, or damaged.
    """
    if not store.is_store():
        raise StoreError(
            f"there is no store {store}; {either('save_kinship', repr('bulklmm kinship --out'))} "
            "makes one"
        )
    attrs = attributes_of(store)
    if attrs.get(KIND) != KINSHIP:
        what = attrs.get(KIND, "Zarr group of another origin")
        raise StoreError(
            f"{store} is a {what}, not a store of a kinship; "
            f"{either('save_kinship', repr('bulklmm kinship --out'))} makes one"
        )
    format_of(store, attrs)
    require_attributes(store, attrs, (PARTS, DIGEST, _MATRIX))
    require_seal(store, attrs)
    return attrs
