"""Kinships in stores of their own: their eigenvectors serve where they are those in use."""

from __future__ import annotations

import json
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import run
from studies import told

import bulklmm_dask as blmm
from bulklmm_dask.analyses.kinship_store import is_kinship_of
from bulklmm_dask.lmm import basis
from bulklmm_dask.study.kinship_store import is_kinship_store


@pytest.fixture(scope="module")
def ds():
    study = blmm.simulate_study(n_samples=30, n_strains=None, n_variants=80, n_traits=4, cross="f2")
    study["kinship"] = blmm.kinship(study).compute()
    return study


@pytest.fixture(scope="module")
def stores(ds, tmp_path_factory):
    """Stores of the kinship, and of the kinships without each contig."""
    path = tmp_path_factory.mktemp("kinships")
    blmm.save_kinship(blmm.kinship(ds), path / "K.zarr", ds)
    blmm.save_kinship(blmm.kinship(ds, loco=True), path / "loco.zarr", ds)
    return path


@pytest.fixture
def undecomposed_after(monkeypatch):
    """A function after which no kinship may be decomposed."""

    def fail(*_):
        raise AssertionError("a kinship is decomposed")

    return lambda: monkeypatch.setattr(basis, "_eigenvectors", fail)


@pytest.fixture
def undecomposed(undecomposed_after):
    """No kinship may be decomposed."""
    undecomposed_after()


def matrix_of(kinship):
    """A kinship without its store."""
    return kinship.drop_attrs()


def test_a_kinship_comes_back_as_it_was(ds, stores):
    found = blmm.open_kinship(stores / "K.zarr")
    np.testing.assert_array_equal(found.values, ds.kinship.values)
    assert found.samples_0.values.tolist() == ds.sample_id.values.tolist()
    assert (found.attrs["method"], found.attrs["n_variants"]) == ("bulklmm", 80)
    loco = blmm.open_kinship(stores / "loco.zarr")
    np.testing.assert_array_equal(loco.values, blmm.kinship(ds, loco=True).values)
    assert loco.contigs.values.tolist() == ds.contig_id.values.tolist()


@pytest.mark.parametrize("name", ["K.zarr", "loco.zarr"])
@pytest.mark.parametrize("order", ["as it is", "turned"])
def test_kept_eigenvectors_give_the_same_numbers(ds, stores, name, order, monkeypatch):
    ds = ds if order == "as it is" else ds.isel(samples=np.arange(30)[::-1])
    kinship = blmm.open_kinship(stores / name)
    options = {"loco": name == "loco.zarr", "statistics": ["beta", "se"]}
    expected = blmm.scan(ds, kinship=matrix_of(kinship), **options).compute()
    with monkeypatch.context() as patch:
        patch.setattr(basis, "_eigenvectors", None)
        found = blmm.scan(ds, kinship=kinship, **options).compute()
    for statistic in ("lod", "beta", "se", "h2"):
        if order == "as it is":
            np.testing.assert_array_equal(found[statistic], expected[statistic])
        else:
            np.testing.assert_allclose(found[statistic], expected[statistic], rtol=1e-5, atol=1e-6)


def test_every_analysis_uses_them(ds, stores, undecomposed, tmp_path):
    kinship = blmm.open_kinship(stores / "K.zarr")
    blmm.heritability(ds, kinship=kinship)
    blmm.permute(ds, kinship=kinship, n_permutations=5).compute()
    blmm.profile(ds, "trait1", kinship=kinship)
    blmm.scan(ds, kinship=kinship, store=tmp_path / "r.zarr")
    assert len(blmm.find_hits(blmm.scan(ds, kinship=kinship), threshold=0))


def test_blups_use_them(tmp_path, undecomposed_after):
    shares = np.random.default_rng(1).dirichlet(np.ones(3), size=(20, 4))
    study = blmm.create_dataset(shares, shares[:, 0, :2], contigs=list("1122"), positions=range(4))
    for loco in (False, True):
        blmm.save_kinship(blmm.kinship(study, loco=loco), tmp_path / f"{loco}.zarr", study)
    undecomposed_after()
    with warnings.catch_warnings():
        warnings.simplefilter("error", blmm.StudyWarning)  # such as of other genotypes
        for loco, contig in product((False, True), (None, "2")):
            kinship = str(tmp_path / f"{loco}.zarr")
            blmm.blup(study, "trait1", contig=contig, kinship=kinship, loco=loco)


