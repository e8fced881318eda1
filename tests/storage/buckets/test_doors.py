"""Every door takes a URL, and gives what it gives in a folder."""

from __future__ import annotations

import shutil
import threading
import warnings
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from commands import run
from in_memory import CHUNKS, keys

import bulklmm_dask as blmm
from bulklmm_dask.storage.places import objects
from bulklmm_dask.storage.places.location import Location

pytest.importorskip("obstore")


@pytest.mark.slow
def test_every_door_gives_what_it_gives_in_a_folder(bucket, ds):
    found = {where: everything(ds, where) for where in ("disk", bucket)}
    for name, expected in found["disk"].items():
        got = found[bucket][name]
        if isinstance(expected, pd.DataFrame):
            pd.testing.assert_frame_equal(got, expected)
        elif isinstance(expected, xr.Dataset):
            xr.testing.assert_identical(got.drop_encoding(), expected.drop_encoding())
        else:
            assert got == expected, name


def files(where):
    return sorted(Location.of(where).files())


def everything(ds, where):
    """What each function writes into a folder or a bucket, read again."""
    if where == "disk":
        Path("disk").mkdir()
    blmm.save(ds, f"{where}/study.zarr")
    opened = blmm.open_dataset(f"{where}/study.zarr")
    result = blmm.scan(opened, store=f"{where}/scan.zarr", chunks=CHUNKS)
    perm = blmm.permute(opened, n_permutations=5, seed=1, store=f"{where}/perm.zarr")
    rows = blmm.find_hits(result, threshold=1, store=f"{where}/hits.parquet")
    again = blmm.scan(opened, store=f"{where}/scan.zarr", chunks=CHUNKS)
    blmm.save(result.isel(traits=[0, 2]), f"{where}/two.zarr")
    blmm.report(result, f"{where}/report.html")
    with Location.of(f"{where}/hits.parquet").at_hand() as folder:
        hits = pd.read_parquet(folder)
    without = {"bulklmm_study"}
    both = {
        "study": opened,
        "scan": blmm.open_result(f"{where}/scan.zarr"),
        "again": again,
        "perm": perm,
        "two": blmm.open_result(f"{where}/two.zarr"),
    }
    for name, one in both.items():
        one = one.compute()
        one.attrs = {key: value for key, value in one.attrs.items() if key not in without}
        both[name] = one
    report = Location.of(f"{where}/report.html").read_bytes().replace(where.encode(), b"WHERE")
    return {
        **both,
        "rows": rows,
        "hits": hits,
        "peaks": blmm.find_peaks(result, threshold=1),
        "report": len(report) > 1000,
        "verified": [
            len(blmm.verify(f"{where}/{name}.zarr")) for name in ("study", "scan", "perm", "two")
        ],
        "files": {
            name: sorted(
                path for path in Location.of(f"{where}/{name}").files() if "lock" not in path
            )
            for name in ("study.zarr", "scan.zarr", "perm.zarr", "two.zarr", "hits.parquet")
        },
    }


def test_bytes_are_those_on_disk(bucket, ds):
    blmm.save(ds, "study.zarr")
    blmm.save(ds, f"{bucket}/study.zarr")
    names = list(Location.of("study.zarr").files())
    assert sorted(names) == keys(f"{bucket}/study.zarr")
    for name in names:
        assert (Location.of(f"{bucket}/study.zarr") / name).read_bytes() == Path(
            "study.zarr", name
        ).read_bytes(), name


@pytest.mark.slow
def test_damage_is_found_and_mended(bucket, ds):
    blmm.save(ds, f"{bucket}/study.zarr")
    store = Location.of(bucket) / "scan.zarr"
    opened = blmm.open_dataset(f"{bucket}/study.zarr")
    before = blmm.scan(opened, store=store, chunks=CHUNKS).compute()
    (store / "lod/c/0/0").remove()
    with (store / "lod/c/1/1").replacing() as stream:
        stream.write((store / "lod/c/1/0").read_bytes())
    with pytest.raises(blmm.StoreError, match=r"lost or not|mends it"):
        blmm.open_result(store)
    assert sorted(blmm.verify(store).file) == ["lod/c/0/0", "lod/c/1/1"]
    assert blmm.verify(store, mend=True).mended.all()
    assert len(blmm.verify(store)) == 0
    xr.testing.assert_identical(blmm.open_result(store).compute(), before)


