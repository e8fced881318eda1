"""Several names in one text of an attribute."""

from __future__ import annotations

import numpy as np
import pytest
import studies
import xarray as xr
from hypothesis import example, given
from hypothesis import strategies as st

import bulklmm_dask as blmm
from bulklmm_dask.storage.names import names_of, one_text, without_lists

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
    attrs = {"covariates": ["a", "b"], "h2_grid": [0.1, 0.2], "interaction": [], "reml": False}
    expected = {"covariates": "a, b", "h2_grid": [0.1, 0.2], "interaction": "", "reml": False}
    assert without_lists(attrs) == expected


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
