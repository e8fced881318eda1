"""Missing values: a trait scores as it would alone on its complete samples."""

from __future__ import annotations

import brute
import numpy as np
import pytest
import studies

import bulklmm_dask as blmm


@pytest.mark.parametrize("method", ["null-exact", "null-grid"])
@pytest.mark.parametrize("reml", [False, True])
def test_a_trait_with_gaps_equals_the_same_trait_alone_on_its_samples(method, reml):
    ds = studies.study(n=50, p=30, m=15, missing=0.3, covariates=1)
    options = {"method": method, "reml": reml}
    together = blmm.scan(ds, **options).compute()
    assert len(np.unique(together.n_samples)) > 1
    for j in range(15):
        has = np.flatnonzero(~np.isnan(ds.sample_trait.values[:, j]))
        alone = ds.isel(samples=has, samples_0=has, samples_1=has, traits=[j])
        result = blmm.scan(alone, **options).compute()
        assert int(together.n_samples[j]) == len(has)
        np.testing.assert_allclose(together.lod[:, j], result.lod[:, 0], atol=1e-6)
        np.testing.assert_allclose(together.h2[j], result.h2[0], atol=1e-8)
        np.testing.assert_allclose(together.sigma2[j], result.sigma2[0], rtol=1e-8)


def test_and_equals_brute_force_on_those_samples():
    ds = studies.study(n=50, p=30, m=10, missing=0.3)
    result = blmm.scan(ds).compute()
    for j in range(10):
        y = ds.sample_trait.values[:, j]
        has = np.flatnonzero(~np.isnan(y))
        kinship = ds.kinship.values[np.ix_(has, has)]
        ones = np.ones((len(has), 1))
        scores = brute.lod_scores(
            ds.call_dosage.values[:, has], y[has], ones, kinship, result.h2.values[j]
        )
        np.testing.assert_allclose(result.lod[:, j], scores, atol=1e-5)
        expected = brute.null_h2(y[has], ones, kinship)
        assert result.h2.values[j] == pytest.approx(expected, abs=1e-5)


def test_missing_dosages_take_the_mean_of_their_marker():
    dosage, traits = studies.arrays()
    holes = dosage.copy()
    holes[::7, ::3] = np.nan
    filled = np.where(np.isnan(holes), np.nanmean(holes, axis=0), holes)
    kinship = studies.study().kinship.values
    with pytest.warns(blmm.StudyWarning, match="missing"):
        gappy = blmm.create_dataset(holes, traits)
    whole = blmm.create_dataset(filled, traits, maximum=2)
    np.testing.assert_allclose(
        blmm.scan(gappy, kinship=kinship).lod, blmm.scan(whole, kinship=kinship).lod, atol=1e-6
    )


def test_a_sample_without_a_covariate_is_left_out_aloud():
    ds = studies.study(covariates=2)
    ds.sample_covariate.values[5, 1] = np.nan
    with pytest.warns(blmm.StudyWarning, match=r"1 of 40 samples .*'sample6'"):
        result = blmm.scan(ds).compute()
    assert (result.n_samples == 39).all()
    keep = np.delete(np.arange(40), 5)
    rest = blmm.scan(ds.isel(samples=keep, samples_0=keep, samples_1=keep)).compute()
    np.testing.assert_allclose(result.lod, rest.lod, atol=1e-6)
    # A scan that does not use the covariate keeps the sample.
    assert (blmm.scan(ds, covariates=["covariate1"]).n_samples == 40).all()


def test_a_covariate_that_is_constant_where_a_trait_was_measured():
    """Measured in one sex only: sex drops out for that trait, and the trait is still scanned."""
    ds = studies.study(n=40, m=3, covariates=1)
    sex = np.repeat([0.0, 1.0], 20)
    ds["sample_covariate"] = (("samples", "covariates"), sex[:, None])
    ds.sample_trait.values[20:, 1] = np.nan
    result = blmm.scan(ds).compute()
    half = np.arange(20)
    alone = ds.isel(samples=half, samples_0=half, samples_1=half, traits=[1])
    expected = blmm.scan(alone, covariates=False).compute()
    np.testing.assert_allclose(result.lod[:, 1], expected.lod[:, 0], atol=1e-6)
