"""Genotypes that no sample has: absent from the test, and said."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr

import bulklmm_dask as blmm
from bulklmm_dask.errors import StudyWarning
from bulklmm_dask.lmm.joint.absent import LEAST, absent_genotypes, without_absent
from bulklmm_dask.study import warn

N = 60
SAID = r"2 markers \('variant3', 'variant5'\) with a genotype that fewer than 0\.0001 samples have"


def study(expected: float) -> xr.Dataset:
    """Two genotypes everywhere; at markers 3 and 5 so many samples are expected to have a third.

    It is the last genotype of marker 3, and the first, the reference, of marker 5.
    """
    rng = np.random.default_rng(1)
    first, rare = rng.random((6, N)), rng.random(N)
    rare *= expected / rare.sum()
    probability = np.stack([first, 1 - first, np.zeros((6, N))], axis=2)
    probability[2] = np.column_stack([(1 - rare) * first[2], (1 - rare) * (1 - first[2]), rare])
    probability[4] = np.column_stack([rare, (1 - rare) * first[4], (1 - rare) * (1 - first[4])])
    y = rng.standard_normal((N, 3)) + 10
    y[::7, 1] = np.nan
    return blmm.create_dataset(probability.transpose(1, 0, 2), y)


OPTIONS = {"kinship": None, "statistics": ("beta", "se")}


@pytest.mark.parametrize("expected", [1e-300, 1e-9, 1e-7, 1e-5, 0.99 * LEAST])
def test_a_genotype_of_nobody_is_absent(expected):
    never = blmm.scan(study(0.0), **OPTIONS).compute()
    with pytest.warns(StudyWarning, match=SAID):
        found = blmm.scan(study(expected), **OPTIONS).compute()
    assert (found.df == 1).all()
    for name in ("lod", "beta", "se"):
        np.testing.assert_allclose(found[name], never[name], atol=1e-6)
    assert np.nanmax(np.abs(found.beta)) < 20  # the effect of 1e-7 of a sample was 6e6
    assert np.isnan(found.beta[2, :, 2]).all()
    assert np.isnan(found.beta[4, :, 0]).all()


def test_from_the_threshold_on_a_genotype_counts():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = blmm.scan(study(1.01 * LEAST), **OPTIONS).compute()
    assert found.df[:, 0].values.tolist() == [1, 1, 2, 1, 2, 1]


def rare_first(rare: str) -> xr.Dataset:
    """A genotype of few samples, the last one or the first, beside two others and a covariate."""
    rng = np.random.default_rng(2)
    few = np.zeros((5, N))
    few[:, 0] = [1.0, 0.3, 1e-2, 1e-3, 2e-4]
    few[1, 1:6] = [0.1, 0.05, 0.04, 0.03, 0.02]
    other = rng.random((5, N))
    parts = [(1 - few) * other, (1 - few) * (1 - other)]
    probability = np.stack([few, *parts] if rare == "first" else [*parts, few], axis=2)
    sex = xr.DataArray(rng.integers(2, size=N).astype(float), dims="samples")
    ds = blmm.create_dataset(probability.transpose(1, 0, 2), rng.standard_normal((N, 4)))
    return ds.assign(sex=sex)


@pytest.mark.parametrize("interactions", [[], ["sex"]])
def test_a_rare_genotype_is_tested_wherever_it_stands(interactions):
    first, last = (
        blmm.scan(
            rare_first(rare), kinship=None, covariates=["sex"], interaction=interactions
        ).compute()
        for rare in ("first", "last")
    )
    assert (last.df[0] == 2 * (1 + len(interactions)) - len(interactions)).all()
    np.testing.assert_array_equal(first.df, last.df)
    np.testing.assert_allclose(first.lod, last.lod, rtol=1e-5, atol=1e-6)


def test_effects_of_interactions_are_beside_the_first_genotype_also_if_it_is_rare():
    """Against least squares."""
    ds = rare_first("first").isel(variants=[1])
    found = blmm.scan(ds, kinship=None, covariates=["sex"], interaction=["sex"], statistics="beta")
    x = ds.call_genotype_probability.values[0].astype(float)[:, 1:]
    sex = ds.sex.values[:, None]
    model = np.hstack([np.ones_like(sex), sex, x, x * sex])
    beta = np.linalg.lstsq(model, ds.sample_trait.values, rcond=None)[0][2:]
    np.testing.assert_allclose(found.beta[0].values.T, beta, rtol=1e-3)


def test_absent_among_the_samples_of_one_trait_only():
    ds = study(10.0)
    ds.sample_trait.values[:30, 2] = np.nan
    ds.call_genotype_probability.values[2, 30:, 2] = 1e-6
    found = blmm.scan(ds, **OPTIONS).compute()
    assert found.df.values[2].tolist() == [2, 2, 1]


def test_lazy_genotypes_are_counted_in_the_pass_before_the_run(tmp_path, monkeypatch):
    ds = study(1e-7)
    ds["call_genotype_probability"] = ds.call_genotype_probability.chunk({"variants": 2})
    with pytest.warns(StudyWarning, match=SAID) as caught:
        stored = blmm.scan(ds, store=tmp_path / "r.zarr", **OPTIONS)
    assert sum(issubclass(each.category, StudyWarning) for each in caught) == 1
    assert (stored.df == 1).all()
    monkeypatch.setattr(warn, "_said", set())
    with pytest.warns(StudyWarning, match="some genotype is that of fewer .* is not known"):
        lazy = blmm.scan(ds, **OPTIONS)
    np.testing.assert_array_equal(lazy.df, stored.df)


def test_permutations_and_interactions_have_the_same_columns():
    ds = study(1e-7).assign_coords()
    with pytest.warns(StudyWarning, match=SAID):
        maxima = blmm.permute(ds, kinship=None, n_permutations=5)
    np.testing.assert_allclose(
        maxima.max_lod, blmm.permute(study(0.0), kinship=None, n_permutations=5).max_lod, atol=1e-5
    )


def test_which_genotypes_are_absent():
    x = np.zeros((5, 4, 3))
    x[0] = [0.5, 0.49999, 0.00001]  # the third is absent
    x[1] = [0.5, 0.5, 0.0]  # nobody has it anyway
    x[2] = [4e-6, 3e-6, 2e-6]  # none reaches the threshold: left as it is
    x[3] = [0.3, 0.3, 0.4]
    x[4, :, 0], x[4, 2] = 1.0, [0.0, 9e-5, 0.0]  # a sample that has only the absent one
    assert absent_genotypes(x).tolist() == [
        [False, False, True],
        *[[False] * 3] * 3,
        [False, True, False],
    ]
    cleaned = without_absent(x)
    np.testing.assert_allclose(cleaned[0], np.tile([0.5 / 0.99999, 0.49999 / 0.99999, 0], (4, 1)))
    np.testing.assert_array_equal(cleaned[1:4], x[1:4])
    assert cleaned[4, 2].tolist() == [0, 0, 0]
    np.testing.assert_allclose(cleaned[:4].sum(axis=2), x[:4].sum(axis=2))
    x[0, 1] = np.nan
    assert absent_genotypes(x)[0].tolist() == [False, False, True]
    assert without_absent(x[1:4]).base is x
