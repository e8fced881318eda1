"""Arrays cut into pieces of one shape, as files are into chunks: which of them a region touches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

Region = tuple[slice, ...]


def touched(
    region: Sequence[slice], piece: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], Region, Region]]:
    """Yield the pieces that a region touches.

    Parameters
    ----------
    region : sequence of slice
        Start and stop along each dimension, of an array or a file.
    piece : sequence of int
        Shape of a piece.

    Yields
    ------
    index : tuple of int
        Place of the piece in the grid of pieces.
    of_piece, of_region : tuple of slice
        What both have in common, counted from the start of the piece, and of the region.
    """
    cut = list(zip(region, piece, strict=True))
    grid = [range(one.start // size, -(-one.stop // size)) for one, size in cut]
    for index in product(*grid):
        of_piece, of_region = [], []
        for (one, size), at in zip(cut, index, strict=True):
            start, stop = max(one.start, at * size), min(one.stop, (at + 1) * size)
            of_piece.append(slice(start - at * size, stop - at * size))
            of_region.append(slice(start - one.start, stop - one.start))
        yield index, tuple(of_piece), tuple(of_region)


def bounds(
    key: Sequence[int | slice], shape: Sequence[int]
) -> tuple[Region, tuple[int | slice, ...]]:
    """Split a selection of integers and rising slices into a region, and what it takes of that."""
    region, within = list[slice](), list[int | slice]()
    for one, size in zip(key, shape, strict=True):
        if isinstance(one, slice):
            rows = range(*one.indices(size))
            region.append(slice(rows[0], rows[-1] + 1) if rows else slice(0, 0))
            within.append(slice(None, None, one.step))
        else:
            at = int(one) % size
            region.append(slice(at, at + 1))
            within.append(0)
    return tuple(region), tuple(within)
