"""Heritability as a result of its own: brute force, GEMMA, R/qtl2, simulation, laws."""

from __future__ import annotations

import json
import shutil

import brute
import dask
import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import studies
from click.testing import CliRunner
from gemma import Analysis, run_gemma, simulated
from references import find, longevity_arrays
from scipy.stats import binom, chi2

import bulklmm_dask as blmm
from bulklmm_dask.cli import main
from bulklmm_dask.engine import heritability as engine
from bulklmm_dask.engine.blas import one_blas_thread
from bulklmm_dask.lmm.null.heritability import boundary_test

both = pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
ESTIMATES = ["h2", "h2_se", "sigma2", "log_likelihood", "log_likelihood_0"]
TESTS = ["lr_statistic", "p_value", "neg_log10_p"]


def log_density(theta, y, covariates, kinship, reml):
    """Log-likelihood of (h2, log s2), every constant in, from the covariance matrix itself.

    Restricted is the density of a basis of the contrasts that the covariates do not reach.
    """
    h2, log_sigma2 = theta
    n = len(y)
    covariance = np.exp(log_sigma2) * (h2 * kinship + (1 - h2) * np.eye(n))
    if reml:
        contrasts = scipy.linalg.null_space(covariates.T)
        covariance, rest = contrasts.T @ covariance @ contrasts, contrasts.T @ y
    else:
        solved = np.linalg.solve(covariance, covariates)
        rest = y - covariates @ np.linalg.solve(covariates.T @ solved, solved.T @ y)
    distance = rest @ np.linalg.solve(covariance, rest)
    return -0.5 * (len(rest) * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] + distance)


def observed_error(h2, sigma2, *data):
    """Standard error of h2: the information on (h2, log s2) by differences, inverted."""
    centre, steps = np.array([h2, np.log(sigma2)]), np.diag([min(1e-3, (1 - h2) / 50), 1e-3])
    hessian = np.empty((2, 2))
    for i, a in enumerate(steps):
        for j, b in enumerate(steps):
            hessian[i, j] = sum(
                s * t * log_density(centre + s * a + t * b, *data) for s in (-1, 1) for t in (-1, 1)
            ) / (4 * a.sum() * b.sum())
    return np.sqrt(np.linalg.inv(-hessian)[0, 0])


def expected_error(h2, y, covariates, kinship):
    """The same from the expected information of the contrasts."""
    contrasts = scipy.linalg.null_space(covariates.T)
    eye = np.eye(len(y))
    inverse = np.linalg.inv(contrasts.T @ (h2 * kinship + (1 - h2) * eye) @ contrasts)
    change = inverse @ contrasts.T @ (kinship - eye) @ contrasts
    information = np.trace(change @ change) - np.trace(change) ** 2 / len(change)
    return np.sqrt(2 / information)


def designed(kind: str):
    """A study with two covariates and values missing: uncentred, centred, or replicated strains."""
    if kind != "replicates":
        ds = studies.study(n=60, p=80, m=10, seed=3, covariates=2, missing=0.2)
        ds["kinship"] = blmm.kinship(ds, method=kind).compute()
        return ds
    ds = studies.study(n=20, p=30, m=10, seed=5)
    where = np.repeat(np.arange(20), 3)
    rng = np.random.default_rng(6)
    traits = ds.sample_trait.values[where] + 0.7 * rng.standard_normal((60, 10))
    traits[rng.random((60, 10)) < 0.1] = np.nan
    genotypes = ds.call_dosage.transpose("samples", "variants").values[where]
    out = blmm.create_dataset(genotypes, traits, covariates=rng.random((60, 2)), maximum=2)
    out["kinship"] = (("samples_0", "samples_1"), ds.kinship.values[np.ix_(where, where)])
    return out


@both
@pytest.mark.parametrize("kind", ["bulklmm", "centered", "replicates"])
def test_equals_brute_force(kind, reml):
    ds = designed(kind)
    result = blmm.heritability(ds, reml=reml)
    with one_blas_thread():
        inside = [brute_force(ds, result.isel(traits=j), j, reml) for j in range(10)]
    assert any(inside)


