"""Extreme but legal numbers: weights, kinships and traits of any size give the right LODs."""

from __future__ import annotations

import numpy as np
import pytest
import studies
import xarray as xr

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError, StudyWarning
from bulklmm_dask.lmm.powers import in_range

N = 24


class Precise:
    """Likelihood and LODs of one trait with its covariance written out, in extended precision.

    Var(y) = odds K + diag(1/w^2); rows and columns are scaled before the Cholesky decomposition,
    so that weights of any size lose no digits.
    """

    def __init__(self, y, covariates, kinship, weights, dosage):
        long = np.longdouble
        self.y, self.fixed, self.x = y.astype(long)[:, None], covariates.astype(long), dosage.T
        self.kinship, self.noise = kinship.astype(long), 1 / weights.astype(long) ** 2

    def at(self, odds: float) -> tuple[float, np.ndarray, np.ndarray]:
        """Log-likelihood without a marker; LOD and effect of every marker."""
        v = np.longdouble(odds) * self.kinship + np.diag(self.noise)
        scale = 1 / np.sqrt(np.diag(v))
        factor = cholesky(v * np.outer(scale, scale))
        y, fixed, x = (
            solve(factor, scale[:, None] * part) for part in (self.y, self.fixed, self.x)
        )
        basis: list[np.ndarray] = []
        for column in fixed.T:
            for _ in range(2):
                for q in basis:
                    column = column - q * (q @ column)
            basis.append(column / np.sqrt(column @ column))
        for q in 2 * basis:
            y, x = (part - q[:, None] * (q @ part) for part in (y, x))
        rss = np.sum(y**2)
        beta = (x.T @ y)[:, 0] / np.sum(x**2, axis=0)
        left = np.sum((y - x * beta) ** 2, axis=0)
        logdet = 2 * np.log(np.diag(factor)).sum() - 2 * np.log(scale).sum()
        n = len(y)
        value = -0.5 * (n * np.log(rss) + logdet)
        return float(value), np.float64(n / 2 * np.log10(rss / left)), np.float64(beta)


def cholesky(a: np.ndarray) -> np.ndarray:
    factor = np.zeros_like(a)
    for j in range(len(a)):
        rest = a[j:, j] - factor[j:, :j] @ factor[j, :j]
        factor[j:, j] = rest / np.sqrt(rest[0])
    return factor


def solve(factor: np.ndarray, columns: np.ndarray) -> np.ndarray:
    out = columns.astype(np.longdouble)
    for i in range(len(factor)):
        out[i] = (out[i] - factor[i, :i] @ out[:i]) / factor[i, i]
    return out


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return studies.study(n=N, p=8, m=3, covariates=2, seed=3)


def one(place: int, weight: float) -> np.ndarray:
    return np.where(np.arange(N) == place, weight, 1.0)


WEIGHTS = {
    "one of 1e6": one(4, 1e6),
    "one of 1e9": one(7, 1e9),
    "two of 1e6": np.where(np.isin(np.arange(N), [4, 9]), 1e6, 1.0),
    "four of 1e5": np.where(np.isin(np.arange(N), [2, 4, 9, 11]), 1e5, 1.0),
    "a third of 1e-3": np.where(np.arange(N) % 3 == 0, 1e-3, 1.0),
    "from 1e-4 to 1e4": 10 ** np.random.default_rng(0).uniform(-4, 4, N),
    "all of 1e6": np.full(N, 1e6),
    "all of 1e-7": np.full(N, 1e-7),
    "from 1 to 99": np.linspace(1, 99, N),
}


@pytest.mark.parametrize(
    "covariates",
    [pytest.param(False, marks=pytest.mark.slow), True],
    ids=["mean", "covariates"],
)
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_of_very_different_size(ds, name, covariates):
    weights = WEIGHTS[name]
    fixed = np.ones((N, 1))
    if covariates:
        fixed = np.column_stack([fixed, ds.sample_covariate.values])
    options = {"weights": weights, "covariates": covariates, "statistics": ("beta",)}
    null = blmm.scan(ds, **options).compute()
    single = blmm.scan(ds, precision="single", **options).compute()
    alt = blmm.scan(ds, method="alt-exact", refine_above=0, **options).compute()
    plain = blmm.scan(ds, kinship=None, **options).compute()
    for j in range(3):
        model = Precise(
            ds.sample_trait.values[:, j],
            fixed,
            ds.kinship.values,
            weights,
            ds.call_dosage.values,
        )
        h2 = float(null.h2[j])
        value, lod, beta = model.at(h2 / max(1 - h2, 1e-40))
        highest = max(model.at(odds)[0] for odds in np.logspace(-14, 16, 31))
        assert value >= highest - 1e-6  # no other heritability is likelier
        np.testing.assert_allclose(null.lod.values[:, j], lod, atol=1e-5)
        np.testing.assert_allclose(single.lod.values[:, j], lod, atol=1e-4)
        np.testing.assert_allclose(null.beta.values[:, j], beta, rtol=1e-5, atol=1e-9)
        assert (alt.lod.values[:, j] >= lod - 1e-5).all()
        np.testing.assert_allclose(plain.lod.values[:, j], model.at(0.0)[1], atol=1e-5)


