"""Markers of a block as all scanners need them: distinct, centred, rotated, and cut into tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.projection import covariate_gram, inverse_and_logdet
from bulklmm_dask.typing import Array, Flags, Index

# A marker of which the covariates leave less than this share of its variation is not tested.
NO_VARIATION = 1e-10
# Where covariates leave less than this share of it, rounding grows too much for single precision,
# and an error of interpolation too much for any.
SMALL_SHARE = 1e-3
# Pairs and traits of one tile: two tiles of doubles stay in a core's second-level cache.
TILE_CELLS = 1 << 16
TILE_TRAITS = 512


def distinct_markers(x: Array) -> tuple[Array, Index | None]:
    """Markers without their exact copies, and where each marker is found among them.

    Neighbours that no recombination separates are copies: of the 7,321 markers of the 50 BXD
    strains two thirds are. None stands for too few copies to be worth the trouble.
    """
    flat = np.ascontiguousarray(x).reshape(len(x), -1)
    rows = flat.view(np.dtype((np.void, x.itemsize * flat.shape[1])))[:, 0]
    _, first, where = np.unique(rows, return_index=True, return_inverse=True)
    if len(first) > 0.8 * len(x):
        return x, None
    return x[first], where


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
    tested: Flags

    def take(self, rows: Index) -> Markers:
        """Some of them."""
        return Markers(self.rotated[rows], self.tested[rows])

    def without(self, rows: Index) -> Markers:
        """All of them, some no longer tested."""
        tested = self.tested.copy()
        tested[rows] = False
        return Markers(self.rotated, tested)


def prepare_markers(basis: Basis, dosage: Array) -> Markers:
    """Centre and rotate dosages (variants, n) of the samples of a group, none missing."""
    rotated = basis.rotate_rows(dosage - dosage.mean(axis=1, keepdims=True))
    size = np.einsum("ik,ik->i", rotated, rotated)
    inside = rotated @ basis.covariates
    left = size - np.einsum("ic,ic->i", inside, inside)
    tested = left > NO_VARIATION * np.maximum(size, 1e-300)
    # Rounding of a constant row (a mean that is not exact) is no variation either.
    tested &= size > 1e-20 * np.einsum("ik,ik->i", dosage, dosage)
    rounding = 1e-12 * np.sqrt(size.max(initial=0.0))
    reach = np.flatnonzero(np.abs(rotated).max(axis=0, initial=0.0) > rounding)
    width = int(reach[-1]) + 1 if len(reach) else 0
    return Markers(np.ascontiguousarray(rotated[:, :width]), tested)


def nearly_fixed(basis: Basis, markers: Markers) -> Index:
    """Markers of which the covariates leave so little that single precision would not do."""
    x = markers.rotated
    size = np.einsum("ik,ik->i", x, x)
    inside = x @ basis.covariates[: x.shape[1]]
    left = size - np.einsum("ic,ic->i", inside, inside)
    return np.flatnonzero(markers.tested & (left < SMALL_SHARE * size))


def variation(basis: Basis, markers: Markers, nodes: Array) -> Array:
    """S_xx = x'M(h)x of every marker at every node, (variants, nodes)."""
    x = markers.rotated
    width = x.shape[1]
    w = basis.at(nodes).weights
    out = (x * x) @ w[:width]
    c = basis.n_covariates
    if c:
        inverse, _ = inverse_and_logdet(covariate_gram(basis, w))
        weighted = basis.covariates[:width, :, None] * w[:width, None, :]
        b = (x @ weighted.reshape(width, c * len(nodes))).reshape(len(x), c, len(nodes))
        out -= np.einsum("iaq,qab,ibq->iq", b, inverse, b, optimize=True)
    return out


def cut(n_variants: int, n_traits: int, cells: int) -> Iterator[tuple[slice, slice]]:
    """Markers and traits of the tiles of a block, each of at most so many pairs (cells)."""
    width = min(n_traits, TILE_TRAITS)
    height = cells // max(width, 1)
    for j in range(0, n_traits, width or 1):
        for i in range(0, n_variants, height):
            yield slice(i, min(i + height, n_variants)), slice(j, min(j + width, n_traits))
