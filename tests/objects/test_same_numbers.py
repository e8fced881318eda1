"""What is written to a bucket and read from it is what a folder on disk holds."""

from __future__ import annotations

import io

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from commands import run
from faults.machines import content
from pandas.testing import assert_frame_equal

import bulklmm_dask as blmm
from objects.conftest import CHUNKS

pytestmark = pytest.mark.slow

# What the results of studies that lie elsewhere differ in: the URL of the study, and its digest.
_WITH_URL = ("zarr.json", "manifest/zarr.json")


@pytest.fixture
def study(ds, bucket):
    """The study in the bucket."""
    blmm.save(ds, bucket / "study.zarr")
    return bucket / "study.zarr"


def same_files(found, expected, *, but=()):
    assert found.keys() == expected.keys()
    for name in sorted(expected.keys() - set(but)):
        assert found[name] == expected[name], name


def test_a_study(bucket, study, on_disk):
    same_files(bucket.content("study.zarr"), content(on_disk / "study.zarr"))
    opened = blmm.open_dataset(study)
    xr.testing.assert_identical(opened.load(), blmm.open_dataset(on_disk / "study.zarr").load())


@pytest.mark.parametrize("name", ["null", "alt"])
def test_a_scan(ds, bucket, study, on_disk, name):
    """Of a study in memory and of one in the bucket."""
    options = {"chunks": CHUNKS, "method": f"{name}-exact"}
    blmm.scan(ds, store=bucket / "memory.zarr", **options)
    same_files(bucket.content("memory.zarr"), content(on_disk / f"{name}.zarr"))
    result = blmm.scan(blmm.open_dataset(study), store=bucket / "lod.zarr", **options)
    same_files(bucket.content("lod.zarr"), content(on_disk / f"{name}.zarr"), but=_WITH_URL)
    expected = blmm.open_result(on_disk / f"{name}.zarr")
    for opened in (result, blmm.open_result(bucket / "lod.zarr")):
        xr.testing.assert_equal(opened.load(), expected.load())


def test_a_scan_by_worker_processes(bucket, study, on_disk, machines):
    machines.finish(
        *("scan", study, bucket / "lod.zarr", "--method", "alt-exact", "--chunks", "7,5"),
        *("--workers", 2, "--threads", 1),
    )
    same_files(bucket.content("lod.zarr"), content(on_disk / "alt.zarr"), but=_WITH_URL)


def test_a_scan_by_processes_of_dask(bucket, study, on_disk, processes):
    """They were started before, without the environment of this test: it travels by other ways."""
    with dask.config.set(scheduler="threads", num_workers=2):
        blmm.scan(blmm.open_dataset(study), store=bucket / "lod.zarr", chunks=CHUNKS)
    same_files(bucket.content("lod.zarr"), content(on_disk / "null.zarr"), but=_WITH_URL)


def test_permutations(ds, bucket, on_disk):
    blmm.permute(ds, n_permutations=20, seed=1, store=bucket / "perm.zarr")
    same_files(bucket.content("perm.zarr"), content(on_disk / "perm.zarr"))
    expected = blmm.thresholds(blmm.open_result(on_disk / "perm.zarr"))
    xr.testing.assert_identical(
        blmm.thresholds(blmm.open_result(bucket / "perm.zarr")).load(), expected.load()
    )


def test_kinships(ds, bucket, tmp_path):
    """A study that gains a kinship, and kinships in a store of their own."""
    bare = ds.drop_vars("kinship")
    for place in (bucket / "study.zarr", tmp_path / "study.zarr"):
        blmm.save(bare, place)
        run("kinship", place)
        run("kinship", place, "--loco")
    same_files(bucket.content("study.zarr"), content(tmp_path / "study.zarr"))
    np.testing.assert_array_equal(blmm.open_dataset(bucket / "study.zarr").kinship, ds.kinship)


def test_findings(bucket, on_disk, ds):
    blmm.scan(ds, store=bucket / "lod.zarr", chunks=CHUNKS)
    result, expected = (
        blmm.open_result(place) for place in (bucket / "lod.zarr", on_disk / "null.zarr")
    )
    assert_frame_equal(blmm.find_peaks(result, threshold=1), blmm.find_peaks(expected, threshold=1))
    assert_frame_equal(blmm.max_lod(result), blmm.max_lod(expected))
    hits = blmm.find_hits(expected, threshold=1)
    assert_frame_equal(blmm.find_hits(result, threshold=1), hits)
    assert len(hits) > 5


def test_hits_in_parquet(bucket, on_disk, ds):
    pytest.importorskip("pyarrow")
    blmm.scan(ds, store=bucket / "lod.zarr", chunks=CHUNKS)
    blmm.find_hits(
        blmm.open_result(bucket / "lod.zarr"), threshold=1, store=bucket / "hits.parquet"
    )
    hits = blmm.find_hits(blmm.open_result(on_disk / "null.zarr"), threshold=1)
    parts = [pd.read_parquet(io.BytesIO(bucket.read(key))) for key in bucket.list("hits.parquet/")]
    found = pd.concat(parts, ignore_index=True)[list(hits)]
    assert_frame_equal(found, hits, check_dtype=False)
    run("hits", bucket / "lod.zarr", "--threshold", 1, "--out", bucket / "hits.csv")
    columns = ["trait", "variant", "contig", "position", "lod", "h2"]
    found = _csv(bucket, "hits.csv")[columns]
    assert_frame_equal(found, hits[columns], check_dtype=False, rtol=1e-6)
    run("hotspots", bucket / "hits.parquet", "--out", bucket / "spots.csv", "--window", 5)
    assert len(_csv(bucket, "spots.csv"))


