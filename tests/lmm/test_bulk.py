"""Maxima of all likelihoods at once, from compressed sums, against every row and a dense grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bulklmm_dask._compiled import NUMPY, VARIABLE
from bulklmm_dask.lmm.basis import make_basis
from bulklmm_dask.lmm.bulk import CompressedLikelihood
from bulklmm_dask.lmm.compiled.fits import MOST_COVARIATES, project_out
from bulklmm_dask.lmm.compiled.loops import available, built
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
    every = np.arange(9)
    sums = likelihood._sums(every, h2)
    value, left = likelihood._value(sums, h2), sums.s / sums.total
    slope, bend = likelihood._derivatives(every, h2)
    np.testing.assert_allclose(value, at.value, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(slope, at.slope, rtol=1e-7, atol=1e-8)
    step = 1e-6
    up, down = (likelihood._derivatives(every, h2 + d)[0] for d in (step, -step))
    np.testing.assert_allclose(bend, (up - down) / (2 * step), rtol=1e-5, atol=1e-4)
    on_mesh, sure = likelihood._slopes(likelihood._on_mesh(h2))
    assert sure.all()
    scale = np.diag(rows.on_grid(h2).quadratic)
    np.testing.assert_allclose(np.diag(on_mesh), slope * scale, rtol=1e-7, atol=1e-8)
    assert ((left > 0.0) & (left <= 1.0)).all()


def by(instructions, monkeypatch):
    monkeypatch.setenv(VARIABLE, instructions)


@pytest.mark.parametrize("instructions", available()[1:])
@pytest.mark.parametrize("c", [0, 1, 2, 5, MOST_COVARIATES])
@pytest.mark.parametrize("kind", ["strains", "steep"])
@pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
def test_compiled_loops_sum_as_numpy_does(instructions, c, kind, reml, monkeypatch):
    rows = likelihoods(kind, c=max(c, 1), m=37, reml=reml)
    if c == 0:
        without = replace(rows.covariance, covariates=rows.covariance.covariates[:, :0])
        rows = replace(rows, covariance=without)
    likelihood = CompressedLikelihood.of(rows.covariance, rows.y, reml=reml)
    mesh = rows.covariance.mesh
    some = np.array([5, 0, 36, 36, 1, 20, 7, 8, 30, 2, 3])
    h2 = np.linspace(0.0, rows.covariance.h2_max, len(some))
    by(NUMPY, monkeypatch)
    sums = likelihood._sums(some, h2)
    slopes, sure = likelihood._slopes(likelihood._on_mesh(mesh))
    by(instructions, monkeypatch)
    for name, found, expected in zip(sums._fields, likelihood._sums(some, h2), sums, strict=True):
        # S and its derivatives are differences of sums.
        scale = np.abs(expected).max() if name.startswith("gram") else np.abs(expected)
        assert (np.abs(found - expected) <= 1e-9 * scale).all(), name
    found, exact = likelihood._slopes(likelihood._on_mesh(mesh))
    np.testing.assert_allclose(found, slopes, rtol=1e-8, atol=1e-10 * np.abs(slopes).max())
    np.testing.assert_array_equal(exact, sure)
    # A trait is computed in the same way wherever it stands.
    for start, stop in [(0, 1), (3, 36)]:
        part = likelihood.take(np.arange(start, stop))
        np.testing.assert_array_equal(part._slopes(part._on_mesh(mesh))[0], found[:, start:stop])


@pytest.mark.parametrize("instructions", available()[1:])
@pytest.mark.parametrize("c", [0, 1, 3])
@pytest.mark.parametrize("traits", [1, 64, 150])
def test_columns_are_projected_off_covariates(instructions, c, traits):
    rng = np.random.default_rng(c)
    columns = 1e3 + rng.standard_normal((40, traits + 9))
    covariates = np.linalg.qr(rng.standard_normal((40, c)))[0]
    expected = columns - covariates @ (covariates.T @ columns)
    found = columns.copy()
    which = available()[1:].index(instructions)
    size, left = project_out(found[:, :traits], covariates, which)
    np.testing.assert_allclose(found[:, :traits], expected[:, :traits], rtol=0, atol=1e-11)
    np.testing.assert_allclose(covariates.T @ found[:, :traits], 0.0, atol=1e-12)
    np.testing.assert_array_equal(found[:, traits:], columns[:, traits:])  # nothing else is written
    np.testing.assert_allclose(size, (columns**2).sum(axis=0)[:traits], rtol=1e-13)
    np.testing.assert_allclose(left, (found**2).sum(axis=0)[:traits], rtol=1e-13)
    alone = columns.copy()
    project_out(alone[:, traits - 1 : traits], covariates, which)
    np.testing.assert_array_equal(alone[:, traits - 1], found[:, traits - 1])


@pytest.mark.parametrize("instructions", available())
def test_more_covariates_than_the_loops_have_room_for(instructions, monkeypatch):
    by(instructions, monkeypatch)
    rows = likelihoods("distinct", c=MOST_COVARIATES + 1, m=20, reml=True)
    h2 = rows.maximise()
    np.testing.assert_allclose(rows.at(h2).value, rows.at(rows.search()).value, atol=1e-9, rtol=0)
    assert len(np.unique(h2)) > 5


@pytest.mark.parametrize("instructions", available())
def test_flat_likelihoods_and_traits_that_covariates_nearly_explain_are_unsure(
    instructions, monkeypatch
):
    by(instructions, monkeypatch)
    rows = likelihoods("distinct", m=9, reml=False)
    explained = rows.covariance.covariates[:, :1] + 1e-5 * rows.y[:, :1]
    y = np.concatenate([rows.y[:, :3], explained, rows.y[:, 3:]], axis=1)
    likelihood = CompressedLikelihood.of(rows.covariance, y, reml=False)
    sure = likelihood.maximise()[1]
    np.testing.assert_array_equal(np.flatnonzero(~sure), [3])
    flat = likelihoods("unrelated", m=9, reml=False)
    assert not CompressedLikelihood.of(flat.covariance, flat.y, reml=False).maximise()[1].any()


@pytest.mark.skipif(built() is None, reason="the loops were not built")
def test_arrays_that_do_not_fit_the_loops_are_refused():
    module = built()
    terms, gram, poles = np.ones((3, 2, 5)), np.ones((3, 1)), np.ones(3)
    some, h2, sums = np.array([0, 4]), np.zeros(2), np.zeros((9, 2))
    module.fit_sums(poles, terms, gram, poles, some, h2, sums, 0)
    with pytest.raises(IndexError, match="some has 5, but there are 5"):
        module.fit_sums(poles, terms, gram, poles, some + 1, h2, sums, 0)
    with pytest.raises(ValueError, match="gram has to be 3 numbers"):
        module.fit_sums(poles, terms, gram[:2], poles, some, h2, sums, 0)
    with pytest.raises(ValueError, match="sums has to be 18 numbers"):
        module.fit_sums(poles, terms, gram, poles, some, h2, sums[:8], 0)
    with pytest.raises(ValueError, match="terms have to have 3 axes, the second of 1 to 9"):
        module.fit_sums(poles, np.ones((3, 10, 5)), gram, poles, some, h2, sums, 0)
    columns, covariates, lengths = np.zeros((4, 6)), np.ones((4, 9)), np.zeros(6)
    with pytest.raises(ValueError, match="covariates has 9 columns, not up to 8"):
        module.project_out(columns, covariates, lengths, lengths, 0)
    with pytest.raises(ValueError, match="covariates has to have 4 rows"):
        module.project_out(columns, covariates[:3, :2].copy(), lengths, lengths, 0)
    mesh, of_gram, points = np.ones((4, 3)), np.ones((4, 1, 1)), np.ones(4)
    slope, sure = np.zeros((4, 5)), np.zeros(5, bool)
    call = [terms, mesh, mesh, of_gram, of_gram, points, points, 9.0, 0.0, 0.0, slope, sure, 0]
    module.fit_slopes(*call)
    for place, wrong, message in [
        (1, mesh[:, :2].copy(), "value has to have -1 rows of 3"),
        (2, mesh[:3], "first has to have 4 rows of 3"),
        (4, of_gram[:3], "gram_slope has to be 4 numbers"),
        (10, slope[:3], "slope has to be 20 numbers"),
        (11, sure[:3], "sure has to be 5 numbers"),
    ]:
        with pytest.raises(ValueError, match=message):
            module.fit_slopes(*call[:place], wrong, *call[place + 1 :])


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
