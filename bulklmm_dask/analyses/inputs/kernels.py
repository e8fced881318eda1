"""Kernels of several random effects by name: matrices, and groups of samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bulklmm_dask.analyses.inputs.kinship import kinship_matrix, opened
from bulklmm_dask.analyses.inputs.strata import labels_of_samples
from bulklmm_dask.analyses.kinship import kinship
from bulklmm_dask.analyses.options import KINSHIP_METHODS, KinshipMethod
from bulklmm_dask.engine.arrays import is_lazy
from bulklmm_dask.engine.study import Measurements
from bulklmm_dask.engine.watch import computed
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.check_kinship import check_kinship
from bulklmm_dask.lmm.components.kernels import KernelSamples
from bulklmm_dask.study.checks import array_of
from bulklmm_dask.study.metadata import find_metadata, metadata_names
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import either, function
from bulklmm_dask.text import counted, listing
from bulklmm_dask.typing import Array

KernelLike = str | npt.ArrayLike | xr.DataArray | pd.DataFrame | pd.Series

# Name of the independent part, which is in every model.
RESIDUAL = "residual"
# Stands before the name of a sample variable: its groups, even if a matrix has that name too.
GROUPS = "@"


@dataclass(frozen=True)
class Kernels:
    """Kernels of a model, and what they were given as.

    Attributes
    ----------
    names : tuple of str
        Their names.
    matrices : array (k, samples, samples)
        Checked, of any scale.
    words : tuple of str
        What each was given as, for attributes of results.
    """

    names: tuple[str, ...]
    matrices: Array
    words: tuple[str, ...]

    @property
    def components(self) -> list[str]:
        """Names of the kernels and, last, of the residual."""
        return [*self.names, RESIDUAL]


def kernels_of(ds: xr.Dataset, given: Mapping[str, KernelLike]) -> Kernels:
    """Kernels by name, in the order of the samples of a study.

    Parameters
    ----------
    ds : Dataset
        The study.
    given : mapping of str
        Name of each kernel to a matrix, a variable of the study, or groups of the samples.

    Raises
    ------
    InputError
        If there is none, a name does not serve, or a kernel cannot be used.
    """
    _require_names(given)
    found = [_kernel(ds, name, kernel) for name, kernel in given.items()]
    words = tuple(kernel if isinstance(kernel, str) else "given" for kernel in given.values())
    return Kernels(tuple(given), np.stack(found), words)


def _require_names(given: Mapping[str, KernelLike]) -> None:
    if not given:
        raise InputError(
            "kinship is an empty mapping; name a kernel, as in kinship={'additive': K}"
        )
    for name in given:
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"a kernel is named {name!r}; give it a name that is a text")
        if name.strip() == RESIDUAL:
            raise InputError(
                f"a kernel is named {name!r}, which is the name of the independent part that "
                "every model has; give it another name"
            )


def _kernel(ds: xr.Dataset, name: str, given: KernelLike) -> Array:
    """One kernel (samples, samples)."""
    what = f"kernel {name!r}"
    if given is None or isinstance(given, bool):
        raise InputError(f"{what} is {given}; give a matrix, or the name of a variable")
    if not (isinstance(given, str) or hasattr(given, "ndim")):
        given = array_of(given, what)
    if isinstance(given, str) and _is_method(ds, name, given):
        given = kinship(ds, method=cast(KinshipMethod, given))
    if _are_groups(ds, given):
        return _same_group(ds, given, what)
    if isinstance(given, str) and given not in ds and opened(ds, given) is given:
        raise InputError(
            f"{what} is {given!r}, but the study has no matrix and no sample variable of that "
            f"name; of its samples it knows {listing(metadata_names(ds)) or 'nothing'}: make it "
            f"with ds[{given!r}] = bulklmm_dask.kinship(ds), give a matrix, or a method of "
            f"bulklmm_dask.kinship ({', '.join(KINSHIP_METHODS)})"
        )
    found = kinship_matrix(ds, opened(ds, given), name=what)
    if is_lazy(found):
        (found,) = computed(found)
        found = check_kinship(found, ds.sizes["samples"], what, say)
    return np.asarray(found)


def _is_method(ds: xr.Dataset, name: str, given: str) -> bool:
    """Whether a kernel is given by a method of `kinship`, and not by a matrix of that name."""
    if given not in KINSHIP_METHODS or (given in ds and ds[given].ndim != 1):
        return False
    groups = find_metadata(ds, given)
    if groups is not None:
        made = either(
            f"kinship(ds, method={given!r})", f"a store of 'bulklmm kinship --method {given}'"
        )
        raise InputError(
            f"kernel {name!r} is {given!r}, which is a method of a kinship, and the study has the "
            f"sample variable {groups.name!r}; give {GROUPS + given!r} for the groups of this, or "
            f"{made} for the kinship"
        )
    return True


def _are_groups(ds: xr.Dataset, given: KernelLike) -> bool:
    """Whether a kernel is given by one label a sample, not as a matrix."""
    if isinstance(given, str):
        is_matrix = given in ds and ds[given].ndim != 1
        return given.startswith(GROUPS) or not (is_matrix or find_metadata(ds, given) is None)
    return np.ndim(given) == 1


def _same_group(ds: xr.Dataset, given: KernelLike, what: str) -> Array:
    """Kernel Z Z' of groups: 1 for two samples of one group, else 0."""
    if isinstance(given, str):
        given = given.removeprefix(GROUPS)
    labels = labels_of_samples(ds, given, what)
    numbers = pd.to_numeric(labels, errors="coerce")
    if labels.dtype.kind == "f" and (numbers % 1 != 0).any():
        value = labels[numbers % 1 != 0].iloc[0]
        raise InputError(
            f"{what} holds {value}, which is no label of a group; give labels or whole numbers, "
            "or a matrix"
        )
    _, group = np.unique(labels.astype(str), return_inverse=True)
    return np.equal.outer(group, group).astype(np.float64)