def test_a_sample_of_great_weight_among_ones():
    """The example of the report: the LOD is that of regression through the heavy sample's point."""
    rng = np.random.default_rng(0)
    dosage = rng.integers(0, 3, (60, 4)).astype(float)
    y = dosage[:, [0]] + rng.standard_normal((60, 1))
    heavy = np.where(np.arange(60) == 13, 1e6, 1.0)
    study = blmm.create_dataset(dosage, y, maximum=2)
    found = blmm.scan(study, kinship=None, weights=heavy).compute()
    moved, x = y[:, 0] - y[13, 0], dosage - dosage[13]
    rss = [np.sum((moved - x_i * (x_i @ moved) / (x_i @ x_i)) ** 2) for x_i in x.T]
    expected = 30 * np.log10(np.sum(moved**2) / np.array(rss))
    assert expected[0] > 5
    np.testing.assert_allclose(found.lod[:, 0], expected, atol=1e-5)
    maxima = blmm.permute(study, kinship=None, weights=heavy, n_permutations=20).max_lod
    assert (maxima.values > 0.01).all()


def test_weights_with_replicated_samples_and_several_columns(ds):
    who = np.arange(N) // 2
    kinship = ds.kinship.values[np.ix_(who, who)]
    strains = ds.assign(call_dosage=ds.call_dosage[:, who].drop_vars("samples", errors="ignore"))
    weights = WEIGHTS["four of 1e5"]
    found = blmm.scan(strains, kinship=kinship, weights=weights, reml=True).compute()
    joint = blmm.scan(
        strains, kinship=kinship, weights=weights, reml=True, interaction=["covariate1"]
    ).compute()
    fixed = np.column_stack([np.ones(N), ds.sample_covariate.values])
    for j in range(3):
        h2 = float(found.h2[j])
        y, x = ds.sample_trait.values[:, j], ds.call_dosage.values[:, who]
        model = Precise(y, fixed, kinship, weights, x)
        _, lod, _ = model.at(h2 / (1 - h2))
        np.testing.assert_allclose(found.lod[:, j], lod, atol=1e-5)
        product = x * ds.sample_covariate.values[:, 0]
        for i in range(len(x)):
            wider = Precise(y, np.column_stack([fixed, x[i]]), kinship, weights, product[[i]])
            both = lod[i] + float(wider.at(h2 / (1 - h2))[1][0])
            assert float(joint.lod[i, j]) == pytest.approx(both, abs=1e-5)


@pytest.mark.parametrize("argument", ["weights", "replicates"])
@pytest.mark.parametrize("wide", [1e30, 1e-25])
def test_weights_beyond_all_digits_are_refused(ds, argument, wide):
    with pytest.raises(InputError, match=rf"{argument} spans from .* of sample 'sample5'"):
        blmm.scan(ds, **{argument: one(4, wide)})


