"""Scans of many traits with several kernels against those of one trait after the other."""

from __future__ import annotations

import pickle

import brute
import numpy as np
import pytest
import scipy.linalg
from test_components_estimate import groups

import bulklmm_dask.lmm.components.bulk as bulk
import bulklmm_dask.lmm.components.many as many
import bulklmm_dask.lmm.components.scan as scan
from bulklmm_dask.lmm.chunk import scan_block
from bulklmm_dask.lmm.components.estimate import estimate_shares
from bulklmm_dask.lmm.components.kernels import KernelSamples
from bulklmm_dask.lmm.components.lattice import ORDER, Axis, Lattice
from bulklmm_dask.lmm.components.nodes import LARGEST, nodes_of, roots_of
from bulklmm_dask.lmm.options import ModelOptions

N, M, P = 60, 90, 40
both = pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])


def study(kernels: int, *, weights: bool = False):
    """Traits of all shares, some with a locus, of strains in cages."""
    rng = np.random.default_rng(kernels)
    strain = rng.integers(20, size=N)
    features = rng.standard_normal((20, 200))[strain]
    matrices = [features @ features.T / 200, groups(rng, N, 12)][:kernels]
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
    lattice = Lattice((Axis(21, 7.0), Axis(25, 7.0), Axis(31, 6.0, 0.01)))
    ends = np.array(lattice.shape) - 1.0
    places = np.random.default_rng(0).uniform(0, ends, (50, 3))
    places[0], places[1] = 0.0, [3.0, 0.0, 2.0]
    inner = lattice.inner(places)
    np.testing.assert_allclose(inner.sum(axis=1), 1.0)
    assert (inner >= 0).all()
    np.testing.assert_array_equal(inner[0], [0, 0, 0.99, 0.01])
    assert inner[1, 1] == 0.0
    np.testing.assert_allclose(lattice.place(inner), places, atol=1e-6)
    np.testing.assert_allclose(lattice.rays.sum(axis=1), 1.0)
    assert lattice.inner(ends[None])[0, -1] == 1.0
    # Polynomials through so many points give their values, and those of smooth functions between.
    smooth = np.sin(lattice.places @ [0.2, 0.1, 0.15])
    for place in places[:5]:
        points = lattice.points(int(lattice.cell(place[None])[0])).reshape(3 * (ORDER,))
        values = smooth[points][None]
        for each in lattice.polynomials(place[None]):
            values = np.einsum("mp...,mp->m...", values, each[0])
        assert values[0] == pytest.approx(np.sin(place @ [0.2, 0.1, 0.15]), abs=1e-9)


@pytest.mark.parametrize("kernels", [1, 2])
def test_forms_between_the_points_are_those_of_dense_covariances(kernels):
    _, samples, x = study(kernels)
    rotated = samples.rotated()
    nodes = nodes_of(rotated, reml=False)
    assert nodes is nodes_of(rotated, reml=False)
    d = rotated.contrasts
    columns = rotated.rotate(x.T)[:, np.arange(P) != 5]
    ends = np.array(nodes.lattice.shape) - 1.0
    places = np.random.default_rng(1).uniform(0, ends, (60, len(ends)))
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
        pytest.param("weights", marks=pytest.mark.slow),
        pytest.param("NumPy", marks=pytest.mark.slow),
    ],
)
def test_bulk_gives_what_single_traits_give(kind, reml, monkeypatch):
    y, samples, x = study(1 if kind == "one kernel" else 2, weights=kind == "weights")
    options = ModelOptions(reml=reml, wanted=("beta", "se"))
    if kind == "NumPy":
        monkeypatch.setattr(bulk, "loops", lambda: None)
    fitted = scan.fit_components(y, samples, options)
    kinds = [type(group.scanner).__name__ for group in fitted.groups]
    assert kinds[0] == "BulkScan"
    assert len(fitted.groups[0].columns) > M / 3
    found = scan_block(x, fitted, options, single=False)
    monkeypatch.setattr(scan, "FEWEST", M + 1)
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
    limit = bulk.largest_r2(248, 1e-5, 2e-7)
    assert 0.05 < limit < 0.3
    assert bulk.largest_r2(248, 1e-5, 1e-9) > limit
    assert bulk.largest_r2(2000, 1e-5, 2e-7) < limit


def small_study(kind: str, n: int, seed: int):
    """Traits of few samples, half of them with a strong locus: likelihoods of every shape."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n, 3 * n))
    smooth, _ = np.linalg.qr(rng.standard_normal((2, n, n)))
    matrices = {
        "groups": [groups(rng, n, n // 2), groups(rng, n, n // 3)],
        "similar": [features @ features.T, (features @ features.T) ** 2],
        "smooth": [(q * np.exp(-np.arange(n) * 12.0 / n)) @ q.T for q in smooth],
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
    monkeypatch.setattr(scan, "FEWEST", y.shape[1] + 1)
    exact = scan.fit_components(y, samples, options)
    return fitted, found["lod"], exact, scan_block(x, exact, options, single=False)["lod"]


@pytest.mark.parametrize(("kind", "n", "seed"), [("smooth", 60, 2), ("similar", 30, 7)])
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
    np.testing.assert_allclose(step, [[1.0, 0.0126 / 0.0428]], rtol=1e-3)


def test_a_likelihood_that_rises_to_the_least_weight_of_the_residual_is_looked_at():
    y, samples, _ = small_study("groups", 14, 0)
    fitted = scan.fit_components(y, samples, ModelOptions())
    nodes = nodes_of(fitted.groups[0].basis, reml=False)
    values = np.zeros((*nodes.lattice.coarse.shape, 4)) - 10.0
    values[5, 12], values[20, 0], values[20, 1] = 0.0, [-1.0, -5.0, -1.0, -3.0], -6.0
    values[20, 1, 2:] = -0.5, -2.5  # tops of the bound alone, one too low
    surface = many.Surface(nodes, np.ones((len(nodes.inner), 4)), 10)
    point, trait = surface._peaks(values.reshape(-1, 4), np.zeros(4, dtype=bool))
    low = nodes.coarse_inner[point][:, -1] < 0.0101
    assert list(trait[low]) == [0, 2]
