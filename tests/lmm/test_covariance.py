"""The covariance of rotated traits: determinants, and slopes that are derivatives."""

from __future__ import annotations

import numpy as np
import pytest

from bulklmm_dask.lmm.basis import fold, make_basis
from bulklmm_dask.lmm.covariance import Covariance, Variances
from bulklmm_dask.lmm.projection import covariate_gram, covariate_terms, project


def a_basis(rank: int = 12, n: int = 12, weights: np.ndarray | None = None):
    rng = np.random.default_rng(rank)
    factor = rng.standard_normal((n, rank))
    covariates = np.column_stack([np.ones(n), rng.standard_normal(n)])
    return factor @ factor.T / rank, make_basis(factor @ factor.T / rank, covariates, weights)


@pytest.mark.parametrize("weighted", [False, True])
def test_determinants_are_those_of_the_samples(weighted):
    weights = np.linspace(0.5, 2, 12) if weighted else None
    kinship, basis = a_basis(weights=weights)
    noise = np.eye(12) if weights is None else np.diag(1 / weights**2)
    h2 = np.array([0.0, 0.3, 0.9])
    expected = [np.linalg.slogdet(h * kinship + (1 - h) * noise)[1] for h in h2]
    np.testing.assert_allclose(basis.at(h2).logdet() - 2 * basis.log_weights, expected, rtol=1e-10)


@pytest.mark.parametrize("folded", [False, True])
def test_slopes_are_derivatives(folded):
    covariance: Covariance = a_basis(rank=5)[1]
    if folded:
        covariance = fold(covariance, np.random.default_rng(0).standard_normal((12, 3)))[0]
        assert covariance.rows < 12
    assert covariance.n == 12
    step, h2 = 1e-5, np.array([0.1, 0.5, 0.9])
    low, at, high = (covariance.at(h2 + d) for d in (-step, 0.0, step))
    assert isinstance(at, Variances)

    def derivative(value):
        return (value(high) - value(low)) / (2 * step)

    change = np.broadcast_to(at.slope, at.value.shape)
    np.testing.assert_allclose(change, derivative(lambda v: v.value), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(at.logdet_slope(), derivative(Variances.logdet), rtol=1e-6)
    np.testing.assert_allclose(at.logdet_bend(), derivative(Variances.logdet_slope), rtol=1e-6)
    _, slope = covariate_terms(covariance, covariate_gram(covariance, at.weights), at)
    np.testing.assert_allclose(
        slope,
        derivative(
            lambda v: covariate_terms(covariance, covariate_gram(covariance, v.weights), v)[0]
        ),
        rtol=1e-6,
    )
    # y'M(h)y has the slope -(My)'V'(My).
    y = np.random.default_rng(1).standard_normal((covariance.rows, 3))
    my, _ = project(covariance, y, at)
    forms = derivative(lambda v: np.einsum("kj,kj->j", y, project(covariance, y, v)[0]))
    np.testing.assert_allclose(-at.slope_form(my, my), forms, rtol=1e-6)


def test_shares_of_the_variance():
    _, basis = a_basis()
    share = np.array([0.0, 0.2, 0.9, 1.0])
    h2 = basis.at_share(share)
    np.testing.assert_allclose([basis.share(h) for h in h2], share, atol=1e-12)
    kinship = basis.variances([1.0]).mean()
    np.testing.assert_allclose(h2 * kinship / (h2 * kinship + 1 - h2), share, atol=1e-12)


def test_the_grid_spans_what_is_admissible():
    for rank, top in ((12, 1.0), (5, 1 - 1e-5)):
        grid = a_basis(rank)[1].grid()
        assert grid[0] == 0
        assert grid[-1] == top
        assert (np.diff(grid) > 0).all()
    assert make_basis(None, np.ones((4, 1))).grid().tolist() == [0.0]


def test_equal_rows_count_once():
    kinship = np.kron(np.diag([1.0, 2.0, 3.0]), np.ones((2, 2)))
    basis = make_basis(kinship, np.ones((6, 1)))
    assert basis.rank == 3
    np.testing.assert_allclose(basis.eigenvalues[basis.distinct], [6, 4, 2, 0], atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_other_covariates_in_the_same_basis(weighted):
    weights = np.linspace(0.5, 2, 12) if weighted else None
    kinship, basis = a_basis(weights=weights)
    other = np.random.default_rng(3).standard_normal((12, 3))
    other[:, 2] = other[:, 0] + other[:, 1]
    found = basis.with_covariates(other)
    expected = make_basis(kinship, other, weights)
    np.testing.assert_allclose(found.covariates, expected.covariates, atol=1e-10)
    columns = other[:, :2]
    scale = np.linalg.slogdet(columns.T @ columns)[1]
    weighting = np.eye(12) if weights is None else np.diag(weights**2)
    expected_logdet = scale - np.linalg.slogdet(columns.T @ weighting @ columns)[1]
    assert found.covariate_logdet == pytest.approx(expected_logdet, abs=1e-10)


@pytest.mark.parametrize("scale", [0.9995, 1.0005, 1.3])
def test_a_mesh_has_both_ends(scale):
    """Also where the grid has a point beside the end."""
    factor = np.random.default_rng(4).standard_normal((12, 5))
    kinship = factor @ factor.T
    basis = make_basis(kinship * (scale * 12 / np.trace(kinship)), np.ones((12, 1)))
    assert basis.h2_max == 1 - 1e-5
    assert (basis.mesh[0], basis.mesh[-1]) == (0.0, basis.h2_max)
    assert (np.diff(basis.mesh) > 0).all()
