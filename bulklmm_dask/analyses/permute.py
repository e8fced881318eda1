"""The analysis `permute`: the highest LOD of every trait in data without loci."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import xarray as xr

from bulklmm_dask.analyses.advice import warn_of_few_degrees
from bulklmm_dask.analyses.fields import attributes_of, columns_of, trait_fields
from bulklmm_dask.analyses.inputs.cross import contigs_on_x
from bulklmm_dask.analyses.inputs.genotypes import contigs_of
from bulklmm_dask.analyses.inputs.kernels import KernelLike, are_several, kernels_in_words
from bulklmm_dask.analyses.inputs.kinship import KinshipLike
from bulklmm_dask.analyses.inputs.strata import StrataLike, strata_in_words, strata_of_samples
from bulklmm_dask.analyses.inputs.vectors import VectorLike, with_value
from bulklmm_dask.analyses.inputs.x_covariates import XCovariatesLike
from bulklmm_dask.analyses.loads import Shapes, permute_load
from bulklmm_dask.analyses.options import GenotypeVariable, Model, PermuteMethod, Precision
from bulklmm_dask.analyses.package import labels, package, template, with_components
from bulklmm_dask.analyses.prepare import HASHED, ModelInputs, prepare
from bulklmm_dask.analyses.scan_options import PermuteOptions, ScanOptions
from bulklmm_dask.analyses.tested import study_to_test
from bulklmm_dask.engine.bases import Bases, kept_bases, lazy_bases
from bulklmm_dask.engine.check_inputs import check_inputs
from bulklmm_dask.engine.overlap import made_meanwhile
from bulklmm_dask.engine.permute import LazyPermutations, Pools, run_permutations
from bulklmm_dask.engine.plan import Plan, make_plan
from bulklmm_dask.engine.progress import Progress
from bulklmm_dask.engine.room import Room, fitting, room_of_workers, say_if_small
from bulklmm_dask.engine.scan import LazyScan, lazy_scan
from bulklmm_dask.engine.shared import SharedNull, draw_shared
from bulklmm_dask.engine.study import Study
from bulklmm_dask.engine.workload import Workload
from bulklmm_dask.errors import InputError, OptionError
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.statistics import OF_PERMUTATIONS
from bulklmm_dask.results.thresholds import LENGTH, ON_X
from bulklmm_dask.storage.codecs.compression import Compression
from bulklmm_dask.storage.labels.layout import Field, Layout
from bulklmm_dask.storage.places.lock import Writer
from bulklmm_dask.storage.proof.fingerprint import fingerprint, of_labels
from bulklmm_dask.storage.results.journal import Journal
from bulklmm_dask.storage.results.result import open_result
from bulklmm_dask.storage.results.resumed import chunks_of, looked_up, open_or_create, writing
from bulklmm_dask.storage.results.skeleton import Skeleton
from bulklmm_dask.study.origin import origin
from bulklmm_dask.study.stored import stored_as
from bulklmm_dask.surface import option
from bulklmm_dask.typing import By, CompressionName, Index

_DIMS = ("permutations", "traits")
_MAXIMA = attributes_of(OF_PERMUTATIONS)
# Markers and traits per task of the shared null; a task holds a basis for every pattern of missing
# values among its traits.
_SHARED_MARKERS, _SHARED_TRAITS = 2048, 2048


def permute(
    ds: xr.Dataset,
    *,
    n_permutations: int = 1000,
    method: PermuteMethod = "per-trait",
    kinship: KinshipLike | Mapping[str, KernelLike] = "kinship",
    loco: bool = False,
    covariates: bool | Sequence[str] | None = True,
    x_covariates: XCovariatesLike = None,
    interaction: str | Sequence[str] | None = None,
    weights: VectorLike | None = None,
    replicates: VectorLike | None = None,
    reml: bool = False,
    genotypes: GenotypeVariable | None = None,
    model: Model = "full",
    strata: StrataLike = None,
    seed: int = 0,
    by: By | None = None,
    precision: Precision = "single",
    chunks: str | Mapping[str, int] = "auto",
    store: str | os.PathLike[str] | None = None,
    compression: CompressionName | None = None,
    digits: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> xr.Dataset:
    r"""Highest LOD of every trait in data without loci: the null of a genome-wide threshold.

    With V = h2 K + (1 - h2) I at the trait's own h2, the residuals of the regression of V^(-1/2) y
    on V^(-1/2) C are uncorrelated and exchangeable. They are permuted (the same permutation for all
    traits and contigs), and V^(1/2) restores the covariance of the trait. From every permuted trait
    the covariates are projected out again (Freedman and Lane 1983), h2 is estimated again (on a
    grid), and the highest LOD over all markers is kept, for comparison with the LODs of ``scan``
    with method "null-exact". V^(-1/2) is the symmetric root, so that an entry belongs to a
    sample: strata hold, and samples without a value take no part. The h2 that traits are permuted
    with is always estimated by REML, which has the least bias.

    With several kernels by name, V = sum_k h_k K_k + h_e I at the trait's own shares, and the
    shares of a permuted trait are estimated again: their ratios on a mesh of the simplex (17 of two
    kernels, 66 of three), and of the best ratio what the kernels have together, on the grid of one
    kinship.

    Parameters
    ----------
    ds : Dataset
        A study. Missing values are treated as in `scan`; traits measured on some of
        the samples move as those measured on all wherever that is possible.
    n_permutations : int
        Number of permutations.
    method : {"per-trait", "shared"}
        ``"per-trait"`` permutes the residuals of every trait. ``"shared"`` draws normal residuals
        at twelve values of h2 for all traits together: the null depends on a trait almost only
        through its h2, and interpolating between them gives every trait its own in seconds. It
        relies on residuals that are close to normal. All traits share its chance error: take
        several thousand draws, which are cheap.
    kinship, loco, covariates, x_covariates, interaction : optional
    weights, replicates, reml, genotypes, model : optional
        As in the scan that the maxima are for, kernels by name (``"per-trait"``) and ``loco`` for
        those that leave a contig out among them. Where a marker has several columns (genotype
        probabilities, interactions), the permuted traits go through a whole scan, as much slower
        than with one column as a scan is. Priors and conditions are not permuted under; the dosage
        of a marker that all traits are conditioned on can be a covariate of the study instead.
    strata : str, array (samples,), DataArray or Series, optional
        Labels of the samples, or the name of a variable or covariate of the study: residuals are
        exchanged among samples of the same label only (``"per-trait"``).
    seed : int
        The same seed gives the same numbers (but for rounding), whatever the chunks, the workers
        and the other traits; its first 100 permutations are the first 100 of its 1,000.
    by : None or "contig"
        Keep the maximum over all markers, or that of every contig.
    precision : {"single", "double"}
        Precision of the matrix products; LODs differ by less than 1e-4.
    chunks : "auto" or mapping
        ``{"permutations": ..., "traits": ...}``: the size of a block.
    store : path, optional
        Run now into a Zarr store; an unfinished one is finished. `open_result` opens it. Without
        it ``"per-trait"`` computes nothing until asked; call ``compute`` once if it is asked often.
    compression, digits
        Of the maxima in the store, as in `scan` (``"per-trait"``; others take little room).
    progress : callable, optional
        Called with a `Progress` at the start and after each block written to the store
        (``"per-trait"``).

    Returns
    -------
    Dataset
        For `thresholds` and `adjusted_p`. ``max_lod`` (permutations, traits[, contigs]), float32,
        NaN for a trait without a null model; ``h2`` (shares of several kernels by component),
        ``sigma2``, ``n_samples`` and ``trait_status`` as in the result of a `scan` with REML. With
        ``"shared"``, ``max_lod`` (permutations, patterns, nodes[, contigs]) at ``null_h2``
        (patterns, nodes), computed; ``trait_pattern`` (traits) tells which pattern of missing
        values a trait has.

    Raises
    ------
    InputError
        If the study or an option cannot be used.
    StoreError
        If the store cannot be written or was made from other inputs.
    ClusterError
        If a run into a store loses the workers or the scheduler of its cluster for good.

    Warns
    -----
    StudyWarning
        For samples left out because they lack a covariate, for texts read as covariates, for fewer
        than five samples more than columns of covariates, and for samples that are alone in their
        stratum, whose residuals do not move.

    Examples
    --------
    Two hundred permutations, to be quick; take a thousand or more for thresholds that you report:

    >>> perm = blmm.permute(ds, n_permutations=200, seed=1)
    >>> perm.max_lod.dims, perm.max_lod.shape
    (('permutations', 'traits'), (200, 12))
    >>> levels = blmm.thresholds(perm, alpha=0.05).threshold.sel(alpha=0.05)
    >>> levels.values[:3].round(2)
    array([2.34, 2.25, 2.51])

    With every component of the traits kept, where samples of 24 cages share an effect:

    >>> ds["sample_cage"] = ("samples", [f"cage{i % 24}" for i in range(120)])
    >>> kernels = {"additive": "kinship", "cage": "cage"}
    >>> caged = blmm.permute(ds, kinship=kernels, n_permutations=50, seed=1)
    >>> caged.h2.dims, caged.max_lod.shape
    (('components', 'traits'), (50, 12))

    For very many traits, draws that all of them share, into a store:

    >>> shared = blmm.permute(ds, n_permutations=1000, method="shared", store="perm.zarr")
    >>> levels = blmm.thresholds(shared, alpha=0.05).threshold.sel(alpha=0.05)
    >>> levels.values[:3].round(2)
    array([2.3 , 2.34, 2.38])
    """
    ds = study_to_test(ds, genotypes, model)
    kernels = kinship if are_several(kinship) else None
    inputs = ModelInputs(
        kinship=None if kernels is not None else cast(KinshipLike, kinship),
        kernels=kernels,
        loco=loco,
        covariates=covariates,
        interaction=interaction,
        weights=weights,
        replicates=replicates,
        genotypes=genotypes,
        model=model,
        x_covariates=x_covariates,
    )
    store = None if store is None else looked_up(store)
    kept = stored_as(store, compression, digits)
    scanned = ScanOptions.of(ds, inputs, reml=reml, precision=precision, digits=kept.digits)
    options = PermuteOptions(method, n_permutations, seed, by, scanned)
    shared = option("method", "shared")
    if options.shared and kernels is not None:
        raise OptionError(
            f"{shared} and {kernels_in_words(kernels)} exclude each other: its null is drawn at "
            "some values of one heritability, and is another for every ratio of the kernels; use "
            f"{option('method', 'per-trait')}, or give one kinship"
        )
    if strata is not None and options.shared:
        raise OptionError(
            f"{with_value('strata', strata)} and {shared} exclude each other: strata say which "
            "samples may be exchanged, and this method draws random residuals and exchanges none; "
            f"use {option('method', 'per-trait')}, or leave {option('strata')} out"
        )
    if options.shared and chunks != "auto":
        raise OptionError(
            f"{option('chunks', chunks)} and {shared} exclude each other: this method has no "
            f"blocks of traits; leave {option('chunks')} out"
        )
    if options.shared and (compression, digits) != (None, None):
        what = option("compression", compression) if digits is None else option("digits", digits)
        raise OptionError(
            f"{what} and {shared} exclude each other: what this method stores takes little "
            "room; leave it out"
        )
    study = prepare(ds, inputs)
    attrs = {
        **options.attributes(),
        "strata": strata_in_words(strata),
        **inputs.of_tests(ds, study.measured),
    }
    task = _Task(ds, study, options, attrs, _pools(ds, by), strata_of_samples(ds, strata))
    if store is None:
        return task.drawn() if options.shared else task.lazy(chunks)
    with writing(store) as writer:
        if options.shared:
            return task.shared(writer)
        return task.run(chunks_of(store, _DIMS, chunks), writer, kept, progress)


def _pools(ds: xr.Dataset, by: str | None) -> Pools:
    """Groups of markers with one maximum each: all markers, or those of a contig."""
    if by is None:
        return Pools()
    if "variant_contig" not in ds:
        raise InputError(
            "the study has no variant_contig, so there is no maximum by contig; give it a marker "
            f"map, or leave out {option('by')}"
        )
    return Pools(contigs_of(ds), ds.sizes["contigs"])


def _contigs(ds: xr.Dataset) -> dict[str, Any]:
    """Whether each contig is an X chromosome, and its length between its outer positions."""
    on_x = {ON_X: ("contigs", contigs_on_x(ds))}
    known = [name for name in ("variant_genetic_position", "variant_position") if name in ds]
    if not known:
        return on_x
    unit = "cM" if len(known) == 2 else ds["variant_position"].attrs.get("units", "")
    position = ds[known[0]].to_series().groupby(contigs_of(ds))
    length = (position.max() - position.min()).reindex(range(ds.sizes["contigs"]), fill_value=0.0)
    return on_x | {LENGTH: ("contigs", length.fillna(0.0).to_numpy(), {"units": unit})}


@dataclass(frozen=True)
class _Task:
    """Permutations of a study, with checked inputs and options.

    Attributes
    ----------
    ds : Dataset
        The study, for its names.
    study : Study
    options : PermuteOptions
    attrs : dict
        Attributes of the result.
    pools : Pools
        Groups of markers with one maximum each.
    strata : array (samples,) of int
    """

    ds: xr.Dataset
    study: Study
    options: PermuteOptions
    attrs: dict[str, Any]
    pools: Pools
    strata: Index

    def lazy(self, chunks: str | Mapping[str, int]) -> xr.Dataset:
        """The result as lazy arrays."""
        load = self._load(chunks)
        plan, size = load.plan, load.size
        lazy = self._lay_out(self.study, lazy_bases(self.study.measured), plan, size)
        of_pairs, of_traits = self._fields()
        arrays = {"max_lod": lazy.maxima} | lazy.scan.per_trait()
        columns = columns_of(of_pairs | of_traits, arrays)
        return package(self._names(), columns, self.attrs)

    def run(
        self,
        chunks: str | Mapping[str, int],
        writer: Writer,
        compression: Compression,
        progress: Callable[[Progress], None] | None,
    ) -> xr.Dataset:
        """The result, computed into a store; an unfinished store is finished."""
        load = self._load(chunks, room_of_workers())
        say_if_small(load)
        plan, size = load.plan, load.size
        study = self.study.with_kinship_in_memory()
        bases = kept_bases(study.measured)
        block = (size, plan.traits)
        layout = Layout((self.options.n_permutations, plan.n_traits), block, block, _DIMS)
        prints = self._prints(study, plan)
        skeleton = Skeleton(self._template(), layout, *self._fields(), prints, compression)
        lazy = self._lay_out(study, bases, plan, size)
        with made_meanwhile(writer, layout, lambda: skeleton) as target:
            written = run_permutations(target, lazy, progress)
        with writer.given_back():
            result = open_result(written)
        warn_of_few_degrees(study.measured, result["n_samples"].values)
        return result

    def drawn(self) -> xr.Dataset:
        """The result of method "shared", computed at once since it is small."""
        study = self.study.with_kinship_in_memory()
        return self._drawn(study, kept_bases(study.measured))

    def shared(self, writer: Writer) -> xr.Dataset:
        """The result of method "shared" in a store."""
        study = self.study.with_kinship_in_memory()
        bases = kept_bases(study.measured)
        # The result is part of the store's template, which appears complete: no block is written.
        prints = self._prints(study, self._shared_plan())
        whole = self._template()
        if writer.held is None or writer.repair is not None:
            whole = self._drawn(study, bases).assign_attrs(origin(self.ds))
        layout = Layout((1, 1), (1, 1), (1, 1), _DIMS)
        target = open_or_create(writer, lambda: Skeleton(whole, layout, {}, {}, prints))
        with Journal(target) as journal:
            journal.note(target.write_traits(0, {}))
            journal.note(target.write_block(0, 0, {}))
        return open_result(writer.store)

    def _shared_plan(self) -> Plan:
        variants = max(1, _SHARED_MARKERS // self._model.columns)
        return make_plan(*self.study.sizes, {"variants": variants, "traits": _SHARED_TRAITS})

    def _drawn(self, study: Study, bases: Bases) -> xr.Dataset:
        pools, relations = self.pools, study.measured.relations
        if pools.together and relations is not None:
            # A trait has another h2 for every contig, so maxima are kept by contig here; they are
            # combined later, at the values of h2 of each trait.
            pools = Pools(study.genotypes.relation, relations)
        null = draw_shared(
            self._scan(study, bases, self._shared_plan(), pools),
            pools,
            seed=self.options.seed,
            count=self.options.n_permutations,
            model=self._model,
        )
        return package(self._names(), self._shared_columns(null), self.attrs)

    @property
    def _model(self) -> ModelOptions:
        """The model that permuted traits are tested with."""
        return self.options.scan.model

    def _load(self, chunks: str | Mapping[str, int], room: Room | None = None) -> Workload:
        make = partial(permute_load, Shapes.of(self.study), self.options, self.pools.count)
        return fitting(make, chunks, room)

    def _scan(self, study: Study, bases: Bases, plan: Plan, pools: Pools) -> LazyScan:
        model = ModelOptions(reml=True)  # the estimate of h2 with the least bias
        single = self.options.scan.single
        return lazy_scan(
            study,
            plan,
            model,
            single=single,
            bases=bases,
            pool=pools.of_markers,
            for_permutations=True,
        )

    def _lay_out(self, study: Study, bases: Bases, plan: Plan, size: int) -> LazyPermutations:
        return LazyPermutations(
            self._scan(study, bases, plan, self.pools),
            self.pools,
            seed=self.options.seed,
            count=self.options.n_permutations,
            size=size,
            strata=self.strata,
            model=self._model,
        )

    def _names(self) -> xr.Dataset:
        """Names of traits and contigs, without those that a variable of the result replaces."""
        own = [*self._fields()[0], *self._fields()[1], "null_h2", "trait_pattern"]
        names = labels(self.ds, {"traits", "contigs"}).drop_vars(own, errors="ignore")
        names = with_components(names, self.study.measured.components)
        return names if self.pools.together else names.assign_coords(_contigs(self.ds))

    def _template(self) -> xr.Dataset:
        return template(self._names(), (), self.attrs | origin(self.ds))

    def _fields(self) -> tuple[dict[str, Field], dict[str, Field]]:
        """Fields with one value per permutation and trait, and fields with one value per trait."""
        n_traits = self.study.sizes[2]
        rest = () if self.pools.together else (self.pools.count,)
        dims = (*_DIMS, *("contigs" for _ in rest))
        shape = (self.options.n_permutations, n_traits, *rest)
        of_pairs = {"max_lod": Field(dims, shape, np.dtype(np.float32), _MAXIMA["max_lod"])}
        return of_pairs, trait_fields(self.study.measured, n_traits)

    def _shared_columns(self, null: SharedNull) -> dict[str, tuple[Any, ...]]:
        contigs = ("contigs",) if null.max_lod.ndim == 4 else ()
        first = ("contigs",) if null.h2.ndim == 3 else ()
        return {
            "max_lod": (
                ("permutations", "patterns", "nodes", *contigs),
                null.max_lod,
                _MAXIMA["max_lod"],
            ),
            "null_h2": (
                (*first, "patterns", "nodes"),
                null.h2,
                {"long_name": "heritability of the random traits"},
            ),
            "trait_pattern": (
                "traits",
                null.pattern,
                {"long_name": "number of the pattern of missing values"},
            ),
            **columns_of(self._fields()[1], null.columns),
        }

    def _prints(self, study: Study, plan: Plan) -> dict[str, str]:
        options = {name: value for name, value in self.attrs.items() if name not in HASHED}
        order = fingerprint([self.strata, self.pools.of_markers])
        prints = check_inputs(study, plan, options | {"order": order})
        return prints | {"labels": of_labels(self._template())}