def genetic(result: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Variances due to one unit of the kinship and to noise."""
    return (result.sigma2 * result.h2).values, (result.sigma2 * (1 - result.h2)).values


@pytest.mark.parametrize("kind", ["distinct", "replicates"])
@pytest.mark.parametrize("factor", [1e-11, pytest.param(1e12, marks=pytest.mark.slow), 1e120])
def test_a_kinship_of_any_size(ds, kind, factor):
    kinship = ds.kinship.values
    if kind == "replicates":
        who = np.arange(N) // 2
        kinship = kinship[np.ix_(who, who)]
    ds = ds.copy(deep=True)
    ds.sample_trait.values[:3, 0] = np.nan
    for method in ("null-exact", "alt-exact"):
        options = {"method": method, "reml": True, "statistics": ("beta", "se")}
        if method == "alt-exact":  # every pair on the likelihood: others are within 3e-4
            options["refine_above"] = 0
        usual = blmm.scan(ds, kinship=kinship, **options).compute()
        found = blmm.scan(ds, kinship=factor * kinship, **options).compute()
        np.testing.assert_allclose(found.lod, usual.lod, atol=1e-5)
        by_default = blmm.scan(ds, kinship=factor * kinship, method=method, reml=True)
        np.testing.assert_allclose(by_default.lod, usual.lod, atol=3e-4)
        np.testing.assert_allclose(found.beta, usual.beta, rtol=1e-5)
        np.testing.assert_array_equal(found.trait_status, usual.trait_status)
        per_unit, noise = genetic(found)
        expected, expected_noise = genetic(usual)
        np.testing.assert_allclose(factor * per_unit, expected, rtol=1e-6, atol=1e-9)
        if factor > 1e-8:  # for smaller ones 1 - h2 has few digits
            np.testing.assert_allclose(noise, expected_noise, rtol=1e-6, atol=1e-9)
    usual = blmm.heritability(ds, kinship=kinship)
    found = blmm.heritability(ds, kinship=factor * kinship)
    for name in ("log_likelihood", "log_likelihood_0", "lr_statistic"):
        np.testing.assert_allclose(found[name], usual[name], atol=1e-6)
    inside = ((usual.h2 > 0.01) & (usual.h2 < 0.99)).values
    odds, usual_odds = (each.h2_se / each.h2 / (1 - each.h2) for each in (found, usual))
    if factor > 1e-8:
        np.testing.assert_allclose(odds[inside], usual_odds[inside], rtol=1e-5)
    names = {"variant": str(ds.variant_id.values[2]), "trait": str(ds.trait_id.values[1])}
    curve = blmm.profile(ds, kinship=factor * kinship, **names)
    plain = blmm.profile(ds, kinship=kinship, **names)
    assert float(curve.lod) == pytest.approx(float(plain.lod), abs=1e-6)
    assert float(curve.null.max()) == pytest.approx(float(plain.null.max()), abs=1e-6)


def test_a_grid_is_in_the_units_of_the_kinship_given(ds):
    grid = np.arange(10) / 10
    for method in ("null-grid", "alt-grid"):
        usual = blmm.scan(ds, method=method, h2_grid=grid).compute()
        for factor in (1e-7, 2.0**40):
            with pytest.warns(StudyWarning, match="mean diagonal of the kinship, .* not near 1"):
                blmm.scan(ds, method=method, kinship=factor * ds.kinship, h2_grid=grid)
            same = grid / (grid + factor * (1 - grid))
            found = blmm.scan(ds, method=method, kinship=factor * ds.kinship, h2_grid=same)
            np.testing.assert_allclose(found.lod, usual.lod, atol=1e-5)
            expected = usual.h2 / (usual.h2 + factor * (1 - usual.h2))
            np.testing.assert_allclose(found.h2, expected, rtol=1e-9)


def test_permutations_and_hotspots_do_not_depend_on_the_size_of_the_kinship(ds):
    for method in ("per-trait", "shared"):
        options = {"n_permutations": 20, "method": method}
        usual = blmm.permute(ds, **options).max_lod.values
        found = blmm.permute(ds, kinship=1e12 * ds.kinship, **options).max_lod.values
        np.testing.assert_allclose(found, usual, atol=5e-3)


FACTORS = [pytest.param(2.0**660, marks=pytest.mark.slow), 2.0**1015, 2.0**-1000]
MODELS = {
    "null-exact": {},
    "single": {"precision": "single"},
    "alt-exact": {"method": "alt-exact"},
    "alt-grid": {"method": "alt-grid", "precision": "single"},
    "interaction": {"interaction": ["covariate1"]},
    "own markers": {"condition": {f"trait{i}": "variant3" for i in (1, 2, 3)}},
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("factor", FACTORS)
def test_traits_of_any_size(ds, model, factor):
    """A power of two changes no digit: results are the same, effects times the factor."""
    ds = ds.copy(deep=True)
    ds.sample_trait.values[:3, 0] = np.nan
    options = {**MODELS[model], "statistics": ("beta", "se")}
    usual = blmm.scan(ds, **options).compute()
    found = blmm.scan(ds.assign(sample_trait=factor * ds.sample_trait), **options).compute()
    assert set(found.trait_status.values) == {"ok"}
    for name in ("lod", "h2"):
        np.testing.assert_array_equal(found[name], usual[name])
    for name in ("beta", "se"):
        assert found[name].dtype == np.float64
        np.testing.assert_array_equal(found[name], factor * usual[name])
    with np.errstate(over="ignore", under="ignore"):
        np.testing.assert_array_equal(found.sigma2, factor * (factor * usual.sigma2))


@pytest.mark.parametrize("factor", [1e200, 1e-200, 1e307])
def test_all_analyses_take_traits_of_any_size(ds, factor):
    large = ds.assign(sample_trait=factor * ds.sample_trait)
    usual, found = blmm.heritability(ds), blmm.heritability(large)
    np.testing.assert_allclose(found.h2, usual.h2, atol=1e-9)
    np.testing.assert_allclose(found.lr_statistic, usual.lr_statistic, atol=1e-6)
    moved = -(N - 3) * np.log(factor)
    np.testing.assert_allclose(found.log_likelihood, usual.log_likelihood + moved, rtol=1e-9)
    assert float(blmm.profile(large, "trait1", variant="variant1").lod) == pytest.approx(
        float(blmm.profile(ds, "trait1", variant="variant1").lod), abs=1e-9
    )
    maxima = (blmm.permute(each, n_permutations=5).max_lod.values for each in (ds, large))
    np.testing.assert_allclose(*maxima, atol=1e-5)
    counts = (
        blmm.hotspot_baseline(each, n_permutations=2, window=3, threshold=1).traits.tolist()
        for each in (ds, large)
    )
    assert next(counts) == next(counts)


def test_constant_traits_are_constant_at_any_size(ds):
    for value in (1e-300, 1e200, 1.7e308):
        flat = ds.assign(sample_trait=xr.full_like(ds.sample_trait, value))
        assert set(blmm.scan(flat).trait_status.values) == {"constant"}


def test_a_prior_goes_with_traits_of_any_size(ds):
    usual = blmm.scan(ds, prior=(0.5, 5)).compute()
    factor = 2.0**300
    large = ds.assign(sample_trait=factor * ds.sample_trait)
    found = blmm.scan(large, prior=(0.5 * factor**2, 5)).compute()
    np.testing.assert_allclose(found.lod, usual.lod, atol=1e-6)
    lone = blmm.scan(ds.assign(sample_trait=1e200 * ds.sample_trait), prior=(1.0, 5)).compute()
    assert np.isfinite(lone.lod.values).all()


def test_columns_are_scaled_only_if_they_have_to_be():
    columns = np.array([[1.0, 1e200, np.nan, 0.0, 3e-310], [2.0, -3e200, 1e-200, 0.0, 0.0]])
    scaled, exponent = in_range(columns)
    assert exponent[0] == exponent[3] == 0
    np.testing.assert_array_equal(scaled[:, [0, 3]], columns[:, [0, 3]])
    largest = np.nanmax(np.abs(scaled[:, [1, 2, 4]]), axis=0)
    assert ((largest >= 0.5) & (largest < 1)).all()
    np.testing.assert_array_equal(np.ldexp(scaled, exponent), columns)
    same, none = in_range(columns[:, [0]])
    assert same.base is columns or np.shares_memory(same, columns) or (same == columns[:, :1]).all()
    assert not none.any()


@pytest.mark.parametrize("genotypes", [None, 3])
@pytest.mark.parametrize("factor", [1e-310, 1e-300, 2.0**-300, 2.0**300, 1e300])
def test_interactions_with_covariates_of_any_size(factor, genotypes):
    dosage, traits = studies.arrays(N, 8, 3)
    rng = np.random.default_rng(2)
    if genotypes is not None:
        dosage = rng.dirichlet(np.ones(genotypes), (N, 8))
    age = rng.integers(1, 2**10, (N, 2)) / 1.0
    options = {"kinship": None, "interaction": ["covariate1"]}
    options |= {"statistics": ("beta", "se", "lod_interaction", "neg_log10_p")}
    usual = blmm.scan(blmm.create_dataset(dosage, traits, covariates=age), **options).compute()
    scaled = blmm.create_dataset(dosage, traits, covariates=age * [factor, 1])
    found = blmm.scan(scaled, **options).compute()
    assert (found.df == usual.df).all()
    for name in ("lod", "lod_interaction", "neg_log10_p"):
        np.testing.assert_allclose(found[name], usual[name], rtol=1e-5, atol=1e-6)
    per_unit = [":" in str(name) for name in usual.effects.values]
    for name in ("beta", "se"):
        with np.errstate(over="ignore"):
            expected = usual[name].values / np.where(per_unit, factor, 1.0)
        inside = np.isfinite(expected)
        np.testing.assert_allclose(found[name].values[inside], expected[inside], rtol=1e-6)
        assert inside.mean() > 0.9
