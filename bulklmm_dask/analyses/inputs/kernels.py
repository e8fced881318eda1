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
from bulklmm_dask.errors import InputError, OptionError
from bulklmm_dask.lmm.check_kinship import check_kinship
from bulklmm_dask.lmm.components.kernels import KernelSamples
from bulklmm_dask.storage.labels.shares import RESIDUAL
from bulklmm_dask.storage.labels.variables import LOCO
from bulklmm_dask.study.checks import array_of
from bulklmm_dask.study.metadata import find_metadata, metadata_names
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import either, function, option
from bulklmm_dask.text import counted, listing
from bulklmm_dask.typing import Array

KernelLike = str | npt.ArrayLike | xr.DataArray | pd.DataFrame | pd.Series

# Stands for a matrix or labels in attributes of results, which do not keep them.
GIVEN = "given"
# Stands before the name of a sample variable: its groups, even if a matrix has that name too.
GROUPS = "@"


@dataclass(frozen=True)
class Kernels:
    """Kernels of a model, and what they were given as.

    Attributes
    ----------
    names : tuple of str
        Their names.
    matrices : tuple of array (samples, samples) or (contigs, samples, samples)
        Checked, of any scale; of each contig its own where it is left out of a kernel.
    """

    names: tuple[str, ...]
    matrices: tuple[Array, ...]

    @property
    def components(self) -> list[str]:
        """Names of the kernels and, last, of the residual."""
        return [*self.names, RESIDUAL]


def kernels_of(ds: xr.Dataset, given: Mapping[str, KernelLike], *, loco: bool = False) -> Kernels:
    """Kernels by name, in the order of the samples of a study.

    Parameters
    ----------
    ds : Dataset
        The study.
    given : mapping of str
        Name of each kernel to a matrix, a variable of the study, or groups of the samples.
    loco : bool
        Take kernels that hold a matrix for each contig, from the markers of all others; at least
        one does. Others are the same for all contigs.

    Raises
    ------
    InputError
        If there is none, a name does not serve, or a kernel cannot be used.
    """
    _require_names(given)
    found = tuple(_kernel(ds, name, kernel, loco=loco) for name, kernel in given.items())
    if loco and not any(one.ndim == 3 for one in found):
        raise OptionError(
            f"{option('loco', True)} needs a kernel with a matrix for each contig, but "
            f"{listing(given)} have one for all markers; make it with "
            + either(
                "ds['kinship_loco'] = bulklmm_dask.kinship(ds, loco=True), and name it 'kinship'",
                "'bulklmm kinship --loco', and name it as in --kernel additive=kinship",
            )
        )
    return Kernels(tuple(given), found)


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


def _kernel(ds: xr.Dataset, name: str, given: KernelLike, *, loco: bool) -> Array:
    """One kernel (samples, samples), or one for each contig."""
    what = f"kernel {name!r}"
    if given is None or isinstance(given, bool):
        raise InputError(f"{what} is {given}; give a matrix, or the name of a variable")
    if not (isinstance(given, str) or hasattr(given, "ndim")):
        given = array_of(given, what)
    if isinstance(given, str) and given not in ds and is_of_region(given):
        given = _of_region(ds, name, given)
    elif isinstance(given, str) and _is_method(ds, name, given):
        given = kinship(ds, method=cast(KinshipMethod, given), loco=loco)
    if _are_groups(ds, given):
        return _same_group(ds, given, what)
    _require_variable(ds, what, given)
    matrix = opened(ds, given)
    left_out = loco and _by_contig(ds, matrix)
    found = kinship_matrix(ds, matrix, loco=left_out, name=what)
    if is_lazy(found):
        (found,) = computed(found)
        each = [
            check_kinship(one, ds.sizes["samples"], what, say)
            for one in (found if left_out else found[None])
        ]
        found = np.stack(each) if left_out else each[0]
    return np.asarray(found)


def require_known(ds: xr.Dataset, given: Mapping[str, KernelLike]) -> None:
    """Raise InputError for kernels that a study does not know, but for a kinship to come.

    Nothing is computed.
    """
    _require_names(given)
    for name, kernel in given.items():
        if not isinstance(kernel, str) or kernel == "kinship":
            continue
        what = f"kernel {name!r}"
        if (kernel not in ds and is_of_region(kernel)) or _is_method(ds, name, kernel):
            continue
        if _are_groups(ds, kernel):
            labels_of_samples(ds, kernel.removeprefix(GROUPS), what)
        else:
            _require_variable(ds, what, kernel)


