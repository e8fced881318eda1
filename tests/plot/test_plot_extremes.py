"""Numbers that no axis can show, and names of several entries, are refused by every picture."""

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


@pytest.fixture(scope="module")
def perm(ds):
    return blmm.permute(ds, n_permutations=20).compute()


def with_one(ds, name, value):
    """The Dataset with one number of a variable replaced."""
    array = ds[name].astype(np.float64).copy(deep=True)
    array.values.reshape(-1)[0] = value
    return ds.assign_coords({name: array}) if name in ds.coords else ds.assign({name: array})


def drawn(ax):
    ax.figure.canvas.draw()
    return ax


@pytest.mark.parametrize("value", [1e308, -1e308, np.inf])
def test_positions_no_axis_can_show(ds, result, value):
    message = rf"positions of markers \(variant_position\) hold {value:g}, .*correct the map"
    message = message.replace("+", r"\+")
    odd = with_one(result, "variant_position", value)
    counts = blmm.hotspots(blmm.find_peaks(result, threshold=0), ds, window=2)
    for call in (
        lambda: blmm.plot.lod(odd, "trait1"),
        lambda: blmm.plot.lod(odd, "trait1", contig="1"),
        lambda: blmm.plot.manhattan(odd, "trait1"),
        lambda: blmm.plot.heatmap(odd),
        lambda: blmm.plot.eqtl(blmm.max_lod(result), odd),
        lambda: blmm.plot.hotspots(counts, odd),
        lambda: blmm.find_peaks(odd, threshold=0),
        lambda: blmm.bayes_interval(odd, "trait1", "1"),
    ):
        with pytest.raises(blmm.InputError, match=message):
            call()
    placed = result.assign(trait_contig=("traits", [0] * 4), trait_position=("traits", [value] * 4))
    with pytest.raises(blmm.InputError, match=r"positions of traits \(trait_position\) hold"):
        blmm.plot.eqtl(blmm.max_lod(result), placed)


def test_no_marker_with_a_position(ds, result):
    peaks = blmm.find_peaks(result, threshold=0)
    lost = result.assign_coords(variant_position=result.variant_position * np.nan)
    for odd in (lost, ds.isel(variants=[])):
        with pytest.raises(blmm.InputError, match="no marker has a position to be drawn at"):
            blmm.plot.eqtl(peaks, odd)
    with pytest.raises(blmm.InputError, match="no marker has a position to be drawn at"):
        blmm.plot.heatmap(lost)
    with pytest.raises(blmm.InputError, match="dimension 'traits' is lost"):
        blmm.plot.eqtl(peaks, ds.rename_dims(traits="people"))


def test_statistics_no_axis_can_show(result, perm):
    with pytest.raises(blmm.InputError, match="the LODs of 'trait1' hold inf"):
        blmm.plot.lod(with_one(result, "lod", np.inf), "trait1")
    with pytest.raises(blmm.InputError, match="p-values of trait 'trait1' hold inf"):
        blmm.plot.manhattan(with_one(result, "neg_log10_p", np.inf), "trait1")
    with pytest.raises(blmm.InputError, match=r"maxima of trait 'trait1' hold 1e\+308"):
        blmm.plot.permutations(with_one(perm, "max_lod", 1e308), "trait1", alpha=0.2)
    with pytest.raises(blmm.InputError, match="observed is 1e"):
        blmm.plot.permutations(perm, "trait1", alpha=0.2, observed=1e308)


def test_a_heatmap_has_the_highest_colour_for_what_is_beyond_all(result):
    for value in (1e308, np.inf):
        (image,) = drawn(blmm.plot.heatmap(with_one(result, "lod", value))).images
        assert image.get_array().max() == pytest.approx(6e4, rel=1e-3)


def test_thresholds_no_axis_can_show(result, perm):
    levels = blmm.thresholds(perm, 0.2)
    for level, words in (
        ([3.0, 1e308], "the thresholds hold 1e"),
        (with_one(levels, "threshold", 1e308), "the thresholds hold 1e"),
    ):
        with pytest.raises(blmm.InputError, match=words):
            blmm.plot.lod(result, ["trait1", "trait2"], threshold=level)
    without = blmm.thresholds(perm, 0.2).expand_dims(contigs=0)
    with pytest.raises(blmm.InputError, match="threshold has no contigs"):
        blmm.plot.lod(result, "trait1", threshold=without)
    drawn(blmm.plot.lod(result, "trait1", threshold=np.array(2.0)))
    with pytest.raises(blmm.InputError, match="threshold is -1e"):
        blmm.plot.eqtl(blmm.max_lod(result), result, threshold=-1e308)


