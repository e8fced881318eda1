"""What cannot be scanned is refused at the call, quoting the value and saying the remedy."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import studies
import xarray as xr

import bulklmm_dask as blmm


@pytest.fixture
def ds():
    return studies.study(n=20, p=10, m=4, covariates=2)


def refuses(match, ds, **options):
    with pytest.raises(blmm.InputError, match=match):
        blmm.scan(ds, **options)


def test_options(ds):
    refuses(
        r"unknown method 'nul-exact'; choose one of null-exact, null-grid", ds, method="nul-exact"
    )
    refuses(r"unknown precision 'half'; choose one of double, single", ds, precision="half")
    refuses(r"holds '-0\.1', '1\.5'; .*\[0, 1\]", ds, method="null-grid", h2_grid=[-0.1, 0.5, 1.5])
    refuses(r"holds 'nan'", ds, method="null-grid", h2_grid=[np.nan])
    refuses(r"holds nothing", ds, method="null-grid", h2_grid=[])
    refuses(r"use method='null-grid', or leave h2_grid out", ds, h2_grid=[0.1])


def test_kinship(ds):
    good = ds.kinship.values
    refuses(r"no variable 'K'; make it with\s+ds\['K'\]", ds, kinship="K")
    refuses(r"no variable 'kinship'", ds.drop_vars("kinship"))
    refuses(r"shape \(19, 19\), but the study has 20 samples", ds, kinship=good[1:, 1:])
    refuses(r"shape \(20,\)", ds, kinship=good[0])
    uneven = good.copy()
    uneven[3, 4] += 0.1
    refuses(r"not symmetric: .* at \(3, 4\) but .* at \(4, 3\)", ds, kinship=uneven)
    hole = good.copy()
    hole[2, 5] = np.nan
    refuses(r"holds nan at row 2, column 5", ds, kinship=hole)
    negative = np.diag([-0.5] + [1.0] * 19)
    refuses(r"smallest eigenvalue is -0\.5, the largest 1;", ds, kinship=negative)
    refuses(r"not positive semi-definite", ds.assign(kinship=ds.kinship - 1.0))
    three = xr.DataArray(np.stack([good] * 2), dims=("contigs", "samples_0", "samples_1"))
    refuses(r"one matrix for each contig left out; .*loco=True", ds, kinship=three)
    refuses(r"loco=True needs one kinship a contig.*kinship_loco", ds, loco=True)
    refuses(r"has 3 matrices for the \d contigs", ds, kinship=np.stack([good] * 3), loco=True)
    refuses(r"loco=True and kinship=None exclude", ds, kinship=None, loco=True)
    names = [f"s{i}" for i in range(20)]
    frame = pd.DataFrame(good, index=names, columns=names)
    refuses(r"lacks 20 of the 20 samples: 'sample1'", ds, kinship=frame)


def test_rounding_is_not_taken_for_indefinite(ds):
    values, vectors = np.linalg.eigh(ds.kinship.values)
    values[0] = -1e-7 * values[-1]
    rounded = vectors @ np.diag(values) @ vectors.T
    assert np.isfinite(blmm.scan(ds, kinship=(rounded + rounded.T) / 2).lod.values).all()
    values[0] = -1e-5 * values[-1]
    negative = vectors @ np.diag(values) @ vectors.T
    refuses(r"not positive semi-definite", ds, kinship=(negative + negative.T) / 2)


def test_a_lazy_kinship_is_checked_where_it_is_computed(ds):
    lazy = da.from_array(np.diag([-0.5] + [1.0] * 19), chunks=10)
    result = blmm.scan(ds, kinship=lazy)
    with pytest.raises(blmm.InputError, match="not positive semi-definite"):
        result.lod.compute()


def test_covariates(ds, tmp_path):
    refuses(
        r"no covariate 'age' in the study; it has 'covariate1', 'covariate2'",
        ds,
        covariates=["age"],
    )
    refuses(
        r"no covariate 'x' in the study; it has none", ds.drop_dims("covariates"), covariates=["x"]
    )
    doubled = ds.sample_covariate.values.copy()
    doubled[:, 1] = 3 - 2 * doubled[:, 0]
    dims = ("samples", "covariates")
    refuses(r"collinear: 'covariate2'", ds.assign(sample_covariate=(dims, doubled)))
    constant = ds.sample_covariate.values.copy()
    constant[:, 0] = 5.0
    refuses(r"collinear: 'covariate1'", ds.assign(sample_covariate=(dims, constant)))
    infinite = ds.sample_covariate.values.copy()
    infinite[7, 1] = np.inf
    refuses(
        r"inf in sample 'sample8', column 'covariate2'",
        ds.assign(sample_covariate=(dims, infinite)),
    )
    many = studies.study(n=20, p=10, m=4, covariates=19)
    refuses(r"19 covariates and the intercept leave nothing to test in 20", many)
    refuses(r"collinear", ds.assign(sample_covariate=(dims, doubled)), store=tmp_path / "r.zarr")
    assert list(tmp_path.iterdir()) == []


def lazily(ds):
    return ds.chunk(variants=5, traits=2)


@pytest.mark.parametrize("store", [False, True])
@pytest.mark.parametrize("lazy", [False, True])
def test_values(ds, lazy, store, tmp_path):
    """In memory at the call, lazy ones in the survey before a stored run or in their block."""

    def refused(match, bad):
        with pytest.raises(blmm.InputError, match=match):
            blmm.scan(
                lazily(bad) if lazy else bad, store=tmp_path / "r.zarr" if store else None
            ).compute()
        assert list(tmp_path.iterdir()) == []

    for value in (np.inf, 7.0, -1.0):
        bad = ds.copy(deep=True)
        bad.call_dosage.values[6, 3] = value
        refused(
            rf"1 genotype outside 0\.\.2, the first {value} at variant 'variant7', .*'sample4'", bad
        )
    bad = ds.copy(deep=True)
    bad.sample_trait.values[5, 3] = -np.inf
    refused(r"sample_trait holds 1 infinite value, the first -inf in sample 'sample6', column", bad)


def test_a_marker_without_any_call_scores_zero_if_it_comes_lazily(ds):
    bad = ds.copy(deep=True)
    bad.call_dosage.values[6] = np.nan
    lod = blmm.scan(lazily(bad)).lod.values
    assert (lod[6] == 0).all()
    np.testing.assert_allclose(
        np.delete(lod, 6, axis=0), np.delete(blmm.scan(ds).lod.values, 6, axis=0), atol=1e-6
    )


def test_what_is_no_study(ds):
    refuses(r"is an xarray.Dataset, not ndarray; .*create_dataset", ds.sample_trait.values)
    refuses(r"dimension 'traits'.* ds\.sel\(traits=\['trait2'\]\)", ds.sel(traits="trait2"))
    assert blmm.scan(ds.sel(traits=["trait2"])).sizes["traits"] == 1
    refuses(r"no variable 'sample_trait'", ds.drop_vars("sample_trait"))
    refuses(r"no genotypes", ds.drop_vars("call_dosage"))
    refuses(
        r"dimensions \('samples', 'variants', 'strains'\).*select with isel or sel",
        ds.assign(call_dosage=ds.call_dosage.T.expand_dims(strains=2, axis=2)),
    )
    refuses(r"nothing to scan", ds.isel(traits=[]))
    refuses(r"attrs\['maximum'\] is None", ds.assign(call_dosage=ds.call_dosage.drop_attrs()))
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), size=(20, 10))
    three = blmm.create_dataset(probabilities, ds.sample_trait.values)
    refuses(r"no genotypes 'call_dosage'", three, kinship=None, genotypes="call_dosage")
    with pytest.raises(blmm.InputError, match="'centered' needs dosages"):
        blmm.kinship(three, method="centered")


def test_options_of_the_wrong_kind(ds):
    refuses(r"reml is 'no'", ds, reml="no")
    refuses(r"h2_grid is \['a'\]", ds, method="null-grid", h2_grid=["a"])
    refuses(r"h2_grid is \[10{400}\]", ds, method="null-grid", h2_grid=[10**400])
    refuses(r"chunks is 5", ds, chunks=5)
    refuses(r"is 7\.5", ds, chunks={"variants": 7.5})
    refuses(r"does not hold numbers", ds, kinship=np.full((20, 20), "x"))
    refuses(r"'sample_trait' has dimensions", ds, kinship="sample_trait")
    refuses(r"refine_above is -1", ds, method="alt-exact", refine_above=-1)
    refuses(r"refine_above=3 and method='null-exact' exclude", ds, refine_above=3)
    refuses(r"none without a kinship", ds, method="alt-exact", kinship=None)
    none = blmm.scan(ds, covariates=None).lod
    np.testing.assert_array_equal(none, blmm.scan(ds, covariates=False).lod)


def test_a_lazy_kinship_of_dosages_outside_their_range(ds):
    bad = ds.copy(deep=True)
    bad.call_dosage.values[6, 3] = 9.0
    with pytest.raises(blmm.InputError, match=r"9\.0 at variant 'variant7', sample 'sample4'"):
        blmm.kinship(lazily(bad)).compute()


def test_inputs_that_are_tables_or_make_no_array(ds):
    names = ds.sample_id.values
    frame = pd.DataFrame(ds.kinship.values, names, names)
    expected = blmm.scan(ds).lod
    named = frame.rename_axis("id", axis=0).rename_axis("id", axis=1)
    np.testing.assert_array_equal(blmm.scan(ds, kinship=named).lod, expected)
    levels = pd.MultiIndex.from_arrays([names, names])
    refuses(r"the kinship lacks 20 of the 20 samples", ds, kinship=frame.set_axis(levels))
    refuses(r"the kinship is a Dataset that makes no array", ds, kinship=xr.Dataset())
    refuses(r"the kinship does not hold numbers", ds, kinship=ds.kinship.values + 1j)
    refuses(r"the kinship does not hold numbers", ds, kinship=np.zeros((20, 20), "M8[s]"))
    refuses(r"weights is a list that makes no array", ds, weights=[[1], *range(1, 20)])
    refuses(r"weights does not hold numbers", ds, weights=np.full(20, 1j))
    refuses(r"weights does not hold numbers", ds, weights=pd.to_datetime(["2020-01-01"] * 20))
    refuses(r"statistics is 3; give a name or a list", ds, statistics=3)
    refuses(r"variance of the prior does not hold numbers", ds, prior=(pd.Timestamp(0), 1))
    refuses(r"condition has dimensions", ds, condition=xr.DataArray("variant1"))
    odd = ds.assign(call_dosage=ds.call_dosage.assign_attrs(maximum=np.zeros(0)))
    refuses(r"attrs\['maximum'\] is array", odd)
