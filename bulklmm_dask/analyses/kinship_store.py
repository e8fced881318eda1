"""The function `save_kinship`."""

from __future__ import annotations

import os

import numpy as np
import xarray as xr

from bulklmm_dask.analyses.inputs.kept_eigen import digests_for_kinship
from bulklmm_dask.analyses.kinship import kinship_arguments
from bulklmm_dask.engine.eigen import eigen_of_each
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.check_kinship import check_kinship
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.proof.stamp import VALUES
from bulklmm_dask.study.kinship_store import (
    OF_KINSHIPS,
    is_kinship_store,
    open_kinship,
    write_kinship_store,
)
from bulklmm_dask.study.schema import require_unique
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import function


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
        The study it was computed from. Digests of its genotypes, and with `loco` of their contigs,
        are kept, so that a scan of the same samples with others warns. (Not of a kernel of
        covariates or traits.)
    overwrite : bool
        Whether to replace a kinship store of that name; a study or a result is not replaced.

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
    attrs = {name: one for name, one in matrix.attrs.items() if name in OF_KINSHIPS}
    if ds is not None and "n_variants" in matrix.attrs:
        attrs[VALUES] = digests_for_kinship(ds, loco=matrix.ndim == 3)
    write_kinship_store(
        path, checked, names[0], contigs, eigen_of_each(each), attrs, overwrite=overwrite
    )


def is_kinship_of(ds: xr.Dataset, path: str | os.PathLike[str], matrix: xr.DataArray) -> bool:
    """Tell whether a store has a kinship of a study, from its genotypes and map.

    Values of `matrix`, from `kinship`, are not looked at. Of kernels of other columns no digests
    are kept: they are never known to be the same.
    """
    if not is_kinship_store(path):
        return False
    found = open_kinship(path)
    loco = matrix.ndim == 3
    same = (
        "n_variants" in found.attrs
        and found.ndim == matrix.ndim
        and kinship_arguments(found.attrs) == kinship_arguments(matrix.attrs)
    )
    names = text(found[found.dims[-1]].values)
    return (
        same
        and np.array_equal(names, text(ds["sample_id"].values))
        and found.attrs.get(VALUES) == digests_for_kinship(ds, loco=loco)
    )