def _require_variable(ds: xr.Dataset, what: str, given: KernelLike) -> None:
    """Raise InputError for a name that the study does not have, and that is no store."""
    if isinstance(given, str) and given not in ds and opened(ds, given) is given:
        raise InputError(
            f"{what} is {given!r}, but the study has no matrix and no sample variable of that "
            f"name; of its samples it knows {listing(metadata_names(ds)) or 'nothing'}: make it "
            f"with ds[{given!r}] = bulklmm_dask.kinship(ds), give a matrix, or a method of "
            f"bulklmm_dask.kinship ({', '.join(KINSHIP_METHODS)})"
        )


def _by_contig(ds: xr.Dataset, given: Any) -> bool:
    """Whether a kernel has a matrix for each contig left out."""
    if not isinstance(given, str):
        return bool(np.ndim(given) == 3)
    return (given == "kinship" and LOCO in ds) or (given in ds and ds[given].ndim == 3)


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


def is_of_region(given: str) -> bool:
    """Whether a kernel is a method of `kinship` and a region, with a colon between."""
    method, between, _ = given.partition(":")
    return bool(between) and method in KINSHIP_METHODS


def _of_region(ds: xr.Dataset, name: str, given: str) -> xr.DataArray:
    """Kernel of the markers of a region, the same for all contigs."""
    method, _, region = given.partition(":")
    if method == "linear" or not region.strip():
        raise InputError(
            f"kernel {name!r} is {given!r}; give a method of markers and a region with a colon "
            "between, such as centered:7 or centered:7:20-40"
            + (", for linear is a kernel of covariates or traits" if region.strip() else "")
        )
    return kinship(ds, method=cast(KinshipMethod, method), variants=region)


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
    for contig in dict.fromkeys(measured.alike):
        matrices = np.stack([one[contig] if one.ndim == 3 else one for one in kernels.matrices])
        samples = KernelSamples(measured.covariates, matrices, measured.weights)
        alike = samples.take(rows).rotated().dependent()
        if alike:
            _refuse_alike(kernels, alike, len(rows))


def _refuse_alike(kernels: Kernels, alike: tuple[int, ...], n_samples: int) -> None:
    """Raise InputError for kernels, by number, that samples cannot tell apart."""
    names = [kernels.components[k] for k in alike]
    own = [name for name in names if name != RESIDUAL]
    where = f"in {counted(n_samples, 'sample')}, beside the covariates"
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


def in_words(given: Mapping[str, KernelLike]) -> str:
    """The kernels as an attribute of a result: additive=kinship, cage=@cage."""
    return ", ".join(
        f"{name}={kernel if isinstance(kernel, str) else GIVEN}" for name, kernel in given.items()
    )


def from_words(words: str) -> dict[str, str] | None:
    """The kernels that `in_words` wrote; None where it was a single kinship."""
    parts = [one.partition("=") for one in words.split(", ")]
    if not all(between and name for name, between, _ in parts):
        return None
    return {name: kernel for name, _, kernel in parts}


def are_several(kinship: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether kernels are given by name; xarray's Dataset is a mapping too, but of variables."""
    return isinstance(kinship, Mapping) and not isinstance(kinship, xr.Dataset)


def kernels_in_words(kernels: Mapping[str, object]) -> str:
    """Kernels as they are called in errors: 2 kernels by name ('additive', 'cage')."""
    return f"{counted(len(kernels), 'kernel')} by name ({listing(kernels)})"


def refuse_several(kinship: object) -> None:
    """Raise InputError where one kinship is wanted and a mapping of kernels is given."""
    if are_several(kinship):
        raise InputError(
            f"kinship is a mapping of {counted(len(kinship), 'kernel')} ({listing(kinship)}), "
            f"which {function('heritability')}, {function('scan')}, {function('permute')} and "
            f"{function('plan')} take; this is of one kinship: give a matrix, or the name of one"
        )
