"""Locations: what is there, what may be written, and that it appears whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from studies import study

import bulklmm_dask as blmm
from bulklmm_dask.describe import describe
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.kinships import read_kinship
from bulklmm_dask.study.readers.guess import guess_format


@pytest.mark.parametrize("url", ["ftp://x.org/study.zarr", "hdfs:/x/r.zarr", "dask://x.org/a"])
def test_unknown_urls_are_refused_clearly(url, tmp_path):
    for call in (
        Location.of,
        blmm.open_dataset,
        blmm.open_result,
        blmm.read_rqtl2,
        blmm.read_plink,
        lambda path: blmm.read_csv(path, path),
        lambda path: blmm.open_vcf_zarr(path, traits=tmp_path / "t.csv"),
    ):
        with pytest.raises(blmm.InputError, match=r"is a URL of the kind \w+, which is not known"):
            call(url)


def test_paths_of_windows_and_odd_names_are_no_urls():
    assert Location.of("C:/data/study.zarr").path == "C:/data/study.zarr"
    assert Location.of("a:b.zarr").name == "a:b.zarr"
    assert Location.of(Path("~/x.csv")).path == str(Path.home() / "x.csv")
    here = Location.of("x.csv")
    assert Location.of(here) is here
    assert os.fspath(here) == str(here) == "x.csv"
    assert here.parent.path == os.getcwd()


def test_what_is_there(tmp_path):
    here = Location.of(tmp_path)
    assert here.is_folder()
    assert not here.is_store()
    assert (here / "none").size() == 0
    (tmp_path / "b.csv").write_bytes(b"12345")
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "zarr.json").write_bytes(b"{}")
    assert here.names() == ["a.zarr", "b.csv"]
    assert (here / "b.csv").size() == 5
    assert here.size() == 7
    assert (here / "a.zarr").is_store()
    assert (here / "b.csv" / "inside").size() == 0
    for name in ("a.zarr", "b.csv", "none"):
        (here / name).remove()
    assert here.names() == []


def test_where_it_may_be_written(tmp_path, monkeypatch):
    here = Location.of(tmp_path)
    (here / "deep" / "er.zarr").require_writable(10)
    (tmp_path / "file").write_text("x")
    with pytest.raises(blmm.StoreError, match="is no folder; give another path"):
        (here / "file" / "r.zarr").require_writable()
    (here / "file").require_writable()
    with pytest.raises(blmm.StoreError, match=r"there is no folder .*; make it first"):
        (here / "none" / "x.csv").require_free(overwrite=True)
    with pytest.raises(blmm.StoreError, match=r"exists; .*overwrite=True"):
        (here / "file").require_free(overwrite=False)
    (here / "file").require_free(overwrite=True)
    with pytest.raises(blmm.StoreError, match="it is a folder"):
        here.require_free_file(overwrite=True)
    with pytest.raises(blmm.StoreError, match=r"may need 1e\+03 TB, but only"):
        (here / "r.zarr").require_writable(10**15)
    monkeypatch.setattr(os, "access", lambda *_: False)
    for path in (here, here / "new.csv", here / "file"):
        with pytest.raises(blmm.StoreError, match=r"no permission in .*; give another path"):
            path.require_writable()


def test_files_and_folders_appear_whole_or_not_at_all(tmp_path):
    file, folder = Location.of(tmp_path / "t.csv"), Location.of(tmp_path / "f.zarr")
    file.write_text("old\n")
    with folder.appearing() as partial:
        xr.Dataset({"x": ("n", np.arange(3))}).to_zarr(str(partial), consolidated=False)
        assert not folder.exists()
    assert folder.open_dataset()["x"].sizes == {"n": 3}
    with pytest.raises(ZeroDivisionError), file.appearing_file() as partial:  # noqa: PT012
        assert partial.suffix == ".csv"
        Path(partial).write_text("half")
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), folder.appearing():
        raise ZeroDivisionError
    assert Location.of(tmp_path).names() == ["f.zarr", "t.csv"]
    assert (tmp_path / "t.csv").read_text() == "old\n"
    assert folder.open_dataset()["x"].sizes == {"n": 3}


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("file:///data/x.zarr", "/data/x.zarr"),
        ("file:/data/x.zarr", "/data/x.zarr"),
        ("FILE://localhost/data/a%20b.csv", "/data/a b.csv"),
        ("~", str(Path.home())),
        ("./x.csv", "x.csv"),
        (Path("a") / "b.csv", "a/b.csv"),
        (b"x.csv", "x.csv"),
    ],
)
def test_paths_and_urls_of_files(typed, path):
    assert Location.of(typed).path == path


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (Path("ftp://b/x.zarr"), r"^ftp://b/x\.zarr is a URL of the kind ftp,"),
        ("file://host/x", r"^file://host/x is a URL of the kind file,"),
        ("simplecache::https://x.org/a b", r"'simplecache::https://x.org/a b' is a URL"),
        ("", "the path '' names nothing"),
        ("  ", "the path '  ' names nothing"),
        ("a\0b", r"the path 'a\\x00b' names nothing"),
        (5, "5 is no path, but int"),
        (None, "None is no path, but NoneType"),
        ("~no-such-user/x", "~no-such-user/x: there is no home of this user"),
    ],
)
def test_what_is_no_path_here(typed, message):
    with pytest.raises(blmm.InputError, match=message):
        Location.of(typed)


def test_messages_have_the_path_as_typed():
    assert str(Location.of("~/x.csv")) == "~/x.csv"
    assert str(Location.of("~/x.zarr") / "zarr.json") == "~/x.zarr/zarr.json"
    assert str(Location.of("a b/x.csv")) == "'a b/x.csv'"
    assert str(Location.of("a b/x.csv").beside / "y") == "'a b/y'"
    assert str(Location.of("x\x1b[31m.csv")) == "x\\x1b[31m.csv"


URL_CALLS = {
    "scan": lambda ds, path: blmm.scan(ds, store=path),
    "permute": lambda ds, path: blmm.permute(ds, n_permutations=2, store=path),
    "hits": lambda ds, path: blmm.find_hits(blmm.scan(ds), threshold=1, store=path),
    "save": blmm.save,
    "report": lambda ds, path: blmm.report(blmm.scan(ds), path),
    "hotspots": lambda ds, path: blmm.hotspot_baseline(
        ds, window=1, threshold=1, n_permutations=2, store=path
    ),
}


@pytest.mark.parametrize("name", URL_CALLS)
def test_outputs_at_unknown_urls_are_refused_and_nothing_is_left(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(blmm.InputError, match=r"ftp://b/x\.zarr is a URL"):
        URL_CALLS[name](study(12, 6, 2), "ftp://b/x.zarr")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["scan", "permute", "hits", "save", "report"])
@pytest.mark.parametrize("typed", ["~/out", "file://{home}/out"])
def test_outputs_at_home_and_at_file_urls(name, typed, tmp_path, monkeypatch):
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path))
    monkeypatch.chdir(here)
    URL_CALLS[name](study(12, 6, 2), typed.format(home=home))
    assert [path.name for path in home.iterdir()] == ["out"]
    assert not list(here.iterdir())


@pytest.fixture(params=["pipe", "device"])
def special(request, tmp_path):
    if request.param == "device":
        return "/dev/zero"
    os.mkfifo(tmp_path / "pipe.csv")
    return str(tmp_path / "pipe.csv")


def test_pipes_and_devices_are_refused_and_not_waited_for(special, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("id,t\na,1\nb,2\n")
    calls = (
        lambda: blmm.read_csv(special, table),
        lambda: blmm.read_csv(table, special),
        lambda: blmm.read_rqtl2(special),
        lambda: blmm.read_geno(special, traits=table),
        lambda: blmm.read_bimbam(table, special),
        lambda: blmm.read_probabilities(special, traits=table),
        lambda: read_kinship(special),
        lambda: describe(special),
        lambda: guess_format(special),
    )
    for call in calls:
        with pytest.raises(blmm.InputError, match="is a pipe or a device, and is not read; write"):
            call()
    with pytest.raises(blmm.StoreError, match="is a pipe or a device"):
        Location.of(special).require_free_file(overwrite=True)
    for call in (blmm.open_dataset, blmm.open_result):
        with pytest.raises(blmm.StoreError, match=r"no .*store"):
            call(special)


@pytest.mark.parametrize("name", ["a" * 300, "é" * 200, "a/" * 3000])
def test_names_that_are_too_long(name, tmp_path):
    path = tmp_path / name
    for call in (
        blmm.read_rqtl2,
        blmm.read_plink,
        lambda path: blmm.read_csv(path, path),
        describe,
        lambda path: blmm.open_vcf_zarr(path, traits=path),
    ):
        with pytest.raises(blmm.InputError, match=r"there is no (file|store)"):
            call(path)
    for call in (blmm.open_dataset, blmm.open_result):
        with pytest.raises(blmm.StoreError, match="there is no"):
            call(path)
    for call in ("save", "scan", "report"):
        with pytest.raises(blmm.StoreError, match=r"cannot be (made|written)|make it first"):
            URL_CALLS[call](study(12, 6, 2), path)


def test_a_folder_in_place_of_a_file(tmp_path):
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(blmm.InputError, match=r"x\.csv is a folder; give the path of a file"):
        blmm.read_csv(tmp_path / "x.csv", tmp_path / "x.csv")


def test_what_is_read_later_is_found_from_another_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    ds = study(12, 6, 2)
    blmm.save(ds, "s.zarr")
    opened = blmm.open_dataset("s.zarr")
    scanned = blmm.scan(opened, kinship=None, store="r.zarr")
    result = blmm.open_result("r.zarr")
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(opened["call_dosage"], ds["call_dosage"])
    for each in (scanned, result):
        assert np.isfinite(each["lod"].values).all()
    (tmp_path / "here" / "s.zarr").rename(tmp_path / "gone.zarr")
    with pytest.raises(blmm.StoreError, match=r"^s\.zarr is not the store that was opened"):
        opened["sample_trait"].load()
