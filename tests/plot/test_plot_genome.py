"""Pictures along the genome: thresholds, intervals, one chromosome, p-values, hotspots."""

from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr

mpl.use("Agg")
from genomes import GENOME, LEVELS, TOY, genome_result
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba

import bulklmm_dask as blmm
from bulklmm_dask import plot
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.statistics import neg_log10_p


def words(ax):
    return {text.get_text(): text for text in ax.texts}


def heights(ax):
    return [line.get_ydata()[0] for line in ax.lines if len(set(line.get_ydata())) == 1]


def test_several_thresholds_are_named_where_they_are():
    ax = plot.lod(GENOME, "trait0", threshold=[3, 5.25])
    assert heights(ax) == [3, 5.25]
    low, high = ax.get_ylim()
    for value, name in ((3, "3"), (5.25, "5.25")):
        assert words(ax)[name].get_position()[1] == pytest.approx((value - low) / (high - low))


def test_names_of_close_thresholds_are_moved_apart():
    ax = plot.lod(GENOME, "trait0", threshold=[3, 3.01, 3.02])
    ax.figure.canvas.draw()
    boxes = [words(ax)[name].get_window_extent() for name in ("3", "3.01", "3.02")]
    assert all(a.y1 <= b.y0 + 0.5 for a, b in pairwise(boxes))


def test_one_trait_gets_its_own_thresholds():
    ax = plot.lod(GENOME, "trait1", threshold=LEVELS)
    assert heights(ax) == [3.2, 3.4]
    assert [name.split("= ")[1] for name in words(ax)] == ["0.1", "0.05"]
    assert heights(plot.lod(GENOME, "trait1", threshold=LEVELS.sel(alpha=0.05))) == [3.4]
    assert heights(plot.lod(GENOME, "trait1", threshold=LEVELS.threshold)) == [3.2, 3.4]


def test_of_several_traits_each_has_its_thresholds_in_its_colour():
    ax = plot.lod(GENOME, ["trait2", "trait0"], threshold=LEVELS)
    curves, lines = ax.lines[:2], ax.lines[2:6]
    found = [(to_rgba(line.get_color()), line.get_ydata()[0]) for line in lines]
    own = [to_rgba(curve.get_color()) for curve in curves]
    assert found == [(own[0], 2.9), (own[0], 3.0), (own[1], 3.0), (own[1], 3.1)]
    named = [text.get_text().split("= ")[-1] for text in ax.get_legend().get_texts()]
    assert named == ["trait2", "trait0", "0.1", "0.05"]


def test_thresholds_of_contigs_are_steps():
    contigs = TOY.contigs.values
    values = np.arange(2 * 5 * 1, dtype=float).reshape(2, 1, 5) + 2
    levels = xr.Dataset(
        {"threshold": (("traits", "alpha", "contigs"), values)},
        coords={"traits": TOY.traits.values, "alpha": [0.05], "contigs": contigs},
    ).isel(contigs=[4, 2, 1, 0])  # in another order, one absent
    ax = plot.lod(TOY, "trait0", threshold=levels)
    y = ax.lines[1].get_ydata().reshape(5, 3)
    np.testing.assert_array_equal(y[:, 0], [2, 3, 4, np.nan, 6])
    assert ax.get_ylim()[1] > 6
    assert heights(plot.lod(TOY, "trait0", threshold=levels, contig="3"))[1:] == [4]


def test_a_trait_without_a_threshold_has_no_line():
    levels = LEVELS.assign(threshold=LEVELS.threshold.where(LEVELS.traits != "trait1"))
    assert heights(plot.lod(GENOME, "trait1", threshold=levels)) == []
    assert len(heights(plot.lod(GENOME, "trait0", threshold=levels))) == 2


def test_permutations_give_their_thresholds():
    maxima = np.random.default_rng(0).uniform(2, 5, (60, 3))
    perm = xr.Dataset(
        {"max_lod": (("permutations", "traits"), maxima)}, {"traits": GENOME.traits.values}
    )
    expected = [np.quantile(maxima[:, 1], q) for q in (0.9, 0.95)]
    np.testing.assert_allclose(heights(plot.lod(GENOME, "trait1", threshold=perm)), expected)
    drawn = plot.manhattan(GENOME, "trait1", threshold=perm)
    np.testing.assert_allclose(heights(drawn), neg_log10_p(expected, 1))


@pytest.mark.parametrize("draw", [plot.lod, plot.manhattan])
def test_thresholds_that_the_result_keeps_are_drawn(draw):
    scale = neg_log10_p if draw is plot.manhattan else lambda lod, df: lod
    kept = GENOME.assign(threshold=LEVELS.threshold)
    np.testing.assert_allclose(heights(draw(kept, "trait1")), scale([3.2, 3.4], 1))
    ax = draw(GENOME.assign_attrs(threshold=[3, 4.5]), "trait1")
    np.testing.assert_allclose(heights(ax), scale([3, 4.5], 1))
    assert heights(draw(kept, "trait1", threshold=[])) == []
    assert heights(draw(kept, "trait1", threshold=6)) == [6]


