"""The analysis `hotspot_baseline`: most traits with a peak in one window, in null data."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.analyses.inputs.kinship import KinshipLike
from bulklmm_dask.analyses.inputs.vectors import VectorLike
from bulklmm_dask.analyses.null_studies import NullStudy, null_studies
from bulklmm_dask.analyses.package import labels, template
from bulklmm_dask.analyses.prepare import HASHED, ModelInputs, prepare
from bulklmm_dask.analyses.scan import scan
from bulklmm_dask.analyses.scan_options import ScanOptions
from bulklmm_dask.analyses.tested import study_to_test
from bulklmm_dask.engine.check_inputs import check_inputs
from bulklmm_dask.engine.plan import make_plan
from bulklmm_dask.engine.progress import Meter, Progress, Work
from bulklmm_dask.engine.study import Study
from bulklmm_dask.errors import InputError, StudyWarning
from bulklmm_dask.lmm.permute.signs import random_signs
from bulklmm_dask.results.checks import require_map
from bulklmm_dask.results.hotspots import hotspots
from bulklmm_dask.results.lowest_lod import Threshold, lowest_lod
from bulklmm_dask.results.peaks import find_peaks
from bulklmm_dask.storage.labels.layout import Field, Layout
from bulklmm_dask.storage.places.lock import Writer
from bulklmm_dask.storage.proof.fingerprint import fingerprint, of_labels
from bulklmm_dask.storage.results.blocks import ResultStore
from bulklmm_dask.storage.results.journal import Journal
from bulklmm_dask.storage.results.result import open_result
from bulklmm_dask.storage.results.resumed import block_of, open_or_create, writing
from bulklmm_dask.storage.results.skeleton import Skeleton
from bulklmm_dask.study.checks import whole_number
from bulklmm_dask.study.origin import origin
from bulklmm_dask.surface import option
from bulklmm_dask.typing import Array

# Options of a scan that have no meaning here, and why.
REFUSED = {
    "x_covariates": "null data sets keep one model for all markers",
    "condition": "markers among the covariates are not in the null model of a baseline",
    "statistics": "only LODs are counted",
    "compression": "its store holds a number for each data set",
    "digits": "its store holds a number for each data set",
    "share": "its store holds a number for each data set",
}
# Options of a scan that are inputs of its model; the others control estimation and computation.
_OF_MODEL = ("interaction", "prior", "genotypes")
# A store keeps one number per null data set, for the whole genome.
_DIMS = ("permutations", "genomes")
_MOST, _BYTES = "most_traits", 8  # name and itemsize of that array


def hotspot_baseline(
    ds: xr.Dataset,
    *,
    window: float,
    step: float | None = None,
    threshold: Threshold = 3.0,
    peakdrop: float | None = None,
    n_permutations: int = 100,
    seed: int = 0,
    kinship: KinshipLike = "kinship",
    loco: bool = False,
    covariates: bool | Sequence[str] | None = True,
    weights: VectorLike | None = None,
    replicates: VectorLike | None = None,
    store: str | os.PathLike[str] | None = None,
    progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> pd.DataFrame:
    r"""Largest number of traits with a peak in one window, in data without loci.

    Traits that go together have their chance peaks at the same places, so peaks scattered over the
    genome at random are no measure of a hotspot (Breitling et al. 2008). Here all traits keep what
    they have in common, and every null data set is scanned as the study was. With the covariates
    projected out, the eigenvectors of the kinship are directions of the samples in which every
    trait varies independently, whatever its h2 and its genetic and other correlations with other
    traits. In each direction the sign of all traits together is left or changed at random: under
    the mixed model that changes neither their joint distribution nor, in each draw, any h2; but
    what a marker explains is lost. (To permute samples or genotypes would need traits whose
    correlations are the same in all directions: in simulations with a shared genetic background it
    found hotspots where there are none up to three times too often, permuted residuals of
    replicated strains ten times.)

    Hotspots that exist are part of what traits have in common, and make the baseline somewhat
    higher than it need be.

    Parameters
    ----------
    ds : Dataset
        A study with a marker map. A missing value is taken for its mean given the covariates while
        signs are changed, and is missing again in the scan; that is approximate.
    window, step
        As for `hotspots`.
    threshold, peakdrop
        As for `find_peaks`: what counts as a peak.
    n_permutations : int
        Number of null data sets; each takes as long as a scan with its peaks.
    seed : int
        The same seed gives the same numbers; its first 100 are the first 100 of its 1,000.
    kinship, loco, covariates, weights, replicates
        As in the scan whose peaks are counted. With `loco` every contig has its own directions.
    store : path, optional
        A Zarr store that keeps the count of every finished data set: after a stop the same call
        does only what is left, and once all are there it gives the table again.
    progress : callable, optional
        Called with a `Progress` at the start and after each data set: they are its blocks.
    **options
        More of the options of `scan`, such as ``reml`` or ``precision``.

    Returns
    -------
    DataFrame
        For the ``baseline`` of `hotspots`: one row a data set, ``permutation`` and ``traits``, the
        highest count over all windows. ``attrs`` keep the window, step, threshold, peakdrop and
        seed.

    Raises
    ------
    InputError
        If there is no marker map, or an option cannot be used.
    StoreError
        If the store cannot be written or was made from other inputs.

    Warns
    -----
    StudyWarning
        For samples left out because they lack a covariate.

    Examples
    --------
    Twenty null data sets, to be quick; take a hundred or more:

    >>> baseline = blmm.hotspot_baseline(ds, window=10, threshold=3, n_permutations=20, seed=1)
    >>> baseline.traits.value_counts().sort_index().to_dict()
    {0: 14, 1: 5, 2: 1}

    It is what the windows of the study are compared with:

    >>> peaks = blmm.find_peaks(blmm.scan(ds), threshold=3)
    >>> counts = blmm.hotspots(peaks, ds, window=10, baseline=baseline)
    >>> counts.attrs["threshold"]
    2
    >>> counts.nlargest(3, "traits")[["contig", "position", "traits", "p_adjusted"]].round(2)
       contig  position  traits  p_adjusted
    19      1    184.34       2         0.1
    20      1    185.51       2         0.1
    30      2     54.23       2         0.1
    """
    model = options.pop("model", "full")
    ds = study_to_test(ds, options.get("genotypes"), model, method=options.get("method", ""))
    ds = require_map(ds, "a hotspot baseline")
    n_permutations = whole_number(n_permutations, option("n_permutations"), 1)
    seed = whole_number(seed, option("seed"), 0)
    for name, reason in REFUSED.items():
        if name in options:
            raise InputError(f"{name} is no option of a hotspot baseline: {reason}; leave it out")
    chunks = options.pop("chunks", "auto")
    inputs = ModelInputs(
        kinship=kinship,
        loco=loco,
        covariates=covariates,
        weights=weights,
        replicates=replicates,
        model=model,
        **{name: options.pop(name) for name in _OF_MODEL if name in options},
    )
    scanned = ScanOptions.of(ds, inputs, **options)
    counter = _PeakCounter(ds, window, step, threshold, peakdrop)
    with nullcontext() if store is None else writing(store) as writer:
        study = prepare(ds, inputs).with_kinship_in_memory()
        target = None
        if writer is not None:
            attrs = {"n_permutations": n_permutations, "seed": seed, **counter.attributes()}
            attrs |= scanned.attributes() | inputs.of_tests(ds, study.measured)
            target = _open_store(writer, study, counter, attrs, chunks)
        arguments = {
            **options,
            "chunks": chunks,
            "covariates": list(study.measured.covariate_names),
            "weights": study.measured.weights,
            **{name: getattr(inputs, name) for name in _OF_MODEL},
        }
        parts = list(null_studies(ds, study))
        pending = [(number, 0) for number in range(n_permutations)]
        pending = pending if target is None else target.pending_blocks()
        tests = study.sizes[1] * study.sizes[2]
        work = Work(n_permutations, n_permutations * tests, lambda _: tests, _BYTES / tests)
        meter = Meter(work, pending, progress)
        highest = np.zeros(n_permutations, dtype=np.int64)
        with _journal(target) as journal:
            for number, column in pending:
                signs = random_signs(seed, number, study.sizes[0])
                highest[number] = counter.most_traits(parts, signs, arguments)
                if target is not None and journal is not None:
                    most = {_MOST: highest[number].reshape(1, 1)}
                    journal.note(target.write_block(number, column, most))
                meter.count((number, column))
        if store is not None:
            highest = open_result(store)[_MOST].values[:, 0]
    table = pd.DataFrame({"permutation": np.arange(n_permutations), "traits": highest})
    table.attrs.update(counter.attributes(), step=step, seed=seed)
    return table


@dataclass(frozen=True)
class _PeakCounter:
    """Counting traits with a peak in one window. Attributes as in `hotspot_baseline`."""

    ds: xr.Dataset
    window: float
    step: float | None
    threshold: Threshold
    peakdrop: float | None

    def __post_init__(self) -> None:
        """Refuse impossible windows and steps before any work."""
        self._in_windows(pd.DataFrame({"trait": [], "contig": [], "position": []}))

    def attributes(self) -> dict[str, Any]:
        """Settings as attributes of a result; the threshold only if it is one number."""
        return {
            "window": float(self.window),
            "step": None if self.step is None else float(self.step),
            "threshold": float(self.threshold) if isinstance(self.threshold, int | float) else None,
            "peakdrop": None if self.peakdrop is None else float(self.peakdrop),
        }

    def fingerprint(self) -> str:
        """Digest of the settings, with the values of thresholds by trait."""
        levels = lowest_lod(self.ds, self.threshold)
        values = self.attributes(), levels.dims, levels.values
        return fingerprint(values)

    def most_traits(
        self, parts: Sequence[NullStudy], signs: Array, options: Mapping[str, Any]
    ) -> int:
        """Largest number of traits in any window of one null data set, scanned with `options`."""
        peaks = []
        for part in parts:
            with warnings.catch_warnings():
                # Warnings about the study were issued by `prepare`, once for all data sets.
                warnings.simplefilter("ignore", StudyWarning)
                result = scan(part.with_signs(signs), kinship=part.kinship, **options)
                peaks.append(
                    find_peaks(result, threshold=self.threshold, peakdrop=self.peakdrop, drop=None)
                )
        return int(self._in_windows(pd.concat(peaks, ignore_index=True))["traits"].max())

    def _in_windows(self, peaks: pd.DataFrame) -> pd.DataFrame:
        return hotspots(peaks, self.ds, window=self.window, step=self.step)


def _journal(store: ResultStore | None) -> AbstractContextManager[Journal | None]:
    return nullcontext() if store is None else Journal(store)


def _open_store(
    writer: Writer,
    study: Study,
    counter: _PeakCounter,
    attrs: Mapping[str, Any],
    chunks: str | Mapping[str, int],
) -> ResultStore:
    """Make the store of the counts of null data sets, or open that of an earlier call."""
    if writer.repair is None:
        block_of(writer.store, _DIMS)  # raises StoreError for a result of another kind
    options = {name: value for name, value in attrs.items() if name not in HASHED}
    options["counted"] = counter.fingerprint()
    prints = check_inputs(study, make_plan(*study.sizes, chunks), options)
    prints["labels"] = of_labels(labels(counter.ds))
    count = int(attrs["n_permutations"])
    layout = Layout((count, 1), (1, 1), (1, 1), _DIMS)
    field = {_MOST: Field(_DIMS, (count, 1), np.dtype(np.int64))}
    beside = template(xr.Dataset(), (), {**attrs, **origin(counter.ds)})
    target = open_or_create(writer, lambda: Skeleton(beside, layout, field, {}, prints))
    with Journal(target) as journal:
        journal.note(target.write_traits(0, {}))
    return target
