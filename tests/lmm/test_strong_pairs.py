"""Pairs of a marker that explains much of a trait: every method and precision keeps its promise."""

from __future__ import annotations

import math
from fractions import Fraction

import brute
import numpy as np
import pytest

import bulklmm_dask as blmm
from bulklmm_dask.lmm.lod import largest_lod

reml = pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
precision = pytest.mark.parametrize("precision", ["double", "single"])


def strong(n: int, strains: int, seed: int, p: int = 10, m: int = 2):
    """Dosages (n, p) of strains, or of distinct samples for 0, and traits that one marker makes."""
    rng = np.random.default_rng(seed)
    who = np.concatenate([np.arange(strains), rng.integers(max(strains, 1), size=n - strains)])
    dosage = 2.0 * rng.integers(0, 2, (max(strains, 1), p))[who] if strains else rng.random((n, p))
    dosage = dosage[:, dosage.std(axis=0) > 0]
    ds = blmm.create_dataset(dosage, np.zeros((n, 1)), maximum=2)
    kinship = blmm.kinship(ds).values
    values, vectors = np.linalg.eigh(kinship)
    h2, noise = rng.random(m), np.geomspace(0.02, 0.1, m)
    root = vectors * np.sqrt(np.maximum(values, 0))
    y = np.sqrt(h2) * (root @ rng.standard_normal((n, m)))
    y += np.sqrt(1 - h2) * rng.standard_normal((n, m))
    y = dosage[:, rng.integers(dosage.shape[1], size=m)] + noise * y
    return blmm.create_dataset(dosage, y, maximum=2).assign(
        kinship=(("samples_0", "samples_1"), kinship)
    )


def expected(ds, *, reml: bool, grid=None) -> np.ndarray:
    ones = np.ones((ds.sizes["samples"], 1))
    dosage, kinship = ds.call_dosage.values, ds.kinship.values
    pairs = [brute.Pairs(dosage, y, ones, kinship) for y in ds.sample_trait.values.T]
    return np.stack([each.alternatives(reml=reml, grid=grid)[0] for each in pairs], axis=1)


@reml
@pytest.mark.parametrize(
    ("n", "strains", "seed"),
    [
        (16, 8, 3),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [(16, 5, 0), (30, 10, 1), (16, 0, 3), (40, 0, 0), (100, 20, 2)]
        ),
    ],
)
def test_grid_and_every_refined_pair_are_right_in_both_precisions(n, strains, seed, reml):
    ds = strong(n, strains, seed)
    on_grid = expected(ds, reml=reml, grid=np.arange(10) / 10)
    exact = expected(ds, reml=reml)
    assert exact.max() > 5
    near = exact < 100
    for single in ("double", "single"):
        options = {"reml": reml, "precision": single}
        found = blmm.scan(ds, method="alt-grid", **options).lod.values
        np.testing.assert_allclose(found[near], on_grid[near], atol=1e-4, rtol=0)
        refined = blmm.scan(ds, method="alt-exact", refine_above=0, **options).compute()
        assert refined.refined.values.all()
        np.testing.assert_allclose(refined.lod.values[near], exact[near], atol=2e-5, rtol=0)
        searched = blmm.scan(ds, method="alt-exact", refine_above=1e9, **options).lod.values
        np.testing.assert_allclose(searched[near], exact[near], atol=5e-3, rtol=0)


@pytest.mark.slow
@reml
@pytest.mark.parametrize("seed", range(20))
def test_five_strains_of_sixteen_samples(seed, reml):
    """Likelihoods of few samples have several maxima, which differ by hundredths."""
    ds = strong(16, 5, 100 + seed)
    exact = expected(ds, reml=reml)
    for single in ("double", "single"):
        found = blmm.scan(ds, method="alt-exact", reml=reml, precision=single).compute()
        at = found.refined.values & (exact < 100)
        np.testing.assert_allclose(found.lod.values[at], exact[at], atol=2e-5, rtol=0)


