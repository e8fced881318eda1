"""Roots of many slopes at once, each in a bracket of its own: safeguarded Newton iterations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bulklmm_dask.typing import Array, Index

# Largest number of iterations: bisection alone halves a bracket as often.
_ITERATIONS = 60
# An iteration ends after a step of Newton below this share of h and of 1 - h, since the next would
# be of the order of its square, or when the bracket is as narrow as the other.
_NEWTON_STEP, _WIDTH = 1e-7, 1e-12


def bracketed_roots(
    derivatives: Callable[[Index, Array], tuple[Array, Array]], edges: Array, slopes: Array
) -> Array:
    """Heritabilities (k,) in brackets at which slopes turn from positive to not positive.

    Parameters
    ----------
    derivatives : callable
        Takes the positions of some of the k functions, and their heritabilities; returns their
        slopes, and the derivatives of these.
    edges, slopes : array (2, k)
        Both ends of each bracket, and the slopes there: positive, and not positive.
    """
    low, high = edges.copy()
    part = slopes[0] / np.where(slopes[0] > slopes[1], slopes[0] - slopes[1], 1.0)
    h2 = low + (high - low) * np.clip(part, 0.05, 0.95)
    out, active = h2.copy(), np.arange(len(h2))
    for iteration in range(_ITERATIONS):
        slope, bend = derivatives(active, h2)
        low, high = np.where(slope > 0.0, h2, low), np.where(slope > 0.0, high, h2)
        newton = h2 - slope / np.where(bend < 0.0, bend, -1.0)
        inside = (bend < 0.0) & (newton > low) & (newton < high)
        # Newton's steps that stay inside may still be slow: bisection takes turns after some.
        inside &= iteration < 10 or iteration % 2 == 0
        following = np.where(inside, newton, 0.5 * (low + high))
        step, h2 = np.abs(following - h2), following
        out[active] = h2
        size = np.minimum(h2, 1.0 - h2)
        going = np.where(inside, step > _NEWTON_STEP * size, high - low > _WIDTH * size)
        if not going.any():
            break
        if not going.all():
            active, h2, low, high = active[going], h2[going], low[going], high[going]
    return out
