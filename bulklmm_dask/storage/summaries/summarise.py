"""One pass over LODs: the highest of groups of rows, where they are, and counts of all by cell.

A loop in C does it where it was built. NumPy does the same elsewhere, and where the environment has
``BULKLMM_DASK_KERNELS=numpy``: it finds the highest in slabs, and counts while it looks at these.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from bulklmm_dask._compiled import NUMPY, built, wanted
from bulklmm_dask.storage.summaries.cells import N_CELLS, Counts, Layout
from bulklmm_dask.storage.summaries.slabs import Slabs
from bulklmm_dask.typing import Index, Real


def summarise(
    lod: Real, group: Index, *, counted: bool = False, where: Index | None = None
) -> tuple[Real, npt.NDArray[np.integer[Any]], npt.NDArray[np.integer[Any]] | None]:
    """Look once at all LODs.

    Parameters
    ----------
    lod : array (rows, columns)
        LODs; NaN is passed over.
    group : array (markers,)
        Number of the group of each marker.
    counted : bool
        Whether LODs, in single or double precision, are counted as well.
    where : array (markers,) of int, optional
        Row of each marker; by default each has its own.

    Returns
    -------
    highest : array (groups, columns)
        Highest LOD of every column in each group, in the order of their numbers; NaN where a group
        has none. What is 0 has no sign.
    row : array (groups, columns) of int
        The first marker that has it; the first of the group where there is none.
    counts : array (cells,) or None
        How many LODs each cell has; None if they are not counted.
    """
    counts: npt.NDArray[np.integer[Any]] | None
    row: npt.NDArray[np.integer[Any]]
    takes = wanted() != NUMPY and lod.dtype in (np.float32, np.float64)
    loop = built("storage.compiled._blocks") if takes else None
    if loop is not None:
        where = np.arange(len(lod)) if where is None else where
        highest, row, counts = _compiled(loop, lod, where, group, counted=counted)
    else:
        lod = lod if where is None else lod[where]
        adder = Counts(lod.dtype) if counted else None
        highest, row = Slabs.of(lod, group, adder).highest()
        counts = None if adder is None else adder.by_cell
    return highest + 0, row, counts


def _compiled(
    loop: ModuleType, lod: Real, where: Index, group: Index, *, counted: bool
) -> tuple[Real, npt.NDArray[np.int32], npt.NDArray[np.uint32] | None]:
    order = np.argsort(group, kind="stable").astype(np.int64, copy=False)
    starts = np.flatnonzero(np.diff(group[order], prepend=group[order[:1]] - 1))
    edges = np.append(starts, len(group)).astype(np.int64, copy=False)
    dtype = np.dtype(lod.dtype.type)  # Zarr names the order of bytes, also that of this machine
    highest = np.empty((starts.size, lod.shape[1]), dtype)
    row = np.empty(highest.shape, np.int32)
    counts = np.zeros(N_CELLS + 1 if counted else 0, np.uint32)  # the last one counts NaN
    layout = Layout.of(dtype)
    values = np.require(lod, requirements=["C", "ALIGNED"]).view(dtype)
    where = where.astype(np.int64, copy=False)
    loop.summarise(values, where, order, edges, highest, row, counts, layout.shift, layout.first)
    return highest, row, counts[:-1] if counted else None


def highest_of_groups(lod: Real, group: Index) -> tuple[Index, Real, Index]:
    """Highest LOD of every column in each group of rows, and the first row that has it.

    Returns
    -------
    groups : array (groups,)
        Their numbers, ascending.
    highest, row : array (groups, columns)
        From `summarise`.
    """
    highest, row, _ = summarise(lod, group)
    return np.unique(group), highest, row.astype(np.int64, copy=False)


def count_in_cells(lod: Real, least: float = -np.inf) -> Index:
    """Count LODs in each cell; NaN is passed over.

    Parameters
    ----------
    lod : array
        Values of any shape; negative ones count as 0.
    least : float
        LODs below it count as the first cell, which saves the time to find their own.

    Returns
    -------
    array (cells,)
        Counts of all cells.
    """
    if lod.dtype not in (np.float32, np.float64):
        lod = lod.astype(np.float64)
    if np.isneginf(least) and lod.ndim == 2 and lod.size:
        counts = summarise(lod, np.zeros(len(lod), np.int64), counted=True)[2]
        assert counts is not None
        return counts.astype(np.int64, copy=False)
    return Counts.of(lod, least)
