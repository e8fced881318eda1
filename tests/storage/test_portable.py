"""Attributes that files of every format hold."""

from __future__ import annotations

import numpy as np
import pytest
import studies
import xarray as xr
from hypothesis import example, given
from hypothesis import strategies as st

import bulklmm_dask as blmm
from bulklmm_dask.storage.labels.portable import names_of, one_text, portable

NAMES = st.lists(st.text(st.sampled_from('ab,[]" \\'), max_size=6), max_size=4)


@given(NAMES)
@example([""])
@example(["a, b"])
@example(['["a"]'])
@example(["[]"])
@example(["a,", "b"])
@example(["a", " b"])
def test_the_names_come_back(names):
    assert names_of(one_text(names)) == names


def test_lists_of_earlier_versions_are_read():
    assert names_of(["a", "b, c"]) == ["a", "b, c"]
    attrs = {"covariates": ["a", "b"], "h2_grid": [0.1, 0.2], "interaction": [], "reml": True}
    expected = {"covariates": "a, b", "h2_grid": [0.1, 0.2], "interaction": "", "reml": 1}
    assert portable(attrs) == expected


@pytest.mark.parametrize(
    "options",
    [
        {"covariates": ["covariate2", "covariate1"], "condition": ["variant3", "variant5"]},
        {"interaction": ["covariate1", "a, b"]},
        {"covariates": False},
    ],
    ids=str,
)
def test_attributes_of_a_file_in_netcdf_3_repeat_the_scan(tmp_path, options):
    ds = studies.study(n=30, p=12, m=3, covariates=3)
    names = np.array(["covariate1", "covariate2", "a, b"], dtype=object)
    ds = ds.assign_coords(covariates=names, covariate_id=("covariates", names))
    ds["kinship"] = blmm.kinship(ds).compute()
    result = blmm.scan(ds, **options)
    result.to_netcdf(tmp_path / "lod.nc", engine="scipy")
    found = xr.open_dataset(tmp_path / "lod.nc", engine="scipy")
    recorded = {"covariates": found.attrs["covariates"], "interaction": found.attrs["interaction"]}
    if "condition" in found.attrs:
        recorded["condition"] = found.attrs["condition"]
    again = blmm.scan(ds, **recorded)
    np.testing.assert_array_equal(again.lod, result.lod)
    assert again.attrs == result.attrs


def test_results_have_no_other_attributes(tmp_path):
    """Texts, numbers and lists of numbers: neither true nor false nor nothing."""
    ds = studies.study(n=30, p=12, m=3, covariates=2)
    loco = ds.assign(kinship_loco=blmm.kinship(ds, loco=True).compute())
    results = [
        blmm.scan(loco, loco=True, reml=True, interaction="covariate1"),
        blmm.scan(ds, method="alt-exact", store=tmp_path / "r.zarr", digits=3),
        blmm.scan(ds, method="null-grid", prior=(1.0, 2.0), condition="variant2"),
        blmm.permute(ds, n_permutations=2, by="contig"),
        blmm.permute(ds, n_permutations=9, method="shared", store=tmp_path / "p.zarr"),
        blmm.heritability(ds),
        blmm.profile(ds, "trait1"),
        blmm.thresholds(blmm.permute(ds, n_permutations=20), 0.1),
    ]
    for result in (ds, *results):
        for attrs in (result.attrs, *(one.attrs for one in result.variables.values())):
            for name, value in attrs.items():
                numbers = value if isinstance(value, list) and value else [value]
                kinds = {bool if isinstance(one, bool) else type(one) for one in numbers}
                assert kinds <= {int, float} or kinds == {str}, (name, value)
                assert not (isinstance(value, list) and kinds == {str}), (name, value)
