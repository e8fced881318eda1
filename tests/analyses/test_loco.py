"""Leaving one chromosome out: kinships, scans and their stores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import studies
import xarray as xr
from references import find, grav2

import bulklmm_dask as blmm

both = pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])


def expected(reference, name: str, ds: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """LOD (variants, traits) and h2 (contigs, traits) of R/qtl2."""
    lod = pd.read_csv(find(reference / f"{name}.csv"), index_col=0)
    hsq = pd.read_csv(find(reference / f"{name}.hsq.csv"), index_col=0)
    traits = list(ds.traits.values)
    contigs = list(ds.contigs.values)
    hsq.index = hsq.index.map(str)
    return lod.loc[list(ds.variants.values), traits].values, hsq.loc[contigs, traits].values


@both
def test_grav2_equals_rqtl2(reference, reml):
    check_grav2(reference, reml, n_traits=121)


@pytest.mark.reference
@both
def test_all_of_grav2_equals_rqtl2(whole_reference, reml):
    check_grav2(whole_reference, reml, n_traits=241)


def check_grav2(reference, reml, n_traits):
    ds = grav2(reference)
    result = blmm.scan(ds, loco=True, reml=reml).compute()
    assert result.h2.dims == ("contigs", "traits")
    assert result.lod.shape == (234, n_traits)
    lod, h2 = expected(reference, f"grav2/scan1_loco_{'reml' if reml else 'ml'}", ds)
    assert np.abs(result.lod.values - lod).max() < 1e-4
    assert np.abs(result.h2.values - h2).max() < 1e-5


def test_each_marker_is_counted_once():
    ds = studies.study(n=30, p=40, m=3)
    loco = blmm.kinship(ds, method="rqtl2", loco=True)
    assert loco.dims == ("contigs", "samples_0", "samples_1")
    assert list(loco.contigs.values) == list(ds.contigs.values)
    for c in range(ds.sizes["contigs"]):
        others = ds.isel(variants=np.flatnonzero(ds.variant_contig.values != c))
        alone = blmm.kinship(others, method="rqtl2")
        np.testing.assert_allclose(loco[c], alone, atol=1e-12)
    mixed = ds.isel(variants=np.random.default_rng(0).permutation(40)).chunk(variants=7)
    np.testing.assert_allclose(blmm.kinship(mixed, method="rqtl2", loco=True), loco, atol=1e-12)


@pytest.mark.parametrize("method", ["null-exact", "null-grid", "alt-exact"])
def test_each_contig_is_scanned_with_its_own_kinship(method):
    """Contigs in any order among the markers, missing values, any chunks."""
    ds = studies.study(n=40, p=30, m=9, missing=0.2, covariates=1)
    ds = ds.isel(variants=np.random.default_rng(1).permutation(30))
    ds["kinship_loco"] = blmm.kinship(ds, loco=True)
    chunks = {"variants": 7, "traits": 4}
    result = blmm.scan(ds, loco=True, method=method, chunks=chunks).compute()
    for c in range(ds.sizes["contigs"]):
        mine = np.flatnonzero(ds.variant_contig.values == c)
        alone = ds.isel(variants=mine).assign(kinship=ds.kinship_loco.isel(contigs=c, drop=True))
        one = blmm.scan(alone, method=method).compute()
        np.testing.assert_allclose(result.lod[mine], one.lod, atol=2e-6)
        np.testing.assert_allclose(result.h2[c], one.h2, atol=1e-7)
        np.testing.assert_allclose(result.sigma2[c], one.sigma2, rtol=1e-6)


def test_stored_as_computed(tmp_path):
    ds = studies.study(n=30, p=40, m=7)
    ds["kinship_loco"] = blmm.kinship(ds, loco=True).compute()
    chunks = {"variants": 16, "traits": 3}
    stored = blmm.scan(ds, loco=True, chunks=chunks, store=tmp_path / "r.zarr")
    lazy = blmm.scan(ds, loco=True).compute()
    np.testing.assert_allclose(stored.lod, lazy.lod, atol=2e-6)
    np.testing.assert_allclose(stored.h2, lazy.h2)
    assert stored.h2.dims == ("contigs", "traits")
    assert stored.attrs["loco"] == 1
    (tmp_path / "r.zarr" / "h2" / "c" / "0" / "1").write_bytes(b"cut")
    with pytest.raises(blmm.StoreError, match="damaged: 1 file"):
        blmm.open_result(tmp_path / "r.zarr")
    again = blmm.scan(ds, loco=True, chunks=chunks, store=tmp_path / "r.zarr")
    np.testing.assert_array_equal(again.h2, stored.h2)


def test_contigs_are_matched_by_name():
    ds = studies.study(n=30, p=40, m=3)
    loco = blmm.kinship(ds, loco=True).compute()
    straight = blmm.scan(ds, loco=True, kinship=loco).compute()
    turned = blmm.scan(ds, loco=True, kinship=loco[::-1, ::-1, ::-1]).compute()
    np.testing.assert_allclose(turned.lod, straight.lod, atol=1e-6)
    unknown = loco.assign_coords(contigs=[f"other{i}" for i in range(len(loco))])
    with pytest.raises(blmm.InputError, match="contigs: "):
        blmm.scan(ds, loco=True, kinship=unknown)


def test_one_contig_cannot_be_left_out():
    ds = studies.study(n=30, p=40, m=3)
    with pytest.raises(blmm.InputError, match="leaving it out leaves none"):
        blmm.kinship(ds.isel(variants=ds.variant_contig.values == 0), loco=True)
    bare = ds.drop_vars(["variant_contig", "contig_id", "contigs"])
    with pytest.raises(blmm.InputError, match="no variant_contig"):
        blmm.kinship(bare, loco=True)


@pytest.mark.parametrize("by", [None, "contig"])
def test_maxima_tell_the_h2_of_their_contig(by):
    ds = studies.study(n=30, p=40, m=5)
    ds["kinship_loco"] = blmm.kinship(ds, loco=True)
    result = blmm.scan(ds, loco=True)
    table = blmm.max_lod(result, by=by)
    for row in table.itertuples():
        expected = result.h2.sel(contigs=row.contig, traits=row.trait)
        assert row.h2 == pytest.approx(float(expected))
    one = blmm.max_lod(result.sel(traits="trait2"))
    assert one.h2[0] == pytest.approx(table[table.trait == "trait2"].h2.max(), abs=1)


def test_contigs_without_markers_keep_the_kinship_of_all():
    """A study cut to some chromosomes still names the others."""
    rng = np.random.default_rng(2)
    dosage, traits = rng.integers(0, 3, (30, 40)), rng.standard_normal((30, 3))
    ds = blmm.create_dataset(dosage, traits, contigs=np.repeat(list("abcd"), 10), maximum=2)
    last = ds.sizes["contigs"] - 1
    part = ds.isel(variants=np.flatnonzero(ds.variant_contig.values != last))
    loco = blmm.kinship(part, loco=True)
    np.testing.assert_allclose(loco[last], blmm.kinship(part), atol=1e-12)
    result = blmm.scan(part, loco=True, kinship=loco).compute()
    assert np.isfinite(result.lod).all()
    with pytest.raises(blmm.InputError, match="matrices for the"):
        blmm.scan(part, loco=True, kinship=loco[:1].drop_vars("contigs"))
