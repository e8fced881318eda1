"""Names looked up among those known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError
from bulklmm_dask.study.schema import locate, unknown_names, validate


def test_names_are_found_as_text():
    where = locate(np.array(["a", "b", "1"], dtype=object), [1, "a"], "no {} here")
    assert where.dtype == np.int64
    assert where.tolist() == [2, 0]
    assert locate(["a"], [], "no {} here").size == 0
    assert unknown_names(["a", 2], ["b", "2", "c"]) == ["b", "c"]


@pytest.mark.parametrize(
    ("known", "remedy", "message"),
    [
        ("abcd", None, r"^no trait 'x', 'y' here; the names are like 'a', 'b', 'c', \.\.\.$"),
        ("", None, "^no trait 'x', 'y' here; there is none$"),
        ("abcd", "add them", "^no trait 'x', 'y' here; add them$"),
    ],
)
def test_unknown_names_are_listed(known, remedy, message):
    with pytest.raises(InputError, match=message):
        locate(known, ["x", *known[:1], "y"], "no trait {} here", remedy)


def test_a_coordinate_that_is_no_list_of_names():
    ds = blmm.simulate_study(n_samples=20, n_strains=None, n_variants=20, n_traits=2)
    square = xr.Variable(("samples_0", "samples_1"), np.eye(20))
    ds = ds.assign(kinship=square).assign_coords(xr.Coordinates({"samples_0": square}, indexes={}))
    with pytest.raises(InputError, match=r"samples_0 has dimensions .*; rename it"):
        validate(ds)
