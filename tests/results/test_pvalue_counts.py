"""p-values of all pairs, counted block by block."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import studies
import xarray as xr
from studies import result_of

import bulklmm_dask as blmm
from bulklmm_dask.lmm.statistics import neg_log10_p
from bulklmm_dask.results.pvalue_counts import count_lods, pvalue_counts
from bulklmm_dask.storage.summaries.cells import lower_edge


@pytest.fixture
def lod():
    """LODs of chance alone, with a trait that has none, markers without variation, and extremes."""
    lod = (np.random.default_rng(0).chisquare(1, (300, 40)) / (2 * np.log(10))).astype("float32")
    lod[17] = 0.0
    lod[18, :3] = [-1e-4, 1e-30, 3000.0]
    lod[:, 5] = np.nan
    return lod


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("chunks", [None, (300, 40), (7, 9)])
def test_no_pair_is_lost_and_the_edges_are_exact(lod, chunks, dtype):
    lod = lod.astype(dtype)
    result = result_of(lod if chunks is None else da.from_array(lod, chunks=chunks))
    table = pvalue_counts(result)
    score = neg_log10_p(lod[~np.isnan(lod)], 1)
    assert table.attrs["tests"] == table["count"].sum() == score.size == 300 * 39
    edge = table.neg_log10_p.to_numpy()
    assert edge[0] == 0
    assert (table["count"] > 0).all()
    beyond = np.cumsum(table["count"][::-1])[::-1]
    np.testing.assert_array_equal(beyond, [(score >= each - 1e-9).sum() for each in edge])
    assert np.diff(np.floor(edge / 0.01)).min() >= 1
    assert np.diff(edge[edge < 1.5]).max() < 0.021
    assert edge[-1] == pytest.approx(neg_log10_p(3000.0, 1), rel=1e-3)


def test_some_traits(lod):
    result = result_of(da.from_array(lod, chunks=(50, 7)))
    table = pvalue_counts(result, traits=["t8", "t3", "t5"])
    both = pvalue_counts(result.isel(traits=[3, 8]))
    assert table.attrs["tests"] == 600
    assert table.equals(both)
    assert pvalue_counts(result, traits="t5").empty
    with pytest.raises(blmm.InputError, match="no trait 'none' here"):
        pvalue_counts(result, traits=["t1", "none"])
    with pytest.raises(blmm.InputError, match="pvalue_counts needs the Dataset"):
        pvalue_counts(result.lod)


def test_each_pair_has_its_own_degrees_of_freedom(lod):
    df = np.where(np.arange(300) % 2, 1, 3)[:, None] * np.ones(40, int)
    df[17] = 0
    result = result_of(lod, df=(("variants", "traits"), df.astype("int16")))
    table = pvalue_counts(result)
    known = ~np.isnan(lod)
    score = neg_log10_p(lod[known], df[known])
    assert table.attrs["tests"] == score.size
    at = np.searchsorted(table.neg_log10_p, [0.5, 1.0, 2.0])
    beyond = np.cumsum(table["count"][::-1])[::-1].to_numpy()[at]
    np.testing.assert_allclose(beyond, [(score >= x).sum() for x in (0.5, 1.0, 2.0)], rtol=0.02)


def test_a_scan_of_chance_alone_is_uniform():
    ds = studies.study(n=80, p=120, m=60)
    result = blmm.scan(ds, statistics="neg_log10_p", chunks={"variants": 50, "traits": 16})
    table = pvalue_counts(result)
    score = result.neg_log10_p.values
    assert table["count"].iloc[0] == pytest.approx((score < table.neg_log10_p[1]).sum(), abs=1)
    count = table["count"][table.neg_log10_p >= 1].sum()
    assert count == pytest.approx((score >= 1).sum(), rel=0.03)


def test_cells_are_as_wide_as_they_say():
    lod = np.random.default_rng(1).uniform(0, 60, 5000)
    lod[:3] = [0.0, 1e-9, 1.0]
    for dtype in ("float32", "float64"):
        values = lod.astype(dtype)
        for value in values[:200]:
            block = xr.Dataset({"lod": (("variants", "traits"), value.reshape(1, 1))})
            (cell,) = count_lods(block)["cell"]
            low, high = lower_edge(np.array([cell, cell + 1]))
            assert low <= value < high
            assert high - low <= max(2.0**-16, value / 1024) * 1.002