def test_tables_of_numbers_no_axis_can_show(ds, result):
    peaks = blmm.find_peaks(result, threshold=0, drop=1)
    counts = blmm.hotspots(peaks, ds, window=2)
    p = pd.DataFrame({"neg_log10_p": [0.0, 1.0], "count": [1e308, 1e308]})
    for call, column in (
        (lambda: blmm.plot.lod(result, "trait1", intervals=peaks.assign(ci_lo=-1e308)), "ci_lo"),
        (lambda: blmm.plot.eqtl(peaks.assign(lod=1e308), ds), "lod"),
        (lambda: blmm.plot.hotspots(counts.assign(traits=1e308), ds), "traits"),
        (lambda: blmm.plot.qq(p), "count"),
    ):
        words = rf"in column '{column}' -?1e\+308 \(row 0\), which is no number within"
        with pytest.raises(blmm.InputError, match=words):
            call()
    for name, value in (("threshold", "high"), ("alpha", np.inf), ("window", -1)):
        odd = counts.copy()
        odd.attrs = {**counts.attrs, name: value}
        with pytest.raises(blmm.InputError, match=rf"attrs\['{name}'\] of the counts is"):
            blmm.plot.hotspots(odd, ds)


def test_values_of_a_study_no_axis_can_show(ds):
    values = blmm.profile(ds, "trait1", n_points=5)
    variant = str(ds.variants.values[0])
    with pytest.raises(blmm.InputError, match="the values of trait 'trait1' hold 1e"):
        blmm.plot.effects(with_one(ds, "sample_trait", 1e308), "trait1", variant)
    with pytest.raises(blmm.InputError, match=f"genotype outside 0.*variant {variant!r}"):
        blmm.plot.effects(with_one(ds, "call_dosage", 1e308), "trait1", variant)
    with pytest.raises(blmm.InputError, match="the relationships hold 1e"):
        blmm.plot.kinship(with_one(ds, "kinship", 1e308))
    with pytest.raises(blmm.InputError, match="the likelihoods hold -1e"):
        blmm.plot.profile(with_one(values, "null", -1e308))


def test_a_name_of_several_traits_or_markers_is_refused(ds, result):
    joined = xr.concat([result, result.isel(traits=[0])], "traits", data_vars="all")
    message = "'trait1' is the name of 2 of 5 entries"
    peaks = blmm.find_peaks(result, threshold=0, drop=1)
    for call in (
        lambda: blmm.plot.lod(joined, "trait1"),
        lambda: blmm.plot.lod(joined, ["trait2", "trait1"], intervals=peaks),
        lambda: blmm.plot.manhattan(joined, "trait1"),
        lambda: blmm.plot.heatmap(joined, traits=["trait1"]),
        lambda: blmm.plot.eqtl(peaks, joined, threshold=0),
        lambda: blmm.lod_interval(joined, "trait1", "1"),
        lambda: blmm.plot.effects(ds.isel(traits=[0, 1, 2, 3, 0]), "trait1", "variant1"),
    ):
        with pytest.raises(blmm.InputError, match=message):
            call()
    drawn(blmm.plot.lod(joined, "trait2"))
    with pytest.raises(blmm.InputError, match="'variant1' is the name of 2 of 12 entries"):
        blmm.plot.effects(ds.isel(variants=[0, 0, *range(2, 12)]), "trait1", "variant1")


@pytest.mark.parametrize("unit", [pd.NA, np.arange(3.0), 1])
def test_a_unit_that_is_no_text(ds, result, unit):
    message = r"variant_position\.attrs\['units'\] is .*it should be a text, such as Mb"
    odd, study = result.copy(deep=True), ds.copy(deep=True)
    for each in (odd, study):
        each["variant_position"].attrs["units"] = unit
    for call in (
        lambda: blmm.plot.effects(study, "trait1", "variant1"),
        lambda: blmm.plot.lod(odd, "trait1", contig="1"),
        lambda: blmm.find_peaks(odd, threshold=0),
        lambda: blmm.scan(study),
    ):
        with pytest.raises(blmm.InputError, match=message):
            call()


def test_a_method_that_is_no_text_is_left_out(ds):
    for method in (np.arange(3.0), pd.NA, 7):
        ax = drawn(blmm.plot.kinship(ds.kinship.assign_attrs(method=method)))
        assert ax.figure.axes[-1].get_ylabel() == "Kinship"
