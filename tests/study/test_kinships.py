"""Kinships as tables, and put into a stored study."""

import numpy as np
import pytest
import xarray as xr

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.study.kinships import add_kinship, read_kinship, write_kinship


@pytest.fixture
def ds():
    return blmm.simulate_study(n_traits=2, n_samples=12, n_strains=None, n_variants=40)


def test_a_table_comes_back_as_it_was(ds, tmp_path):
    matrix = blmm.kinship(ds).compute()
    write_kinship(matrix, ds["sample_id"].values, tmp_path / "k.csv")
    found = read_kinship(tmp_path / "k.csv")
    np.testing.assert_array_equal(found.values, matrix.values)
    assert list(found["samples_0"].values) == list(ds["sample_id"].values)


def test_a_table_in_another_order_is_matched_by_name(ds, tmp_path):
    matrix = blmm.kinship(ds).compute()
    turned = matrix[::-1, ::-1]
    write_kinship(turned, ds["sample_id"].values[::-1], tmp_path / "k.csv")
    expected = blmm.scan(ds, kinship=matrix).lod.values
    found = blmm.scan(ds, kinship=read_kinship(tmp_path / "k.csv")).lod.values
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",a,b\na,1,0.5\nb,half,1\n", r"k.csv, line 3 \('b'\), column 'a': 'half'"),
        (",a,b\na,1,0.5\nc,0.5,1\n", "2 are in one only, such as 'b'"),
        (",a,b\nb,1,0.5\na,0.5,1\n", "other order"),
    ],
)
def test_bad_tables(tmp_path, text, message):
    (tmp_path / "k.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_kinship(tmp_path / "k.csv")


def test_a_stored_study_takes_one_of_its_size_only(ds, tmp_path):
    path = tmp_path / "study.zarr"
    blmm.save(ds, path)
    with pytest.raises(InputError, match=r"shape \(3, 3\); the study needs \(12, 12\)"):
        add_kinship(path, xr.DataArray(np.eye(3), dims=("samples_0", "samples_1")))
    matrix = blmm.kinship(ds)
    add_kinship(path, matrix)
    found = blmm.open_dataset(path)["kinship"]
    np.testing.assert_array_equal(found.values, matrix.values)
    assert found.attrs == matrix.attrs
    with pytest.raises(StoreError, match="has a kinship already"):
        add_kinship(path, matrix)
    assert not list(path.glob(".*"))
