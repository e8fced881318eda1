r"""Profile likelihood of the heritability of one trait, without and with one marker.

Of the model y = C a + u + e, Var(y) = s2 V(h) with V(h) = h K + (1 - h) R, R = I or diag(1/w^2)
for samples of weight w, everything but h is maximised out. With RSS(h) the generalised residual
sum of squares, n samples and c columns of C,

- ML:   l(h) = -1/2 [ n (log(2 pi RSS/n) + 1) + log|V| ]
- REML: l(h) = -1/2 [ (n-c) (log(2 pi RSS/(n-c)) + 1) + log|V| + log|C'V^-1 C| - log|C'C| ]

in nats (Harville 1974; Patterson and Thompson 1971). The model with the marker has it as one more
column of C. V, RSS and C are those of the samples as measured, also where they have weights: REML
is then the density of any orthonormal contrasts A'y with A'C = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from bulklmm_dask.lmm.basis import Basis
from bulklmm_dask.lmm.covariance import refined
from bulklmm_dask.lmm.likelihood import ProfileLikelihood, constant
from bulklmm_dask.lmm.markers import prepare_markers
from bulklmm_dask.lmm.null.fit import NullModel, fit_null
from bulklmm_dask.typing import Array

# Half the 95% quantile of chi-square with one degree of freedom.
DROP = 1.9207294103470492


@dataclass(frozen=True)
class TraitModel:
    """The model of one trait, fitted: without a marker, or with it among the covariates.

    Attributes
    ----------
    basis : Basis
        Of the n samples of the trait; the fixed effects of the model are its covariates.
    fit : NullModel
        Of this one trait.
    reml : bool
        Restricted instead of full likelihood.
    """

    basis: Basis
    fit: NullModel
    reml: bool

    @classmethod
    def of(cls, basis: Basis, y: Array, *, reml: bool) -> Self:
        """Fit a trait (n,) as measured, without missing values.

        One that cannot be fitted has the status that says why, and no h2 (NaN).
        """
        return cls(basis, fit_null(basis, y[:, None], reml=reml), reml)

    @property
    def h2(self) -> float:
        """Heritability of the largest likelihood; NaN without a fit."""
        return float(self.fit.h2[0])

    @property
    def status(self) -> str:
        """As in `NullModel`."""
        return str(self.fit.status[0])

    def log_likelihood(self, h2: Array) -> Array:
        """Log-likelihood (k,) at heritabilities (k,) in [0, h2_max], in nats, with constants."""
        likelihood = ProfileLikelihood.of(self.basis, self.fit.rotated, reml=self.reml)
        rest = constant(self.basis, self.fit.scale, reml=self.reml)
        return np.asarray(likelihood.on_grid(h2).value[:, 0] + rest)

    def full_at_optimum(self) -> float:
        """Full (ML) log-likelihood at the optimum, also where that is the restricted one's."""
        likelihood = ProfileLikelihood.of(self.basis, self.fit.rotated, reml=False)
        rest = constant(self.basis, self.fit.scale, reml=False)
        return float((likelihood.at(self.fit.h2).value + rest)[0])


def with_marker(basis: Basis, covariates: Array, x: Array) -> Basis | None:
    """The basis with a marker among the covariates; None if those leave no variation of it.

    Parameters
    ----------
    basis : Basis
        Of n samples.
    covariates : array (n, c)
        As measured, with the intercept: those of the basis.
    x : array (n,)
        Dosages, none missing.
    """
    if not prepare_markers(basis, x[None]).tested[0]:
        return None
    return basis.with_covariates(np.column_stack([covariates, x]))


def lod_score(null: TraitModel, alternative: TraitModel) -> float:
    """(l1 - l0) / ln 10 of the full likelihoods, each at the optimum of its own model.

    Never negative under ML: the larger model cannot fit worse, though rounding may say so.
    """
    lod = (alternative.full_at_optimum() - null.full_at_optimum()) / np.log(10.0)
    return float(lod if null.reml else max(0.0, lod))


def curve_points(basis: Basis, count: int) -> Array:
    """Heritabilities (count,) spread like the bracketing grid, both ends included."""
    return refined(basis.grid(), count)


def likelihood_interval(h2: Array, curve: Array, drop: float = DROP) -> Array:
    """Lowest and highest h2 within `drop` nats of the maximum, interpolated between points, (2,).

    Parameters
    ----------
    h2 : array (k,)
        Heritabilities, ascending, the optimum among them.
    curve : array (k,)
        Log-likelihood there, in nats.
    drop : float
        In nats; by default that of the 95% likelihood interval.
    """
    floor = curve.max() - drop
    inside = np.flatnonzero(curve >= floor)

    def crossing(inner: int, outer: int) -> float:
        if not 0 <= outer < len(h2):
            return float(h2[inner])
        return float(np.interp(floor, curve[[outer, inner]], h2[[outer, inner]]))

    first, last = int(inside[0]), int(inside[-1])
    return np.array([crossing(first, first - 1), crossing(last, last + 1)])
