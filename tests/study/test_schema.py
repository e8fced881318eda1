"""Names looked up among those known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import studies
import xarray as xr

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError
from bulklmm_dask.study.schema import locate, select, unknown_names, validate


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


def test_a_name_of_several_entries_is_refused_where_it_is_asked_for():
    known = ["a", "b", "a", "c"]
    assert locate(known, ["c", "b"], "no {} here").tolist() == [3, 1]
    with pytest.raises(InputError, match=r"^'a' is the name of 2 of 4 entries.*name of its own$"):
        locate(known, ["b", "a"], "no {} here")
    ds = xr.Dataset({"y": ("traits", np.arange(4.0))}, {"traits": known})
    assert select(ds, "traits", ["c"]).y.values.tolist() == [3.0]
    assert select(ds.y, "traits", ["c", "b"]).values.tolist() == [3.0, 1.0]
    with pytest.raises(InputError, match="'a' is the name of 2 of 4 entries"):
        select(ds, "traits", ["a"])
    with pytest.raises(InputError, match="dimension 'traits' is lost, so no trait can be selected"):
        select(ds.isel(traits=1), "traits", ["b"])


def test_entries_with_numbers_for_names_are_selected():
    ds = xr.Dataset({"y": ("traits", np.arange(3.0))}, {"traits": [30, 10, 20]})
    assert select(ds, "traits", ["10", 30]).y.values.tolist() == [1.0, 0.0]


def test_a_coordinate_that_is_no_list_of_names():
    ds = blmm.simulate_study(n_samples=20, n_strains=None, n_variants=20, n_traits=2)
    square = xr.Variable(("samples_0", "samples_1"), np.eye(20))
    ds = ds.assign(kinship=square).assign_coords(xr.Coordinates({"samples_0": square}, indexes={}))
    with pytest.raises(InputError, match=r"samples_0 has dimensions .*; rename it"):
        validate(ds)


@pytest.mark.parametrize(
    ("name", "dims", "values", "message"),
    [
        ("variant_contig_name", ("variants", "x"), np.full((12, 1), "1"), None),
        ("variant_contig_name", ("variants", "samples"), np.full((12, 20), "1"), "has dimensions"),
        ("variant_contig", "variants", np.full(12, 2**40), "index into contig_id, which the study"),
        ("sample_trait", ("samples", "traits"), np.zeros((20, 2), np.longdouble), "in doubles"),
    ],
)
def test_a_study_without_contig_id(name, dims, values, message):
    ds = studies.study(n=20, p=12, m=2).drop_dims("contigs")
    assert validate(ds).contig_id.values.tolist() == ["1", "2"]
    odd = ds.drop_vars(name).assign({name: (dims, values)})
    with pytest.raises(InputError, match=message or "variant_contig is an index into contig_id"):
        validate(odd)


@pytest.mark.parametrize("cell", [pd.DataFrame({"x": [1]}), None, ("1",)])
def test_a_name_of_a_contig_that_is_no_text(cell):
    ds = studies.study(n=20, p=12, m=2)
    names = ds.variant_contig_name.values.astype(object)
    assert validate(ds.assign_coords(variant_contig_name=("variants", names))).sizes == ds.sizes
    names[3] = cell
    with pytest.raises(InputError, match="variant_contig_name says that the markers lie on"):
        validate(ds.assign_coords(variant_contig_name=("variants", names)))


def test_an_index_of_levels_is_refused_whatever_else_is_to_be_changed():
    """Before a matrix is transposed, for which xarray takes such an index apart with a warning."""
    ds = studies.study(n=6, p=4, m=2, seed=1).transpose("traits", ...)
    levels = pd.MultiIndex.from_arrays([range(6), range(6)], names=("one", "two"))
    several = ds.assign_coords(xr.Coordinates.from_pandas_multiindex(levels, "samples"))
    with pytest.raises(InputError, match="index 'samples' is of 2 levels; give plain names"):
        validate(several)
