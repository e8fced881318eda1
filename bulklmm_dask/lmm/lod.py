r"""LOD scores of the null methods: every trait has its own h2, and still all tests are one product.

With the trait's weights folded into its scores z_j = M(h_j) y_j / sqrt(S_j), the score of every
pair is one matrix product, S_xy = X'Z, whatever the heritabilities. The other half,
S_xx,ij = x_i' M(h_j) x_i, depends on the trait only through the scalar h_j and smoothly so: it is
computed at a few nodes h_q for every marker and interpolated, a product of inner size Q.

LOD_ij = -(n/2) log10(1 - r2_ij),  r2_ij = S_xy^2 / S_xx.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.nodes import Interpolation, interpolate
from bulklmm_dask.lmm.null import NullModel
from bulklmm_dask.lmm.profile import inverse_and_logdet, project

Array = npt.NDArray[np.float64]
Real = npt.NDArray[np.floating]

# Cells and columns of one tile: two tiles of doubles stay in a core's second-level cache.
TILE_CELLS = 1 << 16
TILE_TRAITS = 512

# What 1 - r2 is at least, above rounding: a perfect fit scores 6.5 n, not infinity or noise.
_SMALLEST = 1e-13
# From this r2 on, an error of the interpolation would show: S_xx is computed exactly.
_NEARLY_PERFECT = 0.99

# A marker whose variation left after the covariates is below this share of its own has none.
NO_VARIATION = 1e-10


@dataclass(frozen=True)
class Markers:
    """A block of markers in the basis of one group of samples.

    Attributes
    ----------
    rotated : array (variants, r)
        Centred dosages in the eigenbasis. Trailing entries that are zero for every marker of the
        block are cut off: replicated samples leave only as many as there are distinct genotypes.
    tested : array (variants,) of bool
        False where no variation is left after projecting out the covariates.
    """

    rotated: Array
    tested: npt.NDArray[np.bool_]


def prepare_markers(basis: Basis, dosage: Array) -> Markers:
    """Centre and rotate dosages (variants, n) of the samples of a group, none missing."""
    centred = dosage - dosage.mean(axis=1, keepdims=True)
    size = np.einsum("ik,ik->i", centred, centred)
    rotated = basis.rotate_rows(centred)
    inside = rotated @ basis.covariates
    left = size - np.einsum("ic,ic->i", inside, inside)
    tested = left > NO_VARIATION * np.maximum(size, 1e-300)
    # Rounding of a constant row (a mean that is not exact) is no variation either.
    tested &= size > 1e-20 * np.einsum("ik,ik->i", dosage, dosage)
    rounding = 1e-12 * np.sqrt(size.max(initial=0.0))
    reach = np.flatnonzero(np.abs(rotated).max(axis=0, initial=0.0) > rounding)
    width = int(reach[-1]) + 1 if len(reach) else 0
    return Markers(np.ascontiguousarray(rotated[:, :width]), tested)


def variation(basis: Basis, markers: Markers, nodes: Array) -> Array:
    """S_xx = x'M(h)x of every marker at every node, (variants, nodes)."""
    x = markers.rotated
    width = x.shape[1]
    w = 1.0 / basis.variances(nodes)
    out = (x * x) @ w[:width]
    c = basis.n_covariates
    if c:
        inverse, _ = inverse_and_logdet((w.T @ basis.covariate_products).reshape(-1, c, c))
        weighted = basis.covariates[:width, :, None] * w[:width, None, :]
        b = (x @ weighted.reshape(width, c * len(nodes))).reshape(len(x), c, len(nodes))
        out -= np.einsum("iaq,qab,ibq->iq", b, inverse, b, optimize=True)
    return out


def _tiles(n_variants: int, n_traits: int) -> Iterator[tuple[slice, slice]]:
    """Cut a block into tiles of at most TILE_CELLS cells."""
    width = min(n_traits, TILE_TRAITS)
    height = TILE_CELLS // max(width, 1)
    for j in range(0, n_traits, width or 1):
        for i in range(0, n_variants, height):
            yield slice(i, min(i + height, n_variants)), slice(j, min(j + width, n_traits))


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
    interpolation : Interpolation
        Nodes and weights for the heritabilities of the traits.
    """

    basis: Basis
    h2: Array
    scores: Array
    interpolation: Interpolation

    @classmethod
    def of(cls, basis: Basis, model: NullModel) -> Self:
        """Prepare the traits that a null model could be fitted to."""
        h2 = model.h2[model.fitted]
        projected, _ = project(basis, model.rotated, h2)
        size = np.sqrt(np.einsum("kj,kj->j", model.rotated, projected))
        return cls(basis, h2, projected / size, interpolate(basis, h2))

    def scan(self, markers: Markers, *, single: bool) -> dict[str, npt.NDArray[Any]]:
        """LOD scores of a block of markers.

        Parameters
        ----------
        markers : Markers
            In the basis of the group.
        single : bool
            Multiply in single precision; pairs whose r2 is too near 1 for that are done again in
            double precision, so that no LOD under 100 is off by 1e-4. In either, traits that a
            marker explains nearly perfectly are done again without interpolation.

        Returns
        -------
        dict
            ``lod`` (variants, traits).
        """
        x = np.where(markers.tested[:, None], markers.rotated, 0.0)
        sxx = variation(self.basis, markers, self.interpolation.nodes)
        sxx[~markers.tested] = 1.0
        z, weights = self.scores[: x.shape[1]], self.interpolation.weights
        dtype = np.dtype(np.float32 if single else np.float64)
        fast_x: Real = np.ascontiguousarray(x.astype(dtype, copy=False))
        fast_z: Real = np.ascontiguousarray(z.astype(dtype, copy=False))
        to_lod = -0.5 * self.basis.n / np.log(10.0)
        smallest = float(np.spacing(dtype.type(1.0))) / 2
        # Rounding of r2 is some 4e-7 r2 in single precision; n/2 log10(e) times it over 1 - r2
        # stays below 2e-5 up to this r2.
        limit = 230.0 / (self.basis.n + 230.0) if single else _NEARLY_PERFECT
        out = np.empty((len(x), z.shape[1]), dtype=np.float32)
        tile, scratch = np.empty(TILE_CELLS, dtype), np.empty(TILE_CELLS)
        for rows, columns in _tiles(*out.shape):
            shape = (rows.stop - rows.start, columns.stop - columns.start)
            r2, double = (part[: shape[0] * shape[1]].reshape(shape) for part in (tile, scratch))
            _explained(fast_x[rows], fast_z[:, columns], sxx[rows], weights[:, columns], r2, double)
            large = np.flatnonzero(r2.max(axis=0) > limit)
            np.subtract(1.0, r2, out=r2)
            np.maximum(r2, smallest, out=r2)
            np.log(r2, out=r2)
            np.multiply(r2, to_lod, out=out[rows, columns], casting="same_kind")
            if len(large):
                again = columns.start + large
                part = Markers(x[rows], markers.tested[rows])
                exact = variation(self.basis, part, self.h2[again])
                exact[~part.tested] = 1.0
                exact = (part.rotated @ z[:, again]) ** 2 / exact
                out[rows, again] = to_lod * np.log(np.maximum(1.0 - exact, _SMALLEST))
        out[~markers.tested] = 0.0
        return {"lod": out}
