"""The front door of permutations: how high each trait would score with nothing to find."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bulklmm_dask.analyses.options import ScanOptions
from bulklmm_dask.analyses.prepare import (
    KinshipLike,
    VectorLike,
    aligned,
    covariate_matrix,
    genotype_arrays,
    genotype_variable,
    given_weights,
    interacting_columns,
    kinship_in_words,
    labels,
    measurements,
    require_one_of,
    sample_weights,
    strings,
)
from bulklmm_dask.engine.check_inputs import survey
from bulklmm_dask.engine.permute import LazyPermutations, plan_permutations, run_permutations
from bulklmm_dask.engine.plan import Plan, make_plan
from bulklmm_dask.engine.run import Progress
from bulklmm_dask.engine.scan import (
    LazyScan,
    Study,
    lazy_bases,
    lazy_scan,
    load_kinship,
    trait_fields,
)
from bulklmm_dask.engine.shared import SharedNull, draw_shared
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.storage.fingerprint import fingerprint, of_labels
from bulklmm_dask.storage.result import Field, Layout, block_of, open_or_create, open_result
from bulklmm_dask.study.checks import whole_number
from bulklmm_dask.study.schema import validate
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import listing
from bulklmm_dask.typing import Index

METHODS = ("per-trait", "shared")

_DIMS = ("permutations", "traits")
# Markers and traits of a task of the shared null: every pattern of a chunk of traits has a basis.
_SHARED_MARKERS, _SHARED_TRAITS = 2048, 2048
# What a result says of itself, but is fingerprinted by what it stands for.
_TOLD_ONLY = ("kinship", "covariates", "strata", "weights", "replicates", "version")


def permute(
    ds: xr.Dataset,
    *,
    n_permutations: int = 1000,
    method: str = "per-trait",
    kinship: KinshipLike = "kinship",
    loco: bool = False,
    covariates: bool | Sequence[str] | None = True,
    interaction: str | Sequence[str] | None = None,
    weights: VectorLike | None = None,
    replicates: VectorLike | None = None,
    reml: bool = False,
    genotypes: str | None = None,
    strata: str | npt.ArrayLike | xr.DataArray | pd.Series | None = None,
    seed: int = 0,
    by: str | None = None,
    precision: str = "single",
    chunks: str | Mapping[str, int] = "auto",
    store: str | os.PathLike[str] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> xr.Dataset:
    r"""Highest LOD of every trait in data without loci: the null of a genome-wide threshold.

    With V = h2 K + (1 - h2) I at the trait's own h2, the residuals of V^(-1/2) y beside the
    covariates V^(-1/2) C are uncorrelated and exchangeable. They are permuted (the same permutation
    for all traits and contigs), and V^(1/2) gives them back the covariance of the trait. Of every
    permuted trait the covariates are projected out again (Freedman and Lane 1983), h2 is estimated
    again (on a grid), and the highest LOD over all markers is kept, to which those of ``scan`` with
    method "null-exact" compare. V^(-1/2) is the symmetric root, so that an entry belongs to a
    sample: strata hold, and samples without a value take no part. The h2 that traits are permuted
    with is always estimated by REML, which has the least bias.

    Parameters
    ----------
    ds : Dataset
        A study. Missing values are treated as in `scan`; traits measured on some of
        the samples move as those measured on all wherever that is possible.
    n_permutations : int
        How many.
    method : {"per-trait", "shared"}
        ``"per-trait"`` permutes the residuals of every trait. ``"shared"`` draws normal residuals
        at twelve values of h2 for all traits together: the null depends on a trait almost only
        through its h2, and interpolating between them gives every trait its own in seconds. It
        relies on residuals that are close to normal. All traits share its chance error: take
        several thousand draws, which are cheap.
    kinship, loco, covariates, interaction, weights, replicates, reml, genotypes
        As in the scan that the maxima are for. Where a marker has several columns (genotype
        probabilities, interactions), the permuted traits go through a whole scan, which costs as
        many times more as it does there. Priors and conditions are not permuted under; the dosage
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
        Of the matrix products; no LOD differs by 1e-4.
    chunks : "auto" or mapping
        ``{"permutations": ..., "traits": ...}``: the size of a block.
    store : path, optional
        Run now into a Zarr store; an unfinished one is finished. `open_result` opens it. Without
        it ``"per-trait"`` computes nothing until asked; call ``compute`` once if it is asked often.
    progress : callable, optional
        Called with a `Progress` after each block written to the store (``"per-trait"``).

    Returns
    -------
    Dataset
        For `thresholds` and `adjusted_p`. ``max_lod`` (permutations, traits[, contigs]), float32,
        NaN for a trait without a null model; ``h2``, ``sigma2``, ``n_samples`` and
        ``trait_status`` as in the result of a `scan` with REML. With ``"shared"``, ``max_lod``
        (permutations, patterns, nodes[, contigs]) at ``null_h2`` (patterns, nodes), computed;
        ``trait_pattern`` (traits) tells which pattern of missing values a trait has.

    Raises
    ------
    InputError
        If the study or an option cannot be used.
    StoreError
        If the store cannot be written or was made from other inputs.
    """
    require_one_of(method, METHODS, "method")
    n_permutations = whole_number(n_permutations, "n_permutations", 1)
    seed = whole_number(seed, "seed", 0)
    calls = genotype_variable(validate(ds), genotypes)
    options = ScanOptions(
        method="null-exact",
        reml=reml,
        h2_grid=None,
        refine_above=None,
        precision=precision,
        genotypes=calls.sizes.get("genotypes"),
        interaction=strings(interaction),
    )
    if strata is not None and method == "shared":
        raise InputError(
            "strata say which samples may be exchanged, but method 'shared' draws random residuals "
            "and exchanges none; use method='per-trait', or leave strata out"
        )
    if method == "shared" and chunks != "auto":
        raise InputError(
            f"chunks is {chunks!r}, but method 'shared' has no blocks of traits; leave it out"
        )
    names, matrix = covariate_matrix(ds, covariates)
    weight = sample_weights(ds, weights, replicates)
    study = Study(
        **vars(measurements(ds, kinship, matrix, weights=weight, loco=loco)),
        **genotype_arrays(ds, calls, loco=loco),
        interacting=interacting_columns(names, options.interaction),
    )
    attrs = {
        "n_permutations": n_permutations,
        "seed": seed,
        "strata": strata if isinstance(strata, str) else ("none" if strata is None else "given"),
        "by": by or "none",
        **options.attributes(),
        "method": method,
        "covariates": names,
        "kinship": kinship_in_words(kinship),
        "loco": int(loco),
        "genotypes": str(calls.name),
        **given_weights(weights, replicates),
        "version": version("bulklmm-dask"),
    }
    task = _Task(ds, study, options.model, attrs, _places(ds, by), _strata(ds, strata))
    if method == "shared":
        return task.shared(store)
    if store is None:
        return task.lazy(chunks)
    if chunks == "auto":
        chunks = block_of(store, _DIMS) or "auto"
    return task.run(chunks, store, progress)


def _places(ds: xr.Dataset, by: str | None) -> Index | None:
    """Contig of every marker, where each keeps its maximum."""
    if by not in (None, "contig"):
        raise InputError(f"by is {by!r}; it must be None or 'contig'")
    if by is None:
        return None
    if "variant_contig" not in ds:
        raise InputError(
            "the study has no variant_contig, so there is no maximum by contig; give it a marker "
            "map, or use by=None"
        )
    return np.asarray(ds["variant_contig"].values, dtype=np.int64)


def _strata(ds: xr.Dataset, given: Any) -> Index:
    """Number of the stratum of every sample; zeros where all are one."""
    n = ds.sizes["samples"]
    if given is None:
        return np.zeros(n, dtype=np.int64)
    labels_of = pd.Series(aligned(ds, given, "strata", "samples"))
    samples = ds["sample_id"].values
    if labels_of.isna().any():
        raise InputError(
            f"strata lack a label for {listing(samples[labels_of.isna()])}; every sample needs one"
        )
    _, stratum, size = np.unique(labels_of.astype(str), return_inverse=True, return_counts=True)
    alone = size[stratum] == 1
    if alone.all() and n > 1:
        raise InputError(
            f"strata have as many labels as there are samples, {n:,}, so that no residual could "
            "move; give labels of groups"
        )
    if alone.any():
        say(
            f"{alone.sum():,} of {n:,} samples are alone in their stratum and keep their "
            f"residuals: {listing(samples[alone])}"
        )
    return stratum.astype(np.int64)


@dataclass(frozen=True)
class _Task:
    """What is permuted, checked.

    Attributes
    ----------
    ds : Dataset
        The study, for its names.
    study : Study
    model : ModelOptions
        How permuted traits are estimated, and what is tested.
    attrs : dict
        Every option, as the result tells them.
    places : array (variants,) of int, or None
        Contig of every marker, where each contig keeps its maximum.
    strata : array (samples,) of int
    """

    ds: xr.Dataset
    study: Study
    model: ModelOptions
    attrs: dict[str, Any]
    places: Index | None
    strata: Index

    def lazy(self, chunks: str | Mapping[str, int]) -> xr.Dataset:
        """The result, not computed."""
        plan, size = self._plan(chunks)
        laid_out = self._lay_out(self.study, lazy_bases(self.study), plan, size)
        pairs, traits = self._fields()
        columns = laid_out.scan.per_trait()
        known = {name: (traits[name].dims, array) for name, array in columns.items()}
        maxima = {"max_lod": (pairs["max_lod"].dims, laid_out.array())}
        return self._template().assign(maxima).assign(known)

    def run(
        self,
        chunks: str | Mapping[str, int],
        store: str | os.PathLike[str],
        progress: Callable[[Progress], None] | None,
    ) -> xr.Dataset:
        """The result, computed into a store or finished there."""
        plan, size = self._plan(chunks)
        study, bases = load_kinship(self.study)
        block = (size, plan.traits)
        layout = Layout((self._count, plan.n_traits), block, block, _DIMS)
        prints = self._prints(study, plan)
        target = open_or_create(store, self._template(), layout, *self._fields(), prints)
        run_permutations(target, self._lay_out(study, bases, plan, size), progress)
        return open_result(store)

    def shared(self, store: str | os.PathLike[str] | None) -> xr.Dataset:
        """The result of random residuals, computed: it is small."""
        study, bases = load_kinship(self.study)
        if store is None:
            return self._drawn(study, bases)
        # It is in the template of its store, which appears whole: there are no blocks to write.
        prints = self._prints(study, self._shared_plan())
        whole = self._template() if Path(store).exists() else self._drawn(study, bases)
        target = open_or_create(store, whole, Layout((1, 1), (1, 1), (1, 1), _DIMS), {}, {}, prints)
        target.write_traits(0, {})
        target.write_block(0, 0, {})
        return open_result(store)

    def _shared_plan(self) -> Plan:
        cut = {"variants": max(1, _SHARED_MARKERS // self.model.columns), "traits": _SHARED_TRAITS}
        return make_plan(*self._sizes, cut)

    def _drawn(self, study: Study, bases: Sequence[Any]) -> xr.Dataset:
        places, n_places = self.places, self._n_places
        if places is None and study.relations is not None:
            # A trait has another h2 for every contig: their maxima meet where it is known.
            places, n_places = study.contig, study.relations
        null = draw_shared(
            self._scan(study, bases, self._shared_plan()),
            bases,
            places,
            n_places,
            seed=self.attrs["seed"],
            count=self._count,
            model=self.model,
        )
        return self._template().assign(self._shared_arrays(null))

    @property
    def _count(self) -> int:
        return int(self.attrs["n_permutations"])

    @property
    def _n_places(self) -> int | None:
        return None if self.places is None else self.ds.sizes["contigs"]

    @property
    def _sizes(self) -> tuple[int, int, int]:
        sizes = self.ds.sizes
        return sizes["samples"], sizes["variants"], sizes["traits"]

    def _plan(self, chunks: str | Mapping[str, int]) -> tuple[Plan, int]:
        columns = self.model.columns
        return plan_permutations(*self._sizes, self._count, chunks, columns=columns)

    def _scan(self, study: Study, bases: Sequence[Any], plan: Plan) -> LazyScan:
        model = ModelOptions(reml=True)  # of all estimates, the one with the least bias
        single = self.attrs["precision"] == "single"
        return lazy_scan(study, plan, model, single=single, bases=bases)

    def _lay_out(
        self, study: Study, bases: Sequence[Any], plan: Plan, size: int
    ) -> LazyPermutations:
        return LazyPermutations(
            self._scan(study, bases, plan),
            self.places,
            self._n_places,
            seed=self.attrs["seed"],
            count=self._count,
            size=size,
            strata=self.strata,
            model=self.model,
        )

    def _template(self) -> xr.Dataset:
        names = labels(self.ds, {"traits", "contigs"})
        own = [*self._fields()[0], *self._fields()[1], "null_h2", "trait_pattern"]
        return names.drop_vars(own, errors="ignore").assign_attrs(self.attrs)

    def _fields(self) -> tuple[dict[str, Field], dict[str, Field]]:
        """The arrays of every permutation and trait, and of every trait."""
        m = self.ds.sizes["traits"]
        rest = () if self.places is None else (self.ds.sizes["contigs"],)
        dims = (*_DIMS, *(("contigs",) if rest else ()))
        maxima = Field(dims, (self._count, m, *rest), np.dtype(np.float32))
        return {"max_lod": maxima}, trait_fields(self.study.relations, m)

    def _shared_arrays(self, null: SharedNull) -> dict[str, Any]:
        traits = self._fields()[1]
        contigs = ("contigs",) if null.max_lod.ndim == 4 else ()
        first = ("contigs",) if null.h2.ndim == 3 else ()
        return {
            "max_lod": (("permutations", "patterns", "nodes", *contigs), null.max_lod),
            "null_h2": ((*first, "patterns", "nodes"), null.h2),
            "trait_pattern": ("traits", null.pattern),
            **{name: (traits[name].dims, values) for name, values in null.columns.items()},
        }

    def _prints(self, study: Study, plan: Plan) -> dict[str, str]:
        told = {name: value for name, value in self.attrs.items() if name not in _TOLD_ONLY}
        prints = survey(study, plan, told | {"order": fingerprint([self.strata, self.places])})
        return prints | {"labels": of_labels(self._template())}
