"""Checks of what users hand over, shared by the front doors: a study, options, a kinship."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bulklmm_dask.engine.scan import Measurements, is_lazy
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.basis import independent_columns
from bulklmm_dask.lmm.kinship import check_kinship
from bulklmm_dask.lmm.prior import Prior
from bulklmm_dask.storage.encoding import text
from bulklmm_dask.study.checks import refuse_infinite, refuse_outside
from bulklmm_dask.study.schema import LOCO, NAMES, require_unique
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import listing

KinshipLike = str | npt.ArrayLike | xr.DataArray | pd.DataFrame | None
VectorLike = str | npt.ArrayLike | xr.DataArray | pd.Series
PriorLike = Prior | tuple[VectorLike, VectorLike] | None


def require_one_of(value: str, known: Sequence[str], what: str) -> None:
    """Raise InputError where an option is none of its known values."""
    if value not in known:
        raise InputError(f"unknown {what} {value!r}; choose one of {', '.join(known)}")


def require_flag(value: object, what: str) -> None:
    """Raise InputError where an option is neither True nor False."""
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{what} is {value!r}; it should be True or False")


def numbers(h2_grid: npt.ArrayLike | None) -> tuple[float, ...] | None:
    """Heritabilities of a grid as a tuple; None stays None."""
    if h2_grid is None:
        return None
    try:
        return tuple(float(h) for h in np.atleast_1d(np.asarray(h2_grid)))
    except (TypeError, ValueError):
        raise InputError(f"h2_grid is {h2_grid!r}; it should be numbers in [0, 1]") from None


def genotype_variable(ds: xr.Dataset, name: str | None) -> xr.DataArray:
    """The genotypes to scan: by default probabilities of three genotypes or more, else dosages."""
    known = [each for each in ("call_dosage", "call_genotype_probability") if each in ds]
    if name is None:
        probability = ds.get("call_genotype_probability")
        several = probability is not None and probability.sizes["genotypes"] > 2
        name = known[-1] if several else known[0]
    if name not in known:
        raise InputError(f"the study has no genotypes {name!r}; it has {listing(known)}")
    return ds[name]


def strings(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Give one name or several as several."""
    return (given,) if isinstance(given, str) else tuple(given or ())


def interacting_columns(covariates: list[str], interaction: Sequence[str]) -> tuple[int, ...]:
    """Where the covariates that interact stand, behind the intercept and among the others."""
    unknown = [name for name in interaction if name not in covariates]
    if unknown:
        raise InputError(
            f"interaction names {listing(unknown)}, not among the covariates of the scan "
            f"({listing(covariates) or 'none'}): what interacts must also be additive"
        )
    return tuple(1 + covariates.index(name) for name in interaction)


def genotype_arrays(ds: xr.Dataset, genotypes: xr.DataArray, *, loco: bool) -> dict[str, Any]:
    """What a `Study` has beyond `Measurements`, checked if it is in memory."""
    samples, variants = list(ds["sample_id"].values), list(ds["variant_id"].values)
    if not samples or not variants or not ds.sizes["traits"]:
        raise InputError(f"nothing to scan: the study has sizes {dict(ds.sizes)}")
    maximum = float(genotypes.attrs.get("maximum", 1))
    if genotypes.chunks is None:
        refuse_outside(genotypes.values, maximum, variants, samples)
    contig = np.zeros(len(variants), dtype=np.int64)
    if loco:
        contig = ds["variant_contig"].values.astype(np.int64)
    return {
        "genotypes": genotypes.data,
        "maximum": maximum,
        "variant_names": text(variants),
        "contig": contig,
    }


def measurements(
    ds: xr.Dataset,
    kinship: KinshipLike,
    covariates: npt.NDArray[np.float64],
    *,
    weights: npt.NDArray[np.float64] | None = None,
    loco: bool = False,
) -> Measurements:
    """The arrays of a study besides its genotypes, checked in the same way."""
    traits = ds["sample_trait"]
    samples, names = text(ds["sample_id"].values), text(ds["trait_id"].values)
    if traits.chunks is None:
        refuse_infinite(traits.values, "sample_trait", list(samples), list(names))
    return Measurements(
        traits=traits.data,
        covariates=covariates,
        kinship=kinship_matrix(ds, kinship, loco=loco),
        sample_names=samples,
        trait_names=names,
        weights=weights,
    )


def sample_weights(
    ds: xr.Dataset, weights: VectorLike | None, replicates: VectorLike | None
) -> npt.NDArray[np.float64] | None:
    """Residual weights w of the samples: as given, or the roots of numbers of replicates."""
    if weights is None and replicates is None:
        return None
    if weights is not None and replicates is not None:
        raise InputError(
            "weights and replicates are both given; replicates n stand for weights sqrt(n), so "
            "give one of them"
        )
    what = "weights" if weights is not None else "replicates"
    values = vector(ds, weights if weights is not None else replicates, what, "samples")
    wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if len(wrong):
        raise InputError(
            f"{what} holds {values[wrong[0]]} for sample {ds['sample_id'].values[wrong[0]]!r}; "
            "every sample needs a positive number (leave samples without one out of the study)"
        )
    return values if what == "weights" else np.sqrt(values)


