r"""Heritability of every trait without a marker: the optimum of the profile likelihood.

``h2_exact`` brackets every local maximum on a grid of heritabilities (matrix products, all traits
at once), then finds the root of the slope within each bracket; both ends of the admissible
interval are candidates. ``h2_on_grid`` takes the best value of a given grid, as BulkLMM.jl does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import elementwise

from bulklmm_dask.lmm.basis import Basis, Spectrum
from bulklmm_dask.lmm.likelihood import Profile, bracketing_grid, profile_at, profile_on_grid
from bulklmm_dask.lmm.own_covariates import fold_together, orthonormal_columns, outside
from bulklmm_dask.lmm.prior import LARGEST_H2, Prior
from bulklmm_dask.typing import Array

OK, ALL_MISSING, CONSTANT, TOO_FEW, UNBOUNDED = (
    "ok",
    "all-missing",
    "constant",
    "too-few-samples",
    "unbounded",
)


@dataclass(frozen=True)
class NullModel:
    """The null model of a group of traits of the same samples.

    Attributes
    ----------
    h2 : array (traits,)
        Heritability; NaN for a trait that could not be fitted.
    sigma2 : array (traits,)
        Total variance s2 of Var(y) = s2 [h2 K + (1 - h2) I]: S/n under ML, S/(n-c) under REML.
        With a prior, the residual variance of the posterior's mode over 1 - h2.
    status : array (traits,) of str
        "ok", "constant", "too-few-samples", or "unbounded" where the likelihood grows up to
        h2 = 1 and the estimate is only the bound.
    rotated : array (n, fitted traits)
        The traits that could be fitted, rotated, without covariates, of length one: neither the
        mean nor the scale changes any LOD, and a large mean would cost digits.
    given : array (K, n, fitted traits)
        Covariates that every trait has for itself, rotated, without the others, of length one;
        zeros for none.
    scale : array (fitted traits,)
        What the fitted traits were divided by.
    """

    h2: Array
    sigma2: Array
    status: npt.NDArray[np.object_]
    rotated: Array
    given: Array
    scale: Array

    @property
    def fitted(self) -> npt.NDArray[np.bool_]:
        """Which traits have a null model."""
        return ~np.isnan(self.h2)


def h2_exact(
    spectrum: Spectrum,
    y: Array,
    *,
    reml: bool,
    prior: Prior | None = None,
    given: Array | None = None,
) -> Array:
    """Heritability (traits,) that maximises the profile likelihood over [0, h2_max].

    Parameters
    ----------
    spectrum : Spectrum
        Of k rows.
    y : array (k, traits)
        Rotated traits, none of them constant.
    reml : bool
        Restricted instead of full likelihood.
    prior : Prior, optional
        On the residual variance, in squared units of `y`; needs h2_max below 1.
    given : array (K, k, traits), optional
        Covariates that every trait has for itself, rotated; zeros for none.
    """
    grid = bracketing_grid(spectrum)
    if len(grid) == 1:
        return np.zeros(y.shape[1])
    if prior is not None:  # a strong one may hold a trait anywhere below h2 = 1
        beyond = 1.0 - np.geomspace(1.0 - grid[-2], 1.0 - grid[-1], 12)[1:-1]
        grid = np.concatenate([grid[:-1], beyond, grid[-1:]])
    on_grid = profile_on_grid(spectrum, y, grid, reml=reml, prior=prior, given=given)
    rising, falling = on_grid.slope > 0, on_grid.slope < 0
    ends = on_grid.value[[0, -1]]
    best = np.where(ends[1] > ends[0], grid[-1], grid[0])
    best_value = ends.max(axis=0)
    # A maximum lies between grid points where the slope turns from rising to not rising. Brackets
    # whose better end is far below the best grid value cannot win and are not refined.
    cell, trait = np.nonzero(rising[:-1] & ~rising[1:] | (~falling[:-1] & falling[1:]))
    top = on_grid.value.max(axis=0)
    near = np.maximum(on_grid.value[cell, trait], on_grid.value[cell + 1, trait])
    gain = np.abs(on_grid.slope[cell, trait]) * (grid[cell + 1] - grid[cell])
    hopeful = near + gain >= top[trait]
    cell, trait = cell[hopeful], trait[hopeful]
    if len(cell) == 0:
        return best

    def profile(h2: Array, index: npt.NDArray[np.int64]) -> Profile:
        some_prior = None if prior is None else prior.take(index)
        some_given = None if given is None else given[:, :, index]
        return profile_at(spectrum, y[:, index], h2, reml=reml, prior=some_prior, given=some_given)

    found = elementwise.find_root(
        lambda h2, index: profile(h2, index).slope,
        (grid[cell], grid[cell + 1]),
        args=(trait,),
        tolerances={"xatol": 1e-11},
    )
    values = profile(found.x, trait).value
    order = np.argsort(values, kind="stable")  # the last write of a trait is its best candidate
    cell, trait, h2, values = cell[order], trait[order], found.x[order], values[order]
    candidate, candidate_value = best.copy(), np.full_like(best, -np.inf)
    candidate[trait], candidate_value[trait] = h2, values
    return np.where(candidate_value >= best_value, candidate, best)


def h2_on_grid(
    spectrum: Spectrum,
    y: Array,
    grid: Array,
    *,
    reml: bool,
    prior: Prior | None = None,
    given: Array | None = None,
) -> Array:
    """The value of the grid, within [0, h2_max], with the largest profile likelihood, (traits,)."""
    grid = np.unique(np.minimum(grid, spectrum.h2_max))
    on_grid = profile_on_grid(spectrum, y, grid, reml=reml, prior=prior, given=given)
    return grid[np.argmax(on_grid.value, axis=0)]


def fit_null(
    basis: Basis,
    y: Array,
    *,
    reml: bool,
    grid: Array | None = None,
    prior: Prior | None = None,
    extra: Array | None = None,
) -> NullModel:
    """Fit the null model of every trait of a group of complete samples.

    Parameters
    ----------
    basis : Basis
        Of the n samples of the group.
    y : array (n, traits)
        Traits as measured (not rotated), without missing values.
    reml : bool
        Restricted instead of full likelihood.
    grid : array, optional
        Search this grid only (null-grid) instead of the whole interval.
    prior : Prior, optional
        On the residual variance, in squared units of the traits as measured.
    extra : array (n, traits, K), optional
        Covariates that every trait has for itself, as measured, without missing values. One that
        adds nothing to the covariates and to those before it (zeros, say) is left out.
    """
    n, traits = y.shape
    h2, sigma2 = np.full(traits, np.nan), np.full(traits, np.nan)
    status = np.full(traits, OK, dtype=object)
    if extra is None:
        extra = np.empty((n, traits, 0))
    if n < basis.n_covariates + 2:
        status[:] = TOO_FEW
        nothing = np.empty((extra.shape[2], n, 0))
        return NullModel(h2, sigma2, status, np.empty((n, 0)), nothing, np.empty(0))
    given = orthonormal_columns(basis, extra)
    rotated = outside(basis, given, basis.rotate(y - y.mean(axis=0)))
    scale = np.sqrt(np.einsum("kj,kj->j", rotated, rotated))
    given_size = np.linalg.norm(y if basis.weights is None else y * basis.weights[:, None], axis=0)
    status[scale <= 1e-10 * given_size] = CONSTANT
    status[n < basis.n_covariates + given.any(axis=1).sum(axis=0) + 2] = TOO_FEW
    usable = status == OK
    scale, given = scale[usable], given[:, :, usable]
    rotated = rotated[:, usable] / scale
    if not usable.any():
        return NullModel(h2, sigma2, status, rotated, given, scale)
    spectrum, folded, folded_given = fold_together(basis, rotated, given)
    if prior is not None:
        spectrum = replace(spectrum, h2_max=min(spectrum.h2_max, LARGEST_H2))
        prior = prior.take(usable).in_units(scale)
    if grid is None:
        estimate = h2_exact(spectrum, folded, reml=reml, prior=prior, given=folded_given)
    else:
        estimate = h2_on_grid(spectrum, folded, grid, reml=reml, prior=prior, given=folded_given)
    best = profile_at(spectrum, folded, estimate, reml=reml, prior=prior, given=folded_given)
    if 0.0 < spectrum.h2_max < 1.0:
        status[np.flatnonzero(usable)[estimate == spectrum.h2_max]] = UNBOUNDED
    h2[usable] = estimate
    sigma2[usable] = best.quadratic / best.count * scale**2
    return NullModel(h2, sigma2, status, rotated, given, scale)
