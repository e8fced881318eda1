"""The null methods against brute force: a trait alone, its covariance, QR, a bounded search."""

from __future__ import annotations

from dataclasses import replace

import brute
import numpy as np
import pytest
import studies
from references import reference_study

import bulklmm_dask as blmm
from bulklmm_dask._compiled import NUMPY, VARIABLE
from bulklmm_dask.lmm.basis import make_basis
from bulklmm_dask.lmm.compiled.loops import available
from bulklmm_dask.lmm.compiled.scores import LARGEST_R2
from bulklmm_dask.lmm.interpolate import FEW, TOLERANCE, eigenvalue_bounds, interpolate_inverses
from bulklmm_dask.lmm.likelihood import ProfileLikelihood
from bulklmm_dask.lmm.lod import ROUNDING
from bulklmm_dask.lmm.markers import prepare_markers, variation
from bulklmm_dask.lmm.null.fit import fit_null
from bulklmm_dask.lmm.null.scan import ROUNDING_OF_R2, NullScan, _Block


def compare(ds, *, reml, result, h2_tolerance=1e-5, lod_tolerance=1e-5):
    """Every trait of a complete study against brute force; flat likelihoods leave h2 free."""
    dosage, kinship = ds.call_dosage.values.astype(float), ds.kinship.values
    n = ds.sizes["samples"]
    covariates = np.ones((n, 1))
    if "sample_covariate" in ds:
        covariates = np.column_stack([covariates, ds.sample_covariate.values])
    lod, h2 = result.lod.values, result.h2.values
    for j in range(ds.sizes["traits"]):
        y = ds.sample_trait.values[:, j]
        expected = brute.null_h2(y, covariates, kinship, reml=reml)
        args = (y, covariates, kinship, reml)
        if abs(h2[j] - expected) > h2_tolerance:
            gain = brute.log_likelihood(h2[j], *args) - brute.log_likelihood(expected, *args)
            assert gain > -1e-9, (j, h2[j], expected, gain)
        scores = brute.lod_scores(dosage, y, covariates, kinship, h2[j])
        np.testing.assert_allclose(lod[:, j], scores, atol=lod_tolerance, rtol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("reml", [False, True])
def test_reference_shape_equals_brute_force(reference, reml):
    ds = reference_study(reference, 48)
    assert ds.sizes["variants"] == 7321
    assert ds.sizes["samples"] == 248
    result = blmm.scan(ds, reml=reml).compute()
    assert (result.trait_status == "ok").all()
    # float32 holds a LOD below 128 to 4e-6.
    compare(ds, reml=reml, result=result)


@pytest.mark.slow
@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize("covariates", [0, 2])
@pytest.mark.parametrize("method", ["bulklmm", "centered"])
def test_small_study_equals_brute_force(reml, covariates, method):
    ds = studies.study(n=60, p=40, m=30, covariates=covariates, seed=3)
    ds["kinship"] = blmm.kinship(ds, method=method).compute()
    compare(ds, reml=reml, result=blmm.scan(ds, reml=reml).compute())


@pytest.mark.slow
def test_nearly_singular_kinship_equals_brute_force():
    ds = studies.study(n=50, p=200, m=40, seed=4)
    strains = np.repeat(np.arange(10), 5)
    root = np.eye(10)[strains] + 1e-5 * np.random.default_rng(0).standard_normal((50, 10))
    ds["kinship"] = (("samples_0", "samples_1"), root @ root.T + 1e-9 * np.eye(50))
    compare(ds, reml=False, result=blmm.scan(ds).compute())


@pytest.mark.parametrize("reml", [False, True])
def test_grid_equals_brute_force_at_the_same_h2(reml):
    ds = studies.study(n=50, p=40, m=25, covariates=1, seed=5)
    grid = np.arange(0, 1, 0.01)
    result = blmm.scan(ds, method="null-grid", h2_grid=grid, reml=reml).compute()
    covariates = np.column_stack([np.ones(50), ds.sample_covariate.values])
    for j in range(25):
        y, kinship = ds.sample_trait.values[:, j], ds.kinship.values
        values = [brute.log_likelihood(h, y, covariates, kinship, reml) for h in grid]
        assert result.h2.values[j] == grid[np.argmax(values)]
        scores = brute.lod_scores(
            ds.call_dosage.values, y, covariates, kinship, result.h2.values[j]
        )
        np.testing.assert_allclose(result.lod.values[:, j], scores, atol=1e-5)


def test_default_grid_is_that_of_the_paper():
    ds = studies.study(m=40)
    result = blmm.scan(ds, method="null-grid").compute()
    assert set(result.h2.values) <= set(np.arange(10) / 10)
    assert len(set(result.h2.values)) > 3


def test_both_boundaries_are_found():
    ds = studies.study(n=60, p=300, m=6, seed=6)
    rng = np.random.default_rng(0)
    values, vectors = np.linalg.eigh(ds.kinship.values)
    # A trait against the kinship's grain has h2 = 0; one along its largest eigenvector, 1.
    low = vectors @ (rng.standard_normal(60) / np.sqrt(np.maximum(values, 0.05)))
    high = vectors @ (rng.standard_normal(60) * np.maximum(values, 0))
    ds["sample_trait"] = ds.sample_trait.copy(data=np.column_stack([low, high] * 3))
    result = blmm.scan(ds).compute()
    top = brute.largest_h2(ds.kinship.values)
    assert result.h2.values[0] == 0.0
    assert result.h2.values[1] == top == 1.0
    compare(ds, reml=False, result=result)


def test_a_likelihood_without_maximum_is_reported():
    ds = studies.study(n=40, p=60, m=8, seed=1)
    # Centred on the analysed samples, the null space of K is the intercept.
    ds["kinship"] = blmm.kinship(ds, method="centered").compute()
    ml = blmm.scan(ds).compute()
    unbounded = ml.trait_status == "unbounded"
    assert unbounded.any()
    np.testing.assert_array_equal(ml.h2.values[unbounded], 1 - 1e-5)
    assert np.isfinite(ml.lod.values).all()
    # The restricted likelihood is bounded there, whether its maximum is inside or at the bound.
    assert (blmm.scan(ds, reml=True).trait_status == "ok").all()
    other = studies.study(n=30, p=60, m=6)
    other["kinship"] = blmm.kinship(other, method="centered").compute()
    reml = blmm.scan(other, reml=True).compute()
    assert (reml.h2 == 1 - 1e-5).any()
    assert (reml.trait_status == "ok").all()


@pytest.mark.parametrize("method", ["null-exact", "null-grid", "alt-exact", "alt-grid"])
@pytest.mark.parametrize("kinship", ["centered", "standardized"])
def test_a_centred_kinship_is_ok_under_reml(method, kinship):
    for seed in range(3):
        ds = studies.study(n=30, p=50, m=6, seed=seed)
        ds["kinship"] = blmm.kinship(ds, method=kinship).compute()
        grid = {"h2_grid": [0, 0.5, 1]} if "grid" in method else {}
        found = blmm.scan(ds, method=method, reml=True, **grid)
        assert (found.trait_status == "ok").all()


def test_replicates_without_noise_are_unbounded_under_reml_too():
    """A trait that is the same in all replicates: its null-space residuals are 0."""
    ds = studies.study(n=40, p=60, m=3, seed=1)
    who = np.arange(40) // 2
    kinship = ds.kinship.values[np.ix_(who, who)]
    ds["sample_trait"] = ds.sample_trait.copy(data=ds.sample_trait.values[who])
    assert (blmm.scan(ds, kinship=kinship, reml=True).trait_status == "unbounded").all()


def test_without_kinship_is_ordinary_regression():
    from scipy.stats import linregress

    ds = studies.study(n=50, p=20, m=5)
    result = blmm.scan(ds, kinship=None).compute()
    for i in range(20):
        for j in range(5):
            r = linregress(ds.call_dosage.values[i], ds.sample_trait.values[:, j]).rvalue
            expected = -50 / 2 * np.log10(1 - r**2)
            assert result.lod.values[i, j] == pytest.approx(expected, abs=1e-5)
    assert (result.h2 == 0).all()


def test_sigma2_is_the_total_variance():
    ds = studies.study(n=60, m=6)
    for reml, divisor in ((False, 60), (True, 59)):
        result = blmm.scan(ds, reml=reml).compute()
        for j in range(6):
            _, (yw, cw) = brute.whiten(
                result.h2.values[j],
                ds.kinship.values,
                ds.sample_trait.values[:, j],
                np.ones((60, 1)),
            )
            rss = np.sum((yw - cw @ np.linalg.lstsq(cw, yw)[0]) ** 2)
            assert result.sigma2.values[j] == pytest.approx(rss / divisor, rel=1e-9)


def test_large_means_and_odd_scales_cost_nothing():
    ds = studies.study(n=40, m=8)
    plain = blmm.scan(ds).compute()
    ds["sample_trait"] = ds.sample_trait * np.geomspace(1e-8, 1e8, 8) + 1e3
    ds["sample_trait"] = ds.sample_trait.transpose("samples", "traits")
    scaled = blmm.scan(ds).compute()
    np.testing.assert_allclose(scaled.lod[:, 3:], plain.lod[:, 3:], atol=1e-5)
    np.testing.assert_allclose(scaled.h2[3:], plain.h2[3:], atol=1e-6)


def test_the_scale_of_the_kinship_changes_h2_but_no_score():
    ds = studies.study(n=60, p=300, m=20)
    result = blmm.scan(ds).compute()
    for factor in (1e-4, 2.0, 1e4):
        other = blmm.scan(ds, kinship=factor * ds.kinship.values).compute()
        np.testing.assert_allclose(other.lod, result.lod, atol=1e-4)
        h2 = result.h2.values
        np.testing.assert_allclose(other.h2, h2 / (h2 + factor * (1 - h2)), atol=1e-6, rtol=1e-3)


def test_single_precision_is_within_a_ten_thousandth_below_100():
    rng = np.random.default_rng(7)
    for n in (20, 248, 800):
        dosage = rng.binomial(1, 0.5, size=(n, 40)).astype(float)
        # From no association to nearly perfect ones, so that all sizes of LOD occur.
        noise = np.geomspace(3, 1e-4, 60)
        traits = dosage[:, rng.integers(40, size=60)] + noise * rng.standard_normal((n, 60))
        ds = blmm.create_dataset(dosage, traits)
        ds["kinship"] = blmm.kinship(ds).compute()
        double, single = (blmm.scan(ds, precision=p).lod.values for p in ("double", "single"))
        below = double < 100
        assert double.max() > 50
        assert np.abs(single - double)[below].max() < 1e-4


def test_markers_without_variation_score_zero():
    dosage, traits = studies.arrays(n=40, p=10)
    dosage[:, 3] = 2.0
    dosage[:, 4] = 0.1 + 0.2  # not exact in binary, so that its mean leaves rounding behind
    covariates = dosage[:, [7]]
    ds = blmm.create_dataset(dosage, traits, covariates=covariates)
    ds["kinship"] = blmm.kinship(ds).compute()
    for precision in ("double", "single"):
        lod = blmm.scan(ds, precision=precision).lod.values
        assert (lod[[3, 4, 7]] == 0).all()
        assert (np.delete(lod, [3, 4, 7], axis=0).max(axis=1) > 0).all()


def test_a_perfect_association_is_finite():
    dosage, traits = studies.arrays(n=30, p=10, m=3)
    traits[:, 0] = dosage[:, 2] * 2.5 + 1
    ds = blmm.create_dataset(dosage, traits)
    ds["kinship"] = blmm.kinship(ds).compute()
    for precision in ("double", "single"):
        lod = blmm.scan(ds, precision=precision).lod.values
        assert np.isfinite(lod).all()
        assert lod[:, 0].argmax() == 2
        assert lod[2, 0] > 100


@pytest.mark.parametrize("reml", [False, True])
def test_slope_is_the_derivative_and_grid_equals_points(reml):
    ds = studies.study(n=40, p=30, m=5, covariates=2)
    covariates = np.column_stack([np.ones(40), ds.sample_covariate.values])
    basis = make_basis(ds.kinship.values, covariates)
    y = basis.rotate(ds.sample_trait.values)
    grid = np.linspace(0.05, 0.9, 7)
    likelihood = ProfileLikelihood(basis, y, reml)
    on_grid = likelihood.on_grid(grid)
    for k, h in enumerate(grid):
        at = likelihood.at(np.full(5, h))
        step = 1e-5
        up, down = (likelihood.at(np.full(5, h + d)) for d in (step, -step))
        np.testing.assert_allclose(on_grid.value[k], at.value, rtol=1e-10)
        np.testing.assert_allclose(on_grid.slope[k], at.slope, rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(
            at.slope, (up.value - down.value) / (2 * step), rtol=1e-5, atol=1e-5
        )


def some_kinship(n: int, kind: str) -> np.ndarray:
    rng = np.random.default_rng(n)
    root = rng.standard_normal((n, n))
    if kind == "strains":
        return root[:, : n // 5] @ root[:, : n // 5].T
    if kind == "centred":
        root -= root.mean(axis=0)
    spread = {"even": 1.0, "steep": 4.0, "nearly singular": 7.0}.get(kind, 2.0)
    root = root * np.exp(-spread * np.linspace(0, 1, n) * 3)
    return root @ root.T


@pytest.mark.parametrize("kind", ["even", "steep", "nearly singular", "strains", "centred"])
@pytest.mark.parametrize("folded", [False, True])
def test_interpolation_is_as_exact_as_it_says(kind, folded):
    n = 60
    rng = np.random.default_rng(0)
    kinship = some_kinship(n, kind)
    basis = make_basis(kinship, np.column_stack([np.ones(n), rng.standard_normal((n, 2))]))
    h2 = np.concatenate([rng.uniform(0, basis.h2_max, 300), basis.grid()])
    found = interpolate_inverses(h2, lambda: eigenvalue_bounds(basis, folded=folded), basis.h2_max)
    assert len(found.nodes) > FEW
    assert found.error.max() <= TOLERANCE
    dosage = rng.binomial(2, 0.3, size=(50, n)).astype(float)
    if folded and basis.rank < n:  # no part in the null space of the kinship
        dosage = dosage @ kinship
        dosage /= np.abs(dosage).max()
        dosage -= dosage @ basis.vectors[:, basis.rank :] @ basis.vectors[:, basis.rank :].T
    markers = prepare_markers(basis, dosage)
    exact = 1 / variation(basis, markers, h2)
    nodes = 1 / variation(basis, markers, found.nodes)
    # What the values are worth themselves, which are differences of larger numbers.
    x = markers.rotated
    whole = (x * x) @ basis.at(found.nodes).weights[: x.shape[1]]
    rounding = 5e-15 * (whole * nodes).max(axis=1, keepdims=True) * found.growth
    between = np.abs(nodes @ found.weights / exact - 1)
    assert (between < found.error + rounding).all()
    assert np.median(rounding) < 5e-9


@pytest.mark.parametrize("kind", ["even", "steep", "strains", "centred", "unrelated"])
@pytest.mark.parametrize("c", [1, 3])
def test_the_bounds_enclose_the_eigenvalues_beside_the_covariates(kind, c):
    n, rng = 60, np.random.default_rng(2)
    kinship = np.eye(n) if kind == "unrelated" else some_kinship(n, kind)
    covariates = np.column_stack([np.ones(n), rng.standard_normal((n, c - 1))])
    basis = make_basis(kinship + 30.0, covariates)  # a large eigenvalue that is the intercept's
    complement = np.linalg.qr(covariates, mode="complete")[0][:, c:]
    values = np.linalg.eigvalsh(complement.T @ kinship @ complement)
    for folded in (False, True):
        low, high = eigenvalue_bounds(basis, folded=folded)
        least = values[values > 1e-9 * values[-1]][0] if folded else max(values[0], 0.0)
        assert low <= least * (1 + 1e-9)
        assert values[-1] <= high * (1 + 1e-9) <= 1.5 * values[-1]


def test_the_nodes_do_not_depend_on_the_traits():
    basis = make_basis(some_kinship(60, "even"), np.ones((60, 1)))
    bounds, rng = eigenvalue_bounds(basis, folded=True), np.random.default_rng(0)
    few, many = (
        interpolate_inverses(np.append(rng.uniform(0, 1, k), 0.3), lambda: bounds, 1.0)
        for k in (20, 2000)
    )
    np.testing.assert_array_equal(few.nodes, many.nodes)
    np.testing.assert_array_equal(few.weights[:, -1], many.weights[:, -1])
    part = many.take(np.array([5, 3]))
    np.testing.assert_array_equal(part.weights, many.weights[:, [5, 3]])
    np.testing.assert_array_equal(part.growth, many.growth[[5, 3]])


@pytest.mark.parametrize("kernels", available())
@pytest.mark.parametrize(("n", "kind"), [(200, "even"), (400, "steep"), (200, "strains")])
def test_the_rounding_of_a_tile_is_at_most_what_is_said(n, kind, kernels, monkeypatch):
    """LODs of r2 in single precision, high ones too, against double precision throughout."""
    monkeypatch.setenv(VARIABLE, kernels)
    limit = 0.9 if kernels == NUMPY else LARGEST_R2
    rng = np.random.default_rng(1)
    kinship = some_kinship(n, kind)
    basis = make_basis(kinship, np.ones((n, 1)))
    root = np.linalg.cholesky(kinship + 1e-9 * np.trace(kinship) * np.eye(n))
    h2 = rng.uniform(0, 1, 400)
    dosage = rng.binomial(2, 0.3, size=(60, n)).astype(float)
    if kind == "strains":
        dosage = np.repeat(dosage[:, : n // 5], 5, axis=1)
    y = np.sqrt(h2) * (root @ rng.standard_normal((n, 400)))
    y += np.sqrt(1 - h2) * rng.standard_normal((n, 400))
    y += rng.uniform(0, 6, 400) * dosage[rng.integers(60, size=400)].T
    scan = NullScan.of(basis, fit_null(basis, y, reml=False))
    markers = prepare_markers(basis, dosage)
    block = replace(_Block.of(scan, markers, single=False), limit=limit)
    out = np.full((60, 400), np.nan, np.float32)
    again = block.write_lods(slice(0, 60), slice(0, 400), out)
    ratio, _, _ = scan._exactly(markers, np.arange(400))
    i, j, scores = again
    assert len(i) == (ratio < 1 - limit).sum()
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(block.ratios(i, j, scores), ratio[i, j], rtol=1e-9)
    kept = ratio > 1 - limit
    exact, unit = -n / 2 * np.log10(ratio), n / 2 / np.log(10)
    allowed = unit * ROUNDING_OF_R2 * (1 - ratio) / ratio + 4 * ROUNDING * exact + 1e-12
    if n < 300:
        allowed += unit * ROUNDING
    assert exact[kept].max() > 20
    assert (np.abs(out - exact) / allowed)[kept].max() < 1


def test_replicated_samples_shrink_the_product():
    ds = blmm.simulate_study(n_samples=60, n_strains=10, n_variants=50, n_traits=5, n_contigs=2)
    basis = make_basis(blmm.kinship(ds).values, np.ones((60, 1)))
    markers = prepare_markers(basis, ds.call_dosage.values.astype(float))
    assert markers.rotated.shape == (50, 10)


def test_too_few_samples_and_constants_are_reported():
    dosage, traits = studies.arrays(n=20, p=10, m=5)
    traits[2:, 0] = np.nan
    traits[:, 1] = 7.25
    traits[:, 2] = np.nan
    traits[:10, 3] = np.nan
    with pytest.warns(blmm.StudyWarning, match="no value at all"):
        ds = blmm.create_dataset(dosage, traits)
    ds["kinship"] = blmm.kinship(ds).compute()
    result = blmm.scan(ds).compute()
    expected = ["too-few-samples", "constant", "all-missing", "ok", "ok"]
    assert list(result.trait_status.values) == expected
    assert list(result.n_samples.values) == [2, 20, 0, 10, 20]
    fitted = np.array([False, False, False, True, True])
    np.testing.assert_array_equal(np.isfinite(result.h2), fitted)
    np.testing.assert_array_equal(np.isfinite(result.lod).all("variants"), fitted)


def test_fit_null_leaves_its_input_alone():
    ds = studies.study(n=30, m=4)
    y = ds.sample_trait.values
    before = y.copy()
    fit_null(make_basis(ds.kinship.values, np.ones((30, 1))), y, reml=False)
    np.testing.assert_array_equal(y, before)


def test_a_slope_that_is_rounding_brackets_no_maximum_and_is_none(monkeypatch):
    """A constant kinship is explained by the intercept: the restricted likelihood is flat."""
    rng = np.random.default_rng(0)
    on_grid = ProfileLikelihood.on_grid

    def rounded(self, h2):
        found = on_grid(self, h2)
        return replace(found, slope=rng.choice([-1e-13, 1e-13], found.slope.shape))

    monkeypatch.setattr(ProfileLikelihood, "on_grid", rounded)
    basis = make_basis(np.full((20, 20), 3.0), np.column_stack([np.ones(20), np.arange(20.0)]))
    flat = ProfileLikelihood.of(basis, basis.rotate(rng.standard_normal((20, 30))), reml=True)
    h2 = flat.maximise()
    assert ((h2 >= 0.0) & (h2 <= basis.h2_max)).all()
    np.testing.assert_allclose(flat.at(h2).value, flat.at(np.zeros(30)).value, atol=1e-9)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("single", [False, True])
def test_few_traits_score_like_many(monkeypatch, own, single):
    rng = np.random.default_rng(5)
    kinship, n = some_kinship(60, "strains"), 60
    x = rng.integers(0, 3, (40, n)).astype(float)
    x[3] = 1.0  # nothing to test
    y = rng.normal(size=(n, 6))
    y[:, 2] = x[7] + 1e-5 * y[:, 2]  # nearly perfect
    basis = make_basis(kinship, np.column_stack([np.ones(n), x[11] + 1e-3 * rng.normal(size=n)]))
    extra = x[rng.integers(0, 40, 6)].T[:, :, None] if own else None
    scanner = NullScan.of(basis, fit_null(basis, y, reml=False, extra=extra))
    few = scanner.scan(x, single=single)["lod"]
    monkeypatch.setattr("bulklmm_dask.lmm.null.scan._FEW_TRAITS", 0)
    many = scanner.scan(x, single=single)["lod"]
    assert few.dtype == many.dtype == np.float32
    assert (few[3] == 0.0).all()
    assert few[7, 2] > 100.0
    np.testing.assert_allclose(many, few, atol=1e-4 if single else 5e-6, rtol=2e-6)