@pytest.mark.parametrize("size", [1e-9, 1.0, 3e8])
def test_the_size_of_a_kinship_does_not_matter(ds, tmp_path, size):
    blmm.save_kinship(matrix_of(blmm.kinship(ds) * size), tmp_path / "K.zarr")
    kinship = blmm.open_kinship(tmp_path / "K.zarr")
    found = blmm.scan(ds, kinship=kinship)
    expected = blmm.scan(ds, kinship=matrix_of(kinship))
    np.testing.assert_array_equal(found.lod.values, expected.lod.values)


def test_the_path_of_a_store_is_as_good(ds, stores, undecomposed, tmp_path):
    path = str(stores / "K.zarr")
    expected = blmm.scan(ds, kinship=blmm.open_kinship(path))
    found = blmm.scan(ds, kinship=path)
    np.testing.assert_array_equal(found.lod.values, expected.lod.values)
    assert found.attrs["kinship"] == path
    loco = blmm.scan(ds, kinship=str(stores / "loco.zarr"), loco=True)
    assert loco.lod.shape == found.lod.shape
    for name in ("none.zarr", "", "kinships", str(stores)):
        with pytest.raises(blmm.InputError, match="no variable"):
            blmm.scan(ds, kinship=name)


def test_some_of_the_samples_are_decomposed_anew(ds, stores):
    kinship = blmm.open_kinship(stores / "K.zarr")
    few = ds.isel(samples=[3, 1, 7, *range(10, 30)]).drop_vars("kinship")
    with pytest.warns(blmm.StudyWarning, match=r"the study has 23 of its 30 samples.*anew"):
        found = blmm.scan(few, kinship=kinship).lod.values
    expected = blmm.scan(few, kinship=matrix_of(kinship)).lod.values
    np.testing.assert_array_equal(found, expected)


def test_samples_that_a_kinship_lacks_are_named(ds, stores, tmp_path):
    kinship = blmm.open_kinship(stores / "K.zarr")
    blmm.save_kinship(kinship[:-2, :-2], tmp_path / "less.zarr")
    with pytest.raises(blmm.InputError, match=r"less.zarr lacks 2 of the 30 samples"):
        blmm.scan(ds, kinship=blmm.open_kinship(tmp_path / "less.zarr"))


def test_weights_and_gaps_of_covariates_need_others(ds, stores):
    kinship = blmm.open_kinship(stores / "K.zarr")
    weights = np.linspace(1, 2, 30)
    with pytest.warns(blmm.StudyWarning, match="samples have weights: they are computed anew"):
        found = blmm.scan(ds, kinship=kinship, weights=weights).lod.values
    expected = blmm.scan(ds, kinship=matrix_of(kinship), weights=weights).lod.values
    np.testing.assert_array_equal(found, expected)
    gaps = ds.assign(age=("samples", np.where(np.arange(30) == 4, np.nan, np.arange(30.0))))
    found, said = told(lambda: blmm.scan(gaps, kinship=kinship, covariates=["age"]).lod.values)
    assert "do not serve, for some samples lack a covariate: they are computed anew" in said
    matrix = matrix_of(kinship)
    expected, _ = told(lambda: blmm.scan(gaps, kinship=matrix, covariates=["age"]).lod.values)
    np.testing.assert_array_equal(found, expected)


def test_a_matrix_that_was_changed_is_decomposed_anew(ds, stores):
    kinship = blmm.open_kinship(stores / "K.zarr")
    changed = kinship.copy(data=kinship.values + 0.01 * np.eye(30))
    with pytest.warns(blmm.StudyWarning, match="the kinship is not the one in the store"):
        found = blmm.scan(ds, kinship=changed).lod.values
    np.testing.assert_array_equal(found, blmm.scan(ds, kinship=matrix_of(changed)).lod.values)