def brute_force(ds, found, j: int, reml: bool) -> bool:
    """Check one trait; whether its estimate lies inside the interval."""
    if str(found.trait_status.values) == "unbounded":
        return False
    y = ds.sample_trait.values[:, j]
    has = ~np.isnan(y)
    covariates = np.column_stack([np.ones(has.sum()), ds.sample_covariate.values[has]])
    data = (y[has], covariates, ds.kinship.values[np.ix_(has, has)])
    h2, sigma2 = float(found.h2), float(found.sigma2)
    assert h2 == pytest.approx(brute.null_h2(*data, reml=reml), abs=2e-5)
    theta = [h2, np.log(sigma2)]
    assert float(found.log_likelihood) == pytest.approx(log_density(theta, *data, reml))
    _, (yw, cw) = brute.whiten(0.0, data[2], *data[:2])
    rss = np.linalg.lstsq(cw, yw)[1][0]
    scale = np.log(rss / (len(yw) - 3 * reml))
    assert float(found.log_likelihood_0) == pytest.approx(log_density([0, scale], *data, reml))
    inside = h2 not in (0.0, 1.0)
    expected = observed_error(h2, sigma2, *data, reml) if inside else expected_error(h2, *data)
    assert float(found.h2_se) == pytest.approx(expected, rel=1e-3)
    return inside


@both
def test_h2_and_s2_are_those_of_the_scan(reml):
    ds = designed("bulklmm")
    result, scan = blmm.heritability(ds, reml=reml), blmm.scan(ds, reml=reml)
    for name in ("h2", "sigma2", "n_samples"):
        np.testing.assert_allclose(result[name], scan[name], rtol=1e-9, atol=1e-9)
    assert list(result.trait_status.values) == list(scan.trait_status.values)
    assert list(result.traits.values) == list(ds.trait_id.values)
    assert "variants" not in result.sizes


def test_gemma_null_models(reference):
    genotypes, kinship, traits = longevity_arrays(reference)
    models = json.loads((reference / "gemma" / "null_models.json").read_text())
    assert len(models) == 8
    for name, gemma in models.items():
        has = traits[name].notna().to_numpy()
        covariates = traits.loc[has, ["covariate"]].to_numpy() if gemma["covariate"] else None
        values = traits.loc[has, [name]].to_numpy()
        ds = blmm.create_dataset(genotypes[has, :2], values, covariates=covariates, maximum=1)
        within = kinship[np.ix_(has, has)]
        found = blmm.heritability(ds, kinship=within).isel(traits=0)
        assert int(found.n_samples) == gemma["n"]
        genetic = float(found.sigma2 * found.h2)
        # GEMMA prints six digits, and keeps vg/ve from 1e-5 on.
        assert genetic == pytest.approx(gemma["vg"], rel=5e-6, abs=1e-5)
        assert float(found.sigma2) - genetic == pytest.approx(gemma["ve"], rel=5e-6)
        assert float(found.log_likelihood) == pytest.approx(gemma["remle_loglik"], abs=6e-4)
        # Centring the kinship, as GEMMA does, leaves the restricted likelihood as it is only.
        centre = np.eye(len(within)) - 1 / len(within)
        full = blmm.heritability(ds, kinship=centre @ within @ centre, reml=False)
        assert float(full.log_likelihood[0]) == pytest.approx(gemma["mle_loglik"], abs=6e-4)


@pytest.mark.gemma
@pytest.mark.skipif(shutil.which("gemma") is None, reason="no program gemma on the PATH")
@pytest.mark.parametrize(
    "kind", ["plain", "covariate and missing values", "one strong locus", "distinct samples"]
)
def test_standard_error_of_gemma_run_now(kind, tmp_path):
    data = simulated(kind)
    analysis = Analysis.of(*data, run_gemma(tmp_path, *data))
    log = (tmp_path / "found.log.txt").read_text().splitlines()
    share, error = (
        next(float(line.partition(" = ")[2]) for line in log if line.startswith(f"## {what} "))
        for what in ("pve", "se(pve)")
    )
    found = blmm.heritability(analysis.ds).isel(traits=0)
    # GEMMA's pve is the share of the variance with the kinship scaled to a mean diagonal of one.
    h2, mean = float(found.h2), float(np.trace(analysis.ds.kinship.values)) / int(found.n_samples)
    total = h2 * mean + 1 - h2
    assert h2 * mean / total == pytest.approx(share, rel=2e-5)
    assert float(found.h2_se) * mean / total**2 == pytest.approx(error, rel=2e-5)


