"""Several columns a marker through the front door: genotypes, interactions, their statistics."""

from __future__ import annotations

import brute
import numpy as np
import pandas as pd
import pytest
import studies
import xarray as xr
from references import iron
from scipy.stats import chi2

import bulklmm_dask as blmm

both = pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])


def theirs(reference, name: str, ds: xr.Dataset) -> np.ndarray:
    table = pd.read_csv(reference / "iron" / name, index_col=0)
    return table.loc[list(ds.variants.values), list(ds.traits.values)].values


def founders(n: int = 50, p: int = 12, m: int = 5, k: int = 4, seed: int = 0) -> xr.Dataset:
    """Probabilities of k genotypes, related samples, one covariate, missing values."""
    rng = np.random.default_rng(seed)
    ds = studies.study(n=n, p=p, m=m, covariates=1, missing=0.2, seed=seed)
    probability = rng.dirichlet(np.full(k, 0.3), size=(p, n))
    probability[3, :, 1] = 0  # a genotype nobody has
    probability[3] /= probability[3].sum(axis=-1, keepdims=True)
    probability[5] = probability[5, :1]  # no variation at all
    names = np.array(list("ABCDEFGH")[:k], dtype=object)
    return ds.drop_vars("call_dosage").assign(
        call_genotype_probability=(("variants", "samples", "genotypes"), probability),
        genotype_id=("genotypes", names),
    )


def ratio(y, fixed, columns, kinship, h2) -> tuple[float, np.ndarray, np.ndarray]:
    """LOD at fixed h2, coefficients and standard errors of all fixed effects of the wider model."""
    v = h2 * kinship + (1 - h2) * np.eye(len(y))
    root = np.linalg.cholesky(v)
    yw, cw, xw = (np.linalg.solve(root, a) for a in (y, fixed, np.column_stack([fixed, columns])))
    rss = [np.sum((yw - a @ np.linalg.lstsq(a, yw, rcond=1e-9)[0]) ** 2) for a in (cw, xw)]
    return len(y) / 2 * np.log10(rss[0] / rss[1]), xw, yw


@both
def test_iron_equals_rqtl2(reference, reml):
    ds = iron(reference)
    result = blmm.scan(ds, reml=reml, statistics=("neg_log10_p",)).compute()
    expected = theirs(reference, f"scan1_sex_{'reml' if reml else 'ml'}.csv.gz", ds)
    assert np.abs(result.lod.values - expected).max() < 1e-4
    assert (result.df == 2).all()
    np.testing.assert_allclose(
        result.neg_log10_p, -chi2.logsf(expected * 2 * np.log(10), 2) / np.log(10), atol=2e-4
    )


@pytest.fixture(scope="module")
def iron_loco(reference):
    ds = iron(reference)
    return ds.assign(kinship_loco=2 * blmm.kinship(ds, method="rqtl2", loco=True).compute())


@both
def test_interactive_sex_equals_rqtl2(reference, iron_loco, reml):
    ds = iron_loco
    wanted = {"interaction": "sex", "statistics": ("lod_interaction",), "reml": reml}
    result = blmm.scan(ds, loco=True, **wanted).compute()
    expected = theirs(reference, f"scan1_loco_intsex_{'reml' if reml else 'ml'}.csv.gz", ds)
    assert np.abs(result.lod.values - expected).max() < 1e-4
    assert (result.df == 4).all()
    additive = blmm.scan(ds, loco=True, reml=reml)
    np.testing.assert_allclose(result.lod_interaction, result.lod - additive.lod, atol=2e-5)


def test_kinship_of_allele_shares_equals_rqtl2(reference):
    ds = iron(reference)
    ours = blmm.kinship(ds, method="rqtl2")
    np.testing.assert_allclose(2 * ours, ds.kinship, atol=1e-9)


