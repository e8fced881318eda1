r"""LOD scores of the null methods: every trait has its own h2, and still all tests are one product.

With the trait's weights folded into its scores z_j = M(h_j) y_j / sqrt(S_j), the score of every
pair is one matrix product, S_xy = X'Z, whatever the heritabilities. The other half,
S_xx,ij = x_i' M(h_j) x_i, depends on the trait only through the scalar h_j and smoothly so: it is
computed at a few nodes h_q for every marker and interpolated, a product of inner size Q.

LOD_ij = -(n/2) log10(1 - r2_ij),  r2_ij = S_xy^2 / S_xx.

Traits with covariates of their own (`own_covariates`), K directions u_jk each, take M_j = M - sum
over k of u_jk u_jk' instead: z_j = M_j y_j / sqrt(S_j), and S_xx,ij less the squares of K more
products, x_i'u_jk, whatever the number of distinct covariates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.interpolate import Interpolation, interpolate
from bulklmm_dask.lmm.lod import NEARLY_PERFECT, SMALLEST, largest_r2, lod_of_ratio
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
from bulklmm_dask.lmm.projection import directions, project
from bulklmm_dask.typing import Array, Columns, Index, Real, Single

# LODs move by less than this where r2 is computed in single precision.
_SINGLE_ERROR = 2e-5


def _explained(
    x: Real, scores: Real, sxx: Array, weights: Array, out: Real, scratch: Array
) -> None:
    """r2 of a tile into `out`: score squared over interpolated variation.

    The interpolation stays in double precision: its weights cancel by up to three digits.
    """
    np.matmul(x, scores, out=out)
    np.multiply(out, out, out=out)
    np.matmul(sxx, weights, out=scratch)
    np.divide(out, scratch.astype(out.dtype, copy=False), out=out)


def _beside_own(x: Real, own: Real, variation: Array, r2: Real, limit: float) -> Index:
    """Divide r2 of a tile by the share of the variation that own covariates (K, r, traits) leave.

    Returns the traits to compute again exactly: dividing by a small share magnifies errors of S_xx.
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
    """Traits of one group, each with its own h2, ready to be scanned by the null methods.

    Attributes
    ----------
    basis : Basis
        Of the n samples of the group.
    h2 : array (traits,)
    scores : array (n, traits)
        z = My / sqrt(S) at the trait's h2, in the rotated basis.
    own : array (K, n, traits)
        Directions u of the traits' own covariates; zeros for none.
    size : array (traits,)
        sqrt(S) in units of the trait.
    interpolation : Interpolation
        Nodes and weights for the heritabilities of the traits.
    effects : bool
        Whether effects and their standard errors are asked for.
    """

    basis: Basis
    h2: Array
    scores: Array
    own: Array
    size: Array
    interpolation: Interpolation
    effects: bool = False

    @classmethod
    def of(cls, basis: Basis, model: NullModel, *, effects: bool = False) -> Self:
        """Prepare the traits that a null model could be fitted to."""
        h2 = model.h2[model.fitted]
        at = basis.at(h2)
        own = directions(basis, model.given, at)
        projected, _ = project(basis, model.rotated, at)
        for u in own:
            projected -= u * np.einsum("kj,kj->j", u, model.rotated)
        size = np.sqrt(np.einsum("kj,kj->j", model.rotated, projected))
        scale = size * model.scale
        return cls(basis, h2, projected / size, own, scale, interpolate(basis, h2), effects)

    def scan(self, genotypes: Array, *, single: bool) -> Columns:
        """``lod`` and, if they are asked for, ``beta`` and ``se`` of a block of markers.

        As `Scanner.scan` says.
        """
        markers = prepare_markers(self.basis, genotypes)
        found: Columns = {"lod": self.lods(markers, single=single)}
        return found | self._effects(markers) if self.effects else found

    def lods(self, markers: Markers, *, single: bool) -> Single:
        """LOD scores of a block of markers, (variants, traits).

        Parameters
        ----------
        markers : Markers
            In the basis of the group.
        single : bool
            Multiply in single precision. Pairs whose r2 is too near 1 for that, and markers of
            which the covariates leave little, are computed again in double precision, so that no
            LOD under 100 is off by 1e-4. In either precision, traits that a marker explains nearly
            perfectly are computed again without interpolation, and so are those whose own
            covariates leave little of a marker; if they leave less than 1e-7 of it, the LOD is 0.
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
        limit = largest_r2(n, _SINGLE_ERROR) if single else NEARLY_PERFECT
        out = np.empty((len(x), len(self.h2)), dtype=np.float32)
        tile, scratch = np.empty(TILE_CELLS, dtype), np.empty(TILE_CELLS)
        for rows, columns in cut(*out.shape, TILE_CELLS):
            shape = (rows.stop - rows.start, columns.stop - columns.start)
            r2, double = (part[: shape[0] * shape[1]].reshape(shape) for part in (tile, scratch))
            _explained(fast_x[rows], fast_z[:, columns], sxx[rows], weights[:, columns], r2, double)
            if len(own):
                large = _beside_own(fast_x[rows], own[:, :, columns], double, r2, limit)
            else:
                large = np.flatnonzero(r2.max(axis=0) > limit)
            lod_of_ratio(np.subtract(1.0, r2, out=r2), n, out=out[rows, columns])
            if len(large):
                again = columns.start + large
                exact = self._exactly(Markers(x[rows], markers.tested[rows]), again)
                out[rows, again] = 0.0 + lod_of_ratio(1.0 - exact, n)
        out[~markers.tested] = 0.0
        if single:
            few = nearly_fixed(self.basis, markers)
            out[few] = self.lods(markers.take(few), single=False)
        return out

    def _effects(self, markers: Markers) -> Columns:
        """``beta`` and ``se`` of a block of markers, (variants, traits), per unit of the dosage.

        b = S_xy / S_xx, se = sqrt((S - S_xy b) / (n - c - 1) / S_xx); NaN where nothing is tested.
        """
        degrees = self.basis.n - self.basis.n_covariates - 1.0 - self.own.any(axis=1).sum(axis=0)
        beta, se = np.full((2, len(markers.tested), len(self.h2)), np.nan, dtype=np.float32)
        for rows, columns in cut(len(beta), len(self.h2), TILE_CELLS):
            tested = rows.start + np.flatnonzero(markers.tested[rows])
            part = markers.take(tested)
            traits = np.arange(columns.start, columns.stop)
            score = part.rotated @ self.scores[: part.rotated.shape[1], columns]
            sxx = self._variation_left(part, traits)
            r2 = np.minimum(score * score / sxx, 1.0 - SMALLEST)
            size = self.size[columns]
            none = np.isinf(sxx)
            beta[tested, columns] = np.where(none, np.nan, score * size / sxx)
            variance = (1.0 - r2) / (degrees[columns] * sxx)
            se[tested, columns] = np.where(none, np.nan, size * np.sqrt(variance))
        return {"beta": beta, "se": se}

    def _variation_left(self, markers: Markers, columns: Index) -> Array:
        """S_xx of some traits, not interpolated; infinite where their own columns leave none."""
        x, width = markers.rotated, markers.rotated.shape[1]
        sxx = variation(self.basis, markers, self.h2[columns])
        sxx[~markers.tested] = 1.0
        left = sxx - sum((x @ u[:width, columns]) ** 2 for u in self.own)
        left[left < NO_SHARE * sxx] = np.inf
        return np.asarray(left)

    def _exactly(self, markers: Markers, columns: Index) -> Array:
        """r2 of some traits in double precision, without interpolation."""
        score = markers.rotated @ self.scores[: markers.rotated.shape[1], columns]
        return np.asarray(score * score / self._variation_left(markers, columns))
