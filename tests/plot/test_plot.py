import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba

from bulklmm_dask import plot
from bulklmm_dask.analyses.kinship import kinship
from bulklmm_dask.analyses.profile import profile
from bulklmm_dask.errors import InputError
from bulklmm_dask.results.maxima import max_lod
from bulklmm_dask.simulate import simulate_study


@pytest.fixture(scope="module")
def study():
    return simulate_study(n_samples=20, n_strains=10, n_variants=300, n_traits=40, n_contigs=5)


@pytest.fixture(scope="module")
def result(study):
    """LODs of each trait that peak at its true locus and fall off along the chromosome."""
    true = study.sel(variants=study.trait_true_variant.values)
    apart = np.abs(study.variant_position.values[:, None] - true.variant_position.values)
    same = study.variant_contig.values[:, None] == true.variant_contig.values
    lod = np.where(same, np.linspace(2, 12, 40) * np.exp(-apart / 20), 0.1).astype("float32")
    kept = study[["variant_contig", "variant_position", "contig_id"]]
    kept = kept.assign(lod=(("variants", "traits"), lod), h2=study.trait_true_h2.variable)
    return kept.assign_coords(traits=study.traits.values)


def test_a_lod_curve_peaks_where_the_locus_is(study, result):
    ax = plot.lod(result, "trait33", threshold=4)
    x, y = ax.lines[0].get_data()
    marker = result.sel(variants=study.trait_true_variant.sel(traits="trait33").values)
    contig = int(marker.variant_contig)
    first = result.variant_position.values[result.variant_contig.values == contig].min()
    before = sum(_extent(result, c) for c in range(contig))
    assert np.nanmax(y) == float(result.lod.sel(traits="trait33").max())
    assert x[np.nanargmax(y)] == pytest.approx(before + float(marker.variant_position) - first)
    assert ax.get_title(loc="left") == "trait33"
    assert ax.lines[1].get_ydata()[0] == 4
    assert ax.get_ylim()[0] == 0


def _extent(result, contig):
    inside = result.variant_position.values[result.variant_contig.values == contig]
    return inside.max() - inside.min()


def test_chromosomes_are_to_scale_named_and_apart(result):
    ax = plot.lod(result, "trait33")
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "2", "3", "4", "5"]
    ends = np.cumsum([_extent(result, c) for c in range(5)])
    np.testing.assert_allclose(ax.get_xlim(), (0, ends[-1]))
    np.testing.assert_allclose(ax.get_xticks(), ends - np.diff(ends, prepend=0) / 2)
    assert np.isnan(ax.lines[0].get_xdata()).sum() == 4


def test_a_result_in_another_order_gives_the_same_curve(result):
    shuffled = result.isel(variants=np.random.default_rng(0).permutation(300))
    curves = [plot.lod(ds, "trait33").lines[0].get_xydata() for ds in (result, shuffled)]
    np.testing.assert_array_equal(*curves)


def test_several_traits_have_a_legend_and_their_own_look(result):
    names = list(result.traits.values[:9])
    ax = plot.lod(result, names)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == names
    looks = {(to_rgba(line.get_color()), line.get_linestyle()) for line in ax.lines}
    assert len(looks) == 9


def test_it_draws_where_it_is_told_and_leaves_matplotlib_alone(result):
    before = dict(mpl.rcParams)
    _, ax = plt.subplots()
    assert plot.lod(result, "trait01", ax=ax) is ax
    assert plot.eqtl(max_lod(result), result, ax=ax) is ax
    assert dict(mpl.rcParams) == before


def test_only_the_traits_asked_for_are_computed(result):
    asked = []

    def block(lod, block_info=None):
        asked.append(block_info[0]["chunk-location"][1])
        return lod

    chunked = result.lod.chunk(variants=100, traits=10)
    lazy = result.assign(lod=chunked.copy(data=chunked.data.map_blocks(block, dtype="float32")))
    asked.clear()
    plot.lod(lazy, ["trait35", "trait38"])
    assert set(asked) == {3}


def test_a_trait_without_lods_is_drawn_as_nothing(result):
    empty = result.assign(lod=result.lod.where(result.traits != "trait02"))
    ax = plot.lod(empty, "trait02")
    assert np.isnan(ax.lines[0].get_ydata()).all()
    ax.figure.canvas.draw()


def test_the_map_sets_markers_against_traits(study, result):
    maxima = max_lod(result)
    ax = plot.eqtl(maxima, study, threshold=5)
    hits = maxima[maxima.lod >= 5].sort_values("lod")
    own = study.sel(traits=hits.trait.values)
    same = study.contig_id.values[own.trait_contig.values] == hits.contig
    apart = own.trait_position.values - hits.position.values
    near = (same & (np.abs(apart) <= 5)).to_numpy()
    trans, cis = ax.collections[:2]
    for points, mine in ((trans, ~near), (cis, near)):
        assert len(points.get_offsets()) == mine.sum() > 5
        assert points.get_rasterized()
        assert (np.diff(points.get_sizes()) >= 0).all()  # the highest on top, and largest
        x, y = points.get_offsets().data.T
        kept = same.to_numpy()[mine]
        np.testing.assert_allclose((y - x)[kept], apart[mine][kept])
    assert ax.get_xlim() == ax.get_ylim()
    ax.figure.canvas.draw()


