r"""Scores of traits, each at its own h2, in the rows of designs; exact r2 of single pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.covariance import Covariance, Spectrum, Variances
from bulklmm_dask.lmm.interpolate import Interpolation, eigenvalue_bounds, interpolate_inverses
from bulklmm_dask.lmm.joint.design import rows_of
from bulklmm_dask.lmm.projection import covariate_gram, inverse_and_logdet, project
from bulklmm_dask.typing import Array, Index

# Values in the columns of the pairs that are computed at a time.
_PAIR_CELLS = 1 << 20


@dataclass(frozen=True)
class TraitRows:
    """Traits of one group in the rows of folded, or of unfolded, `Designs`.

    Attributes
    ----------
    spectrum : Spectrum
        Eigenvalues and covariates of these rows.
    h2 : array (traits,)
        Heritabilities.
    y : array (rows, traits)
        Rotated traits, scaled so that y'My = 1.
    scores : array (rows, traits)
        z = My.
    largest : array (traits,)
        Upper bound of the 2-norm of P(h) of any marker (`interpolate`).
    interpolation : Interpolation
        From P at the nodes to P at the heritability of every trait.
    """

    spectrum: Spectrum
    h2: Array
    y: Array
    scores: Array
    largest: Array
    interpolation: Interpolation

    @classmethod
    def of(cls, basis: Basis, rotated: Array, h2: Array, *, folded: bool) -> Self:
        """Prepare rotated traits (n, traits) at heritabilities `h2` (traits,)."""
        spectrum, y = rows_of(basis, rotated, folded=folded)
        projected = project(spectrum, y, spectrum.at(h2))[0]
        size = np.sqrt(np.einsum("kj,kj->j", y, projected))
        eigenvalues = eigenvalue_bounds(spectrum, folded=folded)
        interpolation = interpolate_inverses(h2, lambda: eigenvalues, spectrum.h2_max)
        largest = h2 * eigenvalues[1] + 1.0 - h2
        return cls(spectrum, h2, y / size, projected / size, largest, interpolation)

    def of_columns(self, columns: Index) -> TraitRows:
        """Some of the traits."""
        return TraitRows(
            self.spectrum,
            self.h2[columns],
            self.y[:, columns],
            self.scores[:, columns],
            self.largest[columns],
            self.interpolation.take(columns),
        )

    def condition(self, width: int) -> Array:
        """Condition number (traits,): error of r relative to a rounding error of the scores.

        It is large for nearly singular covariances, whose large scores nearly cancel.
        """
        z = self.scores[:width]
        return np.sqrt(np.einsum("kj,kj->j", z, z) * self.largest)


def exact_ratios(columns: Array, traits: TraitRows, variant: Index, trait: Index) -> Array:
    """RSS1/RSS0 (pairs,) of single pairs, from their residuals and without interpolation.

    Parameters
    ----------
    columns : array (variants, d, r)
        Columns of all designs (`Designs.columns`).
    traits : TraitRows
        All traits, in the rows of the designs.
    variant, trait : array (pairs,) of int
        Positions of the marker and of the trait of each pair.
    """
    d, width = columns.shape[1:]
    out = np.empty(len(variant))
    step = max(1, _PAIR_CELLS // (max(d, 1) * max(width, 1)))
    for start in range(0, len(variant), step):
        part = slice(start, start + step)
        x, j = columns[variant[part]], trait[part]
        y, at = traits.y[:, j], traits.spectrum.at(traits.h2[j])
        gram = _projected_gram(traits.spectrum, x, at)
        b = np.einsum("iak,ki->ia", x, traits.scores[:width, j])
        effects = np.linalg.solve(gram, b[:, :, None])[:, :, 0]
        residual = y.copy()
        residual[:width] -= np.einsum("iak,ia->ki", x, effects)
        projected = project(traits.spectrum, residual, at)[0]
        out[part] = np.einsum("ki,ki->i", residual, projected)
    return out


def _projected_gram(covariance: Covariance, x: Array, at: Variances) -> Array:
    """X'M(h)X of every pair (pairs, d, d), with 1 on the diagonal where a column dropped out."""
    pairs, d, width = x.shape
    w = at.weights.T
    weighted = x * w[:, None, :width]
    gram = weighted @ x.swapaxes(1, 2)
    c = covariance.n_covariates
    if c:
        inverse, _ = inverse_and_logdet(covariate_gram(covariance, at.weights))
        inside = (weighted.reshape(-1, width) @ covariance.covariates[:width]).reshape(pairs, d, c)
        gram -= inside @ inverse @ inside.swapaxes(1, 2)
    gram[:, range(d), range(d)] += ~x.any(axis=2)
    return gram
