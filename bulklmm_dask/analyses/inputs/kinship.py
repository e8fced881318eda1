"""Kinship of an analysis: a variable of the study or a matrix, in the order of the samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bulklmm_dask.engine.arrays import is_lazy
from bulklmm_dask.errors import InputError, OptionError
from bulklmm_dask.lmm.check_kinship import check_kinship, require_square
from bulklmm_dask.lmm.known import Known
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.labels.variables import LOCO
from bulklmm_dask.study.checks import array_of, real_numbers
from bulklmm_dask.study.contigs import locate_contigs
from bulklmm_dask.study.kinship_store import is_kinship_store, open_kinship
from bulklmm_dask.study.labelled import index_names, say_counted
from bulklmm_dask.study.schema import locate, require_unique
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import either, option
from bulklmm_dask.text import counted, named
from bulklmm_dask.typing import Array

# Kinships that were checked, as they were given and as they are used, in this process.
_CHECKED: Known[Array] = Known(2**27)

KinshipLike = str | npt.ArrayLike | xr.DataArray | pd.DataFrame | None


def no_kinship() -> str:
    """The option that asks for ordinary regression."""
    return either("kinship=None", "--kinship none")


def _made_by_contig() -> str:
    made = f"ds[{LOCO!r}] = bulklmm_dask.kinship(ds, loco=True)"
    return either(made, "'bulklmm kinship --loco'")


def require_kinship(kinship: object, verb: str) -> None:
    """Raise InputError where a heritability is asked for without a kinship."""
    if kinship is None:
        raise InputError(
            f"{no_kinship()} is given, but without a kinship there is no heritability to {verb}; "
            + either("name the study's variable or hand a matrix over", "name one, or give a table")
        )


def kinship_in_words(kinship: KinshipLike) -> str:
    """The kinship as an attribute of a result."""
    if isinstance(kinship, str):
        return kinship
    return "none" if kinship is None else "given as a matrix"


def opened(ds: xr.Dataset, kinship: KinshipLike) -> KinshipLike:
    """The kinship as given, or that in the store whose path is given for a name."""
    if not isinstance(kinship, str) or kinship in ds or not kinship.strip():
        return kinship
    return open_kinship(kinship) if is_kinship_store(kinship) else kinship


def kinship_matrix(
    ds: xr.Dataset, kinship: KinshipLike, *, loco: bool = False, name: str = "the kinship"
) -> Any:
    """The kinship as an array in the order of the samples; checked if it is in memory.

    Parameters
    ----------
    ds : Dataset
        The study.
    kinship : str, array, DataArray, DataFrame or None
        A variable of the study or a matrix (`opened`); None is ordinary regression.
    loco : bool
        Whether there is a kinship for each contig, from the markers of all other contigs.
    name : str
        Name of a matrix in errors.

    Returns
    -------
    array (samples, samples) or (contigs, samples, samples), or None
    """
    if kinship is None:
        if loco:
            raise OptionError(
                f"{option('loco', True)} and {no_kinship()} exclude each other: the one needs a "
                "kinship for each contig; leave one of them out"
            )
        return None
    if isinstance(kinship, xr.DataArray) and "source" in kinship.attrs:
        name += f" {named(kinship.attrs['source'])}"
    if isinstance(kinship, str):
        if loco and kinship == "kinship" and LOCO in ds:
            kinship = LOCO
        name, kinship = kinship, _variable(ds, kinship, loco=loco)
    samples = [str(sample) for sample in ds["sample_id"].values]
    if isinstance(kinship, pd.DataFrame):
        kinship = _labelled(kinship, samples)
    matrix: Any = kinship
    if not (isinstance(matrix, xr.DataArray) or is_lazy(matrix)):
        matrix = array_of(matrix, name)
    dims = matrix.ndim
    if loco != (dims == 3):
        raise InputError(
            f"{option('loco', True)} needs one kinship a contig, but {name} is one for all "
            f"markers; make them with {_made_by_contig()}"
            if loco
            else f"{name} holds one matrix for each contig left out; give {option('loco', True)}, "
            "or use the kinship of all markers"
        )
    if isinstance(matrix, xr.DataArray):
        if loco:
            matrix = _by_contig(ds, matrix, name)
        matrix = _by_name(matrix, samples, name)
    count = matrix.shape[0] if loco else None
    if loco and ("variant_contig" not in ds or count != ds.sizes["contigs"]):
        raise InputError(
            f"{name} has {count} matrices for the {ds.sizes.get('contigs', 0)} contigs of "
            f"the study; make them with {_made_by_contig()}"
        )
    if is_lazy(matrix):  # its values are checked where they are computed
        require_square(np.shape(matrix)[-2:], len(samples), name)
        return matrix
    matrix = real_numbers(matrix, name, "it should be (samples, samples)")
    if loco:
        contigs = [f"{name} without contig {contig}" for contig in ds["contig_id"].values]
        return _checked(matrix, len(samples), contigs)
    return _checked(matrix[None], len(samples), [name])[0]


def _checked(matrices: Array, n_samples: int, names: Sequence[str]) -> Array:
    """Matrices (k, samples, samples) as `check_kinship` gives them; found again if they are known.

    What a warning was said of is checked again, so that it is said again.
    """
    known = _CHECKED.find([matrices])
    if known is not None and known.shape[-1] == n_samples:
        return known
    said: list[str] = []
    each = zip(matrices, names, strict=True)
    found = np.stack([check_kinship(one, n_samples, what, said.append) for one, what in each])
    for text_of_one in said:
        say(text_of_one)
    if not said:
        _CHECKED.keep([matrices], found, found.nbytes)
    return found


def _variable(ds: xr.Dataset, name: str, *, loco: bool) -> xr.DataArray:
    """A kinship that the study holds."""
    if name not in ds:
        made = "bulklmm_dask.kinship(ds, loco=True)" if loco else "bulklmm_dask.kinship(ds)"
        raise InputError(
            f"the study has no variable {name!r}; make it with ds[{name!r}] = {made}, hand a "
            "matrix over, or use kinship=None for ordinary regression"
        )
    found = ds[name]
    if set(found.dims) & {"variants", "traits"}:
        raise InputError(
            f"the variable {name!r} has dimensions {found.dims}; a kinship is "
            "(samples_0, samples_1)"
        )
    return found


def _labelled(frame: pd.DataFrame, samples: list[str]) -> xr.DataArray:
    """A table of pandas with the names of its rows and columns, if it has any.

    Names at one side are those of both sides.
    """
    rows, columns = (index_names(index, "kinship") for index in (frame.index, frame.columns))
    if rows is None and columns is None:
        if set(samples) == set(map(str, frame.index)):
            rows = list(map(str, frame.index))
        else:
            say_counted("the rows of the kinship", "the samples of the study")
    dims = ("samples_0", "samples_1")
    known = [names for names in (rows, columns) if names is not None]
    if not known:
        return xr.DataArray(frame.to_numpy(), dims=dims)
    sides = known[0], known[-1]
    if tuple(map(len, sides)) != frame.shape:
        raise InputError(
            f"the kinship has {counted(frame.shape[0], 'row')} and "
            f"{counted(frame.shape[1], 'column')}, and only one side has names; give a row and a "
            "column for each sample"
        )
    return xr.DataArray(frame.to_numpy(), dict(zip(dims, sides, strict=True)), dims)


def _by_contig(ds: xr.Dataset, kinship: xr.DataArray, name: str) -> xr.DataArray:
    """Matrices in the order of the contigs of the study, matched by name if they have names."""
    if kinship.dims[0] not in kinship.coords or "contig_id" not in ds:
        return kinship
    known, contigs = kinship[kinship.dims[0]].values, ds["contig_id"].values
    what = f"{name} lacks {{count}} of the {len(contigs)} contigs: {{}}"
    remedy = "give a matrix for each contig of the study"
    order = locate_contigs(known, contigs, what, remedy, where=name)
    return kinship.isel({kinship.dims[0]: order})


def _by_name(kinship: xr.DataArray, samples: list[str], name: str) -> Any:
    """Rows and columns in the order of the samples, matched by name if they have names."""
    if kinship.ndim < 2:
        raise InputError(
            f"{name} has dimensions {kinship.dims}; a scan needs one matrix (samples, samples)"
        )
    for dim in kinship.dims[-2:]:
        if dim not in kinship.coords:
            continue
        require_unique(text(kinship[dim].values), f"the samples of {name}", "give each sample once")
        what = f"{name} lacks {{count}} of the {len(samples)} samples: {{}}"
        remedy = "give a kinship of all samples of the study"
        order = locate(kinship[dim].values, samples, what, remedy)
        if order.tolist() != list(range(kinship.sizes[dim])):
            kinship = kinship.isel({dim: order})
    return kinship.data
