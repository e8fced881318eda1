import numpy as np
import pytest
import xarray as xr
from threadpoolctl import threadpool_limits

from bulklmm_dask.errors import InputError
from bulklmm_dask.simulate import simulate_study
from bulklmm_dask.study.io import open_dataset, save
from bulklmm_dask.study.schema import validate

SMALL = {"n_samples": 60, "n_strains": 20, "n_variants": 200, "n_traits": 50}


def kinship(ds) -> np.ndarray:
    centred = ds.call_dosage.values - 0.5
    strain = ds.sample_strain.values
    return np.where(strain[:, None] == strain, 1, 2 * centred.T @ centred / len(centred) + 0.5)


def test_a_study_of_the_asked_shape_with_its_truth_inside():
    ds = validate(simulate_study(**SMALL, n_covariates=2))
    assert dict(ds.sizes) | {"variants": 200, "samples": 60, "traits": 50} == dict(ds.sizes)
    assert ds.sizes["contigs"] == 20
    assert ds.sample_covariate.shape == (60, 2)
    assert ds.variants.values[0] == ds.variant_id.values[0]
    assert ds.call_dosage.attrs["maximum"] == 1
    assert ds.variant_position.attrs["units"] == "Mb"
    assert set(ds.trait_true_variant.values) <= set(ds.variant_id.values)
    assert not np.isnan(ds.sample_trait.values).any()


def test_the_reference_shape_is_the_default():
    ds = simulate_study(n_traits=3)
    assert ds.call_dosage.shape == (7321, 248)
    assert len(set(ds.sample_strain.values)) == 50


def test_a_seed_gives_one_study_and_another_seed_another():
    first, again, other = (simulate_study(**SMALL, seed=seed) for seed in (3, 3, 4))
    xr.testing.assert_identical(first, again)
    assert not np.array_equal(first.call_dosage, other.call_dosage)
    assert not np.array_equal(first.sample_trait, other.sample_trait)


def test_the_number_of_threads_changes_nothing():
    with threadpool_limits(1):
        first = simulate_study(n_traits=300, n_covariates=3)
    xr.testing.assert_identical(first, simulate_study(n_traits=300, n_covariates=3))


def test_samples_of_a_strain_share_their_genotypes_and_strains_differ():
    ds = simulate_study(**SMALL)
    dosage, strains = ds.call_dosage.values, ds.sample_strain.values
    _, first = np.unique(strains, return_index=True)
    assert all(
        (dosage[:, i] == dosage[:, strains == s].T).all()
        for s, i in zip(strains[first], first, strict=True)
    )
    assert len(np.unique(dosage[:, first], axis=1).T) == 20


def test_without_strains_all_samples_are_distinct():
    ds = simulate_study(**SMALL | {"n_strains": None})
    assert "sample_strain" not in ds
    assert len(np.unique(ds.call_dosage.values, axis=1).T) == 60


@pytest.mark.parametrize(
    ("cross", "shares"),
    [
        ("ril", {0: 0.5, 1: 0.5}),
        ("f2", {0: 0.25, 0.5: 0.5, 1: 0.25}),
        ("backcross", {0: 0.5, 0.5: 0.5}),
    ],
)
def test_each_cross_has_its_genotypes(cross, shares):
    ds = simulate_study(n_samples=400, n_strains=None, n_variants=100, n_traits=1, cross=cross)
    found, counts = np.unique(ds.call_dosage.values, return_counts=True)
    assert found.tolist() == list(shares)
    np.testing.assert_allclose(counts / counts.sum(), list(shares.values()), atol=0.03)


@pytest.mark.parametrize(
    ("cross", "expansion"), [("ril", lambda r: 4 * r / (1 + 6 * r)), ("backcross", lambda r: r)]
)
def test_neighbouring_markers_recombine_as_their_distance_asks(cross, expansion):
    ds = simulate_study(
        n_samples=4000, n_strains=None, n_variants=60, n_traits=1, n_contigs=2, cross=cross
    )
    dosage, position, contig = (
        ds[v].values for v in ("call_dosage", "variant_position", "variant_contig")
    )
    expected = expansion((1 - np.exp(-2 * np.abs(np.diff(position)) * 0.005)) / 2)
    expected[np.diff(contig) != 0] = 0.5
    np.testing.assert_allclose((np.diff(dosage, axis=0) != 0).mean(axis=1), expected, atol=0.035)


def test_positions_rise_along_every_chromosome_and_fill_it():
    ds = simulate_study(n_samples=4, n_strains=None, n_variants=2000, n_traits=1)
    contig, position = ds.variant_contig.values, ds.variant_position.values
    assert (np.diff(contig) >= 0).all()
    assert (np.diff(position)[np.diff(contig) == 0] > 0).all()
    assert 180 < position[contig == 0].max() <= 195.5
    assert 50 < position[contig == 18].max() <= 61.4
    assert (contig == 0).sum() > 2.5 * (contig == 18).sum()