def test_a_kinship_is_added_without_copying_the_study(bucket, ds, requests):
    blmm.save(ds.drop_vars("kinship", errors="ignore"), f"{bucket}/study.zarr")
    requests.clear()
    url = f"{bucket}/study.zarr"
    run("kinship", url)
    written = {key for kind, key in requests if kind == "put" and "call_dosage" in key}
    assert written == set()
    np.testing.assert_allclose(blmm.open_dataset(url).kinship, blmm.kinship(ds))
    assert len(blmm.verify(url)) == 0
    assert "kinship already: nothing is computed" in run("kinship", url).output
    assert "has a kinship already" in run("kinship", url, "--method", "rqtl2", code=1).output
    run("kinship", url, "--overwrite", "--method", "rqtl2")
    assert blmm.open_dataset(url).kinship.attrs["method"] == "rqtl2"


@pytest.mark.slow
def test_commands_take_urls(bucket, ds):
    blmm.save(ds, f"{bucket}/study.zarr")
    commands = [
        ["scan", f"{bucket}/study.zarr", f"{bucket}/scan.zarr"],
        ["info", f"{bucket}/scan.zarr"],
        ["hits", f"{bucket}/scan.zarr", "--threshold", 1, "--out", f"{bucket}/hits.csv"],
        ["hits", f"{bucket}/scan.zarr", "--threshold", 1, "--out", f"{bucket}/hits.parquet"],
        ["peaks", f"{bucket}/scan.zarr", "--threshold", 1, "--out", f"{bucket}/peaks.csv"],
        ["plot", "qq", f"{bucket}/scan.zarr", "--out", f"{bucket}/m.png"],
        ["report", f"{bucket}/scan.zarr", "--out", f"{bucket}/report.html"],
        ["verify", f"{bucket}/study.zarr", f"{bucket}/scan.zarr"],
    ]
    for command in commands:
        found = run(*command)
        assert "memory:/" not in found.output.replace("memory://", "")
    assert (Location.of(bucket) / "hits.csv").read_bytes().startswith(b"trait,")
    assert (Location.of(bucket) / "m.png").read_bytes().startswith(b"\x89PNG")
    assert f"error: {bucket}/hits.csv exists" in run(*commands[2], code=1).output


def test_tables_are_read_from_urls(bucket, ds):
    table = pd.DataFrame({"id": ["a", "b", "c"], "weight": [1.5, 2.0, 4.0]})
    genotypes = pd.DataFrame({"id": ["a", "b", "c"], "m1": [0, 1, 2], "m2": [2, 1, 0]})
    for name, one in (("traits", table), ("genotypes", genotypes)):
        (Location.of(bucket) / f"{name}.csv").write_text(one.to_csv(index=False))
        one.to_csv(f"{name}.csv", index=False)
    found = [
        blmm.read_csv(f"{where}traits.csv", f"{where}genotypes.csv") for where in (f"{bucket}/", "")
    ]
    xr.testing.assert_identical(*found)
    with pytest.raises(blmm.InputError, match=rf"there is no file {bucket}/none\.csv"):
        blmm.read_csv(f"{bucket}/none.csv", "genotypes.csv")


