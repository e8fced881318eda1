"""Maxima of all likelihoods at once, from compressed sums, against every row and a dense grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bulklmm_dask.lmm.basis import make_basis
from bulklmm_dask.lmm.bulk import CompressedLikelihood
from bulklmm_dask.lmm.compress import TOLERANCE, compress
from bulklmm_dask.lmm.likelihood import ProfileLikelihood
from bulklmm_dask.lmm.null.fit import fit_null
from bulklmm_dask.lmm.null.heritability import error_from_rows, standard_error
from bulklmm_dask.lmm.prior import Prior

SINGULAR = 1 - 1e-5
KINDS = ["distinct", "strains", "steep", "nearly singular", "tiny", "unrelated"]


def kinship(kind: str, n: int) -> np.ndarray:
    rng = np.random.default_rng(n)
    values = {
        "distinct": np.linspace(0.05, 4, n),
        "strains": np.where(np.arange(n) < n // 4, np.linspace(0.5, 8, n), 0.0),
        "steep": np.geomspace(1e-4, 60, n),
        "nearly singular": np.where(np.arange(n) < n // 4, np.linspace(0.5, 8, n), 1e-9),
        "tiny": 1e-6 * np.linspace(0.05, 4, n),
        "unrelated": np.ones(n),
    }[kind]
    vectors, _ = np.linalg.qr(rng.standard_normal((n, n)))
    matrix = (vectors * values) @ vectors.T
    return (matrix + matrix.T) / 2


def likelihoods(kind: str, *, n: int = 60, c: int = 1, m: int = 200, reml: bool):
    """Likelihoods of traits of all heritabilities, some with h2 very near 1."""
    rng = np.random.default_rng(c)
    matrix = kinship(kind, n)
    basis = make_basis(matrix, np.column_stack([np.ones(n), rng.standard_normal((n, c - 1))]))
    h2 = rng.uniform(0, 1, m)
    h2[: m // 8] = 0.0
    h2[m // 8 : m // 3] = 1 - 10.0 ** rng.uniform(-10, -1, m // 3 - m // 8)
    root = basis.vectors * np.sqrt(basis.eigenvalues * basis.unit)
    y = np.sqrt(h2) * (root @ rng.standard_normal((n, m)))
    y += np.sqrt(1 - h2) * rng.standard_normal((n, m))
    model = fit_null(basis, y, reml=reml)
    return ProfileLikelihood.of(basis, model.rotated, reml=reml)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("c", [1, 4])
@pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
def test_every_maximum_is_at_least_that_of_a_dense_grid(kind, c, reml):
    found = likelihoods(kind, c=c, reml=reml)
    top, matrix = found.covariance.h2_max, kinship(kind, 60)
    h2 = found.maximise()
    assert ((h2 >= 0.0) & (h2 <= top)).all()
    least = max(np.linalg.eigvalsh(matrix)[0], 1e-11)
    near = 1 - np.geomspace(max(1 - top, least * 1e-2), 1, 1500)
    dense = np.unique(np.concatenate([np.geomspace(1e-9, top, 800), near, [0.0, top]]))
    dense = dense[dense <= top]
    best = dense[found.on_grid(dense).value.argmax(axis=0)]
    assert (found.at(h2).value > found.at(best).value - 1e-8).all()
    inner = (h2 > 0.0) & (h2 < top)
    if kind != "unrelated":
        assert 0.3 < inner.mean() < 1.0


@pytest.mark.parametrize("kind", ["distinct", "strains", "steep"])
@pytest.mark.parametrize("c", [1, 4])
@pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
def test_the_search_from_all_rows_finds_the_same(kind, c, reml):
    found = likelihoods(kind, c=c, reml=reml)
    h2, other = found.maximise(), found.search()
    value, expected = found.at(h2).value, found.at(other).value
    np.testing.assert_allclose(value, expected, atol=1e-9, rtol=0)
    same = np.abs(value - expected) < 1e-10
    # The bend of a flat likelihood amplifies what its slope is worth.
    np.testing.assert_allclose(h2[same], other[same], atol=2e-9, rtol=0)
    assert np.median(np.abs(h2 - other)) < 1e-11


@pytest.mark.parametrize("c", [0, 1, 3])
@pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
def test_slope_and_bend_are_derivatives_and_values_are_those_of_all_rows(c, reml):
    rows = likelihoods("steep", c=max(c, 1), m=9, reml=reml)
    if c == 0:
        without = replace(rows.covariance, covariates=rows.covariance.covariates[:, :0])
        rows = replace(rows, covariance=without)
    likelihood = CompressedLikelihood.of(rows.covariance, rows.y, reml=reml)
    h2 = np.linspace(0.02, 0.95, 9)
    at = rows.at(h2)
    value, left, _ = likelihood._values(h2)
    slope, bend = likelihood._slope_and_bend(h2)
    np.testing.assert_allclose(value, at.value, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(slope, at.slope, rtol=1e-7, atol=1e-8)
    step = 1e-6
    up, down = (likelihood._slope_and_bend(h2 + d)[0] for d in (step, -step))
    np.testing.assert_allclose(bend, (up - down) / (2 * step), rtol=1e-5, atol=1e-4)
    on_mesh, sure = likelihood._slope_on(h2)
    assert sure.all()
    scale = np.diag(rows.on_grid(h2).quadratic)
    np.testing.assert_allclose(np.diag(on_mesh), slope * scale, rtol=1e-7, atol=1e-8)
    assert ((left > 0.0) & (left <= 1.0)).all()


@pytest.mark.parametrize(
    ("eigenvalues", "top", "most"),
    [
        (np.linspace(0.05, 4, 200), 1.0, 25),
        (np.append(np.linspace(0.5, 8, 40), np.zeros(9)), SINGULAR, 22),
        (np.append(np.linspace(0.5, 8, 40), np.full(9, 1e-9)), 1.0, 60),
        (np.geomspace(1e-9, 60, 300), 1.0, 110),
        (np.ones(30), 1.0, 10),
        (np.array([2.0, 0.0]), SINGULAR, 12),
        (np.zeros(5), 0.0, 1),
    ],
)
def test_a_compression_is_as_exact_as_it_says(eigenvalues, top, most):
    found = compress(eigenvalues, top)
    assert found.suffices
    assert len(found.mu) <= most
    rng = np.random.default_rng(0)
    tails = 10.0 ** rng.uniform(-12, 0, 500)
    h2 = np.concatenate([[0.0, top], top * rng.uniform(size=500), top * tails, top * (1 - tails)])
    exact = 1 / (eigenvalues[:, None] * h2 + (1 - h2))
    terms = 1 / (found.mu[:, None] * h2 + (1 - h2))
    growth = (np.abs(found.matrix) @ terms) / exact
    error = np.abs(found.matrix @ terms / exact - 1)
    assert (error < TOLERANCE + 1e-14 * growth).all()


def test_eigenvalues_of_any_size_are_left_to_the_search():
    found = compress(np.geomspace(1e-12, 1e12, 200), 1.0)
    assert not found.suffices


def test_the_traits_are_left_as_they_are():
    rows = likelihoods("distinct", m=20, reml=False)
    before = rows.y.copy()
    rows.maximise()
    np.testing.assert_array_equal(rows.y, before)
    some = rows.take(np.array([3, 7])).maximise()
    np.testing.assert_allclose(rows.maximise()[[3, 7]], some, rtol=0, atol=1e-11)


@pytest.mark.parametrize("prior", [None, Prior(0.1, 5.0), Prior(np.linspace(0.1, 1, 600), 5.0)])
def test_many_traits_are_evaluated_as_few(prior):
    rows = likelihoods("distinct", n=20, m=600, reml=True)
    rows = replace(rows, prior=prior)
    h2 = np.linspace(0, 0.99, 600)
    many, last = rows.at(h2), np.arange(590, 600)
    few = rows.take(last).at(h2[last])
    for name in ("value", "slope", "quadratic"):
        np.testing.assert_allclose(getattr(many, name)[last], getattr(few, name), rtol=1e-12)
    np.testing.assert_array_equal(many.count[last], few.count)
    if prior is None:
        errors = standard_error(rows, h2)
        np.testing.assert_allclose(errors[last], standard_error(rows.take(last), h2[last]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("c", [1, 4])
@pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
def test_standard_errors_and_likelihoods_are_those_of_all_rows(kind, c, reml):
    rows = likelihoods(kind, c=c, m=60, reml=reml)
    h2 = rows.maximise()
    summed, exact = rows.summed(h2), rows.at(h2)
    np.testing.assert_allclose(summed.value, exact.value, atol=1e-7, rtol=1e-10)
    np.testing.assert_allclose(summed.quadratic, exact.quadratic, rtol=1e-8)
    assert summed.count == exact.count
    np.testing.assert_array_equal(summed.grows(h2), exact.grows(h2))
    if kind == "unrelated":  # h2 is not determined, and its standard errors are rounding
        assert (standard_error(rows, h2) > 1e6).all()
        return
    found, expected = standard_error(rows, h2), error_from_rows(rows, h2)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # Where nothing is a maximum the observed information is that of the curvature all the same.
    middle = np.full(60, 0.4)
    np.testing.assert_allclose(
        standard_error(rows, middle), error_from_rows(rows, middle), rtol=1e-6
    )
