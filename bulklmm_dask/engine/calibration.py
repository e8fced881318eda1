"""Speed of one thread of this machine, measured in about a second on a small block.

The block is one of the model that is planned, made by the functions of a real run: its null models
are fitted, it is scanned, and its statistics are compressed.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from bulklmm_dask.engine.blas import one_blas_thread
from bulklmm_dask.lmm.basis import LARGEST_H2_IF_SINGULAR, Basis, make_basis
from bulklmm_dask.lmm.chunk import FittedTraits, fit_traits, scan_block
from bulklmm_dask.lmm.components.choice import MOST_KERNELS, fewest
from bulklmm_dask.lmm.components.kernels import KernelSamples
from bulklmm_dask.lmm.components.scan import fit_components
from bulklmm_dask.lmm.footprint import Footprint
from bulklmm_dask.lmm.operations import Operations
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.permute.residuals import permutations, permuted_maxima, split_markers
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.arrays.shard import write
from bulklmm_dask.storage.codecs.compression import FAST, Compression
from bulklmm_dask.typing import Array, Columns, Index

# Samples of the small block at most, its traits, and its first number of markers.
_SAMPLES, _TRAITS, _FIRST, _MOST = 400, 512, 64, 512
# Traits of the block of few.
_FEW = 64
# Samples of the small block in bulk with several kernels at most, and those of a group that is a
# kernel.
_OF_KERNELS, _GROUP = 150, 8
# Its traits and the few, where each is by itself.
_ALONE = (6, 3)
# Seconds that the scan of the small block should take.
_SECONDS = 0.12
# Traits and permutations of a small block of permutations, and its markers.
_PERMUTED, _PERMUTATIONS, _MARKERS = 2, 256, 2048
# Loci, each of which has its share of the traits and of the markers, about as many as are linked to
# a locus in a cross; effect on a trait of variance 1, a fifth of it; share of the samples in which
# a marker differs.
_LOCI, _EFFECT, _APART = 40, 0.6, 0.3
# Samples of the kinship that is decomposed.
_DECOMPOSED = 400
_INNER = 128
# Eigenvalues where weights are of very different size: this many powers of ten to both sides of 1.
_DECADES = 3.0


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
        drawn = _Drawn(n, several, model.genotypes, rng)
        c = max(footprint.n_covariates, 1 + model.interactions)
        basis, covariates = drawn.basis(c, graded=footprint.searched)
        work = Operations(model, n, c, footprint.searched, several, together=together)
        fitted_by = ModelOptions(reml=True) if permuted else model
        small = (_of_kernels if model.components else _of_kinship)(
            footprint, basis, covariates, fitted_by, rng, together=together
        )
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


@dataclass(frozen=True)
class _Small:
    """A small study: how its traits are fitted, and how many and how few of them.

    Attributes
    ----------
    samples : Samples or KernelSamples
    fit : callable
        Fits the null models of traits (n, k).
    traits, few : int
        Traits of the two blocks.
    """

    samples: Samples | KernelSamples
    fit: Callable[[Array], FittedTraits]
    traits: int
    few: int


def _of_kinship(
    footprint: Footprint,
    basis: Basis,
    covariates: Array,
    model: ModelOptions,
    rng: np.random.Generator,
    *,
    together: bool,
) -> _Small:
    interactions = tuple(range(1, 1 + footprint.model.interactions))
    samples = Samples(covariates, None, None, interactions)
    return _Small(samples, lambda y: fit_traits(y, samples, model, complete=basis), _TRAITS, _FEW)


def _of_kernels(
    footprint: Footprint,
    basis: Basis,
    covariates: Array,
    model: ModelOptions,
    rng: np.random.Generator,
    *,
    together: bool,
) -> _Small:
    """The kinship of a basis, and groups of samples, as kernels."""
    n, interactions = basis.n, tuple(range(1, 1 + footprint.model.interactions))
    assert basis.vectors is not None
    kernels = [(basis.vectors * basis.eigenvalues) @ basis.vectors.T]
    for _ in range(footprint.model.components - 2):
        groups = rng.integers(max(n // _GROUP, 2), size=n)
        kernels.append(np.equal.outer(groups, groups).astype(np.float64))
    samples = KernelSamples(covariates, np.stack(kernels), None, interactions)
    rotated = samples.rotated()

    def fit(y: Array) -> FittedTraits:
        return fit_components(y, samples, model, complete=rotated, together=together)

    few = fewest(len(kernels))
    return _Small(samples, fit, *((2 * few, few) if together else _ALONE))


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
class _Drawn:
    """Random samples and markers.

    Attributes
    ----------
    n, different : int
        Number of samples, and of those that are no copies; None for all.
    kinds : int or None
        Number of genotypes whose probabilities are drawn; None for dosages.
    rng : Generator
        Source of random numbers.
    """

    n: int
    different: int | None
    kinds: int | None
    rng: np.random.Generator

    @property
    def _of(self) -> Index:
        """Which of the different samples each is a copy of, (n,)."""
        return np.arange(self.n) * (self.different or self.n) // self.n

    def basis(self, c: int, *, graded: bool = False) -> tuple[Basis, Array]:
        """An eigenbasis without a decomposition, and c covariates.

        The eigenvectors are those of a reflection, which are orthonormal and dense. A `graded` one
        has the scanner of weights of very different size. Copies have equal entries in all
        eigenvectors of eigenvalues above 0.
        """
        n, rng = self.n, self.rng
        rank = self.different or n
        axis = rng.standard_normal(rank)
        axis /= np.linalg.norm(axis)
        vectors = np.eye(rank) - 2.0 * np.outer(axis, axis)
        if rank < n:
            whole = np.linalg.qr(np.eye(rank)[self._of], mode="complete")[0]
            vectors = np.concatenate([whole[:, :rank] @ vectors, whole[:, rank:]], axis=1)
        size = (rank,)
        drawn = (
            10.0 ** rng.uniform(-_DECADES, _DECADES, size) if graded else rng.gamma(2.0, size=size)
        )
        values = np.concatenate([np.sort(drawn)[::-1], np.zeros(n - rank)])
        covariates = np.concatenate([np.ones((n, 1)), rng.standard_normal((n, c - 1))], axis=1)
        columns = np.linalg.qr(covariates)[0]
        rotated = vectors.T @ columns
        typical = 1.0 if graded else None
        most = 1.0 if rank == n else LARGEST_H2_IF_SINGULAR
        return Basis(
            values / values.mean(), np.ones(n), rotated, most, typical, vectors
        ), covariates

    @cached_property
    def _loci(self) -> Index:
        """Dosages of loci that traits depend on, (loci, different samples)."""
        return self.rng.integers(0, 3, (_LOCI, self.different or self.n))

    def traits(self, basis: Basis, count: int) -> Array:
        """Values (n, count) of traits, each of which depends on one of the loci."""
        h2 = self.rng.uniform(0.05, 0.8, count)
        drawn = self.rng.standard_normal((basis.rows, count)) * np.sqrt(basis.variances(h2))
        assert basis.vectors is not None
        of_locus = self._loci[np.arange(count) % _LOCI][:, self._of].T
        return np.asarray(basis.vectors @ drawn + _EFFECT * of_locus)

    def genotypes(self, variants: int) -> Array:
        """Genotypes (variants, n), or probabilities of each kind (variants, n, kinds).

        Dosages are those of the loci in turn, of which some have another value: a locus has linked
        markers, whose LODs are high.
        """
        shape, kinds = (variants, self.different or self.n), self.kinds
        if kinds is not None:
            return self.rng.dirichlet(np.full(kinds, 0.5), shape)[:, self._of]
        linked = self._loci[np.arange(variants) % _LOCI]
        others = self.rng.random(shape) < _APART
        dosage = np.where(others, self.rng.integers(0, 3, shape), linked)
        return dosage[:, self._of].astype(np.float64)


@dataclass(frozen=True)
class _Scan:
    """Scans of small blocks of one model, and what their products take."""

    model: ModelOptions
    work: Operations
    single: bool
    product: float
    rotation: float
    drawn: _Drawn

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
    small: _Small,
    basis: Basis,
    product: float,
    rotation: float,
    drawn: _Drawn,
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


def _stored_genotypes(drawn: _Drawn) -> float:
    """Bytes that are stored for each byte of genotypes, of which three occur equally often."""
    x = replace(drawn, kinds=None).genotypes(_MOST)
    _, size, stored = _compress({"call_dosage": x}, FAST.codecs)
    return stored / size


def _reduced(rng: np.random.Generator) -> float:
    """Seconds per pair of the rows of different markers, given to all, and their maxima."""
    values = rng.standard_normal((_MOST, _TRAITS)).astype(np.float32)
    rows = np.arange(_MOST)

    def reduce() -> npt.NDArray[Any]:
        return values[rows].argmax(axis=0)

    return min(_taken(reduce)[0] for _ in range(2)) / values.size
