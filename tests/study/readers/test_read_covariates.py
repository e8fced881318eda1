"""Tables of covariates: categories, orientation, what is empty, and whose they are."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError, StudyWarning

SAMPLES = list("abcdefgh")
TRAITS = "id,t\n" + "".join(f"{name},{number % 5}.5\n" for number, name in enumerate(SAMPLES))
GENO = "id,m1,m2\n" + "".join(f"{name},{i % 3},{i % 2}\n" for i, name in enumerate(SAMPLES))
CAGES = ["n", "k", "k", "w", "n", "w", "k", "n"]


@pytest.fixture
def read(tmp_path):
    """Read a study of eight samples with a table of covariates, and what is said about it."""
    (tmp_path / "t.csv").write_text(TRAITS)
    (tmp_path / "g.csv").write_text(GENO)

    def read(covariates, name="covariates.csv"):
        if isinstance(covariates, str):
            (tmp_path / name).write_text(covariates)
            covariates = tmp_path / name
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", StudyWarning)
            ds = blmm.read_csv(tmp_path / "t.csv", tmp_path / "g.csv", covariates=covariates)
        return ds, "\n".join(str(each.message) for each in caught)

    return read


def column(name, cells, samples=SAMPLES, sep=","):
    lines = [f"id{sep}{name}"]
    return "\n".join([*lines, *(f"{s}{sep}{c}" for s, c in zip(samples, cells, strict=True))])


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (CAGES, ["cage[n]", "cage[w]"]),
        ([{"n": "007", "k": "012", "w": "110"}[c] for c in CAGES], ["cage[012]", "cage[110]"]),
        ([{"n": "b 1", "k": "B", "w": "ä"}[c] for c in CAGES], ["cage[b 1]", "cage[ä]"]),
        (["1", "2", "x", "x", "1", "2", "x", "x"], ["cage[2]", "cage[x]"]),
    ],
)
def test_three_texts_or_more_are_indicators_beside_the_first(read, cells, names):
    ds, said = read(column("cage", cells))
    assert list(ds.covariate_id.values) == names
    for name, values in zip(names, ds.sample_covariate.values.T, strict=True):
        level = name[len("cage[") : -1]
        np.testing.assert_array_equal(values, [float(cell == level) for cell in cells])
    assert re.search(r"covariates.csv: covariate 'cage' has 3 texts and becomes 2 columns", said)
    assert f"against {sorted(set(cells))[0]!r}" in said
    assert "covariates=['all', '-cage']" in said
    assert list(ds.sample_cage.values) == cells


def test_three_texts_in_a_small_study_are_categories():
    frame = pd.DataFrame({"cage": ["k", "n", "w", "k"]})
    with pytest.warns(StudyWarning, match="'cage' has 3 texts"):
        ds = blmm.create_dataset(np.eye(4), np.arange(4.0)[:, None], covariates=frame)
    assert list(ds.covariate_id.values) == ["cage[n]", "cage[w]"]
    with pytest.raises(InputError, match="covariates holds"):  # no text repeats
        blmm.create_dataset(np.eye(3), np.arange(3.0)[:, None], covariates=frame[:3])


def test_missing_categories_are_missing_in_every_column(read):
    ds, said = read(column("cage", ["", *CAGES[1:7], "NA"]))
    assert np.isnan(ds.sample_covariate.values[[0, 7]]).all()
    assert np.isfinite(ds.sample_covariate.values[1:7]).all()
    assert "2 of 8 samples lack a covariate" in said


def test_levels_are_those_of_samples_in_the_study(read):
    """A level that only others have would be a column of zeros, on which no scan runs."""
    ds, said = read(column("cage", [*CAGES, "aaa", "zzz"], [*SAMPLES, "x", "y"]))
    assert list(ds.covariate_id.values) == ["cage[n]", "cage[w]"]
    assert "2 of 10 samples with covariates have no traits and are dropped: 'x', 'y'" in said


@pytest.mark.parametrize(
    "cells",
    [
        [f"note {i}" for i in range(8)],
        ["u", "v", "w", "x", "y", "y", "y", "y"],
        ["3", "4", "5", "2O", "4", "5", "3", "3"],
        ["same"] * 8,
    ],
)
def test_texts_that_hardly_repeat_and_mistakes_among_numbers_are_labels(read, cells):
    ds, said = read(column("cage", cells))
    assert "covariate_id" not in ds
    assert list(ds.sample_cage.values) == cells
    assert "so it is no covariate; it is kept as sample_cage" in said


def test_an_empty_column_is_no_covariate(read):
    rows = [f"{name},{i},,NA" for i, name in enumerate(SAMPLES)]
    ds, said = read("\n".join(["id,age,weight,site", *rows]))
    assert list(ds.covariate_id.values) == ["age"]
    for name in ("weight", "site"):
        assert f"column {name!r} is empty, so it is no covariate" in said


def test_a_table_without_covariates_is_refused(read):
    with pytest.raises(InputError, match=r"covariates.csv has no covariates, only names of 8"):
        read("\n".join(["id", *SAMPLES]))


@pytest.mark.parametrize("sep", [",", "\t", ";"])
def test_covariates_by_samples_are_turned(read, sep):
    """As tensorQTL and FastQTL take them."""
    ages, cages = map(str, range(8)), CAGES
    table = "\n".join(sep.join(row) for row in (["id", *SAMPLES], ["age", *ages], ["cage", *cages]))
    ds, said = read(table, "covariates.txt")
    assert list(ds.covariate_id.values) == ["age", "cage[n]", "cage[w]"]
    np.testing.assert_array_equal(ds.sample_covariate[:, 0], range(8))
    assert "covariates.txt has the samples in its columns, so its rows are taken for the" in said


def test_a_turned_frame_is_turned_too(read):
    frame = pd.DataFrame({"age": range(8), "sex": list("fmfmfmfm")}, index=SAMPLES)
    for given in (frame, frame.T):
        ds, _ = read(given)
        assert list(ds.covariate_id.values) == ["age", "sex"]
        np.testing.assert_array_equal(ds.sample_covariate[:, 1], [0, 1] * 4)


@pytest.mark.parametrize("turn", [False, True])
def test_covariates_of_nobody_are_refused(read, turn):
    table = pd.DataFrame({"age": range(8)}, index=[f"x{i}" for i in range(8)])
    with pytest.raises(InputError, match=r"covariates of nobody in the study.*'x0'.*'a', 'b'"):
        read((table.T if turn else table).to_csv())


def test_create_dataset_refuses_nobody_and_names_the_turn():
    geno = pd.DataFrame({"m": [0, 1, 2, 1]}, index=list("abcd"))
    traits = pd.DataFrame({"t": [1.0, 2, 4, 3]}, index=list("abcd"))
    ages = pd.DataFrame({"age": [3.0, 4, 5, 6]}, index=list("abcd"))
    with pytest.raises(InputError, match=r"of nobody in the study.*pass covariates.T"):
        blmm.create_dataset(geno, traits, covariates=ages.T)
    with pytest.raises(InputError, match=r"of nobody.*'x', 'y', 'z'.*use the same names"):
        blmm.create_dataset(geno, traits, covariates=ages.set_axis(list("xyzw")))


def test_create_dataset_drops_covariates_without_any_value():
    geno, traits = np.array([[0, 1, 2, 1]]).T, np.array([[1.0, 2, 4, 3]]).T
    table = np.array([[1, np.nan], [2, np.nan], [3, np.nan], [5, np.nan]])
    with pytest.warns(StudyWarning, match="1 of 2 covariates have no value .*'gone'"):
        ds = blmm.create_dataset(geno, traits, covariates=table, covariate_ids=["age", "gone"])
    assert list(ds.covariate_id.values) == ["age"]
    with pytest.warns(StudyWarning, match="2 of 2 covariates have no value"):
        ds = blmm.create_dataset(geno, traits, covariates=np.full((4, 2), np.nan))
    assert "covariate_id" not in ds


@pytest.mark.parametrize("kind", [object, "category", "str"])
def test_create_dataset_takes_categories_in_a_frame(kind):
    geno, traits = np.array([range(8)]).T % 3, np.array([range(8)]).T
    frame = pd.DataFrame({"age": range(8), "cage": pd.Series(CAGES, dtype=kind)})
    with pytest.warns(StudyWarning, match=r"'cage' has 3 texts .*'cage\[n\]'.* against 'k'"):
        ds = blmm.create_dataset(geno, traits, covariates=frame)
    assert list(ds.covariate_id.values) == ["age", "cage[n]", "cage[w]"]
    np.testing.assert_array_equal(ds.sample_covariate[:, 1], [cage == "n" for cage in CAGES])
    with pytest.raises(InputError, match="covariates holds 'note 0'"):
        blmm.create_dataset(
            geno, traits, covariates=pd.DataFrame({"note": [f"note {i}" for i in range(8)]})
        )
