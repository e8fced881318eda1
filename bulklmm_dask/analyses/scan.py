"""The front door of scans: validates, plans, runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from bulklmm_dask.analyses.conditions import (
    ConditionLike,
    in_words,
    own_conditions,
    shared_condition,
)
from bulklmm_dask.analyses.options import ScanOptions
from bulklmm_dask.analyses.prepare import (
    KinshipLike,
    PriorLike,
    VectorLike,
    covariate_matrix,
    genotype_arrays,
    genotype_variable,
    given_weights,
    interacting_columns,
    kinship_in_words,
    labels,
    measurements,
    numbers,
    prior_of_traits,
    sample_weights,
    strings,
)
from bulklmm_dask.engine.check_inputs import survey
from bulklmm_dask.engine.plan import Plan, make_plan
from bulklmm_dask.engine.run import Progress, run_into
from bulklmm_dask.engine.scan import (
    LazyScan,
    Study,
    lazy_bases,
    lazy_scan,
    load_kinship,
    trait_fields,
)
from bulklmm_dask.lmm.prior import Prior
from bulklmm_dask.lmm.statistics import statistics as pair_statistics
from bulklmm_dask.storage.encoding import text
from bulklmm_dask.storage.fingerprint import of_labels
from bulklmm_dask.storage.result import (
    Field,
    Layout,
    block_of,
    open_or_create,
    open_result,
    with_counts,
)
from bulklmm_dask.study.schema import validate


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
    prior: PriorLike = None,
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
    loco : bool
        Scan each contig with the kinship of all others: (contigs, samples, samples), from
        ``kinship(ds, loco=True)``; by default the study's ``kinship_loco``.
    covariates : bool or sequence of str
        True for all of the study, False or None for none, or their names; an intercept is always
        in.
    interaction : str or sequence of str, optional
        Covariates whose product with the genotype is tested along with it, against the model with
        the covariates alone (R/qtl2's intcovar).
    condition : str, sequence of str, mapping, Series or DataArray, optional
        Markers that join the covariates: names, for all traits; or by trait its own, one or
        several, such as ``max_lod(result).set_index("trait").variant``. h2 is estimated with them.
    weights : str, array (samples,), DataArray or Series, optional
        Residual weights w: Var(y) = s2 [h2 K + (1 - h2) diag(1/w^2)]. A variable or covariate of
        the study, or numbers; labelled ones are matched by name.
    replicates : the same, optional
        Numbers n_i of replicates behind the samples' means, for weights sqrt(n_i).
    reml : bool
        Estimate h2 by restricted maximum likelihood.
    prior : Prior or (variance, sample_size), optional
        Scaled inverse chi-square prior on the residual variance s2 (1 - h2), in squared units of
        the trait, one for all traits or one each; h2 is then the mode of the posterior. It keeps
        h2 off 1 where the likelihood has no maximum, and moves that of other traits too.
    h2_grid : array, optional
        Heritabilities in [0, 1] for the grid methods; 0, 0.1, ..., 0.9 by default.
    refine_above : float, optional
        With ``"alt-exact"``: the LOD from which on a pair is optimised by itself, to 1e-6; 3 by
        default, 0 for all pairs. The others are within 5e-3, and 2e-4 on average.
    statistics : str or sequence of str
        Beside ``"lod"``: ``"beta"`` and ``"se"``, effect and standard error by generalised least
        squares, s2 = RSS1 / (n - c - df); ``"neg_log10_p"`` of the LOD (chi-square with its df);
        ``"explained"``, 1 - 10^(-2 LOD / n); ``"lod_interaction"``, the LOD of an interaction over
        the additive model.
    genotypes : {"call_dosage", "call_genotype_probability"}, optional
        What to test; by default the probabilities where there are more than two genotypes. Of k
        genotypes k - 1 are tested together, LOD = (n/2) log10(RSS0 / RSS1).
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
        precision), and the statistics asked for; ``h2`` and ``sigma2`` (traits), with `loco`
        (contigs, traits); ``n_samples`` (traits) used; ``trait_status`` (traits): "ok", or
        "all-missing", "constant" or "too-few-samples" (LOD is NaN), or "unbounded" (the likelihood
        has no maximum below h2 = 1: the estimate is the bound, 1 - 1e-5; prefer REML or an
        uncentred kinship). The alt
        methods add ``h2_alt`` (variants, traits), the heritability with the marker in the model;
        ``"alt-exact"`` also ``refined`` (variants, traits), which pairs were optimised by
        themselves, and ``n_refined`` (traits), how many. Where several columns are tested
        together, ``df`` (variants, traits) is their rank beside the covariates, and effects have a
        third dimension: ``genotypes``, the mean of each with the other covariates at zero
        (R/qtl2's scan1coef before it takes their mean out), or with an interaction ``effects``.

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
        statistics=strings(statistics),
        genotypes=calls.sizes.get("genotypes"),
        interaction=strings(interaction),
    )
    if kinship is None:
        options.require_kinship(prior=prior is not None)
    names, matrix = covariate_matrix(ds, covariates)
    measured = measurements(
        ds,
        kinship,
        np.concatenate([matrix, shared_condition(ds, calls, condition)], axis=1),
        weights=sample_weights(ds, weights, replicates),
        loco=loco,
    )
    study = Study(
        **vars(measured),
        **genotype_arrays(ds, calls, loco=loco),
        interacting=interacting_columns(names, options.interaction),
        prior=prior_of_traits(prior, ds),
        conditions=own_conditions(ds, condition),
    )
    options.require_null_method(
        prior=prior is not None, own_conditions=study.conditions is not None
    )
    if store is not None and chunks == "auto":
        chunks = block_of(store, Layout.dims) or "auto"
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
    attrs |= given_weights(weights, replicates) | _beyond(condition, study.prior)
    if store is None:
        lazy = lazy_scan(
            study, plan, options.model, single=precision == "single", bases=lazy_bases(study)
        )
        return _dataset(ds, lazy, options).assign_attrs(attrs)
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
    study, bases = load_kinship(study)
    told = options.attributes() | {"statistics": options.model.wanted}
    prints = survey(study, plan, told)
    layout = Layout((plan.n_variants, plan.n_traits), (plan.variants, plan.traits), plan.inner)
    single = options.precision == "single"
    of_pairs, of_traits = _fields(study, plan, options)
    template = _labels(ds, options).drop_vars([*of_pairs, *of_traits], errors="ignore")
    prints["labels"] = of_labels(template)
    target = open_or_create(
        store, template.assign_attrs(attrs), layout, of_pairs, of_traits, prints
    )
    run_into(target, lazy_scan(study, plan, options.model, single=single, bases=bases), progress)
    return open_result(store)


def _fields(
    study: Study, plan: Plan, options: ScanOptions
) -> tuple[dict[str, Field], dict[str, Field]]:
    """The arrays of a result: of every pair, and of every trait."""
    pairs = {
        name: Field(
            ("variants", "traits", *kind.dims),
            (plan.n_variants, plan.n_traits, *kind.shape),
            kind.dtype,
        )
        for name, kind in pair_statistics(
            options.model, single=options.precision == "single"
        ).items()
    }
    return pairs, trait_fields(study.relations, plan.n_traits)


def _labels(ds: xr.Dataset, options: ScanOptions) -> xr.Dataset:
    """Names of everything that a result has a dimension for."""
    dims = {"variants", "traits", "contigs", "alleles"}
    wanted = options.model.effects if {"beta", "se"} & set(options.statistics) else ()
    if not wanted:
        return labels(ds, dims)
    names = [f"genotype{i + 1}" for i in range(options.genotypes or 0)]
    if options.genotypes and "genotype_id" in ds:
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
    told = options.attributes()
    if {"beta", "se"} & set(options.statistics):
        told["effect_unit"] = options.effect_unit(calls.attrs.get("maximum", 1))
    return {
        **told,
        "covariates": covariates,
        "kinship": kinship_in_words(kinship),
        "loco": int(loco),
        "genotypes": str(calls.name),
        "version": version("bulklmm-dask"),
    }


def _beyond(condition: ConditionLike, prior: Prior | None) -> dict[str, Any]:
    """What it says of inputs that most scans do without."""
    out: dict[str, Any] = {}
    if condition is not None:
        out["condition"] = in_words(condition)
    if prior is not None:
        values = np.unique([prior.variance, prior.sample_size], axis=1)
        out["prior"] = values[:, 0].tolist() if values.shape[1] == 1 else "by trait"
    return out
