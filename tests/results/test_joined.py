"""Results that were joined by xr.concat, and the tables and pictures of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import studies
import xarray as xr
from matplotlib import pyplot as plt

import bulklmm_dask as blmm
from bulklmm_dask.lmm.statistics import OF_TRAITS
from bulklmm_dask.storage.labels.restored import restored

MINIMAL = {"data_vars": "minimal", "coords": "minimal", "compat": "override"}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module", params=["gaps", pytest.param("complete", marks=pytest.mark.slow)])
def ds(request):
    missing = 0.2 if request.param == "gaps" else 0
    return studies.study(n=40, p=30, m=20, seed=3, missing=missing)


def halves(ds, dim, **options):
    middle = ds.sizes[dim] // 2
    whole = blmm.scan(ds, **options)
    if dim == "variants":  # of one scan: h2 is that of all markers
        return [whole.isel(variants=part) for part in (slice(middle), slice(middle, None))]
    return [
        blmm.scan(ds.isel(traits=part), **options) for part in (slice(middle), slice(middle, None))
    ]


FINDS = (
    blmm.max_lod,
    lambda result: blmm.max_lod(result, by="contig"),
    lambda result: blmm.find_hits(result, threshold=1),
    lambda result: blmm.find_peaks(result, threshold=1),
    lambda result: blmm.find_peaks(result, threshold=1, prob=0.9, peakdrop=0.5),
    blmm.pvalue_counts,
)


@pytest.fixture(scope="module")
def of_the_whole(ds):
    """What is found in the result of one scan."""
    whole = blmm.scan(ds).compute()
    return [find(whole) for find in FINDS]


@pytest.mark.parametrize("dim", ["traits", "variants"])
@pytest.mark.parametrize("how", [{}, {"data_vars": "all"}, MINIMAL], ids=["default", "all", "min"])
def test_joined_halves_give_what_the_whole_gives(ds, of_the_whole, dim, how):
    joined = xr.concat(halves(ds, dim), dim, **how)
    for find, expected in zip(FINDS, of_the_whole, strict=True):
        pd.testing.assert_frame_equal(find(joined), expected)


@pytest.mark.parametrize("dim", ["traits", "variants"])
def test_joined_halves_are_drawn(ds, dim):
    pytest.importorskip("matplotlib")
    joined = xr.concat(halves(ds, dim), dim)
    names = list(ds.traits.values[[0, -1]])
    for ax in (
        blmm.plot.lod(joined, names),
        blmm.plot.manhattan(joined, names[1]),
        blmm.plot.heatmap(joined),
        blmm.plot.hotspots(blmm.hotspots(blmm.max_lod(joined), joined, window=3), joined),
    ):
        assert ax.get_xlabel() == "Chromosome"


@pytest.mark.filterwarnings("ignore:In a future version of xarray:FutureWarning")  # they differ
def test_parts_with_other_maps_are_refused(ds):
    first, second = halves(ds, "traits")
    other = second.assign(variant_position=second.variant_position + 1)
    joined = xr.concat([first, other], "traits")
    for find in (blmm.max_lod, blmm.find_peaks, lambda result: blmm.find_hits(result, top=1)):
        with pytest.raises(blmm.InputError, match=r"variant_position differs along traits"):
            find(joined)
    with pytest.raises(blmm.InputError, match="variant_position differs along traits"):
        blmm.hotspots(blmm.find_peaks(first, threshold=1), joined, window=2)


@pytest.mark.filterwarnings("ignore:In a future version of xarray:FutureWarning")  # they differ
def test_parts_of_other_scans_are_refused(ds):
    first, second = halves(ds, "variants")
    other = blmm.scan(ds, kinship=np.eye(40)).isel(variants=slice(15, None))
    with pytest.raises(blmm.InputError, match=r"h2 differs along variants.*not of one scan"):
        blmm.max_lod(xr.concat([first, other], "variants"))
    assert len(blmm.max_lod(xr.concat([first, second], "variants"))) == 20


@pytest.mark.parametrize("dim", ["traits", "variants"])
@pytest.mark.parametrize("how", [{}, MINIMAL], ids=["default", "min"])
def test_joined_halves_are_saved_as_a_result(ds, dim, how, tmp_path):
    blmm.save(xr.concat(halves(ds, dim), dim, **how), tmp_path / "r.zarr")
    found, whole = blmm.open_result(tmp_path / "r.zarr"), blmm.scan(ds)
    pd.testing.assert_frame_equal(blmm.max_lod(found), blmm.max_lod(whole))
    np.testing.assert_allclose(found["h2"], whole["h2"], rtol=1e-12)


def test_a_result_with_a_name_twice_is_not_saved(ds, tmp_path):
    result = blmm.scan(ds)
    with pytest.raises(blmm.InputError, match="1 name more than once along 'variants': "):
        blmm.save(result.isel(variants=[1, 0, 1]), tmp_path / "r.zarr")
    assert not list(tmp_path.iterdir())


def test_every_statistic_of_a_trait_is_told_from_those_of_pairs():
    for row in OF_TRAITS:
        repeated = xr.Dataset({row.name: (("variants", "traits"), np.ones((3, 2)))})
        assert restored(repeated)[row.name].dims == ("traits",)


def test_a_lazy_text_of_every_marker_that_is_that_of_a_trait(ds):
    """Dask cannot take the only entry out of an array of texts."""
    result = blmm.scan(ds).compute()
    same = np.full(result.sizes["variants"], "liver", dtype=object)
    lazy = result.assign_coords(trait_tissue=("variants", same)).chunk(variants=1)
    found = restored(lazy)["trait_tissue"]
    assert found.dims == ("traits",)
    assert set(found.values) == {"liver"}
