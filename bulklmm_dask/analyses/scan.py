"""The analysis `scan`: tests of every trait against every marker."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import numpy.typing as npt
import xarray as xr

from bulklmm_dask.analyses.advice import (
    advise_loco,
    advise_x,
    warn_of_far_covariates,
    warn_of_few_degrees,
    warn_of_scale,
)
from bulklmm_dask.analyses.fields import (
    columns_of,
    frequency_columns,
    pair_fields,
    trait_fields,
)
from bulklmm_dask.analyses.inputs.genotypes import genotype_variable
from bulklmm_dask.analyses.inputs.kernels import KernelLike, are_several
from bulklmm_dask.analyses.inputs.kinship import KinshipLike
from bulklmm_dask.analyses.inputs.markers import ConditionLike
from bulklmm_dask.analyses.inputs.prior import PriorLike
from bulklmm_dask.analyses.inputs.vectors import VectorLike
from bulklmm_dask.analyses.inputs.x_covariates import XCovariatesLike
from bulklmm_dask.analyses.loads import Shapes, scan_load
from bulklmm_dask.analyses.options import GenotypeVariable, Method, Model, Precision
from bulklmm_dask.analyses.package import labels, package, template, with_components
from bulklmm_dask.analyses.prepare import ModelInputs, prepare
from bulklmm_dask.analyses.scan_options import ScanOptions
from bulklmm_dask.analyses.tested import study_to_test
from bulklmm_dask.engine.arrays import is_lazy
from bulklmm_dask.engine.bases import kept_bases, lazy_bases
from bulklmm_dask.engine.check_inputs import check_inputs, say_absent_uncounted
from bulklmm_dask.engine.overlap import made_meanwhile, overlapping, reading_early
from bulklmm_dask.engine.plan import Plan, traits_for
from bulklmm_dask.engine.progress import Progress
from bulklmm_dask.engine.room import fitting, room_of_workers, say_if_small
from bulklmm_dask.engine.run import run_into
from bulklmm_dask.engine.scan import lazy_scan
from bulklmm_dask.engine.study import Study
from bulklmm_dask.errors import OptionError
from bulklmm_dask.storage.codecs.compression import Compression
from bulklmm_dask.storage.labels.coordinates import arranged
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.labels.layout import Field, Layout
from bulklmm_dask.storage.places.lock import Writer
from bulklmm_dask.storage.places.share import Share, ShareLike
from bulklmm_dask.storage.places.shared import SharedWriter
from bulklmm_dask.storage.proof.fingerprint import of_labels
from bulklmm_dask.storage.results.result import open_part, open_result, with_derived
from bulklmm_dask.storage.results.resumed import chunks_of, end_share, looked_up, writing
from bulklmm_dask.storage.results.skeleton import Skeleton
from bulklmm_dask.study.origin import origin
from bulklmm_dask.study.stored import stored_as
from bulklmm_dask.surface import option
from bulklmm_dask.typing import CompressionName


def scan(
    ds: xr.Dataset,
    *,
    method: Method = "null-exact",
    kinship: KinshipLike | Mapping[str, KernelLike] = "kinship",
    loco: bool = False,
    covariates: bool | Sequence[str] | None = True,
    x_covariates: XCovariatesLike = None,
    interaction: str | Sequence[str] | None = None,
    condition: ConditionLike = None,
    weights: VectorLike | None = None,
    replicates: VectorLike | None = None,
    reml: bool = False,
    prior: PriorLike = None,
    h2_grid: npt.ArrayLike | None = None,
    refine_above: float | None = None,
    statistics: str | Sequence[str] = ("lod",),
    genotypes: GenotypeVariable | None = None,
    model: Model = "full",
    precision: Precision = "double",
    chunks: str | Mapping[str, int] = "auto",
    store: str | os.PathLike[str] | None = None,
    compression: CompressionName | None = None,
    digits: int | None = None,
    share: ShareLike | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> xr.Dataset:
    r"""Test every trait against every marker with a linear mixed model.

    The model is y = C a + g b + u + e with Var(y) = s2 [h2 K + (1 - h2) I]. The null methods
    estimate h2 once per trait, without a marker, and

        LOD = -(n/2) log10(1 - r2),  r2 = (x'My)^2 / (x'Mx y'My)

    with M the projection off the covariates in the metric of Var(y) (Kang et al. 2010, EMMAX; in
    bulk: Yu et al. 2023, BulkLMM). The alt methods estimate h2 again for every pair,

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
    kinship : str, array (samples, samples), DataArray, DataFrame, mapping or None
        A variable of the study, a matrix, or the path of a store of `save_kinship`; labelled ones
        are matched to the samples by name. None is ordinary regression. A mapping gives the model
        several random effects, each with a kernel by a name of its own, as in `heritability`:
        ``{"additive": "kinship", "cage": "cage"}``; with ``"null-exact"``, without `prior` and
        conditions by trait.
    loco : bool
        Scan each contig with the kinship of all others: (contigs, samples, samples), from
        ``kinship(ds, loco=True)``; by default the study's ``kinship_loco``. Of several kernels
        those that hold a matrix for each contig are replaced.
    covariates : bool, str or sequence of str
        True for the covariates of the study, False or None for none, or names; an intercept is
        always in. Metadata of the samples, variables ``sample_<name>``, become covariates by their
        name: numbers as they are, two texts as 0 and 1, three or more as an indicator column
        ``name[text]`` for each but the first. Among names, ``"all"`` stands for the covariates of
        the study, and ``"-name"`` leaves one out. One text may hold several: ``"age, sex"``, as
        the attribute of a result does.
    x_covariates : bool, str, sequence of str, DataFrame or DataArray, optional
        Covariates of markers on the X only, in their null model too: True for those of the cross
        (`bulklmm_dask.x_covariates`), names of these or of other covariates, or a table of samples
        x covariates. Those that follow from other covariates are left out (said). h2 is then
        estimated by contig.
    interaction : str or sequence of str, optional
        Covariates whose product with the genotype is tested along with it, against the model with
        the covariates alone (R/qtl2's intcovar). Metadata named here become covariates too, unless
        `covariates` says otherwise.
    condition : str, sequence of str, mapping, Series or DataArray, optional
        Markers that join the covariates: names, for all traits; or for each trait (by its name)
        one or several, such as ``max_lod(result).set_index("trait").variant``. h2 is estimated
        with them.
    weights : str, array (samples,), DataArray or Series, optional
        Residual weights w: Var(y) = s2 [h2 K + (1 - h2) diag(1/w^2)]. A variable or covariate of
        the study, or numbers that span up to a factor of 1e10; labelled ones are matched by name.
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
        With ``"alt-exact"``: pairs with at least this LOD are optimised one by one, to a LOD
        within 1e-6; 3 by default, 0 for all pairs. The LODs of others are within 5e-3, and 2e-4 on
        average.
    statistics : str or sequence of str
        Beside ``"lod"``: ``"beta"`` and ``"se"``, effect and standard error by generalised least
        squares, s2 = RSS1 / (n - c - df), of a dosage of 1: a copy of the effect allele, or the
        difference between two homozygotes where dosages are 0..1 (``attrs["effect_unit"]``);
        ``"neg_log10_p"`` of the LOD (chi-square with its df); ``"explained"``, 1 - 10^(-2 LOD / n);
        ``"perfect_fit"``, whether the marker explains the trait up to rounding, so that the LOD,
        13 n, is a lower bound; ``"lod_interaction"``, the LOD of an interaction over the additive
        model.
    genotypes : {"call_dosage", "call_genotype_probability"}, optional
        What to test; by default the probabilities where there are more than two genotypes. Of k
        genotypes k - 1 are tested together, LOD = (n/2) log10(RSS0 / RSS1); one that fewer
        than 0.0001 samples have, by the sum of their probabilities, counts as absent. The calls of
        a raw cross are tested as `genotype_probabilities` at its markers (said), unless this is
        ``"call_dosage"``.
    model : {"full", "additive"}
        Test every genotype, or of each the share of its alleles: 1 degree of freedom in an
        intercross, k - 1 with k founders (`allele_probabilities`).
    precision : {"double", "single"}
        Precision of the matrix products. No LOD under 100 differs by more than 1e-4 between the
        two.
    chunks : "auto" or mapping
        ``{"variants": ..., "traits": ...}``: the size of a block. Sizes left out are 2,048 and
        4,096, or less in a run into a store by workers with less memory.
    store : path, optional
        Run now, block by block, into a Zarr store; an unfinished store of the same scan is
        finished. Without it nothing is computed until the result is asked for.
    compression : {"lz4", "zstd"}, optional
        Codec of the arrays of a new store, ``"lz4"`` by default. ``"zstd"`` takes a few percent
        less room, and several times as long to write. Both are without loss. An unfinished store
        keeps its own.
    digits : int, optional
        Significant decimal digits of the statistics that are stored, to save room: each is within
        a relative error of 10^-digits / 2. By default all digits, or those of a store that is
        gone on with.
    share : str or (int, int), optional
        Compute only this share of the traits into the store: ``"3/10"`` or ``(3, 10)``, the third
        of ten. Runs of different shares may write into one store at the same time, as the tasks of
        a job array; whichever is first makes it, in blocks of so many traits that each share has
        some. Once all are finished, `open_result` opens it; a call without `share` computes what
        is left.
    progress : callable, optional
        Called with a `Progress` at the start and after each block written to the store.

    Returns
    -------
    Dataset
        ``lod`` (variants, traits), lazy, in float32 (float64 from the alt methods in double
        precision), and the statistics asked for; ``h2`` and ``sigma2`` (traits), with `loco` or
        `x_covariates` (contigs, traits); ``n_samples`` (traits) used; ``variant_frequency``, the
        frequency of the effect allele (the last of ``variant_allele``) among these samples:
        (variants), or (variants, traits) where traits were measured on different samples; none for
        genotype probabilities; ``trait_status`` (traits): "ok", or "all-missing", "constant" or
        "too-few-samples" (LOD is NaN), or "unbounded" (the likelihood has no maximum below h2 = 1:
        the estimate is the bound, 1 - 1e-5; prefer REML or an uncentred kinship). The alt methods
        add ``h2_alt`` (variants, traits), the heritability with the marker in the model;
        ``"alt-exact"`` also ``refined`` (variants, traits), which pairs were optimised by
        themselves, and ``n_refined`` (traits), how many. Where several columns are tested together,
        ``df`` (variants, traits) is their rank beside the covariates, and effects have a third
        dimension: ``genotypes``, the mean of each with the other covariates at zero (R/qtl2's
        scan1coef before it takes their mean out), or with an interaction ``effects``. With several
        kernels ``h2`` has a dimension ``components`` before that of the traits, the shares of each
        by name and of the ``residual``, and a status may be "boundary", "flat" or "confounded", as
        in `heritability`. With a `share`, all this of its traits only.

    Raises
    ------
    InputError
        If the study, the kinship, the covariates or an option cannot be used, or the workers have
        too little memory for a block (`plan` says how much it takes).
    StoreError
        If the store cannot be written or was made from other inputs.
    ClusterError
        If a run into a store loses the workers or the scheduler of its cluster for good.

    Warns
    -----
    StudyWarning
        For samples left out because they lack a covariate; for texts read as covariates; for fewer
        than five samples more than columns of covariates; for a kinship with eigenvalues that are
        negative through rounding of its entries; for genotypes that no sample has; for calls of a
        cross that are scanned as probabilities; for `x_covariates` left out; and once in a
        process, where a cross with an X is scanned without them; and once
        in a process, where a scan of fewer than 500 samples takes a kinship of the whole genome and
        `loco` would gain power.

    Examples
    --------
    Nothing is computed until it is asked for, and then only what it takes. The curve of one trait
    along the genome, and its h2:

    >>> result = blmm.scan(ds)
    >>> result.lod.dims, result.lod.shape
    (('variants', 'traits'), (60, 12))
    >>> curve = result.lod.sel(traits="trait06").compute()
    >>> str(curve.idxmax().item()), round(float(curve.max()), 2)
    ('2:54233555', 6.35)
    >>> round(float(result.h2.sel(traits="trait06")), 2)
    0.59

    Into a store, with effects and p-values. After a stop, the same call goes on where it was:

    >>> stored = blmm.scan(ds, statistics=["beta", "se", "neg_log10_p"], store="scan.zarr")
    >>> pair = stored.sel(variants="2:54233555", traits="trait06")
    >>> round(float(pair.beta), 2), round(float(pair.se), 2), round(float(pair.neg_log10_p), 2)
    (-1.12, 0.2, 7.19)

    In three shares, which three processes may compute at the same time:

    >>> for number in (1, 2, 3):
    ...     part = blmm.scan(ds, store="shared.zarr", share=(number, 3))
    >>> part.sizes["traits"], blmm.open_result("shared.zarr").sizes["traits"]
    (4, 12)

    Leaving one chromosome out, with h2 by restricted maximum likelihood:

    >>> ds["kinship_loco"] = blmm.kinship(ds, loco=True)
    >>> loco = blmm.scan(ds, loco=True, reml=True)
    >>> loco.h2.dims
    ('contigs', 'traits')

    With samples of 24 cages, which share an effect:

    >>> ds["sample_cage"] = ("samples", [f"cage{i % 24}" for i in range(120)])
    >>> caged = blmm.scan(ds, kinship={"additive": "kinship", "cage": "cage"})
    >>> caged.h2.dims, caged.components.values.tolist()
    (('components', 'traits'), ['additive', 'cage', 'residual'])

    With h2 estimated again for every pair:

    >>> alt = blmm.scan(ds, method="alt-exact")
    >>> round(float(alt.lod.sel(variants="2:54233555", traits="trait06")), 2)
    9.28
    """
    own = None if share is None else Share.of(share)
    if own is not None and store is None:
        raise OptionError(
            f"{option('share', str(own))} is given, but nothing is stored; give {option('store')} "
            "too, or leave it out"
        )
    ds = study_to_test(ds, genotypes, model, method=method, condition=condition)
    kernels = kinship if are_several(kinship) else None
    inputs = ModelInputs(
        kinship=None if kernels is not None else cast(KinshipLike, kinship),
        kernels=kernels,
        loco=loco,
        covariates=covariates,
        interaction=interaction,
        condition=condition,
        weights=weights,
        replicates=replicates,
        prior=prior,
        genotypes=genotypes,
        model=model,
        x_covariates=x_covariates,
    )
    with reading_early() as early:
        if store is not None:
            early(ds["sample_trait"].data)
            store = looked_up(store, own)
        kept = stored_as(store, compression, digits)
        options = ScanOptions.of(
            ds,
            inputs,
            method=method,
            reml=reml,
            h2_grid=h2_grid,
            refine_above=refine_above,
            statistics=statistics,
            precision=precision,
            digits=kept.digits,
        )
        study = prepare(ds, inputs)
        options.require_fit(inputs)
        for one in [inputs.kinship] if kernels is None else kernels.values():
            advise_loco(ds, one, loco=loco)
        advise_x(ds, study.measured, x_covariates)
        if options.model.grid is not None:
            warn_of_scale(study.measured, options.model.grid)
        if options.genotypes and options.model.with_effects and not options.interaction:
            warn_of_far_covariates(study.measured)
        if store is not None:
            chunks = chunks_of(store, Layout.dims, chunks)
        if own is not None:
            each = {"traits": traits_for(own.count, study.sizes[2])}
            chunks = {**each, **chunks} if isinstance(chunks, Mapping) else each
        make = partial(scan_load, Shapes.of(study), options)
        load = fitting(make, chunks, None if store is None else room_of_workers())
        attrs = options.attributes() | inputs.of_tests(ds, study.measured)
        if {"beta", "se"} & set(options.statistics):
            maximum = genotype_variable(ds, genotypes).attrs.get("maximum", 1)
            attrs["effect_unit"] = options.effect_unit(maximum)
        names = _names(ds, options, study.measured.components)
        if store is None:
            return _lazy(names, study, load.plan, options, attrs)
        say_if_small(load)
        attrs |= origin(ds)
        with writing(store, own) as writer:
            if writer.held is None:
                early(study.genotypes.values)
            return _run(names, study, load.plan, options, attrs, writer, kept, progress)


def _lazy(
    names: xr.Dataset, study: Study, plan: Plan, options: ScanOptions, attrs: dict[str, Any]
) -> xr.Dataset:
    """The result as lazy arrays."""
    if is_lazy(study.genotypes.values) and study.genotypes.values.ndim == 3:
        say_absent_uncounted()
    study = study.with_few_traits_in_memory()
    bases = lazy_bases(study.measured)
    lazy = lazy_scan(study, plan, options.model, single=options.single, bases=bases, by_block=True)
    of_pairs, of_traits = _fields(study, options, attrs)
    columns = columns_of(of_pairs | of_traits, lazy.per_pair() | lazy.per_trait())
    columns |= frequency_columns(study, lazy.markers.values)
    return arranged(with_derived(package(names, columns, attrs)))


def _run(
    names: xr.Dataset,
    study: Study,
    plan: Plan,
    options: ScanOptions,
    attrs: dict[str, Any],
    writer: Writer,
    compression: Compression,
    progress: Callable[[Progress], None] | None,
) -> xr.Dataset:
    """The result, computed into a store; an unfinished store is finished."""
    study = study.with_kinship_in_memory()
    bases = kept_bases(study.measured)
    lazy = lazy_scan(study, plan, options.model, single=options.single, bases=bases)
    of_pairs, of_traits = _fields(study, options, attrs)
    known = options.attributes() | {"statistics": options.model.wanted}
    layout = Layout((plan.n_variants, plan.n_traits), (plan.variants, plan.traits), plan.inner)
    read = study.genotypes.values, study.measured.traits
    with overlapping(writer.store, plan.block_bytes, *read):
        prints = check_inputs(study, plan, known)

        def skeleton() -> Skeleton:
            frequencies = frequency_columns(study, lazy.markers.values)
            beside = template(names, [*of_pairs, *of_traits, *frequencies], attrs)
            labelled = prints | {"labels": of_labels(beside)}
            beside = beside.assign_coords(frequencies)
            return Skeleton(beside, layout, of_pairs, of_traits, labelled, compression)

        with made_meanwhile(writer, layout, skeleton) as target:
            written = run_into(target, lazy, progress)
    if isinstance(writer, SharedWriter):
        end_share(writer)
        own = writer.share.part(layout.blocks[1])
        traits = slice(own.start * plan.traits, own.stop * plan.traits)
        with writer.given_back():
            result = open_part(writer.store, traits)
    else:
        with writer.given_back():
            result = open_result(written)
    warn_of_few_degrees(study.measured, result["n_samples"].values)
    return result


def _fields(
    study: Study, options: ScanOptions, attrs: Mapping[str, Any]
) -> tuple[dict[str, Field], dict[str, Field]]:
    """Fields with one value per pair, and fields with one value per trait."""
    _, n_variants, n_traits = study.sizes
    of_pairs = pair_fields(
        options.model,
        n_variants,
        n_traits,
        single=options.single,
        effect_unit=attrs.get("effect_unit"),
    )
    return of_pairs, trait_fields(study.measured, n_traits)


def _names(ds: xr.Dataset, options: ScanOptions, components: Sequence[str]) -> xr.Dataset:
    """Names along all dimensions of a result."""
    names = with_components(labels(ds), components)
    wanted = options.model.effects if {"beta", "se"} & set(options.statistics) else ()
    if not wanted:
        return names
    genotypes = [f"genotype{i + 1}" for i in range(options.genotypes or 0)]
    if options.genotypes and "genotype_id" in ds:
        genotypes = [str(name) for name in ds["genotype_id"].values]
    if not options.interaction:
        return names.assign_coords(genotypes=text(genotypes))
    tested = genotypes[1:] or ["dosage"]
    products = [f"{name}:{other}" for other in options.interaction for name in tested]
    return names.assign_coords(effects=text([*tested, *products]))
