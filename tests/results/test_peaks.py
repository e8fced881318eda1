"""Peaks and their intervals: R/qtl2's own, the slow obvious way, and laws."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import studies
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from references import find, grav2
from studies import result_of

import bulklmm_dask as blmm

COLUMNS = ["trait", "contig", "position", "variant", "lod"]
LAST = ["effect_allele", "other_allele", "frequency", "n"]
ENDS = ["ci_lo", "ci_hi", "ci_lo_variant", "ci_hi_variant"]


def one(*lods, **options) -> pd.DataFrame:
    """Peaks of a single curve."""
    return blmm.find_peaks(result_of(np.array([lods], float).T), **options)


def slow(lod, position, threshold, peakdrop, drop, prob) -> list[tuple[float, ...]]:
    """Peaks of one curve, by walking along it: position, LOD and both ends."""
    tops, valleys = [], [0]
    lowest = 0
    for i, now in enumerate(lod):
        if tops and now < lod[lowest]:
            lowest = i
        if not now > threshold:
            continue
        if tops and min(lod[tops[-1]], now) > lod[lowest] + peakdrop:
            valleys.append(lowest)
            tops.append(i)
        elif not tops:
            tops.append(i)
        elif now > lod[tops[-1]]:
            tops[-1] = i
        else:
            continue
        lowest = i
    valleys.append(len(lod) - 1)
    rows = []
    for k, top in enumerate(tops):
        inside = range(valleys[k], valleys[k + 1] + 1)
        if drop is not None:
            near = [i for i in inside if lod[i] > lod[top] - drop or i == top]
            low, high = max(near[0] - 1, 0), min(near[-1] + 1, len(lod) - 1)
        else:
            width = np.gradient(position)
            left = sorted(inside, key=lambda i: -lod[i])
            weight = {i: 10 ** lod[i] * width[i] for i in inside}
            held = [left.pop(0)]
            while sum(weight[i] for i in held) < prob * sum(weight.values()):
                held.append(left.pop(0))
            low, high = min(held), max(held)
        tied = [position[i] for i in inside if lod[i] == lod[top]]
        rows.append((np.mean(tied), lod[top], position[low], position[high]))
    return rows


intervals = pytest.mark.parametrize(
    ("name", "options"), [("drop1.5", {"drop": 1.5}), ("bayes0.95", {"prob": 0.95})]
)


@pytest.mark.slow
@intervals
@pytest.mark.parametrize("scores", ["rqtl2", "own"])
def test_grav2_equals_rqtl2_row_by_row(reference, name, options, scores):
    check_grav2(reference, name, options, scores, n_peaks=233)


@pytest.mark.slow
@pytest.mark.reference
@intervals
def test_all_of_grav2_equals_rqtl2_row_by_row(whole_reference, name, options):
    check_grav2(whole_reference, name, options, "own", n_peaks=465)


def check_grav2(reference, name, options, scores, n_peaks):
    ds = grav2(reference)
    result = blmm.scan(ds, loco=True, reml=True, chunks={"variants": 50, "traits": 60})
    table = pd.read_csv(find(reference / "grav2/scan1_loco_reml.csv"), index_col=0)
    if scores == "rqtl2":
        lod = table.loc[list(ds.variants.values), list(ds.traits.values)].values
        result["lod"] = (("variants", "traits"), lod)
    found = blmm.find_peaks(result, **options)
    peaks = find(reference / f"grav2/peaks_loco_reml_{name}.csv")
    expected = pd.read_csv(peaks, dtype={"chr": str})
    assert len(found) == len(expected) == n_peaks
    assert found.trait.tolist() == expected.lodcolumn.tolist()
    assert found.contig.tolist() == expected.chr.tolist()
    np.testing.assert_array_equal(found[["ci_lo", "ci_hi"]], expected[["ci_lo", "ci_hi"]])
    # Two markers 1e-6 cM apart are copies of each other: equal for us, 1e-9 apart in R/qtl2.
    np.testing.assert_allclose(found.position, expected.pos, atol=1.1e-6 * (scores == "own"))
    np.testing.assert_allclose(found.lod, expected.lod, atol=5e-6)  # computed in single precision
    h2 = result.h2.to_pandas()
    assert [h2.loc[row.contig, row.trait] for row in found.itertuples()] == found.h2.tolist()
    place = dict(zip(ds.variants.values, ds.variant_position.values, strict=True))
    assert [place[v] for v in found.ci_lo_variant] == found.ci_lo.tolist()
    assert [place[v] for v in found.ci_hi_variant] == found.ci_hi.tolist()


@pytest.mark.slow
@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**16),
    p=st.integers(2, 40),
    peakdrop=st.sampled_from([np.inf, 1.5, 2.0, 3.5]),
    interval=st.sampled_from([(0.0, None), (1.5, None), (None, 0.5), (None, 0.95)]),
    grid=st.sampled_from([None, 0.5]),
)
def test_many_curves_at_once_are_as_each_alone(seed, p, peakdrop, interval, grid):
    rng = np.random.default_rng(seed)
    lod = np.abs(rng.standard_normal((p, 7)).cumsum(axis=0)) * 1.5
    if grid:  # equal LODs
        lod = np.round(lod / grid) * grid
    position = rng.exponential(size=p).cumsum()
    drop, prob = interval
    options = {"drop": drop, "prob": prob, "threshold": 2.0}
    if np.isfinite(peakdrop):
        options["peakdrop"] = peakdrop
    found = blmm.find_peaks(result_of(lod, position=position).chunk(traits=3), **options)
    expected = [
        (f"t{j}", *row)
        for j in range(7)
        for row in slow(lod[:, j], position, 2.0, peakdrop, drop, prob)
    ]
    assert found.trait.tolist() == [row[0] for row in expected]
    numbers = found[["position", "lod", "ci_lo", "ci_hi"]].to_numpy()
    np.testing.assert_allclose(numbers, np.array([row[1:] for row in expected]).reshape(-1, 4))


def test_several_peaks_need_a_drop_between_them():
    curve = (0, 5, 3.4, 4.5, 0.2, 9, 0)
    assert one(*curve, peakdrop=2).position.tolist() == [1, 5]
    assert one(*curve, peakdrop=1.0, drop=0.5).position.tolist() == [1, 3, 5]
    assert one(*curve, peakdrop=5).position.tolist() == [5]
    assert one(*curve).position.tolist() == [5]
    assert one(*curve, threshold=9).empty  # a peak is higher than the threshold


def test_intervals_end_at_the_next_marker_or_at_the_valley():
    wide = one(0, 1, 4, 5, 4, 3.4, 0)
    assert wide[["ci_lo", "ci_hi"]].values.tolist() == [[1, 5]]
    two = one(4, 5, 0, 6, 5, peakdrop=3)
    assert two[["ci_lo", "ci_hi"]].values.tolist() == [[0, 2], [2, 4]]
    assert one(0, 5, 0, drop=0)[["ci_lo", "ci_hi"]].values.tolist() == [[0, 2]]


def test_a_bayes_interval_weighs_by_width():
    position = np.array([0, 1, 2, 12, 22.0])
    result = result_of(np.array([[1, 2, 5, 4.9, 1]]).T, position=position)
    sure = blmm.find_peaks(result, prob=0.3)
    assert sure[["ci_lo", "ci_hi"]].values.tolist() == [[2, 2]]  # 5.5e5 of 1.35e6
    assert blmm.find_peaks(result, prob=0.5).ci_hi.tolist() == [12]


@pytest.mark.parametrize("interval", [{"prob": 0.95}, {"drop": 1.5}], ids=str)
@pytest.mark.parametrize("peakdrop", [None, 1.8])
def test_infinite_lods_are_inside_of_their_interval_and_finite_ones_weigh_nothing(
    interval, peakdrop
):
    lods = [0.5, 2.0, np.inf, np.inf, np.inf, 9.0, 0.1, 0.2]
    table = one(*lods, peakdrop=peakdrop, **interval)
    ends = (2, 4) if "prob" in interval else (1, 5)
    assert table[["position", "lod", "ci_lo", "ci_hi"]].values.tolist() == [[3, np.inf, *ends]]
    alone = one(1.0, np.inf, 1.0, peakdrop=peakdrop, **interval)
    assert (alone.ci_lo[0], alone.ci_hi[0]) == ((1, 1) if "prob" in interval else (0, 2))


def test_equal_lods_share_the_peak():
    tied = one(0, 5, 5, 4, 5, 0)
    assert tied.position[0] == pytest.approx((1 + 2 + 4) / 3)
    assert tied.variant[0] == "m1"
    assert tied[["ci_lo", "ci_hi"]].values.tolist() == [[0, 5]]


@pytest.mark.parametrize(
    ("lods", "position"),
    [
        ((0, 4, 4, 3, 4, 0), 1.5),
        ((4, 3.9, 4, 4), 0),
        ((0, 4, 1, 4, 4), 1),
        ((4, 4, 4, 4), 1.5),
        ((1, 4, np.nan, 4, 3, 4), 2),
    ],
)
def test_without_intervals_only_neighbours_share_the_peak(lods, position):
    """As in R/qtl2, whose peaks with intervals are at the mean of all equal maxima."""
    lod = np.array([lods], dtype=float).T
    found = blmm.find_peaks(result_of(lod), drop=None)
    assert found.position.tolist() == [position]
    every = np.flatnonzero(lod[:, 0] == 4).mean()
    assert blmm.find_peaks(result_of(lod), drop=4).position.tolist() == [every]


@pytest.mark.parametrize("options", [{}, {"peakdrop": 1.5}, {"prob": 0.9}, {"drop": None}], ids=str)
@pytest.mark.parametrize(
    "sizes",
    [pytest.param([1] * 99 + [201], marks=pytest.mark.slow), [3, 1, 200, 2, 94], [300], [50] * 6],
    ids=len,
)
def test_many_contigs_at_once_are_as_each_alone(monkeypatch, options, sizes):
    monkeypatch.setattr("bulklmm_dask.results.peak_search._MARKERS", 50)
    rng = np.random.default_rng(len(sizes))
    lod = rng.exponential(size=(300, 7))
    lod[rng.random(lod.shape) < 0.05] = np.nan
    contig = np.repeat(np.arange(len(sizes)), sizes)
    result = result_of(da.from_array(lod, chunks=(64, 3)), contig=contig)
    alone = [
        blmm.find_peaks(result.isel(variants=np.flatnonzero(contig == c)), threshold=2, **options)
        for c in range(len(sizes))
    ]
    expected = pd.concat([table for table in alone if len(table)], ignore_index=True)
    order = expected.assign(
        trait=expected.trait.str[1:].astype(int), contig=expected.contig.str[1:].astype(int)
    ).sort_values(["trait", "contig", "position"])
    found = blmm.find_peaks(result, threshold=2, **options)
    assert len(found) > 5
    pd.testing.assert_frame_equal(found, expected.loc[order.index].reset_index(drop=True))


def test_columns_with_and_without_intervals():
    lod = np.array([[0, 4, 0.0]]).T
    assert list(blmm.find_peaks(result_of(lod))) == [*COLUMNS, *ENDS, "h2", *LAST]
    assert list(blmm.find_peaks(result_of(lod), drop=None)) == [*COLUMNS, "h2", *LAST]
    empty = blmm.find_peaks(result_of(lod), threshold=9)
    assert list(empty) == [*COLUMNS, *ENDS, "h2", *LAST]
    assert empty.empty


def test_pseudomarkers_are_no_ends_of_intervals():
    names = ["m0", "c1.loc1", "m2", "c1.loc3.5", "cX.loc-4"]
    result = result_of(np.array([[0, 3.5, 5, 3.6, 0]]).T, names=names)
    assert blmm.find_peaks(result)[["ci_lo", "ci_hi"]].values.tolist() == [[0, 4]]
    result = result_of(np.array([[0, 0, 5, 0, 0]]).T, names=names)
    kept = blmm.find_peaks(result, expand2markers=False)
    assert kept.ci_lo_variant.tolist() == ["c1.loc1"]
    assert blmm.find_peaks(result).ci_lo_variant.tolist() == ["m0"]
    assert blmm.find_peaks(result).ci_hi.tolist() == [4]  # no marker beyond: the end of the contig


def test_markers_in_any_order_and_chunks_give_the_same_peaks():
    rng = np.random.default_rng(0)
    lod = rng.exponential(2, size=(60, 11)).astype("float32")
    result = result_of(lod, contig=np.repeat([0, 1, 2], [25, 5, 30]), position=np.arange(60.0))
    expected = blmm.find_peaks(result, peakdrop=2)
    assert set(expected.contig) == {"c0", "c1", "c2"}
    for order in (rng.permutation(60), np.arange(60)[::-1]):
        mixed = result.isel(variants=order).chunk(variants=7, traits=4)
        pd.testing.assert_frame_equal(blmm.find_peaks(mixed, peakdrop=2), expected)


def test_traits_without_lods_have_no_peaks():
    lod = np.full((5, 3), np.nan)
    lod[:, 1] = [0, 4, np.nan, 3, 0]
    lod[:, 2] = [np.nan, np.nan, 5, np.nan, 3.6]
    found = blmm.find_peaks(result_of(lod))
    assert found.trait.tolist() == ["t1", "t2"]
    assert found[["ci_lo", "ci_hi"]].values.tolist() == [[0, 4], [1, 4]]
    assert blmm.find_peaks(result_of(lod), peakdrop=2, prob=0.9).position.tolist() == [1, 2]


def test_markers_without_a_position_are_left_out_aloud():
    result = result_of(np.array([[0, 4, 9, 0.0]]).T, position=np.array([0, 1, np.nan, 3]))
    with pytest.warns(blmm.StudyWarning, match="leaves out 1 marker of unknown position"):
        assert blmm.find_peaks(result).position.tolist() == [1]
    nowhere = result_of(np.ones((2, 1)), position=np.full(2, np.nan))
    with (
        pytest.warns(blmm.StudyWarning, match="2 markers"),
        pytest.raises(blmm.InputError, match="no marker of the result has a position"),
    ):
        blmm.find_peaks(nowhere)


def test_thresholds_by_trait_and_contig():
    lod = np.tile([0, 4, 0, 0, 6, 0.0], (3, 1)).T
    result = result_of(lod, contig=[0, 0, 0, 1, 1, 1])
    by_trait = pd.Series({"t2": 3.0, "t0": 5.0, "t1": np.inf})
    found = blmm.find_peaks(result, threshold=by_trait)
    assert found[["trait", "contig"]].values.tolist() == [["t0", "c1"], ["t2", "c0"], ["t2", "c1"]]
    by_contig = xr.DataArray([3.0, 7.0], {"contigs": ["c0", "c1"]}, "contigs")
    assert set(blmm.find_peaks(result, threshold=by_contig).contig) == {"c0"}
    both = by_contig + xr.DataArray([0, 2.0, 0], {"traits": ["t2", "t1", "t0"]}, "traits")
    assert blmm.find_peaks(result.chunk(traits=2), threshold=both).trait.tolist() == ["t0", "t2"]
    with pytest.raises(blmm.InputError, match=r"threshold lacks 1 of the traits: 't1'"):
        blmm.find_peaks(result, threshold={"t0": 3, "t2": 1})


def test_cis_is_near_the_trait_on_its_contig():
    lod = np.tile([0, 4, 0, 0, 6, 0.0], (5, 1)).T
    result = result_of(lod, contig=[0, 0, 0, 1, 1, 1])
    assert "cis" not in blmm.find_peaks(result)
    places = pd.DataFrame(
        {
            "trait": ["t4", "t1", "t0", "t2"],
            "contig": ["MT", "c1", "c0", "c0"],
            "position": [4, 9.5, 1.5, np.nan],
        }
    )
    elsewhere = "trait_positions puts 1 trait on contigs that the result does not have: 'MT'"
    with pytest.warns(blmm.StudyWarning, match=elsewhere):
        found = blmm.find_peaks(result, trait_positions=places, cis_window=1)
    known = found[found.cis.notna()]
    assert found[found.cis.isna()].trait.unique().tolist() == ["t2", "t3"]
    assert known[known.cis][["trait", "contig"]].values.tolist() == [["t0", "c0"]]
    places.loc[0, "contig"] = "C2"
    with pytest.warns(blmm.StudyWarning, match="'C2'; their loci count as trans"):
        wide = blmm.find_peaks(result, trait_positions=places.set_index("trait"), cis_window=5.5)
    assert wide[wide.cis.fillna(False)].trait.tolist() == ["t0", "t1"]
    own = result.assign(
        trait_contig=("traits", [0, 1, 0, 1, -1]),
        trait_position=("traits", [7.0, 7.0, 4, 4, 4], {"units": "Mb"}),
    )
    labelled = blmm.find_peaks(own)  # within 5 Mb
    assert labelled[labelled.cis.fillna(False)].trait.tolist() == ["t1", "t2", "t3"]
    own.trait_position.attrs["units"] = "bp"
    with pytest.warns(blmm.StudyWarning, match="no locus is called cis"):
        assert "cis" not in blmm.find_peaks(own)
    with pytest.raises(blmm.InputError, match="convert one of them"):
        blmm.find_peaks(own, cis_window=3)
    with pytest.raises(blmm.InputError, match="give trait_positions"):
        blmm.find_peaks(result, cis_window=3)
    with pytest.raises(blmm.InputError, match="no column 'position'"):
        blmm.find_peaks(result, trait_positions=places.drop(columns="position"))


def test_intervals_of_one_trait_on_one_contig():
    lod = np.random.default_rng(1).exponential(size=(30, 4))
    result = result_of(lod, contig=np.repeat([0, 1], 15)).chunk(variants=8, traits=3)
    everywhere = blmm.find_peaks(result, threshold=0, drop=1.0)
    alone = blmm.lod_interval(result, "t2", "c1", drop=1.0)
    mine = everywhere[(everywhere.trait == "t2") & (everywhere.contig == "c1")]
    pd.testing.assert_frame_equal(alone, mine.reset_index(drop=True))
    bayes = blmm.find_peaks(result, threshold=0, prob=0.9).query("trait == 't0' and contig == 'c0'")
    found = blmm.bayes_interval(result, "t0", "c0", prob=0.9)
    pd.testing.assert_frame_equal(found, bayes.reset_index(drop=True))
    with pytest.raises(blmm.InputError, match=r"no trait 'x' here; the names are like 't0'"):
        blmm.lod_interval(result, "x", "c1")
    with pytest.raises(blmm.InputError, match="no contig '1' here"):
        blmm.bayes_interval(result, "t0", "1")


def test_options_that_make_no_sense():
    result = result_of(np.ones((4, 2)))
    for options, message in (
        ({"drop": 2, "peakdrop": 1.8}, r"drop=2\.0 is more than peakdrop=1\.8"),
        ({"drop": 1.8, "prob": 0.95}, "exclude each other; choose one"),
        ({"prob": 95}, "prob is 95; it should be a number from 0 to 1"),
        ({"drop": -1}, "drop is -1"),
        ({"threshold": "high"}, "threshold is 'high'"),
    ):
        with pytest.raises(blmm.InputError, match=message):
            blmm.find_peaks(result, **options)
    for other in (result.lod, result.drop_vars("lod")):
        with pytest.raises(blmm.InputError, match="Dataset that scan or open_result gives"):
            blmm.find_peaks(other)
    with pytest.raises(blmm.InputError, match=r"lost its dimension 'traits'.*traits=\[name\]"):
        blmm.find_peaks(result.sel(traits="t1"))
    with pytest.raises(blmm.InputError, match="no variant_position, which find_peaks needs"):
        blmm.find_peaks(result.drop_vars("variant_position"))


def test_peaks_of_a_scan_and_of_its_store(tmp_path):
    ds = studies.study(n=40, p=60, m=9)
    expected = blmm.find_peaks(blmm.scan(ds).compute(), threshold=1)
    assert len(expected) >= 9
    stored = blmm.scan(ds, chunks={"variants": 7, "traits": 4}, store=tmp_path / "r.zarr")
    found = blmm.find_peaks(stored, threshold=1)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-5)