def _csv(bucket, key):
    texts = {"trait": str, "variant": str, "contig": str}
    return pd.read_csv(io.BytesIO(bucket.read(key)), dtype=texts, keep_default_na=False)


def damage(bucket, key, at=-1):
    whole = bucket.read(key)
    changed = bytearray(whole)
    changed[at] ^= 1
    bucket.put(key, bytes(changed))


def test_damage_is_found_and_mended(bucket, study, ds):
    blmm.scan(blmm.open_dataset(study), store=bucket / "lod.zarr", chunks=CHUNKS)
    whole = bucket.content("lod.zarr")
    damage(bucket, "lod.zarr/lod/c/1/1", at=30)
    damage(bucket, "lod.zarr/variant_id/c/0")
    damage(bucket, "lod.zarr/h2/zarr.json", at=20)
    bucket.remove("lod.zarr/lod/c/2/0")
    bucket.put("lod.zarr/notes.txt", b"mine")
    table = blmm.verify(bucket / "lod.zarr")
    assert {(row.file, row.problem) for row in table.itertuples()} == {
        ("lod/c/1/1", "changed"),
        ("lod/c/2/0", "lost"),
        ("variant_id/c/0", "changed"),
        ("h2/zarr.json", "changed"),
        ("notes.txt", "surplus"),
    }
    assert set(table.store) == {bucket / "lod.zarr"}
    run("verify", bucket / "lod.zarr", code=1)
    table = blmm.verify(bucket / "lod.zarr", mend=True)
    assert set(table[table.file != "notes.txt"].mended) == {True}
    assert bucket.content("lod.zarr") == {**whole, "notes.txt": b"mine"}


def test_a_saved_part_and_a_copy(bucket, ds, tmp_path):
    blmm.scan(ds, store=bucket / "lod.zarr", chunks=CHUNKS)
    result = blmm.open_result(bucket / "lod.zarr")
    part = result.isel(variants=slice(5, 20))
    for place in (bucket / "part.zarr", tmp_path / "part.zarr"):
        blmm.save(part, place)
    same_files(bucket.content("part.zarr"), content(tmp_path / "part.zarr"))


def test_overwriting(bucket, ds, tmp_path):
    blmm.save(ds, bucket / "study.zarr")
    with pytest.raises(blmm.StoreError, match="overwrite=True"):
        blmm.save(ds, bucket / "study.zarr")
    other = ds.isel(traits=slice(4))
    for place in (bucket / "study.zarr", tmp_path / "study.zarr"):
        blmm.save(other, place, overwrite=True)
    same_files(bucket.content("study.zarr"), content(tmp_path / "study.zarr"))
    assert bucket.list() == bucket.list("study.zarr/")


def test_tables_in_and_out(bucket, tmp_path):
    """Every input of import, and a table of each command that gives one."""
    names = [f"s{i}" for i in range(12)]
    draw = np.random.default_rng(0)
    traits = pd.DataFrame(draw.normal(size=(12, 3)), names, ["a", "b", "c"])
    genotypes = pd.DataFrame(draw.integers(0, 3, (8, 12)), [f"m{i}" for i in range(8)], names)
    where = pd.DataFrame({"chr": "1", "pos_mb": range(8)}, genotypes.index)
    for name, table in (("traits", traits), ("geno", genotypes), ("map", where)):
        text = table.to_csv(index_label="id").encode()
        bucket.put(f"{name}.csv", text)
        (tmp_path / f"{name}.csv").write_bytes(text)
    for place in (f"s3://{bucket.name}", tmp_path):
        run(
            *("import", f"{place}/traits.csv", f"{place}/study.zarr"),
            *("--genotypes", f"{place}/geno.csv", "--map", f"{place}/map.csv"),
        )
        run("kinship", f"{place}/study.zarr")
        run("scan", f"{place}/study.zarr", f"{place}/lod.zarr")
        run("permute", f"{place}/study.zarr", f"{place}/perm.zarr", "--permutations", 20)
        run("peaks", f"{place}/lod.zarr", "--threshold", 0.1, "--out", f"{place}/peaks.csv")
        run("maxima", f"{place}/lod.zarr", "--out", f"{place}/maxima.csv")
        run("thresholds", f"{place}/perm.zarr", "--out", f"{place}/thresholds.csv")
        run("heritability", f"{place}/study.zarr", "--out", f"{place}/h2.csv")
        run("profile", f"{place}/study.zarr", "a", "--csv", f"{place}/profile.csv")
    for name in ("peaks", "maxima", "thresholds", "h2", "profile"):
        assert bucket.read(f"{name}.csv") == (tmp_path / f"{name}.csv").read_bytes(), name


def test_pages_and_pictures(bucket, study, on_disk):
    pytest.importorskip("matplotlib")
    blmm.scan(blmm.open_dataset(study), store=bucket / "lod.zarr", chunks=CHUNKS)
    run("report", bucket / "lod.zarr", "--out", bucket / "report.html", "--threshold", 1)
    assert bucket.read("report.html").startswith(b"<!DOCTYPE html>")
    trait = str(blmm.open_result(bucket / "lod.zarr").traits.values[0])
    run("plot", "lod", bucket / "lod.zarr", trait, "--out", bucket / "lod.png")
    assert bucket.read("lod.png").startswith(b"\x89PNG")
    run("info", bucket / "lod.zarr")
