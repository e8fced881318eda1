r"""Log-determinants of covariances as polynomials over the shares (`lattice`).

Under full likelihood log|V| is that of all samples, and the largest eigenvalue of a kernel, that of
the mean of the samples, may be much larger than those of the contrasts: coordinates of its own
resolve the small shares that it takes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bulklmm_dask.lmm.components.lattice import STEP, Lattice, derivatives
from bulklmm_dask.typing import Array


@dataclass(frozen=True)
class LogDeterminant:
    """log|V| at shares.

    Attributes
    ----------
    lattice : Lattice
        Points of coordinates of its own.
    values : array (points,)
        log|V| there.
    """

    lattice: Lattice
    values: Array

    def at(self, places: Array, of: Lattice) -> tuple[Array, Array, Array]:
        """log|V| (m,) at places (m, k) of another lattice, first and second derivatives by these.

        With x and s those of the other lattice, and those of this one marked, dx*/dx is
        (t + s)/(t + s*).
        """
        ratio = of.ratios(places)
        other, own = (np.array(one.scales) for one in (of, self.lattice))
        here = np.log1p(ratio / own) / STEP
        value, first, second = grades(derivatives(self.values[None], self.lattice.along(here)))
        change = (ratio + other) / (ratio + own)
        second = second * change[:, :, None] * change[:, None, :]
        bend = STEP * change * (own - other) / (ratio + own)
        diagonal = np.arange(len(own))
        second[:, diagonal, diagonal] += first * bend
        return value, first * change, second

    def on_grid(self, of: Lattice) -> Array:
        """log|V| (points,) at all points of another lattice."""
        k = len(of.scales)
        each = np.array(of.scales) * np.expm1(STEP * of.axis[:, None] * of.ends)
        here = np.log1p(each / np.array(self.lattice.scales)) / STEP
        out = self.values.reshape((self.lattice.count,) * k)
        for d, along in enumerate(self.lattice.along(here)):
            out = np.moveaxis(np.tensordot(along[..., 0], out, axes=(1, d)), 0, d)
        return out.ravel()


def grades(derived: Array) -> tuple[Array, Array, Array]:
    """Values (m,), first (m, k) and second (m, k, k) derivatives of `lattice.derivatives`."""
    k = derived.ndim - 1
    unit = np.eye(k, dtype=int)

    def of(orders: Array) -> Array:
        return np.asarray(np.moveaxis(derived, 0, -1)[tuple(orders)])

    first = np.stack([of(one) for one in unit], axis=1)
    second = np.stack([of(one + other) for one in unit for other in unit], axis=1)
    return of(0 * unit[0]), first, second.reshape(-1, k, k)
