"""Scans of many traits with several kernels against those of one trait after the other."""

from __future__ import annotations

import pickle

import brute
import numpy as np
import pytest
import scipy.linalg
from test_components_estimate import groups

import bulklmm_dask.lmm.components.bulk as bulk
import bulklmm_dask.lmm.components.choice as choice
import bulklmm_dask.lmm.components.many as many
import bulklmm_dask.lmm.components.scan as scan
from bulklmm_dask.lmm.chunk import scan_block
from bulklmm_dask.lmm.components.estimate import estimate_shares
from bulklmm_dask.lmm.components.kernels import KernelSamples
from bulklmm_dask.lmm.components.lattice import STEP, Lattice, derivatives
from bulklmm_dask.lmm.components.nodes import LARGEST, nodes_of, roots_of
from bulklmm_dask.lmm.options import ModelOptions

N, M, P = 60, 90, 40
both = pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])


def study(kernels: int, *, weights: bool = False):
    """Traits of all shares, some with a locus, of strains in cages."""
    rng = np.random.default_rng(kernels)
    strain = rng.integers(20, size=N)
    features = rng.standard_normal((20, 200))[strain]
    matrices = [features @ features.T / 200, groups(rng, N, 12), groups(rng, N, 15)][:kernels]
    w = rng.uniform(0.5, 2, N) if weights else None
    residual = np.eye(N) if w is None else np.diag(1 / w**2)
    x = rng.binomial(2, 0.4, (P, N)).astype(float)
    x[5] = 1.0
    parts = [*matrices, residual]
    shares = rng.dirichlet(np.full(len(parts), 0.8), M)
    shares[::9, 0] = 0.0
    y = np.zeros((N, M))
    for part, share in zip(parts, shares.T, strict=True):
        root = np.linalg.cholesky(part + 1e-9 * np.eye(N))
        y += np.sqrt(share) * (root @ rng.standard_normal((N, M)))
    y[:, ::7] += 0.8 * x[3][:, None]
    y *= 10.0 ** rng.uniform(-3, 3, M)
    covariates = np.column_stack([np.ones(N), rng.standard_normal(N)])
    return y, KernelSamples(covariates, np.stack(matrices), w), x


def test_places_of_the_lattice_and_shares():
    lattice = Lattice((0.5, 0.1, 0.02), 50.0, 12, 7, 1e-5)
    places = np.random.default_rng(0).uniform(0, lattice.ends, (50, 3))
    places[0], places[1] = 0.0, [3.0, 0.0, 2.0]
    inner = lattice.inner(places)
    np.testing.assert_allclose(inner.sum(axis=1), 1.0)
    assert (inner >= 0).all()
    np.testing.assert_array_equal(inner[0], [0, 0, 0, 1])
    assert inner[1, 1] == 0.0
    shares = np.column_stack([lattice.ratios(places), np.ones(50)])
    shares /= shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(inner[:, :-1], shares[:, :-1] / (1 - 1e-5))
    np.testing.assert_allclose(lattice.place(shares), places, atol=1e-9)
    np.testing.assert_allclose(lattice.ratios(lattice.ends[None]), 50.0)


def test_polynomials_of_the_lattice_and_their_derivatives():
    lattice = Lattice((0.5, 0.1, 0.02), 50.0, 12, 7)
    slopes = np.array([0.05, -0.02, 0.03])
    smooth = np.exp(lattice.places @ slopes)
    places = np.random.default_rng(0).uniform(0, lattice.ends, (5, 3))
    exact = np.exp(places @ slopes)
    np.testing.assert_allclose(lattice.weights(places) @ smooth, exact, rtol=1e-9)
    found = derivatives(smooth[None], lattice.along(places))
    np.testing.assert_allclose(found[:, 0, 0, 0], exact, rtol=1e-9)
    np.testing.assert_allclose(found[:, 0, 1, 0], slopes[1] * exact, rtol=1e-6)
    np.testing.assert_allclose(found[:, 1, 0, 1], slopes[0] * slopes[2] * exact, rtol=1e-5)
    np.testing.assert_allclose(found[:, 0, 0, 2], slopes[2] ** 2 * exact, rtol=1e-4)
    on_grid = lattice.onto(smooth[:, None], lattice.searched_parts)[:, 0]
    np.testing.assert_allclose(on_grid, np.exp(lattice.searched_places @ slopes), rtol=1e-9)


@pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])
def test_the_log_determinant_and_its_derivatives(reml):
    _, samples, _ = study(2)
    kernels = samples.rotated()
    nodes = nodes_of(kernels, reml=reml)
    size = kernels.contrasts if reml else kernels.n

    def exact(place):
        inner = nodes.lattice.inner(np.asarray(place)[None])[0]
        return np.linalg.slogdet(np.tensordot(inner, kernels.vertices, 1)[:size, :size])[1]

    for place in np.random.default_rng(0).uniform(0.1, nodes.lattice.ends - 0.1, (8, 2)):
        value, slope, bend = nodes.logdet.at(place[None], nodes.lattice)
        assert value[0] == pytest.approx(exact(place), abs=1e-7)
        for d, step in enumerate(1e-3 * np.eye(2)):
            up, down = exact(place + step), exact(place - step)
            assert slope[0, d] == pytest.approx((up - down) / 2e-3, abs=1e-5)
            assert bend[0, d, d] == pytest.approx((up - 2 * value[0] + down) / 1e-6, abs=2e-2)


@pytest.mark.parametrize("kernels", [1, 2, 3])
def test_forms_between_the_points_are_those_of_dense_covariances(kernels):
    _, samples, x = study(kernels)
    rotated = samples.rotated()
    nodes = nodes_of(rotated, reml=False)
    assert nodes is nodes_of(rotated, reml=False)
    d = rotated.contrasts
    columns = rotated.rotate(x.T)[:, np.arange(P) != 5]
    ends = nodes.lattice.ends
    places = np.random.default_rng(1).uniform(0, ends, (90, len(ends)))
    places = places[nodes.suffice(places)]
    assert len(places) > 30
    found = nodes.weights_at(places) @ nodes.forms(columns)
    for own, inner in zip(found, nodes.lattice.inner(places), strict=True):
        covariance = np.tensordot(inner, rotated.vertices, axes=1)[:d, :d]
        exact = np.einsum("kj,kj->j", columns, scipy.linalg.solve(covariance, columns))
        np.testing.assert_allclose(own, exact, rtol=2 * LARGEST)


@both
@pytest.mark.parametrize(
    "kind",
    [
        "two kernels",
        "one kernel",
        "three kernels",
        pytest.param("weights", marks=pytest.mark.slow),
        pytest.param("NumPy", marks=pytest.mark.slow),
    ],
)
def test_bulk_gives_what_single_traits_give(kind, reml, monkeypatch):
    kernels = {"one kernel": 1, "three kernels": 3}.get(kind, 2)
    y, samples, x = study(kernels, weights=kind == "weights")
    options = ModelOptions(reml=reml, wanted=("beta", "se"))
    if kind == "NumPy":
        monkeypatch.setattr(bulk, "loops", lambda: None)
    monkeypatch.setattr(choice, "FEWEST_OF_MOST", M)
    fitted = scan.fit_components(y, samples, options)
    kinds = [type(group.scanner).__name__ for group in fitted.groups]
    assert kinds[0] == "BulkScan"
    assert len(fitted.groups[0].columns) > M / 3
    found = scan_block(x, fitted, options, single=False)
    monkeypatch.setattr(choice, "FEWEST", M + 1)
    monkeypatch.setattr(choice, "FEWEST_OF_MOST", M + 1)
    exact = scan.fit_components(y, samples, options)
    assert {type(group.scanner).__name__ for group in exact.groups} == {"ComponentScan"}
    wanted = scan_block(x, exact, options, single=False)
    assert list(fitted.status) == list(exact.status)
    assert "boundary" in fitted.status
    flat = exact.status == "flat"
    np.testing.assert_allclose(fitted.h2[:, ~flat], exact.h2[:, ~flat], atol=3e-5)
    np.testing.assert_allclose(fitted.sigma2[~flat], exact.sigma2[~flat], rtol=1e-4)
    np.testing.assert_allclose(found["lod"], wanted["lod"], atol=5e-5)
    assert wanted["lod"].max() > 5
    high = wanted["lod"] >= 3
    np.testing.assert_allclose(found["lod"][high], wanted["lod"][high], atol=2e-5)
    assert (found["lod"][5] == 0).all()
    assert np.isnan(found["beta"][5]).all()
    error = np.abs(found["beta"] - wanted["beta"]) / wanted["se"]
    assert np.nanmax(error) < 1e-4
    np.testing.assert_allclose(found["se"], wanted["se"], rtol=1e-4)


def test_the_same_nodes_in_another_process():
    y, samples, x = study(2)
    options = ModelOptions()
    fitted = scan.fit_components(y, samples, options)
    again = pickle.loads(pickle.dumps(fitted))
    kernels = again.groups[0].basis
    assert not kernels.kept
    one, two = (scan_block(x, each, options, single=False) for each in (fitted, again))
    np.testing.assert_array_equal(one["lod"], two["lod"])
    own = again.groups[0].scanner.nodes
    np.testing.assert_array_equal(roots_of(kernels, own), nodes_of(kernels, reml=False).roots)