def test_effects_equal_scan1coef(reference):
    """R/qtl2 shows deviations from their mean, which is its intercept."""
    ds = iron(reference)
    folder = reference / "iron"
    coef = pd.read_csv(folder / "coef_chr16_liver.csv", index_col=0)
    error = pd.read_csv(folder / "coef_se_chr16_liver.csv", index_col=0)
    # The example was made with the kinship that leaves chromosome 16 out.
    loco = 2 * blmm.kinship(ds, method="rqtl2", loco=True).sel(contigs="16", drop=True)
    one = ds.assign(kinship=loco).sel(variants=list(coef.index), traits=["liver"])
    result = blmm.scan(one, reml=True, statistics=("beta", "se")).compute()
    assert result.beta.dims == ("variants", "traits", "genotypes")
    assert list(result.genotypes.values) == ["SS", "SB", "BB"]
    beta, se = result.beta.values[:, 0], result.se.values[:, 0]
    mean = beta.mean(axis=1, keepdims=True)
    genotypes = ["SS", "SB", "BB"]
    np.testing.assert_allclose(beta - mean, coef[genotypes].values, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(mean[:, 0], coef["intercept"].values, rtol=1e-4)
    np.testing.assert_allclose(se, error[genotypes].values, rtol=1e-4)


@pytest.mark.parametrize("interaction", [None, "covariate1"])
@pytest.mark.parametrize("precision", ["double", "single"])
def test_equals_regression_written_out(interaction, precision):
    """Missing values, a genotype nobody has, a marker without variation."""
    ds = founders()
    statistics = ("beta", "se", "explained")
    result = blmm.scan(
        ds, interaction=interaction, statistics=statistics, precision=precision
    ).compute()
    for j in range(ds.sizes["traits"]):
        y = ds.sample_trait.values[:, j]
        has = np.flatnonzero(~np.isnan(y))
        fixed = np.column_stack([np.ones(len(has)), ds.sample_covariate.values[has]])
        kinship = ds.kinship.values[np.ix_(has, has)]
        h2 = float(result.h2[j])
        assert h2 == pytest.approx(brute.null_h2(y[has], fixed, kinship), abs=1e-6)
        for i in range(ds.sizes["variants"]):
            genotypes = ds.call_genotype_probability.values[i, has]
            columns = genotypes[:, 1:]
            if interaction:
                columns = np.column_stack([columns, columns * fixed[:, 1:2]])
            lod, xw, yw = ratio(y[has], fixed, columns, kinship, h2)
            assert result.lod[i, j] == pytest.approx(lod, abs=2e-5)
            rank = np.linalg.matrix_rank(np.column_stack([fixed, columns]), tol=1e-8)
            assert result.df[i, j] == rank - 2
            share = 1 - 10 ** (-2 * lod / len(has))
            assert result.explained[i, j] == pytest.approx(share, abs=1e-5)
            if i in (3, 5):
                continue
            coefficients = np.linalg.lstsq(xw, yw, rcond=None)[0]
            if interaction:
                np.testing.assert_allclose(result.beta[i, j], coefficients[2:], rtol=1e-4)
            else:  # of a genotype: the intercept and what it differs by
                expected = coefficients[0] + np.concatenate([[0], coefficients[2:]])
                np.testing.assert_allclose(result.beta[i, j], expected, rtol=1e-4)
    assert np.isnan(result.beta[3, :, 1]).all() or interaction
    assert (result.lod[5] == 0).all()


def test_interactions_of_dosages():
    ds = studies.study(n=50, p=20, m=4, covariates=2)
    wanted = {"interaction": ["covariate2"], "statistics": ("beta", "se", "lod_interaction")}
    result = blmm.scan(ds, **wanted).compute()
    assert list(result.effects.values) == ["dosage", "dosage:covariate2"]
    fixed = np.column_stack([np.ones(50), ds.sample_covariate.values])
    plain = blmm.scan(ds).compute()
    for i, j in ((0, 0), (7, 2), (19, 3)):
        x, y = ds.call_dosage.values[i], ds.sample_trait.values[:, j]
        columns = np.column_stack([x, x * fixed[:, 2]])
        lod, xw, yw = ratio(y, fixed, columns, ds.kinship.values, float(result.h2[j]))
        assert result.lod[i, j] == pytest.approx(lod, abs=1e-5)
        np.testing.assert_allclose(result.beta[i, j], np.linalg.lstsq(xw, yw)[0][3:], rtol=1e-4)
    np.testing.assert_allclose(result.lod_interaction, result.lod - plain.lod, atol=1e-5)


def test_stored_as_computed(tmp_path):
    ds = founders(p=20, m=7)
    options = {"statistics": ("beta", "se", "neg_log10_p"), "reml": True}
    chunks = {"variants": 8, "traits": 3}
    stored = blmm.scan(ds, store=tmp_path / "r.zarr", chunks=chunks, **options)
    lazy = blmm.scan(ds, **options).compute()
    for name in ("lod", "beta", "se", "neg_log10_p", "df"):
        np.testing.assert_allclose(stored[name], lazy[name], rtol=1e-4, atol=1e-5)
        assert stored[name].dims == lazy[name].dims
    assert list(stored.genotypes.values) == list("ABCD")


def test_one_column_is_the_plain_scan():
    ds = studies.study(n=40, p=20, m=4, missing=0.2)
    half = ds.call_dosage.values / 2
    two = ds.assign(
        call_genotype_probability=(
            ("variants", "samples", "genotypes"),
            np.stack([1 - half, half], axis=2),
        )
    )
    plain = blmm.scan(two).compute()
    joint = blmm.scan(two, genotypes="call_genotype_probability").compute()
    np.testing.assert_allclose(joint.lod, plain.lod, atol=1e-5)
    assert set(np.unique(joint.df)) <= {0, 1}


def test_what_cannot_be():
    ds = founders()
    for options, message in (
        ({"method": "alt-exact"}, "4 genotypes need several"),
        ({"interaction": "age"}, r"interaction names 'age', not among .*'covariate1'"),
        ({"interaction": "covariate1", "covariates": False}, "must also be additive"),
        ({"statistics": "lod_interaction"}, "needs interaction, and there is none"),
        ({"statistics": ("gain",)}, "unknown statistic 'gain'"),
        ({"genotypes": "call_dosage"}, "no genotypes 'call_dosage'"),
        ({"condition": {"trait1": "variant1"}}, "needs call_dosage"),
    ):
        with pytest.raises(blmm.InputError, match=message):
            blmm.scan(ds, **options)


def test_nothing_is_told_where_columns_are_as_many_as_samples():
    ds = founders(n=20, p=6, m=2, k=8)
    ds.sample_trait.values[7:, 0] = np.nan
    ds.sample_trait.values[:7, 0] = np.arange(7.0)
    with pytest.warns(
        blmm.StudyWarning, match=r"1 marker \('variant6'\) with a genotype that fewer"
    ):
        result = blmm.scan(ds, kinship=None, covariates=False, statistics=("neg_log10_p",))
    result = result.compute()
    full = result.df[:, 0] >= 6
    assert full.any()
    assert np.isnan(result.lod[:, 0].values[full]).all()
    assert np.isnan(result.neg_log10_p[:, 0].values[full]).all()
    assert np.isfinite(result.lod[:, 1]).all()
    assert blmm.max_lod(result).trait.tolist() == ["trait1", "trait2"]