def test_the_map_has_a_title_and_a_legend_of_cis_and_trans(study, result):
    maxima = max_lod(result)
    number = int((maxima.lod >= 5).sum())
    ax = plot.eqtl(maxima, study, threshold=5)
    legend = ax.get_legend()
    words = [text.get_text() for text in legend.get_texts()]
    assert (
        legend.get_title().get_text() == f"{number} loci with a LOD of 5 or more; cis within 5 Mb"
    )
    counts = {word.split(":")[0]: int(word.split(":")[1]) for word in words if ":" in word}
    assert list(counts) == ["trans", "cis"]
    assert sum(counts.values()) == number
    assert words[2] == f"LOD {maxima.lod[maxima.lod >= 5].min():.3g}"
    assert words[3].startswith("LOD 1")
    colours = {tuple(points.get_facecolor()[0][:3]) for points in ax.collections[:2]}
    assert len(colours) == 2


def test_what_cis_is_may_be_given(study, result):
    maxima = max_lod(result)
    wide = plot.eqtl(maxima, study, threshold=5, cis_window=1000).get_legend().get_texts()
    assert int(wide[1].get_text().split(": ")[1]) > 13
    marked = maxima.assign(cis=["True", "False"] * 20)  # as a CSV file has it
    ax = plot.eqtl(marked, result, threshold=5)  # a result without positions of traits
    shown = [text.get_text().split(":")[0] for text in ax.get_legend().get_texts()[:2]]
    assert shown == ["trans", "cis"]
    high = marked[marked.lod >= 5]
    assert len(ax.collections[1].get_offsets()) == (high.cis == "True").sum()
    unknown = plot.eqtl(marked.assign(cis=pd.NA), study, threshold=5)
    assert unknown.get_legend().get_texts()[0].get_text().startswith("not known: ")
    with pytest.raises(
        InputError, match="cis_window is 3, but the study has no positions of traits"
    ):
        plot.eqtl(maxima, result, cis_window=3)


def test_traits_of_unknown_place_are_counted(study, result):
    maxima = max_lod(result)
    place = study.trait_position.values.copy()
    place[-4:] = np.nan
    some = study.assign(trait_position=("traits", place, study.trait_position.attrs))
    title = plot.eqtl(maxima, some, threshold=5).get_legend().get_title().get_text()
    assert "; 4 others of traits of unknown place" in title
    none = study.assign(trait_position=("traits", place * np.nan, study.trait_position.attrs))
    assert plot.eqtl(maxima, none).texts[0].get_text() == "the place of no trait is known"


def test_without_trait_positions_the_traits_stand_in_order(result):
    ax = plot.eqtl(max_lod(result), result, threshold=6)
    rows = np.sort(ax.collections[0].get_offsets()[:, 1])
    np.testing.assert_array_equal(rows, np.flatnonzero(result.lod.max("variants") >= 6))


def test_a_map_without_points_says_so(study, result):
    ax = plot.eqtl(max_lod(result), study, threshold=50)
    assert ax.texts[0].get_text() == "no LOD of 50 or more"


def test_names_that_would_run_together_are_left_out():
    n = 60
    result = xr.Dataset(
        {
            "lod": (("variants", "traits"), np.ones((2 * n, 1), "float32")),
            "variant_contig": ("variants", np.repeat(np.arange(n), 2)),
            "variant_position": ("variants", np.tile([0.0, 1.0], n)),
            "contig_id": ("contigs", np.array([f"scaffold{i}" for i in range(n)], object)),
        },
        coords={"traits": np.array(["t"], object)},
    )
    shown = [label.get_text() for label in plot.lod(result, "t").get_xticklabels()]
    assert 5 < sum(label != "" for label in shown) < 25


@pytest.fixture(scope="module")
def related(study):
    """The study with its kinship, the trait whose locus is largest, and that locus."""
    trait = study.trait_id.values[int(np.argmax(study.trait_true_qtl_variance.values))]
    variant = str(study.trait_true_variant.sel(traits=trait).values)
    return study.assign(kinship=kinship(study).compute()), str(trait), variant


def test_a_profile_shows_both_curves_above_the_null_maximum(related):
    ds, trait, variant = related
    values = profile(ds, trait, variant=variant)
    ax = plot.profile(values)
    null, alternative = ax.lines
    assert null.get_ydata().max() == 0
    assert alternative.get_ydata().max() == pytest.approx(float(values.lod) * np.log(10))
    for line, name in ((null, "null_h2"), (alternative, "alternative_h2")):
        (at,) = line.get_markevery()
        assert line.get_xdata()[at] == float(values[name])
        assert line.get_ydata()[at] == line.get_ydata().max() < ax.get_ylim()[1]
    low, high = values.null_interval.values
    (shaded,) = ax.patches
    assert (shaded.get_x(), shaded.get_x() + shaded.get_width()) == pytest.approx((low, high))
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == [
        f"without a marker: h² = {float(values.null_h2):.2f}",
        f"with {variant}: h² = {float(values.alternative_h2):.2f}, LOD = {float(values.lod):.2f}",
        f"95% interval without a marker: {low:.2f} to {high:.2f}",
    ]
    assert ax.get_legend().get_title().get_text() == trait
    assert ax.get_ylim()[0] > -9
    ax.figure.canvas.draw()


