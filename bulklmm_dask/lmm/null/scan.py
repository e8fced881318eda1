r"""LOD scores of the null methods: one matrix product for all traits, each at its own h2.

The scores z_j = M(h_j) y_j / sqrt(S_j), S_j = y_j'M(h_j)y_j, contain the weights of the trait, so
that S_xy = X'Z of all pairs is one matrix product, whatever the heritabilities. The denominator
S_xx,ij = x_i' M(h_j) x_i depends on the trait only through the scalar h_j, and smoothly: 1/S_xx is
computed for every marker at Q nodes h_q and interpolated (`interpolate`), a matrix product of inner
size Q.

LOD_ij = -(n/2) log10(1 - r2_ij),  r2_ij = S_xy^2 / S_xx.

Only the product S_xy needs double precision in all pairs. What follows it runs in single precision,
tile by tile in cache, with a relative error of r2 of at most `ROUNDING_OF_R2`; pairs with an r2
for which this is too much, those of high LODs, are computed again in double precision from the
double S_xy, and the nearly perfect ones from their residuals.

For a trait with K covariates of its own (`own_covariates`), M is replaced by M_j = M - sum over k
of u_jk u_jk'. Then z_j = M_j y_j / sqrt(S_j), and the squares of K more products, x_i'u_jk, are
subtracted from S_xx,ij. The cost does not depend on the number of distinct covariates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.compiled.loops import loops
from bulklmm_dask.lmm.compiled.scores import LARGEST_R2, lods_of_scores
from bulklmm_dask.lmm.interpolate import Interpolation, eigenvalue_bounds, interpolate_inverses
from bulklmm_dask.lmm.kept import prepared_markers
from bulklmm_dask.lmm.lod import (
    CANCELLED,
    NEARLY_PERFECT,
    ROUNDING,
    SINGLE_ERROR,
    SINGLE_ROUNDING,
    SMALLEST,
    largest_r2,
    lod_of_ratio,
    lods_of_r2,
)
from bulklmm_dask.lmm.markers import (
    SMALL_SHARE,
    TILE_CELLS,
    Markers,
    cut,
    nearly_fixed,
    variation,
)
from bulklmm_dask.lmm.null.fit import NullModel
from bulklmm_dask.lmm.own_covariates import NO_SHARE
from bulklmm_dask.lmm.powers import back
from bulklmm_dask.lmm.projection import directions, in_cache, project
from bulklmm_dask.typing import Array, Columns, Flags, Index, Real, Single

# Largest error of a LOD due to the rounding of r2 in a scan in double precision.
_DOUBLE_ERROR = 4e-6
# Largest error of a LOD due to interpolation in double precision, and the relative rounding error
# of the values at the nodes.
_LOD_ERROR, _ROUNDING = 2e-6, 1e-15
# Largest relative error of r2 due to rounding S_xy, its square, 1/S_xx, and both products.
ROUNDING_OF_R2 = 5.0 * ROUNDING
# Up to this many traits are scanned without tiles, in double precision.
_FEW_TRAITS = 8
# Numbers of the pairs that are computed again at a time.
_PAIR_CELLS = 1 << 20


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
    effects : bool
        Whether `scan` computes effects and their standard errors.
    """

    basis: Basis
    h2: Array
    scores: Array
    own: Array
    size: Array
    exponent: Index
    effects: bool = False

    @classmethod
    def of(cls, basis: Basis, model: NullModel, *, effects: bool = False) -> Self:
        """Make the scanner of the traits that have a null model."""
        h2, y = model.h2[model.fitted], model.rotated
        own, scores, size = np.empty_like(model.given), np.empty_like(y), np.empty(len(h2))
        for some in in_cache(len(h2)):
            at = basis.at(h2[some])
            own[:, :, some] = directions(basis, model.given[:, :, some], at)
            projected, _ = project(basis, y[:, some], at)
            for u in own[:, :, some]:
                projected -= u * np.einsum("kj,kj->j", u, y[:, some])
            size[some] = np.sqrt(np.einsum("kj,kj->j", y[:, some], projected))
            np.divide(projected, size[some], out=scores[:, some])
        return cls(basis, h2, scores, own, size * model.scale, model.exponent, effects)

    @cached_property
    def _folded(self) -> Interpolation:
        return self._interpolation(folded=True)

    @cached_property
    def _unfolded(self) -> Interpolation:
        if self.basis.rank == self.basis.rows:
            return self._folded
        return self._interpolation(folded=False)

    def _interpolation(self, *, folded: bool) -> Interpolation:
        return interpolate_inverses(
            self.h2, lambda: eigenvalue_bounds(self.basis, folded=folded), self.basis.h2_max
        )

    def scan(self, genotypes: Array, *, single: bool) -> Columns:
        """``lod`` of a block of markers and, with `effects`, ``beta`` and ``se`` (`Scanner`)."""
        markers = prepared_markers(self.basis, genotypes)
        found: Columns = {"lod": self.lods(markers, single=single)}
        return found | self._effects(markers) if self.effects else found

    def lods(self, markers: Markers, *, single: bool) -> Single:
        """LOD scores of a block of markers, (variants, traits).

        Parameters
        ----------
        markers : Markers
            Markers in the basis of the group.
        single : bool
            Compute the scores in single precision, so that the error of any LOD below 100 is less
            than 1e-4 instead of 1e-5. Markers that the covariates explain almost completely are
            computed in double precision.

        In either precision pairs of a high LOD are computed again: in double precision, without
        interpolation if the marker explains almost all of the trait or the covariates of the trait
        almost all of the marker. If these leave less than 1e-7 of it, the LOD is 0.
        """
        if len(self.h2) <= _FEW_TRAITS:
            return self._lods_of_few(markers)
        out = np.empty((len(markers.tested), len(self.h2)), dtype=np.float32)
        block = _Block.of(self, markers, single=single)
        tiles = [
            block.write_lods(rows, columns, out[rows, columns])
            for rows, columns in cut(*out.shape, TILE_CELLS)
        ]
        if tiles:
            i, j, score = (np.concatenate(part) for part in zip(*tiles, strict=True))
            out[i, j] = 0.0 + lod_of_ratio(block.ratios(i, j, score), self.basis.n)
        out[~markers.tested] = 0.0
        if single:
            few = nearly_fixed(self.basis, markers)
            out[few] = self.lods(markers.take(few), single=False)
        return out

    def _lods_of_few(self, markers: Markers) -> Single:
        """`lods` of a few traits: each S_xx itself costs less than what serves many traits."""
        ratio, _, _ = self._exactly(markers, np.arange(len(self.h2)))
        out = lod_of_ratio(ratio, self.basis.n).astype(np.float32)
        out[~markers.tested] = 0.0
        return out + np.float32(0.0)

    def interpolation(self, markers: Markers) -> Interpolation:
        """Nodes and weights for 1/S_xx of a block of markers."""
        folded = markers.rotated.shape[1] <= self.basis.rank
        return self._folded if folded else self._unfolded

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
        return np.where(self._dependent(left, sxx), np.inf, left)

    def _dependent(self, left: Array, sxx: Array) -> Flags:
        """Whether the covariates of a trait leave nothing of the S_xx of a marker."""
        return np.asarray(left < self.basis.share_left(NO_SHARE) * sxx)

    def _exactly(self, markers: Markers, columns: Index) -> tuple[Array, Array, Array]:
        """RSS1/RSS0, S_xy and S_xx (variants, columns) in double precision, not interpolated."""
        score = markers.rotated @ self.scores[: markers.rotated.shape[1], columns]
        sxx = self._variation_left(markers, columns)
        ratio = np.asarray(1.0 - score * score / sxx)
        i, j = np.nonzero(ratio < CANCELLED)
        if len(i):
            ratio[i, j] = self.from_residuals(markers, i, columns[j])
        return ratio, score, sxx

    def from_residuals(self, markers: Markers, variant: Index, column: Index) -> Array:
        """RSS1/RSS0 (pairs,) = e'Ve of single pairs, from the weighted residuals e = M1 y."""
        z, at = self.scores[:, column], self.basis.at(self.h2[column])
        x = np.zeros_like(z)
        x[: markers.rotated.shape[1]] = markers.rotated[variant].T
        mx, _ = project(self.basis, x, at)
        sxx = np.einsum("kj,kj->j", x, mx)
        for u in self.own[:, :, column]:
            mx -= u * np.einsum("kj,kj->j", u, x)
        left = np.einsum("kj,kj->j", x, mx)
        none = self._dependent(left, sxx)
        slope = np.einsum("kj,kj->j", x, z) / np.where(none, 1.0, left)
        e = z - mx * slope
        return np.where(none, 1.0, np.einsum("kj,kj,kj->j", at.value, e, e))


