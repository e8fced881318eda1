"""Results that were changed in memory: what has lost its form is refused by its name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import studies
import xarray as xr

import bulklmm_dask as blmm


@pytest.fixture(scope="module")
def ds():
    return studies.study(n=30, p=12, m=4, seed=1)


@pytest.fixture(scope="module")
def result(ds):
    return blmm.scan(ds, statistics=("lod", "neg_log10_p")).compute()


def changed(ds, name, dims, values):
    return ds.drop_vars(name).assign({name: (dims, values)})


SEARCHES = {
    "max_lod": blmm.max_lod,
    "find_hits": lambda result: blmm.find_hits(result, threshold=0),
    "find_peaks": lambda result: blmm.find_peaks(result, threshold=0),
}


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
@pytest.mark.parametrize(
    ("name", "dims", "values", "message"),
    [
        ("variant_contig", "variants", np.arange(12) / 2, "dtype float64; .*index into contig_id"),
        ("variant_contig", "variants", np.full(12, 2), r"2\.\.2, outside the 2 entries"),
        ("variant_position", (), 1.0, r"has dimensions \(\), not \('variants',\)"),
        ("variant_position", "variants", np.zeros(12, "M8[ns]"), "dtype datetime64"),
        ("contig_id", (), "1", r"contig_id has dimensions \(\)"),
        ("lod", ("variants", "traits"), np.ones((12, 4), complex), "dtype complex128"),
        ("neg_log10_p", "traits", np.ones(4), "neg_log10_p has dimensions"),
        ("h2", "traits", list("abcd"), "dtype <U1; it should hold the heritability"),
        ("n_samples", ("x", "traits"), np.ones((1, 4)), "n_samples has dimensions"),
    ],
)
def test_a_variable_of_another_form(result, search, name, dims, values, message):
    with pytest.raises(blmm.InputError, match=message):
        search(changed(result, name, dims, values))


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_indices_that_are_no_names(result, search):
    levels = pd.MultiIndex.from_arrays([range(4), range(4)], names=("one", "two"))
    several = result.drop_vars("traits").assign_coords(
        xr.Coordinates.from_pandas_multiindex(levels, "traits")
    )
    with pytest.raises(blmm.InputError, match=r"index 'traits' is of 2 levels; give plain names"):
        search(several)
    odd = result.assign_coords(traits=pd.CategoricalIndex(list("abcd")))
    with pytest.raises(blmm.InputError, match="index 'traits' is of category"):
        search(odd)


def test_a_contig_table_that_is_lost(result):
    with pytest.raises(blmm.InputError, match="variant_contig is an index into contig_id"):
        blmm.max_lod(result.drop_vars("contig_id"))


def test_one_allele_selected_is_no_pair_of_alleles(result):
    named = result.assign(variant_allele=(("variants", "alleles"), [["A", "G"]] * 12))
    assert set(blmm.max_lod(named).effect_allele) == {"G"}
    for some in ([0], []):
        assert blmm.max_lod(named.isel(alleles=some)).effect_allele.isna().all()


@pytest.mark.parametrize("method", ["per-trait", "shared"])
def test_permutations_of_another_form(ds, method):
    perm = blmm.permute(ds, n_permutations=20, method=method).compute()
    blmm.thresholds(perm, 0.2)
    cases = [(perm.expand_dims(x=2), "has dimensions")]
    cases.append((perm.assign(max_lod=perm.max_lod.astype(str)), "it should hold the highest LOD"))
    names = pd.array(perm.trait_id.values.tolist(), dtype="string")
    cases.append((perm.assign_coords(trait_id=("traits", names)), "give it as an array of NumPy"))
    if method == "shared":
        cases.append((perm.drop_vars("null_h2"), "which needs null_h2"))
        cases.append((perm.assign(trait_pattern=perm.trait_pattern + 7), "outside the 1 patterns"))
    for odd, message in cases:
        with pytest.raises(blmm.InputError, match=message):
            blmm.thresholds(odd, 0.2)
    endless = perm.assign(max_lod=xr.full_like(perm.max_lod, np.inf))
    with pytest.raises(blmm.StoreError, match="infinite"):
        blmm.thresholds(endless, 0.2)


def test_columns_of_two_levels_are_refused(ds, result):
    peaks = blmm.find_peaks(result, threshold=0)
    peaks.columns = pd.MultiIndex.from_product([peaks.columns, ["x"]])
    for call in (
        lambda: blmm.hotspots(peaks, window=2),
        lambda: blmm.plot.eqtl(peaks, ds),
        lambda: blmm.plot.lod(result, "trait1", intervals=peaks),
    ):
        with pytest.raises(blmm.InputError, match=r"columns of 2 levels.*droplevel"):
            call()


@pytest.mark.parametrize("find", [blmm.find_hits, blmm.find_peaks])
def test_thresholds_of_another_form(result, find):
    names = result.traits.values
    lazy = xr.DataArray(np.full(4, 0.1), {"traits": names}, "traits").chunk(traits=1)
    assert len(find(result, threshold=lazy)) == len(find(result, threshold=0.1))
    assert find(result, threshold=dict.fromkeys(names, 1e300)).empty  # beyond the numbers of a LOD
    for values in (np.ones(4, complex), np.zeros(4, "M8[ns]"), np.array([[1], 2, 3, 4], object)):
        level = xr.DataArray(values, {"traits": names}, "traits")
        with pytest.raises(blmm.InputError, match=r"threshold has dtype|does not hold numbers"):
            find(result, threshold=level)


def test_maxima_of_no_contig(ds):
    perm = blmm.permute(ds, n_permutations=10, by="contig").compute()
    for find in (blmm.thresholds, lambda perm: blmm.thresholds(perm, by="contig")):
        with pytest.raises(blmm.InputError, match="maxima are of no contig; select at least one"):
            find(perm.isel(contigs=[]))