def test_most_loci_are_beside_the_trait_itself():
    ds = simulate_study(n_samples=4, n_strains=None, n_variants=2000, n_traits=2000)
    locus = ds.sel(variants=ds.trait_true_variant.values)
    same = locus.variant_contig.values == ds.trait_contig.values
    near = same & (np.abs(locus.variant_position.values - ds.trait_position.values) < 8)
    assert 0.55 < near.mean() < 0.7
    _, counts = np.unique(ds.trait_true_variant, return_counts=True)
    assert (counts > 60).sum() == 4  # the hotspots


def test_a_trait_is_linked_to_its_nearest_marker():
    ds = simulate_study(n_samples=4, n_strains=None, n_variants=500, n_traits=500)
    contig, position = ds.variant_contig.values, ds.variant_position.values
    found = 0
    for c, p, true in zip(
        ds.trait_contig.values, ds.trait_position.values, ds.trait_true_variant.values, strict=True
    ):
        gap = np.where(contig == c, np.abs(position - p), np.inf)
        found += ds.variant_id.values[gap.argmin()] == true
    assert 0.55 < found / 500 < 0.68


@pytest.mark.parametrize("cross", ["ril", "f2"])
def test_the_covariance_of_the_traits_is_that_of_the_model(cross):
    ds = simulate_study(
        n_samples=30,
        n_strains=10,
        n_variants=300,
        n_traits=20_000,
        cross=cross,
        heritability=(0.6, 0.6),
    )
    y = ds.sample_trait.values
    model = 0.6 * kinship(ds) + 0.4 * np.eye(30)
    centre = np.eye(30) - 1 / 30  # the kinship's constant is left to the intercept
    np.testing.assert_allclose(np.cov(centre @ y, bias=True), centre @ model @ centre, atol=0.06)


def test_the_locus_explains_the_stated_share_of_the_variance():
    ds = simulate_study(**SMALL, heritability=(1, 1), qtl_share=(1, 1), n_contigs=3)
    np.testing.assert_allclose(ds.trait_true_qtl_variance, 1, rtol=1e-5)
    ds = simulate_study(n_traits=200, n_variants=500, heritability=(0, 0.9), qtl_share=(1, 1))
    x = ds.call_dosage.sel(variants=ds.trait_true_variant.values).values
    r2 = [np.corrcoef(a, b)[0, 1] ** 2 for a, b in zip(x, ds.sample_trait.values.T, strict=True)]
    assert np.corrcoef(r2, ds.trait_true_qtl_variance)[0, 1] > 0.95
    assert abs(np.mean(r2) - ds.trait_true_qtl_variance.values.mean()) < 0.02


def test_missing_values_come_in_few_patterns():
    ds = simulate_study(**SMALL, missing=0.2, n_patterns=4)
    gone = np.isnan(ds.sample_trait.values)
    assert 0.1 < gone.mean() < 0.3
    assert len(np.unique(gone, axis=1).T) <= 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cross": "cc"}, "unknown cross 'cc'; choose one of ril, f2, backcross"),
        ({"n_strains": 61}, "n_strains is 61.*2..60"),
        ({"n_contigs": 21}, "n_contigs is 21.*1..20"),
        ({"n_variants": 19}, "n_variants is 19.*at least 20"),
        ({"n_traits": 0}, "n_traits is 0"),
        ({"heritability": (0.5, 0.2)}, r"heritability is \(0.5, 0.2\)"),
        ({"qtl_share": (0, 2)}, r"qtl_share is \(0, 2\)"),
        ({"missing": 1.0}, "missing is 1.0"),
        ({"n_patterns": 0}, "n_patterns is 0"),
        ({"seed": -1}, "seed is -1; it must be at least 0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        simulate_study(**SMALL | options)


@pytest.mark.parametrize("cross", ["ril", "f2", "backcross"])
def test_genotypes_of_a_large_study_are_drawn_again_where_they_are_read(cross, monkeypatch):
    sizes = SMALL | {"n_variants": 9000, "n_contigs": 3, "n_traits": 5, "cross": cross}
    wanted = simulate_study(**sizes)
    monkeypatch.setattr("bulklmm_dask.simulate.study._IN_MEMORY", 0)
    lazy = simulate_study(**sizes)
    assert lazy.call_dosage.chunks is not None
    np.testing.assert_array_equal(lazy.call_dosage, wanted.call_dosage)
    for part in (slice(0, 1), slice(4000, 4200), slice(8990, 9000)):
        np.testing.assert_array_equal(
            lazy.call_dosage.chunk(variants=77)[part], wanted.call_dosage[part]
        )
    xr.testing.assert_identical(lazy.drop_vars("call_dosage"), wanted.drop_vars("call_dosage"))


def test_a_large_study_is_saved_without_its_genotypes_in_memory(tmp_path, monkeypatch):
    wanted = simulate_study(**SMALL)
    monkeypatch.setattr("bulklmm_dask.simulate.study._IN_MEMORY", 0)
    save(simulate_study(**SMALL), tmp_path / "study.zarr")
    found = open_dataset(tmp_path / "study.zarr")
    np.testing.assert_array_equal(found.call_dosage, wanted.call_dosage)
    assert found.call_dosage.attrs == wanted.call_dosage.attrs