def test_pairs_above_the_limit_are_computed_again():
    limit = bulk.largest_r2(248, 1e-5, 3e-7)
    assert 0.2 < limit < 0.4
    lod = [-124 * np.log10(1 - limit * (1 + error)) for error in (0.0, 3e-7)]
    assert lod[1] - lod[0] == pytest.approx(1e-5, rel=1e-3)
    assert bulk.largest_r2(248, 1e-5, 1e-9) > limit
    assert bulk.largest_r2(2000, 1e-5, 3e-7) < limit


def small_study(kind: str, n: int, seed: int):
    """Traits of few samples, half of them with a strong locus: likelihoods of every shape."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n, 3 * n))
    smooth, _ = np.linalg.qr(rng.standard_normal((2, n, n)))
    matrices = {
        "groups": [groups(rng, n, n // 2), groups(rng, n, n // 3)],
        "similar": [features @ features.T, (features @ features.T) ** 2],
        "smooth": [(q * np.exp(-np.arange(n) * 12.0 / n)) @ q.T for q in smooth],
        "uncentred": [features @ features.T + 100.0 * n, groups(rng, n, n // 3)],
        "nearly the same": [features @ features.T, features @ features.T + np.diag(features[:, 0])],
    }[kind]
    x = rng.binomial(2, 0.4, (20, n)).astype(float)
    x[:, 0] = 2.0
    x[:, 1] = 0.0
    m = 96
    parts = [*(one / np.trace(one) * n for one in matrices), np.eye(n)]
    shares = rng.dirichlet(np.full(3, 0.6), m)
    y = np.zeros((n, m))
    for part, share in zip(parts, shares.T, strict=True):
        root = np.linalg.cholesky(part + 1e-9 * np.eye(n))
        y += np.sqrt(share) * (root @ rng.standard_normal((n, m)))
    y[:, ::2] += rng.uniform(0.5, 5.0, m // 2) * x[rng.integers(20, size=m // 2)].T
    return y, KernelSamples(np.ones((n, 1)), np.stack(matrices)), x


def found_and_wanted(y, samples, x, options, monkeypatch):
    """Traits fitted, and LODs, in bulk and one by one."""
    fitted = scan.fit_components(y, samples, options)
    found = scan_block(x, fitted, options, single=False)
    monkeypatch.setattr(choice, "FEWEST", y.shape[1] + 1)
    exact = scan.fit_components(y, samples, options)
    return fitted, found["lod"], exact, scan_block(x, exact, options, single=False)["lod"]


@pytest.mark.parametrize(
    ("kind", "n", "seed"),
    [("smooth", 60, 2), ("similar", 30, 7), ("uncentred", 30, 1), ("nearly the same", 45, 4)],
)
def test_likelihoods_of_every_shape(kind, n, seed, monkeypatch):
    study = small_study(kind, n, seed)
    options = ModelOptions(reml=True)
    fitted, found, exact, wanted = found_and_wanted(*study, options, monkeypatch)
    assert list(fitted.status) == list(exact.status)
    sure = exact.status != "flat"
    np.testing.assert_allclose(fitted.h2[:, sure], exact.h2[:, sure], atol=1e-5)
    high = wanted >= 3
    np.testing.assert_allclose(found[high], wanted[high], atol=1.5e-5)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert wanted.max() > 5
    assert len(fitted.groups[0].columns) > len(fitted.status) / 2


@pytest.mark.parametrize(
    ("kind", "n", "seed", "trait"), [("groups", 20, 5, 25), ("smooth", 14, 1, 85)]
)
def test_the_highest_of_several_tops_is_found(kind, n, seed, trait):
    """One of them lies on an edge, beside a ridge."""
    y, samples, _ = small_study(kind, n, seed)
    found = estimate_shares(y[:, [trait]], samples, reml=True)
    dense = brute.Components(y[:, trait], samples.covariates, list(samples.kernels), reml=True)
    shares, highest = dense.best()
    np.testing.assert_allclose(found.h2[:, 0], shares, atol=1e-4)
    assert dense.value(found.h2[:, 0]) == pytest.approx(highest, abs=1e-6)


def test_a_level_coordinate_does_not_shorten_the_step_of_another():
    place, ends = np.array([[59.0, 28.0]]), np.array([60.0, 44.0])
    slope, bend = np.array([[-3e-10, 0.0126]]), np.array([[[4e-11, 1.6e-6], [1.6e-6, -0.0428]]])
    step = many._newton(place, slope, bend, ends)
    u = 0.0126 / (0.0428 + STEP * 0.0126)
    np.testing.assert_allclose(step, [[1.0, np.log1p(STEP * u) / STEP]], rtol=1e-3)