@dataclass(frozen=True)
class _Block:
    """A block of markers, scaled so that S_xx is 1 at the first node, and the traits of a scanner.

    Attributes
    ----------
    scan : NullScan
    markers : Markers
    size : array (variants,)
        Number by which each marker was divided.
    x, z : array (variants, r), (r, traits)
        Markers and scores in the precision of S_xy.
    own : array (K, r, traits)
        Directions of the trait-specific covariates in the same precision.
    inverse, weights, by_trait : array (variants, nodes), (nodes, traits), (traits, nodes)
        1/S_xx at the nodes and interpolation weights, which are also kept by trait.
    limit : float
        The r2 above which pairs are computed again.
    exact_above : float
        The r2 above which they are computed again from residuals.
    score, r2, between, scratch : array
        Memory for the tiles of S_xy, r2, interpolated 1/S_xx, and what r2 is multiplied by. Two of
        the same dtype are the same memory: `score` and `r2`, `between` and `scratch`.
    listed : array (1, pairs)
        Memory for the pairs of a tile that are computed again, for compiled loops.
    loops : int or None
        Compiled loops to use; None for NumPy.
    """

    scan: NullScan
    markers: Markers
    size: Array
    x: Real
    z: Real
    own: Real
    inverse: Array
    weights: Array
    by_trait: Array
    limit: float
    exact_above: float
    score: Real
    r2: Real
    between: Real
    scratch: Real
    listed: Index
    loops: int | None

    @classmethod
    def of(cls, scan: NullScan, markers: Markers, *, single: bool) -> Self:
        basis, interpolation = scan.basis, scan.interpolation(markers)
        inverse = variation(basis, markers, interpolation.nodes)
        inverse[~markers.tested] = 1.0
        size = np.sqrt(inverse[:, 0])
        np.divide((size * size)[:, None], inverse, out=inverse)
        x = np.where(markers.tested[:, None], markers.rotated, 0.0) / size[:, None]
        width, (error, growth) = x.shape[1], interpolation.worst
        # Weights of very different size need the digits of double precision throughout.
        of_r2 = np.dtype(np.float64 if basis.graded else np.float32)
        of_score = np.dtype(np.float32 if single else np.float64)
        exact_above = min(
            NEARLY_PERFECT, largest_r2(basis.n, _LOD_ERROR, error + _ROUNDING * growth)
        )
        limit = exact_above
        if single:
            error = SINGLE_ROUNDING + ROUNDING_OF_R2
            limit = min(limit, largest_r2(basis.n, SINGLE_ERROR, error))
        elif not basis.graded:
            limit = min(limit, largest_r2(basis.n, _DOUBLE_ERROR, ROUNDING_OF_R2))
        compiled = None if basis.graded or len(scan.own) else loops()
        if compiled is not None:
            limit = min(limit, LARGEST_R2)
        r2, scratch = np.empty((2, TILE_CELLS), of_r2)
        return cls(
            scan,
            markers,
            size,
            np.ascontiguousarray(x.astype(of_score, copy=False)),
            np.ascontiguousarray(scan.scores[:width].astype(of_score, copy=False)),
            np.ascontiguousarray(scan.own[:, :width].astype(of_score, copy=False)),
            inverse,
            interpolation.weights,
            np.ascontiguousarray(interpolation.weights.T),
            limit,
            exact_above,
            r2 if of_score == of_r2 else np.empty(TILE_CELLS, of_score),
            r2,
            scratch if basis.graded else np.empty(TILE_CELLS),
            scratch,
            np.empty((1, 0 if compiled is None else TILE_CELLS), np.int64),
            compiled,
        )

    def write_lods(self, rows: slice, columns: slice, out: Single) -> tuple[Index, Index, Real]:
        """Write the LODs of a tile into `out`.

        Returns the markers, the traits and the scores of the pairs to be computed again; NaN for
        scores that are not known in double precision.
        """
        score = self.score[: out.size].reshape(out.shape)
        between = self.between[: out.size].reshape(out.shape)
        np.matmul(self.x[rows], self.z[:, columns], out=score)
        np.matmul(self.inverse[rows], self.weights[:, columns], out=between)
        if self.loops is None:
            again = self._write_by_passes(score, between, rows, columns, out)
        else:
            n = self.scan.basis.n
            again = lods_of_scores(score, between, n, self.limit, out, self.listed, self.loops)
        i, j = np.divmod(again, out.shape[1])
        known = self.score is not self.r2
        scores = score.reshape(-1)[again] if known else np.full(len(again), np.nan)
        return i + rows.start, j + columns.start, scores

    def _write_by_passes(
        self, score: Real, between: Real, rows: slice, columns: slice, out: Single
    ) -> Index:
        """Write the LODs of a tile, and return the positions of pairs to be computed again."""
        r2, scratch = (memory[: out.size].reshape(out.shape) for memory in (self.r2, self.scratch))
        if self.score is not self.r2:
            r2[...] = score
        if self.between is not self.scratch:
            scratch[...] = between
        np.multiply(r2, r2, out=r2)
        np.multiply(r2, scratch, out=r2)
        large = r2 > self.limit
        if len(self.own):
            share = self._share_left(rows, columns, scratch)
            large |= share < SMALL_SHARE
            np.maximum(share, SMALL_SHARE, out=share)
            np.divide(r2, share, out=r2)
            # Dividing by a small share magnifies the error of either.
            large |= r2 > (0.5 * self.limit) * share
        again = np.flatnonzero(large)
        r2.reshape(-1)[again] = 0.0
        lods_of_r2(r2, self.scan.basis.n, out, scratch)
        return again

    def _share_left(self, rows: slice, columns: slice, inverse: Real) -> Real:
        """Share of S_xx that the trait-specific covariates leave, given 1/S_xx of a tile."""
        share = np.ones_like(inverse)
        for u in self.own[:, :, columns]:
            product = (self.x[rows] @ u).astype(share.dtype, copy=False)
            np.multiply(product, product, out=product)
            np.multiply(product, inverse, out=product)
            np.subtract(share, product, out=share)
        return share

    def ratios(self, variant: Index, column: Index, score: Real) -> Array:
        """RSS1/RSS0 (pairs,) of single pairs in double precision, from `write_lods`."""
        scan, width = self.scan, self.x.shape[1]
        out = np.empty(len(variant))
        scores, weights = scan.scores[:width].T, self.by_trait
        step = max(1, _PAIR_CELLS // max(scan.basis.rows, weights.shape[1]))
        for start in range(0, len(variant), step):
            part = slice(start, start + step)
            i, j, s = variant[part], column[part], score[part]
            exactly = np.arange(len(i))
            if not len(self.own):
                if np.isnan(s).any():
                    x = self.markers.rotated[i] / self.size[i, None]
                    s = np.einsum("ik,ik->i", x, scores[j])
                r2 = s * s * np.einsum("iq,iq->i", self.inverse[i], weights[j])
                out[part] = 1.0 - r2
                exactly = np.flatnonzero(r2 > self.exact_above)
            out[start + exactly] = scan.from_residuals(self.markers, i[exactly], j[exactly])
        return out
