r"""Effects of several columns per marker, and standard errors, at every trait's own h2.

By generalised least squares (as R/qtl2's scan1coef): with P = (X'M(h)X)^-1 and b = X'My the effects
of the columns are P b and their covariance is s2 P, s2 = (y'My - b'Pb) / (n - c - df).

The probabilities of all k genotypes sum to 1, so a model with all of them needs no intercept. In a
basis of the other covariates alone (`Basis.with_covariates`), the effect of a genotype is its mean
trait value where those covariates are 0. R/qtl2 reports deviations from the mean of these effects.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.joint.design import Designs
from bulklmm_dask.lmm.joint.inverses import NodeWeights, inverses_at_nodes
from bulklmm_dask.lmm.joint.scan import tiles
from bulklmm_dask.lmm.joint.traits import TraitRows, exact_ratios
from bulklmm_dask.lmm.powers import back
from bulklmm_dask.typing import Array, Columns, Index

# Pairs with a larger explained share get their residual sum of squares from the residuals
# themselves.
_WELL_EXPLAINED = 0.99


@dataclass(frozen=True)
class MultiEffects:
    """Traits of one group, each at its own h2, to compute effects of blocks of markers.

    Attributes
    ----------
    basis : Basis
        Eigenbasis with the covariates of the model; without an intercept if the columns of a
        marker span it.
    h2 : array (traits,)
        Heritabilities.
    rotated : array (n, traits)
        Rotated traits, in their units divided by 2^exponent.
    exponent : array (traits,) of int
        Powers of two (`powers`); mostly 0.
    """

    basis: Basis
    h2: Array
    rotated: Array
    exponent: Index

    @classmethod
    def of(cls, basis: Basis, y: Array, h2: Array, exponent: Index) -> Self:
        """Traits (n, traits) as measured over 2^exponent, none missing, at heritabilities h2."""
        return cls(basis, h2, basis.rotate(y), exponent)

    @cached_property
    def _folded(self) -> tuple[TraitRows, Array]:
        return self._rows(folded=True)

    @cached_property
    def _unfolded(self) -> tuple[TraitRows, Array]:
        return self._rows(folded=False)

    def _rows(self, *, folded: bool) -> tuple[TraitRows, Array]:
        """Traits projected off the covariates and scaled, and the scale sqrt(y'My), (traits,)."""
        rotated, inside = self.rotated, self.basis.covariates
        for _ in range(2):
            rotated = rotated - inside @ (inside.T @ rotated)
        traits = TraitRows.of(self.basis, rotated, self.h2, folded=folded)
        return traits, np.linalg.norm(rotated, axis=0) / np.linalg.norm(traits.y, axis=0)

    def scan(self, designs: Designs) -> Columns:
        """Effects of a block of markers, in double precision.

        Parameters
        ----------
        designs : Designs
            Markers in the basis of the traits (from `prepare_designs`, with ``centre=False`` if the
            basis has no intercept).

        Returns
        -------
        dict
            ``beta`` and ``se`` (variants, traits, d), float64, of the columns as given to
            `prepare_designs`, in units of the trait. NaN for a column that dropped out; the
            columns before it then account for its effect.
        """
        traits, size = self._folded if designs.folded else self._unfolded
        variants, d, _ = designs.columns.shape
        at = NodeWeights.at(traits.spectrum, traits.interpolation.nodes)
        upper = np.triu_indices(d)

        def entries(columns: Array, rows: slice) -> Array:
            (inverse,) = inverses_at_nodes(columns, at, (d,))
            back = designs.transform[rows]
            own = np.einsum("iba,bciq,ica->aiq", back, inverse, back, optimize=True)
            return np.concatenate([inverse[upper], own])

        beta, se = np.empty((2, variants, len(self.h2), d))
        explained = np.empty((variants, len(self.h2)))
        for tile in tiles(designs, traits, entries):
            p = np.empty((d, d, *tile.b.shape[1:]))
            p[upper] = tile.p[: len(upper[0])]
            p[upper[::-1]] = p[upper]
            effects = np.einsum("abij,bij->aij", p, tile.b)
            cells = (tile.rows, tile.columns)
            explained[cells] = np.einsum("aij,aij->ij", effects, tile.b)
            beta[cells] = np.einsum("iba,bij->ija", designs.transform[tile.rows], effects)
            se[cells] = tile.p[len(upper[0]) :].transpose(1, 2, 0)
        left = 1.0 - explained
        i, j = np.nonzero(explained > _WELL_EXPLAINED)
        if len(i):
            left[i, j] = exact_ratios(designs.columns, traits, i, j)
        freedom = self.basis.n - self.basis.n_covariates - designs.df[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            deviation = np.sqrt(np.where(freedom > 0, left / freedom, np.nan)) * size
        se = np.sqrt(se) * deviation[:, :, None]
        beta *= size[:, None]
        for values in (beta, se):
            values[np.broadcast_to(~designs.kept[:, None], values.shape)] = np.nan
        power = self.exponent[:, None]
        return {"beta": back(beta, power), "se": back(se, power)}
