"""Messages of commands name files and options; the same mistakes in Python name arguments."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from commands import run
from studies import study

import bulklmm_dask as blmm


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study with and without kinships, its result, and tables with mistakes."""
    path = tmp_path_factory.mktemp("messages")
    ds = study(20, 8, 3)
    blmm.save(ds, path / "study.zarr")
    run("scan", path / "study.zarr", path / "scan.zarr")
    run("permute", path / "study.zarr", path / "perm.zarr", "--permutations", "20")
    names = list(ds["sample_id"].values)
    twice = pd.Series(1.0, index=[*names, names[0]], name="weight")
    twice.to_csv(path / "two weights.csv", index_label="sample")
    negative = pd.Series(-1.0, index=names, name="weight")
    negative.to_csv(path / "negative.csv", index_label="sample")
    lopsided = pd.DataFrame(np.triu(np.ones((20, 20))), index=names, columns=names)
    lopsided.to_csv(path / "one side.csv", index_label="sample")
    pd.DataFrame({"a": [1], "b": [2]}).to_csv(path / "odd table.csv", index=False)
    (path / "places.csv").write_text("trait,chr,Mb\nnobody,1,3\n")
    return path


def said(folder, monkeypatch, *arguments, code=1):
    monkeypatch.chdir(folder)
    return run(*arguments, code=code).stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["hits", "scan.zarr"], "give --threshold 5, or --fdr 0.05, or --top 10"),
        (["hits", "scan.zarr", "--threshold", 3, "--fdr", 0.1], "--threshold 3 and --fdr 0.1"),
        (
            ["peaks", "scan.zarr", "--threshold", 1, "--peakdrop", 1, "--drop", 3],
            "--drop 3 is more than --peakdrop 1: intervals of two peaks would overlap; lower "
            "--drop or raise --peakdrop",
        ),
        (["hits", "scan.zarr", "--fdr", 2], "--fdr is 2.0"),
        (["hits", "scan.zarr", "--threshold", 3, "--cis-window", 5], "give --trait-positions"),
        (["thresholds", "perm.zarr", "--alpha", 0.001], "--alpha 0.001 cannot be had: "),
        (["simulate", "new.zarr", "--samples", 0], "--samples is 0"),
        (["scan", "study.zarr", "new.zarr", "--chunks", "0,4"], "--chunks names 0 variants"),
    ],
)
def test_options_without_a_meaning_are_named(folder, monkeypatch, arguments, expected):
    assert expected in said(folder, monkeypatch, *arguments, code=2)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["hits", "perm.zarr", "--threshold", 3], "give a store of 'bulklmm scan'"),
        (["thresholds", "perm.zarr", "--by", "contig"], "'bulklmm permute --by contig'"),
        (["thresholds", "scan.zarr"], "give a store of 'bulklmm permute'"),
        (["maxima", "none.zarr"], "'bulklmm scan' or 'bulklmm permute' makes one"),
        (["scan", "scan.zarr", "new.zarr"], "give a store of 'bulklmm import'"),
        (["kinship", "study.zarr", "--method", "centered"], "--overwrite replaces it"),
        (["simulate", "study.zarr"], "replace it with --overwrite"),
        (["scan", "study.zarr", "new.zarr", "--condition", "m99"], "--condition names 1 markers"),
        (["heritability", "study.zarr", "--kinship", "none"], "--kinship none"),
        (
            ["heritability", "study.zarr", "--weights", "negative.csv"],
            "--weights negative.csv holds -1.0 for sample ",
        ),
        (
            ["heritability", "study.zarr", "--weights", "two weights.csv"],
            "the samples of 'two weights.csv' must be unique",
        ),
        (
            ["heritability", "study.zarr", "--kinship", "one side.csv"],
            "the kinship 'one side.csv' is not symmetric",
        ),
        (["hotspots", "odd table.csv", "--window", 5], "'odd table.csv' has no column 'trait'"),
        (["hotspots", "odd table.csv", "--window", 5], "'bulklmm hits' or 'bulklmm peaks'"),
    ],
)
def test_a_command_names_files_and_options(folder, monkeypatch, arguments, expected):
    told = said(folder, monkeypatch, *arguments)
    assert expected in told
    assert not re.search(r"\w=\w|=True|bulklmm_dask\.|open_result|create_dataset", told)


