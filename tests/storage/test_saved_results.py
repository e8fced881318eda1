"""A result, or a part of one, saved again is a result store."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import studies
import xarray as xr
from commands import run

import bulklmm_dask as blmm

SELECTIONS = {
    "traits by name": lambda r: r.sel(traits=["trait3", "trait1"]),
    "one trait": lambda r: r.sel(traits=["trait2"]),
    "a stretch": lambda r: r.isel(variants=slice(3, 17), traits=slice(None, None, 2)),
    "markers by mask": lambda r: r.isel(variants=np.flatnonzero(r.variant_contig.values == 1)),
    "everything": lambda r: r,
    "in memory": lambda r: r.isel(traits=[4, 0]).compute(),
}


def _slow(name):
    return pytest.param(name, marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=["gaps", *map(_slow, ["complete", "alt", "loco"])])
def ds_and_options(request):
    missing = 0.2 if request.param == "gaps" else 0
    ds = studies.study(n=30, p=24, m=7, seed=2, missing=missing)
    ds["kinship_loco"] = blmm.kinship(ds, loco=True)
    options = {
        "complete": {},
        "gaps": {"statistics": ("beta", "se")},
        "alt": {"method": "alt-exact", "refine_above": 0.5},
        "loco": {"loco": True, "statistics": "explained"},
    }
    return ds, options[request.param]


@pytest.fixture(scope="module", params=["stored", _slow("lazy")])
def result(request, ds_and_options, tmp_path_factory):
    ds, options = ds_and_options
    whole = tmp_path_factory.mktemp("whole") / "whole.zarr"
    store = {"store": whole} if request.param == "stored" else {}
    return blmm.scan(ds, **options, chunks={"variants": 7, "traits": 3}, **store)


@pytest.mark.parametrize("select", SELECTIONS.values(), ids=SELECTIONS)
def test_a_part_of_a_result_is_a_result(result, select, tmp_path):
    part = select(result)
    blmm.save(part, tmp_path / "part.zarr")
    opened = blmm.open_result(tmp_path / "part.zarr")
    counts = ["n_refined"] if "refined" in part else []  # those of the part
    xr.testing.assert_identical(
        opened.drop_vars(counts).compute(), part.drop_vars(counts).compute()
    )
    if counts:
        np.testing.assert_array_equal(opened.n_refined, part.refined.sum("variants"))
    assert opened.lod.chunks is not None
    for find in (blmm.max_lod, lambda r: blmm.find_peaks(r, threshold=0.5)):
        pd.testing.assert_frame_equal(find(opened), find(part))


def test_commands_read_it(tmp_path):
    ds = studies.study(n=30, p=24, m=7)
    result = blmm.scan(ds, store=tmp_path / "whole.zarr")
    blmm.save(result.isel(traits=[1, 5]), tmp_path / "part.zarr")
    assert len(run("maxima", tmp_path / "part.zarr").stdout.splitlines()) == 3
    shown = run("info", tmp_path / "part.zarr").stdout
    assert "result of a scan, finished" in shown
    assert "24 markers x 2 traits" in shown
    run("report", tmp_path / "part.zarr", "--out", tmp_path / "r.html", "--threshold", 1)


@pytest.mark.parametrize("method", ["per-trait", "shared"])
def test_permutations_of_some_traits_are_permutations(tmp_path, method):
    ds = studies.study(n=30, p=24, m=7)
    perm = blmm.permute(ds, n_permutations=30, seed=1, method=method, by="contig")
    part = perm.isel(traits=[6, 2])
    blmm.save(part, tmp_path / "part.zarr")
    opened = blmm.open_result(tmp_path / "part.zarr")
    xr.testing.assert_identical(opened.compute(), part.compute())
    xr.testing.assert_identical(blmm.thresholds(opened, 0.1), blmm.thresholds(part, 0.1))


def test_what_is_no_result_any_more_is_refused(tmp_path):
    ds = studies.study(n=30, p=24, m=7)
    result = blmm.scan(ds)
    with pytest.raises(blmm.InputError, match=r"lost its dimension 'traits'.*traits=\[name\]"):
        blmm.save(result.sel(traits="trait1"), tmp_path / "part.zarr")
    with pytest.raises(blmm.InputError, match="holds nothing"):
        blmm.save(result.isel(variants=slice(0)), tmp_path / "part.zarr")
    assert list(tmp_path.iterdir()) == []
    blmm.save(result, tmp_path / "part.zarr")
    with pytest.raises(blmm.StoreError, match="exists"):
        blmm.save(result, tmp_path / "part.zarr")
    blmm.save(result.isel(traits=[0]), tmp_path / "part.zarr", overwrite=True)
    assert blmm.open_result(tmp_path / "part.zarr").sizes["traits"] == 1
    with pytest.raises(blmm.StoreError, match="other inputs"):
        blmm.scan(ds, store=tmp_path / "part.zarr")