def require_apart(kernels: Kernels, measured: Measurements) -> None:
    """Raise InputError unless the samples with all covariates can tell the kernels apart."""
    rows = np.flatnonzero(measured.complete)
    if len(rows) < measured.covariates.shape[1] + 2:
        return
    samples = KernelSamples(measured.covariates, kernels.matrices, measured.weights)
    alike = samples.take(rows).rotated().dependent()
    if not alike:
        return
    names = [kernels.components[k] for k in alike]
    own = [name for name in names if name != RESIDUAL]
    where = f"in {counted(len(rows), 'sample')}, beside the covariates"
    if len(names) == 1:
        why = f"{where}, kernel {own[0]!r} is 0, as that of one group that holds all samples is"
    elif len(own) == 1:
        why = (
            f"{where}, kernel {own[0]!r} is a multiple of the residual, as that of groups of one "
            "sample each is"
        )
    elif len(names) == 2:
        why = f"{where}, kernels {listing(own)} are multiples of each other"
    else:
        why = f"{where}, {listing(names, 10)} are sums of multiples of each other"
    raise InputError(
        f"the shares of collinear kernels cannot be told apart: {why}; leave {own[-1]!r} out"
    )


def in_words(kernels: Kernels) -> str:
    """The kernels as an attribute of a result: additive=kinship, cage=@cage."""
    each = zip(kernels.names, kernels.words, strict=True)
    return ", ".join(f"{name}={words}" for name, words in each)


def are_several(kinship: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether kernels are given by name; xarray's Dataset is a mapping too, but of variables."""
    return isinstance(kinship, Mapping) and not isinstance(kinship, xr.Dataset)


def refuse_several(kinship: object) -> None:
    """Raise InputError where one kinship is wanted and a mapping of kernels is given."""
    if are_several(kinship):
        raise InputError(
            f"kinship is a mapping of {counted(len(kinship), 'kernel')} ({listing(kinship)}), "
            f"which only {function('heritability')} takes so far; give one matrix, or the name of "
            "one"
        )
