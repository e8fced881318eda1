"""Reduction of a large result: a function on every block, then one on each chunk of traits.

A block is dropped once the function has run on it, and all arrays of a block are computed together.
Dask is imported once there is something to reduce.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import xarray as xr

Block: TypeAlias = dict[str, xr.Variable]


def in_chunks(variable: xr.Variable, sizes: Mapping[Any, Any]) -> xr.Variable:
    """A variable in chunks; one in memory is not copied, and travels once to a cluster."""
    from bulklmm_dask.engine.reduction import cut

    return cut(variable, sizes)


def gathered(
    whole: xr.Dataset,
    sift: Callable[..., Any],
    gather: Callable[..., Any],
    *,
    sift_with: dict[str, Any],
    gather_with: dict[str, Any],
    beside: xr.Dataset | None = None,
) -> list[Any]:
    """Run ``sift`` on every block, then ``gather`` on its results for each chunk of traits.

    If ``whole`` holds a single array of pairs, dask computes and sifts a block in one task, while
    it is in the processor's cache.

    Parameters
    ----------
    whole : Dataset
        Variables over variants, traits or both, with consistent chunks.
    sift : callable
        ``sift(block, **sift_with)`` reduces the variables of one block, a mapping by name, to a
        small object.
    gather : callable
        ``gather(parts, chunk, **gather_with)`` combines the results of ``sift`` for the chunk of
        traits with the number ``chunk``, in the order of the variants.
    sift_with, gather_with : dict
        Further keyword arguments of the two functions.
    beside : Dataset, optional
        Further variables over variants or traits. ``gather`` receives them as ``beside``, for all
        variants and for the traits of its chunk.

    Returns
    -------
    list
        Results of ``gather``, one per chunk of traits in order.
    """
    from bulklmm_dask.engine.reduction import reduced

    return reduced(whole, sift, gather, sift_with, gather_with, beside)
