"""Commands of crosses: blup, snps, plot coefficients and options of scan, as the library."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from commands import run
from doc_pages import ROOT
from intercross import intercross

import bulklmm_dask as blmm
from bulklmm_dask.errors import StudyWarning

pytestmark = pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An intercross in Zarr, and its genotype probabilities."""
    folder = tmp_path_factory.mktemp("f2")
    with pytest.warns(StudyWarning):
        raw = intercross(folder)
    blmm.save(raw, folder / "raw.zarr")
    run("probabilities", folder / "raw.zarr", folder / "f2.zarr", "--x-contigs", "X")
    return folder


def test_scans_take_covariates_of_the_x_and_additive_models(folder):
    run(
        *("scan", folder / "f2.zarr", folder / "lod.zarr", "--kinship", "none"),
        *("--x-covariates", "all", "--model", "additive"),
    )
    found = blmm.open_result(folder / "lod.zarr")
    ds = blmm.open_dataset(folder / "f2.zarr")
    expected = blmm.scan(ds, kinship=None, x_covariates=True, model="additive")
    np.testing.assert_allclose(found.lod, expected.lod, atol=1e-6)
    assert found.attrs["x_covariates"] == "sex, direction"
    said = run("scan", folder / "raw.zarr", folder / "raw-lod.zarr", "--kinship", "none").stderr
    assert "scanned as genotype probabilities" in said
    assert "--genotypes call_dosage" in said


def test_thresholds_of_autosomes_and_the_x(folder):
    run(
        *("permute", folder / "f2.zarr", folder / "perm.zarr", "--kinship", "none"),
        *("--x-covariates", "all", "--by", "contig", "--permutations", "60"),
    )
    run("thresholds", folder / "perm.zarr", "--by=x", "--alpha=0.3", "--out", folder / "t.csv")
    table = pd.read_csv(folder / "t.csv", dtype={"contig": str})
    perm = blmm.open_result(folder / "perm.zarr")
    expected = blmm.thresholds(perm, 0.3, by="x").threshold.values.ravel()
    np.testing.assert_allclose(table["lod_0.3"], expected, atol=1e-5)
    assert table.contig.tolist() == ["1", "2", "X"] * 2


def test_columns_of_blups_are_those_of_the_page(folder):
    words = ("blup", folder / "f2.zarr", "t1", "--contig", "1", "--kinship", "none", "--out", "-")
    shown = run(*words).stdout.splitlines()[0]
    page = (ROOT / "docs/guide/shell.md").read_text()
    (row,) = re.findall(r"^\| `blup` \| (.*) \|$", page, re.M)
    assert shown == row.replace(" ", "").replace("(", "").replace(")", "")


def test_a_kinship_in_a_store_serves_crosses(folder, tmp_path):
    run("kinship", folder / "f2.zarr", "--out", tmp_path / "K.zarr")
    ds, matrix = blmm.open_dataset(folder / "f2.zarr"), blmm.open_kinship(tmp_path / "K.zarr")
    given = ("--kinship", tmp_path / "K.zarr")
    words = ("scan", folder / "f2.zarr", tmp_path / "lod.zarr", "--x-covariates", "all")
    run(*words, *given)
    expected = blmm.scan(ds, kinship=matrix.drop_attrs(), x_covariates=True)
    found = blmm.open_result(tmp_path / "lod.zarr")
    np.testing.assert_array_equal(found.lod.values, expected.lod.values)
    words = ("blup", folder / "f2.zarr", "t1", "--contig", "X", "--json")
    told = json.loads(run(*words, *given).stdout)
    expected = blmm.blup(ds, "t1", contig="X", kinship=matrix.drop_attrs())
    beta = expected.beta.values.ravel()
    found = [row["beta"] for row in told["table"]]
    np.testing.assert_allclose(sorted(found), sorted(beta[~np.isnan(beta)]), rtol=1e-9, atol=1e-12)


def test_blups_as_a_table(folder):
    run(
        *("blup", folder / "f2.zarr", "t1", "--contig", "1", "--kinship", "none"),
        *("--out", folder / "blup.csv"),
    )
    table = pd.read_csv(folder / "blup.csv", dtype={"contig": str})
    assert table.columns.tolist() == [
        *("variant", "contig", "position", "trait", "genotype", "beta", "se"),
    ]
    expected = blmm.blup(blmm.open_dataset(folder / "f2.zarr"), "t1", contig="1", kinship=None)
    wide = table.pivot(index="variant", columns="genotype", values="beta")
    there = wide.columns.to_numpy()
    np.testing.assert_allclose(
        wide, expected.beta.sel(variants=wide.index.to_numpy(), genotypes=there).squeeze("traits")
    )


def test_effects_are_drawn_from_a_study_or_a_result(folder):
    run(
        *("plot", "coefficients", folder / "f2.zarr", "t1", "--contig", "1"),
        *("--kinship", "none", "--out", folder / "blup.png"),
    )
    run(
        *("scan", folder / "f2.zarr", folder / "beta.zarr", "--kinship", "none"),
        *("--statistics", "beta"),
    )
    run("plot", "coefficients", folder / "beta.zarr", "t2", "--out", folder / "beta.png")
    said = run(
        *("plot", "coefficients", folder / "beta.zarr", "t2", "--loco"),
        *("--out", folder / "loco.png"),
        code=2,
    ).stderr
    assert "--loco is of a scan" in said
    for name in ("blup.png", "beta.png"):
        assert (folder / name).stat().st_size > 10_000


def test_snps_of_founders(tmp_path):
    shares = np.random.default_rng(1).dirichlet(np.ones(3), size=(20, 2))
    ds = blmm.create_dataset(
        shares, np.arange(20.0)[:, None], contigs=["1", "1"], positions=[1.0, 5.0]
    )
    ds = ds.assign_coords(genotype_id=("genotypes", list("ABC")), genotypes=list("ABC"))
    blmm.save(ds, tmp_path / "alleles.zarr")
    (tmp_path / "snps.csv").write_text("snp,chr,pos,sdp\nrs1,1,2.5,3\n")
    run(
        *("snps", tmp_path / "alleles.zarr", tmp_path / "snps.zarr"),
        *("--snps", tmp_path / "snps.csv"),
    )
    found = blmm.open_dataset(tmp_path / "snps.zarr").call_dosage
    np.testing.assert_allclose(found[0], 1 - shares[:, :, 2].mean(axis=1), atol=1e-6)
    said = run("snps", tmp_path / "alleles.zarr", tmp_path / "o.zarr", code=1).stderr
    assert "give a table (--snps)" in said
