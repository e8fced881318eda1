"""Samples of a study, with covariates, kinship and weights, and any subset of them.

Traits measured on the same samples share one basis: `sample_groups` finds these groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.basis import Basis, make_basis
from bulklmm_dask.typing import Array, Index


@dataclass(frozen=True)
class Samples:
    """The fixed side of the model, of n samples.

    Attributes
    ----------
    covariates : array (n, c)
        With the intercept; a sample with a NaN here is left out of every trait.
    kinship : array (n, n) or None
        None for ordinary regression.
    weights : array (n,) or None
        Residual weights w > 0, Var(e) = s2 (1 - h2) diag(1/w^2); None for ones.
    interacting : tuple of int
        Columns of the covariates whose product with the genotype is tested along with it.
    """

    covariates: Array
    kinship: Array | None
    weights: Array | None = None
    interacting: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.covariates)

    @property
    def complete(self) -> npt.NDArray[np.bool_]:
        """Which samples have all covariates."""
        return np.asarray(~np.isnan(self.covariates).any(axis=1))

    def take(self, rows: Index) -> Samples:
        """Some of the samples."""
        return Samples(
            self.covariates[rows],
            None if self.kinship is None else self.kinship[np.ix_(rows, rows)],
            None if self.weights is None else self.weights[rows],
            self.interacting,
        )

    def basis(self) -> Basis:
        """Basis of these samples."""
        return make_basis(self.kinship, self.covariates, self.weights)


def sample_groups(
    traits: Array, samples: Samples, complete: Basis | None = None
) -> Iterator[tuple[Index, Index, Basis | None]]:
    """Samples, columns and basis of every distinct pattern of missing values.

    Parameters
    ----------
    traits : array (n, traits)
        NaN where missing.
    samples : Samples
    complete : Basis, optional
        The basis of all samples, if it was made before.

    Yields
    ------
    rows, columns : array of int
        Samples that have a value and all covariates, and the traits that have these.
    basis : Basis or None
        None where fewer than two samples are left.
    """
    observed = ~np.isnan(traits) & samples.complete[:, None]
    members: dict[bytes, list[int]] = {}
    for column, key in enumerate(np.packbits(observed, axis=0).T):
        members.setdefault(key.tobytes(), []).append(column)
    for columns in members.values():
        rows = np.flatnonzero(observed[:, columns[0]])
        basis = None
        if complete is not None and len(rows) == len(samples):
            basis = complete
        elif len(rows) >= 2:
            basis = samples.take(rows).basis()
        yield rows, np.array(columns), basis
