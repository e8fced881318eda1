"""Pictures of values: QQ plots, phenotypes by genotype, maxima of permutations."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy import stats

mpl.use("Agg")
from genomes import GENOME
from matplotlib.collections import PathCollection
from studies import study as small_study

import bulklmm_dask as blmm
from bulklmm_dask import plot
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.statistics import neg_log10_p


def exact(p):
    """A table with a bin of its own for every p-value."""
    return pd.DataFrame({"neg_log10_p": np.sort(-np.log10(p)), "count": 1})


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_qq_plot_sets_ranks_against_values():
    p = np.random.default_rng(0).uniform(size=999)
    ax = plot.qq(exact(p))
    band, points = ax.collections
    x, y = points.get_offsets().data[::-1].T  # the smallest p first
    np.testing.assert_allclose(x, -np.log10(np.arange(1, 1000) / 1000))
    np.testing.assert_allclose(y, -np.log10(np.sort(p)))
    edge = band.get_paths()[0].vertices
    for rank in (1, 999):
        mine = edge[np.isclose(edge[:, 0], -np.log10(rank / 1000)), 1]
        ends = -np.log10(stats.beta.ppf([0.975, 0.025], rank, 1000 - rank))
        np.testing.assert_allclose([mine.min(), mine.max()], ends)
    chi2 = np.median(stats.chi2.isf(p, 1)) / stats.chi2.median(1)
    assert legend(ax) == ["95% band, independent tests", f"999 tests, λ = {chi2:.3f}"]


def test_a_qq_plot_of_counts_has_the_rank_of_the_least_value_of_each_bin():
    table = pd.DataFrame({"neg_log10_p": [0.0, 0.5, 2.0, 3.0], "count": [600, 390, 0, 9]})
    ax = plot.qq(table)
    points = ax.collections[1].get_offsets().data
    np.testing.assert_allclose(points[:, 0], -np.log10(np.array([999, 399, 9]) / 1000))
    np.testing.assert_array_equal(points[:, 1], [0, 0.5, 3])


def test_a_qq_plot_of_a_result_counts_its_p_values():
    ax = plot.qq(GENOME.chunk(variants=100))
    assert legend(ax)[1].startswith(f"{GENOME.lod.size:,} tests, λ = ")
    p = neg_log10_p(GENOME.lod.values, 1)
    chi2 = np.median(stats.chi2.isf(10**-p, 1)) / stats.chi2.median(1)
    assert float(legend(ax)[1].split("= ")[1]) == pytest.approx(chi2, rel=0.02)
    assert ax.collections[1].get_offsets().data[-1, 1] == pytest.approx(p.max(), rel=2e-3)


def test_values_far_beyond_are_counted_at_the_edge():
    p = np.random.default_rng(0).uniform(size=999)
    table = pd.concat([exact(p), pd.DataFrame({"neg_log10_p": [80.0, 120.0], "count": [4, 1]})])
    ax = plot.qq(table)
    assert legend(ax)[2] == "5 beyond, up to 120"
    assert ax.get_ylim()[1] < 12
    beyond = ax.collections[2].get_offsets().data
    assert len(beyond) == 2
    assert (beyond[:, 1] <= ax.get_ylim()[1]).all()


def points_of(ax):
    clouds = [c for c in ax.collections if isinstance(c, PathCollection)]
    return np.concatenate([c.get_offsets().data for c in clouds])


def study_of(dosage, trait, maximum=2, alleles=None):
    dosage, trait = (np.asarray(values, float)[:, None] for values in (dosage, trait))
    ds = blmm.create_dataset(
        np.nan_to_num(dosage),
        np.nan_to_num(trait),
        contigs=["5"],
        positions=[12.5],
        maximum=maximum,
        alleles=alleles,
    )
    ds["call_dosage"] = ds.call_dosage.copy(data=dosage.T)
    ds["sample_trait"] = ds.sample_trait.copy(data=trait)
    return ds, str(ds.traits.values[0]), str(ds.variants.values[0])


def test_effects_show_every_sample_and_the_means_of_the_genotypes():
    rng = np.random.default_rng(0)
    dosage = rng.integers(0, 3, 90)
    trait = dosage + rng.standard_normal(90)
    ds, *names = study_of(dosage, trait, alleles=[["A", "G"]])
    ax = plot.effects(ds, *names)
    points = points_of(ax)
    for number in range(3):
        mine = np.abs(points[:, 0] - number) <= 0.25
        np.testing.assert_allclose(np.sort(points[mine, 1]), np.sort(trait[dosage == number]))
    (bars,) = ax.containers
    x, y = bars.lines[0].get_data()
    np.testing.assert_array_equal(x, [0, 1, 2])
    for number, segment in enumerate(bars.lines[2][0].get_segments()):
        group = trait[dosage == number]
        assert y[number] == pytest.approx(group.mean())
        ends = stats.t.interval(0.95, group.size - 1, group.mean(), stats.sem(group))
        np.testing.assert_allclose(segment[:, 1], ends)
    sizes = np.bincount(dosage)
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == [f"{g}\nn = {n}" for g, n in zip(("AA", "AG", "GG"), sizes, strict=True)]
    assert ax.get_xlabel() == f"Genotype at {names[1]} (chr 5, 12.50 Mb)\n90 samples"
    again = points_of(plot.effects(ds, *names))
    np.testing.assert_array_equal(points, again)


def test_inbred_lines_have_two_genotypes_and_missing_values_are_counted():
    dosage = np.repeat([0.0, 1.0], 20)
    trait = np.arange(40.0)
    trait[:3] = np.nan
    dosage[[0, 39]] = np.nan
    ds, *names = study_of(dosage, trait, maximum=1)
    ax = plot.effects(ds, *names)
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == ["0\nn = 17", "1\nn = 19"]
    told = "36 samples; 3 without trait value and 1 without genotype"
    assert ax.get_xlabel().split("\n")[1] == told


def test_a_genotype_of_one_sample_has_a_mean_without_interval():
    ds, *names = study_of([0, 0, 0, 1], [1.0, 2, 3, 9], maximum=1)
    (bars,) = plot.effects(ds, *names).containers
    segments = bars.lines[2][0].get_segments()
    assert np.isfinite(segments[0]).all()
    assert segments[1].size == 0


def test_dosages_close_to_whole_ones_are_genotypes_others_a_line():
    rng = np.random.default_rng(1)
    copies = rng.integers(0, 3, 200)
    near = np.clip(copies + rng.uniform(-0.08, 0.08, 200), 0, 2)
    ds, *names = study_of(near, copies * 2.0)
    assert len(plot.effects(ds, *names).get_xticklabels()) == 3
    spread = rng.uniform(0, 2, 200)
    ds, *names = study_of(spread, 3 - 0.5 * spread)
    ax = plot.effects(ds, *names)
    x, y = ax.lines[0].get_data()
    np.testing.assert_allclose(y, 3 - 0.5 * x)
    np.testing.assert_allclose(x, [spread.min(), spread.max()])
    np.testing.assert_allclose(points_of(ax)[:, 0], spread)
    assert ax.get_xlabel().startswith("Dosage at")


def test_of_probabilities_the_most_probable_genotype_counts():
    ds, *names = study_of(np.zeros(6), [1.0, 2, 3, 4, 5, 6])
    p = np.full((6, 3), 0.02)
    p[np.arange(5), [2, 2, 0, 0, 2]] = 0.96
    p[5] = [0.4, 0.35, 0.25]  # of nobody sure
    ds = ds.drop_vars("call_dosage").assign(
        call_genotype_probability=(("variants", "samples", "genotypes"), p[None]),
        genotype_id=("genotypes", np.array(["A", "B", "CAST"], object)),
    )
    ax = plot.effects(ds, *names)
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == ["A\nn = 2", "CAST\nn = 3"]
    np.testing.assert_allclose(ax.containers[0].lines[0].get_ydata(), [3.5, 8 / 3])
    assert ax.get_xlabel().endswith("5 samples; 1 without genotype")


def test_without_both_the_picture_says_so():
    ds, *names = study_of([0, 1, 2], [np.nan] * 3)
    ax = plot.effects(ds, *names)
    assert [text.get_text() for text in ax.texts] == ["no sample has both"]


@pytest.fixture(scope="module")
def permuted():
    ds = small_study()
    per_trait = blmm.permute(ds, n_permutations=120, by="contig").compute()
    return per_trait, blmm.permute(ds, n_permutations=120, method="shared")


@pytest.mark.parametrize("which", [0, 1])
def test_permutations_are_a_histogram_with_thresholds(permuted, which):
    perm = permuted[which]
    trait = str(perm.traits.values[3])
    ax = plot.permutations(perm, trait, alpha=[0.2, 0.05], observed=100.0)
    found = blmm.thresholds(perm, [0.2, 0.05]).threshold.sel(traits=trait).values
    np.testing.assert_allclose([line.get_xdata()[0] for line in ax.lines], [*found, 100])
    assert [text.split(": ")[1] for text in legend(ax)[1:3]] == [f"LOD {v:.2f}" for v in found]
    assert legend(ax)[0] == "120 permutations"
    assert legend(ax)[3] == "observed: LOD 100.00, adjusted p ≤ 0.0083"
    outline = ax.patches[0].get_path().vertices
    assert outline[:, 1].max() < 120
    assert ax.get_legend().get_title().get_text() == trait


def test_the_adjusted_p_of_the_observed_is_counted(permuted):
    perm = permuted[0]
    trait = str(perm.traits.values[3])
    value = float(blmm.thresholds(perm, 0.5).threshold.sel(traits=trait).squeeze())
    ax = plot.permutations(perm, trait, observed=value)
    table = pd.DataFrame({"trait": [trait], "lod": [value]})
    p = float(blmm.adjusted_p(perm, table).p_adjusted.iloc[0])
    assert legend(ax)[3].endswith(f"adjusted p = {p:.2g}")


def test_a_trait_without_a_model_is_drawn_as_nothing(permuted):
    perm = permuted[0]
    trait = str(perm.traits.values[0])
    lost = perm.assign(
        max_lod=perm.max_lod.where(perm.traits != trait),
        trait_status=perm.trait_status.where(perm.traits != trait, "constant"),
    )
    ax = plot.permutations(lost, trait)
    assert [text.get_text() for text in ax.texts] == ["no LODs: this trait has no null model"]


def test_what_makes_no_sense_is_refused(permuted):
    ds, trait, variant = study_of([0, 1, 2], [1.0, 2, 3])
    with pytest.raises(InputError, match="no variant 'rs1' here"):
        plot.effects(ds, trait, "rs1")
    with pytest.raises(InputError, match="no trait 'height' here"):
        plot.effects(ds, "height", variant)
    with pytest.raises(InputError, match="from a study, not a result"):
        plot.effects(GENOME, "trait0", "m0")
    with pytest.raises(InputError, match="no trait 'height' here"):
        plot.permutations(permuted[0], "height")
    with pytest.raises(InputError, match="needs the Dataset that permute gives"):
        plot.permutations(GENOME, "trait0")
    with pytest.raises(InputError, match=r"alpha=0\.001 cannot be had"):
        plot.permutations(permuted[0], str(permuted[0].traits.values[0]), alpha=0.001)
    with pytest.raises(InputError, match="no column 'count'; give what pvalue_counts returns"):
        plot.qq(pd.DataFrame({"neg_log10_p": [1.0]}))
    with pytest.raises(InputError, match="no p-values"):
        plot.qq(pd.DataFrame({"neg_log10_p": [1.0], "count": [0]}))