def given_weights(weights: VectorLike | None, replicates: VectorLike | None) -> dict[str, str]:
    """What a result says of the weights of samples."""
    return {
        name: given if isinstance(given, str) else "given"
        for name, given in (("weights", weights), ("replicates", replicates))
        if given is not None
    }


def kinship_in_words(kinship: KinshipLike) -> str:
    """What a result says of the kinship."""
    if isinstance(kinship, str):
        return kinship
    return "none" if kinship is None else "given as a matrix"


def prior_of_traits(prior: PriorLike, ds: xr.Dataset) -> Prior | None:
    """The prior as the statistics take it, one for each trait."""
    if prior is None:
        return None
    try:
        variance, size = (prior.variance, prior.sample_size) if isinstance(prior, Prior) else prior
    except (TypeError, ValueError):
        raise InputError(
            f"prior is {prior!r}; it should be (variance, sample_size), each a number or one a "
            "trait"
        ) from None
    return Prior(_of_traits(variance, "variance", ds), _of_traits(size, "sample_size", ds))


def _of_traits(given: VectorLike, name: str, ds: xr.Dataset) -> npt.NDArray[np.float64]:
    if np.ndim(given) == 0 and not isinstance(given, str):
        return np.full(ds.sizes["traits"], np.asarray(given, dtype=np.float64))
    return vector(ds, given, f"the {name} of the prior", "traits")


