"""Pictures of matrices: LODs of very many traits, kinships."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

mpl.use("Agg")
from genomes import GENOME, genome_result

import bulklmm_dask as blmm
from bulklmm_dask import plot
from bulklmm_dask.errors import InputError


def drawn(ax):
    """Edges of the fields and their values, from below."""
    (image,) = ax.images
    values = np.ma.filled(image.get_array().astype(float), np.nan)
    if hasattr(image, "_Ax"):  # columns of different widths; their edges are not public
        return np.asarray(image._Ax), np.asarray(image._Ay).astype(int), values
    left, right, low, high = image.get_extent()
    rows, columns = values.shape
    return np.linspace(left, right, columns + 1), np.linspace(low, high, rows + 1), values


def brute(result, edges):
    """Highest LOD of every trait and column; of none in it, those of the nearest marker."""
    first = result.variant_position.groupby(result.variant_contig).min().values
    last = result.variant_position.groupby(result.variant_contig).max().values
    starts = np.concatenate([[0], np.cumsum(last - first)])[:-1] - first
    x = starts[result.variant_contig.values] + result.variant_position.values
    where = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2)
    out = []
    for column, middle in enumerate((edges[:-1] + edges[1:]) / 2):
        used = column if (where == column).any() else where[np.argmin(np.abs(x - middle))]
        out.append(np.fmax.reduce(result.lod.values[where == used], axis=0))
    return np.array(out).T


@pytest.mark.parametrize("per_contig", [3, 60])
@pytest.mark.parametrize("lazy", [False, True])
def test_a_field_is_the_highest_lod_of_its_markers(per_contig, lazy):
    result = genome_result(5, per_contig, seed=3)
    given = result.chunk(variants=37, traits=2) if lazy else result
    x, y, values = drawn(plot.heatmap(given, order="traits"))
    np.testing.assert_allclose(values, brute(result, x), rtol=2e-3)
    np.testing.assert_array_equal(y, np.arange(6))


def test_rows_are_ordered_by_the_place_of_the_highest_lod():
    result = genome_result(30)
    ax = plot.heatmap(result)
    names = [label.get_text() for label in ax.get_yticklabels()]
    peak = result.lod.sel(traits=names).argmax("variants").values
    assert (np.diff(peak) >= 0).all()
    x, _, values = drawn(ax)
    np.testing.assert_allclose(values, brute(result.sel(traits=names), x), rtol=2e-3)


def test_with_more_traits_than_rows_a_row_has_the_highest_of_several():
    result = genome_result(1000, 4)
    x, y, values = drawn(plot.heatmap(result, order="traits"))
    assert values.shape == (400, len(x) - 1)
    assert (y[0], y[-1]) == (0, 1000)
    every = brute(result, x)
    for row in (0, 123, 399):
        np.testing.assert_allclose(values[row], every[y[row] : y[row + 1]].max(axis=0), rtol=2e-3)


def test_columns_stay_on_their_chromosome():
    edges = drawn(plot.heatmap(GENOME))[0]
    last = GENOME.variant_position.groupby(GENOME.variant_contig).max().values
    first = GENOME.variant_position.groupby(GENOME.variant_contig).min().values
    for end in np.cumsum(last - first):
        assert np.abs(edges - end).min() < 1e-6
    many = genome_result(3, 2, np.full(600, 10.0), [str(i) for i in range(600)])
    assert len(drawn(plot.heatmap(many))[0]) == 501


def test_chosen_traits_and_traits_without_lods():
    result = GENOME.assign(lod=GENOME.lod.where(GENOME.traits != "trait0"))
    ax = plot.heatmap(result, traits=["trait0", "trait2"])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["trait2", "trait0"]
    values = drawn(ax)[2]
    assert np.isnan(values[1]).all()
    assert np.isfinite(values[0]).all()


def test_a_lazy_scan_is_computed_once():
    calls = []

    def block(values):
        calls.append(values.shape)
        return values

    chunked = GENOME.lod.chunk(variants=100, traits=2)
    lazy = GENOME.assign(lod=chunked.copy(data=chunked.data.map_blocks(block, dtype="float32")))
    calls.clear()
    plot.heatmap(lazy)
    assert sum(rows * columns for rows, columns in calls) == GENOME.lod.size


def test_a_kinship_is_drawn_as_it_is_or_clustered():
    rng = np.random.default_rng(0)
    family = rng.permutation(np.repeat(np.arange(6), 10))
    x = rng.standard_normal((6, 300))[family] + 0.4 * rng.standard_normal((60, 300))
    matrix = xr.DataArray(x @ x.T / 300, dims=("samples_0", "samples_1"))
    plain = plot.kinship(matrix, order=False).images[0].get_array()
    np.testing.assert_allclose(plain, matrix)
    image = plot.kinship(matrix).images[0].get_array()
    np.testing.assert_allclose(np.sort(np.diagonal(image)), np.sort(np.diagonal(matrix)))
    blocks = np.kron(np.eye(6), np.ones((10, 10))).astype(bool)
    assert image[blocks].min() > 0.5 > image[~blocks].max()


def test_colours_of_a_kinship_leave_its_extremes_out():
    matrix = np.random.default_rng(1).normal(0, 0.1, (200, 200))
    np.fill_diagonal(matrix, 50.0)
    ax = plot.kinship(xr.DataArray(matrix, dims=("a", "b")), order=False)
    low, high = ax.images[0].get_clim()
    assert -0.4 < low < -0.15 < 0.15 < high < 0.4


def test_a_large_kinship_is_averaged():
    family = np.repeat(np.arange(4), 500)
    matrix = xr.DataArray((family[:, None] == family) * 1.0, dims=("a", "b"))
    image = plot.kinship(matrix.isel(a=slice(1, None), b=slice(1, None))).images[0].get_array()
    assert image.shape == (800, 800)
    assert image.mean() == pytest.approx(0.25, abs=2e-3)
    assert ((image == 0) | (image == 1)).mean() > 0.98


def test_a_study_shows_its_kinship_with_its_names():
    study = blmm.simulate_study(n_samples=12, n_strains=6, n_variants=80, n_traits=2, n_contigs=2)
    study["kinship"] = blmm.kinship(study)
    ax = plot.kinship(study)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert sorted(names) == sorted(study.sample_id.values)
    at = [list(study.sample_id.values).index(name) for name in names]
    np.testing.assert_allclose(ax.images[0].get_array(), study.kinship.values[np.ix_(at, at)])
    assert ax.figure.axes[1].get_ylabel() == "Kinship (bulklmm)"


def test_what_makes_no_sense_is_refused():
    with pytest.raises(InputError, match="unknown order 'size'; choose one of peak, traits"):
        plot.heatmap(GENOME, order="size")
    with pytest.raises(InputError, match="no trait 'x' here"):
        plot.heatmap(GENOME, traits=["x"])
    with pytest.raises(InputError, match=r"no kinship to draw: ds\['kinship'\]"):
        plot.kinship(GENOME)
    for shape, message in (
        ((2, 3, 3), "each contig left out"),
        ((2, 3), r"square, samples by samples, not \(2, 3\)"),
        ((0, 0), "square"),
    ):
        with pytest.raises(InputError, match=message):
            plot.kinship(xr.DataArray(np.ones(shape)))
    with pytest.raises(InputError, match="holds NaN"):
        plot.kinship(xr.DataArray(np.full((2, 2), np.nan)))
