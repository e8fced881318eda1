r"""Profile likelihood of the heritability of one trait, without and with one marker.

The model is y = C a + u + e, Var(y) = s2 V(h), V(h) = h K + (1 - h) R, with R = I or diag(1/w^2)
for samples of weight w. All parameters but h are maximised out. With RSS(h) the generalised
residual sum of squares, n samples and c columns of C,

- ML:   l(h) = -1/2 [ n (log(2 pi RSS/n) + 1) + log|V| ]
- REML: l(h) = -1/2 [ (n-c) (log(2 pi RSS/(n-c)) + 1) + log|V| + log|C'V^-1 C| - log|C'C| ]

in nats (Harville 1974; Patterson and Thompson 1971). The dosage of the marker, if it is in the
model, is one more column of C. V, RSS and C are those of the samples as measured, also where they
have weights: REML is then the log-density of any orthonormal contrasts A'y with A'C = 0.
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

# Half the 95% quantile of chi-square with one degree of freedom, in nats.
DROP = 1.9207294103470492


@dataclass(frozen=True)
class TraitModel:
    """Fitted model of one trait, without a marker or with one among the covariates.

    Attributes
    ----------
    basis : Basis
        Eigenbasis of the n samples of the trait; its covariates are the fixed effects.
    fit : NullModel
        Null model of this one trait.
    reml : bool
        Restricted instead of full likelihood.
    """

    basis: Basis
    fit: NullModel
    reml: bool

    @classmethod
    def of(cls, basis: Basis, y: Array, *, reml: bool) -> Self:
        """Fit a trait (n,) as measured, without missing values.

        If it cannot be fitted, `status` gives the reason and `h2` is NaN.
        """
        return cls(basis, fit_null(basis, y[:, None], reml=reml), reml)

    @property
    def h2(self) -> float:
        """Heritability that maximises the likelihood; NaN without a fit."""
        return float(self.basis.as_given(self.fit.h2)[0])

    @property
    def status(self) -> str:
        """As in `NullModel`."""
        return str(self.fit.status[0])

    def log_likelihood(self, h2: Array) -> Array:
        """Log-likelihood (k,) at heritabilities (k,) from 0 on, in nats, with constants."""
        likelihood = ProfileLikelihood.of(self.basis, self.fit.rotated, reml=self.reml)
        rest = constant(self.basis, self.fit.log_scale, reml=self.reml)
        return np.asarray(likelihood.on_grid(self.basis.in_use(h2)).value[:, 0] + rest)

    def full_at_optimum(self) -> float:
        """Full (ML) log-likelihood at `h2`, also if `h2` maximises the restricted likelihood."""
        likelihood = ProfileLikelihood.of(self.basis, self.fit.rotated, reml=False)
        rest = constant(self.basis, self.fit.log_scale, reml=False)
        return float((likelihood.at(self.fit.h2).value + rest)[0])


def with_marker(basis: Basis, covariates: Array, x: Array) -> Basis | None:
    """Add a marker to the covariates of a basis; None if these explain it completely.

    Parameters
    ----------
    basis : Basis
        Eigenbasis of n samples.
    covariates : array (n, c)
        Covariates of the basis as measured, with the intercept.
    x : array (n,)
        Dosages, none missing.
    """
    if not prepare_markers(basis, x[None]).tested[0]:
        return None
    return basis.with_covariates(np.column_stack([covariates, x]))


def lod_score(null: TraitModel, alternative: TraitModel) -> float:
    """LOD (l1 - l0) / ln 10 of the full likelihoods, each at the h2 estimated in its own model.

    Under ML the larger model cannot fit worse: negative values are rounding and become 0.
    """
    lod = (alternative.full_at_optimum() - null.full_at_optimum()) / np.log(10.0)
    return float(lod if null.reml else max(0.0, lod))


def curve_points(basis: Basis, count: int) -> Array:
    """Heritabilities (count,) for a curve: spaced like `Covariance.grid`, both ends included."""
    return basis.as_given(refined(basis.grid(), count))


def likelihood_interval(h2: Array, curve: Array, drop: float = DROP) -> Array:
    """Lowest and highest h2 (2,) within `drop` nats of the maximum, interpolated between points.

    Parameters
    ----------
    h2 : array (k,)
        Heritabilities, ascending, with the optimum among them.
    curve : array (k,)
        Log-likelihood at each of them, in nats.
    drop : float
        Fall below the maximum, in nats; by default that of the 95% likelihood interval.
    """
    floor = curve.max() - drop
    inside = np.flatnonzero(curve >= floor)

    def crossing(inner: int, outer: int) -> float:
        if not 0 <= outer < len(h2):
            return float(h2[inner])
        return float(np.interp(floor, curve[[outer, inner]], h2[[outer, inner]]))

    first, last = int(inside[0]), int(inside[-1])
    return np.array([crossing(first, first - 1), crossing(last, last + 1)])
