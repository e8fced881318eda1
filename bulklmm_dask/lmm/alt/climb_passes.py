"""Climbs near the null estimates by passes of NumPy over a tile, in place (`climb`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bulklmm_dask.lmm.alt.climb_traits import ClimbTraits
from bulklmm_dask.lmm.alt.local import POWERS
from bulklmm_dask.lmm.compiled.climb import Limits
from bulklmm_dask.typing import Flags, Single

# Keeps a quotient of slopes finite.
_TINY = 1e-20


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
class TilePairs:
    """Pairs of a tile: polynomials of their likelihoods.

    Attributes
    ----------
    trait : ClimbTraits
        Their traits.
    a : array (4, traits, markers)
    g : array (DEGREE + 1, traits, markers)
        Coefficients of the polynomials.
    limits : Limits
        The model, and what is searched.
    """

    trait: ClimbTraits
    a: Single
    g: Single
    limits: Limits

    @cached_property
    def _series(self) -> list[Single]:
        """Coefficients of a(t), a_4 and a_5 among them."""
        return [*self.a, *(_combined(p, self.a) for p in (self.trait.power4, self.trait.power5))]

    @cached_property
    def _halves(self) -> tuple[np.float32, np.float32]:
        """Factors h and k of the logarithms (`climb`)."""
        half = 0.5 * self.limits.count
        return np.float32(half), np.float32(half - 0.5 * self.limits.reml)

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
        unsure |= gain > np.float32(self.limits.step)
        self._mark(unsure, at, moved)
        objective = at.objective + gain
        if not self.limits.reml:
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
        unsure |= np.abs(gain) > np.float32(self.limits.step)
        return last.full + gain, objective, moved, unsure

    def mark_elsewhere(
        self, objective: Single, far: Single, inverse: Single, volume: Single, unsure: Flags
    ) -> None:
        """Mark pairs that may have a higher maximum elsewhere.

        Parameters
        ----------
        objective : array (traits, markers)
            F at the maximum.
        far : array (others, markers)
            Products with the other scores of some traits.
        inverse, volume : array (nodes, markers)
            As in `climb_tile`.
        unsure : array (traits, markers) of bool
            The marks.
        """
        trait = self.trait
        if not trait.heights:
            return
        rest = objective * np.float32(-2.0 / self.limits.count)
        np.exp(rest, out=rest)
        root = np.sqrt(self.g[0])  # of S_xx(h0)
        scores = np.matmul(trait.alpha[:, :, :POWERS], self.a.transpose(1, 0, 2))
        has_far = np.flatnonzero(trait.far_row >= 0)
        other = far[trait.far_row[has_far]]
        scores[has_far] += trait.alpha[has_far, :, POWERS, None] * other[:, None]
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
            if self.limits.reml:
                scratch *= volume.take(node, axis=0)
            score += scratch
            unsure[:height] |= score > 1.0

    def h2(self, t: Single) -> Single:
        """Heritabilities h0 + s at t (traits, markers), s = t/(w - c t), within the interval."""
        trait = self.trait
        h2 = trait.centre * t
        np.subtract(trait.width, h2, out=h2)
        np.divide(t, h2, out=h2)
        h2 += trait.h0
        np.maximum(h2, np.float32(0.0), out=h2)
        np.minimum(h2, np.float32(self.limits.h2_max), out=h2)
        return h2

    def _mark(self, unsure: Flags, at: _Point, t: Single) -> None:
        """Mark pairs whose r2 is large, or for which the series of a(t) is too short."""
        part = at.g * np.float32(self.limits.large)
        unsure |= at.square > part
        eighth = t * t
        eighth *= eighth
        eighth *= eighth
        eighth *= at.square
        eighth *= np.float32(self.limits.series)
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
        if self.limits.reml:
            full, full_slope = _polynomial([*trait.full], t)
            n_half = np.float32(0.5 * self.limits.n)
            full -= n_half * rest
            full_slope -= n_half * a_slope
            full_slope += n_half * of_g
        a_slope *= half
        slope -= a_slope
        of_g *= other
        slope += of_g
        rest *= half
        objective -= rest
        if not self.limits.reml:
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
