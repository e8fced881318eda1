"""Columns of genotype probabilities that are tested: of k genotypes k - 1, for they sum to 1.

The first genotype is left out. Where it is rare, the others sum nearly to 1, and what tells it from
nothing would be lost in their rounding: there the commonest genotype is left out, and the first
stands in its place.
"""

from __future__ import annotations

import numpy as np

from bulklmm_dask.typing import Array, Index

# The first genotype is rare if less than this share of the samples has it.
_RARE = 0.01


def tested_genotypes(x: Array) -> tuple[Array, Index, Index]:
    """Columns that are tested, and where the first genotype stands for another one.

    Parameters
    ----------
    x : array (variants, n, k)
        Probabilities of k genotypes, which sum to 1; none missing.

    Returns
    -------
    columns : array (variants, k - 1, n)
        Genotypes but the first.
    markers : array (m,)
        Markers whose first genotype is rare.
    places : array (m,)
        Column of these in which the first genotype stands.
    """
    columns = x.transpose(0, 2, 1)[:, 1:]
    markers = np.flatnonzero(x[:, :, 0].mean(axis=1) < _RARE)
    if not markers.size or not columns.shape[1]:
        return columns, markers[:0], markers[:0]
    places = columns[markers].sum(axis=2).argmax(axis=1)
    columns = columns.copy()
    columns[markers, places] = x[markers, :, 0]
    return columns, markers, places


def in_first_place(blocks: int, columns: int, markers: Index, places: Index, size: int) -> Array:
    """Matrices (size, d, d) that make the tested columns of the genotypes but the first.

    Beside the covariates, the first genotype is minus the sum of all others; so are its products,
    of which there is a block of columns each.
    """
    out = np.broadcast_to(np.eye(blocks * columns), (size, blocks * columns, blocks * columns))
    if not markers.size:
        return out
    out = out.copy()
    for block in range(blocks):
        own = slice(block * columns, (block + 1) * columns)
        out[markers, block * columns + places, own] = -1.0
    return out
