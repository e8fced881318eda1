"""Columns of samples that a kernel is made of in place of markers: covariates, or traits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bulklmm_dask.analyses.inputs.covariates import CovariatesLike, model_columns
from bulklmm_dask.engine.study import Genotypes
from bulklmm_dask.errors import InputError, OptionError
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.labels.portable import names_of
from bulklmm_dask.study.checks import refuse_infinite
from bulklmm_dask.study.schema import locate
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import option
from bulklmm_dask.text import counted

TraitsLike = bool | str | Sequence[str] | None

_ALL = "all"


@dataclass(frozen=True)
class KernelColumns:
    """Columns of a kernel.

    Attributes
    ----------
    values : Genotypes
        The columns in place of markers.
    attrs : dict
        The argument that names them, as an attribute of the kernel.
    """

    values: Genotypes
    attrs: dict[str, Any]


def kernel_columns(
    ds: xr.Dataset, covariates: CovariatesLike, traits: TraitsLike
) -> KernelColumns | None:
    """Columns that a kernel is made of; None if neither covariates nor traits are asked for.

    Raises
    ------
    InputError
        If both are, or there is none of a name.
    """
    if _asked(covariates) and _asked(traits):
        raise OptionError(
            f"a kernel is made of {option('covariates')} or of {option('traits')}, not of both; "
            "leave one of them out"
        )
    if _asked(covariates):
        found = model_columns(ds, covariates).columns
        if not found:
            raise InputError(
                f"{option('covariates')} names no covariate, and the study has none; give names of "
                "covariates or of metadata of the samples"
            )
        values = np.stack(list(found.values()))
        samples = ds["sample_id"].values.tolist()
        refuse_infinite(values.T, "the table of covariates", samples, list(found))
        gaps = int(np.isnan(values).sum())
        if gaps:
            say(f"{counted(gaps, 'missing covariate')} of the kernel became the mean of its column")
        return KernelColumns(_as_markers(values, found), {"covariates": list(found)})
    if not _asked(traits):
        return None
    names = text(ds["trait_id"].values)
    asked = [_ALL] if isinstance(traits, bool | np.bool_) else names_of(traits)
    chosen = ds["sample_trait"]
    if asked != [_ALL] or _ALL in names:
        at = locate(names, asked, f"{option('traits')} names {{}}, which the study does not have")
        chosen, names = chosen.isel(traits=at), names[at]
    if not len(names):
        raise InputError(f"{option('traits')} names no trait; give names of traits, or all")
    values = chosen.transpose("traits", "samples").data
    return KernelColumns(_as_markers(values, names), {"traits": asked})


def _asked(names: object) -> bool:
    return not (names is None or (isinstance(names, bool | np.bool_) and not names))


def _as_markers(values: Any, names: Any) -> Genotypes:
    labels = np.array(list(names), dtype=object)
    return Genotypes(values, 1.0, labels, np.zeros(len(labels), dtype=np.int64))
