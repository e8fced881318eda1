"""The kinship of the samples as a matrix of colours."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bulklmm_dask.errors import InputError
from bulklmm_dask.plot._canvas import HEAT, NORMAL, SMALL, axes, colour_bar, extension, named
from bulklmm_dask.plot._told import Cells, names_of_runs, tell
from bulklmm_dask.study.checks import real_numbers, refuse_huge
from bulklmm_dask.surface import either

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (4.6, 3.9)  # inches
_CELLS = 800  # along a side, at most
_NAMED = 28  # samples up to which they are named


def kinship(
    kinship: xr.DataArray | xr.Dataset, *, order: bool = True, ax: Axes | None = None
) -> Axes:
    """Draw a kinship matrix as colours, with related samples next to each other.

    Parameters
    ----------
    kinship : DataArray (samples_0, samples_1) or Dataset
        A kinship, or a study with one.
    order : bool
        Whether to order the samples by hierarchical clustering (average linkage of the distances
        sqrt(k_ii + k_jj - 2 k_ij)), which needs 8 n^2 bytes for n samples, and some seconds for
        10,000.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Samples in both directions. Colours range from the 1st to the 99th percentile of the
        kinship of different samples. With more than 800 samples, neighbours are averaged.

    Raises
    ------
    InputError
        If there is no kinship, there is one for each contig, it is not square or holds NaN, or
        matplotlib is not installed.

    Examples
    --------
    >>> ax = blmm.plot.kinship(ds)
    >>> ax.figure.savefig("kinship.png")

    With the samples in their own order:

    >>> ax = blmm.plot.kinship(ds.kinship, order=False)
    >>> ax.get_xlabel()
    '120 samples, in order'
    """
    matrix, names = _matrix(kinship)
    values = real_numbers(matrix.values, "the kinship", "compute it again")
    n = len(values)
    if np.isnan(values).any():
        raise InputError("the kinship holds NaN; compute it again")
    refuse_huge(values, "the relationships", "compute the kinship again")
    ax = axes(ax, _SIZE)
    arranged = _clustered(values) if order and n > 2 else np.arange(n)
    image = _averaged(values, arranged)
    low, high = _range(image)
    drawn = ax.imshow(image, cmap=HEAT, vmin=low, vmax=high, extent=(0, n, n, 0), aspect="auto")
    ax.set_box_aspect(1)
    ax.spines[:].set_linewidth(0.6)
    ax.tick_params(labelsize=SMALL, length=0)
    how = "clustered" if order else "in order"
    if n <= _NAMED and names is not None:
        labels = [named(names[i]) for i in arranged]
        ax.set_xticks(np.arange(n) + 0.5, labels, rotation=90)
        ax.set_yticks(np.arange(n) + 0.5, labels)
    else:
        ax.set(xticks=[], yticks=[])
        ax.set_xlabel(f"{n:,} samples, {how}", fontsize=NORMAL)
    starts = _starts(n)
    words = partial(_samples, np.arange(n) if names is None else names, arranged, starts)
    tell(ax, Cells(drawn, starts, starts, words, words, image, "Kinship"))
    method = matrix.attrs.get("method")
    colour_bar(
        ax,
        drawn,
        "Kinship" + (f" ({named(method)})" if isinstance(method, str) and method else ""),
        extend=extension(image, low, high),
    )
    return ax


def _matrix(kinship: xr.DataArray | xr.Dataset) -> tuple[xr.DataArray, np.ndarray | None]:
    """The kinship, and the names of the samples if they are known."""
    names = None
    if isinstance(kinship, xr.Dataset):
        if "kinship" not in kinship:
            raise InputError(
                "the study has no kinship to draw: ds['kinship'] = bulklmm_dask.kinship(ds)"
            )
        names = kinship["sample_id"].values if "sample_id" in kinship else None
        kinship = kinship["kinship"]
    if not isinstance(kinship, xr.DataArray):
        raise InputError(
            f"a kinship is a DataArray, or a study that holds one, not {type(kinship).__name__}; "
            "give what bulklmm_dask.kinship or bulklmm_dask.read_kinship returns"
        )
    if kinship.ndim == 3:
        raise InputError(
            "this is a kinship for each contig left out; "
            + either(
                "draw one of them: ds['kinship_loco'].isel(contigs=0)",
                "name one of all markers in --kinship",
            )
        )
    if kinship.ndim != 2 or kinship.shape[0] != kinship.shape[1] or not kinship.size:
        raise InputError(f"a kinship is square, samples by samples, not {kinship.shape}")
    dim = kinship.dims[0]
    names = kinship[dim].values if names is None and dim in kinship.coords else names
    return kinship, names if names is not None and names.shape == kinship.shape[:1] else None


def _clustered(values: np.ndarray) -> np.ndarray:
    """Order of the samples that puts related ones next to each other."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    diagonal = np.diagonal(values)
    n = len(values)
    distance = np.empty(n * (n - 1) // 2)
    end = 0
    for i in range(n - 1):
        start, end = end, end + n - 1 - i
        distance[start:end] = diagonal[i] + diagonal[i + 1 :] - 2.0 * values[i, i + 1 :]
    np.sqrt(np.maximum(distance, 0.0, out=distance), out=distance)
    return np.asarray(leaves_list(linkage(distance, "average")))


def _starts(n: int) -> np.ndarray:
    """Edges of the cells, in samples."""
    return np.linspace(0, n, min(n, _CELLS) + 1).astype(int)


def _samples(names: np.ndarray, arranged: np.ndarray, starts: np.ndarray) -> list[str]:
    """Name the sample of every row, or the first of several with their number."""
    return names_of_runs(np.asarray(names)[arranged], starts)


def _averaged(values: np.ndarray, arranged: np.ndarray) -> np.ndarray:
    """The matrix in a new order; neighbours are averaged where it is larger than the picture."""
    starts = _starts(len(values))
    size = np.diff(starts)
    rows = [
        np.add.reduceat(values[arranged[low:high]].mean(axis=0)[arranged], starts[:-1]) / size
        for low, high in pairwise(starts)
    ]
    return np.stack(rows)


def _range(image: np.ndarray) -> tuple[float, float]:
    """Lowest and highest kinship of the colour scale, without the diagonal and extreme values."""
    between = image[~np.eye(len(image), dtype=bool)] if len(image) > 1 else image.ravel()
    low, high = np.percentile(between, [1, 99])
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)
