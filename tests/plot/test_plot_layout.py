"""Every picture as it is printed: letters apart and inside, ink on the paper, png and pdf."""

from io import BytesIO
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from genomes import EMPTY, GENOME, LEVELS, ONE, SCAFFOLDS, THOUSANDS, TOY

mpl.use("Agg")
from matplotlib.text import Text

import bulklmm_dask as blmm
from bulklmm_dask import plot

pytestmark = pytest.mark.slow  # pictures drawn in full


def shown_texts(figure):
    """Letters of a figure: those that matplotlib draws, ticks outside of the axes left out."""
    texts = []
    for ax in figure.axes:
        ticks = set()
        for axis, (low, high) in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
            low, high = sorted((low, high))
            for place, label in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=False):
                ticks.add(label)
                if low <= place <= high:
                    texts.append(label)
        inside = ax.findobj(Text)
        texts += [t for t in inside if t not in ticks and not _is_tick(t, ax)]
    return [t for t in dict.fromkeys(texts) if t.get_visible() and t.get_text().strip()]


def _is_tick(text, ax):
    ticks = [t for axis in (ax.xaxis, ax.yaxis) for t in (*axis.majorTicks, *axis.minorTicks)]
    return any(text in (tick.label1, tick.label2) for tick in ticks)


def assert_printable(ax):
    """Letters of 7 or 8 points, none over another, none outside of the paper, and ink on it."""
    figure = ax.figure
    figure.canvas.draw()
    texts = shown_texts(figure)
    assert texts
    assert {text.get_fontsize() for text in texts} <= {7.0, 8.0}
    boxes = [text.get_window_extent() for text in texts]
    paper = figure.bbox.padded(1)
    for text, box in zip(texts, boxes, strict=True):
        assert paper.x0 <= box.x0 < box.x1 <= paper.x1, text
        assert paper.y0 <= box.y0 < box.y1 <= paper.y1, text
    for (one, a), (two, b) in combinations(zip(texts, boxes, strict=True), 2):
        assert not a.padded(-0.5).overlaps(b.padded(-0.5)), (one, two)
    assert ax.get_window_extent().height > 0.3 * figure.bbox.height
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    assert 0.005 < (pixels < 250).any(axis=2).mean() < 0.95
    for kind, start in (("png", b"\x89PNG"), ("pdf", b"%PDF")):
        out = BytesIO()
        figure.savefig(out, format=kind)
        assert out.getvalue().startswith(start)
        assert len(out.getvalue()) > 2000


@pytest.mark.parametrize(
    "draw",
    {
        "toy": lambda: plot.lod(TOY, ["trait0", "trait1"], threshold=[2, 2.1, 2.2]),
        "levels": lambda: plot.lod(GENOME, "trait0", threshold=LEVELS),
        "several": lambda: plot.lod(
            GENOME,
            list(GENOME.traits.values),
            threshold=LEVELS,
            intervals=blmm.find_peaks(GENOME, threshold=3),
        ),
        "contig": lambda: plot.lod(
            GENOME, "trait0", contig="X", intervals=blmm.find_peaks(GENOME), threshold=3
        ),
        "one contig": lambda: plot.lod(ONE, "trait0"),
        "nothing": lambda: plot.lod(EMPTY, "trait0", threshold=4),
        "scaffolds": lambda: plot.lod(SCAFFOLDS, "trait0"),
        "many traits": lambda: plot.lod(THOUSANDS, list(THOUSANDS.traits.values[:40])),
        "long names": lambda: plot.lod(
            TOY.assign_coords(traits=np.array(["a" * 50, "b" * 60], object)), ["a" * 50, "b" * 60]
        ),
    }.items(),
    ids=lambda case: case[0],
)
def test_lod_curves_are_printable(draw):
    assert_printable(draw[1]())


@pytest.mark.parametrize("result", [GENOME, TOY, ONE, EMPTY, SCAFFOLDS])
def test_manhattan_plots_are_printable(result):
    assert_printable(plot.manhattan(result, "trait1", threshold=[4, 4.1]))


def test_a_manhattan_plot_of_one_chromosome_is_printable():
    assert_printable(plot.manhattan(GENOME, "trait1", contig="18"))


@pytest.mark.parametrize("result", [GENOME, TOY, ONE, EMPTY, THOUSANDS])
@pytest.mark.parametrize("order", ["peak", "traits"])
def test_heatmaps_are_printable(result, order):
    assert_printable(plot.heatmap(result, order=order))


def test_maps_are_printable():
    placed = THOUSANDS.assign(
        trait_contig=("traits", np.arange(3000) % 19),
        trait_position=("traits", np.arange(3000) % 60.0, {"units": "Mb"}),
    )
    for study in (THOUSANDS, placed):
        assert_printable(plot.eqtl(blmm.max_lod(study), study, threshold=3))


def test_hotspots_are_printable():
    counts = blmm.hotspots(blmm.find_peaks(THOUSANDS, threshold=3), THOUSANDS, window=5)
    counts.attrs.update(threshold=8, alpha=0.05, window=5)
    assert_printable(plot.hotspots(counts, THOUSANDS))


def test_qq_plots_are_printable():
    rng = np.random.default_rng(1)
    values = np.sort(rng.exponential(1 / np.log(10), 5000))
    table = pd.DataFrame({"neg_log10_p": values, "count": 1})
    assert_printable(plot.qq(table))
    assert_printable(plot.qq(pd.concat([table, table.tail(3).assign(neg_log10_p=200.0)])))
    assert_printable(plot.qq(table.tail(1)))


@pytest.mark.parametrize("n", [2, 20, 28, 60, 900])
def test_kinships_are_printable(n):
    x = np.random.default_rng(n).standard_normal((n, 12))
    names = [f"sample{i}" for i in range(n)]
    matrix = xr.DataArray(
        x @ x.T / 12, coords={"samples_0": names, "samples_1": names}, attrs={"method": "centered"}
    )
    assert_printable(plot.kinship(matrix))


@pytest.mark.parametrize("k", [2, 3, 8, 16])
def test_effects_are_printable(k):
    rng = np.random.default_rng(k)
    share = rng.dirichlet(np.full(k, 0.05), (1, 200))
    study = blmm.create_dataset(rng.integers(0, 3, (200, 1)), rng.standard_normal((200, 1)))
    study = study.drop_vars("call_dosage").assign(
        call_genotype_probability=(("variants", "samples", "genotypes"), share),
        genotype_id=("genotypes", np.array([f"founder {i}/J" for i in range(k)], object)),
    )
    names = [str(study[dim].values[0]) for dim in ("traits", "variants")]
    assert_printable(plot.effects(study, *names))
    assert_printable(plot.effects(study.assign(sample_trait=study.sample_trait * np.nan), *names))


@pytest.mark.parametrize("observed", [None, 1.0, 40.0])
def test_permutations_are_printable(observed):
    rng = np.random.default_rng(2)
    perm = xr.Dataset(
        {
            "max_lod": (("permutations", "traits"), rng.gumbel(2.5, 0.5, (200, 2))),
            "trait_status": ("traits", np.array(["ok", "ok"], object)),
        },
        coords={"traits": np.array(["a", "b"], object)},
        attrs={"by": "none"},
    )
    assert_printable(plot.permutations(perm, "b", observed=observed))


def test_profiles_are_printable():
    study = blmm.simulate_study(n_samples=40, n_strains=20, n_variants=60, n_traits=2, n_contigs=2)
    study["kinship"] = blmm.kinship(study)
    variant = str(study.variants.values[3])
    assert_printable(plot.profile(blmm.profile(study, "trait1", variant=variant)))
