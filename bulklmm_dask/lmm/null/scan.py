r"""LOD scores of the null methods: one matrix product for all traits, each at its own h2.

The scores z_j = M(h_j) y_j / sqrt(S_j), S_j = y_j'M(h_j)y_j, contain the weights of the trait, so
that S_xy = X'Z of all pairs is one matrix product, whatever the heritabilities. The denominator
S_xx,ij = x_i' M(h_j) x_i depends on the trait only through the scalar h_j, and smoothly: it is
computed for every marker at Q nodes h_q and interpolated, a matrix product of inner size Q.

LOD_ij = -(n/2) log10(1 - r2_ij),  r2_ij = S_xy^2 / S_xx.

For a trait with K covariates of its own (`own_covariates`), M is replaced by M_j = M - sum over k
of u_jk u_jk'. Then z_j = M_j y_j / sqrt(S_j), and the squares of K more products, x_i'u_jk, are
subtracted from S_xx,ij. The cost does not depend on the number of distinct covariates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.interpolate import Interpolation, interpolate
from bulklmm_dask.lmm.lod import (
    CANCELLED,
    NEARLY_PERFECT,
    SINGLE_ERROR,
    SMALLEST,
    largest_r2,
    lod_of_ratio,
)
from bulklmm_dask.lmm.markers import (
    SMALL_SHARE,
    TILE_CELLS,
    Markers,
    cut,
    nearly_fixed,
    prepare_markers,
    variation,
)
from bulklmm_dask.lmm.null.fit import NullModel
from bulklmm_dask.lmm.own_covariates import NO_SHARE
from bulklmm_dask.lmm.powers import back
from bulklmm_dask.lmm.projection import directions, project
from bulklmm_dask.typing import Array, Columns, Index, Real, Single


def _tile_r2(x: Real, scores: Real, sxx: Array, weights: Array, out: Real, scratch: Array) -> None:
    """Write r2 = S_xy^2 / S_xx of a tile into `out`, with S_xx interpolated (into `scratch`).

    S_xx is interpolated in double precision: its weights cancel by up to three digits.
    """
    np.matmul(x, scores, out=out)
    np.multiply(out, out, out=out)
    np.matmul(sxx, weights, out=scratch)
    np.divide(out, scratch.astype(out.dtype, copy=False), out=out)


def _divide_by_share_left(x: Real, own: Real, variation: Array, r2: Real, limit: float) -> Index:
    """Divide r2 of a tile by the share of S_xx left beside the directions `own` (K, r, traits).

    Dividing by a small share magnifies the error of S_xx. Returns the traits with a pair whose
    share is below `SMALL_SHARE`, or whose quotient r2 / share is above `limit`: they have to be
    computed again without interpolation.
    """
    share = np.ones(variation.shape, own.dtype)
    for u in own:
        product = x @ u
        np.multiply(product, product, out=product)
        np.divide(product, variation, out=product, casting="same_kind")
        np.subtract(share, product, out=share)
    little = share.min(axis=0) < SMALL_SHARE
    np.maximum(share, SMALL_SHARE, out=share)
    np.divide(r2, share, out=r2)
    np.divide(r2, share, out=share)
    return np.flatnonzero(little | (share.max(axis=0) > limit))


@dataclass(frozen=True)
class NullScan:
    """Scanner of the null methods for the traits of one group, each at its own h2.

    Attributes
    ----------
    basis : Basis
        Eigenbasis of the n samples of the group.
    h2 : array (traits,)
        Heritabilities.
    scores : array (n, traits)
        z = My / sqrt(S) at the h2 of each trait, rotated.
    own : array (K, n, traits)
        Directions u of the trait-specific covariates; zeros for none.
    size, exponent : array (traits,)
        sqrt(S) in units of the trait is size times 2^exponent.
    interpolation : Interpolation
        Nodes and weights for the heritabilities of the traits.
    effects : bool
        Whether `scan` computes effects and their standard errors.
    """

    basis: Basis
    h2: Array
    scores: Array
    own: Array
    size: Array
    exponent: Index
    interpolation: Interpolation
    effects: bool = False

    @classmethod
    def of(cls, basis: Basis, model: NullModel, *, effects: bool = False) -> Self:
        """Make the scanner of the traits that have a null model."""
        h2 = model.h2[model.fitted]
        at = basis.at(h2)
        own = directions(basis, model.given, at)
        projected, _ = project(basis, model.rotated, at)
        for u in own:
            projected -= u * np.einsum("kj,kj->j", u, model.rotated)
        size = np.sqrt(np.einsum("kj,kj->j", model.rotated, projected))
        scale, between = size * model.scale, interpolate(basis, h2)
        return cls(basis, h2, projected / size, own, scale, model.exponent, between, effects)

    def scan(self, genotypes: Array, *, single: bool) -> Columns:
        """``lod`` of a block of markers and, with `effects`, ``beta`` and ``se`` (`Scanner`)."""
        markers = prepare_markers(self.basis, genotypes)
        found: Columns = {"lod": self.lods(markers, single=single)}
        return found | self._effects(markers) if self.effects else found

    def lods(self, markers: Markers, *, single: bool) -> Single:
        """LOD scores of a block of markers, (variants, traits).

        Parameters
        ----------
        markers : Markers
            Markers in the basis of the group.
        single : bool
            Compute matrix products in single precision. Traits with an r2 too close to 1 for it,
            and markers that the covariates explain almost completely, are computed again in
            double precision, so that the error of any LOD below 100 is less than 1e-4.
            In either precision, traits that a marker explains almost completely are computed
            again without interpolation, near a perfect fit from the residuals, and so are traits
            whose own covariates explain almost all of a marker; if less than 1e-7 of it is left,
            the LOD is 0.
        """
        x = np.where(markers.tested[:, None], markers.rotated, 0.0)
        sxx = variation(self.basis, markers, self.interpolation.nodes)
        sxx[~markers.tested] = 1.0
        width, weights = x.shape[1], self.interpolation.weights
        dtype = np.dtype(np.float32 if single else np.float64)
        fast_x: Real = np.ascontiguousarray(x.astype(dtype, copy=False))
        fast_z: Real = np.ascontiguousarray(self.scores[:width].astype(dtype, copy=False))
        own: Real = np.ascontiguousarray(self.own[:, :width].astype(dtype, copy=False))
        n = self.basis.n
        limit = largest_r2(n, SINGLE_ERROR) if single else NEARLY_PERFECT
        out = np.empty((len(x), len(self.h2)), dtype=np.float32)
        tile, scratch = np.empty(TILE_CELLS, dtype), np.empty(TILE_CELLS)
        for rows, columns in cut(*out.shape, TILE_CELLS):
            shape = (rows.stop - rows.start, columns.stop - columns.start)
            r2, double = (part[: shape[0] * shape[1]].reshape(shape) for part in (tile, scratch))
            _tile_r2(fast_x[rows], fast_z[:, columns], sxx[rows], weights[:, columns], r2, double)
            if len(own):
                own_part = own[:, :, columns]
                large = _divide_by_share_left(fast_x[rows], own_part, double, r2, limit)
            else:
                large = np.flatnonzero(r2.max(axis=0) > limit)
            lod_of_ratio(np.subtract(1.0, r2, out=r2), n, out=out[rows, columns])
            if len(large):
                again = columns.start + large
                exact, _, _ = self._exactly(Markers(x[rows], markers.tested[rows]), again)
                out[rows, again] = 0.0 + lod_of_ratio(exact, n)
        out[~markers.tested] = 0.0
        if single:
            few = nearly_fixed(self.basis, markers)
            out[few] = self.lods(markers.take(few), single=False)
        return out

    def _effects(self, markers: Markers) -> Columns:
        """``beta`` and ``se`` of a block of markers, (variants, traits), per unit of dosage.

        b = S_xy / S_xx, se = sqrt(RSS1 / (n - c - 1) / S_xx); NaN where nothing is tested.
        """
        degrees = self.basis.n - self.basis.n_covariates - 1.0 - self.own.any(axis=1).sum(axis=0)
        beta, se = np.full((2, len(markers.tested), len(self.h2)), np.nan)
        for rows, columns in cut(len(beta), len(self.h2), TILE_CELLS):
            tested = rows.start + np.flatnonzero(markers.tested[rows])
            part = markers.take(tested)
            traits = np.arange(columns.start, columns.stop)
            ratio, score, sxx = self._exactly(part, traits)
            size = self.size[columns]
            none = np.isinf(sxx)
            beta[tested, columns] = np.where(none, np.nan, score * size / sxx)
            variance = np.maximum(ratio, SMALLEST) / (degrees[columns] * sxx)
            se[tested, columns] = np.where(none, np.nan, size * np.sqrt(variance))
        return {"beta": back(beta, self.exponent), "se": back(se, self.exponent)}

    def _variation_left(self, markers: Markers, columns: Index) -> Array:
        """S_xx (variants, columns) of some traits, not interpolated.

        Infinite if the covariates of a trait leave no variation of a marker.
        """
        x, width = markers.rotated, markers.rotated.shape[1]
        sxx = variation(self.basis, markers, self.h2[columns])
        sxx[~markers.tested] = 1.0
        left = sxx - sum((x @ u[:width, columns]) ** 2 for u in self.own)
        left[left < self.basis.share_left(NO_SHARE) * sxx] = np.inf
        return np.asarray(left)

    def _exactly(self, markers: Markers, columns: Index) -> tuple[Array, Array, Array]:
        """RSS1/RSS0, S_xy and S_xx (variants, columns) in double precision, not interpolated."""
        score = markers.rotated @ self.scores[: markers.rotated.shape[1], columns]
        sxx = self._variation_left(markers, columns)
        ratio = np.asarray(1.0 - score * score / sxx)
        i, j = np.nonzero(ratio < CANCELLED)
        if len(i):
            ratio[i, j] = self._from_residuals(markers, i, columns[j])
        return ratio, score, sxx

    def _from_residuals(self, markers: Markers, variant: Index, column: Index) -> Array:
        """RSS1/RSS0 (pairs,) = e'Ve of single pairs, from the weighted residuals e = M1 y."""
        z, at = self.scores[:, column], self.basis.at(self.h2[column])
        x = np.zeros_like(z)
        x[: markers.rotated.shape[1]] = markers.rotated[variant].T
        mx, _ = project(self.basis, x, at)
        for u in self.own[:, :, column]:
            mx -= u * np.einsum("kj,kj->j", u, x)
        slope = np.einsum("kj,kj->j", x, z) / np.einsum("kj,kj->j", x, mx)
        e = z - mx * slope
        return np.asarray(np.einsum("kj,kj,kj->j", at.value, e, e))
