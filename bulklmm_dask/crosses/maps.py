"""Genetic maps: recombination fractions of distances, and positions between markers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import numpy as np

from bulklmm_dask.typing import Array

MapFunction: TypeAlias = Literal["haldane", "kosambi", "carter-falconer", "morgan"]
MAP_FUNCTIONS: tuple[str, ...] = get_args(MapFunction)

# Recombination fraction of neighbours in one place, as in R/qtl2: calls there may contradict.
_SMALLEST = 1e-8
# cM between a marker and a position of the grid, below which the position is left out.
AT_MARKER = 0.01
# Halvings of [0, 1/2] until doubles end.
_HALVINGS = 60
_DIGITS = 15


def recombination(distance: Array, function: str) -> Array:
    """Recombination fractions of distances in cM, between 1e-8 and 1/2.

    ================  ==========================================================
    haldane           r = (1 - exp(-d/50))/2
    kosambi           r = tanh(d/50)/2
    carter-falconer   d = 12.5 [ln((1 + 2r)/(1 - 2r)) + 2 arctan 2r]
    morgan            r = d/100
    ================  ==========================================================
    """
    return np.clip(_FUNCTIONS[function](distance), _SMALLEST, 0.5)


def _carter_falconer(distance: Array) -> Array:
    low, high = np.zeros_like(distance), np.full_like(distance, 0.5)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        with np.errstate(divide="ignore"):  # infinite at 1/2
            below = 25 * (np.arctanh(2 * middle) + np.arctan(2 * middle)) < distance
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "haldane": lambda d: -np.expm1(-d / 50) / 2,
    "kosambi": lambda d: np.tanh(d / 50) / 2,
    "carter-falconer": _carter_falconer,
    "morgan": lambda d: d / 100,
}


def grid(markers: Array, step: float) -> Array:
    """Positions every `step` cM from the first marker of a chromosome to the last."""
    low, high = markers.min(), markers.max()
    return low + step * np.arange(int((high - low) / step + 1e-10) + 1)


def between(markers: Array, wanted: Array) -> Array:
    """Positions, ascending, without those less than 0.01 cM from a marker."""
    known, asked = np.sort(markers), np.unique(wanted)
    right = np.searchsorted(known, asked)
    padded = np.concatenate([[-np.inf], known, [np.inf]])
    nearest = np.minimum(asked - padded[right], padded[right + 1] - asked)
    return asked[nearest >= AT_MARKER]


def pseudomarker_names(contig: str, positions: Array, step: float) -> list[str]:
    """Names such as c1.loc5, with as many decimals as `step` has, and more where two are alike."""
    names: list[str] = []
    for digits in range(max(0, int(np.ceil(-np.log10(step)))), _DIGITS + 1):
        names = [f"c{contig}.loc{round(float(at), digits):.15g}" for at in positions]
        if len(set(names)) == len(names):
            break
    return names