def test_a_note_names_the_table_of_trait_positions(folder, monkeypatch):
    arguments = ["hits", "scan.zarr", "--threshold", 1, "--trait-positions", "places.csv"]
    assert "places.csv has no trait of the result" in said(folder, monkeypatch, *arguments, code=0)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda ds, result: blmm.find_hits(result), "give threshold=5, or fdr=0.05, or top=10"),
        (lambda ds, result: blmm.find_hits(result, fdr=2), "fdr is 2"),
        (lambda ds, result: blmm.find_hits(ds, threshold=3), "find_hits needs the Dataset"),
        (
            lambda ds, result: blmm.find_hits(result, threshold=3, cis_window=5),
            "give trait_positions, a table",
        ),
        (
            lambda ds, result: blmm.find_peaks(result, threshold=1, peakdrop=1, drop=3),
            "lower drop or raise peakdrop",
        ),
        (
            lambda ds, result: blmm.scan(ds, chunks={"variants": 0}),
            r"chunks\['variants'\] is 0; it should be",
        ),
        (lambda ds, result: blmm.scan(ds, condition=["m99"]), "condition names 1 markers"),
        (lambda ds, result: blmm.scan(ds, loco=True), r"bulklmm_dask.kinship\(ds, loco=True\)"),
        (lambda ds, result: blmm.heritability(ds, kinship=None), "kinship=None"),
        (lambda ds, result: blmm.heritability(ds, weights=[-1.0] * 20), "weights holds -1.0"),
        (
            lambda ds, result: blmm.hotspots(pd.DataFrame({"a": [1]}), window=5),
            "the findings have no column 'trait'.*bulklmm_dask.find_hits",
        ),
    ],
)
def test_python_names_arguments(folder, call, expected):
    ds = blmm.open_dataset(folder / "study.zarr")
    result = blmm.open_result(folder / "scan.zarr")
    with pytest.raises(blmm.InputError, match=expected) as caught:
        call(ds, result)
    assert "--" not in str(caught.value)


def test_double_rows_of_a_map_and_other_names_are_told_with_the_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my genotypes.csv").write_text("id,m1,m2\na,0,1\nb,1,0\nc,1,1\n")
    (tmp_path / "traits.csv").write_text("id,weight\na,1\nb,2\nc,4\n")
    (tmp_path / "double map.csv").write_text("marker,chr,Mb\nm1,1,3\nm1,1,4\nm2,1,5\n")
    (tmp_path / "other map.csv").write_text("marker,chr,Mb\nx1,1,3\nx2,1,4\n")
    source = ["import", "traits.csv", "new.zarr", "--genotypes", "my genotypes.csv", "--map"]
    assert "'double map.csv' must be unique" in run(*source, "double map.csv", code=1).stderr
    told = run(*source, "other map.csv", code=1).stderr
    assert "'my genotypes.csv' has 'm1', 'm2', 'other map.csv' has 'x1', 'x2'" in told


def test_files_of_plink_are_quoted_where_they_hold_blanks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my mice.fam").write_text("0 a 0 0 1 -9\n0 b 0 0 2 -9\n")
    (tmp_path / "my mice.bim").write_text("1 rs1 0 5 A C\n")
    assert "no file 'my mice.bed'" in run("import", "plink", "my mice", "new.zarr", code=1).stderr
    (tmp_path / "my mice.bed").write_bytes(b"\x6c\x1b\x01\x03\x03")
    cut = run("import", "my mice.bed", "new.zarr", code=1).stderr
    assert "'my mice.bed' has 5 bytes" in cut
    assert "'my mice.bim' need" in cut
    (tmp_path / "my mice.bed").write_bytes(b"\x6c\x1b\x01\x03")
    bare = run("import", "my mice.bed", "new.zarr", code=1).stderr
    assert "there is no 'my mice.pheno' beside it; give --traits, a table of them" in bare
    with pytest.raises(blmm.InputError, match="give phenotypes, a table of them"):
        blmm.read_plink("my mice.bed")


def test_columns_that_are_no_traits_are_told_with_the_options_of_the_format(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mice.fam").write_text("0 a 0 0 1 -9\n0 b 0 0 2 -9\n")
    (tmp_path / "mice.bim").write_text("1 rs1 0 5 A C\n")
    (tmp_path / "mice.bed").write_bytes(b"\x6c\x1b\x01\x03")
    (tmp_path / "traits.csv").write_text("id,weight,diet\na,1,chow\nb,2,fat\n")
    (tmp_path / "calls.csv").write_text("id,m1,m2\na,0,1\nb,1,0\n")
    plink = run("import", "mice.bed", "new.zarr", "--traits", "traits.csv", code=1).stderr
    assert "a column that is no trait should be removed" in plink
    csv = run("import", "traits.csv", "new.zarr", "--genotypes", "calls.csv", code=1).stderr
    assert "a column that is no trait can be named in --covariates or --strains" in csv
    with pytest.raises(blmm.InputError, match="can be named in covariates or sample_strain"):
        blmm.read_csv("traits.csv", "calls.csv")
