"""Likelihoods of the traits of an expansion without a marker, from a few terms (`local`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bulklmm_dask.lmm.compress import weights_at
from bulklmm_dask.lmm.projected import LogVolume, Projected
from bulklmm_dask.typing import Array


@dataclass(frozen=True)
class WithoutMarker:
    """Likelihoods of the traits without a marker, with S_yy(h0) = 1.

    Attributes
    ----------
    projected : Projected
    terms : array (q + 1, traits)
        Terms of S_yy.
    count : int
        Effective degrees of freedom with the marker.
    reml : bool
        Whether the likelihood to maximise is the restricted one.
    """

    projected: Projected
    terms: Array
    count: int
    reml: bool

    @cached_property
    def volumes(self) -> tuple[LogVolume, LogVolume]:
        """log|V|, and that of the likelihood to maximise."""
        return self.projected.log_volumes(reml=self.reml)

    def at(self, h2: Array) -> tuple[Array, Array, Array]:
        """Likelihood to maximise and full one, in nats, and S_yy, (traits,), each at its h."""
        yy = np.einsum("qj,qj->j", self.terms, weights_at(self.projected.with_null, h2))
        volume = self.volumes[0].at(h2)
        full = -0.5 * (self.projected.spectrum.n * np.log(yy) + volume)
        if not self.reml:
            return full, full, yy
        return -0.5 * (self.count * np.log(yy) + self.volumes[1].at(h2)), full, yy

    def on_mesh(self, mesh: Array) -> tuple[Array, Array]:
        """Likelihood to maximise and S_yy, (mesh, traits)."""
        yy = weights_at(self.projected.with_null, mesh).T @ self.terms
        return -0.5 * (self.count * np.log(yy) + self.volumes[1].at(mesh)[:, None]), yy