def test_a_store_that_was_replaced_or_removed_is_not_trusted(ds, tmp_path):
    path = tmp_path / "K.zarr"
    blmm.save_kinship(blmm.kinship(ds), path, ds)
    kinship = blmm.open_kinship(path)
    expected = blmm.scan(ds, kinship=matrix_of(kinship)).lod.values
    blmm.save_kinship(blmm.kinship(ds, method="centered"), path, ds, overwrite=True)
    with pytest.warns(blmm.StudyWarning, match="not the one in the store"):
        np.testing.assert_array_equal(blmm.scan(ds, kinship=kinship).lod.values, expected)
    for file in sorted(path.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    with pytest.warns(blmm.StudyWarning, match="not the one in the store"):
        np.testing.assert_array_equal(blmm.scan(ds, kinship=kinship).lod.values, expected)


def test_other_genotypes_are_told(ds, stores):
    kinship = blmm.open_kinship(stores / "K.zarr")
    other = ds.assign(call_dosage=ds.call_dosage.copy(data=1 - ds.call_dosage.values))
    with pytest.warns(blmm.StudyWarning, match=r"K.zarr was computed from other genotypes"):
        blmm.scan(other, kinship=kinship)
    some = ds.isel(variants=slice(40))
    with pytest.warns(blmm.StudyWarning, match="other genotypes"):
        blmm.scan(some, kinship=kinship)


def test_kinships_by_contig_are_of_a_map_too(ds, stores):
    path = str(stores / "loco.zarr")
    assert is_kinship_of(ds, path, blmm.kinship(ds, loco=True))
    contig = ds.variant_contig.values.copy()
    contig[0] += 1
    other = ds.drop_vars("variant_contig_name").assign_coords(variant_contig=("variants", contig))
    assert not is_kinship_of(other, path, blmm.kinship(other, loco=True))
    with pytest.warns(blmm.StudyWarning, match=r"computed from other genotypes, or another map"):
        blmm.scan(other, kinship=path, loco=True)


def test_a_saved_study_is_known_without_reading_it(ds, stores, tmp_path):
    blmm.save(ds, tmp_path / "study.zarr")
    study = blmm.open_dataset(tmp_path / "study.zarr")
    assert is_kinship_of(
        study, stores / "K.zarr", blmm.kinship(study, method="bulklmm", loco=False)
    )
    assert not is_kinship_of(study, stores / "K.zarr", blmm.kinship(study, method="rqtl2"))
    assert not is_kinship_of(
        study, stores / "loco.zarr", blmm.kinship(study, method="bulklmm", loco=False)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", blmm.StudyWarning)
        blmm.scan(study, kinship=blmm.open_kinship(stores / "K.zarr"))


def test_large_kinships_are_of_several_files(ds, tmp_path, monkeypatch):
    monkeypatch.setattr("bulklmm_dask.study.kinship_store._FILE_BYTES", 8 * 30 * 7)
    for loco in (False, True):
        path, matrix = tmp_path / f"{loco}.zarr", blmm.kinship(ds, loco=loco).compute()
        blmm.save_kinship(matrix, path)
        files = [file for file in (path / "eigenvectors/c").rglob("*") if file.is_file()]
        assert len(files) == 5 * (len(matrix) if loco else 1)
        kinship = blmm.open_kinship(path)
        np.testing.assert_array_equal(kinship.values, matrix.values)
        found = blmm.scan(ds, kinship=kinship, loco=loco).lod.values
        expected = blmm.scan(ds, kinship=matrix_of(kinship), loco=loco).lod.values
        np.testing.assert_array_equal(found, expected)
        assert len(blmm.verify(path)) == 0
        next(iter(files)).unlink()
        with pytest.raises(blmm.StoreError, match="damaged"):
            blmm.open_kinship(path)


def test_every_damaged_file_is_noticed(ds, stores, tmp_path):
    path = tmp_path / "K.zarr"
    blmm.save_kinship(blmm.kinship(ds), path, ds)
    files = [file for file in path.rglob("*") if file.is_file()]
    assert len(files) > 8
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content[:-6] + bytes([content[-6] ^ 1]) + content[-5:])
        if len(blmm.verify(path)) == 0:
            raise AssertionError(file)
        if "manifest" not in file.parts:  # a copy of the attributes
            with pytest.raises(blmm.StoreError, match="damaged"):
                blmm.scan(ds, kinship=blmm.open_kinship(path))
        file.unlink()
        with pytest.raises(blmm.StoreError):
            blmm.scan(ds, kinship=blmm.open_kinship(path))
        file.write_bytes(content)
    assert len(blmm.verify(path)) == 0


def test_a_store_is_replaced_only_when_asked(ds, stores, tmp_path):
    path = tmp_path / "K.zarr"
    blmm.save_kinship(blmm.kinship(ds), path)
    with pytest.raises(blmm.StoreError, match=r"K.zarr exists.*overwrite"):
        blmm.save_kinship(blmm.kinship(ds, method="rqtl2"), path)
    blmm.save_kinship(blmm.kinship(ds, method="rqtl2"), path, overwrite=True)
    assert blmm.open_kinship(path).attrs["method"] == "rqtl2"
    (path / "mine.txt").write_text("x")
    with pytest.raises(blmm.StoreError, match=r"mine.txt"):
        blmm.save_kinship(blmm.kinship(ds), path, overwrite=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda k: k.values, "give a DataArray"),
        (lambda k: k[0], "give a DataArray"),
        (lambda k: k.drop_vars(["samples_0"]), "no names of samples"),
        (lambda k: k[::-1], "name other samples"),
        (lambda k: k.copy(data=k.values + np.triu(k.values)), "is not symmetric"),
        (lambda k: k.copy(data=k.values - 3 * np.eye(30)), "not positive semi-definite"),
    ],
)
def test_what_is_no_kinship_is_refused(ds, tmp_path, make, message):
    with pytest.raises(blmm.InputError, match=message):
        blmm.save_kinship(make(blmm.kinship(ds).compute()), tmp_path / "K.zarr")
    assert not list(tmp_path.iterdir())


