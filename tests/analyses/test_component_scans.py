"""`scan` with several kernels by name: results, stores, what follows from them, and errors."""

from __future__ import annotations

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from commands import run
from test_components import cage_kernel, caged

import bulklmm_dask as blmm
from bulklmm_dask.analyses.again import analysis_of
from bulklmm_dask.reporting.repeat import how_to_repeat

KERNELS = {"additive": "kinship", "cage": "cage"}
pytestmark = pytest.mark.filterwarnings("ignore:the kinship is of the whole genome")


def same(found: xr.Dataset, wanted: xr.Dataset, atol: float = 2e-6) -> None:
    np.testing.assert_allclose(found.lod.values, wanted.lod.values, atol=atol)
    np.testing.assert_allclose(found.h2.values, wanted.h2.values, atol=1e-6)
    np.testing.assert_allclose(found.sigma2.values, wanted.sigma2.values, rtol=1e-5)
    assert list(found.trait_status.values) == list(wanted.trait_status.values)


@pytest.mark.parametrize("reml", [False, True], ids=["ML", "REML"])
def test_a_result_has_the_shares_by_name(reml):
    ds = caged(missing=0.2)
    found = blmm.scan(ds, kinship=KERNELS, reml=reml)
    assert found.lod.dims == ("variants", "traits")
    assert found.h2.dims == ("components", "traits")
    assert list(found.components.values) == ["additive", "cage", "residual"]
    assert found.attrs["kinship"] == "additive=kinship, cage=cage"
    shares = blmm.heritability(ds, kinship=KERNELS, reml=reml)
    np.testing.assert_allclose(found.h2.values, shares.h2.values, atol=1e-6)
    np.testing.assert_allclose(found.sigma2.values, shares.sigma2.values, rtol=1e-5)
    assert list(found.trait_status.values) == list(shares.trait_status.values)
    np.testing.assert_array_equal(found.n_samples.values, shares.n_samples.values)


def test_one_kernel_is_the_scan_of_a_kinship():
    ds = caged(missing=0.2)
    statistics = ["beta", "se", "neg_log10_p", "explained"]
    weights = np.random.default_rng(0).uniform(0.5, 2, 50)
    options = {"statistics": statistics, "weights": weights}
    one, today = (
        blmm.scan(ds, kinship=kinship, **options).compute()
        for kinship in ({"additive": "kinship"}, "kinship")
    )
    for name in ("lod", *statistics):
        np.testing.assert_allclose(one[name].values, today[name].values, atol=2e-6, rtol=1e-6)
    np.testing.assert_allclose(one.h2.sel(components="additive").values, today.h2.values, atol=1e-6)


def test_any_chunks_of_samples_markers_and_traits():
    ds = caged(m=7, missing=0.3)
    ds.sample_trait.values[:4, ::3] = np.nan
    wanted = blmm.scan(ds, kinship=KERNELS).compute()
    assert len(np.unique(wanted.n_samples)) > 2
    chunked = ds.chunk(traits=3, samples=20, variants=7)
    with dask.config.set(scheduler="synchronous"):
        same(blmm.scan(chunked, kinship=KERNELS, chunks={"variants": 11, "traits": 2}), wanted)
    for j in (0, 4):
        has = np.flatnonzero(~np.isnan(ds.sample_trait.values[:, j]))
        alone = ds.isel(samples=has, samples_0=has, samples_1=has, traits=[j])
        own = blmm.scan(alone, kinship=KERNELS)
        np.testing.assert_allclose(own.h2.values[:, 0], wanted.h2.values[:, j], atol=1e-6)
        np.testing.assert_allclose(own.lod.values[:, 0], wanted.lod.values[:, j], atol=1e-5)