@both
def test_rqtl2_heritabilities(reference, reml):
    kind = "reml" if reml else "ml"
    for study, name, n_traits in (("grav2", "scan1", 121), ("iron", "scan1_sex", 2)):
        folder = reference / study
        pheno = pd.read_csv(find(folder / "pheno.csv"), index_col=0)
        covariates = None
        if study == "iron":
            covariates = pd.read_csv(folder / "covar.csv", index_col=0).loc[pheno.index]
        ds = blmm.create_dataset(
            studies.arrays(n=len(pheno))[0], pheno, covariates=covariates, maximum=2
        )
        kinship = pd.read_csv(find(folder / "kinship.csv"), index_col=0).to_numpy()
        found = blmm.heritability(ds, kinship=2 * kinship, reml=reml)  # doubled there too
        expected = pd.read_csv(folder / f"{name}_{kind}.hsq.csv", index_col=0).to_numpy()[0]
        assert found.h2.shape == expected.shape == (n_traits,)
        np.testing.assert_allclose(found.h2, expected, atol=1e-6, rtol=0)


def families(h2: float, n_traits: int, size: int = 4, number: int = 60):
    """Families whose members share half of everything: many independent blocks."""
    n = size * number
    rng = np.random.default_rng(11)
    kinship = np.kron(np.eye(number), np.full((size, size), 0.5) + 0.5 * np.eye(size))
    root = np.linalg.cholesky(h2 * kinship + (1 - h2) * np.eye(n))
    ds = blmm.create_dataset(
        studies.arrays(n=n)[0], root @ rng.standard_normal((n, n_traits)), maximum=2
    )
    ds["kinship"] = (("samples_0", "samples_1"), kinship)
    return ds


@both
def test_p_values_without_heritability(reml):
    number = 6000
    found = blmm.heritability(families(0.0, number), reml=reml)
    at_zero = int((found.h2 == 0).sum())
    assert (found.p_value.values[found.h2.values == 0] == 1).all()
    assert 0.48 * number < at_zero < (0.56 if reml else 0.60) * number
    for level in (0.2, 0.05, 0.01, 0.001):
        rejected = int((found.p_value < level).sum())
        # The mixture is an asymptote: with 60 families the tail may be a tenth lighter.
        low, high = binom.ppf(1e-4, number, 0.8 * level), binom.ppf(1 - 1e-4, number, level)
        assert (low if reml else 0) <= rejected <= high, (level, rejected)


def test_standard_errors_measure_the_spread_of_estimates():
    found = blmm.heritability(families(0.5, 2000))
    assert ((found.h2 > 0) & (found.h2 < 1)).mean() > 0.99
    spread, told = float(found.h2.std()), float(np.sqrt((found.h2_se**2).mean()))
    assert told == pytest.approx(spread, rel=0.05)
    covered = np.abs(found.h2 - 0.5) < 1.96 * found.h2_se
    assert 0.92 < float(covered.mean()) < 0.97


def test_boundary_test():
    gain = np.array([0.0, -1e-13, 1e-3, 2.0, 40.0, 1e4, np.nan])
    statistic, p_value, neg_log10_p = boundary_test(gain)
    np.testing.assert_array_equal(statistic[:3], [0, 0, 2e-3])
    np.testing.assert_array_equal(p_value[:2], 1)
    np.testing.assert_allclose(p_value[2:5], chi2.sf(statistic[2:5], 1) / 2, rtol=1e-12)
    np.testing.assert_allclose(neg_log10_p[:5], -np.log10(p_value[:5]), rtol=1e-12)
    # Half of the tail beyond x is exp(-x/2) / sqrt(2 pi x) (1 - 1/x + 3/x^2 - ...).
    x = statistic[5]
    tail = x / 2 + 0.5 * np.log(2 * np.pi * x) - np.log1p(-1 / x + 3 / x**2)
    assert p_value[5] == 0
    assert neg_log10_p[5] == pytest.approx(tail / np.log(10), rel=1e-12)
    assert np.isnan([statistic[6], p_value[6], neg_log10_p[6]]).all()


