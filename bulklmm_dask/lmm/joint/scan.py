r"""LOD scores of several columns per marker by the null methods, every trait at its own h2.

With z_j = M(h_j) y_j / sqrt(S_j) the scores b = X'z of all pairs are d matrix products, as in
`bulklmm_dask.lmm.null.scan`. The d x d inverses P_i(h) = (X_i'M(h)X_i)^-1 depend on the trait only
through h_j: they are computed at a few nodes and their d (d + 1) / 2 entries interpolated, by a
matrix product of small inner size. The LOD is then a quadratic form of numbers in cache:

LOD_ij = -(n/2) log10(1 - r2_ij) = (n/2) log10(RSS0/RSS1),  r2_ij = b_ij' P_i(h_j) b_ij.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.interpolate import Interpolation
from bulklmm_dask.lmm.joint.design import Designs
from bulklmm_dask.lmm.joint.inverses import NodeWeights, inverses_at_nodes
from bulklmm_dask.lmm.joint.traits import TraitRows, exact_ratios
from bulklmm_dask.lmm.lod import NEARLY_PERFECT, SINGLE_ERROR, largest_r2, lod_of_ratio
from bulklmm_dask.lmm.null.fit import NullModel
from bulklmm_dask.typing import Array, Index, Real, Single

# Bytes of a tile (scores and interpolated inverses), which stays in a core's second-level cache,
# and number of traits in it.
_TILE_BYTES = 5 << 18
_TILE_TRAITS = 256
# Largest number of markers whose inverses at the nodes are computed together, and of values in
# them.
_CHUNK_MARKERS, _CHUNK_CELLS = 64, 1 << 19

# Largest error of a LOD due to interpolation.
_LOD_ERROR = 2e-6
# Relative rounding error of the values at the nodes.
_ROUNDING = 1e-15
# Traits with a larger condition number (`TraitRows.condition`) are computed in double precision.
_MOST_CONDITION = 40.0
# Single precision interpolates in single precision if rounding errors grow by at most this factor.
_MOST_GROWTH = 64.0


@dataclass(frozen=True)
class Tile:
    """Scores `b` (d, variants, traits) and interpolated entries `p` (e, variants, traits) of pairs.

    `rows` and `columns` are the positions of the variants and of the traits in the block.
    """

    rows: slice
    columns: slice
    b: Real
    p: Real


class _Product:
    """Matrix products (k, i, r) @ (r, j) into reused memory, which is faster than new memory."""

    def __init__(self) -> None:
        self.memory: dict[int, Real] = {}

    def __call__(self, left: Real, right: Real, key: int) -> Real:
        """The product (k, i, j), valid until the next one with the same key."""
        shape = (*left.shape[:2], right.shape[1])
        size = shape[0] * shape[1] * shape[2]
        if key not in self.memory or len(self.memory[key]) < size:
            self.memory[key] = np.empty(size, right.dtype)
        out = self.memory[key][:size].reshape(shape)
        flat = left.reshape(-1, left.shape[2])
        np.matmul(flat, right, out=out.reshape(len(flat), -1))
        return out


def tiles(
    designs: Designs,
    traits: TraitRows,
    entries: Callable[[Array, slice], Array],
    dtype: npt.DTypeLike = np.float64,
) -> Iterator[Tile]:
    """Scores and interpolated entries of all pairs, tile by tile in the same memory.

    Parameters
    ----------
    designs : Designs
        Markers.
    traits : TraitRows
        Traits in the rows of the designs.
    entries : callable
        Gives the e values per variant to interpolate, (e, variants, nodes), from columns
        (d, variants, r) and the slice of the variants.
    dtype : dtype
        Dtype of the tiles.
    """
    dtype = np.dtype(dtype)
    interpolation = traits.interpolation
    rough = dtype == np.float32 and interpolation.worst[1] <= _MOST_GROWTH
    variants, d, width = designs.columns.shape
    q, n_traits = interpolation.weights.shape
    blocks = [slice(j, min(j + _TILE_TRAITS, n_traits)) for j in range(0, n_traits, _TILE_TRAITS)]
    z = [np.ascontiguousarray(traits.scores[:width, part], dtype=dtype) for part in blocks]
    kind = dtype if rough else np.dtype(np.float64)
    weights = [np.ascontiguousarray(interpolation.weights[:, part], dtype=kind) for part in blocks]
    product = _Product()
    chunk = max(1, min(_CHUNK_MARKERS, _CHUNK_CELLS // (d * d * q)))
    for i in range(0, variants, chunk):
        rows = slice(i, min(i + chunk, variants))
        columns = np.ascontiguousarray(designs.columns[rows].swapaxes(0, 1))
        forms = entries(columns, rows).astype(kind, copy=False)
        cells = _TILE_BYTES // (dtype.itemsize * (d + len(forms)))
        height = max(1, cells // min(_TILE_TRAITS, max(n_traits, 1)))
        x = columns.astype(dtype, copy=False)
        parts = [slice(k, min(k + height, x.shape[1])) for k in range(0, x.shape[1], height)]
        pieces = [np.ascontiguousarray(forms[:, part]) for part in parts]
        for block, scores, weight in zip(blocks, z, weights, strict=True):
            b = product(x, scores, 0)
            for part, piece in zip(parts, pieces, strict=True):
                p = product(piece, weight, 1).astype(dtype, copy=False)
                yield Tile(slice(i + part.start, i + part.stop), block, b[:, part], p)


def packed(inverse: Array) -> Array:
    """Entries of symmetric matrices (k, k, ...) row by row from the diagonal on, (e, ...).

    Entries off the diagonal are doubled, because a quadratic form contains them twice.
    """
    k = len(inverse)
    doubled = [np.concatenate([inverse[a, a : a + 1], 2 * inverse[a, a + 1 :]]) for a in range(k)]
    return np.concatenate(doubled)


def _quadratic(b: Real, p: Real) -> Real:
    """Forms b'Pb of all pairs from packed entries `p`, which are overwritten."""
    total: Real = np.zeros(b.shape[1:], b.dtype)
    part, start = np.empty_like(total), 0
    for a in range(len(b)):
        row = p[start : start + len(b) - a]
        np.multiply(row, b[a:], out=row)
        np.add.reduce(row, axis=0, out=part)
        np.multiply(part, b[a], out=part)
        np.add(total, part, out=total)
        start += len(row)
    return total


