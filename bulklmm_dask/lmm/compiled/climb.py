"""Maxima of the pairs of a tile near their null estimates, in one pass (`climb.h`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bulklmm_dask.lmm.compiled.loops import loaded
from bulklmm_dask.typing import Flags, Index, Single


@dataclass(frozen=True)
class TraitTable:
    """What the loop needs of the traits of a tile.

    Attributes
    ----------
    columns : array (traits, 36)
        The coefficients of a_4, a_5, and of the likelihoods; the range of t, w, c and h0; t that
        are too small or too large; whether polynomials are unusable; +1 or -1 for traits at an end
        of the interval, the direction into it, else 0; whether the range ends with the interval.
    node : array (traits, most)
        Positions of the heritabilities at which other maxima are looked for.
    heights : array (traits,)
        How many of these are of use.
    places : array (traits, most, 7)
        alpha, the last of them that of another score, its bound and the factor of the null
        likelihood at each.
    far_row : array (traits,)
        Row of the products of the other score, -1 for traits without.
    """

    columns: Single
    node: Index
    heights: Index
    places: Single
    far_row: Index


@dataclass(frozen=True)
class Limits:
    """Numbers by which pairs are marked for a search, and those of the model.

    `n` samples and `count` effective degrees of freedom; `series` times a^2 t^8 may be at most g; a
    step may promise `step` nats, and r2 be `large`; `h2_max` is the largest heritability.
    """

    n: int
    count: int
    series: float
    step: float
    large: float
    h2_max: float
    reml: bool


def climb_tile(
    a: Single,
    g: Single,
    far: Single,
    traits: TraitTable,
    inverse: Single,
    volume: Single,
    first: int,
    limits: Limits,
    loops: int,
) -> tuple[Single, Single, Flags]:
    """Likelihood in nats, heritability, and whether the pair has to be searched, (traits, markers).

    Parameters
    ----------
    a : array (4, traits, markers)
    g : array (9, traits, markers)
        Coefficients of the polynomials of the pairs.
    far : array (others, markers)
        Products of the markers with the other scores of some traits.
    traits : TraitTable
    inverse, volume : array (nodes, all markers)
        1/S_xx at the nodes and, under REML, the root of it by which 1 - r2 is divided.
    first : int
        Position of the first marker of the tile among all.
    limits : Limits
    loops : int
        Which loops (`loops.loops`).
    """
    module = loaded()
    value, h2 = np.empty((2, *a.shape[1:]), np.float32)
    unsure = np.empty(a.shape[1:], np.bool_)
    module.climb(
        a,
        g,
        traits.columns,
        traits.node,
        traits.heights,
        traits.places,
        far,
        traits.far_row,
        inverse,
        volume,
        first,
        limits.n,
        limits.count,
        limits.series,
        limits.step,
        limits.large,
        limits.h2_max,
        limits.reml,
        value,
        h2,
        unsure,
        loops,
    )
    return value, h2, unsure