def test_a_store_is_finished_after_a_stop(tmp_path):
    ds = caged(m=5)
    chunks = {"variants": 25, "traits": 2}
    wanted = blmm.scan(ds, kinship=KERNELS, statistics=["beta", "se"]).compute()

    def stop(progress: blmm.Progress) -> None:
        if progress.done == 3:
            raise KeyboardInterrupt

    how = {"kinship": KERNELS, "statistics": ["beta", "se"], "store": tmp_path / "x.zarr"}
    with pytest.raises(KeyboardInterrupt):
        blmm.scan(ds, **how, chunks=chunks, progress=stop)
    counts = []
    found = blmm.scan(ds, **how, progress=lambda progress: counts.append(progress.done))
    assert counts[0] >= 3
    same(found, wanted)
    for name in ("beta", "se"):
        np.testing.assert_allclose(found[name].values, wanted[name].values, rtol=1e-6, atol=1e-9)
    again = blmm.open_result(tmp_path / "x.zarr")
    assert list(again.components.values) == ["additive", "cage", "residual"]
    assert again.h2.dims == ("components", "traits")
    for other in (KERNELS | {"cage": cage_kernel(ds) + np.eye(50)}, {"a": "kinship", "b": "cage"}):
        with pytest.raises(blmm.StoreError, match="kinship"):
            blmm.scan(ds, **how | {"kinship": other})
    arguments = analysis_of(dict(again.attrs) | _raw(tmp_path / "x.zarr")).arguments
    assert arguments["kinship"] == KERNELS
    # Tables give the share of all kernels together.
    total = 1 - again.h2.sel(components="residual").to_series()
    top = blmm.max_lod(again).set_index("trait")
    np.testing.assert_allclose(top.h2, total[top.index], atol=1e-12)
    hits = blmm.find_hits(again, threshold=0.5)
    assert len(hits)
    np.testing.assert_allclose(hits.h2, total[hits.trait], atol=1e-12)
    streamed = blmm.find_hits(blmm.scan(ds, kinship=KERNELS), threshold=0.5)
    pd.testing.assert_series_equal(streamed.variant, hits.variant)


def _raw(store) -> dict:
    import zarr

    return dict(zarr.open_group(store, mode="r").attrs)


def test_the_contig_of_a_marker_is_left_out_of_the_kernels_made_by_contig():
    ds = caged(m=4, missing=0.2)
    ds["kinship_loco"] = blmm.kinship(ds, loco=True).compute()
    statistics = ["beta", "se"]
    found = blmm.scan(ds, kinship=KERNELS, loco=True, statistics=statistics).compute()
    assert found.h2.dims == ("contigs", "components", "traits")
    assert found.sigma2.dims == ("contigs", "traits")
    top = blmm.max_lod(found)
    for number in range(2):
        kernels = {"additive": ds.kinship_loco.values[number], "cage": "cage"}
        own = blmm.scan(ds, kinship=kernels, statistics=statistics).compute()
        here = found.variant_contig.values == number
        np.testing.assert_allclose(found.h2.values[number], own.h2.values, atol=1e-9)
        for name in ("lod", *statistics):
            np.testing.assert_allclose(
                found[name].values[here], own[name].values[here], rtol=1e-6, atol=1e-6
            )
        mine = top[top.contig == found.contig_id.values[number]].set_index("trait")
        total = 1 - own.h2.sel(components="residual").to_series()
        np.testing.assert_allclose(mine.h2, total[mine.index], atol=1e-9)
    given = blmm.scan(ds, kinship=KERNELS | {"additive": ds.kinship_loco}, loco=True)
    same(given, found)
    with pytest.raises(blmm.InputError, match="kinship_loco holds one matrix for each contig"):
        blmm.scan(ds, kinship={"additive": "kinship_loco", "cage": "cage"})
    with pytest.raises(blmm.InputError, match=r"loco=True needs a kernel .* 'cage' have one for"):
        blmm.scan(ds, kinship={"cage": "cage"}, loco=True)


def test_covariates_conditions_and_interactions():
    ds = caged(m=3)
    marker = str(ds.variant_id.values[4])
    found = blmm.scan(ds, kinship=KERNELS, condition=marker, interaction="covariate1").compute()
    assert float(abs(found.lod.sel(variants=marker)).max()) < 50
    dosage = ds.call_dosage.sel(variants=ds.variant_id == marker).values[0]
    both = np.column_stack([ds.sample_covariate.values, dosage])
    other = ds.drop_vars(["sample_covariate"]).drop_dims("covariates", errors="ignore")
    other["sample_covariate"] = (("samples", "covariates"), both)
    other["covariate_id"] = ("covariates", ["covariate1", "marker"])
    same(blmm.scan(other, kinship=KERNELS, interaction="covariate1"), found)


