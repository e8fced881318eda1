"""Residual weights: means of replicates beside the model written out, and beside the replicates."""

from __future__ import annotations

import brute
import numpy as np
import pandas as pd
import pytest
import studies
import xarray as xr

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError, StudyWarning

both = pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])


def study(**options) -> xr.Dataset:
    return studies.study(n=40, p=25, m=6, **options)


def numbers(n: int = 40) -> np.ndarray:
    return np.random.default_rng(5).integers(1, 9, n).astype(float)


@both
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_equals_the_model_with_its_covariance_written_out(reml, missing):
    """Everything multiplied by w is a model with unit residuals, intercept and all."""
    ds = study(covariates=1, missing=missing)
    w = np.sqrt(numbers())
    result = blmm.scan(ds, weights=w, reml=reml).compute()
    for j in range(6):
        y = ds.sample_trait.values[:, j]
        has = ~np.isnan(y)
        root = w[has]
        kinship = ds.kinship.values[np.ix_(has, has)] * np.outer(root, root)
        fixed = np.column_stack([np.ones(has.sum()), ds.sample_covariate.values[has]])
        dosage = ds.call_dosage.values[:, has] * root
        h2 = brute.null_h2(y[has] * root, fixed * root[:, None], kinship, reml=reml)
        assert result.h2[j] == pytest.approx(h2, abs=1e-6)
        lod = brute.lod_scores(
            dosage, y[has] * root, fixed * root[:, None], kinship, float(result.h2[j])
        )
        np.testing.assert_allclose(result.lod[:, j], lod, atol=1e-5)


def test_replicates_are_squares_of_weights():
    ds = study()
    counts = numbers()
    by_count = blmm.scan(ds, replicates=counts).compute()
    np.testing.assert_array_equal(by_count.lod, blmm.scan(ds, weights=np.sqrt(counts)).lod)
    plain = blmm.scan(ds).compute()
    assert np.abs(by_count.lod - plain.lod).max() > 0.05
    same = blmm.scan(ds, weights=np.full(40, 3.0)).compute()
    scaled = ds.assign(kinship=9 * ds.kinship)
    np.testing.assert_allclose(same.lod, blmm.scan(scaled).lod, atol=1e-5)


def test_alt_exact_takes_them():
    ds = study()
    w = np.sqrt(numbers())
    result = blmm.scan(ds, weights=w, method="alt-exact", refine_above=0).compute()
    kinship = ds.kinship.values * np.outer(w, w)
    for i, j in ((0, 0), (7, 3), (20, 5)):
        x, y = ds.call_dosage.values[i] * w, ds.sample_trait.values[:, j] * w
        lod, h2_alt = brute.alternative(x, y, w[:, None], kinship)
        assert result.lod[i, j] == pytest.approx(lod, abs=1e-6)
        assert result.h2_alt[i, j] == pytest.approx(h2_alt, abs=1e-4)


def test_by_name():
    ds = study()
    counts = numbers()
    expected = blmm.scan(ds, replicates=counts).lod.values
    series = pd.Series(counts, index=ds.samples.values).sample(frac=1, random_state=1)
    np.testing.assert_array_equal(blmm.scan(ds, replicates=series).lod, expected)
    named = ds.assign(sample_count=("samples", counts))
    np.testing.assert_array_equal(blmm.scan(named, replicates="sample_count").lod, expected)


def test_bad_weights():
    ds = study()
    counts = numbers()
    for values, message in (
        (np.where(np.arange(40) == 3, 0, counts), r"holds 0.0 for sample 'sample4'"),
        (np.where(np.arange(40) == 3, np.nan, counts), r"holds nan for sample 'sample4'"),
        (counts[1:], r"shape \(39,\) for 40 samples"),
        ("sample_count", r"no variable of that name over the samples"),
        (pd.Series(counts[1:], index=ds.samples.values[1:]), r"lacks 1 samples: 'sample1'"),
        (["many"] * 40, r"does not hold numbers"),
    ):
        with pytest.raises(blmm.InputError, match=message):
            blmm.scan(ds, replicates=values)
    with pytest.raises(blmm.InputError, match="both given"):
        blmm.scan(ds, weights=counts, replicates=counts)


def test_strain_means_beside_their_samples(reference):
    """Means of strains with weights lose what varies within strains, and only that."""
    folder = reference / "bxd_longevity"
    samples = pd.read_csv(folder / "samples.csv", index_col=0)
    assert len(samples) == 248
    strain = "strain"
    value = "peptide_29437"
    genotypes = pd.read_csv(folder / "strain_genotypes.csv.gz", index_col=0).T
    single = blmm.create_dataset(genotypes, samples[[value]], strains=samples[strain], maximum=1)
    single["kinship"] = blmm.kinship(single)
    grouped = samples.groupby(strain)[value]
    means = blmm.create_dataset(genotypes, grouped.mean().to_frame(), maximum=1)
    means["kinship"] = blmm.kinship(means)
    one = blmm.scan(single).lod.values[:, 0]
    weighted = blmm.scan(means, replicates=grouped.count()).lod.values[:, 0]
    plain = blmm.scan(means).lod.values[:, 0]
    assert np.corrcoef(one, weighted)[0, 1] > 0.9
    assert np.abs(one - weighted).mean() < np.abs(one - plain).mean()


def test_series_with_the_row_numbers_of_pandas_go_by_order():
    ds, counts = study(), numbers()
    expected = blmm.scan(ds, replicates=counts).lod.values
    with pytest.warns(StudyWarning, match="entries of replicates carry no sample names.*row i"):
        found = blmm.scan(ds, replicates=pd.Series(counts)).lod
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(InputError, match="weights lacks 40 samples"):
        blmm.scan(ds, weights=pd.Series(counts).sample(frac=1, random_state=1))


def test_weights_of_an_odd_size_are_told_from_weights_too_far_apart():
    ds = study()
    for size in (1e-150, 1e150, 1e300):
        with pytest.raises(InputError, match=r"lie within 1e-100 and 1e\+100: give them another"):
            blmm.scan(ds, weights=np.full(40, size))
    with pytest.raises(InputError, match="leave samples of no weight out of the study"):
        blmm.scan(ds, weights=np.where(np.arange(40) == 3, 1e-150, 1.0))
