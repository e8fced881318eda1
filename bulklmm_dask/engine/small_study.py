"""A small random study of a model, which takes a machine as long as a real one, in proportion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bulklmm_dask.lmm.basis import LARGEST_H2_IF_SINGULAR, Basis
from bulklmm_dask.lmm.chunk import FittedTraits, fit_traits
from bulklmm_dask.lmm.components.choice import fewest
from bulklmm_dask.lmm.components.kernels import KernelSamples
from bulklmm_dask.lmm.components.scan import fit_components
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.typing import Array, Index

# Traits of a block of many and of one of few; the same with several kernels, each by itself.
TRAITS, _FEW = 512, 64
_ALONE = (6, 3)
# Samples of a group of which there is a kernel.
_GROUP = 8
# Loci, each of which has its share of the traits and of the markers, about as many as are linked to
# a locus in a cross; effect on a trait of variance 1, a fifth of it; share of the samples in which
# a marker differs.
_LOCI, _EFFECT, _APART = 40, 0.6, 0.3
# Eigenvalues where weights are of very different size: this many powers of ten to both sides of 1.
_DECADES = 3.0


@dataclass(frozen=True)
class Drawn:
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

    def kernels(self, basis: Basis, count: int) -> Array:
        """The kinship of a basis, and others of groups of samples, (count, n, n)."""
        assert basis.vectors is not None
        found = [(basis.vectors * basis.eigenvalues) @ basis.vectors.T]
        for _ in range(count - 1):
            groups = self.rng.integers(max(self.n // _GROUP, 2), size=self.n)
            found.append(np.equal.outer(groups, groups).astype(np.float64))
        return np.stack(found)

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
class Small:
    """Samples of a small study: how their traits are fitted, and how many and how few of them.

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

    @classmethod
    def of(cls, basis: Basis, covariates: Array, interactions: int, model: ModelOptions) -> Small:
        """With the kinship of a basis."""
        samples = Samples(covariates, None, None, tuple(range(1, 1 + interactions)))
        return cls(samples, lambda y: fit_traits(y, samples, model, complete=basis), TRAITS, _FEW)

    @classmethod
    def of_kernels(
        cls,
        kernels: Array,
        covariates: Array,
        interactions: int,
        model: ModelOptions,
        *,
        together: bool,
    ) -> Small:
        """With several kernels (k, n, n), in bulk or each trait by itself."""
        samples = KernelSamples(covariates, kernels, None, tuple(range(1, 1 + interactions)))
        rotated, few = samples.rotated(), fewest(len(kernels))

        def fit(y: Array) -> FittedTraits:
            return fit_components(y, samples, model, complete=rotated, together=together)

        return cls(samples, fit, *((2 * few, few) if together else _ALONE))
