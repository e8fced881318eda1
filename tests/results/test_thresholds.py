"""Thresholds and adjusted p from maxima that are known."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import studies
import xarray as xr
import zarr
from scipy.stats import genpareto

import bulklmm_dask as blmm
from bulklmm_dask.results.null_maxima import null_maxima
from bulklmm_dask.storage.labels.encoding import text


def maxima(values: np.ndarray, **attrs: object) -> xr.Dataset:
    """What permute gives: maxima (permutations, traits[, contigs])."""
    traits = text(f"t{j}" for j in range(values.shape[1]))
    dims = ("permutations", "traits", "contigs")[: values.ndim]
    ds = xr.Dataset({"max_lod": (dims, values.astype(np.float32))}, {"traits": traits})
    if values.ndim == 3:
        ds = ds.assign_coords(contigs=text(range(values.shape[2])))
        attrs = {"by": "contig", **attrs}
    status = np.where(np.isnan(values).reshape(len(values), len(traits), -1).all((0, 2)), "x", "ok")
    return ds.assign(trait_status=("traits", text(status))).assign_attrs(attrs)


def hits(trait, lod, **more) -> pd.DataFrame:
    return pd.DataFrame({"trait": trait, "lod": lod, **more})


def gumbel(shape, seed=0):
    """Maxima of a hundred chi-square LODs: an exponential tail of known probability."""
    p = -np.expm1(np.log(np.random.default_rng(seed).random(shape)) / 100)
    return genpareto.isf(p, 0, scale=1 / np.log(10))


def test_thresholds_are_quantiles():
    values = np.random.default_rng(0).random((99, 3, 4)).astype(np.float32)
    found = blmm.thresholds(maxima(values), (0.2, 0.05))
    assert found.threshold.dims == ("traits", "alpha")
    np.testing.assert_allclose(
        found.threshold, np.quantile(values.max(axis=2), [0.8, 0.95], axis=0).T, rtol=1e-6
    )
    each = blmm.thresholds(maxima(values), 0.01, by="contig")
    assert each.threshold.dims == ("traits", "alpha", "contigs")
    np.testing.assert_allclose(
        each.threshold.sel(alpha=0.01), np.quantile(values, 0.99, axis=0), rtol=1e-6
    )
    assert float(found.threshold.sel(traits="t1", alpha=0.2)) > 0.8


def test_autosomes_and_the_x_share_the_level_by_their_lengths():
    values = np.random.default_rng(0).random((999, 2, 3)).astype(np.float32)
    values[5, :, 0] = np.nan
    perm = maxima(values).assign_coords(
        contig_length=("contigs", [100.0, 20.0, 60.0]),
        contig_on_x=("contigs", [False, True, False]),
    )
    found = blmm.thresholds(perm, (0.2, 0.05), by="x").threshold
    assert found.dims == ("traits", "alpha", "contigs")
    level = 1 - 0.95 ** (160 / 180)
    expected = np.quantile(np.nanmax(values[:, :, [0, 2]], axis=2), 1 - level, axis=0)
    for autosome in (0, 2):
        np.testing.assert_allclose(found[:, 1, autosome], expected, rtol=1e-6)
    expected = np.quantile(values[:, :, 1], 0.95 ** (20 / 180), axis=0)
    np.testing.assert_allclose(found[:, 1, 1], expected, rtol=1e-6)
    # Either is exceeded with the probability that was asked for.
    above = (values > found[:, 0].values).any(axis=2).mean(axis=0)
    np.testing.assert_allclose(above, 0.2, atol=0.03)
    with pytest.raises(
        blmm.InputError, match=r"X is 11.1% of the genome.*0.0011.*take at least 896"
    ):
        blmm.thresholds(perm.isel(permutations=slice(200)), 0.01, by="x")
    with pytest.raises(blmm.InputError, match="no contig_length and no contig_on_x"):
        blmm.thresholds(maxima(values), 0.2, by="x")
    with pytest.raises(blmm.InputError, match="none of the contigs are X"):
        blmm.thresholds(perm.assign_coords(contig_on_x=("contigs", [False] * 3)), 0.2, by="x")
    for length, what in (([9.0, 0.0, 2.0], "X"), ([0.0, 9.0, 0.0], "autosomes"), ([0.0] * 3, "X")):
        short = perm.assign_coords(contig_length=("contigs", length))
        with pytest.raises(blmm.InputError, match=f"contig_length of the {what} is 0"):
            blmm.thresholds(short, 0.2, by="x")


def test_variables_of_other_dimensions_are_left_alone():
    ds = studies.study(n=30, p=20, m=3, seed=1)
    perm = blmm.permute(ds, n_permutations=40, seed=2).compute()
    expected = blmm.thresholds(perm, 0.2)
    more = perm.assign(extra=(("genes", "tissues"), np.zeros((2, 3))))
    xr.testing.assert_equal(blmm.thresholds(more, 0.2), expected)


def test_lazy_maxima_and_many_traits_give_the_same(monkeypatch):
    from bulklmm_dask.results import null_maxima as module

    values = gumbel((300, 25))
    expected = blmm.thresholds(maxima(values))
    table = hits([f"t{j}" for j in range(24, -1, -1)], np.linspace(2, 9, 25))
    p = blmm.adjusted_p(maxima(values), table)
    monkeypatch.setattr(module, "_COMPUTED", 5000)
    monkeypatch.setattr(module, "_CELLS", 1000)
    lazy = maxima(values).chunk(permutations=70, traits=4)
    np.testing.assert_array_equal(blmm.thresholds(lazy).threshold, expected.threshold)
    pd.testing.assert_frame_equal(blmm.adjusted_p(lazy, table), p)


def test_p_counts_the_maxima_that_are_no_lower():
    values = np.arange(1.0, 10.0)[:, None] * np.array([1.0, 10.0])
    table = hits(["t0", "t0", "t0", "t1", "t1"], [0.5, 9.0, 9.5, 45.0, np.nan], position=range(5))
    found = blmm.adjusted_p(maxima(values), table)
    np.testing.assert_allclose(found.p_adjusted, [1.0, 0.2, 0.1, 0.6, np.nan])
    assert list(found.p_source) == ["counted"] * 4 + [""]  # nine are too few for a tail
    assert list(found.position) == list(range(5))
    assert "p_adjusted" not in table


def test_p_agrees_with_thresholds():
    perm = maxima(gumbel((999, 4)))
    for alpha in (0.1, 0.05, 0.01):
        level = blmm.thresholds(perm, alpha).threshold.values[:, 0]
        for shift, sign in ((1e-3, 1), (-1e-3, -1)):
            p = blmm.adjusted_p(perm, hits(perm.traits.values, level + shift)).p_adjusted
            assert (sign * (alpha + 0.0011 - p) > -1e-9 - 0.0022 * (sign < 0)).all()


def test_the_fitted_tail_has_the_right_magnitude():
    perm = maxima(gumbel((1000, 200)))
    for true in (1e-4, 1e-6):
        each = -np.expm1(np.log1p(-true) / 100)
        lod = genpareto.isf(each, 0, scale=1 / np.log(10))
        found = blmm.adjusted_p(perm, hits(perm.traits.values, lod))
        beyond = found.p_source == "tail"
        assert beyond.mean() > 0.8
        assert (found.p_adjusted[beyond] <= 1 / 1001).all()
        assert (found.p_adjusted > 0).all()
        assert abs(np.log10(found.p_adjusted.median() / true)) < 0.7


def test_tails_fall_and_never_vanish():
    narrow = np.random.default_rng(1).random((500, 1))  # bounded: an end that a LOD need not have
    same = np.full((500, 1), 2.0)
    perm = maxima(np.concatenate([gumbel((500, 1)), narrow, same], axis=1))
    for trait in ("t0", "t1", "t2"):
        lod = np.linspace(0, 40, 60)
        p = blmm.adjusted_p(perm, hits([trait] * 60, lod)).p_adjusted.to_numpy()
        assert (np.diff(p) <= 0).all()
        assert (p > 0).all()
    assert p[-1] == 1 / 501  # nothing but 2 was ever seen: no tail to fit


def test_each_chromosome_by_itself():
    values = gumbel((99, 2, 3))
    found = blmm.adjusted_p(
        maxima(values), hits(["t0", "t1"], [2.5, 2.5], contig=["2", "0"]), by="contig"
    )
    counts = [(values[:, 0, 2] >= 2.5).sum(), (values[:, 1, 0] >= 2.5).sum()]
    np.testing.assert_allclose(found.p_adjusted, (1 + np.array(counts)) / 100)
    with pytest.raises(
        blmm.InputError, match="1 contig of the hits not among the permutations: '7'"
    ):
        blmm.adjusted_p(maxima(values), hits(["t0"], [2.5], contig=["7"]), by="contig")


def test_traits_without_a_null_model():
    values = gumbel((99, 3))
    values[:, 1] = np.nan
    perm = maxima(values)
    assert np.isnan(blmm.thresholds(perm).threshold.values).any(axis=1).tolist() == [
        False,
        True,
        False,
    ]
    found = blmm.adjusted_p(perm, hits(["t0", "t1"], [4.0, 4.0]))
    assert np.isfinite(found.p_adjusted).tolist() == [True, False]
    assert found.p_source[1] == ""


def test_hits_of_a_scan_get_their_p():
    ds = studies.study(n=60, p=40, m=5)
    perm = blmm.permute(ds, n_permutations=99)
    found = blmm.adjusted_p(perm, blmm.find_hits(blmm.scan(ds), top=2, threshold=0.0))
    assert len(found) == 10
    assert found.p_adjusted.between(0, 1).all()
    empty = blmm.adjusted_p(perm, found.iloc[:0])
    assert list(empty.columns) == list(found.columns)


def test_what_cannot_be_used_is_refused():
    perm = maxima(gumbel((99, 2)))
    for alpha in (0.0, 1.0, 0.009, (), (0.05, 2.0), 10**400):
        with pytest.raises(blmm.InputError, match=r"99 permutations give levels from 0.01"):
            blmm.thresholds(perm, alpha)
    with pytest.raises(blmm.InputError, match="the Dataset that permute gives"):
        blmm.thresholds(studies.study(n=12, p=8, m=2))
    with pytest.raises(blmm.InputError, match="unknown by 'trait'"):
        blmm.thresholds(perm, by="trait")
    with pytest.raises(blmm.InputError, match="those of each contig are kept by"):
        blmm.thresholds(perm, by="contig")
    with pytest.raises(blmm.InputError, match="no column 'lod'"):
        blmm.adjusted_p(perm, pd.DataFrame({"trait": ["t0"]}))
    with pytest.raises(
        blmm.InputError, match="1 trait of the hits not among the permutations: 'other'"
    ):
        blmm.adjusted_p(perm, hits(["other"], [3.0]))


def test_a_store_that_lost_a_file_is_noticed(tmp_path):
    ds = studies.study(n=25, p=20, m=6)
    path = tmp_path / "p.zarr"
    options = {"n_permutations": 20, "store": path, "chunks": {"permutations": 10, "traits": 3}}
    perm = blmm.permute(ds, **options)
    file = path / "max_lod" / "c" / "1" / "0"
    content = file.read_bytes()
    file.unlink()
    with pytest.raises(blmm.StoreError, match="damaged: 1 file"):
        blmm.open_result(path)
    with pytest.raises(blmm.StoreError, match=r"max_lod is damaged: its file c/1/0 is lost"):
        blmm.thresholds(perm)
    blmm.permute(ds, **options)
    assert zarr.open_array(path, path="max_lod", mode="r").shape == (20, 6)
    assert len(file.read_bytes()) == len(content)


def test_the_rate_over_traits_is_that_of_benjamini_and_hochberg():
    perm = maxima(gumbel((199, 40)))
    table = hits(perm.traits.values, np.append(np.linspace(1.5, 6, 39), np.nan))
    found = blmm.trait_fdr(perm, table)
    p = found.p_adjusted.to_numpy()[:39]
    rank = np.argsort(np.argsort(p, kind="stable"), kind="stable") + 1
    slow = [min(p[k] * 39 / rank[k] for k in range(39) if p[k] >= p[j]) for j in range(39)]
    np.testing.assert_allclose(found.fdr[:39], np.minimum(slow, 1))
    assert np.isnan(found.fdr[39])
    assert found.fdr[38] < 0.05 < found.fdr[0]
    with pytest.raises(blmm.InputError, match="the trait 't0' has several rows"):
        blmm.trait_fdr(perm, hits(["t0", "t0"], [3.0, 4.0]))


@pytest.mark.slow
def test_many_hits_of_a_trait_do_not_multiply_its_maxima():
    perm = maxima(gumbel((1000, 2)))
    lod = np.linspace(0, 12, 200_000)
    tracemalloc.start()
    p = blmm.adjusted_p(perm, hits(["t1"] * len(lod), lod)).p_adjusted.to_numpy()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6  # 1,000 maxima beside each would be 1.6e9
    own = np.sort(perm.max_lod.values[:, 1])
    some = slice(0, None, 5000)
    counted = (1 + (own[:, None] >= lod[some]).sum(axis=0)) / 1001
    np.testing.assert_allclose(p[some][counted > 1 / 1001], counted[counted > 1 / 1001])


@pytest.mark.parametrize("method", ["per-trait", "shared"])
def test_the_maxima_of_one_trait(method):
    ds = studies.study(n=25, p=20, m=4)
    perm = blmm.permute(ds, n_permutations=30, by="contig", method=method)
    whole, first = null_maxima(perm, "trait2"), null_maxima(perm, "trait2", "1")
    assert whole.shape == (30,)
    level = blmm.thresholds(perm, 0.2).threshold.sel(traits="trait2").item()
    np.testing.assert_allclose(np.quantile(whole, 0.8), level)
    level = blmm.thresholds(perm, 0.2, by="contig").threshold
    level = level.sel(traits="trait2", contigs=perm.contigs[0]).item()
    assert first.max() <= whole.max()
    np.testing.assert_allclose(np.quantile(first, 0.8), level)
    with pytest.raises(blmm.InputError, match=r"no trait 'x' here; .* 'trait1'"):
        null_maxima(perm, "x")
    with pytest.raises(blmm.InputError, match="no contig '9'"):
        null_maxima(perm, "trait1", "9")


def test_selections():
    values = gumbel((99, 4, 3))
    perm = maxima(values)
    expected = blmm.thresholds(perm).threshold
    some = blmm.thresholds(perm.sel(traits=["t3", "t1"])).threshold
    np.testing.assert_array_equal(some, expected.sel(traits=["t3", "t1"]))
    np.testing.assert_array_equal(blmm.thresholds(perm.transpose()).threshold, expected)
    for wrong, dim in (
        (perm.sel(traits="t1"), "traits"),
        (perm.isel(traits=[]), "traits"),
        (perm.isel(permutations=0), "permutations"),
    ):
        for call in (blmm.thresholds, lambda p: blmm.adjusted_p(p, hits(["t1"], [3.0]))):
            with pytest.raises(blmm.InputError, match=rf"dimension '{dim}'.*perm.sel\({dim}="):
                call(wrong)
    with pytest.raises(blmm.InputError, match="'t0'; select each once"):
        blmm.thresholds(perm.isel(traits=[0, 0]))
    with pytest.raises(blmm.InputError, match="pandas DataFrame"):
        blmm.adjusted_p(perm, {"trait": ["t0"], "lod": [3.0]})
    with pytest.raises(blmm.InputError, match=r"dtype=\{'trait': str\}"):
        blmm.adjusted_p(perm, hits([7.0], [3.0]))


def test_hits_without_a_lod_in_a_chunk_of_their_own(monkeypatch):
    from bulklmm_dask.results import null_maxima as module

    monkeypatch.setattr(module, "_CELLS", 1)
    found = blmm.adjusted_p(maxima(gumbel((99, 2))), hits(["t0", "t1"], [np.nan, 2.0]))
    assert np.isnan(found.p_adjusted[0])
    assert found.p_adjusted[1] > 0


def test_p_never_is_zero():
    found = blmm.adjusted_p(maxima(gumbel((500, 1))), hits(["t0"] * 2, [5000.0, np.inf]))
    assert (found.p_adjusted > 0).all()
    assert list(found.p_source) == ["tail"] * 2
