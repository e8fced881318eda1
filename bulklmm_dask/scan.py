"""The front door of scans: validates, plans, runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bulklmm_dask.data.aloud import listing, say
from bulklmm_dask.data.checks import refuse_infinite, refuse_outside
from bulklmm_dask.data.schema import text, validate
from bulklmm_dask.data.store import Layout, block_of, open_or_create, open_result, with_counts
from bulklmm_dask.engine.graph import (
    LazyScan,
    Study,
    is_lazy,
    lazy_basis,
    lazy_scan,
    load_kinship,
)
from bulklmm_dask.engine.plan import Plan, make_plan
from bulklmm_dask.engine.run import Progress, run_into
from bulklmm_dask.engine.survey import survey
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.basis import independent_columns
from bulklmm_dask.lmm.groups import ModelOptions, statistics
from bulklmm_dask.lmm.kinship import check_kinship

METHODS = ("null-exact", "null-grid", "alt-exact", "alt-grid")
PRECISIONS = ("double", "single")
DEFAULT_REFINE_ABOVE = 3.0
DEFAULT_GRID = tuple(float(h) for h in np.arange(10) / 10)

KinshipLike = str | npt.ArrayLike | xr.DataArray | pd.DataFrame | None


@dataclass(frozen=True)
class ScanOptions:
    """Everything that decides the scores besides the data."""

    method: str
    reml: bool
    h2_grid: tuple[float, ...] | None
    refine_above: float | None
    precision: str

    def __post_init__(self) -> None:
        _require_one_of(self.method, METHODS, "method")
        _require_one_of(self.precision, PRECISIONS, "precision")
        if not isinstance(self.reml, bool | np.bool_):
            raise InputError(f"reml is {self.reml!r}; it should be True or False")
        if self.h2_grid is not None:
            self._check_grid(self.h2_grid)
        if self.refine_above is not None and self.method != "alt-exact":
            raise InputError(
                f"refine_above is {self.refine_above}, but method {self.method!r} refines no pair; "
                "use method='alt-exact' or leave refine_above out"
            )
        if self.refine_above is not None and not self.refine_above >= 0.0:
            raise InputError(f"refine_above is {self.refine_above}; it should be a LOD, 0 or more")

    def _check_grid(self, grid: tuple[float, ...]) -> None:
        if not self.method.endswith("-grid"):
            raise InputError(
                f"h2_grid is given, but method {self.method!r} searches the whole interval; "
                f"use method={self.method.replace('exact', 'grid')!r} or leave h2_grid out"
            )
        outside = [h for h in grid if not 0.0 <= h <= 1.0]
        if outside or not grid:
            shown = listing(outside) if outside else "nothing"
            raise InputError(f"h2_grid holds {shown}; heritabilities lie in [0, 1]")

    @property
    def model(self) -> ModelOptions:
        """How heritabilities are estimated."""
        grid = self.h2_grid
        if grid is None and self.method.endswith("-grid"):
            grid = DEFAULT_GRID
        above = DEFAULT_REFINE_ABOVE if self.refine_above is None else self.refine_above
        return ModelOptions(self.method.startswith("alt-"), self.reml, grid, above)

    def attributes(self) -> dict[str, Any]:
        """What a result says of them; JSON throughout."""
        model = self.model
        told: dict[str, Any] = {
            "method": self.method,
            "reml": self.reml,
            "precision": self.precision,
        }
        if model.grid is not None:
            told["h2_grid"] = list(model.grid)
        if self.method == "alt-exact":
            told["refine_above"] = model.refine_above
        return told


def scan(
    ds: xr.Dataset,
    *,
    method: str = "null-exact",
    kinship: KinshipLike = "kinship",
    covariates: bool | Sequence[str] | None = True,
    reml: bool = False,
    h2_grid: npt.ArrayLike | None = None,
    refine_above: float | None = None,
    precision: str = "double",
    chunks: str | Mapping[str, int] = "auto",
    store: str | os.PathLike[str] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> xr.Dataset:
    r"""Test every trait against every marker with a linear mixed model.

    The model is y = C a + g b + u + e with Var(y) = s2 [h2 K + (1 - h2) I]. The null methods
    estimate h2 once per trait, without a marker, and

        LOD = -(n/2) log10(1 - r2),  r2 = (x'My)^2 / (x'Mx y'My)

    with M the projection off the covariates in the metric of Var(y) (Kang et al. 2010, EMMAX; in
    bulk: Yu, Farage and Sen 2024, BulkLMM). The alt methods estimate h2 again for every pair,

        LOD = (max_h l1(h) - max_h l0(h)) / ln 10

    with l1 and l0 the log-likelihoods with and without the marker (Zhou and Stephens 2012, GEMMA's
    likelihood ratio test). Under REML, h2 maximises the restricted likelihood of each model, and
    the LOD is the ratio of the full likelihoods there; it may then be slightly negative.

    Parameters
    ----------
    ds : Dataset
        A study, from a reader, `create_dataset` or `open_dataset`. Missing trait values leave
        their samples out of that trait; missing dosages take the mean of their marker.
    method : {"null-exact", "null-grid", "alt-exact", "alt-grid"}
        Estimate h2 once a trait or again for every pair, in all of [0, 1] or on a grid.
    kinship : str, array (samples, samples), DataArray, DataFrame or None
        A variable of the study, or a matrix; labelled ones are matched to the samples by name.
        None is ordinary regression.
    covariates : bool or sequence of str
        True for all of the study, False or None for none, or their names; an intercept is always
        in.
    reml : bool
        Estimate h2 by restricted maximum likelihood.
    h2_grid : array, optional
        Heritabilities in [0, 1] for the grid methods; 0, 0.1, ..., 0.9 by default.
    refine_above : float, optional
        With ``"alt-exact"``: the LOD from which on a pair is optimised by itself, to 1e-6; 3 by
        default, 0 for all pairs. Others are mostly within 5e-3, and 2e-4 on average; with few
        samples or under REML single ones are off by more (0.1 was seen).
    precision : {"double", "single"}
        Of the matrix products. No LOD under 100 differs by more than 1e-4 between the two.
    chunks : "auto" or mapping
        ``{"variants": ..., "traits": ...}``: the size of a block.
    store : path, optional
        Run now, block by block, into a Zarr store; an unfinished store of the same scan is
        finished. Without it nothing is computed until the result is asked for.
    progress : callable, optional
        Called with a `Progress` after each block written to the store.

    Returns
    -------
    Dataset
        ``lod`` (variants, traits), lazy, in float32 (float64 from the alt methods in double
        precision); ``h2`` and ``sigma2`` (traits); ``n_samples``
        (traits) used; ``trait_status`` (traits): "ok", or "all-missing", "constant" or
        "too-few-samples" (LOD is NaN), or "unbounded" (the likelihood has no maximum below
        h2 = 1: the estimate is the bound, 1 - 1e-5; prefer REML or an uncentred kinship). The alt
        methods add ``h2_alt`` (variants, traits), the heritability with the marker in the model;
        ``"alt-exact"`` also ``refined`` (variants, traits), which pairs were optimised by
        themselves, and ``n_refined`` (traits), how many.

    Raises
    ------
    InputError
        If the study, the kinship, the covariates or an option cannot be used.
    StoreError
        If the store cannot be written or was made from other inputs.
    """
    options = ScanOptions(method, reml, _numbers(h2_grid), refine_above, precision)
    if kinship is None and method.startswith("alt-"):
        raise InputError(
            f"method {method!r} estimates a heritability for every pair, but there is none without "
            "a kinship; use a null method, or give a kinship"
        )
    names, matrix = _covariates(validate(ds), covariates)
    study = _study(ds, kinship, matrix)
    if store is not None and chunks == "auto":
        chunks = block_of(store) or "auto"
    n, p, m = ds.sizes["samples"], ds.sizes["variants"], ds.sizes["traits"]
    plan = make_plan(n, p, m, chunks, alternative=options.model.alternative)
    attrs = _attributes(options, names, kinship)
    if store is None:
        lazy = lazy_scan(
            study, plan, options.model, single=precision == "single", basis=lazy_basis(study)
        )
        return _dataset(ds, lazy).assign_attrs(attrs)
    return _run(ds, study, plan, options, attrs, store, progress)


def _run(
    ds: xr.Dataset,
    study: Study,
    plan: Plan,
    options: ScanOptions,
    attrs: dict[str, Any],
    store: str | os.PathLike[str],
    progress: Callable[[Progress], None] | None,
) -> xr.Dataset:
    study, basis = load_kinship(study)
    prints = survey(study, plan, options.attributes())
    layout = Layout((plan.n_variants, plan.n_traits), (plan.variants, plan.traits), plan.inner)
    template = _labels(ds).assign_attrs(attrs)
    single = options.precision == "single"
    kinds = statistics(options.model, single=single)
    target = open_or_create(store, template, layout, kinds, prints)
    run_into(target, lazy_scan(study, plan, options.model, single=single, basis=basis), progress)
    return open_result(store)


def _numbers(h2_grid: npt.ArrayLike | None) -> tuple[float, ...] | None:
    if h2_grid is None:
        return None
    try:
        return tuple(float(h) for h in np.atleast_1d(np.asarray(h2_grid)))
    except (TypeError, ValueError):
        raise InputError(f"h2_grid is {h2_grid!r}; it should be numbers in [0, 1]") from None


def _require_one_of(value: str, known: Sequence[str], what: str) -> None:
    if value not in known:
        raise InputError(f"unknown {what} {value!r}; choose one of {', '.join(known)}")


def _study(ds: xr.Dataset, kinship: KinshipLike, covariates: npt.NDArray[np.float64]) -> Study:
    """The arrays of a study; values in memory are checked at once, others when they are read."""
    if "call_dosage" not in ds:
        raise InputError(
            "the study has no call_dosage: scans of genotype probabilities with more than two "
            "genotypes are not possible; reduce them to dosages with create_dataset"
        )
    dosage, traits = ds["call_dosage"], ds["sample_trait"]
    samples, variants = list(ds["sample_id"].values), list(ds["variant_id"].values)
    if not samples or not variants or not ds.sizes["traits"]:
        raise InputError(f"nothing to scan: the study has sizes {dict(ds.sizes)}")
    maximum = float(dosage.attrs["maximum"])
    if dosage.chunks is None:
        refuse_outside(dosage.values, maximum, variants, samples)
    if traits.chunks is None:
        refuse_infinite(traits.values, "sample_trait", samples, list(ds["trait_id"].values))
    return Study(
        dosage=dosage.data,
        maximum=maximum,
        traits=traits.data,
        covariates=covariates,
        kinship=_kinship(ds, kinship),
        variant_names=text(variants),
        sample_names=text(samples),
        trait_names=text(ds["trait_id"].values),
    )


def _covariates(
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


def _kinship(ds: xr.Dataset, kinship: KinshipLike) -> Any:
    """The kinship as an array in the order of the samples; checked if it is in memory."""
    if kinship is None:
        return None
    name = "the kinship"
    if isinstance(kinship, str):
        if kinship not in ds:
            raise InputError(
                f"the study has no variable {kinship!r}; make it with "
                f"ds[{kinship!r}] = bulklmm_dask.kinship(ds), hand a matrix over, or use "
                "kinship=None for ordinary regression"
            )
        name, kinship = kinship, ds[kinship]
        if set(kinship.dims) & {"variants", "traits"}:
            raise InputError(
                f"the variable {name!r} has dimensions {kinship.dims}; a kinship is "
                "(samples_0, samples_1)"
            )
    samples = [str(sample) for sample in ds["sample_id"].values]
    if isinstance(kinship, pd.DataFrame):
        kinship = xr.DataArray(kinship, dims=("samples_0", "samples_1")).assign_coords(
            samples_0=kinship.index, samples_1=kinship.columns
        )
    if isinstance(kinship, xr.DataArray):
        kinship = _by_name(kinship, samples, name)
    if is_lazy(kinship):
        return kinship  # checked where it is computed
    try:
        matrix = np.asarray(kinship, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} does not hold numbers; it should be (samples, samples)") from None
    return check_kinship(matrix, len(samples), name)


def _by_name(kinship: xr.DataArray, samples: list[str], name: str) -> Any:
    """Rows and columns in the order of the samples, where they carry names."""
    if kinship.ndim != 2:
        raise InputError(
            f"{name} has dimensions {kinship.dims}; a scan needs one matrix (samples, samples)"
        )
    for dim in kinship.dims:
        if dim not in kinship.coords:
            continue
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


def _labels(ds: xr.Dataset) -> xr.Dataset:
    """Names, positions and metadata of variants and traits, as a result keeps them."""
    dims = {"variants", "traits", "contigs", "alleles"}
    kept = [name for name, variable in ds.variables.items() if set(variable.dims) <= dims]
    return ds[kept].drop_attrs(deep=False)


def _dataset(ds: xr.Dataset, lazy: LazyScan) -> xr.Dataset:
    pairs = {name: (("variants", "traits"), array) for name, array in lazy.per_pair().items()}
    traits = {name: ("traits", array) for name, array in lazy.per_trait().items()}
    return with_counts(_labels(ds).assign(pairs).assign(traits))


def _attributes(
    options: ScanOptions, covariates: list[str], kinship: KinshipLike
) -> dict[str, Any]:
    """What the result says of itself; JSON throughout."""
    named = "none" if kinship is None else "given as a matrix"
    return {
        **options.attributes(),
        "covariates": covariates,
        "kinship": kinship if isinstance(kinship, str) else named,
        "version": version("bulklmm-dask"),
    }
