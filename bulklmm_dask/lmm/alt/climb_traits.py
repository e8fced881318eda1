"""Traits of a tile, as the climbs near the null estimates need them (`climb`)."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from bulklmm_dask.lmm.alt.local import Expansion
from bulklmm_dask.lmm.compiled.climb import TraitTable
from bulklmm_dask.typing import Array, Index, Single


class ClimbTraits:
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
        # Rows of the products of other scores, -1 for traits without.
        has_far = np.isfinite(e.far[order])
        self.far_row = np.where(has_far, np.cumsum(has_far) - 1, -1)
        self.far_scores = expansion.far_scores(order[has_far]).astype(np.float32)
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
            self.far_row,
        )
