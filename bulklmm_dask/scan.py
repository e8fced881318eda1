"""The front door of scans: validates, plans, runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from bulklmm_dask.conditions import ConditionLike, own_conditions, shared_condition
from bulklmm_dask.data.aloud import listing
from bulklmm_dask.data.schema import text, validate
from bulklmm_dask.data.store import (
    Field,
    Layout,
    block_of,
    open_or_create,
    open_result,
    with_counts,
)
from bulklmm_dask.engine.graph import (
    LazyScan,
    Study,
    lazy_bases,
    lazy_scan,
    load_kinship,
    trait_kinds,
)
from bulklmm_dask.engine.plan import Plan, make_plan
from bulklmm_dask.engine.run import Progress, run_into
from bulklmm_dask.engine.survey import survey
from bulklmm_dask.errors import InputError
from bulklmm_dask.inputs import (
    KinshipLike,
    VectorLike,
    covariate_matrix,
    genotype_arrays,
    genotype_variable,
    labels,
    measurements,
    numbers,
    require_flag,
    require_one_of,
    sample_weights,
)
from bulklmm_dask.lmm.options import STATISTICS, ModelOptions
from bulklmm_dask.lmm.options import statistics as pair_statistics
from bulklmm_dask.lmm.prior import Prior

METHODS = ("null-exact", "null-grid", "alt-exact", "alt-grid")
PRECISIONS = ("double", "single")
DEFAULT_REFINE_ABOVE = 3.0
DEFAULT_GRID = tuple(float(h) for h in np.arange(10) / 10)


@dataclass(frozen=True)
class ScanOptions:
    """Everything that decides the scores besides the data."""

    method: str
    reml: bool
    h2_grid: tuple[float, ...] | None
    refine_above: float | None
    precision: str
    statistics: tuple[str, ...] = ("lod",)
    genotypes: int | None = None
    interaction: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_one_of(self.method, METHODS, "method")
        require_one_of(self.precision, PRECISIONS, "precision")
        require_flag(self.reml, "reml")
        for name in self.statistics:
            require_one_of(name, ("lod", *STATISTICS), "statistic")
        if "lod_interaction" in self.statistics and not self.interaction:
            raise InputError(
                "statistics asks for lod_interaction, but there is no interaction; name the "
                "covariates with interaction=[...]"
            )
        if self.h2_grid is not None:
            self._check_grid(self.h2_grid)
        if self.refine_above is not None and self.method != "alt-exact":
            raise InputError(
                f"refine_above is {self.refine_above}, but method {self.method!r} refines no pair; "
                "use method='alt-exact' or leave refine_above out"
            )
        if self.refine_above is not None and not self.refine_above >= 0.0:
            raise InputError(f"refine_above is {self.refine_above}; it should be a LOD, 0 or more")
        if self.alternative and self.model.joint:
            what = "an interaction" if self.interaction else f"{self.genotypes} genotypes"
            raise InputError(
                f"method {self.method!r} tests one column a marker, and {what} need several at a "
                "time; use a null method"
            )

    @property
    def alternative(self) -> bool:
        """Whether h2 is estimated again for every pair."""
        return self.method.startswith("alt-")

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
        return ModelOptions(
            alternative=self.alternative,
            reml=self.reml,
            grid=grid,
            refine_above=above,
            genotypes=self.genotypes,
            interactions=len(self.interaction),
            wanted=tuple(name for name in STATISTICS if name in self.statistics),
        )

    def attributes(self) -> dict[str, Any]:
        """What a result says of them; JSON throughout."""
        model = self.model
        told: dict[str, Any] = {
            "method": self.method,
            "reml": self.reml,
            "precision": self.precision,
            "interaction": list(self.interaction),
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
    loco: bool = False,
    covariates: bool | Sequence[str] | None = True,
    interaction: str | Sequence[str] | None = None,
    condition: ConditionLike = None,
    weights: VectorLike | None = None,
    replicates: VectorLike | None = None,
    reml: bool = False,
    prior: Prior | tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    h2_grid: npt.ArrayLike | None = None,
    refine_above: float | None = None,
    statistics: str | Sequence[str] = ("lod",),
    genotypes: str | None = None,
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
        default, 0 for all pairs. The others are within 5e-3, and 2e-4 on average.
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
    calls = genotype_variable(validate(ds), genotypes)
    options = ScanOptions(
        method=method,
        reml=reml,
        h2_grid=numbers(h2_grid),
        refine_above=refine_above,
        precision=precision,
        statistics=(statistics,) if isinstance(statistics, str) else tuple(statistics),
        genotypes=calls.sizes.get("genotypes"),
        interaction=(interaction,) if isinstance(interaction, str) else tuple(interaction or ()),
    )
    if kinship is None and options.alternative:
        raise InputError(
            f"method {method!r} estimates a heritability for every pair, but there is none without "
            "a kinship; use a null method, or give a kinship"
        )
    names, matrix = covariate_matrix(ds, covariates)
    unknown = [name for name in options.interaction if name not in names]
    if unknown:
        raise InputError(
            f"interaction names {listing(unknown)}, not among the covariates of the scan "
            f"({listing(names) or 'none'}): what interacts must also be additive"
        )
    measured = measurements(
        ds,
        kinship,
        np.concatenate([matrix, shared_condition(ds, condition)], axis=1),
        weights=sample_weights(ds, weights, replicates),
        loco=loco,
    )
    study = Study(
        **vars(measured),
        **genotype_arrays(ds, calls, loco=loco),
        interacting=tuple(1 + names.index(name) for name in options.interaction),
        prior=_prior(prior, ds, options, kinship),
        conditions=own_conditions(ds, condition),
    )
    if study.conditions is not None and (options.alternative or options.model.joint):
        raise InputError(
            "condition gives every trait its own markers, which the null methods take with dosages "
            "only; name markers for all traits, as condition=[...]"
        )
    if store is not None and chunks == "auto":
        chunks = block_of(store) or "auto"
    n, p, m = ds.sizes["samples"], ds.sizes["variants"], ds.sizes["traits"]
    kinds = pair_statistics(options.model, single=precision == "single")
    plan = make_plan(
        n,
        p,
        m,
        chunks,
        alternative=options.alternative,
        columns=options.model.columns,
        pair_bytes=sum(kind.itemsize for kind in kinds.values()),
    )
    attrs = _attributes(options, names, kinship, loco=loco, calls=calls)
    if store is None:
        lazy = lazy_scan(
            study, plan, options.model, single=precision == "single", bases=lazy_bases(study)
        )
        return _dataset(ds, lazy, options).assign_attrs(attrs)
    return _run(ds, study, plan, options, attrs, store, progress)


def _prior(
    prior: Prior | tuple[npt.ArrayLike, npt.ArrayLike] | None,
    ds: xr.Dataset,
    options: ScanOptions,
    kinship: KinshipLike,
) -> Prior | None:
    """The prior as the statistics take it; one for all traits or one for each."""
    if prior is None:
        return None
    if options.alternative or kinship is None:
        why = "without a kinship" if kinship is None else f"with method {options.method!r}"
        raise InputError(f"prior has no use {why}: it moves the h2 of a null method; leave it out")
    try:
        variance, size = (prior.variance, prior.sample_size) if isinstance(prior, Prior) else prior
        values = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (variance, size)))
    except (TypeError, ValueError):
        raise InputError(
            f"prior is {prior!r}; it should be (variance, sample_size), each a number or one a "
            "trait"
        ) from None
    traits = ds.sizes["traits"]
    if values[0].shape not in ((), (traits,)):
        raise InputError(
            f"prior has shape {values[0].shape}; give one number for all of the {traits} traits "
            "or one each"
        )
    return Prior(*(np.broadcast_to(each, traits) for each in values))


def _run(
    ds: xr.Dataset,
    study: Study,
    plan: Plan,
    options: ScanOptions,
    attrs: dict[str, Any],
    store: str | os.PathLike[str],
    progress: Callable[[Progress], None] | None,
) -> xr.Dataset:
    study, bases = load_kinship(study)
    told = options.attributes() | {"statistics": options.model.wanted}
    prints = survey(study, plan, told)
    layout = Layout((plan.n_variants, plan.n_traits), (plan.variants, plan.traits), plan.inner)
    single = options.precision == "single"
    template = _labels(ds, options).assign_attrs(attrs)
    target = open_or_create(store, template, layout, *_fields(study, plan, options), prints)
    run_into(target, lazy_scan(study, plan, options.model, single=single, bases=bases), progress)
    return open_result(store)


def _fields(
    study: Study, plan: Plan, options: ScanOptions
) -> tuple[dict[str, Field], dict[str, Field]]:
    """The arrays of a result: of every pair, and of every trait."""
    effects = "effects" if options.interaction else "genotypes"
    pairs = {
        name: Field(
            ("variants", "traits", *(effects for _ in kind.shape)),
            (plan.n_variants, plan.n_traits, *kind.shape),
            kind.dtype,
        )
        for name, kind in pair_statistics(
            options.model, single=options.precision == "single"
        ).items()
    }
    traits = {
        name: Field(
            (*("contigs" for _ in kind.shape), "traits"), (*kind.shape, plan.n_traits), kind.dtype
        )
        for name, kind in trait_kinds(study.relations).items()
    }
    return pairs, traits


def _labels(ds: xr.Dataset, options: ScanOptions) -> xr.Dataset:
    """Names of everything that a result has a dimension for."""
    dims = {"variants", "traits", "contigs", "alleles"}
    wanted = options.model.effects if {"beta", "se"} & set(options.statistics) else ()
    if not wanted:
        return labels(ds, dims)
    names = [f"genotype{i + 1}" for i in range(options.genotypes or 0)]
    if "genotype_id" in ds:
        names = [str(name) for name in ds["genotype_id"].values]
    if not options.interaction:
        return labels(ds, dims).assign_coords(genotypes=text(names))
    tested = names[1:] or ["dosage"]
    products = [f"{name}:{other}" for other in options.interaction for name in tested]
    return labels(ds, dims).assign_coords(effects=text([*tested, *products]))


def _dataset(ds: xr.Dataset, lazy: LazyScan, options: ScanOptions) -> xr.Dataset:
    pairs, traits = _fields(lazy.study, lazy.plan, options)
    arrays = {name: (pairs[name].dims, array) for name, array in lazy.per_pair().items()}
    columns = {name: (traits[name].dims, array) for name, array in lazy.per_trait().items()}
    return with_counts(_labels(ds, options).assign(arrays).assign(columns))


def _attributes(
    options: ScanOptions,
    covariates: list[str],
    kinship: KinshipLike,
    *,
    loco: bool,
    calls: xr.DataArray,
) -> dict[str, Any]:
    """What the result says of itself; JSON throughout."""
    named = "none" if kinship is None else "given as a matrix"
    told = options.attributes()
    if {"beta", "se"} & set(options.statistics):
        told["effect_unit"] = _effect_unit(options, calls)
    return {
        **told,
        "covariates": covariates,
        "kinship": kinship if isinstance(kinship, str) else named,
        "loco": int(loco),
        "genotypes": str(calls.name),
        "version": version("bulklmm-dask"),
    }


def _effect_unit(options: ScanOptions, calls: xr.DataArray) -> str:
    """What a unit of the genotype is that effects are per."""
    if options.genotypes is not None:
        return "from the first genotype" if options.interaction else "mean of each genotype"
    if calls.attrs["maximum"] == 2:
        return "per copy of the last allele in variant_allele"
    return "from none to two copies of the last allele in variant_allele"