@pytest.mark.slow
def test_many_traits_are_scanned_in_bulk(processes, tmp_path):
    ds = caged(n=60, m=70)
    ds["kinship_loco"] = blmm.kinship(ds, loco=True).compute()
    for loco in (False, True):
        # Chunks of few traits are scanned one after the other.
        wanted = blmm.scan(ds, kinship=KERNELS, loco=loco, chunks={"traits": 9}).compute()
        found = blmm.scan(ds, kinship=KERNELS, loco=loco)
        np.testing.assert_allclose(found.lod.values, wanted.lod.values, atol=5e-5)
        np.testing.assert_allclose(found.h2.values, wanted.h2.values, atol=3e-5)
        assert list(found.trait_status.values) == list(wanted.trait_status.values)
        with dask.config.set(scheduler="processes", pool=processes):
            other = blmm.scan(ds, kinship=KERNELS, loco=loco, chunks={"variants": 25})
            np.testing.assert_allclose(other.lod.values, found.lod.values, atol=1e-6)


@pytest.mark.slow
def test_tasks_in_other_processes(processes, tmp_path):
    ds = caged(m=4, missing=0.2)
    wanted = blmm.scan(ds, kinship=KERNELS).compute()
    with dask.config.set(scheduler="processes", pool=processes):
        same(blmm.scan(ds, kinship=KERNELS, chunks={"variants": 25, "traits": 2}), wanted)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "alt-exact"}, r"alt-exact.* 2 kernels by name \('additive', 'cage'\) exclude"),
        ({"method": "null-grid"}, "use method='null-exact'"),
        ({"prior": (1.0, 2.0)}, "a prior is for one kinship"),
        ({"condition": {"trait1": "variant3"}}, "gives every trait its own markers"),
    ],
)
def test_what_several_kernels_do_not_take_is_refused(options, words):
    with pytest.raises(blmm.InputError, match=words):
        blmm.scan(caged(), kinship=KERNELS, **options)


def test_a_report_says_how_to_scan_again(tmp_path):
    ds = caged(m=4)
    found = blmm.scan(ds, kinship=KERNELS, store=tmp_path / "x.zarr")
    told = how_to_repeat(found, None, study=False, threshold=3, n_top=5)
    assert '{"additive": "kinship", "cage": "cage"}' in told.python
    assert "--kernel additive=kinship" in told.shell
    assert "--kernel cage=cage" in told.shell
    given = blmm.scan(ds, kinship={"cage": cage_kernel(ds)})
    assert how_to_repeat(given, None, study=False, threshold=3, n_top=5).given == ["kinship"]
    blmm.report(found, tmp_path / "r.html", study=ds)
    page = (tmp_path / "r.html").read_text()
    assert "The shares of all kernels together" in page
    assert "fitted, with a share at its bound" in page


def test_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ds = caged(m=4)
    ds["kinship_loco"] = blmm.kinship(ds, loco=True).compute()
    blmm.save(ds, "s.zarr")
    kernels = ["--kernel", "additive=kinship", "--kernel", "cage=@cage"]
    said = run("scan", "s.zarr", "out.zarr", *kernels, "--threads", 1, "--reml").stderr
    assert "2 kernels, one trait after the other: about 0:0" in said
    same(blmm.open_result("out.zarr"), blmm.scan(ds, kinship=KERNELS, reml=True))
    shown = run("info", "out.zarr").stdout
    assert "additive=kinship, cage=@cage" in shown
    words = blmm.open_result("out.zarr").load().bulklmm
    assert "residual" in str(words)
    run("scan", "s.zarr", "loco.zarr", *kernels, "--threads", 1, "--loco")
    same(blmm.open_result("loco.zarr"), blmm.scan(ds, kinship=KERNELS, loco=True))
    search = ["--threshold", 0.5, "--out", "hits.csv", "--threads", 1]
    assert "2 kernels, one trait" in run("hits", "s.zarr", *kernels, *search).stderr
    hits = blmm.find_hits(blmm.scan(ds, kinship=KERNELS), threshold=0.5)
    assert list(pd.read_csv("hits.csv").variant) == list(hits.variant)
    wrong = run("hits", "out.zarr", *kernels, "--threshold", 1, code=2).stderr
    assert "--kernel is of a scan, and" in wrong
    wrong = run("scan", "s.zarr", "x.zarr", *kernels, "--kinship", "none", code=2).stderr
    assert "exclude each other" in wrong
    wrong = run("scan", "s.zarr", "x.zarr", *kernels, "--method", "alt-exact", code=2).stderr
    assert "--method alt-exact and 2 kernels by name" in wrong
