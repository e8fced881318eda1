"""Stores that xarray wrote of studies and results: opened lazily, checked, described."""

from __future__ import annotations

import json

import dask
import numpy as np
import pytest
import studies
import xarray as xr
import zarr
from click.testing import CliRunner

import bulklmm_dask as blmm
from bulklmm_dask.cli import main
from bulklmm_dask.describe import describe

WRITTEN = {
    "format 3": {"consolidated": False},
    "format 2": {"zarr_format": 2},
    "format 2, not consolidated": {"zarr_format": 2, "consolidated": False},
}


@pytest.fixture(scope="module")
def ds():
    return studies.study(n=30, p=20, m=6, covariates=1)


@pytest.fixture(params=WRITTEN.values(), ids=WRITTEN)
def how(request):
    return request.param


def no_compute(*args, **options):
    raise AssertionError("something was computed")


def test_a_study_is_opened_lazily(ds, how, tmp_path):
    ds.chunk(variants=8).to_zarr(tmp_path / "s.zarr", **how)
    with dask.config.set(scheduler=no_compute):
        found = blmm.open_dataset(tmp_path / "s.zarr")
    assert found.call_dosage.chunks == ((8, 8, 4), (30,))
    assert found.kinship.chunks is None
    xr.testing.assert_identical(found.compute(), ds)


@pytest.mark.filterwarnings("ignore:Consolidated metadata")  # Zarr's, of its own format
def test_consolidated_metadata_are_left_aside(ds, tmp_path):
    ds.to_zarr(tmp_path / "s.zarr")
    xr.testing.assert_identical(blmm.open_dataset(tmp_path / "s.zarr").compute(), ds)


def test_packed_values_are_decoded(ds, tmp_path):
    packed = {"dtype": "int16", "scale_factor": 0.001, "_FillValue": -1}
    traits = ds.sample_trait.copy()
    traits[0, 0] = np.nan
    given = ds.assign(sample_trait=traits)
    given.to_zarr(tmp_path / "s.zarr", consolidated=False, encoding={"sample_trait": packed})
    found = blmm.open_dataset(tmp_path / "s.zarr").sample_trait
    np.testing.assert_allclose(found, traits, atol=5e-4)


@pytest.mark.parametrize("method", ["null-exact", "alt-exact"])
def test_a_result_is_opened_lazily(ds, how, method, tmp_path):
    result = blmm.scan(ds, method=method, statistics=["beta"], chunks={"variants": 8, "traits": 4})
    result.to_zarr(tmp_path / "r.zarr", **how)
    with dask.config.set(scheduler=no_compute):
        found = blmm.open_result(tmp_path / "r.zarr")
    assert found.lod.chunks == ((8, 8, 4), (4, 2))
    assert found.attrs == result.attrs
    assert set(found.coords) == set(result.coords)
    np.testing.assert_array_equal(found.lod, result.lod)
    left, right = (blmm.find_hits(each, threshold=0.5) for each in (found, result))
    assert left.equals(right[left.columns])


def test_maxima_and_lods_alone_are_opened(ds, how, tmp_path):
    perm = blmm.permute(ds, n_permutations=30)
    perm.to_zarr(tmp_path / "p.zarr", **how)
    found = blmm.open_result(tmp_path / "p.zarr")
    np.testing.assert_array_equal(
        blmm.thresholds(found, 0.1).threshold, blmm.thresholds(perm, 0.1).threshold
    )
    result = blmm.scan(ds)
    result.lod.to_zarr(tmp_path / "l.zarr", **how)
    found = blmm.find_peaks(blmm.open_result(tmp_path / "l.zarr"), threshold=0.5)
    assert found.lod.tolist() == blmm.find_peaks(result, threshold=0.5).lod.tolist()