def vector(ds: xr.Dataset, given: Any, what: str, dim: str) -> npt.NDArray[np.float64]:
    """Numbers along "samples" or "traits": a variable of the study, an array or labelled table."""
    found = aligned(ds, given, what, dim)
    try:
        return found.astype(np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{what} does not hold numbers; give one for each of the {dim}") from None


def aligned(ds: xr.Dataset, given: Any, what: str, dim: str) -> npt.NDArray[Any]:
    """Values along a dimension, one each: a variable of the study, an array or labelled table."""
    names = [str(name) for name in ds[NAMES[dim]].values]
    if isinstance(given, str):
        given = _named_vector(ds, given, what, dim)
    if isinstance(given, xr.DataArray):
        given = given.to_series() if given.coords else given.values
    if isinstance(given, pd.Series):
        series = given.set_axis(given.index.map(str))
        require_unique(series.index, f"the {dim} of {what}", "give one value for each")
        absent = [name for name in names if name not in series.index]
        if absent:
            raise InputError(f"{what} lacks {len(absent)} {dim}: {listing(absent)}")
        given = series.loc[names].to_numpy()
    values = np.asarray(given)
    if values.shape != (len(names),):
        raise InputError(f"{what} has shape {values.shape} for {len(names)} {dim}")
    return values


def _named_vector(ds: xr.Dataset, name: str, what: str, dim: str) -> npt.NDArray[Any]:
    """A variable over a dimension; of the samples, also a covariate."""
    if name in ds and ds[name].dims == (dim,):
        return np.asarray(ds[name].values)
    if dim == "samples" and f"sample_{name}" in ds:
        return _named_vector(ds, f"sample_{name}", what, dim)
    covariates = [str(each) for each in ds["covariate_id"].values] if "covariate_id" in ds else []
    if dim == "samples" and name in covariates:
        return np.asarray(ds["sample_covariate"].values[:, covariates.index(name)])
    other = ", and no such covariate" if dim == "samples" else ""
    raise InputError(
        f"{what} is {name!r}, but the study has no variable of that name over the {dim}{other}"
    )


def covariate_matrix(
    ds: xr.Dataset, wanted: bool | Sequence[str] | None
) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Names of the covariates, and their matrix (samples, 1 + c) with the intercept first."""
    known = [str(name) for name in ds["covariate_id"].values] if "covariate_id" in ds else []
    if isinstance(wanted, str):
        wanted = [wanted]
    wanted = False if wanted is None else wanted
    names = (known if wanted else []) if isinstance(wanted, bool) else [str(w) for w in wanted]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            f"no covariate {listing(unknown)} in the study; it has "
            f"{listing(known) if known else 'none'}"
        )
    n = ds.sizes["samples"]
    intercept = np.ones((n, 1))
    if not names:
        return [], intercept
    columns = ds["sample_covariate"].values[:, [known.index(name) for name in names]]
    samples = list(ds["sample_id"].values)
    refuse_infinite(columns, "sample_covariate", samples, names)
    matrix = np.concatenate([intercept, columns], axis=1)
    gaps = np.isnan(matrix).any(axis=1)
    if gaps.any():
        lost = listing(np.array(samples, dtype=object)[gaps])
        say(f"{gaps.sum()} of {n} samples lack a covariate and are left out of every trait: {lost}")
    complete = matrix[~gaps]
    if len(complete) < matrix.shape[1] + 2:
        raise InputError(
            f"{len(names)} covariates and the intercept leave nothing to test in "
            f"{len(complete)} complete samples; use fewer covariates"
        )
    dependent = independent_columns(complete)[1]
    if dependent:
        culprits = listing(names[index - 1] for index in dependent)
        raise InputError(
            f"covariates are collinear: {culprits} follow from the intercept and the covariates "
            "before them; leave them out with covariates=[...]"
        )
    return names, matrix


def kinship_matrix(ds: xr.Dataset, kinship: KinshipLike, *, loco: bool = False) -> Any:
    """The kinship as an array in the order of the samples; checked if it is in memory.

    (samples, samples), or (contigs, samples, samples) with `loco`.
    """
    if kinship is None:
        if loco:
            raise InputError("loco=True needs a kinship for each contig, but kinship is None")
        return None
    name = "the kinship"
    if isinstance(kinship, str):
        if loco and kinship == "kinship" and LOCO in ds:
            kinship = LOCO
        name, kinship = kinship, _variable(ds, kinship, loco=loco)
    samples = [str(sample) for sample in ds["sample_id"].values]
    if isinstance(kinship, pd.DataFrame):
        kinship = xr.DataArray(kinship, dims=("samples_0", "samples_1")).assign_coords(
            samples_0=kinship.index, samples_1=kinship.columns
        )
    dims = np.ndim(kinship)
    if loco != (dims == 3):
        raise InputError(_ONE_A_CONTIG if loco else _LEAVES_OUT.format(name=name))
    if isinstance(kinship, xr.DataArray):
        if loco:
            kinship = _by_contig(ds, kinship, name)
        kinship = _by_name(kinship, samples, name)
    count = np.shape(kinship)[0] if loco else None
    if loco and ("variant_contig" not in ds or count != ds.sizes["contigs"]):
        raise InputError(
            f"{name} has {count} matrices for the {ds.sizes.get('contigs', 0)} contigs of "
            "the study; make them with bulklmm_dask.kinship(ds, loco=True)"
        )
    if is_lazy(kinship):
        return kinship  # checked where it is computed
    try:
        matrix = np.asarray(kinship, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} does not hold numbers; it should be (samples, samples)") from None
    if loco:
        return np.stack([check_kinship(each, len(samples), name) for each in matrix])
    return check_kinship(matrix, len(samples), name)


_ONE_A_CONTIG = (
    "loco=True needs one kinship a contig, but there is one for all markers; make them with "
    "ds['kinship_loco'] = bulklmm_dask.kinship(ds, loco=True)"
)
_LEAVES_OUT = (
    "{name} holds one matrix for each contig left out; scan with loco=True, or use the kinship of "
    "all markers"
)


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


def _by_contig(ds: xr.Dataset, kinship: xr.DataArray, name: str) -> xr.DataArray:
    """Matrices in the order of the contigs of the study, where they carry names."""
    if kinship.dims[0] not in kinship.coords or "contig_id" not in ds:
        return kinship
    where = {str(label): i for i, label in enumerate(kinship[kinship.dims[0]].values)}
    contigs = [str(contig) for contig in ds["contig_id"].values]
    unknown = [contig for contig in contigs if contig not in where]
    if unknown:
        raise InputError(
            f"{name} lacks {len(unknown)} of the {len(contigs)} contigs: {listing(unknown)}"
        )
    return kinship.isel({kinship.dims[0]: [where[contig] for contig in contigs]})


def _by_name(kinship: xr.DataArray, samples: list[str], name: str) -> Any:
    """Rows and columns in the order of the samples, where they carry names."""
    if kinship.ndim < 2:
        raise InputError(
            f"{name} has dimensions {kinship.dims}; a scan needs one matrix (samples, samples)"
        )
    for dim in kinship.dims[-2:]:
        if dim not in kinship.coords:
            continue
        require_unique(kinship[dim].values, f"the samples of {name}", "give each sample once")
        where = {str(label): i for i, label in enumerate(kinship[dim].values)}
        unknown = [sample for sample in samples if sample not in where]
        if unknown:
            raise InputError(
                f"{name} lacks {len(unknown)} of the {len(samples)} samples: {listing(unknown)}; "
                "give a kinship of all samples of the study"
            )
        order = [where[sample] for sample in samples]
        if order != list(range(kinship.sizes[dim])):
            kinship = kinship.isel({dim: order})
    return kinship.data


def labels(
    ds: xr.Dataset, dims: Set[str] = frozenset({"variants", "traits", "contigs", "alleles"})
) -> xr.Dataset:
    """Names, positions and metadata of variants and traits, as a result keeps them."""
    kept = [
        name
        for name, variable in ds.variables.items()
        if set(variable.dims) <= dims and not {"variants", "traits"} <= set(variable.dims)
    ]
    return ds[kept].drop_attrs(deep=False)
