"""Tables, thresholds and names of contigs as users have them."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import studies
import xarray as xr
from commands import run
from matplotlib import pyplot as plt
from studies import result_of

import bulklmm_dask as blmm

WORDS = [
    "high",
    "3,5",
    "1_0",
    "5.000.000",
    "12 Mb",
    "inf",
    "1e999",
    [1],
    pd.Timestamp("2020-01-01"),
]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def ds():
    return studies.study(n=40, p=30, m=6, seed=1)


@pytest.fixture(scope="module")
def result(ds):
    return blmm.scan(ds).compute()


@pytest.fixture(scope="module")
def functions(ds, result):
    """Every function that takes a table: call, table, its columns of text and of numbers."""
    peaks = blmm.find_peaks(result, threshold=0.5)
    counts = blmm.hotspots(peaks, ds, window=3)
    perm = blmm.permute(ds, n_permutations=20, seed=1).compute()
    places = pd.DataFrame({"trait": result.traits.values, "contig": "1", "position": 3.0})
    bins = blmm.pvalue_counts(result)
    return {
        "hotspots": (
            lambda t: blmm.hotspots(t, ds, window=3), peaks, ["trait", "contig"], ["position"],
        ),
        "adjusted_p": (lambda t: blmm.adjusted_p(perm, t), peaks, ["trait"], ["lod"]),
        "trait_positions": (
            lambda t: blmm.find_peaks(result, trait_positions=t), places, ["contig"], ["position"],
        ),
        "eqtl": (
            lambda t: blmm.plot.eqtl(t, ds, threshold=0), peaks, ["trait", "contig"],
            ["position", "lod"],
        ),
        "lod": (
            lambda t: blmm.plot.lod(result, "trait1", intervals=t), peaks, ["trait", "contig"],
            ["position", "ci_lo", "ci_hi"],
        ),
        "plot.hotspots": (
            lambda t: blmm.plot.hotspots(t, ds), counts, ["contig"], ["position", "traits"],
        ),
        "qq": (blmm.plot.qq, bins, [], ["neg_log10_p", "count"]),
    }  # fmt: skip


NAMES = ["hotspots", "adjusted_p", "trait_positions", "eqtl", "lod", "plot.hotspots", "qq"]


@pytest.mark.parametrize("name", NAMES)
def test_text_in_a_column_of_numbers_is_refused_by_its_cell(functions, name):
    call, table, _, numbers = functions[name]
    for column in numbers:
        for word in WORDS:
            if name == "adjusted_p" and word in ("inf", "1e999"):
                continue
            odd = table.astype({column: object})
            odd.iat[1, odd.columns.get_loc(column)] = word
            with pytest.raises(
                blmm.InputError, match=rf"column {column!r}.*row.*no (finite )?number"
            ):
                call(odd)


@pytest.mark.parametrize("name", NAMES)
def test_a_column_that_is_absent_or_there_twice_is_refused(functions, result, name):
    call, table, texts, numbers = functions[name]
    for column in [*texts, *numbers]:
        with pytest.raises(blmm.InputError, match=rf"no column {column!r}"):
            call(table.drop(columns=column))
        with pytest.raises(blmm.InputError, match=rf"2 columns {column!r}"):
            call(pd.concat([table, table[[column]]], axis=1))
    for other in (None, 3, "peaks.csv", table.to_dict(), table[numbers[0]], result):
        if name in ("lod", "trait_positions") and other is None:
            continue  # no table
        if name == "qq" and other is result:
            continue
        with pytest.raises(blmm.InputError, match="not a pandas DataFrame"):
            call(other)


@pytest.mark.parametrize("name", NAMES)
def test_numbers_that_are_text_are_numbers(functions, name):
    call, table, _, numbers = functions[name]
    as_text = table.astype(dict.fromkeys(numbers, str))
    before, after = call(table), call(as_text)
    if isinstance(before, pd.DataFrame):
        pd.testing.assert_frame_equal(after.astype(before.dtypes), before)


def places(result, contigs, positions=3.0):
    return pd.DataFrame({"contig": contigs, "position": positions}, index=result.traits.values)


@pytest.mark.parametrize("prefix", ["chr", "Chr", "CHR_", "0", "chromosome ", "chrom"])
def test_cis_is_found_in_any_spelling_of_contigs(result, prefix):
    options = {"threshold": 0.2, "cis_window": 100}
    expected = blmm.find_peaks(result, trait_positions=places(result, "1"), **options)
    assert set(expected.cis) == {True, False}
    for one in (f"{prefix}1", 1, 1.0, "1.0"):
        found = blmm.find_peaks(result, trait_positions=places(result, one), **options)
        pd.testing.assert_frame_equal(found, expected)
        hits = blmm.find_hits(result, trait_positions=places(result, one), **options)
        assert hits.cis.sum() == (hits.contig == "1").sum()


def test_positions_with_commas_are_numbers():
    lod = np.zeros((6, 1))
    lod[3] = 5
    result = result_of(lod, position=np.arange(6) * 1e6)
    result.variant_position.attrs["units"] = "bp"
    table = pd.read_csv(io.StringIO('trait,contig,position\nt0,c0,"3,100,000"\n'))
    near = blmm.find_peaks(result, trait_positions=table, cis_window=2e5)
    assert near.cis.tolist() == [True]
    assert blmm.find_peaks(result, trait_positions=table, cis_window=5e4).cis.tolist() == [False]


def test_what_does_not_match_is_said(result):
    with pytest.warns(blmm.StudyWarning, match=r"6 traits.*'23'.*count as trans.*like '1', '2'"):
        found = blmm.find_peaks(result, threshold=0.2, trait_positions=places(result, "chr23"[3:]))
    assert not found.cis.any()
    nobody = places(result, "1").set_axis([f"gene{i}" for i in range(6)])
    with pytest.warns(blmm.StudyWarning, match=r"no trait of the result.*'gene0'.*'trait1'"):
        blmm.find_peaks(result, threshold=0.2, trait_positions=nobody)


def test_contigs_by_another_spelling_elsewhere(ds, result):
    peaks = blmm.find_peaks(result, threshold=0.5)
    renamed = peaks.assign(contig="chr" + peaks.contig)
    pd.testing.assert_frame_equal(
        blmm.hotspots(renamed, ds, window=3), blmm.hotspots(peaks, ds, window=3)
    )
    interval = blmm.lod_interval(result, "trait1", "Chr2")
    pd.testing.assert_frame_equal(interval, blmm.lod_interval(result, "trait1", "2"))
    levels = xr.DataArray([1.0, np.inf], {"contigs": ["chr1", "chr2"]}, "contigs")
    assert set(blmm.find_hits(result, threshold=levels).contig) == {"1"}
    perm = blmm.permute(ds, n_permutations=20, seed=1, by="contig").compute()
    pd.testing.assert_series_equal(
        blmm.adjusted_p(perm, renamed, by="contig").p_adjusted,
        blmm.adjusted_p(perm, peaks, by="contig").p_adjusted,
    )
    loco = blmm.kinship(ds, loco=True).compute()
    named = loco.assign_coords(contigs=["chr1", "chr2"])
    xr.testing.assert_equal(
        blmm.scan(ds, loco=True, kinship=named[::-1]).lod.compute(),
        blmm.scan(ds, loco=True, kinship=loco).lod.compute(),
    )
    ax = blmm.plot.lod(
        result, "trait1", contig="chr2", threshold=blmm.thresholds(perm, 0.2, by="contig")
    )
    assert len(ax.lines) == 3  # ticks of markers, the curve, the threshold
    with pytest.raises(blmm.InputError, match="contig '3' is not in the study"):
        blmm.plot.lod(result, "trait1", contig="3")


@pytest.mark.parametrize("by", [None, "contig"])
@pytest.mark.parametrize("find", [blmm.find_hits, blmm.find_peaks])
def test_thresholds_of_permutations_are_taken_as_they_come(ds, result, find, by):
    perm = blmm.permute(ds, n_permutations=20, seed=1, by="contig").compute()
    levels = blmm.thresholds(perm, 0.3, by=by)
    expected = find(result, threshold=levels.threshold.isel(alpha=0, drop=True))
    assert len(expected)
    backwards = levels.isel(traits=slice(None, None, -1))
    for given in (
        levels,
        levels.threshold,
        blmm.thresholds(perm, [0.3], by=by),
        levels.sel(alpha=0.3),
        levels.threshold.sel(alpha=0.3),
        backwards,
    ):
        pd.testing.assert_frame_equal(find(result, threshold=given), expected)
    if by is None:
        series = levels.threshold.sel(alpha=0.3).to_series()
        pd.testing.assert_frame_equal(find(result, threshold=series), expected)
        one = levels.threshold.sel(alpha=0.3, traits="trait1")
        assert len(find(result, threshold=one)) == len(find(result, threshold=float(one)))
    with pytest.raises(blmm.InputError, match=r"several levels, alpha = 0\.3, 0\.2.*\.sel\(alpha="):
        find(result, threshold=blmm.thresholds(perm, [0.3, 0.2], by=by))
    with pytest.raises(blmm.InputError, match=r"thresholds\(perm, alpha=0\.05\) makes them"):
        find(result, threshold=perm)


@pytest.mark.parametrize("find", [blmm.find_hits, blmm.find_peaks])
def test_thresholds_that_cannot_be_used(result, find):
    names = list(result.traits.values)
    twice = pd.Series(1.0, index=[*names, names[0]])
    words = pd.Series("high", index=names)
    for given, message in (
        (twice, "traits of threshold must be unique.*'trait1'"),
        (words, "does not hold numbers"),
        (dict.fromkeys(names, "high"), "does not hold numbers"),
        (pd.Series(1.0, index=names[1:]), "lacks 1 of the traits: 'trait1'"),
        (twice.to_frame(), "is a DataFrame"),
        (xr.DataArray([1.0], dims="contigs"), "lacks 2 of the contigs"),
        (xr.DataArray([1.0], dims="samples"), "should be traits, contigs or both"),
        (xr.Dataset(), "without thresholds"),
        ("high", "threshold is 'high'"),
        ([1, 2], "should be a number"),
    ):
        with pytest.raises(blmm.InputError, match=message):
            find(result, threshold=given)


def test_commands_refuse_tables_by_their_cell(ds, tmp_path):
    blmm.save(ds, tmp_path / "s.zarr")
    table = tmp_path / "odd.csv"
    table.write_text("trait,contig,position,lod\ntrait1,1,5,high\n")
    for arguments in (
        ("hotspots", table, "--window", 3),
        ("plot", "eqtl", table, tmp_path / "s.zarr", "--out", tmp_path / "x.png"),
    ):
        assert "high" in run(*arguments, code=1).stderr


@pytest.mark.parametrize("position", [2_000_000, "2,000,000"])
def test_positions_that_no_chromosome_has_in_mb_are_bp(result, position):
    names = list(result.traits.values)

    def places(values):
        return pd.DataFrame({"trait": names, "contig": "1", "position": values})

    expected = blmm.find_peaks(result, threshold=0, trait_positions=places(2.0))
    with pytest.warns(blmm.StudyWarning, match="up to 2,000,000, .* in Mb: they are taken as bp"):
        found = blmm.find_peaks(result, threshold=0, trait_positions=places(position))
    pd.testing.assert_frame_equal(found, expected)


def test_cells_of_any_kind_are_names_of_traits(result):
    peaks = blmm.find_peaks(result, threshold=0).astype({"trait": object})
    peaks.at[0, "trait"] = [1]
    assert blmm.hotspots(peaks, window=3)["findings"].sum() > 0
