"""Covariates and traits far from 0: days as Julian dates, counts of seconds, large means."""

from contextlib import nullcontext

import numpy as np
import pytest
from brute import residual_sums

import bulklmm_dask as blmm
from bulklmm_dask.errors import StudyWarning
from bulklmm_dask.lmm.permute.signs import Directions
from bulklmm_dask.lmm.samples import Samples

N, P, M = 60, 6, 4
DATES = {
    "julian": (2460341.5, 40.0),
    "yyyymmdd": (20240131.0, 300.0),
    "seconds": (1.7e9, 5000.0),
    "serial numbers": (4e9, 1.5),
    "milliseconds": (1.7e12, 900.0),
}


def measured(offset, spread):
    """Dosages, days (as deviations too) and traits with an interaction of genotype and day."""
    rng = np.random.default_rng(3)
    dosage = rng.integers(0, 3, (N, P)).astype(float)
    deviations = np.round(rng.normal(size=N) * spread * 8) / 8
    traits = rng.normal(size=(N, M)) + 0.6 * dosage[:, :1] * deviations[:, None] / spread
    return dosage, deviations, offset + deviations, traits


def study(dosage, traits, **options):
    positions = np.arange(P, dtype=float)
    return blmm.create_dataset(dosage, traits, contigs=["1"] * P, positions=positions, **options)


def of_days(offset, spread):
    dosage, deviations, days, traits = measured(offset, spread)
    ds = study(dosage, traits, covariates=days[:, None], covariate_ids=["day"])
    return ds, dosage, deviations, traits


@pytest.mark.parametrize("date", DATES)
def test_an_interaction_is_that_of_least_squares(date):
    offset, spread = DATES[date]
    ds, dosage, deviations, traits = of_days(offset, spread)
    wanted = ["lod_interaction", "beta", "se"]
    found = blmm.scan(ds, kinship=None, interaction="day", statistics=wanted).compute()
    one = np.ones(N)
    for i, x in enumerate(dosage.T):
        null = residual_sums(np.column_stack([one, deviations]), traits)
        additive = residual_sums(np.column_stack([one, deviations, x]), traits)
        whole = residual_sums(np.column_stack([one, deviations, x, x * deviations]), traits)
        np.testing.assert_allclose(found.lod[i], N / 2 * np.log10(null / whole), atol=2e-6)
        alone = N / 2 * np.log10(additive / whole)
        np.testing.assert_allclose(found.lod_interaction[i], alone, atol=2e-6)
    assert (found.df == 2).all()
    # Effects are of the columns as measured: that of the genotype holds on day 0.
    design = np.column_stack([one, deviations, dosage[:, 0], dosage[:, 0] * deviations])
    effects = np.linalg.lstsq(design, traits, rcond=None)[0]
    np.testing.assert_allclose(found.beta[0, :, 1], effects[3], rtol=1e-8)
    np.testing.assert_allclose(found.beta[0, :, 0], effects[2] - offset * effects[3], rtol=1e-8)


@pytest.mark.parametrize("date", DATES)
def test_a_kinship_and_missing_values_change_nothing_of_that(date):
    offset, spread = DATES[date]
    ds, dosage, deviations, traits = of_days(offset, spread)
    near = study(dosage, traits, covariates=deviations[:, None], covariate_ids=["day"])
    for each in (ds, near):
        each["kinship"] = blmm.kinship(each).compute()
        each.sample_trait.values[:7, 1] = np.nan
    for options in ({}, {"interaction": "day"}, {"weights": np.linspace(0.5, 2, N)}):
        far = blmm.scan(ds, **options).lod.values
        np.testing.assert_allclose(far, blmm.scan(near, **options).lod, rtol=1e-5, atol=1e-6)
    draws = {"n_permutations": 4, "interaction": "day", "precision": "double"}
    far, close = (blmm.permute(each, **draws).max_lod.values for each in (ds, near))
    np.testing.assert_allclose(far, close, rtol=1e-5, atol=1e-6)
    estimates = [blmm.heritability(each).h2.values for each in (ds, near)]
    np.testing.assert_allclose(*estimates, atol=1e-8)
    values = ds.sample_trait.values.T + 1e9  # with missing ones
    coordinates = [
        Directions.of(Samples(np.column_stack([np.ones(N), days]), None)).coordinates(values)
        for days in (ds.sample_covariate.values[:, 0], deviations)
    ]
    far, close = (np.linalg.norm(each, axis=1) for each in coordinates)
    np.testing.assert_allclose(far, close, rtol=1e-6)
    gaps = np.column_stack([np.ones(N), deviations])
    gaps[:4, 1] = np.nan  # these samples take no part
    for offset in (0.0, 1e12):
        found = Directions.of(Samples(gaps, None)).coordinates(ds.sample_trait.values.T + offset)
        left = residual_sums(gaps[4:], ds.sample_trait.values[4:, [0, 2]])
        np.testing.assert_allclose(np.square(found[[0, 2]]).sum(axis=1), left, rtol=1e-2)


@pytest.mark.parametrize("offset", [1e6, 2.46e6, 1e9, 1e12, -3e13])
def test_a_trait_of_a_large_mean_is_no_constant(offset):
    dosage, _, _, traits = measured(0.0, 1.0)
    traits = np.round(traits * 64) / 64  # exact at every offset here
    found = blmm.scan(study(dosage, offset + traits), kinship=None).compute()
    assert (found.trait_status == "ok").all()
    plain = blmm.scan(study(dosage, traits), kinship=None)
    np.testing.assert_allclose(found.lod, plain.lod, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 7.3, 1e12, -1e300])
@pytest.mark.parametrize("units", [0, 1])
def test_a_constant_trait_is_one_whatever_its_value(value, units):
    """Also where its values differ in the last place only, which is rounding."""
    dosage, _, _, traits = measured(0.0, 1.0)
    traits[:, 2] = value
    for _ in range(units):
        traits[::3, 2] = np.nextafter(traits[::3, 2], np.inf)
    if value == 0.0:
        traits[:, 2] = 0.0
    found = blmm.scan(study(dosage, traits), kinship=None)
    assert found.trait_status.values.tolist() == ["ok", "ok", "constant", "ok"]


@pytest.mark.parametrize("date", DATES)
def test_a_trait_that_a_covariate_explains_is_constant_beside_it(date):
    offset, spread = DATES[date]
    dosage, deviations, days, traits = measured(offset, spread)
    traits[:, 1] = 3.0 - 2.0 * deviations
    ds = study(dosage, traits, covariates=days[:, None])
    found = blmm.scan(ds, kinship=None)
    assert found.trait_status.values.tolist() == ["ok", "constant", "ok", "ok"]


def test_effects_of_genotypes_where_covariates_are_zero():
    rng = np.random.default_rng(1)
    probability, day = rng.dirichlet(np.ones(3), (60, 8)), rng.integers(0, 9, 60)
    options = {"kinship": None, "statistics": ("beta", "se")}
    traits = rng.normal(size=(60, 2))
    found = []
    for offset in (0, 10_000, 2_459_000):
        ds = blmm.create_dataset(
            probability, traits, covariates=day + offset, covariate_ids=["day"]
        )
        far = offset > 100_000
        with (
            pytest.warns(StudyWarning, match="covariates are 0, but 'day' lies more than 10000")
            if far
            else nullcontext()
        ):
            found.append(blmm.scan(ds, **options).compute())
        np.testing.assert_allclose(found[-1].lod, found[0].lod, atol=1e-5)
    contrast = [one.beta.values[..., 1] - one.beta.values[..., 0] for one in found[:2]]
    np.testing.assert_allclose(*contrast, rtol=1e-4)
