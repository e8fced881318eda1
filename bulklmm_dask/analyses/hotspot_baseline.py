"""The front door of hotspot baselines: how many traits share a place with nothing to find."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.analyses.inputs.kinship import KinshipLike
from bulklmm_dask.analyses.inputs.vectors import VectorLike
from bulklmm_dask.analyses.prepare import ModelInputs, prepare_measurements
from bulklmm_dask.analyses.scan import scan
from bulklmm_dask.errors import InputError, StudyWarning
from bulklmm_dask.lmm.permute.signs import Directions, random_signs
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.results.checks import require_map
from bulklmm_dask.results.hotspots import hotspots
from bulklmm_dask.results.lowest_lod import Threshold
from bulklmm_dask.results.peaks import find_peaks
from bulklmm_dask.study.checks import whole_number
from bulklmm_dask.study.schema import validate
from bulklmm_dask.typing import Array

# Options of a scan that have no meaning here, and why.
_REFUSED = {
    "condition": "markers among the covariates are not in the null model of a baseline",
    "statistics": "only LODs are counted",
    "store": "nothing is stored",
}


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
    progress: Callable[[int, int], None] | None = None,
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
    found hotspots in nothing up to three times too often, permuted residuals of replicated strains
    ten times.)

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
    progress : callable, optional
        Called with the number of finished data sets and of all, after each.
    **options
        More of the options of `scan`, such as ``reml`` or ``precision``.

    Returns
    -------
    DataFrame
        For the ``baseline`` of `hotspots`: one row a data set, ``permutation`` and ``traits``, the
        highest count over all windows. ``attrs`` keep the window, step, threshold and seed.

    Raises
    ------
    InputError
        If there is no marker map, or an option cannot be used.
    """
    require_map(validate(ds), "a hotspot baseline")
    n_permutations = whole_number(n_permutations, "n_permutations", 1)
    seed = whole_number(seed, "seed", 0)
    for name, reason in _REFUSED.items():
        if name in options:
            raise InputError(f"{name} is no option of a hotspot baseline: {reason}; leave it out")
    inputs = ModelInputs(
        kinship=kinship, loco=loco, covariates=covariates, weights=weights, replicates=replicates
    )
    measured = prepare_measurements(ds, inputs)
    matrix, weight = measured.covariates, measured.weights
    options |= {"covariates": list(measured.covariate_names), "weights": weight}
    parts = [
        _Part.of(part, Samples(matrix, relation, weight), options)
        for part, relation in _parts(ds, measured.kinship, loco=loco)
    ]
    highest = []
    for number in range(n_permutations):
        peaks = [
            part.peaks(random_signs(seed, number, len(matrix)), threshold, peakdrop)
            for part in parts
        ]
        counts = hotspots(pd.concat(peaks, ignore_index=True), ds, window=window, step=step)
        highest.append(int(counts["traits"].max()))
        if progress is not None:
            progress(number + 1, n_permutations)
    table = pd.DataFrame({"permutation": np.arange(n_permutations), "traits": highest})
    least = float(threshold) if isinstance(threshold, int | float) else None
    table.attrs.update(window=float(window), step=step, threshold=least, seed=seed)
    return table


def _parts(ds: xr.Dataset, kinship: Any, *, loco: bool) -> Iterator[tuple[xr.Dataset, Any]]:
    """Markers that share a kinship, and that kinship."""
    if not loco:
        yield ds, None if kinship is None else np.asarray(kinship)
        return
    contig = ds["variant_contig"].values
    for number in np.unique(contig[ds["variant_position"].notnull().values]):
        yield ds.isel(variants=np.flatnonzero(contig == number)), np.asarray(kinship[number])


@dataclass(frozen=True)
class _Part:
    """A study whose traits are laid out along the directions they vary independently in.

    Attributes
    ----------
    ds : Dataset
    kinship : array (samples, samples) or None
    options : dict
        Of the scan.
    coordinates : DataArray (traits, directions)
    observed : DataArray (samples, traits)
        Which values the study has.
    directions : Directions
    """

    ds: xr.Dataset
    kinship: Array | None
    options: dict[str, Any]
    coordinates: xr.DataArray
    observed: xr.DataArray
    directions: Directions

    @classmethod
    def of(cls, ds: xr.Dataset, samples: Samples, options: dict[str, Any]) -> _Part:
        """Lay out the traits of a study."""
        directions = Directions.of(samples)
        traits = ds["sample_trait"]
        if traits.chunks is not None:
            traits = traits.chunk(samples=-1)
        coordinates = xr.apply_ufunc(
            directions.coordinates,
            traits,
            input_core_dims=[["samples"]],
            output_core_dims=[["directions"]],
            dask="parallelized",
            output_dtypes=[np.float64],
            dask_gufunc_kwargs={"output_sizes": {"directions": directions.count}},
        )
        complete = xr.DataArray(samples.complete, dims="samples")
        observed = (traits.notnull() & complete).transpose("samples", "traits")
        return cls(ds, samples.kinship, options, coordinates, observed, directions)

    def traits(self, signs: Array) -> xr.DataArray:
        """Traits (samples, traits) with the signs of some directions changed."""
        operator = xr.DataArray(self.directions.with_signs(signs), dims=("samples", "directions"))
        traits = xr.dot(operator, self.coordinates, dim="directions").where(self.observed)
        return traits.transpose("samples", "traits")

    def peaks(self, signs: Array, threshold: Threshold, peakdrop: float | None) -> pd.DataFrame:
        """Peaks of such traits."""
        null = self.ds.assign(sample_trait=self.traits(signs))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StudyWarning)  # of the study: said once before
            result = scan(null, kinship=self.kinship, **self.options)
            return find_peaks(result, threshold=threshold, peakdrop=peakdrop, drop=None)
