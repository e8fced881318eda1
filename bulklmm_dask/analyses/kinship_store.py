"""The function `save_kinship`, and eigenvectors that a store keeps of the kinship in use."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import xarray as xr

from bulklmm_dask.analyses.inputs.kinship import KinshipLike
from bulklmm_dask.engine.arrays import is_lazy
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.basis import Eigen, eigen_of
from bulklmm_dask.lmm.check_kinship import check_kinship
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.proof.fingerprint import of_rows
from bulklmm_dask.storage.proof.lazy import kept_digest
from bulklmm_dask.storage.proof.stamp import VALUES
from bulklmm_dask.study.digests import digests_of_rows
from bulklmm_dask.study.kinship_store import (
    STORE,
    is_kinship_store,
    kept_eigen,
    open_kinship,
    write_kinship_store,
)
from bulklmm_dask.study.schema import require_unique
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import function
from bulklmm_dask.text import counted

_GENOTYPES = ("call_dosage", "call_genotype_probability")


def save_kinship(
    matrix: xr.DataArray,
    path: str | os.PathLike[str],
    ds: xr.Dataset | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write a kinship and its eigenvectors to a store of its own, which `open_kinship` opens.

    The eigendecomposition of n samples takes 9 n^3 operations, and as many again for each contig
    with `loco`. Analyses of all samples of the store, in any order, without weights, use the one
    that is kept; it is compared with a digest of the kinship before.

    Parameters
    ----------
    matrix : DataArray (samples_0, samples_1) or (contigs, samples_0, samples_1)
        With the names of its samples, as `kinship` and `read_kinship` give it.
    path : path
        The folder to write, such as K.zarr.
    ds : Dataset, optional
        The study it was computed from. A digest of its genotypes is kept, so that a scan of the
        same samples with other genotypes warns.
    overwrite : bool
        Whether to replace a store of that name.

    Raises
    ------
    InputError
        If it is no kinship, or has no names of samples.
    StoreError
        If something of that name exists, or the store cannot be written.

    Examples
    --------
    >>> blmm.save_kinship(blmm.kinship(ds), "K.zarr", ds)
    >>> result = blmm.scan(ds, kinship=blmm.open_kinship("K.zarr"))

    One for each chromosome left out:

    >>> blmm.save_kinship(blmm.kinship(ds, loco=True), "loco.zarr", ds)
    >>> result = blmm.scan(ds, kinship=blmm.open_kinship("loco.zarr"), loco=True)
    """
    if not isinstance(matrix, xr.DataArray) or matrix.ndim not in (2, 3):
        raise InputError(
            f"save_kinship got {type(matrix).__name__}; give a DataArray (samples_0, samples_1), "
            f"as {function('kinship')} makes it"
        )
    dims = matrix.dims[-2:]
    if any(dim not in matrix.coords for dim in dims):
        raise InputError(
            "the kinship has no names of samples; give it coordinates samples_0 and samples_1, "
            f"as {function('kinship')} does"
        )
    names = [text(matrix[dim].values) for dim in dims]
    require_unique(names[0], "the samples of the kinship", "give each sample once")
    if not np.array_equal(names[0], names[1]):
        raise InputError(
            "the rows and the columns of the kinship name other samples; give both the same order"
        )
    contigs = None
    if matrix.ndim == 3:
        if matrix.dims[0] not in matrix.coords:
            raise InputError(
                "the kinship has no names of contigs; give it a coordinate contigs, as "
                f"{function('kinship')} does"
            )
        contigs = text(matrix[matrix.dims[0]].values)
    values = np.asarray(matrix.values, dtype=np.float64)
    n = len(names[0])
    matrices = values.reshape(-1, *values.shape[-2:])
    each = [check_kinship(one, n, "the kinship", say) for one in matrices]
    checked = np.stack(each).reshape(values.shape)
    attrs = {name: one for name, one in matrix.attrs.items() if name in ("method", "n_variants")}
    if ds is not None:
        attrs[VALUES] = _digests(ds)
    write_kinship_store(
        path, checked, names[0], contigs, list(map(eigen_of, each)), attrs, overwrite=overwrite
    )


def kept_eigen_of(
    ds: xr.Dataset, kinship: KinshipLike, matrix: Any, *, weighted: bool, gaps: bool
) -> tuple[Eigen, ...] | None:
    """Eigenvectors that a store keeps of the kinship of an analysis; None where they do not serve.

    Parameters
    ----------
    ds : Dataset
        The study.
    kinship : str, array, DataArray, DataFrame or None
        The kinship as given.
    matrix : array
        The same as `kinship_matrix` gives it.
    weighted, gaps : bool
        Whether samples have weights, or some lack a covariate: then another matrix is decomposed.

    Warns
    -----
    StudyWarning
        If the kinship is from a store whose eigenvectors do not serve, or of other genotypes.
    """
    path = kinship.attrs.get(STORE) if isinstance(kinship, xr.DataArray) else None
    if path is None or is_lazy(matrix):
        return None
    assert isinstance(kinship, xr.DataArray)
    name = kinship.attrs.get("source", path)
    samples = text(ds["sample_id"].values).tolist()
    _warn_of_other_genotypes(ds, kinship, samples, name)
    why = "samples have weights" if weighted else "some samples lack a covariate" if gaps else ""
    if not why:
        found = kept_eigen(path, matrix, samples)
        if found is not None:
            return tuple(found)
        of = kinship.sizes[kinship.dims[-1]]
        why = (
            f"the study has {len(samples):,} of its {counted(of, 'sample')}"
            if of != len(samples)
            else "the kinship is not the one in the store"
        )
    say(f"the eigenvectors in {name} do not serve, for {why}: they are computed anew")
    return None


def is_kinship_of(ds: xr.Dataset, path: str | os.PathLike[str], *, method: str, loco: bool) -> bool:
    """Tell whether a store has the kinship of a study, by a method, from these genotypes."""
    if not is_kinship_store(path):
        return False
    found = open_kinship(path)
    same = found.attrs.get("method") == method and (found.ndim == 3) == loco
    names = text(found[found.dims[-1]].values)
    return (
        same
        and np.array_equal(names, text(ds["sample_id"].values))
        and found.attrs.get(VALUES) == _digests(ds)
    )


def _digests(ds: xr.Dataset) -> dict[str, str]:
    """Digests of the genotypes of a study, as its store keeps them."""
    found = {}
    for name in _GENOTYPES:
        if name in ds:
            found[name] = kept_digest(ds[name].data) or of_rows(
                digests_of_rows(ds[[name]])[name].values
            )
    return found


def _warn_of_other_genotypes(
    ds: xr.Dataset, kinship: xr.DataArray, samples: list[str], name: str
) -> None:
    """Warn if a kinship of the same samples was computed from other genotypes than the study's."""
    kept = kinship.attrs.get(VALUES, {})
    if not kept or text(kinship[kinship.dims[-1]].values).tolist() != samples:
        return
    # Lazy genotypes without a digest are not read for this.
    known = [one for one in _GENOTYPES if one in ds]
    if any(is_lazy(ds[one].data) and kept_digest(ds[one].data) is None for one in known):
        return
    if _digests(ds) != kept:
        say(
            f"the kinship {name} was computed from other genotypes than those of the study; "
            "compute it again, unless that is meant"
        )