def test_a_restricted_profile_has_each_curve_below_its_own_maximum(related):
    ds, trait, variant = related
    ax = plot.profile(profile(ds, trait, variant=variant, reml=True))
    assert [line.get_ydata().max() for line in ax.lines] == [0, 0]
    assert ax.get_ylabel() == "Restricted log-likelihood (nats)\nabove each maximum"


def test_a_profile_without_a_marker_is_one_curve_where_it_is_told(related):
    _, ax = plt.subplots()
    values = profile(related[0], related[1])
    assert plot.profile(values, ax=ax) is ax
    assert len(ax.lines) == 1
    whole = values["null"].round().astype(np.int64)
    assert len(plot.profile(values.assign(null=whole)).lines) == 1
    values.attrs["null_status"] = "unbounded"
    named = plot.profile(values).get_legend().get_texts()[0].get_text()
    assert named.endswith("(no maximum below 1)")


def test_what_cannot_be_drawn_is_refused(study, result):
    with pytest.raises(InputError, match=r"no trait 'trait77' here.*'trait01'"):
        plot.lod(result, ["trait01", "trait77"])
    with pytest.raises(InputError, match=r"no variant_position.*marker map"):
        plot.lod(result.drop_vars("variant_position"), "trait01")
    with pytest.raises(InputError, match="contig 'Y' is not in the study"):
        plot.eqtl(max_lod(result).assign(contig="Y"), study)
    other = study.assign(trait_position=study.trait_position.assign_attrs(units="bp"))
    with pytest.raises(InputError, match="variant_position is in Mb but trait_position in bp"):
        plot.eqtl(max_lod(result), other)
    with pytest.raises(InputError, match=r"no null here: draw what bulklmm_dask\.profile returns"):
        plot.profile(result)


def test_datasets_that_have_lost_their_form_are_refused(related, result):
    ds, trait, variant = related
    values = profile(ds, trait, n_points=5)
    for odd, message in (
        (3, "this is a int, no profile"),
        (values.assign_attrs(reml="no"), "attribute reml is 'no'"),
        (values.drop_attrs(), "there is no attribute reml here"),
        (values.expand_dims("x"), r"null has dimensions \('x', 'h2'\)"),
        (values.assign(null_h2=1j), "null_h2 has dtype complex128"),
        (values.assign(null_interval=("limits", [0.0, 1e308])), "the interval of h2 is"),
        (values.assign(null=values["null"] * np.inf), "likelihoods are not finite"),
    ):
        with pytest.raises(InputError, match=message):
            plot.profile(odd)
    names = list(result.traits.values)
    levels = xr.DataArray(
        np.ones((len(names), 2)), {"traits": names, "alpha": [0.1, 0.05]}, ("traits", "alpha")
    )
    lines = len(plot.lod(result, names[0], threshold=levels).lines)
    endless = levels.where(levels["alpha"] > 0.05, np.inf)
    assert len(plot.lod(result, names[0], threshold=endless).lines) == lines - 1
    for odd, message in (
        (levels.assign_coords(alpha=["a", "b"]), "alpha of threshold does not hold numbers"),
        (levels.assign_coords(alpha=[0.1, 0.1]), "levels of threshold must be unique"),
        (levels.astype(str), "threshold has dtype"),
        (levels.expand_dims("x"), "threshold has dimensions"),
    ):
        with pytest.raises(InputError, match=message):
            plot.lod(result, names[0], threshold=odd)
    for odd, message in (
        ("kinship", "not str"),
        (xr.DataArray(np.full((3, 3), 1e200)), "relationships hold 1e"),
        (xr.DataArray(np.full((3, 3), np.nan)), "the kinship holds NaN"),
        (xr.DataArray(np.full((3, 3), "x")), "the kinship does not hold numbers"),
    ):
        with pytest.raises(InputError, match=message):
            plot.kinship(odd)
    for odd, message in (
        (ds.drop_vars("call_dosage"), "there is no call_dosage"),
        (ds.assign(call_dosage=ds.call_dosage.drop_attrs()), r"attrs\['maximum'\]"),
        (ds.assign(sample_trait=ds.sample_trait * 1j), "sample_trait has dtype complex"),
    ):
        with pytest.raises(InputError, match=message):
            plot.effects(odd, trait, variant)


def test_the_remedy_is_named_where_matplotlib_is_absent(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(InputError, match=r"pip install matplotlib"):
        plot.lod(result, "trait01")


def test_matplotlib_is_imported_only_for_a_picture():
    code = "import sys, bulklmm_dask.plot; print('matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
