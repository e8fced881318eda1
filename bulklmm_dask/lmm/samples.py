"""Samples of a study, with their covariates, kinship and residual weights.

Traits measured on the same samples share one eigenbasis: `sample_groups` finds these groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.basis import Basis, Eigen, make_basis
from bulklmm_dask.lmm.known import Known
from bulklmm_dask.typing import Array, Flags, Index

# Bases that this process keeps: those of 60 kinships of 300 samples, or of one of 2,000.
_BASES: Known[Basis] = Known(2**27)


@dataclass(frozen=True)
class Samples:
    """The part of the model that all traits share, for n samples.

    Attributes
    ----------
    covariates : array (n, c)
        Covariates with the intercept; a sample with a NaN is left out for every trait.
    kinship : array (n, n) or None
        None for ordinary regression.
    weights : array (n,) or None
        Residual weights w > 0, Var(e) = s2 (1 - h2) diag(1/w^2); None for ones.
    interacting : tuple of int
        Columns of `covariates` whose product with the genotype is tested together with it.
    eigen : pair of arrays or None
        Eigenvalues and eigenvectors of the kinship, if they are known; without weights.
    """

    covariates: Array
    kinship: Array | None
    weights: Array | None = None
    interacting: tuple[int, ...] = ()
    eigen: Eigen | None = None

    def __len__(self) -> int:
        return len(self.covariates)

    @property
    def complete(self) -> npt.NDArray[np.bool_]:
        """Mask (n,) of the samples that have all covariates."""
        return np.asarray(~np.isnan(self.covariates).any(axis=1))

    def take(self, rows: Index) -> Samples:
        """Some of the samples."""
        if np.array_equal(rows, np.arange(len(self))):
            return self
        return Samples(
            self.covariates[rows],
            None if self.kinship is None else self.kinship[np.ix_(rows, rows)],
            None if self.weights is None else self.weights[rows],
            self.interacting,
        )

    def basis(self, *, keep: bool = False) -> Basis:
        """Compute the eigenbasis of these samples, or find it among those that were kept.

        With `keep` it stays in this process for the next question about the same samples.
        """
        if not keep or self.kinship is None:
            return make_basis(self.kinship, self.covariates, self.weights, self.eigen)
        parts = self.kinship, self.weights, self.covariates, *(self.eigen or (None, None))
        found = _BASES.find(parts)
        if found is None:
            found = make_basis(self.kinship, self.covariates, self.weights, self.eigen)
            # Vectors, and what follows later: projected rows in the basis and in the samples.
            _BASES.keep(parts, found, 3 * self.kinship.nbytes)
        return found


def sample_groups(
    traits: Array, samples: Samples, complete: Basis | None = None
) -> Iterator[tuple[Index, Index, Basis | None]]:
    """Group traits by their pattern of missing values, and compute the basis of each group.

    Parameters
    ----------
    traits : array (n, traits)
        NaN where missing.
    samples : Samples
        Covariates, kinship and weights of the n samples.
    complete : Basis, optional
        Eigenbasis of all samples, if already computed.

    Yields
    ------
    rows, columns : array of int
        Positions of the samples with a value and all covariates, and of the traits measured on
        exactly these.
    basis : Basis or None
        Eigenbasis of these samples; None if there are fewer than two.
    """
    observed = ~np.isnan(traits) & samples.complete[:, None]
    for columns in alike(observed):
        rows = np.flatnonzero(observed[:, columns[0]])
        basis = None
        if complete is not None and len(rows) == len(samples):
            basis = complete
        elif len(rows) >= 2:
            basis = samples.take(rows).basis()
        yield rows, columns, basis


def alike(observed: Flags) -> list[Index]:
    """Columns (n, traits) that are the same, in groups, the group of the first column first."""
    if (observed.all(axis=1) == observed.any(axis=1)).all():  # as in most studies
        return [np.arange(observed.shape[1])] if observed.shape[1] else []
    members: dict[bytes, list[int]] = {}
    for column, key in enumerate(np.packbits(observed, axis=0).T):
        members.setdefault(key.tobytes(), []).append(column)
    return [np.array(columns) for columns in members.values()]
