r"""LOD scores of many traits with several kernels: one matrix product, as with one kinship.

With the weights w_q(h_j) of the nodes at the shares of trait j (`nodes`),

    z_j = sum_q w_q(h_j) M(h_q) y_j / sqrt(S_j),   S_xx,ij = sum_q w_q(h_j) x_i'M(h_q)x_i,

so that S_xy = X'Z of all pairs is one product, and S_xx a second one of inner size Q. Pairs whose
r2 is so large that errors of interpolation would show in the LOD are computed again, each trait
whitened by its own covariance (`exact`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bulklmm_dask.lmm.compiled.loops import loops
from bulklmm_dask.lmm.compiled.scores import LARGEST_R2, lods_of_scores
from bulklmm_dask.lmm.components.exact import ComponentScan
from bulklmm_dask.lmm.components.nodes import LARGEST, forms, roots_of
from bulklmm_dask.lmm.lod import SMALLEST, lods_of_r2
from bulklmm_dask.lmm.markers import NO_VARIATION, TILE_CELLS, cut
from bulklmm_dask.lmm.powers import back
from bulklmm_dask.typing import Array, Columns, Flags, Index

# Error of a LOD due to interpolation from which on pairs are computed again.
_LOD_ERROR = 1e-5


@dataclass(frozen=True)
class BulkScan:
    """Scanner of traits whose forms are interpolated.

    Attributes
    ----------
    exact : ComponentScan
        The scanner of these traits one after the other.
    nodes : array (Q, k + 1)
        Weights of the corners of the admissible shares at the nodes.
    scores : array (d, traits)
        z of the contrasts.
    weights : array (Q, traits)
        Weights of the nodes.
    size, exponent : array (traits,)
        sqrt(S) in units of the trait is size times 2^exponent.
    """

    exact: ComponentScan
    nodes: Array
    scores: Array
    weights: Array
    size: Array
    exponent: Index

    def scan(self, genotypes: Array, *, single: bool) -> Columns:
        """``lod`` of a block of markers and, if requested, ``beta`` and ``se`` (`Scanner`)."""
        x, tested = self._contrasts(genotypes)
        sxx = forms(roots_of(self.exact.kernels, self.nodes), x.T).T
        sxx[~tested] = 1.0
        scale = np.sqrt(sxx[:, 0])
        x /= scale[:, None]
        x[~tested] = 0.0
        sxx /= np.square(scale)[:, None]
        n, traits = self.exact.kernels.n, self.scores.shape[1]
        effects = self.exact.options.with_effects
        limit = largest_r2(n, _LOD_ERROR, LARGEST)
        out = np.empty((len(x), traits), dtype=np.float32)
        beta, se = np.full((2, *(out.shape if effects else (0, 0))), np.nan)
        degrees = n - self.exact.kernels.n_covariates - 1.0
        again: list[tuple[Index, Index]] = []
        which = loops()
        listed = np.empty((1, TILE_CELLS), np.int64)
        for rows, columns in cut(*out.shape, TILE_CELLS):
            score = x[rows] @ self.scores[:, columns]
            inverse = 1.0 / (sxx[rows] @ self.weights[:, columns])
            if effects:
                slope = score * inverse * self.size[columns] / scale[rows, None]
                left = np.maximum(1.0 - score * score * inverse, SMALLEST) * inverse / degrees
                error = np.sqrt(left) * self.size[columns] / scale[rows, None]
                known = tested[rows, None]
                beta[rows, columns] = np.where(known, slope, np.nan)
                se[rows, columns] = np.where(known, error, np.nan)
            tile = out[rows, columns]
            if which is not None:
                most = min(limit, LARGEST_R2)
                high = lods_of_scores(score, inverse, n, most, tile, listed, which)
            else:
                r2 = score * score * inverse
                high = np.flatnonzero(r2 > limit)
                r2.reshape(-1)[high] = 0.0
                lods_of_r2(r2, n, tile, inverse)
            i, j = np.divmod(high, tile.shape[1])
            again.append((i + rows.start, j + columns.start))
        out[~tested] = 0.0
        found: Columns = {"lod": out}
        if effects:
            found |= {"beta": back(beta, self.exponent), "se": back(se, self.exponent)}
        self._again(found, again, genotypes, single=single)
        return found

    def _contrasts(self, genotypes: Array) -> tuple[Array, Flags]:
        """Contrasts (variants, d) of markers, and which vary beside the covariates."""
        kernels = self.exact.kernels
        mean = genotypes.mean(axis=1, keepdims=True)
        centred = genotypes - mean
        x = np.ascontiguousarray(kernels.rotate(centred.T).T)
        spread = np.einsum("ik,ik->i", centred, centred)
        weighted = centred if kernels.weights is None else centred * kernels.weights
        size = np.einsum("ik,ik->i", weighted, weighted)
        left = np.einsum("ik,ik->i", x, x)
        tested = left > NO_VARIATION * np.maximum(size, 1e-300)
        tested &= size > 1e-20 * (spread + kernels.n * mean[:, 0] ** 2)
        return x, tested

    def _again(
        self,
        found: Columns,
        pairs: list[tuple[Index, Index]],
        genotypes: Array,
        *,
        single: bool,
    ) -> None:
        """Compute pairs again without interpolation, trait by trait."""
        if not pairs:
            return
        row, column = (np.concatenate(part) for part in zip(*pairs, strict=True))
        order = np.argsort(column, kind="stable")
        row, column = row[order], column[order]
        for some in np.split(np.arange(len(row)), np.flatnonzero(np.diff(column)) + 1):
            if not len(some):
                continue
            trait, rows = int(column[some[0]]), row[some]
            exactly = self.exact.whitened(trait).scan(genotypes[rows], single=single)
            for name, values in exactly.items():
                found[name][rows, trait] = values[:, 0]


def largest_r2(n: int, lod_error: float, error: float) -> float:
    """The r2 up to which forms of a relative error change a LOD by at most `lod_error`.

    r = S_xy / sqrt(S_xx S_yy) errs by up to `error`, r2 by (2 r + r2) error, and the LOD by
    (n/2) log10(e) / (1 - r2) times that.
    """
    r2 = np.linspace(0.0, 0.99, 10_000)
    change = 0.5 * n / np.log(10.0) * error * (2.0 * np.sqrt(r2) + r2) / (1.0 - r2)
    return float(r2[np.searchsorted(change, lod_error) - 1])
