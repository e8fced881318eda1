"""A prior on the residual variance: against the posterior density itself, searched numerically."""

from __future__ import annotations

from itertools import pairwise

import brute
import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import studies
from scipy.optimize import minimize_scalar
from scipy.stats import invgamma

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.basis import make_basis
from bulklmm_dask.lmm.likelihood import ProfileLikelihood
from bulklmm_dask.lmm.null.fit import fit_null
from bulklmm_dask.lmm.null.scan import NullScan
from bulklmm_dask.lmm.prior import Prior

both = pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
SCALE, SIZE = 0.3, 5.0


def problem(n: int = 40, m: int = 8, c: int = 2, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Dosages (p, n), traits (n, m), kinship and covariates."""
    dosage, traits = studies.arrays(n, 80, m, seed)
    scaled = dosage - dosage.mean(axis=0)
    kinship = scaled @ scaled.T / 80 + 0.05 * np.eye(n)
    extra = np.random.default_rng(seed).standard_normal((n, c - 1))
    return dosage.T, traits, kinship, np.column_stack([np.ones(n), extra])


def log_posterior(h2, y, covariates, kinship, reml, scale=SCALE, size=SIZE):
    """Largest log posterior density over the residual variance at h2, and that variance.

    Normal density of the data with variance s2 (delta K + I) at the fitted fixed effects, or with
    those integrated out, times the density of the prior.
    """
    n, c = covariates.shape
    covariance = h2 / (1 - h2) * kinship + np.eye(n)
    factor = np.linalg.cholesky(covariance)
    yw, cw = (scipy.linalg.solve_triangular(factor, a, lower=True) for a in (y, covariates))
    q, r = np.linalg.qr(cw)
    rss = np.sum((yw - q @ (q.T @ yw)) ** 2)
    logdet = 2 * np.log(np.diag(factor)).sum()
    if reml:
        n, logdet = n - c, logdet + 2 * np.log(np.abs(np.diag(r))).sum()

    def negative(log_s2: float) -> float:
        s2 = np.exp(log_s2)
        prior = invgamma.logpdf(s2, size / 2, scale=size * scale / 2)
        return 0.5 * (n * np.log(2 * np.pi * s2) + logdet + rss / s2) - prior

    found = minimize_scalar(negative, bounds=(-15, 15), options={"xatol": 1e-9}, method="bounded")
    return -found.fun, np.exp(found.x)


def mode(*args, top=1 - 1e-9):
    """h2 and residual variance of the highest posterior density."""

    def cost(h2: float) -> float:
        return -log_posterior(h2, *args)[0]

    edges = [*np.linspace(0, 0.9, 7), 0.97, 0.999, 0.99999, top]
    found = [
        float(minimize_scalar(cost, bounds=piece, options={"xatol": 1e-10}, method="bounded").x)
        for piece in pairwise(edges)
    ]
    best = min([0.0, *found], key=cost)
    return best, log_posterior(best, *args)[1]


@both
def test_profile_is_the_posterior_and_slope_its_derivative(reml):
    _, y, kinship, covariates = problem()
    basis, h2 = make_basis(kinship, covariates), np.array([0.0, 0.2, 0.7, 0.95, 0.9999])
    prior = Prior(np.geomspace(0.01, 3, 8), np.linspace(0.5, 20, 8))
    likelihood = ProfileLikelihood(basis, basis.rotate(y), reml, prior)
    on_grid = likelihood.on_grid(h2)
    step = 1e-6
    for j in range(8):
        t2, nu = np.asarray(prior.variance)[j], np.asarray(prior.sample_size)[j]
        expected = np.array(
            [log_posterior(h, y[:, j], covariates, kinship, reml, t2, nu)[0] for h in h2]
        )
        found = on_grid.value[:, j]
        np.testing.assert_allclose(found - found[0], expected - expected[0], atol=2e-8, rtol=1e-7)
    for k, h in enumerate(h2[1:], 1):
        low, at, high = (likelihood.at(np.full(8, h + d)) for d in (-step, 0.0, step))
        np.testing.assert_allclose(on_grid.value[k], at.value, rtol=1e-10)
        np.testing.assert_allclose(on_grid.slope[k], at.slope, rtol=1e-7, atol=1e-7)
        change = (high.value - low.value) / (2 * step)
        np.testing.assert_allclose(at.slope, change, rtol=1e-3 if h > 0.99 else 1e-6, atol=1e-5)


@pytest.mark.slow
@both
@pytest.mark.parametrize("size", [1.0, 100.0])
def test_the_mode_equals_brute_force(reml, size):
    _, y, kinship, covariates = problem()
    model = fit_null(make_basis(kinship, covariates), y, reml=reml, prior=Prior(SCALE, size))
    assert set(model.status) == {"ok"}
    for j in range(8):
        args = (y[:, j], covariates, kinship, reml, SCALE, size)
        h2, residual = mode(*args)
        gain = log_posterior(model.h2[j], *args)[0] - log_posterior(h2, *args)[0]
        assert gain > -1e-9
        assert model.h2[j] == pytest.approx(h2, abs=1e-5)
        assert model.sigma2[j] * (1 - model.h2[j]) == pytest.approx(residual, rel=1e-4)


@both
def test_on_a_grid(reml):
    _, y, kinship, covariates = problem()
    grid = np.linspace(0, 1, 21)
    basis = make_basis(kinship, covariates)
    model = fit_null(basis, y, reml=reml, grid=grid, prior=Prior(SCALE, SIZE))
    for j in range(8):
        values = [log_posterior(h, y[:, j], covariates, kinship, reml)[0] for h in grid[:-1]]
        assert model.h2[j] == grid[np.argmax(values)]


@pytest.mark.slow
def test_it_repairs_a_likelihood_without_maximum():
    dosage, y, _, _ = problem(m=20, seed=1)
    # Centred on the analysed samples, the null space of K is the intercept.
    centred = dosage - dosage.mean(axis=1, keepdims=True)
    kinship, intercept = centred.T @ centred / len(dosage), np.ones((40, 1))
    basis = make_basis(kinship, intercept)
    without = fit_null(basis, y, reml=False)
    unbounded = without.status == "unbounded"
    assert unbounded.any()
    model = fit_null(basis, y, reml=False, prior=Prior(0.1, 4.0))
    assert set(model.status) == {"ok"}
    assert (model.h2 < 0.999).all()
    for j in np.flatnonzero(unbounded)[:5]:
        h2, _ = mode(y[:, j], intercept, kinship, False, 0.1, 4.0)
        assert model.h2[j] == pytest.approx(h2, abs=1e-5)


def test_an_optimum_close_to_one_is_found():
    _, y, kinship, covariates = problem()
    y = kinship @ y  # along the kinship: h2 = 1 without a prior
    basis = make_basis(kinship, covariates)
    top = fit_null(basis, y, reml=False).h2 == 1.0
    assert top.any()
    model = fit_null(basis, y, reml=False, prior=Prior(1e-7, 1.0))
    assert (model.status[top] == "ok").all()
    assert (model.h2[top] > 1 - 1e-5).all()
    prior = Prior(1e-7, 1.0).in_units(np.linalg.norm(_residual(y, covariates), axis=0)[top])
    likelihood = ProfileLikelihood(basis, model.rotated[:, top], False, prior)
    values = [likelihood.at(1 - factor * (1 - model.h2[top])).value for factor in (0.9, 1.0, 1.1)]
    assert (np.argmax(values, axis=0) == 1).all()


def _residual(y, covariates):
    return y - covariates @ np.linalg.lstsq(covariates, y)[0]


@both
def test_it_is_in_squared_units_of_the_trait(reml):
    _, y, kinship, covariates = problem()
    basis, factor = make_basis(kinship, covariates), np.geomspace(1e-4, 1e4, 8)
    plain = fit_null(basis, y, reml=reml, prior=Prior(SCALE, SIZE))
    scaled = fit_null(basis, y * factor, reml=reml, prior=Prior(SCALE * factor**2, SIZE))
    np.testing.assert_allclose(scaled.h2, plain.h2, atol=1e-8)
    np.testing.assert_allclose(scaled.sigma2, plain.sigma2 * factor**2, rtol=1e-7)


def test_one_per_trait_is_one_at_a_time():
    _, y, kinship, covariates = problem()
    y[:, 2] = 7.0
    prior = Prior(np.geomspace(0.01, 10, 8), np.geomspace(0.5, 50, 8))
    basis = make_basis(kinship, covariates)
    model = fit_null(basis, y, reml=True, prior=prior)
    assert list(np.flatnonzero(model.status == "constant")) == [2]
    for j in range(8):
        alone = fit_null(basis, y[:, [j]], reml=True, prior=prior.take(np.array([j])))
        np.testing.assert_allclose(model.h2[j], alone.h2[0], atol=1e-9)


@both
def test_a_strong_prior_is_the_residual_variance(reml):
    _, y, kinship, covariates = problem()
    prior = Prior(SCALE, 1e7)
    model = fit_null(make_basis(kinship, covariates), y, reml=reml, prior=prior)
    np.testing.assert_allclose((1 - model.h2) * model.sigma2, SCALE, rtol=1e-4)


@both
def test_without_kinship_the_variance_shrinks_to_the_prior(reml):
    _, y, _, covariates = problem()
    model = fit_null(make_basis(None, covariates), y, reml=reml, prior=Prior(SCALE, SIZE))
    rss = (_residual(y, covariates) ** 2).sum(axis=0)
    assert (model.h2 == 0).all()
    expected = (rss + SIZE * SCALE) / (40 - 2 * reml + SIZE + 2)
    np.testing.assert_allclose(model.sigma2, expected, rtol=1e-12)


@both
def test_scores_are_likelihood_ratios_at_the_mode(reml):
    dosage, y, kinship, covariates = problem()
    basis = make_basis(kinship, covariates)
    model = fit_null(basis, y, reml=reml, prior=Prior(SCALE, SIZE))
    lod = NullScan.of(basis, model).scan(dosage, single=False)["lod"]
    for j in range(8):
        expected = brute.lod_scores(dosage, y[:, j], covariates, kinship, model.h2[j])
        np.testing.assert_allclose(lod[:, j], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("variance", "size", "named"),
    [(0.0, 1.0, "variance"), (1.0, [2.0, -1.0], "sample_size"), (np.nan, 1.0, "variance")],
)
def test_a_prior_that_is_none_is_refused(variance, size, named):
    with pytest.raises(InputError, match=f"the {named} of the prior is (0|-1|nan)"):
        Prior(variance, size)


def front_door(**options):
    """Seven traits, some of them on fewer samples."""
    return studies.study(n=50, p=20, m=7, covariates=1, missing=0.2, **options)


EACH = np.geomspace(0.05, 5, 7), np.linspace(1, 30, 7)


@pytest.mark.slow
@both
@pytest.mark.parametrize("method", ["null-exact", "null-grid"])
@pytest.mark.parametrize("prior", [(0.5, 8), (EACH[0], 8.0), EACH], ids=["one", "mixed", "each"])
def test_scan_equals_one_trait_at_a_time(reml, method, prior):
    ds = front_door()
    result = blmm.scan(ds, method=method, reml=reml, prior=prior).compute()
    variance, size = (np.broadcast_to(part, 7) for part in prior)
    for j in range(7):
        y = ds.sample_trait.values[:, j]
        has = np.flatnonzero(~np.isnan(y))
        fixed = np.column_stack([np.ones(len(has)), ds.sample_covariate.values[has]])
        kinship = ds.kinship.values[np.ix_(has, has)]
        grid = np.arange(10) / 10 if method == "null-grid" else None
        own = Prior(variance[j], size[j])
        model = fit_null(
            make_basis(kinship, fixed), y[has][:, None], reml=reml, prior=own, grid=grid
        )
        assert result.h2[j] == pytest.approx(model.h2[0], abs=1e-7)
        assert result.sigma2[j] == pytest.approx(model.sigma2[0], rel=1e-6)
        if grid is None:
            h2, _ = mode(y[has], fixed, kinship, reml, variance[j], size[j])
            assert result.h2[j] == pytest.approx(h2, abs=1e-5)
        dosage = ds.call_dosage.values[:, has]
        expected = brute.lod_scores(dosage, y[has], fixed, kinship, model.h2[0])
        np.testing.assert_allclose(result.lod[:, j], expected, atol=1e-5)
    assert np.abs(result.h2 - blmm.scan(ds, method=method, reml=reml).h2).max() > 0.01


@pytest.mark.slow
def test_scan_is_repaired():
    """A kinship centred on the samples scanned: under ML h2 runs up to 1 - 1e-5."""
    ds = studies.study(n=40, p=80, m=20, seed=1)
    ds["kinship"] = blmm.kinship(ds, method="centered")
    without = blmm.scan(ds).compute()
    unbounded = without.trait_status.values == "unbounded"
    assert unbounded.any()
    assert (without.h2.values[unbounded] == 1 - 1e-5).all()
    variance = ds.sample_trait.var("samples")
    result = blmm.scan(ds, prior=(0.5 * variance, 4)).compute()
    assert set(result.trait_status.values) == {"ok"}
    assert (result.h2 < 0.999).all()
    for j in np.flatnonzero(unbounded)[:3]:
        y, scale = ds.sample_trait.values[:, j], 0.5 * float(variance[j])
        h2, _ = mode(y, np.ones((40, 1)), ds.kinship.values, False, scale, 4.0)
        assert result.h2[j] == pytest.approx(h2, abs=1e-5)


def test_any_way_to_give_it():
    ds = front_door()
    expected = blmm.scan(ds, prior=EACH).compute()
    series = (
        pd.Series(part, index=ds.traits.values).sample(frac=1, random_state=0) for part in EACH
    )
    named = ds.assign(trait_scale=("traits", EACH[0]))
    for study, prior in (
        (ds, Prior(*EACH)),
        (ds, tuple(series)),
        (named, ("trait_scale", EACH[1])),
        (named.chunk(traits=2), (named.trait_scale[::-1], EACH[1])),
    ):
        result = blmm.scan(study, prior=prior, chunks={"variants": 7, "traits": 3})
        np.testing.assert_allclose(result.lod, expected.lod, atol=2e-6)
        np.testing.assert_allclose(result.h2, expected.h2, atol=1e-8)
    one = blmm.scan(ds, prior=(0.5, 8)).h2.values
    np.testing.assert_array_equal(blmm.scan(ds, prior=Prior(np.array(0.5), 8)).h2, one)


@pytest.mark.slow
def test_it_goes_with_the_other_options():
    """One contig left out, weights, conditions by trait, probabilities: each trait as alone."""
    ds = front_door()
    ds["kinship_loco"] = blmm.kinship(ds, loco=True).compute()
    share = ds.call_dosage / 2
    genotypes = [(1 - share) ** 2, 2 * share * (1 - share), share**2]
    probability = np.stack(genotypes, axis=2).clip(0.02)
    joint = ds.drop_vars("call_dosage").assign(
        call_genotype_probability=(("variants", "samples", "genotypes"), probability)
    )
    weights = np.linspace(1, 2, 50)
    own = {"condition": {f"trait{j + 1}": f"variant{j + 3}" for j in range(7)}}
    for study, options in (
        (ds, {"loco": True}),
        (ds, {"weights": weights}),
        (ds, own),
        (joint, {}),
    ):
        result = blmm.scan(study, prior=EACH, **options).compute()
        for j in range(7):
            part = options
            if "condition" in options:
                part = {"condition": [options["condition"][f"trait{j + 1}"]]}
            prior = EACH[0][j], EACH[1][j]
            alone = blmm.scan(study.isel(traits=[j]), prior=prior, **part).compute()
            np.testing.assert_allclose(result.lod[:, j], alone.lod[:, 0], atol=1e-5)
            np.testing.assert_allclose(result.h2[..., j], alone.h2[..., 0], atol=1e-6)


def test_a_store_knows_its_prior(tmp_path):
    ds = front_door()
    store = tmp_path / "r.zarr"
    stored = blmm.scan(ds, prior=(0.5, 8), store=store)
    np.testing.assert_array_equal(stored.lod, blmm.scan(ds, prior=(0.5, 8)).lod)
    assert stored.attrs["prior"] == [0.5, 8]
    for other in (None, (0.5, 9), (np.full(7, 0.6), 8)):
        with pytest.raises(blmm.StoreError, match="other inputs: prior differ"):
            blmm.scan(ds, prior=other, store=store)
    again = blmm.scan(ds, prior=(np.full(7, 0.5), np.full(7, 8)), store=store)
    np.testing.assert_array_equal(again.lod, stored.lod)
    each = blmm.scan(ds, prior=EACH, store=tmp_path / "each.zarr")
    assert each.attrs["prior"] == "by trait"


@pytest.mark.parametrize(
    ("prior", "options", "message"),
    [
        (3.0, {}, r"prior is 3.0; it should be \(variance, sample_size\)"),
        ((1, 2, 3), {}, r"prior is \(1, 2, 3\); it should be \(variance, sample_size\)"),
        (([1.0, 2.0], 3), {}, r"the variance of the prior has shape \(2,\) for 7 traits"),
        ((1.0, np.ones((7, 1))), {}, r"the sample_size of the prior has shape \(7, 1\)"),
        (("scale", 3), {}, r"the variance of the prior is 'scale', but the study has no variable"),
        ((pd.Series([1.0], index=["trait1"]), 3), {}, r"lacks 6 traits: 'trait2'"),
        ((-1.0, 3), {}, r"the variance of the prior is -1; it must be positive and finite"),
        ((1.0, 0), {}, r"the sample_size of the prior is 0"),
        ((None, 3), {}, r"the variance of the prior is nan"),
        ((1.0, 1e10), {}, r"the sample_size of the prior is 1e\+10; it may be at most 1e\+09"),
        ((1.0, 3), {"kinship": None}, r"none without a kinship"),
        ((1.0, 3), {"method": "alt-exact"}, r"method='alt-exact' exclude .* takes no prior"),
        ((1.0, 3), {"method": "alt-grid"}, r"method='alt-grid' exclude .* takes no prior"),
    ],
)
def test_a_prior_that_a_scan_cannot_use(prior, options, message):
    with pytest.raises(InputError, match=message):
        blmm.scan(front_door(), prior=prior, **options)
