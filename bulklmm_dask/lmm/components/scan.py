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
from bulklmm_dask.lmm.components.choice import fewest
from bulklmm_dask.lmm.components.estimate import status_of
from bulklmm_dask.lmm.components.exact import ComponentScan
from bulklmm_dask.lmm.components.fit import Optimum
from bulklmm_dask.lmm.components.groups import KernelGroup, kernel_groups
from bulklmm_dask.lmm.components.kernels import KernelSamples, RotatedKernels
from bulklmm_dask.lmm.components.many import Surface
from bulklmm_dask.lmm.components.nodes import Nodes, nodes_of, serve
from bulklmm_dask.lmm.components.scores import corrected, scores
from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.lmm.powers import back
from bulklmm_dask.lmm.samples import Samples
from bulklmm_dask.lmm.scanner import Scanner
from bulklmm_dask.lmm.status import ALL_MISSING, BOUNDARY, OK
from bulklmm_dask.typing import Array, Flags, Index

# Nats by which a maximum is to be above the likelihoods near a residual of 0.
_MARGIN = 1.0
# Least share of the residual in bulk: with less of it a covariance may be singular.
_LEAST = 5e-6
# Traits that are fitted together.
_TOGETHER = 512


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
        fit = _Fit.of(group, status[mine])
        nodes = None
        many = len(mine) >= fewest(len(kernels.kernels))
        if together and many and not options.joint and serve(kernels):
            nodes = nodes_of(kernels, reml=options.reml)
        settled = np.zeros(len(mine), dtype=bool) if nodes is None else fit.together(nodes)
        fit.alone(np.flatnonzero(~settled))
        scale, exponent = group.scale, group.exponent
        h2[:, mine] = kernels.shares(fit.inner.T).T
        mean = fit.quadratic / group.search.likelihood.count
        sigma2[mine] = back(mean * scale**2, 2 * exponent)
        status[mine] = fit.status
        measured = Samples(samples.covariates[rows], None, kernels.weights, samples.interacting)
        values = traits[np.ix_(rows, mine)]
        exact = ComponentScan(kernels, measured, values, fit.inner, sigma2[mine], options)
        bulk = np.zeros(len(mine), dtype=bool)
        if nodes is not None:
            bulk = kernels.shares(fit.inner.T)[:, -1] >= _LEAST
            own = np.flatnonzero(bulk)
            z, weights, apart = fit.scores(nodes, own)
            size = np.sqrt(fit.quadratic[own]) * scale[own]
            alone = exact.take(own)
            scanner = BulkScan(alone, nodes.inner, z, weights, apart, size, exponent[own])
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
    z : array (d, traits)
        Scores of traits; NaN until they are known.
    """

    group: KernelGroup
    inner: Array
    quadratic: Array
    status: npt.NDArray[np.object_]
    z: Array

    @classmethod
    def of(cls, group: KernelGroup, status: npt.NDArray[np.object_]) -> _Fit:
        """Estimates to be filled in."""
        corners, count = len(group.kernels.vertices), len(group.columns)
        z = np.full(group.search.y.shape, np.nan)
        return cls(group, np.empty((corners, count)), np.empty(count), status, z)

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
        count = search.likelihood.count
        settled = np.zeros(search.y.shape[1], dtype=bool)
        for start in range(0, len(settled), _TOGETHER):
            some = slice(start, start + _TOGETHER)
            y = search.y[:, some]
            found = Surface(nodes, nodes.rough_forms(y), count).maxima()
            low = found.value < nodes.beyond(y, count)[found.trait] + _MARGIN
            found.settled[found.trait[low]] = False
            reached = corrected(self.group.kernels, nodes, found, y, count)
            self.inner[:, some] = nodes.lattice.inner(reached.place).T
            self.quadratic[some] = reached.quadratic
            self.z[:, some] = reached.z
            self.status[some] = np.where((reached.place == 0.0).any(axis=1), BOUNDARY, OK)
            settled[some] = reached.settled
            inner = nodes.lattice.inner(found.place)
            for trait in np.flatnonzero(found.settled & ~reached.settled):
                near = inner[found.trait == trait]
                settled[start + trait] = self._climbed(start + int(trait), near)
        return settled

    def _climbed(self, trait: int, near: Array) -> bool:
        """Climb from weights (m, k + 1) near the maxima of a trait; whether that can be done."""
        tops = [self.group.search.uphill(trait, start) for start in near]
        reached = [top for top in tops if top is not None]
        if len(reached) < len(tops):
            return False
        best = max(reached, key=lambda top: top.point.value)
        self._take(trait, best, status_of(self.group.search, trait, best))
        self.z[:, trait] = np.nan
        return True

    def scores(self, nodes: Nodes, own: Index) -> tuple[Array, Array, Index]:
        """Z (d, traits) and the weights of the nodes (Q + 1, traits) of some traits.

        Also the positions among these of traits that the nodes do not serve.
        """
        place = self._places(nodes)[own]
        alone = np.flatnonzero(np.isnan(self.z[0, own]))
        if len(alone):
            y = self.group.search.y[:, own[alone]]
            found = scores(self.group.kernels, nodes.lattice, place[alone], y)
            self.z[:, own[alone]] = found.z
        served = nodes.suffice(place)
        weights = np.zeros((len(nodes.inner) + 1, len(own)))
        weights[:, served] = nodes.weights_at(place[served]).T
        return self.z[:, own], weights, np.flatnonzero(~served)

    def _places(self, nodes: Nodes) -> Array:
        return nodes.lattice.place(self.group.kernels.shares(self.inner.T))
