"""Two scans in a mirror: one scale, the same markers, thresholds in both halves."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")
from genomes import GENOME, LEVELS, genome_result

from bulklmm_dask import plot
from bulklmm_dask.cli.plot_traits import names_of
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.statistics import neg_log10_p

OTHER = GENOME.assign(lod=GENOME.lod * 2)


def points(ax):
    return np.concatenate([cloud.get_offsets().data for cloud in ax.collections])


def test_the_lower_scan_is_drawn_downwards_on_the_scale_of_the_higher():
    ax = plot.miami(GENOME, OTHER, "trait1", threshold=5)
    x, y = points(ax).T
    for side, result in ((1, GENOME), (-1, OTHER)):
        expected = neg_log10_p(result.lod.sel(traits="trait1").values, 1)
        np.testing.assert_allclose(np.sort(side * y[side * y > 0]), np.sort(expected[expected > 0]))
    np.testing.assert_allclose(np.sort(x[y > 0]), np.sort(x[y < 0]))
    low, high = ax.get_ylim()
    assert low == -high
    assert high > np.abs(y).max() == -y.min()
    assert [line.get_ydata()[0] for line in ax.lines if len(line.get_ydata()) == 2][:2] == [5, -5]
    ax.figure.canvas.draw()
    assert not [t for t in ax.get_yticklabels() if t.get_text()[:1] in "-\u2212"]


def test_markers_are_matched_by_name():
    order = np.random.default_rng(0).permutation(GENOME.sizes["variants"])
    pictures = [
        plot.miami(GENOME, lower, "trait1") for lower in (OTHER, OTHER.isel(variants=order))
    ]
    np.testing.assert_array_equal(*map(points, pictures))


def test_two_traits_of_one_result_are_named():
    ax = plot.miami(GENOME, GENOME, "trait0", lower_trait="trait2", contig="7")
    assert [text.get_text() for text in ax.texts[:2]] == ["trait0", "trait2"]
    _, y = points(ax).T
    lods = GENOME.lod.sel(traits="trait2").values[180:210]
    np.testing.assert_allclose(np.sort(-y[y < 0]), np.sort(neg_log10_p(lods, 1)))
    ax = plot.miami(GENOME, OTHER, "trait0", labels=("null", "alt"))
    assert [text.get_text() for text in ax.texts[:2]] == ["null", "alt"]


def test_thresholds_of_lods_are_drawn_at_their_p_in_both_halves():
    ax = plot.miami(GENOME, OTHER.assign_attrs(threshold=4.0), "trait1", threshold=LEVELS)
    heights = sorted(line.get_ydata()[0] for line in ax.lines if len(set(line.get_ydata())) == 1)
    p = neg_log10_p([3.2, 3.4], 1)
    np.testing.assert_allclose(heights, [*-p[::-1], 0, *p])
    kept = plot.miami(GENOME, OTHER.assign_attrs(threshold=4.0), "trait1")
    heights = sorted(line.get_ydata()[0] for line in kept.lines if len(set(line.get_ydata())) == 1)
    np.testing.assert_allclose(heights, [-neg_log10_p(4.0, 1), 0])
    assert "LOD 4" in [text.get_text() for text in kept.texts]


def moved(result, **changes):
    names = result.variants.values.copy()
    position = result.variant_position.values.copy()
    if "name" in changes:
        names[3] = changes["name"]
    if "position" in changes:
        position[3] = changes["position"]
    placed = result.assign(variant_position=("variants", position, result.variant_position.attrs))
    return placed.assign_coords(variants=names)


@pytest.mark.parametrize(
    ("lower", "message"),
    [
        (GENOME.isel(variants=slice(5, None)), r"5 markers only in the upper result: 'm0'.*select"),
        (moved(GENOME, name="new"), r"upper result: 'm3'; 1 marker only in the lower .*'new'"),
        (moved(GENOME, position=150.0), r"1 marker .* first 'm3': chr 1, .* and chr 1, 150.00 Mb"),
        (genome_result(unit="cM"), "in Mb in the upper result, in cM in the lower"),
        (GENOME.drop_vars("variants"), "no names of markers"),
        (GENOME.sel(traits=["trait0"]), "no trait 'trait1' here"),
        (GENOME.drop_vars("variant_position"), "no variant_position"),
    ],
)  # fmt: skip
def test_results_that_differ_in_their_markers_are_refused(lower, message):
    with pytest.raises(InputError, match=message):
        plot.miami(GENOME, lower, "trait1")


def test_labels_are_two():
    with pytest.raises(InputError, match=r"labels is 'ab'; give two"):
        plot.miami(GENOME, OTHER, "trait1", labels="ab")


def test_halves_are_named_by_what_tells_the_results_apart():
    """By the options of the scans; by the stores in the command, which knows them."""
    first = GENOME.assign_attrs(method="null-exact", loco=0, kinship="kinship")
    second = OTHER.assign_attrs(method="alt-exact", loco=1, kinship="kinship")
    ax = plot.miami(first, second, "trait1")
    words = [text.get_text() for text in ax.texts[:2]]
    assert words == ["method null-exact, loco none", "method alt-exact, loco yes"]
    ax = plot.miami(first, first, "trait1")
    assert [text.get_text() for text in ax.texts[:2]] == ["upper", "lower"]


@pytest.mark.parametrize(
    ("upper", "lower", "expected"),
    [
        ("liver.zarr", "a/lung.zarr", ("liver", "lung")),
        ("a/lod.zarr", "b/lod.zarr", ("a/lod.zarr", "b/lod.zarr")),
        ("lod.zarr", "lod", ("lod.zarr", "lod")),
        ("lod.zarr", "lod.zarr", None),
    ],
)
def test_the_command_names_halves_by_their_stores(upper, lower, expected):
    assert names_of(Path(upper), Path(lower)) == expected
