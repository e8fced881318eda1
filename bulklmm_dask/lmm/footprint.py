"""Memory that fits and scans take, in float64 numbers, from sizes alone.

The numbers of arrays alive at once are those of the code of `basis`, `null`, `alt`, `joint` and
`permute`, measured with ``tracemalloc`` (a test compares them again). They hold for samples and
markers that are all distinct; copies take less.
"""

from __future__ import annotations

from dataclasses import dataclass

from bulklmm_dask.lmm.alt.gains import STEPS
from bulklmm_dask.lmm.alt.pairs import TOGETHER as REFINED
from bulklmm_dask.lmm.compiled.fits import MOST_COVARIATES
from bulklmm_dask.lmm.compiled.loops import loops
from bulklmm_dask.lmm.components.choice import bulk_kernels
from bulklmm_dask.lmm.components.simplex import count_of_ratios
from bulklmm_dask.lmm.few.choice import MARKERS_A_SAMPLE, is_few
from bulklmm_dask.lmm.markers import TILE_CELLS, TILE_TRAITS
from bulklmm_dask.lmm.options import ModelOptions

# Points that a fit has the likelihood at.
_MESH = 88
# Traits whose sums are compressed together, and of which likelihoods are followed together.
_TOGETHER, _SHARED = 256, 1024
# By the number of kernels: nodes, points of a lattice of their shares, and numbers of each of the
# traits that are fitted together; vectors that nodes are chosen by, and copies of their forms.
OF_KERNELS, _LATTICE, _FITTED = (0, 30, 110, 200), (0, 50, 1500, 20_000), (0, 300, 3600, 40_000)
_SEVERAL, _VECTORS, _COPIES = 512, 400, 6.0
# Likelihoods of a permuted trait with the kernels at one ratio to each other.
_CURVE_OF_RATIO = 41
# Largest number of nodes that variations of markers are interpolated from.
_NODES = 48
# Rows of a tile of the alt methods, and of permuted traits that are estimated together.
_ROWS = 1024
# Markers of a tile of the alt methods.
_MARKERS = 512
# Heritabilities that a permuted trait may take.
_REFIT = 165
# Points of the curve of a trait whose gains are interpolated.
CURVE = STEPS + 1
# Tiles of the null methods and their copies.
_TILES = 200_000


@dataclass(frozen=True)
class Cells:
    """Numbers that a step holds at once at its `peak`, and those that are `kept` after it."""

    peak: float
    kept: float


