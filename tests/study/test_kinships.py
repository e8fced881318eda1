"""Kinships as tables, and put into a stored study."""

import numpy as np
import pytest
import xarray as xr
from studies import told

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.study.kinships import add_kinship, read_kinship


def write(matrix, path):
    matrix.to_pandas().to_csv(path)


@pytest.fixture
def ds():
    return blmm.simulate_study(n_traits=2, n_samples=12, n_strains=None, n_variants=40)


def test_a_table_comes_back_as_it_was(ds, tmp_path):
    matrix = blmm.kinship(ds).compute()
    write(matrix, tmp_path / "k.csv")
    found = read_kinship(tmp_path / "k.csv")
    np.testing.assert_array_equal(found.values, matrix.values)
    assert list(found["samples_0"].values) == list(ds["sample_id"].values)


def test_a_table_in_another_order_is_matched_by_name(ds, tmp_path):
    matrix = blmm.kinship(ds).compute()
    turned = matrix[::-1, ::-1]
    write(turned, tmp_path / "k.csv")
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


def named(sep, corner="", end=""):
    rows = [sep.join(["", "a", "b", "c"]).replace("", corner, 1)]
    rows += [sep.join([name, *row]) + end for name, row in zip("abc", CELLS, strict=True)]
    return "\n".join(rows) + "\n"


def bare(sep, end=""):
    return "".join(sep.join(row) + end + "\n" for row in CELLS)


MATRIX = np.array([[1.125, 0.5, -0.0625], [0.5, 0.875, 0.25], [-0.0625, 0.25, 1.0]])
CELLS = [[f"{value:.10g}" for value in row] for row in MATRIX]
NAMED = {
    "csv": named(","),
    "tsv": named("\t"),
    "semicolons": named(";"),
    "blanks": named(" ", corner="id"),
    "corner": named(",", corner="sample"),
    "ends": named(",", end=","),
    "as R writes it": "a b c\n" + named(" ", "id").split("\n", 1)[1],
    "first row only": "a,b,c\n" + bare(","),
    "first row only, R's row names": '"","a","b","c"\n' + named(",")
    .split("\n", 1)[1].replace("a,", '"1",').replace("b,", '"2",').replace("c,", '"3",'),
}  # fmt: skip
BARE = {
    "cXX": bare("\t"),
    "cXX, tab at the end": bare("\t", end="\t"),
    "blanks": bare(" "),
    "csv": bare(","),
    "numbers of pandas": ",0,1,2\n" + "".join(f"{i},{','.join(r)}\n" for i, r in enumerate(CELLS)),
    "names of R": "V1 V2 V3\n" + "".join(f"{i + 1} {' '.join(r)}\n" for i, r in enumerate(CELLS)),
}


@pytest.fixture
def three():
    dosages = np.array([[0.0, 1], [1, 2], [2, 0]])
    return blmm.create_dataset(dosages, np.arange(3.0)[:, None], sample_ids=["a", "b", "c"])


@pytest.mark.parametrize("form", NAMED)
def test_tables_with_names(three, tmp_path, form):
    (tmp_path / "k.txt").write_text(NAMED[form])
    found, said = told(read_kinship, tmp_path / "k.txt", three)
    np.testing.assert_array_equal(found, MATRIX)
    for dim in ("samples_0", "samples_1"):
        assert list(found[dim].values) == ["a", "b", "c"]
    assert "names no samples" not in said
    np.testing.assert_array_equal(told(read_kinship, tmp_path / "k.txt")[0], MATRIX)


@pytest.mark.parametrize("form", BARE)
def test_tables_without_names_take_those_of_the_study(three, tmp_path, form):
    (tmp_path / "k.txt").write_text(BARE[form])
    found, said = told(read_kinship, tmp_path / "k.txt", three)
    np.testing.assert_array_equal(found, MATRIX)
    assert list(found["samples_1"].values) == ["a", "b", "c"]
    assert "k.txt names no samples: its rows are taken for those of the study" in said
    with pytest.raises(InputError, match=r"k\.txt names no samples, and it is of 3, .* of 2"):
        read_kinship(tmp_path / "k.txt", three.isel(samples=[0, 1]))


def test_a_scan_takes_a_rounded_table(ds, tmp_path):
    matrix = blmm.kinship(ds).compute()
    text = "".join("\t".join(f"{x:.10g}" for x in row) + "\n" for row in matrix.values)
    (tmp_path / "result.cXX.txt").write_text(text)
    found, _ = told(read_kinship, tmp_path / "result.cXX.txt", ds)
    expected = blmm.scan(ds, kinship=matrix).lod.values
    np.testing.assert_allclose(blmm.scan(ds, kinship=found).lod.values, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0.5\n0.5 x\n", r"k.csv, line 2: field 2 is 'x'"),
        ("1 0.5\n0.5 1\n1 1\n", r"k.csv has 3 rows of 2 numbers"),
        ("1 0.5\n0.5\n", r"k.csv, line 2: 1 field instead of 2"),
        ("a,1,0.5\nb,0.5,1\n", r"k.csv, line 1: this first line looks like data"),
        ("", "k.csv is empty"),
    ],
)
def test_damaged_tables(tmp_path, text, message):
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


def test_a_kinship_is_part_of_the_sealed_study(ds, tmp_path):
    """Whole before and after; what was opened before can still be read."""
    path = tmp_path / "s.zarr"
    blmm.save(ds, path)
    before = blmm.open_dataset(path)
    for loco in (False, True):
        add_kinship(path, blmm.kinship(ds, loco=loco))
        assert blmm.verify(path).empty
    found = blmm.open_dataset(path)
    assert {"kinship", "kinship_loco"} <= set(found)
    np.testing.assert_array_equal(before["call_dosage"], ds["call_dosage"])
    np.testing.assert_array_equal(found["call_dosage"], ds["call_dosage"])
    file = path / "kinship" / "c" / "0" / "0"
    file.write_bytes(file.read_bytes()[::-1])
    with pytest.raises(StoreError, match="kinship is damaged"):
        blmm.open_dataset(path)
