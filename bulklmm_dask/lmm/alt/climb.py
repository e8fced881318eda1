r"""Maxima of the likelihoods of all pairs near the null estimates, tile by tile (`local`).

With D = g - a^2, and h = N/2 for the N effective degrees of freedom of the likelihood to maximise,

F(t)  = L - h ln D + k ln g,   k = h, or h - 1/2 under REML,
F'(t) = L' - h D'/D + k g'/g,  F'' = L'' - h [D''/D - (D'/D)^2] + k [g''/g - (g'/g)^2].

Newton's step from t = 0 gives t1; a parabola through F'(0), F''(0) and F'(t1) gives the step d that
is left, and F(t1 + d) = F(t1) + d F'(t1)/2. All of it is in single precision, in place, in tiles
that fit a second-level cache. Pairs for which that may be too inexact, or that may have a higher
maximum elsewhere, are marked for a search.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bulklmm_dask.lmm.alt.local import DEGREE, POWERS, Expansion
from bulklmm_dask.lmm.compiled.climb import Limits, TraitTable, climb_tile
from bulklmm_dask.lmm.compiled.loops import loops
from bulklmm_dask.lmm.compress import weights_at
from bulklmm_dask.typing import Array, Flags, Index, Single

# Traits and markers of a tile.
TRAITS, MARKERS = 64, 512
# A pair is searched if the error of a(t), of the order of t^4 / sqrt(n), may move its likelihood by
# more: n r2 t^8 above `_SERIES`; less under REML, where the LOD is not stationary in h2.
_SERIES, _SERIES_REML = 1.5e-5, 1.5e-7
# A pair is searched if the second step promises more nats than `_STEP`.
_STEP = 0.01
# A pair is searched where r2 is above: its likelihood is hardly that of the null model.
_LARGE = 0.3
_TINY = 1e-20


@dataclass(frozen=True)
class Climbed:
    """Maxima of the pairs of a tile, all (traits, markers) but the slices.

    Attributes
    ----------
    columns, rows : slice
        Positions of the traits and of the markers in the block.
    value : array
        Full likelihood in nats, relative to that of the null model at its estimate.
    h2 : array
        Heritability.
    unsure : array of bool
        Whether the pair has to be searched.
    """

    columns: slice
    rows: slice
    value: Single
    h2: Single
    unsure: Flags


class Climb:
    """Iterates over the tiles of a block of markers and the traits of an expansion.

    Parameters
    ----------
    expansion : Expansion
    x : array (markers, r)
        Projected markers.
    squares : array (markers, q)
        Terms of their squares.
    n, count : int
        Samples, and effective degrees of freedom of the likelihood to maximise.
    reml : bool
        Maximise the restricted instead of the full likelihood.
    single : bool
        Compute also the products for t = 0 in single precision.
    """

    def __init__(
        self,
        expansion: Expansion,
        x: Array,
        squares: Array,
        n: int,
        count: int,
        *,
        reml: bool,
        single: bool,
    ) -> None:
        self.expansion, self.n, self.count, self.reml = expansion, n, count, reml
        weights = weights_at(expansion.projected.poles, expansion.elsewhere.h2)
        sxx = np.maximum(squares @ weights, 1e-300)
        # Markers are scaled, so that numbers stay in the range of single precision.
        size = sxx[:, 0]
        x, squares = x.T / np.sqrt(size), squares.T / size
        self._double = None if single else (x, squares)
        self._x, self._squares = x.astype(np.float32), squares.astype(np.float32)
        inverse = (size[:, None] / sxx).T
        self._inverse = np.ascontiguousarray(inverse.astype(np.float32))
        # exp(-2/N (-1/2 ln S_xx)), by which 1 - r2 at a node is divided under REML.
        self._volume = np.ascontiguousarray((inverse ** (1.0 / count)).astype(np.float32))
        self._loops = loops()
        h2_max = expansion.projected.spectrum.h2_max
        series = n / (_SERIES_REML if reml else _SERIES)
        self._limits = Limits(n, count, series, _STEP, _LARGE, h2_max, reml)

    def __iter__(self) -> Iterator[Climbed]:
        traits, markers = len(self.expansion.h0), self._x.shape[1]
        for j in range(0, traits, TRAITS):
            columns = slice(j, min(j + TRAITS, traits))
            trait = _Traits(self.expansion, columns, in_order=self._loops is not None)
            for i in range(0, markers, MARKERS):
                yield self._tile(trait, columns, slice(i, min(i + MARKERS, markers)))

    def _tile(self, trait: _Traits, columns: slice, rows: slice) -> Climbed:
        height = columns.stop - columns.start
        a = np.empty((POWERS, height, rows.stop - rows.start), np.float32)
        below = 0 if self._double is None else height
        np.matmul(trait.scores[below:], self._x[:, rows], out=a.reshape(-1, a.shape[2])[below:])
        g = (trait.weights @ self._squares[:, rows]).reshape(DEGREE + 1, height, -1)
        if self._double is not None:
            a[0], g[0] = (
                first @ values[:, rows]
                for first, values in zip(trait.first, self._double, strict=True)
            )
        if self._loops is not None:
            inverse, volume, first = self._inverse, self._volume, rows.start
            found = climb_tile(a, g, trait.table, inverse, volume, first, self._limits, self._loops)
            return Climbed(columns, rows, *found)
        pair = _Pairs(trait, a, g, self.n, self.count, self.reml)
        with np.errstate(all="ignore"):
            value, objective, t, unsure = pair.climb()
            self._look_elsewhere(a, g, objective, trait, rows, unsure)
            # s = t / (w - c t)
            h2 = trait.centre * t
            np.subtract(trait.width, h2, out=h2)
            np.divide(t, h2, out=h2)
            h2 += trait.h0
            np.maximum(h2, np.float32(0.0), out=h2)
            np.minimum(h2, np.float32(self.expansion.projected.spectrum.h2_max), out=h2)
        unsure |= ~np.isfinite(value)
        back = trait.back
        return Climbed(columns, rows, value[back], h2[back], unsure[back])

    def _look_elsewhere(
        self,
        a: Single,
        g: Single,
        objective: Single,
        trait: _Traits,
        rows: slice,
        unsure: Flags,
    ) -> None:
        """Mark pairs that may have a higher maximum elsewhere."""
        if not trait.heights:
            return
        rest = objective * np.float32(-2.0 / self.count)
        np.exp(rest, out=rest)
        root = np.sqrt(g[0])  # of S_xx(h0)
        inverse, volume = self._inverse[:, rows], self._volume[:, rows]
        scores = np.matmul(trait.alpha, a.transpose(1, 0, 2))
        memory = np.empty(rest.shape, np.float32)
        for k, height in enumerate(trait.heights):
            score, scratch = scores[:height, k], memory[:height]
            node = trait.node[:height, k]
            np.abs(score, out=score)
            np.multiply(trait.bound[k, :height], root[:height], out=scratch)
            score += scratch
            score *= score
            inverse.take(node, axis=0, out=scratch, mode="clip")
            score *= scratch
            np.multiply(rest[:height], trait.factor[k, :height], out=scratch)
            if self.reml:
                scratch *= volume.take(node, axis=0)
            score += scratch
            unsure[:height] |= score > 1.0


@dataclass(frozen=True)
class _Point:
    """Likelihoods of pairs at some t, all (traits, markers).

    `objective` is F and `slope` F'; `full` and `full_slope` are those of the full likelihood;
    `square` is a^2.
    """

    objective: Single
    slope: Single
    full: Single
    full_slope: Single
    square: Single
    g: Single


@dataclass(frozen=True)
class _Pairs:
    """Polynomials of the pairs of a tile: a (4, traits, markers) and g (DEGREE + 1, ...)."""

    trait: _Traits
    a: Single
    g: Single
    n: int
    count: int
    reml: bool

    @cached_property
    def _series(self) -> list[Single]:
        """Coefficients of a(t), a_4 and a_5 among them."""
        return [*self.a, *(_combined(p, self.a) for p in (self.trait.power4, self.trait.power5))]

    @cached_property
    def _halves(self) -> tuple[np.float32, np.float32]:
        """Factors h and k of the logarithms (module)."""
        half = 0.5 * self.count
        return np.float32(half), np.float32(half - 0.5 * self.reml)

    def climb(self) -> tuple[Single, Single, Single, Flags]:
        """Full likelihood and F at their maximum, its t, and whether it may be another."""
        trait = self.trait
        slope, bend = self._at_null()
        t = -slope / bend
        unsure = bend >= 0.0
        if len(trait.ends):  # those that go beyond the interval stay at its end
            some = trait.ends
            stay = slope[some] * trait.inwards <= 0.0
            t[some] = np.where(stay, 0.0, t[some])
            unsure[some] &= ~stay
        np.maximum(t, trait.low, out=t)
        np.minimum(t, trait.high, out=t)
        at = self._at(t)
        # By a parabola through F'(0), F''(0) and F'(t).
        under = at.slope - slope
        under *= 2.0
        bend *= t
        under -= bend
        step = at.slope * t
        step /= under
        np.negative(step, out=step)
        under *= t
        unsure |= under > 0.0
        if len(trait.ends):
            step[trait.ends] = np.where(t[trait.ends] == 0.0, 0.0, step[trait.ends])
        moved = t + step
        unsure |= moved <= trait.least
        unsure |= moved >= trait.most
        np.maximum(moved, trait.low, out=moved)
        np.minimum(moved, trait.high, out=moved)
        taken = moved - t
        # F(t) + F'(t) d - F'(t) d^2 / (2 step), where d = step but at an end of the interval.
        gain = at.slope * taken
        if len(trait.edges):
            some = trait.edges
            over = taken[some] != step[some]
            part = np.where(over, taken[some] / step[some], 1.0)
            gain[some] *= np.where(over, 2.0 - part, 1.0)
        gain *= 0.5
        unsure |= gain > np.float32(_STEP)
        self._mark(unsure, at, moved)
        objective = at.objective + gain
        if not self.reml:
            return objective, objective, moved, unsure
        # The full likelihood is not stationary there: another step.
        last = self._at(moved)
        np.divide(last.slope, at.slope + np.float32(_TINY), out=gain)
        gain *= taken
        gain += moved
        np.maximum(gain, trait.low, out=gain)
        np.minimum(gain, trait.high, out=gain)
        moved, taken = gain, gain - moved
        gain = taken * last.full_slope
        unsure |= np.abs(gain) > np.float32(_STEP)
        return last.full + gain, objective, moved, unsure

    def _mark(self, unsure: Flags, at: _Point, t: Single) -> None:
        """Mark pairs whose r2 is large, or for which the series of a(t) is too short."""
        part = at.g * np.float32(_LARGE)
        unsure |= at.square > part
        eighth = t * t
        eighth *= eighth
        eighth *= eighth
        eighth *= at.square
        eighth *= np.float32(self.n / (_SERIES_REML if self.reml else _SERIES))
        unsure |= eighth > at.g
        unsure |= self.trait.unusable

    def _at(self, t: Single) -> _Point:
        """Likelihoods at t (traits, markers)."""
        trait, (half, other) = self.trait, self._halves
        a, a_slope = _polynomial(self._series, t)
        g, of_g = _polynomial([*self.g], t)
        objective, slope = _polynomial([*trait.objective], t)
        a_slope *= a
        a_slope *= -2.0
        a_slope += of_g  # D'
        a *= a
        rest = g - a
        a_slope /= rest  # D'/D
        of_g /= g
        _log_of_rest(a / g, rest)
        if self.reml:
            full, full_slope = _polynomial([*trait.full], t)
            n_half = np.float32(0.5 * self.n)
            full -= n_half * rest
            full_slope -= n_half * a_slope
            full_slope += n_half * of_g
        a_slope *= half
        slope -= a_slope
        of_g *= other
        slope += of_g
        rest *= half
        objective -= rest
        if not self.reml:
            return _Point(objective, slope, objective, slope, a, g)
        np.log(g, out=rest)
        rest *= 0.5
        objective -= rest
        return _Point(objective, slope, full, full_slope, a, g)

    def _at_null(self) -> tuple[Single, Single]:
        """F' and F'' at t = 0."""
        a, g, trait, (half, other) = self.a, self.g, self.trait, self._halves
        inverse = a[0] * a[0]
        np.subtract(g[0], inverse, out=inverse)
        np.divide(1.0, inverse, out=inverse)  # 1/D
        of_rest = a[0] * a[1]
        of_rest *= -2.0
        of_rest += g[1]
        of_rest *= inverse  # D'/D
        scratch = np.multiply(a[0], a[2])
        scratch *= 2.0
        bend = a[1] * a[1]
        bend += scratch
        np.subtract(g[2], bend, out=bend)
        bend *= inverse
        bend *= 2.0  # D''/D
        np.multiply(of_rest, of_rest, out=scratch)
        bend -= scratch
        bend *= -half
        np.divide(1.0, g[0], out=inverse)
        slope = g[1] * inverse
        np.multiply(g[2], inverse, out=scratch)
        scratch *= 2.0
        np.multiply(slope, slope, out=inverse)
        scratch -= inverse
        scratch *= other
        bend += scratch
        bend += 2.0 * trait.objective[2]
        slope *= other
        of_rest *= half
        slope -= of_rest
        slope += trait.objective[1]
        return slope, bend