@dataclass(frozen=True)
class MultiScan:
    """Traits of one group, each at its own h2, to be tested against several columns per marker.

    Attributes
    ----------
    basis : Basis
        Eigenbasis of the n samples of the group.
    h2 : array (traits,)
        Heritabilities.
    rotated : array (n, traits)
        As in `NullModel`.
    """

    basis: Basis
    h2: Array
    rotated: Array

    @classmethod
    def of(cls, basis: Basis, model: NullModel) -> Self:
        """Take the traits that have a null model."""
        return cls(basis, model.h2[model.fitted], model.rotated)

    @cached_property
    def _folded(self) -> TraitRows:
        return TraitRows.of(self.basis, self.rotated, self.h2, folded=True)

    @cached_property
    def _unfolded(self) -> TraitRows:
        return TraitRows.of(self.basis, self.rotated, self.h2, folded=False)

    def scan(
        self, designs: Designs, *, single: bool, additive: int | None = None
    ) -> dict[str, Single]:
        """LOD scores of a block of markers.

        Parameters
        ----------
        designs : Designs
            Markers in the basis of the group.
        single : bool
            Compute matrix products in single precision. In either precision, pairs with an r2 so
            close to 1 that the error of the LOD would be noticeable are computed again in double
            precision, without interpolation.
        additive : int, optional
            Number of leading columns, from 1 to d - 1, that are the additive part of a model with
            interactions. If given, the other columns are also tested beside them.

        Returns
        -------
        dict
            ``lod`` (variants, traits), float32, of all columns together, with `Designs.df` degrees
            of freedom. If `additive` is given, also ``lod_interaction``: the LOD of all columns
            minus that of the additive ones, with ``df - leading_df(additive)`` degrees of
            freedom. NaN if columns and covariates together are as many as the samples.
        """
        traits = self._folded if designs.folded else self._unfolded
        d, width = designs.columns.shape[1:]
        parts = (d,) if additive is None else (additive, d)
        lods = self._lods(designs, traits, parts, single=single)
        if single:
            hard = np.flatnonzero(traits.condition(width) > _MOST_CONDITION)
            again = self._lods(designs, traits.of_columns(hard), parts, single=False)
            for lod, better in zip(lods, again, strict=True):
                lod[:, hard] = better
        for k, lod in zip(parts, lods, strict=True):
            lod[designs.leading_df(k) == 0] = 0.0
        out = {"lod": lods[-1].astype(np.float32, copy=False)}
        if additive is not None:
            out["lod_interaction"] = (lods[1] - lods[0]).astype(np.float32)
        # With as many columns as samples the residuals are 0 and the variance cannot be estimated.
        saturated = designs.df >= self.basis.n - self.basis.n_covariates
        for values in out.values():
            values[saturated] = np.nan
        return out

    def _lods(
        self, designs: Designs, traits: TraitRows, parts: tuple[int, ...], *, single: bool
    ) -> list[Real]:
        """LOD scores (variants, traits) of the first k columns for every k of `parts`."""
        at = NodeWeights.at(traits.spectrum, traits.interpolation.nodes)
        n, limit = self.basis.n, self._limit(traits.interpolation, single=single)
        shape = (len(designs.columns), len(traits.h2))
        lods: list[Real] = [
            np.empty(shape, np.float32 if len(parts) == 1 else np.float64) for _ in parts
        ]
        again: list[list[tuple[Index, Index]]] = [[] for _ in parts]

        def entries(columns: Array, _: slice) -> Array:
            return np.concatenate([packed(p) for p in inverses_at_nodes(columns, at, parts)])

        for tile in tiles(designs, traits, entries, np.float32 if single else np.float64):
            start = 0
            for k, lod, pairs in zip(parts, lods, again, strict=True):
                stop = start + k * (k + 1) // 2
                r2 = _quadratic(tile.b[:k], tile.p[start:stop])
                start = stop
                if r2.max(initial=0.0) > limit:
                    i, j = np.nonzero(r2 > limit)
                    pairs.append((i + tile.rows.start, j + tile.columns.start))
                lod[tile.rows, tile.columns] = lod_of_ratio(np.subtract(1.0, r2, out=r2), n)
        for k, lod, pairs in zip(parts, lods, again, strict=True):
            if pairs:
                i, j = (np.concatenate(found) for found in zip(*pairs, strict=True))
                lod[i, j] = lod_of_ratio(exact_ratios(designs.columns[:, :k], traits, i, j), n)
        return lods

    def _limit(self, interpolation: Interpolation, *, single: bool) -> float:
        """The r2 above which a pair is computed again."""
        error, growth = interpolation.worst
        error += _ROUNDING * growth
        limit = min(NEARLY_PERFECT, largest_r2(self.basis.n, _LOD_ERROR, error))
        return min(limit, largest_r2(self.basis.n, SINGLE_ERROR)) if single else limit