@both
def test_patterns_of_missing_values_in_any_chunks(reml, monkeypatch):
    ds = studies.study(n=50, m=40, missing=0.3, covariates=1)
    ds.sample_trait.values[:3, ::7] = np.nan
    together = blmm.heritability(ds, reml=reml)
    assert len(np.unique(together.n_samples)) > 2
    for j in (0, 3, 7, 20, 39):
        has = np.flatnonzero(~np.isnan(ds.sample_trait.values[:, j]))
        alone = ds.isel(samples=has, samples_0=has, samples_1=has, traits=[j])
        expected = blmm.heritability(alone, reml=reml)
        for name in [*ESTIMATES, *TESTS]:
            np.testing.assert_allclose(together[name][j], expected[name][0], rtol=1e-6, atol=1e-9)
    monkeypatch.setattr(engine, "_TASK", 5)
    for chunked in (ds, ds.chunk(traits=9, samples=20, samples_0=25, variants=7)):
        with dask.config.set(scheduler="synchronous"):
            again = blmm.heritability(chunked, reml=reml)
        for name in [*ESTIMATES, *TESTS, "n_samples"]:
            np.testing.assert_allclose(again[name], together[name], rtol=1e-7, atol=1e-9)
        assert (again.trait_status.values == together.trait_status.values).all()


def test_traits_that_cannot_be_fitted():
    ds = studies.study(n=40, m=5, covariates=1)
    values = ds.sample_trait.values
    values[:, 0] = 7.0
    values[:, 1] = np.nan
    values[1:, 2] = np.nan
    values[3:, 3] = np.nan
    result = blmm.heritability(ds)
    status = ["constant", "all-missing", "too-few-samples", "too-few-samples", "ok"]
    assert list(result.trait_status.values) == status
    assert list(result.n_samples.values) == [40, 0, 1, 3, 40]
    for name in [*ESTIMATES, *TESTS]:
        assert list(np.isnan(result[name].values)) == [True] * 4 + [False], name


def test_a_likelihood_without_a_maximum_has_no_test():
    """Distinct samples with a centred kinship: its null space is the intercept."""
    ds = studies.study(n=30, p=60, m=6)
    ds["kinship"] = blmm.kinship(ds, method="centered").compute()
    found = blmm.heritability(ds, reml=False)
    # Of the others a maximum inside is above the bound.
    unbounded = found.sel(traits=found.trait_status == "unbounded")
    assert unbounded.sizes["traits"] >= 3
    assert (unbounded.h2 == 1 - 1e-5).all()
    for name in ("h2_se", "log_likelihood", *TESTS):
        assert np.isnan(unbounded[name]).all()
        assert not np.isnan(found[name][found.trait_status == "ok"]).any()
    # The restricted likelihood has a limit at h2 = 1, and the last trait, all heritable, is there.
    restricted = blmm.heritability(ds)
    assert float(restricted.h2[-1]) == 1 - 1e-5
    for name in [*ESTIMATES, *TESTS]:
        assert not np.isnan(restricted[name]).any()
    assert float(restricted.neg_log10_p[-1]) > 3


def test_a_trait_without_noise_among_replicates_has_no_test():
    ds = designed("replicates")
    strains = np.repeat(np.random.default_rng(0).standard_normal(20), 3)
    ds["sample_trait"] = (("samples", "traits"), np.tile(strains[:, None], 10))
    found = blmm.heritability(ds, covariates=False)
    assert (found.trait_status == "unbounded").all()
    assert np.isnan(found.p_value).all()