class _Traits:
    """What a tile needs of its traits, in single precision; columns (traits, 1).

    `in_order` leaves them as they are. Else those with most other places to look at come first.
    """

    def __init__(self, expansion: Expansion, columns: slice, *, in_order: bool) -> None:
        e = expansion.elsewhere
        order: Index = np.arange(columns.start, columns.stop)
        if not in_order:
            order = columns.start + np.argsort(-e.count[columns], kind="stable")
        self.back = np.argsort(order)

        def column(values: Array) -> Single:
            return np.ascontiguousarray(values[..., order, None].astype(np.float32))

        scores = expansion.scores(order)
        self.scores = scores.reshape(-1, scores.shape[2]).astype(np.float32)
        weights = expansion.weights[:, order]
        self.weights = weights.reshape(-1, weights.shape[2]).astype(np.float32)
        # a_0 and g_0 are products in double precision in a scan of double precision.
        self.first = np.ascontiguousarray(scores[0]), np.ascontiguousarray(weights[0])
        self.power4, self.power5 = (
            column(power.T) for power in (expansion.power4, expansion.power5)
        )
        self.objective, self.full = column(expansion.objective), column(expansion.full)
        self.low, self.high = column(expansion.low), column(expansion.high)
        self.width, self.centre = column(expansion.width), column(expansion.centre)
        self.h0 = column(expansion.h0)
        at_low, at_high = expansion.at_low[order], expansion.at_high[order]
        low, high = self.low[:, 0], self.high[:, 0]
        # Traits whose range of t ends with the interval, and those at its end.
        self.edges = np.flatnonzero(at_low | at_high)
        self.ends = np.flatnonzero(at_low & (low == 0.0) | at_high & (high == 0.0))
        self.inwards = np.where(high[self.ends] > 0.0, 1.0, -1.0)[:, None].astype(np.float32)
        # Beyond its range nothing is known, unless the interval ends there.
        infinite = np.float32(np.inf)
        self.least = np.where(at_low, -infinite, low)[:, None]
        self.most = np.where(at_high, infinite, high)[:, None]
        self.unusable = ~expansion.usable[order, None]
        self.at_edge = (at_low | at_high)[:, None]
        self.count = count = e.count[order]
        self.heights = [int((count > k).sum()) for k in range(int(count.max(initial=0)))]
        self.node = e.node[order]
        # The size of a trait at a node is that of its score.
        size = np.sqrt(e.size[order, : len(self.heights)])
        alpha = e.alpha[order, : len(self.heights)] * size[:, :, None]
        self.alpha = np.ascontiguousarray(alpha.astype(np.float32))
        self.bound = column((e.bound * np.sqrt(e.size)).T)
        self.factor = column(e.factor.T)

    @cached_property
    def table(self) -> TraitTable:
        """The same for compiled loops."""
        inwards = np.zeros_like(self.low)
        inwards[self.ends] = self.inwards
        parts = [self.low, self.high, self.width, self.centre, self.h0, self.least, self.most]
        parts += [self.unusable, inwards, self.at_edge]
        several = [self.power4, self.power5, self.objective, self.full]
        columns = np.concatenate(
            [*(part[:, :, 0].T for part in several), *parts], axis=1, dtype=np.float32
        )
        most = self.alpha.shape[1]
        beside = np.stack([self.bound[:most, :, 0].T, self.factor[:most, :, 0].T], axis=2)
        return TraitTable(
            np.ascontiguousarray(columns),
            np.ascontiguousarray(self.node[:, :most]),
            self.count,
            np.ascontiguousarray(np.concatenate([self.alpha, beside], axis=2)),
        )


def _log_of_rest(r2: Single, out: Single) -> None:
    """Write ln(1 - r2) into `out`; `r2` is overwritten.

    The rounding of 1 - r2 is compensated: ln(a - b) = ln a - b/a.
    """
    np.subtract(np.float32(1.0), r2, out=out)
    r2 -= np.float32(1.0)
    r2 += out
    r2 /= out
    np.log(out, out=out)
    out -= r2


def _combined(coefficients: Single, a: Single) -> Single:
    """Sum of coefficients (4, traits, 1) times a (4, traits, markers)."""
    out = coefficients[0] * a[0]
    scratch = np.empty_like(out)
    for c, part in zip(coefficients[1:], a[1:], strict=True):
        np.multiply(c, part, out=scratch)
        out += scratch
    return out


def _polynomial(coefficients: list[Single], t: Single) -> tuple[Single, Single]:
    """Values and derivatives at t (traits, markers) of polynomials, lowest degree first."""
    value = coefficients[-1] * t
    slope = np.broadcast_to(coefficients[-1], t.shape).copy()
    value += coefficients[-2]
    for c in coefficients[-3::-1]:
        slope *= t
        slope += value
        value *= t
        value += c
    return value, slope