def test_studies_of_other_programs_are_read_from_urls(bucket, ds):
    """VCF Zarr, R/qtl2 in a folder and in a zip file, and what xarray wrote."""
    calls = xr.Dataset(
        {
            "call_genotype": (
                ("variants", "samples", "ploidy"),
                np.array([[[0, 0], [0, 1], [1, 1]], [[0, 1], [0, 0], [1, 1]]], dtype="int8"),
            ),
            "sample_id": ("samples", ["a", "b", "c"]),
            "contig_id": ("contigs", ["1"]),
            "variant_contig": ("variants", [0, 0]),
            "variant_position": ("variants", [5, 9]),
            "variant_allele": (("variants", "alleles"), [["A", "G"], ["C", "T"]]),
        }
    )
    calls.to_zarr("calls.vcz", zarr_format=2)
    control = "crosstype: f2\ngeno: geno.csv\npheno: pheno.csv\ngenotypes: {AA: 1, AB: 2, BB: 3}\n"
    tables = {
        "cross/cross.yaml": control,
        "cross/geno.csv": "id,m1,m2\na,AA,AB\nb,AB,BB\nc,BB,AA\n",
        "cross/pheno.csv": "id,weight\na,20.1\nb,22.5\nc,19.8\n",
    }
    Path("cross").mkdir()
    for name, content in tables.items():
        Path(name).write_text(content)
    shutil.make_archive("cross", "zip", "cross")
    ds.to_zarr("plain.zarr", consolidated=False)
    here, there = Location.of("."), Location.of(bucket)
    for name in here.files():
        (there / name).put(here / name)
    traits = pd.DataFrame({"weight": [20.1, 22.5, 19.8]}, index=["a", "b", "c"])
    readers = {
        "calls.vcz": lambda path: blmm.open_vcf_zarr(path, traits=traits),
        "cross": blmm.read_rqtl2,
        "cross/cross.yaml": blmm.read_rqtl2,
        "cross.zip": blmm.read_rqtl2,
        "plain.zarr": blmm.open_dataset,
    }
    for name, read in readers.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", blmm.StudyWarning)
            found, expected = read(f"{bucket}/{name}"), read(name)
        xr.testing.assert_identical(found.compute(), expected.compute())
    with pytest.raises(blmm.InputError, match=r"mice\.bed is a URL, and here only local files"):
        blmm.read_plink(f"{bucket}/mice.bed")


@pytest.fixture
def web(tmp_path):
    """A web server that gives the files of the folder, and lists nothing."""

    class Files(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def list_directory(self, path):
            self.send_error(404)

    handler = partial(Files, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_stores_and_tables_are_read_from_the_web(web, ds):
    blmm.save(ds, "study.zarr")
    blmm.scan(ds, store="scan.zarr", chunks=CHUNKS)
    found, expected = blmm.open_result(f"{web}/scan.zarr"), blmm.open_result("scan.zarr")
    xr.testing.assert_identical(found.compute(), expected.compute())
    study_there = blmm.open_dataset(f"{web}/study.zarr")
    xr.testing.assert_identical(study_there.compute(), blmm.open_dataset("study.zarr").compute())
    with pytest.raises(blmm.StoreError, match=r"the web is only read"):
        blmm.save(ds, f"{web}/other.zarr")
    with pytest.raises(blmm.StoreError, match=r"there is no store http://.*none\.zarr"):
        blmm.open_dataset(f"{web}/none.zarr")


@pytest.mark.filterwarnings("ignore::bulklmm_dask.StudyWarning")
def test_a_server_that_is_away_is_no_damage(bucket, ds, monkeypatch):
    """Whatever request finds it away, the error is one sentence, and no block is given up."""
    blmm.save(ds, f"{bucket}/study.zarr")
    store = Location.of(bucket) / "scan.zarr"
    opened = blmm.open_dataset(f"{bucket}/study.zarr")
    blmm.scan(opened, store=store, chunks=CHUNKS)
    (store / "lod/c/0/0").remove()
    before = {path: (store / path).read_bytes() for path in store.files()}
    real, left = objects.Bucket.fetch, [0]

    def fetch(self, key, most=None):
        left[0] -= 1
        if left[0] < 0:
            raise objects.ServerError(f"{key} cannot be read: the server cannot be reached")
        return real(self, key, most)

    monkeypatch.setattr(objects.Bucket, "fetch", fetch)
    calls = (
        lambda: blmm.verify(store),
        lambda: blmm.open_result(store),
        lambda: blmm.scan(opened, store=store, chunks=CHUNKS),
    )
    for call in calls:
        for at in (0, 1, 2, 5, 10, 20, 40, 60):
            left[0] = at
            with pytest.raises((objects.ServerError, blmm.StoreError)) as caught:
                call()
            if at < 40:
                assert "cannot be reached" in str(caught.value)
            left[0] = 10**9
            for path, content in before.items():
                if "lock" not in path:
                    assert (store / path).read_bytes() == content, (at, path)