def test_a_kinship_that_tells_nothing():
    ds = studies.study(n=30, m=4)
    found = blmm.heritability(ds, kinship=np.eye(30))
    assert (found.h2 == 0).all()
    assert np.isnan(found.h2_se).all()
    assert (found.p_value == 1).all()


def test_the_unit_of_a_trait_changes_only_s2_and_likelihoods():
    ds = studies.study(n=50, m=8, covariates=1)
    found = blmm.heritability(ds)
    scaled = blmm.heritability(ds.assign(sample_trait=1000 * ds.sample_trait - 5e4))
    for name in ("h2", "h2_se", *TESTS):
        np.testing.assert_allclose(scaled[name], found[name], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(scaled.sigma2, 1e6 * found.sigma2, rtol=1e-7)
    shift = 48 * np.log(1000)
    np.testing.assert_allclose(scaled.log_likelihood, found.log_likelihood - shift, rtol=1e-9)


def test_covariates_are_chosen_and_gaps_told():
    ds = studies.study(n=40, m=3, covariates=2)
    none = blmm.heritability(ds, covariates=False)
    assert none.attrs["covariates"] == ""
    assert not np.allclose(blmm.heritability(ds).sigma2, none.sigma2)
    ds.sample_covariate.values[5, 1] = np.nan
    with pytest.warns(blmm.StudyWarning, match=r"1 of 40 samples .*'sample6'"):
        found = blmm.heritability(ds)
    keep = np.delete(np.arange(40), 5)
    rest = blmm.heritability(ds.isel(samples=keep, samples_0=keep, samples_1=keep))
    np.testing.assert_allclose(found.h2_se, rest.h2_se, rtol=1e-6)
    assert (found.n_samples == 39).all()


def test_what_cannot_be_used_is_refused():
    ds = studies.study()
    with pytest.raises(blmm.InputError, match="no heritability to estimate"):
        blmm.heritability(ds, kinship=None)
    with pytest.raises(blmm.InputError, match="reml is 'yes'"):
        blmm.heritability(ds, reml="yes")
    with pytest.raises(blmm.InputError, match=r"bulklmm_dask\.kinship\(ds\)"):
        blmm.heritability(ds.drop_vars("kinship"))
    with pytest.raises(blmm.InputError, match="nothing to estimate"):
        blmm.heritability(ds.isel(traits=[]))
    ds.sample_trait.values[2, 3] = np.inf
    for study in (ds, ds.chunk(traits=2)):
        with pytest.raises(blmm.InputError, match=r"inf in sample 'sample3', column 'trait4'"):
            blmm.heritability(study)


def test_command(tmp_path):
    ds = studies.study(n=50, m=20, covariates=1)
    ds.sample_trait.values[:, 3] = 1.0
    blmm.save(ds, tmp_path / "s.zarr")
    arguments = ["heritability", str(tmp_path / "s.zarr"), "--threads", "1"]
    run = CliRunner().invoke(main, [*arguments, "--ml", "--out", str(tmp_path / "h2.csv")])
    assert run.exit_code == 0, run.output
    expected = blmm.heritability(ds, reml=False)
    table = pd.read_csv(tmp_path / "h2.csv", index_col="trait")
    assert list(table.columns) == [*ESTIMATES, *TESTS, "n_samples", "trait_status"]
    assert list(table.index) == list(ds.trait_id.values)
    for name in [*ESTIMATES, *TESTS]:
        np.testing.assert_allclose(table[name], expected[name], rtol=1e-9)
    lines = run.stdout.splitlines()
    assert lines[0] == "20 traits, ML: 19 ok, 1 constant"
    assert f"median {float(expected.h2.median()):.3g}" in lines[1]
    rejected = int((expected.p_value < 0.05).sum())
    assert lines[2].startswith(f"h2 = 0 rejected for {rejected} with p < 0.05, ")
    assert "REML" in CliRunner().invoke(main, arguments).stdout
    refused = CliRunner().invoke(main, [*arguments, "--kinship", "none"])
    assert refused.exit_code == 1
    assert "no heritability to estimate" in refused.stderr
