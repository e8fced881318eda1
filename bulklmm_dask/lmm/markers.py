"""Preparation of a block of markers for the scanners: distinct, centred, rotated, in tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.covariance import Covariance
from bulklmm_dask.lmm.projection import covariate_gram
from bulklmm_dask.typing import Array, Flags, Index, Real

# A marker is not tested if less than this share of its variation is left beside the covariates.
NO_VARIATION = 1e-10
# If less than this share is left, rounding errors are too large for single precision, and errors of
# interpolation too large for either precision.
SMALL_SHARE = 1e-3
# Largest number of pairs, and of traits, in a tile: two tiles of doubles fit a second-level cache.
# A tile as high as wide is multiplied a tenth faster than one of 512 traits.
TILE_CELLS = 1 << 16
TILE_TRAITS = 256
# Rows that are compared at a time.
_ROWS = 64


def distinct_markers(x: Array) -> tuple[Array, Index | None]:
    """Markers without exact copies, and the position of each original marker among these.

    Neighbouring markers without a recombination between them are copies: two thirds of the 7,321
    markers of the 50 BXD strains. If fewer than a fifth are copies, all markers are returned, and
    None for the positions.
    """
    x = np.ascontiguousarray(x)
    flat = x.reshape(len(x), -1)
    first, where = _unique(_sums(flat))
    if len(first) > 0.8 * len(x):
        return x, None
    if not _are_copies(flat, first[where]):  # different rows of one sum
        rows = flat.view(np.dtype((np.void, x.itemsize * flat.shape[1])))[:, 0]
        first, where = _unique(rows)
    place = np.empty_like(first)
    place[np.argsort(first)] = np.arange(len(first))  # in the order of the chromosome
    return x[np.sort(first)], place[where]


def _sums(rows: Real) -> Array:
    """Sums of rows with random weights: those of copies are equal, being added in one order."""
    weights = np.random.default_rng(1).random(rows.shape[1])
    return np.asarray(np.einsum("ij,j->i", rows.astype(np.float64, copy=False), weights))


def _are_copies(rows: Real, of: Index) -> bool:
    """Tell whether each row equals that of the place given for it; a few at a time, in cache."""
    places = np.flatnonzero(of != np.arange(len(rows)))
    parts = np.split(places, range(_ROWS, len(places), _ROWS))
    return all(np.array_equal(rows[part], rows[of[part]]) for part in parts)


def _unique(values: np.ndarray) -> tuple[Index, Index]:
    """First position of each different value, and which of these each value is."""
    _, first, where = np.unique(values, return_index=True, return_inverse=True)
    return first, where


def changes(x: Array) -> Flags:
    """Whether a sample differs from itself at the marker before, (samples, variants).

    Parameters
    ----------
    x : array (variants, samples) or (variants, samples, genotypes)
    """
    out = np.ones((x.shape[1], len(x)), dtype=bool)
    differ = x[1:] != x[:-1]
    out[:, 1:] = (differ if x.ndim == 2 else differ.any(axis=2)).T
    return out


def without_repeats(x: Array, changed: Flags, samples: Index) -> tuple[Array, Index]:
    """Markers of some samples without those that equal the one before.

    Few samples have few recombinations: of 2,048 markers of the BXD strains, 30 strains tell 400
    apart.

    Returns
    -------
    x : array (k, n, ...)
        The markers that differ from the one before in these n samples.
    where : array (variants,)
        Position of each original marker among these.
    """
    differs = changed[samples].any(axis=0)
    return x[differs].take(samples, axis=1), np.cumsum(differs) - 1


@dataclass(frozen=True)
class Markers:
    """A block of markers, rotated to the eigenbasis of one group of samples.

    Attributes
    ----------
    rotated : array (variants, r)
        Centred dosages in the eigenbasis. Trailing entries in the null space of the kinship that
        are zero for every marker of the block are cut off; with replicated samples r is about the
        number of distinct genotypes.
    tested : array (variants,) of bool
        False where no variation is left after projecting out the covariates.
    """

    rotated: Array
    tested: Flags

    def take(self, rows: Index) -> Markers:
        """Some of the markers."""
        return Markers(self.rotated[rows], self.tested[rows])

    def without(self, rows: Index) -> Markers:
        """The same markers, with those in `rows` marked as not tested."""
        tested = self.tested.copy()
        tested[rows] = False
        return Markers(self.rotated, tested)


def prepare_markers(basis: Basis, dosage: Array) -> Markers:
    """Centre and rotate dosages (variants, n) of the n samples of a basis, none missing.

    If the weights are of very different size, the covariates are projected out as well: the mean of
    the samples leaves large values where weights are large, which would cancel later.
    """
    mean = dosage.mean(axis=1, keepdims=True)
    centred = dosage - mean
    rotated = basis.rotate_rows(centred)
    size = np.einsum("ik,ik->i", rotated, rotated)
    spread = size if basis.weights is None else np.einsum("ik,ik->i", centred, centred)
    if basis.graded:
        rotated = outside_covariates(basis, rotated)
        left = np.einsum("ik,ik->i", rotated, rotated)
    else:
        inside = rotated @ basis.covariates
        left = size - np.einsum("ic,ic->i", inside, inside)
    tested = _vary(basis, left, size, spread, mean[:, 0])
    rounding = 1e-12 * np.sqrt((left if basis.graded else size).max(initial=0.0))
    beyond = rotated[:, basis.rank :]
    reach = np.flatnonzero(np.abs(beyond).max(axis=0, initial=0.0) > rounding)
    width = basis.rank + (int(reach[-1]) + 1 if len(reach) else 0)
    return Markers(np.ascontiguousarray(rotated[:, :width]), tested)


def project_markers(basis: Basis, dosage: Array) -> tuple[Array, Flags]:
    """Centre dosages (variants, n), and rotate them into the projected rows in one product.

    It serves where `Basis.to_projected` is not None, and the weights are of similar size.

    Returns
    -------
    array (variants, r)
    array (variants,) of bool
        False where no variation is left, as in `Markers`.
    """
    mean = dosage.mean(axis=1)
    centred = dosage - mean[:, None]
    spread = size = np.einsum("ik,ik->i", centred, centred)
    if basis.weights is not None:
        centred *= basis.weights
        size = np.einsum("ik,ik->i", centred, centred)
    assert basis.to_projected is not None
    x = centred @ basis.to_projected
    return x, _vary(basis, np.einsum("ik,ik->i", x, x), size, spread, mean)


def _vary(basis: Basis, left: Array, size: Array, spread: Array, mean: Array) -> Flags:
    """Whether covariates leave variation of markers.

    From squared lengths without the covariates, with them and unweighted, and the means.
    """
    tested = left > basis.share_left(NO_VARIATION) * np.maximum(size, 1e-300)
    # What centring leaves of a constant row, through rounding of its mean, is no variation.
    return np.asarray(tested & (size > 1e-20 * (spread + basis.n * mean**2)))


def outside_covariates(covariance: Covariance, rows: Array) -> Array:
    """Rotated rows (k, rows) projected off the covariates, orthogonal to them up to rounding."""
    for _ in range(2):  # twice makes them orthogonal to rounding
        rows = rows - (rows @ covariance.covariates) @ covariance.covariates.T
    return rows


def nearly_fixed(basis: Basis, markers: Markers) -> Index:
    """Positions of tested markers with less than `SMALL_SHARE` left beside the covariates."""
    x = markers.rotated
    size = np.einsum("ik,ik->i", x, x)
    inside = x @ basis.covariates[: x.shape[1]]
    left = size - np.einsum("ic,ic->i", inside, inside)
    return np.flatnonzero(markers.tested & (left < SMALL_SHARE * size))


def variation(basis: Basis, markers: Markers, nodes: Array) -> Array:
    """S_xx = x'M(h)x of every marker at every node of h, (variants, nodes)."""
    x = markers.rotated
    width = x.shape[1]
    w = basis.at(nodes).weights
    out = (x * x) @ w[:width]
    c = basis.n_covariates
    if c:
        # With C'WC = LL', the covariates take |L^-1 C'Wx|^2 from x'Wx.
        factor = np.linalg.cholesky(covariate_gram(basis, w))
        by_node = w[:width].T[:, None, :] * basis.covariates[:width].T
        solved = np.linalg.solve(factor, by_node)  # (nodes, c, width)
        for k in range(c):
            part = x @ solved[:, k].T
            np.multiply(part, part, out=part)
            out -= part
    return out


def cut(n_variants: int, n_traits: int, cells: int) -> Iterator[tuple[slice, slice]]:
    """Yield the markers and the traits of each tile of a block, at most `cells` pairs per tile."""
    width = min(n_traits, TILE_TRAITS)
    height = cells // max(width, 1)
    for j in range(0, n_traits, width or 1):
        for i in range(0, n_variants, height):
            yield slice(i, min(i + height, n_variants)), slice(j, min(j + width, n_traits))