def test_thresholds_of_lods_are_no_p_where_degrees_of_freedom_differ():
    freedom = GENOME.lod.astype("int16") * 0 + 1
    freedom[3:] = 2
    with pytest.raises(InputError, match=r"differ between markers, here '1', '2'; give threshold"):
        plot.manhattan(GENOME.assign(df=freedom), "trait1", threshold=LEVELS)
    untested = plot.manhattan(GENOME.assign(df=freedom * 0), "trait1", threshold=LEVELS)
    assert heights(untested) == []
    two = plot.manhattan(GENOME.assign(df=freedom * 0 + 2), "trait1", threshold=LEVELS)
    np.testing.assert_allclose(heights(two), neg_log10_p([3.2, 3.4], 2))


def test_intervals_lie_below_their_curves_where_they_belong():
    peaks = blmm.find_peaks(GENOME, threshold=3)
    ax = plot.lod(GENOME, ["trait1", "trait2"], intervals=peaks)
    bars = {c.get_label(): c for c in ax.collections if c.get_label().startswith("_trait")}
    first = GENOME.variant_position.groupby(GENOME.variant_contig).min().values
    last = GENOME.variant_position.groupby(GENOME.variant_contig).max().values
    starts = np.concatenate([[0], np.cumsum(last - first)])[:-1] - first
    for name, curve in zip(("trait1", "trait2"), ax.lines, strict=False):
        mine = peaks[peaks.trait == name]
        shift = starts[[list(GENOME.contigs.values).index(c) for c in mine.contig]]
        ends = np.array([segment[:, 0] for segment in bars[f"_{name}"].get_segments()])
        np.testing.assert_allclose(ends, np.column_stack([mine.ci_lo, mine.ci_hi]) + shift[:, None])
        assert all(segment[0, 1] < 0 for segment in bars[f"_{name}"].get_segments())
        assert to_rgba(bars[f"_{name}"].get_colors()[0]) == to_rgba(curve.get_color())
    assert "_trait0" not in bars
    assert min(ax.get_yticks()) == 0


def test_one_chromosome_is_drawn_by_position_with_its_markers():
    peaks = blmm.find_peaks(GENOME, threshold=1)
    ax = plot.lod(GENOME, "trait0", contig="3", intervals=peaks)
    mine = GENOME.isel(variants=GENOME.variant_contig.values == 2)
    ticks, curve = ax.lines[:2]
    np.testing.assert_array_equal(ticks.get_xdata(), mine.variant_position)
    np.testing.assert_array_equal(
        curve.get_xydata(),
        np.column_stack([mine.variant_position, mine.lod.sel(traits="trait0")]),
    )
    assert ax.get_xlabel() == "Position on chromosome 3 (Mb)"
    rows = peaks[(peaks.trait == "trait0") & (peaks.contig == "3")]
    (bars,) = [c for c in ax.collections if c.get_label() == "_trait0"]
    assert len(bars.get_segments()) == len(rows)


def test_base_pairs_are_drawn_as_megabases():
    result = genome_result(unit="bp", lengths=[2e8, 1e8])
    ax = plot.lod(result, "trait0", contig="1")
    np.testing.assert_allclose(
        ax.lines[1].get_xdata(), result.variant_position.values[:30] / 1e6, rtol=1e-12
    )
    assert ax.get_xlabel().endswith("(Mb)")


def test_a_marker_alone_on_its_contig_is_a_dot():
    few = GENOME.isel(variants=[0, 1, 2, 30, 60, 61, 90])
    line = plot.lod(few, "trait0").lines[0]
    at = line.get_xdata()[line.get_markevery()]
    assert len(at) == 2
    assert line.get_marker() == "o"
    assert plot.lod(GENOME, "trait0").lines[0].get_marker() == "None"


def test_contigs_without_markers_take_no_room():
    names = [*GENOME.contigs.values, "MT"]
    more = GENOME.drop_vars(["contig_id", "contigs"]).assign(
        contig_id=("contigs", np.array(names, object))
    )
    axes = [plot.lod(result, "trait0") for result in (GENOME, more)]
    assert axes[0].get_xlim() == axes[1].get_xlim()
    assert [label.get_text() for label in axes[1].get_xticklabels()][-2:] == ["X", ""]