def regression(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """LOD, slope and its standard error in exact fractions; LOD infinite for a perfect fit."""
    n = len(x)
    a, b = ([Fraction(float(value)) for value in each] for each in (x, y))
    a, b = ([value - sum(each) / n for value in each] for each in (a, b))
    sxx, sxy = sum(u * u for u in a), sum(u * v for u, v in zip(a, b, strict=True))
    syy = sum(v * v for v in b)
    rss = syy - sxy * sxy / sxx
    lod = math.inf
    if rss:
        ratio = rss / syy
        lod = -n / 2 * (math.log10(ratio.numerator) - math.log10(ratio.denominator))
    return lod, float(sxy / sxx), math.sqrt(rss / (n - 2) / sxx)


NOISE = np.array([1e-2, 1e-4, 1e-6, 1e-7, 1e-9, 1e-11, 0.0])


def nearly_perfect(seed: int = 1, n: int = 30):
    rng = np.random.default_rng(seed)
    dosage = rng.integers(0, 3, (n, 5)).astype(float)
    y = 3 + dosage[:, [0]] + NOISE * rng.standard_normal((n, 1))
    root = rng.standard_normal((n, n))
    return blmm.create_dataset(dosage, y, maximum=2), root @ root.T / n


@precision
@pytest.mark.parametrize("method", ["null-exact", "null-grid"])
def test_nearly_perfect_fits_against_fractions(method, precision):
    ds, _ = nearly_perfect()
    wanted = ("beta", "se", "explained", "perfect_fit")
    options = {"kinship": None, "method": method, "precision": precision, "statistics": wanted}
    found = blmm.scan(ds, **options).compute()
    assert found.perfect_fit.dtype == bool
    for j, noise in enumerate(NOISE):
        x, y = ds.call_dosage.values[0], ds.sample_trait.values[:, j]
        lod, beta, se = regression(x, y)
        assert float(found.beta[0, j]) == pytest.approx(beta, rel=1e-12)
        if noise:
            assert float(found.lod[0, j]) == pytest.approx(lod, rel=1e-6)
            assert float(found.se[0, j]) == pytest.approx(se, rel=1e-4)
        else:
            assert float(found.lod[0, j]) == largest_lod(30) == 390
            assert float(found.se[0, j]) < 1e-13
        assert bool(found.perfect_fit[0, j]) == (noise == 0.0)
    assert not found.perfect_fit[1:].any()


@precision
@pytest.mark.parametrize("method", ["null-exact", "alt-exact", "alt-grid"])
def test_nearly_perfect_fits_with_a_kinship(method, precision):
    """The likelihoods of the brute force, at the heritabilities that the scan says."""
    ds, kinship = nearly_perfect()
    found = blmm.scan(
        ds, kinship=kinship, method=method, precision=precision, statistics=("perfect_fit", "se")
    ).compute()
    lods = found.lod.values[0]
    assert (np.diff(lods) > 25).all()
    assert lods[-1] == pytest.approx(390)
    assert found.perfect_fit.values[0].tolist() == [False] * 6 + [True]
    for j in range(5):
        x, y = ds.call_dosage.values[0], ds.sample_trait.values[:, j]
        h2 = float(found.h2[j]) if method == "null-exact" else float(found.h2_alt[0, j])
        lod = brute.ratio(x, y, np.ones((30, 1)), kinship, float(found.h2[j]), h2)
        assert lods[j] == pytest.approx(lod, rel=1e-5)


def test_several_columns_have_the_same_limit():
    ds, kinship = nearly_perfect()
    sex = np.arange(30) % 2
    ds = blmm.create_dataset(
        ds.call_dosage.values.T, ds.sample_trait.values, covariates=sex[:, None], maximum=2
    )
    options = {"interaction": ["covariate1"], "statistics": ("perfect_fit",)}
    for single in ("double", "single"):
        found = blmm.scan(ds, kinship=kinship, precision=single, **options).compute()
        assert (np.diff(found.lod.values[0]) > 20).all()
        assert float(found.lod[0, -1]) == pytest.approx(390)
        assert found.perfect_fit.values[0].tolist() == [False] * 6 + [True]