def test_commands_take_them(ds, how, tmp_path):
    ds.to_zarr(tmp_path / "s.zarr", **how)
    blmm.scan(ds).to_zarr(tmp_path / "r.zarr", **how)
    for arguments, words in (
        (["info", "s.zarr"], "study, written by xarray, without checksums"),
        (["info", "r.zarr"], "result of a scan, written by xarray, without checksums"),
        (["scan", "s.zarr", "own.zarr"], ""),
        (["maxima", "r.zarr", "--out", "maxima.csv"], ""),
    ):
        paths = [str(tmp_path / a) if a.endswith((".zarr", ".csv")) else a for a in arguments]
        done = CliRunner().invoke(main, paths)
        assert done.exit_code == 0, done.output
        assert words in done.output
    assert (tmp_path / "maxima.csv").exists()


def test_what_is_neither_is_refused(ds, how, tmp_path):
    xr.Dataset({"x": ("y", [1.0, 2.0])}).to_zarr(tmp_path / "x.zarr", **how)
    ds.drop_vars("call_dosage").to_zarr(tmp_path / "half.zarr", **how)
    for name in ("x", "half"):
        for call in (blmm.open_dataset, blmm.open_result, describe):
            with pytest.raises((blmm.StoreError, blmm.InputError)):
                call(tmp_path / f"{name}.zarr")


def test_a_study_that_is_not_valid_is_refused(ds, tmp_path):
    ds.assign_coords(variant_contig=ds.variant_contig + 7).drop_vars("variant_contig_name").to_zarr(
        tmp_path / "s.zarr", consolidated=False
    )
    with pytest.raises(blmm.StoreError, match=r"s\.zarr holds no valid study: variant_contig"):
        blmm.open_dataset(tmp_path / "s.zarr")


def test_unknown_codecs_are_not_run(ds, tmp_path):
    ds.to_zarr(tmp_path / "s.zarr", zarr_format=2, consolidated=False)
    file = tmp_path / "s.zarr" / "sample_id" / ".zarray"
    metadata = json.loads(file.read_text())
    file.write_text(json.dumps(metadata | {"filters": [{"id": "pickle", "protocol": 5}]}))
    with pytest.raises(blmm.StoreError, match="names the codec 'pickle'"):
        blmm.open_dataset(tmp_path / "s.zarr")


def test_damage_is_an_error_of_this_package(ds, tmp_path):
    ds.chunk(variants=8).to_zarr(tmp_path / "s.zarr", consolidated=False)
    found = blmm.open_dataset(tmp_path / "s.zarr")
    (chunk,) = (tmp_path / "s.zarr" / "call_dosage" / "c" / "1").iterdir()
    chunk.write_bytes(b"nonsense")
    with pytest.raises(blmm.StoreError, match=r"s\.zarr is damaged .*write it again"):
        found.call_dosage.compute()
    (tmp_path / "s.zarr" / "variant_id" / "zarr.json").write_text("{")
    with pytest.raises(blmm.StoreError, match=r"s\.zarr is damaged|holds no valid"):
        blmm.open_dataset(tmp_path / "s.zarr")


def test_a_kinship_is_added_to_format_3_only(ds, how, tmp_path):
    ds.drop_vars(["kinship", "samples_0", "samples_1"]).to_zarr(tmp_path / "s.zarr", **how)
    arguments = ["kinship", str(tmp_path / "s.zarr")]
    done = CliRunner().invoke(main, arguments)
    if how.get("zarr_format") == 2:
        assert done.exit_code == 1
        assert "is of Zarr format 2" in done.output
    else:
        assert done.exit_code == 0, done.output
        assert "kinship" in blmm.open_dataset(tmp_path / "s.zarr")


def test_a_store_of_this_package_is_opened_by_xarray(ds, tmp_path):
    blmm.save(ds, tmp_path / "s.zarr")
    result = blmm.scan(ds, store=tmp_path / "r.zarr")
    for name, own in (("s", ds), ("r", result)):
        plain = xr.open_zarr(tmp_path / f"{name}.zarr", consolidated=False)
        assert set(own.coords) == set(plain.coords)
    assert "coordinates" in zarr.open_group(tmp_path / "r.zarr", mode="r").attrs
    assert "coordinates" not in result.attrs
    assert "coordinates:" not in describe(tmp_path / "r.zarr")
