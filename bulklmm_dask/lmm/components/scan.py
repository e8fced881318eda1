"""Shares of a chunk of traits with several kernels, and their scanners: in bulk, or one by one.

Many traits on the same samples take their shares and their tests from a few covariances (`many`,
`bulk`); few traits, and those for which that is no answer, are fitted and scanned by themselves
(`fit`, `exact`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.chunk import FittedTraits, TraitFits, TraitGroup
from bulklmm_dask.lmm.components.bulk import BulkScan
from bulklmm_dask.lmm.components.choice import FEWEST
from bulklmm_dask.lmm.components.estimate import status_of
from bulklmm_dask.lmm.components.exact import ComponentScan
from bulklmm_dask.lmm.components.fit import Optimum
from bulklmm_dask.lmm.components.groups import KernelGroup, kernel_groups
from bulklmm_dask.lmm.components.kernels import KernelSamples, RotatedKernels
from bulklmm_dask.lmm.components.many import Surface
from bulklmm_dask.lmm.components.nodes import LOW, Nodes, nodes_of, serve
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.powers import back
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.lmm.scanner import Scanner
from bulklmm_dask.lmm.status import ALL_MISSING, BOUNDARY, OK
from bulklmm_dask.typing import Array, Flags, Index

# Nats by which a maximum is to be above the likelihoods near a residual of 0.
_MARGIN = 1.0
# Steps of the lattice by which a maximum may be wrong. The bound is about ten times the error, and
# a LOD of n samples moves by up to 0.06 n times that.
_SURE = 1e-5
# Traits that are fitted together.
_TOGETHER = 256


def fit_components(
    traits: Array,
    samples: KernelSamples,
    options: ModelOptions,
    *,
    complete: RotatedKernels | None = None,
    together: bool = True,
) -> FittedTraits:
    """Fit the shares of a chunk of traits, each on the samples where it was measured.

    Parameters
    ----------
    traits : array (samples, traits)
        NaN where missing.
    samples : KernelSamples
        Covariates, kernels and weights of the same samples.
    options : ModelOptions
        How to fit the shares, and what is tested.
    complete : RotatedKernels, optional
        Kernels of all samples, if already rotated.
    together : bool
        Whether many traits may be fitted and scanned in bulk; otherwise a trait has the same
        shares, to rounding, whatever the others are.

    Returns
    -------
    TraitFits
        Its ``h2`` are the shares (k + 1, traits), the residual last.
    """
    observed = ~np.isnan(traits) & samples.complete[:, None]
    count = traits.shape[1]
    h2, sigma2 = np.full((len(samples.kernels) + 1, count), np.nan), np.full(count, np.nan)
    status = np.full(count, ALL_MISSING, dtype=object)
    groups: list[TraitGroup[Scanner]] = []
    for group in kernel_groups(traits, samples, status, reml=options.reml, complete=complete):
        mine, kernels, rows = group.columns, group.kernels, group.rows
        fit = _Fit(group, np.empty((len(h2), len(mine))), np.empty(len(mine)), status[mine])
        nodes = None
        if together and not options.joint and serve(kernels) and len(mine) >= FEWEST:
            nodes = nodes_of(kernels, reml=options.reml)
        fit.alone(np.arange(len(mine)) if nodes is None else np.flatnonzero(~fit.together(nodes)))
        scale, exponent = group.scale, group.exponent
        h2[:, mine] = kernels.shares(fit.inner.T).T
        mean = fit.quadratic / group.search.likelihood.count
        sigma2[mine] = back(mean * scale**2, 2 * exponent)
        status[mine] = fit.status
        alone = Samples(samples.covariates[rows], None, kernels.weights, samples.interacting)
        values = traits[np.ix_(rows, mine)]
        exact = ComponentScan(kernels, alone, values, fit.inner, sigma2[mine], options)
        bulk = np.zeros(len(mine), dtype=bool)
        if nodes is not None:
            bulk = fit.in_bulk(nodes)
            own = np.flatnonzero(bulk)
            scores, weights = fit.scores(nodes, own)
            size = np.sqrt(fit.quadratic[own]) * scale[own]
            scanner = BulkScan(exact.take(own), nodes.inner, scores, weights, size, exponent[own])
            if len(own):
                groups.append(TraitGroup(mine[own], rows, kernels, scanner))
        if not bulk.all():
            rest = np.flatnonzero(~bulk)
            groups.append(TraitGroup(mine[rest], rows, kernels, exact.take(rest)))
    return TraitFits(h2, sigma2, observed.sum(axis=0), status, tuple(groups))


@dataclass(frozen=True)
class _Fit:
    """Estimates of the traits of a group, which are filled in.

    Attributes
    ----------
    group : KernelGroup
    inner : array (k + 1, traits)
        Weights of the corners of the admissible shares.
    quadratic : array (traits,)
        S of contrasts of length one.
    status : array (traits,) of str
    """

    group: KernelGroup
    inner: Array
    quadratic: Array
    status: npt.NDArray[np.object_]

    def alone(self, places: Index) -> None:
        """Search the shares of some traits, one after the other."""
        if not len(places):
            return
        search = replace(self.group.search, y=self.group.search.y[:, places])
        for place, trait in enumerate(places):
            best = search.best(place)
            self._take(int(trait), best, status_of(search, place, best))

    def _take(self, trait: int, best: Optimum, status: str) -> None:
        self.inner[:, trait] = best.inner
        self.quadratic[trait] = best.point.quadratic
        self.status[trait] = status

    def together(self, nodes: Nodes) -> Flags:
        """Fit all traits from the nodes; which of them are settled."""
        search = self.group.search
        settled = np.zeros(search.y.shape[1], dtype=bool)
        for start in range(0, len(settled), _TOGETHER):
            some = slice(start, start + _TOGETHER)
            y = search.y[:, some]
            forms = nodes.forms(y)
            surface = Surface(nodes, forms, search.likelihood.count)
            found = surface.maxima()
            self.inner[:, some] = nodes.lattice.inner(found.place).T
            self.quadratic[some] = found.quadratic
            at_bound = (self.inner[:, some] == 0.0).any(axis=0)
            self.status[some] = np.where(at_bound, BOUNDARY, OK)
            settled[some] = found.settled & (found.value > self._near_bound(y) + _MARGIN)
            settled[some] &= nodes.suffice(found.place)
            for trait in start + np.flatnonzero(settled[some] & (found.error > _SURE)):
                settled[trait] = self._exactly(int(trait))
        return settled

    def _exactly(self, trait: int) -> bool:
        """Climb without interpolation from where a trait is; whether that can be done."""
        search = self.group.search
        best = search.uphill(trait, self.inner[:, trait])
        if best is None:
            return False
        self._take(trait, best, status_of(search, trait, best))
        return True

    def _near_bound(self, y: Array) -> Array:
        """Largest likelihood of traits at weights of the residual that the lattice has not."""
        search = self.group.search
        points = search.mesh.points
        below = points[points[:, -1] < LOW]
        return np.max([search.likelihood.values(inner, y) for inner in below], axis=0)

    def in_bulk(self, nodes: Nodes) -> Flags:
        """Which traits have shares at which they can be scanned in bulk."""
        inside = self.inner[-1] >= LOW
        return inside & nodes.suffice(nodes.lattice.place(self.inner.T))

    def scores(self, nodes: Nodes, own: Index) -> tuple[Array, Array]:
        """Z (d, traits) and the weights of the nodes (Q, traits) of some traits."""
        weights = nodes.weights_at(nodes.lattice.place(self.inner[:, own].T)).T
        y = self.group.search.y[:, own]
        z = np.empty_like(y)
        for start in range(0, len(own), _TOGETHER):
            some = slice(start, start + _TOGETHER)
            each = (nodes.inverses @ y[:, some]).reshape(len(nodes.inner), len(y), -1)
            np.einsum("qdt,qt->dt", each, weights[:, some], out=z[:, some])
        return z / np.sqrt(self.quadratic[own]), weights