@dataclass(frozen=True)
class Footprint:
    """Memory of fits and scans of one model, in float64 numbers.

    Attributes
    ----------
    model : ModelOptions
        What is estimated and tested.
    n_samples, n_covariates : int
        Samples, and columns of covariates with the intercept.
    own : int
        Covariates that each trait has of its own.
    single : bool
        Whether matrix products are in single precision.
    searched : bool
        Whether `alt-exact` interpolates gains (`AltSearch`): weights of very different size, or no
        kinship.
    together : bool
        Whether traits with several kernels are fitted and scanned in bulk.
    """

    model: ModelOptions
    n_samples: int
    n_covariates: int = 1
    own: int = 0
    single: bool = False
    searched: bool = False
    together: bool = True

    @property
    def known(self) -> float:
        """A kinship and its eigenbasis; kernels as given, rotated and at corners."""
        components = self.model.components
        return (3.0 * components - 1.0 if components else 2.0) * self.n_samples**2

    @property
    def _is_searched(self) -> bool:
        return self.searched and self.model.alternative and self.model.grid is None

    def basis(self) -> Cells:
        """Eigenbasis of all samples, beside the kinship: LAPACK's work space and a copy."""
        return Cells(3.0 * self.n_samples**2, 1.0 * self.n_samples**2)

    def fit(self, traits: int, patterns: int = 1) -> Cells:
        """Null models of a chunk of traits.

        Traits of further patterns of missing values have bases of their own, which are kept.
        """
        if self.model.components:
            return self._fit_of_components(traits, patterns)
        n, c, t = self.n_samples, self.n_covariates, -(-traits // patterns)
        points = _MESH if self.model.grid is None else len(self.model.grid)
        # Numbers of a trait at points of h2.
        curve = points * (4.9 * c + 3.0)
        few, more = min(t, _TOGETHER), max(min(t, _SHARED) - _TOGETHER, 0)
        rest = max(t - _SHARED, 0)
        if self.model.grid is not None:
            peak = 2.0 * n * t + (curve + 3.7 * n) * few + (curve + 1.1 * n) * (more + rest)
            peak = max(peak, 3.0 * n * t + 3.7 * n * few)
            if self.model.alternative:  # no scores are made
                peak = max(peak - n * t - 0.6 * n * (more + rest), 2.0 * n * t + 3.7 * n * few)
        elif self._is_searched or self.own:
            peak = 2.0 * n * t + (curve + 3.7 * n) * few
            peak += (curve + 0.8 * n) * more + (100.0 + 0.3 * n) * rest
            peak = max(peak, 3.0 * n * t + 3.7 * n * few)
        else:
            peak = (1.9 * n + 120.0) * t + 2.1 * n * few
            if loops() is None or c > MOST_COVARIATES:
                of_curve = (curve + 2.2 * n) * few + (curve + 0.5 * n) * more
                peak = max(peak, n * t + of_curve + (100.0 + 0.3 * n) * rest)
            if not self.model.alternative and not self.model.joint:
                peak = max(peak, 2.5 * n * t + 4.2 * n * few)  # of their scores
        each = n + _NODES + 3.0
        square = 0.0
        if self._is_searched:
            each, square = n + 2.0 * CURVE + 70.0, 24_000.0 + 130.0 * n
            curves = (2.2 * n + CURVE * (4.2 * c + 2.9) * 1.1) * t
            peak = max(peak, curves, each * t + 0.8e6 + 1700.0 * n)
        elif self.model.alternative and self.model.grid is None:
            each, square = 2.0 * n + 345.0, 1.4 * n**2  # made at the first scan, as below
        elif self.model.alternative:
            each += 2 * points
            curves = (2.2 * n + points * (4.2 * c + 2.9) * (1.1 if self.model.reml else 1.0)) * t
            peak = max(peak, curves)
        elif self.model.joint:
            each += n * (2 + self.model.with_effects)  # rows and scores are made at the first scan
        peak += 3 * self.own * n * t
        each += self.own * n
        if patterns == 1:
            return Cells(peak, each * traits + square)
        kept = each * traits + patterns * (n**2 + square)
        return Cells(kept + max(peak, 4 * n**2) + n * traits, kept)

    def _fit_of_components(self, traits: int, patterns: int) -> Cells:
        """Shares of several kernels: scores, weights of nodes and values of each trait."""
        n, t, k = self.n_samples, min(traits, _SEVERAL), self._bulk
        kept = (2.0 * n + OF_KERNELS[k] + 5.0) * traits + 2.0 * self.model.components * n**2 * (
            patterns - 1.0
        )
        made = _COPIES * _VECTORS * _LATTICE[k]
        return Cells(kept + self._nodes + max(made, (2.0 * n + _FITTED[k]) * t), kept)

    @property
    def _bulk(self) -> int:
        return bulk_kernels(self.model, together=self.together)

    @property
    def _nodes(self) -> float:
        """Kernels and the nodes that are kept with them, or the covariances of a mesh."""
        q, k = OF_KERNELS[self._bulk], self.model.components
        square = q + 4.0 * k if q else 2.0 * k + 3.5
        return square * self.n_samples**2 + q * _LATTICE[self._bulk]

    def scan(self, variants: int, traits: int, pair_bytes: int, patterns: int = 1) -> Cells:
        """A block, from its genotypes, which are not counted, to its statistics, which are."""
        pairs, out = variants * traits, variants * traits * pair_bytes / 8
        vn, n, model = variants * self.n_samples, self.n_samples, self.model
        if model.components and not model.joint:
            effects = 2.0 * pairs if model.with_effects else 0.0
            return Cells(
                4.0 * vn + OF_KERNELS[self._bulk] * variants + 2.0 * out + effects + self._nodes,
                out,
            )
        if model.joint:
            effects = 2 * sum(model.effects) * pairs if model.with_effects else 0
            columns = model.columns
            full = out + 2 * pairs * ("lod_interaction" in model.wanted) + _TILES
            peak = max(6.3 * columns * vn, 2.2 * (columns + 1) * vn + full)
            if effects:
                peak = 6.3 * columns * vn + out + 1.25 * effects + 6 * pairs
        elif model.alternative:
            part = min(variants, _MARKERS) / _MARKERS
            if self._is_searched:
                tile = 7.1 * _ROWS * n + 2.4e6 + (2.5e6 if model.reml else 2e6) * part
                peak = 3 * vn + out + max(tile, 17.0 * REFINED * n)
            elif model.grid is None:
                tile = 0.9e6 * part + 700.0 * n
                if loops() is None:  # the passes of NumPy over a tile, and rows of single pairs
                    tile += 1000.0 * n + model.reml * (0.17e6 + 0.33e6 * part)
                peak = (3.5 if self.single else 4.0) * vn + out + tile
                expanded = max((4.7 * n + 850.0) * traits + 1.1 * n**2, 4.1 * n**2)
                peak = max(peak, expanded)  # at the first scan
            else:
                single = 0.6e6 * part + 6 * _ROWS * n
                peak = 4 * vn + out + (single if self.single else 1.1e6 * part + 7.1 * _ROWS * n)
            if model.with_effects:
                peak = max(peak, 3 * vn + out + 2 * pairs)
        else:
            extra = (vn + n * traits) / 2 if self.single else 0
            own = self.own * n * traits / (2 if self.single else 1)
            lods = 3 * vn + _NODES * variants + extra + own + 0.5 * pairs + _TILES
            peak = max(4 * vn, lods)
            if is_few(model, n, traits, MARKERS_A_SAMPLE * n) and not self.own:
                peak += 0.5 * n**2  # the eigenvectors in single precision
            if model.with_effects:
                of_traits = (2.3 * self.n_covariates + 2.0) * n * min(traits, TILE_TRAITS)
                tile = max(5.1 * min(pairs, TILE_CELLS), of_traits)
                peak = max(peak, 2 * vn + 4.5 * pairs + tile)
            peak = max(peak, vn + out + 0.5 * pairs)
        if patterns > 1:  # markers of some samples, and blocks of some traits beside the whole
            peak += vn + out
        return Cells(peak, out)

    def permutations(self, variants: int, traits: int, count: int, pools: int = 1) -> Cells:
        """Maxima of `count` permutations of traits over markers, from their genotypes."""
        if self.model.joint:
            fitted = self.fit(min(count, _ROWS // 2)).peak
            block = self.scan(variants, min(count, _ROWS // 2), 4 + 2).peak
            return Cells(fitted + block, count * traits * pools / 2)
        n, half = self.n_samples, 0.5 if self.single else 1.0
        rows = min(_ROWS, count * traits)
        of_nodes = 80 * (1 + self.n_covariates) + _REFIT * half
        markers = (3.7 + half) * variants * n + of_nodes * variants
        fixed = half * 2**20 + 2 * _REFIT * n
        if self.model.components:  # a basis for each ratio of the kernels, a root for each trait
            of_ratio = _REFIT + _CURVE_OF_RATIO * self.n_covariates
            fixed += count_of_ratios(self.model.components - 1) * n * (n + of_ratio)
            fixed += traits * n**2
        return Cells(markers + 3.2 * rows * n + fixed, count * traits * pools / 2)