def test_a_manhattan_plot_shows_every_p_in_two_colours_in_turn():
    ax = plot.manhattan(GENOME, "trait1", threshold=5)
    points = np.concatenate([c.get_offsets().data for c in ax.collections])
    expected = neg_log10_p(GENOME.lod.sel(traits="trait1").values, 1)
    np.testing.assert_allclose(np.sort(points[:, 1]), np.sort(expected))
    sides = [np.sort(c.get_offsets().data[:, 1]) for c in ax.collections]
    even = GENOME.variant_contig.values % 2 == 0
    assert {len(side) for side in sides} == {even.sum(), (~even).sum()}
    np.testing.assert_allclose(sides[1], np.sort(expected[even]))
    colours = {tuple(c.get_facecolor()[0]) for c in ax.collections}
    assert len(colours) == 2
    assert heights(ax) == [5]


def test_p_values_of_the_result_are_drawn_where_it_has_them():
    p = GENOME.lod * 0 + 2.5
    given = plot.manhattan(GENOME.assign(neg_log10_p=p), "trait0", contig="2").collections
    assert set(np.concatenate([c.get_offsets().data[:, 1] for c in given])) == {2.5}
    freedom = GENOME.assign(df=(GENOME.lod * 0 + 7).astype("int16"))
    (joint,) = plot.manhattan(freedom, "trait0", contig="2").collections
    lods = GENOME.lod.sel(traits="trait0").values[30:60]
    np.testing.assert_allclose(joint.get_offsets().data[:, 1], neg_log10_p(lods, 7))


def test_of_very_many_markers_one_at_each_place_is_kept_and_the_highest_are():
    n = 150_000
    rng = np.random.default_rng(0)
    result = xr.Dataset(
        {
            "lod": (("variants", "traits"), rng.exponential(0.2, (n, 1)).astype("float32")),
            "variant_contig": ("variants", np.zeros(n, int)),
            "variant_position": ("variants", np.repeat(np.arange(1500.0), 100)),
            "contig_id": ("contigs", np.array(["1"], object)),
        },
        coords={"traits": np.array(["t"], object)},
    )
    (points,) = plot.manhattan(result, "t").collections
    assert points.get_rasterized()
    shown = points.get_offsets().data
    assert 20_000 < len(shown) < n
    top = neg_log10_p(result.lod.values.max(), 1)
    assert shown[:, 1].max() == pytest.approx(float(top), rel=1e-3)


def test_hotspots_are_drawn_where_they_are_counted():
    peaks = blmm.find_peaks(GENOME, threshold=1)
    counts = blmm.hotspots(peaks, GENOME, window=20)
    ax = plot.hotspots(counts, GENOME)
    x, y = ax.lines[0].get_data()
    assert np.isnan(x).sum() == 18
    np.testing.assert_array_equal(y[~np.isnan(y)], counts.traits)
    curve = plot.lod(GENOME, "trait0").lines[0].get_xdata()
    np.testing.assert_allclose(x[~np.isnan(x)], curve[~np.isnan(curve)])
    assert heights(ax) == []
    assert ax.get_ylabel().endswith("in a window")


def test_the_baseline_of_hotspots_is_a_line():
    counts = pd.DataFrame({"contig": ["1", "1", "2"], "position": [5.0, 9, 3], "traits": [4, 7, 1]})
    counts.attrs.update(threshold=12.0, alpha=0.05, window=5.0)
    ax = plot.hotspots(counts, GENOME)
    assert heights(ax) == [12]
    assert [name.split("= ")[1] for name in words(ax)] == ["0.05"]
    assert ax.get_ylim()[1] > 12
    assert ax.get_ylabel().endswith("in a window of 5 Mb")


def test_what_makes_no_sense_is_refused():
    peaks = blmm.find_peaks(GENOME, threshold=3, drop=None)
    for options, message in (
        ({"contig": "Y"}, "contig 'Y' is not in the study"),
        ({"threshold": "high"}, "threshold is 'high'"),
        ({"threshold": GENOME}, "no threshold \\(traits, alpha\\)"),
        ({"threshold": LEVELS.sel(traits=["trait1"])}, "no trait 'trait0' here"),
        (
            {"intervals": peaks},
            r"no column 'ci_lo', 'ci_hi'; give what find_peaks",
        ),
    ):
        with pytest.raises(InputError, match=message):
            plot.lod(GENOME, "trait0", **options)
    assert not plt.get_fignums()  # no empty figure is left behind
    with pytest.raises(InputError, match="no traits to draw"):
        plot.lod(GENOME, [])
    with pytest.raises(InputError, match="lost its dimension 'traits'"):
        plot.lod(GENOME.sel(traits="trait0"), "trait0")
    with pytest.raises(InputError, match="no trait 'nobody'"):
        plot.manhattan(GENOME, "nobody")
    with pytest.raises(InputError, match="no column 'traits'; give what hotspots returns"):
        plot.hotspots(pd.DataFrame({"contig": [], "position": []}), GENOME)
