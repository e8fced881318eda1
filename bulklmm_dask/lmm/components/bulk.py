r"""LOD scores of many traits with several kernels: one matrix product, as with one kinship.

With z_j = M(h_j) y_j / sqrt(S_j) of trait j (`scores`) and the weights w_q(h_j) of the nodes at its
shares (`nodes`), S_xy = X'Z of all pairs is one product, and

    S_xx,ij = sum_q w_q(h_j) x_i'M(h_q)x_i

a second one of inner size Q. Contrasts that no kernel acts on are left out where markers do not
vary among them, as within strains. Pairs whose r2 is so large that errors of interpolation would
show in the LOD are computed again, each trait whitened by its own covariance (`exact`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bulklmm_dask.lmm.compiled.loops import loops
from bulklmm_dask.lmm.compiled.scores import LARGEST_R2, lods_of_scores
from bulklmm_dask.lmm.components.exact import ComponentScan
from bulklmm_dask.lmm.components.nodes import LARGEST, forms, roots_at, roots_of
from bulklmm_dask.lmm.lod import SMALLEST, lods_of_r2
from bulklmm_dask.lmm.markers import NO_VARIATION, TILE_CELLS, cut
from bulklmm_dask.lmm.powers import back
from bulklmm_dask.typing import Array, Columns, Flags, Index

# A marker does not vary among some contrasts if its square there is below this part of the whole.
_NOTHING = 1e-20
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
    weights : array (Q + 1, traits)
        Weights of the nodes, and of the rest of the contrasts.
    apart : array (few,) of int
        Positions of traits whose shares nodes do not serve: S_xx of each from its own covariance.
    size, exponent : array (traits,)
        sqrt(S) in units of the trait is size times 2^exponent.
    """

    exact: ComponentScan
    nodes: Array
    scores: Array
    weights: Array
    apart: Index
    size: Array
    exponent: Index

    def scan(self, genotypes: Array, *, single: bool) -> Columns:
        """``lod`` of a block of markers and, if requested, ``beta`` and ``se`` (`Scanner`)."""
        x, tested = self._contrasts(genotypes)
        sxx = forms(roots_of(self.exact.kernels, self.nodes), x.T).T
        sxx[~tested] = 1.0
        rank = self.exact.kernels.rank
        inner = rank if (sxx[:, -1] <= _NOTHING * sxx[:, 0])[tested].all() else x.shape[1]
        own = self._apart(x, tested)
        scale = np.sqrt(sxx[:, 0])
        x = x[:, :inner] / scale[:, None]
        x[~tested] = 0.0
        sxx /= np.square(scale)[:, None]
        own /= np.square(scale)[:, None]
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
            score = x[rows] @ self.scores[:inner, columns]
            inverse = sxx[rows] @ self.weights[:, columns]
            first, last = np.searchsorted(self.apart, [columns.start, columns.stop])
            inverse[:, self.apart[first:last] - columns.start] = own[rows, first:last]
            np.divide(1.0, inverse, out=inverse)
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

    def _apart(self, x: Array, tested: Flags) -> Array:
        """S_xx (variants, few) of contrasts x (variants, d) and the traits that stand apart."""
        kernels, out = self.exact.kernels, np.ones((len(x), len(self.apart)))
        for column, inner in enumerate(self.exact.inner[:, self.apart].T):
            inside, rest = forms(roots_at(kernels, inner[None]), x.T)
            residual = kernels.shares(inner)[-1]
            out[tested, column] = (inside + rest / residual)[tested]
        return out

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
    """The r2 up to which a relative error of S_xx changes a LOD by at most `lod_error`.

    The LOD changes by (n/2) log10(e) r2 / (1 - r2) times that error.
    """
    ratio = lod_error * 2.0 * np.log(10.0) / (n * error)
    return float(ratio / (1.0 + ratio))
