"""What an interactive picture says of the points and cells under the pointer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np

from bulklmm_dask.text import counted

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

# Words are made when a page is written, not for every picture.
Words: TypeAlias = Callable[[], Sequence[str]]


@dataclass(frozen=True)
class Points:
    """Points of a picture, and what is said of each; a line break begins another line."""

    artist: Artist
    x: np.ndarray
    y: np.ndarray
    words: Words


@dataclass(frozen=True)
class Cells:
    """Cells of a picture: their edges, the names of columns and rows, and their values.

    `values` (rows, columns) are NaN where a cell has none; `label` says what they are.
    """

    artist: Artist
    x: np.ndarray
    y: np.ndarray
    columns: Words
    rows: Words
    values: np.ndarray
    label: str


_TOLD: WeakKeyDictionary[Any, list[Points | Cells]] = WeakKeyDictionary()


def tell(ax: Axes, what: Points | Cells) -> None:
    """Keep what is said of points or cells of these axes."""
    _TOLD.setdefault(ax, []).append(what)


def told(ax: Axes) -> list[Points | Cells]:
    """What is said of all that these axes still show."""
    return [what for what in _TOLD.get(ax, []) if what.artist.axes is ax]


def names_of_runs(names: np.ndarray, starts: np.ndarray) -> list[str]:
    """Name each of neighbouring rows that are drawn as one: the first, and how many others."""
    return [
        str(names[low]) + ("" if high - low == 1 else f" and {counted(high - low - 1, 'other')}")
        for low, high in pairwise(starts.tolist())
    ]
