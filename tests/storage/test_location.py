"""Locations: what is there, what may be written, and that it appears whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import bulklmm_dask as blmm
from bulklmm_dask.storage import location
from bulklmm_dask.storage.location import Location


@pytest.mark.parametrize("url", ["s3://bucket/study.zarr", "s3:/bucket/r.zarr", "https://x.org/a"])
def test_urls_are_refused_clearly(url, tmp_path):
    for call in (
        Location.of,
        blmm.open_dataset,
        blmm.open_result,
        blmm.read_rqtl2,
        blmm.read_plink,
        lambda path: blmm.read_csv(path, path),
        lambda path: blmm.open_vcf_zarr(path, traits=tmp_path / "t.csv"),
    ):
        with pytest.raises(blmm.InputError, match=r"is a URL, and only local paths are supported"):
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
    assert not here.is_folder_of(".csv")
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
    with pytest.raises(blmm.StoreError, match=r"exists; .*overwrite=True \(--overwrite\)"):
        (here / "file").require_free(overwrite=False)
    (here / "file").require_free(overwrite=True)
    with pytest.raises(blmm.StoreError, match="it is a folder"):
        here.require_free_file(overwrite=True)
    with pytest.raises(blmm.StoreError, match=r"may need 1e\+03 TB, but only"):
        (here / "r.zarr").require_writable(10**15)
    monkeypatch.setattr(location.os, "access", lambda *_: False)
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
