"""Speed of one thread of this machine, measured in about a second on a small block.

The block is one of the model that is planned, made by the functions of a real run: its null models
are fitted, it is scanned, and its statistics are compressed.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from bulklmm_dask.engine.blas import one_blas_thread
from bulklmm_dask.engine.small_study import TRAITS, Drawn, Small
from bulklmm_dask.lmm.basis import Basis, make_basis
from bulklmm_dask.lmm.chunk import FittedTraits, scan_block
from bulklmm_dask.lmm.components.choice import MOST_KERNELS
from bulklmm_dask.lmm.footprint import Footprint
from bulklmm_dask.lmm.operations import Operations
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.permute.residuals import permutations, permuted_maxima, split_markers
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.arrays.shard import write
from bulklmm_dask.storage.codecs.compression import FAST, Compression
from bulklmm_dask.typing import Columns

# Samples of the small block at most, in bulk with several kernels, and its numbers of markers.
_SAMPLES, _OF_KERNELS, _FIRST, _MOST = 400, 150, 64, 512
# Seconds that the scan of the small block should take.
_SECONDS = 0.12
# Traits and permutations of a small block of permutations, and its markers.
_PERMUTED, _PERMUTATIONS, _MARKERS = 2, 256, 2048
# Samples of the kinship that is decomposed.
_DECOMPOSED = 400
_INNER = 128


@dataclass(frozen=True)
class Rates:
    """Speed of one thread, and how well blocks are compressed.

    Attributes
    ----------
    product, rotation : float
        Operations per second of matrix products in the precision of the scan, and in double.
    basis : float
        Operations per second of an eigendecomposition.
    fit : float
        Seconds per sample and trait of a fit, and of what its first scan prepares, beside the
        rotation.
    pair : float
        Seconds per pair of a scan, or of permutations, beside the products.
    marker, trait : float
        Seconds per sample that each marker, and each trait, adds to a block beside the products.
    write : float
        Bytes per second of statistics that are compressed and summed.
    stored, stored_genotypes : float
        Bytes that are stored for each byte of statistics, and of genotypes.
    reduced : float
        Seconds per pair whose statistic is looked at and given up.
    ratio : float
        Seconds per operation of the bases of permutations with several kernels
        (`Operations.ratios`).
    """

    product: float
    rotation: float
    basis: float
    fit: float
    pair: float
    marker: float
    trait: float
    write: float
    stored: float
    stored_genotypes: float
    reduced: float
    ratio: float = 0.0


def calibrate(
    footprint: Footprint,
    compression: Compression = FAST,
    *,
    permuted: bool = False,
    different: int | None = None,
) -> Rates:
    """Measure the speed of one thread.

    Parameters
    ----------
    footprint : Footprint
        What is computed; samples beyond 400 are left out.
    compression : Compression
        How statistics are written.
    permuted : bool
        Whether permutations are planned instead of a scan.
    different : int, optional
        Number of samples that are no copies of others, if there are copies.
    """
    model, single = footprint.model, footprint.single
    # Nodes of the most kernels take seconds: their traits are timed one by one.
    together = footprint.together and model.components - 1 < MOST_KERNELS
    bulk = model.components > 0 and together
    most = _OF_KERNELS if bulk or (model.components and permuted) else _SAMPLES
    n = max(min(footprint.n_samples, most), footprint.n_covariates + model.interactions + 10)
    rng = np.random.default_rng(0)
    several = None if different is None else max(round(different * n / footprint.n_samples), 2)
    with one_blas_thread():
        product = _product(several or n, np.dtype(np.float32 if single else np.float64), rng)
        rotation = _product(n, np.dtype(np.float64), rng)
        drawn = Drawn(n, several, model.genotypes, rng)
        c = max(footprint.n_covariates, 1 + model.interactions)
        basis, covariates = drawn.basis(c, graded=footprint.searched)
        work = Operations(model, n, c, footprint.searched, several, together=together)
        fitted_by = ModelOptions(reml=True) if permuted else model
        given = covariates, model.interactions, fitted_by
        if model.components:
            kernels = drawn.kernels(basis, model.components - 1)
            small = Small.of_kernels(kernels, *given, together=together)
        else:
            small = Small.of(basis, *given)
        y = drawn.traits(basis, small.traits)
        first, few = _taken(lambda: small.fit(y[:, : small.few]))
        fitting, fitted = _taken(lambda: small.fit(y))
        # A fit, and what traits add to a block, of as many samples as are planned.
        of_fits = of_traits = 1.0
        if model.components:
            again, _ = _taken(lambda: small.fit(y[:, : small.few]))
            decomposed = work.basis() / max(first - again, 1e-9)
            more = footprint.n_samples / n  # a fit takes between n^2 and n^3 operations
            of_fits, of_traits = (more, 1.0) if bulk else (more**2, more**2)
        else:
            fitting = max(fitting - 2.0 * n * n * small.traits / rotation, 0.0)
            alone, _ = _taken(lambda: _decompose(rng))
            decomposed = Operations(ModelOptions(), _DECOMPOSED).basis() / alone
        ratio = 0.0
        if permuted:
            pair, ratio, values = _of_permutations(
                footprint, work, small, basis, product, rotation, drawn
            )
            marker = trait = 0.0
        else:
            scan = _Scan(model, work, single, product, rotation, drawn)
            prepared, pair, marker, trait, values = scan.measure(fitted, few)
            fitting += prepared
            if model.alternative and model.grid is None:  # sums over the samples of single pairs
                pair *= footprint.n_samples / n
        rounded = {name: compression.rounded(each) for name, each in values.items()}
        written, size, stored = _compress(rounded, compression.codecs_of_pairs)
    return Rates(
        product,
        rotation,
        decomposed,
        fitting / (n * small.traits) * of_fits,
        pair,
        marker / n,
        trait / n * of_traits,
        size / written,
        stored / size,
        _stored_genotypes(drawn),
        _reduced(rng),
        ratio,
    )


def _taken(action: Callable[[], Any]) -> tuple[float, Any]:
    """Processor time of this thread in seconds, and what the action gives."""
    began = time.thread_time()
    found = action()
    return max(time.thread_time() - began, 1e-9), found


def _product(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> float:
    """Operations per second of a matrix product of blocks of markers and traits."""
    left = rng.standard_normal((512, n)).astype(dtype)
    right = rng.standard_normal((n, 1024)).astype(dtype)
    left @ right
    took = min(_taken(lambda: left @ right)[0] for _ in range(3))
    return 2.0 * 512 * n * 1024 / took


def _decompose(rng: np.random.Generator) -> Basis:
    rows = rng.standard_normal((_DECOMPOSED, _DECOMPOSED))
    return make_basis(rows @ rows.T / _DECOMPOSED, np.ones((_DECOMPOSED, 1)))


@dataclass(frozen=True)
class _Scan:
    """Scans of small blocks of one model, and what their products take."""

    model: ModelOptions
    work: Operations
    single: bool
    product: float
    rotation: float
    drawn: Drawn

    def measure(
        self, many: FittedTraits, few: FittedTraits
    ) -> tuple[float, float, float, float, Columns]:
        """Seconds of what traits prepare, and per pair, marker and trait; and the statistics.

        They are without those of the products. What traits prepare takes the first scan of them
        longer than the next one, after one of others that has loaded what it needs. The rest
        follows from three blocks: of many and of few traits, of all markers and of half.
        """
        self.scan(8, few)
        first, again = (self.scan(8, many)[0] for _ in range(2))
        took, _ = self.scan(_FIRST, many)
        variants = 2 * int(np.clip(_FIRST * _SECONDS / took, _FIRST, _MOST) // 2)
        cuts = (variants, many), (variants // 2, many), (variants, few)
        tries = [[self.scan(*each) for each in cuts] for _ in range(2)]
        values = tries[0][0][1]
        whole, half, narrow = (min(took for took, _ in each) for each in zip(*tries, strict=True))
        t, less = len(many.n_samples), len(few.n_samples)
        of_traits = max(2 * half - whole, 0.0) / t
        of_pairs = max((whole - narrow) / (t - less) - of_traits, 0.0) / variants
        of_markers = max(whole / variants - of_pairs * t - of_traits * t / variants, 0.0)
        return max(first - again, 0.0), of_pairs, of_markers, of_traits, values

    def scan(self, variants: int, fitted: FittedTraits) -> tuple[float, Columns]:
        """Seconds of a block beside its products, and its statistics."""
        x = self.drawn.genotypes(variants)
        took, values = _taken(lambda: scan_block(x, fitted, self.model, single=self.single))
        known = self.work.products(variants, len(fitted.n_samples)) / self.product
        known += self.work.rotation(variants) / self.rotation
        return max(took - known, 1e-9), values


def _of_permutations(
    footprint: Footprint,
    work: Operations,
    small: Small,
    basis: Basis,
    product: float,
    rotation: float,
    drawn: Drawn,
) -> tuple[float, float, Columns]:
    """Seconds per marker, trait and permutation beside the products, and maxima.

    Between them seconds per operation of the bases with several kernels: a second block of a
    quarter of the permutations tells them apart.
    """
    n, model = basis.n, footprint.model
    y = drawn.traits(basis, _PERMUTED)
    fitted: Any = small.fit(y)
    orders = permutations(0, range(_PERMUTATIONS), np.zeros(n, np.int64))
    variants = max(_MARKERS // model.columns**2, _FIRST)
    x = split_markers(drawn.genotypes(variants), np.zeros(variants, np.int64))
    count = _PERMUTATIONS if not model.joint else 16

    def scan(count: int) -> npt.NDArray[Any]:
        given = x, 1, fitted, small.samples, orders[:count], model
        return permuted_maxima(*given, single=footprint.single)[..., 0]

    took, maxima = _taken(lambda: scan(count))
    fixed = ratio = 0.0
    if model.components and not model.joint:
        less, _ = _taken(lambda: scan(count // 4))
        fixed = max((4.0 * less - took) / 3.0, 0.0)
        ratio = fixed / work.ratios(variants)
    known = work.permuted(variants, _PERMUTED, count) / product
    known += work.permuting(_PERMUTED, count) / rotation
    if not model.components:
        known += work.rotation(variants) / rotation
    pair = max(took - fixed - known, 0.0) / (variants * _PERMUTED * count)
    return pair, ratio, {"max_lod": maxima}


def _compress(values: Columns, codecs: tuple[Any, ...]) -> tuple[float, int, int]:
    """Seconds of writing arrays, their bytes, and those that are stored."""
    took, size, stored = 0.0, 0, 0
    for each in values.values():
        part = np.ascontiguousarray(each)
        inner = (part.shape[0], min(_INNER, part.shape[1]), *part.shape[2:])
        whole = tuple(-(-size // own) * own for size, own in zip(part.shape, inner, strict=True))
        form = Form.new(part.shape, part.dtype, whole, codecs, inner=inner)
        stream = io.BytesIO()
        took += _taken(partial(write, stream, form, part))[0]
        size += part.nbytes
        stored += stream.tell()
    return took, size, stored


def _stored_genotypes(drawn: Drawn) -> float:
    """Bytes that are stored for each byte of genotypes, of which three occur equally often."""
    x = replace(drawn, kinds=None).genotypes(_MOST)
    _, size, stored = _compress({"call_dosage": x}, FAST.codecs)
    return stored / size


def _reduced(rng: np.random.Generator) -> float:
    """Seconds per pair of the rows of different markers, given to all, and their maxima."""
    values = rng.standard_normal((_MOST, TRAITS)).astype(np.float32)
    rows = np.arange(_MOST)

    def reduce() -> npt.NDArray[Any]:
        return values[rows].argmax(axis=0)

    return min(_taken(reduce)[0] for _ in range(2)) / values.size