def test_other_stores_are_told_from_it(ds, stores, tmp_path):
    blmm.save(ds, tmp_path / "study.zarr")
    with pytest.raises(blmm.StoreError, match="is a study, not a store of a kinship"):
        blmm.open_kinship(tmp_path / "study.zarr")
    with pytest.raises(blmm.StoreError, match="there is no store"):
        blmm.open_kinship(tmp_path / "none.zarr")
    assert not is_kinship_store(tmp_path / "study.zarr")
    with pytest.raises(
        blmm.StoreError, match="holds a kinship, no study; open it with open_kinship"
    ):
        blmm.open_dataset(stores / "K.zarr")
    with pytest.raises(blmm.StoreError, match="is a kinship, not a result store"):
        blmm.open_result(stores / "K.zarr")


def test_commands_take_a_store(ds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blmm.save(ds, "study.zarr")
    made = run("kinship", "study.zarr", "--method", "rqtl2", "--out", "K.zarr", "--json")
    done = json.loads(made.stdout)
    assert (done["method"], done["samples"], done["files"]) == ("rqtl2", 30, ["K.zarr"])
    again = run("kinship", "study.zarr", "--method", "rqtl2", "--out", "K.zarr")
    assert "K.zarr has its rqtl2 kinship already: nothing is computed" in again.stderr
    assert "--overwrite" in run("kinship", "study.zarr", "--out", "K.zarr", code=1).stderr
    monkeypatch.setattr(basis, "_eigenvectors", None)
    kept = "that of 30 samples in K.zarr, which keeps its eigenvectors"
    given = ("--kinship", "K.zarr")
    for words in (
        ("scan", "study.zarr", "lod.zarr", *given),
        ("permute", "study.zarr", "perm.zarr", "--permutations", "5", *given),
        ("hits", "study.zarr", "--threshold", "2", *given),
        ("heritability", "study.zarr", *given),
        ("profile", "study.zarr", "trait1", *given),
    ):
        assert kept in run(*words).stderr
    expected = blmm.scan(ds, kinship=blmm.open_kinship("K.zarr")).lod.values
    np.testing.assert_array_equal(blmm.open_result("lod.zarr").lod.values, expected)
    assert blmm.open_result("lod.zarr").attrs["kinship"] == "K.zarr"
    assert "already: nothing is computed" in run("scan", "study.zarr", "lod.zarr", *given).stderr
    block = Path("lod.zarr/lod/c/0/0")
    before = block.read_bytes()
    block.unlink()
    assert "1 finding, 1 of them mended" in run("verify", "lod.zarr", "--mend").stderr
    assert block.read_bytes() == before
    assert "30 samples\nkinship: rqtl2" in run("info", "K.zarr").stdout
    assert json.loads(run("info", "K.zarr", "--json").stdout)["kind"] == "kinship"
    for kind, path in (("study", "study.zarr"), ("result", "lod.zarr")):
        told = run("kinship", "study.zarr", "--out", path, "--overwrite", code=1).stderr
        assert f"{path} is a {kind}, so a kinship does not overwrite it" in told
    assert "as it was written" in run("verify", "K.zarr").stderr
    needs = run("scan", "study.zarr", "x.zarr", "--loco", *given, code=1).stderr
    assert "K.zarr is one for all markers" in needs


def test_a_table_of_a_kinship_is_as_its_name_says(ds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blmm.save(ds.drop_vars("kinship"), "study.zarr")
    expected = ds.kinship.values
    for name in ("k.csv", "k.tsv", "k.csv.gz", "k.tsv.zst"):
        run("kinship", "study.zarr", "--out", name)
        np.testing.assert_allclose(blmm.read_kinship(name).values, expected, rtol=1e-14)
    printed = run("kinship", "study.zarr", "--out", "-", "--quiet")
    assert printed.stdout == (tmp_path / "k.csv").read_text()
    assert not printed.stderr
    assert "kinship" not in blmm.open_dataset("study.zarr")
    for name in ("k.xlsx", "k.parquet"):
        assert f"{name} is no name" in run("kinship", "study.zarr", "--out", name, code=1).stderr
    clash = run("kinship", "study.zarr", "--loco", "--out", "l.csv", code=2).stderr
    assert "--loco and --out l.csv exclude each other" in clash
    assert pd.read_csv("k.csv").columns[0] == "sample"
