"""Conditional scans through the front door: beside scans with the markers among the covariates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import studies
import xarray as xr

import bulklmm_dask as blmm
from bulklmm_dask.storage.labels.encoding import text

both = pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
V = [f"variant{i + 1}" for i in range(30)]
# Several markers for some traits, none for others.
OWN = {
    "trait1": [V[3]],
    "trait2": [V[3], V[17], V[20]],
    "trait4": [V[29]],
    "trait5": [],
    "trait6": [V[8], V[11]],
    "trait7": [V[0]],
}


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    """Seven traits on different samples; some calls of some markers are missing."""
    ds = studies.study(n=60, p=30, m=7, covariates=1, missing=0.2)
    rng = np.random.default_rng(3)
    ds.call_dosage.values[[3, 8, 21], rng.integers(60, size=3)] = np.nan
    ds["kinship_loco"] = blmm.kinship(ds, loco=True).compute()
    return ds


def beside(ds: xr.Dataset, markers: list[str]) -> xr.Dataset:
    """The study with these markers among its covariates, means for missing calls."""
    calls = ds.call_dosage.sel(variants=markers)
    columns = calls.fillna(calls.mean("samples")).values.T
    matrix = np.concatenate([ds.sample_covariate.values, columns], axis=1)
    return ds.drop_dims("covariates").assign(
        sample_covariate=(("samples", "covariates"), matrix),
        covariate_id=("covariates", text([*ds.covariate_id.values, *markers])),
    )


def one_by_one(ds: xr.Dataset, own: dict[str, list[str]], **options) -> list[xr.Dataset]:
    """Every trait scanned alone with its markers among the covariates."""
    return [
        blmm.scan(beside(ds.sel(traits=[trait]), own.get(trait, [])), **options).compute()
        for trait in ds.traits.values
    ]


def compare(result: xr.Dataset, alone: list[xr.Dataset]) -> None:
    for j, one in enumerate(alone):
        np.testing.assert_allclose(result.lod[:, j], one.lod[:, 0], atol=1e-5)
        np.testing.assert_allclose(result.h2[..., j], one.h2[..., 0], atol=1e-6)
        np.testing.assert_allclose(result.sigma2[..., j], one.sigma2[..., 0], rtol=1e-5)
        assert result.n_samples[j] == one.n_samples[0]
        assert result.trait_status[j] == one.trait_status[0] == "ok"


@both
@pytest.mark.parametrize("method", ["null-exact", "null-grid", "alt-exact", "alt-grid"])
def test_markers_for_all_traits_are_covariates(ds, method, reml):
    markers = [V[3], V[17]]
    result = blmm.scan(ds, condition=markers, method=method, reml=reml).compute()
    expected = blmm.scan(beside(ds, markers), method=method, reml=reml).compute()
    np.testing.assert_allclose(result.lod, expected.lod, atol=1e-6)
    np.testing.assert_allclose(result.h2, expected.h2, atol=1e-7)
    assert np.abs(result.lod.sel(variants=markers)).max() < 1e-12
    assert np.abs(result.lod - blmm.scan(ds, method=method, reml=reml).lod).max() > 0.1


def test_a_name_is_a_list_of_one_and_a_copy_adds_nothing(ds):
    one = blmm.scan(ds, condition=V[5]).compute()
    np.testing.assert_array_equal(one.lod, blmm.scan(ds, condition=[V[5]]).lod)
    twice = blmm.scan(ds, condition=[V[5], V[5]], statistics="se")
    np.testing.assert_allclose(twice.lod, one.lod, atol=1e-6)
    np.testing.assert_allclose(twice.se, blmm.scan(ds, condition=V[5], statistics="se").se, 1e-5)


@both
@pytest.mark.parametrize("method", ["null-exact", "null-grid"])
def test_every_trait_its_own_equals_each_alone(ds, method, reml):
    result = blmm.scan(ds, condition=OWN, method=method, reml=reml).compute()
    compare(result, one_by_one(ds, OWN, method=method, reml=reml))
    for trait, markers in OWN.items():
        if markers:
            assert (result.lod.sel(variants=markers, traits=trait) == 0).all()
    plain = blmm.scan(ds, method=method, reml=reml).compute()
    free = ["trait3", "trait5"]
    np.testing.assert_allclose(result.lod.sel(traits=free), plain.lod.sel(traits=free), atol=1e-6)


def test_any_table_by_trait_serves(ds):
    expected = blmm.scan(ds, condition={"trait2": V[4], "trait6": [V[9]]}).compute()
    series = pd.Series({"trait6": V[9], "trait1": np.nan, "trait3": "", "trait2": V[4]})
    names = text(["", V[4], "", "", "", V[9], ""])
    by_trait = xr.DataArray(names, dims="traits", coords={"traits": ds.traits.values})
    arrays = {"trait2": np.array([V[4]]), "trait6": (V[9],), "trait4": None}
    single = {"trait2": ds.variants[4], "trait6": np.array(V[9])}
    for condition in (series, by_trait, by_trait[::-1], arrays, single):
        result = blmm.scan(ds, condition=condition).compute()
        xr.testing.assert_identical(result.lod, expected.lod)


def test_rows_of_one_trait_are_taken_together(ds):
    rows = pd.Series([V[3], V[8], V[11]], index=["trait1", "trait6", "trait6"])
    expected = blmm.scan(ds, condition={"trait1": V[3], "trait6": [V[8], V[11]]})
    np.testing.assert_array_equal(blmm.scan(ds, condition=rows).lod, expected.lod)


@pytest.mark.parametrize("loco", [False, True])
def test_second_signals_in_one_call(ds, loco):
    peaks = blmm.max_lod(blmm.scan(ds, loco=loco)).set_index("trait").variant
    result = blmm.scan(ds, loco=loco, condition=peaks).compute()
    own = {trait: [marker] for trait, marker in peaks.items()}
    compare(result, one_by_one(ds, own, loco=loco))
    for trait, marker in peaks.items():
        assert result.lod.sel(variants=marker, traits=trait) == 0
    second = blmm.max_lod(result).set_index("trait")
    assert (second.variant != peaks).all()


def test_a_planted_second_locus_is_found():
    """Beside its strong locus the weaker one of a trait is hidden, given it the highest."""
    rng = np.random.default_rng(1)
    dosage = rng.binomial(2, 0.5, (200, 40)).astype(float)
    traits = 2 * dosage[:, :5] + dosage[:, 20:25] + rng.standard_normal((200, 5))
    ds = blmm.create_dataset(dosage, traits, maximum=2)
    ds["kinship"] = blmm.kinship(ds)
    peaks = blmm.max_lod(blmm.scan(ds)).set_index("trait").variant
    assert list(peaks) == [f"variant{i + 1}" for i in range(5)]
    second = blmm.max_lod(blmm.scan(ds, condition=peaks))
    assert list(second.variant) == [f"variant{i + 21}" for i in range(5)]


@both
@pytest.mark.parametrize("loco", [False, True])
def test_effects_with_weights_equal_generalised_least_squares(ds, loco, reml):
    w = np.sqrt(np.random.default_rng(5).integers(1, 9, 60))
    options = {"weights": w, "loco": loco, "reml": reml, "statistics": ("beta", "se")}
    result = blmm.scan(ds, condition=OWN, **options).compute()
    compare(result, one_by_one(ds, OWN, **options))
    calls = ds.call_dosage.fillna(ds.call_dosage.mean("samples"))
    for trait, markers in OWN.items():
        y = ds.sample_trait.sel(traits=trait).values
        has = np.flatnonzero(~np.isnan(y))
        for i in (1, 13, 26):
            kinship, h2 = ds.kinship.values, result.h2.sel(traits=trait).values
            if loco:
                contig = int(ds.variant_contig[i])
                kinship, h2 = ds.kinship_loco.values[contig], h2[contig]
            v = h2 * kinship[np.ix_(has, has)] + (1 - h2) * np.diag(1 / w[has] ** 2)
            given = calls.sel(variants=markers).values.T[has]
            x = np.column_stack(
                [np.ones(len(has)), ds.sample_covariate.values[has], given, calls.values[i, has]]
            )
            root = np.linalg.cholesky(v)
            xw, yw = np.linalg.solve(root, x), np.linalg.solve(root, y[has])
            beta, rss = np.linalg.lstsq(xw, yw)[:2]
            left = len(has) - 3 - len(markers)
            se = np.sqrt(rss[0] / left * np.linalg.inv(xw.T @ xw)[-1, -1])
            pair = {"variants": V[i], "traits": trait}
            assert result.beta.sel(pair) == pytest.approx(beta[-1], rel=1e-4)
            assert result.se.sel(pair) == pytest.approx(se, rel=1e-4)


def test_of_a_marker_conditioned_on_there_is_no_effect(ds):
    result = blmm.scan(ds, condition=OWN, statistics=("beta", "se", "explained")).compute()
    own = result.sel(variants=V[3], traits="trait1")
    assert np.isnan(own.beta)
    assert np.isnan(own.se)
    assert own.explained == 0


@pytest.mark.slow
def test_lazy_studies_and_stores_give_the_same(ds, tmp_path):
    options = {"statistics": ("beta", "se"), "reml": True}
    expected = blmm.scan(ds, condition=OWN, **options).compute()
    blmm.save(ds, tmp_path / "s.zarr")
    chunks = {"variants": 7, "traits": 3}
    for study in (ds.chunk(variants=4, traits=2), blmm.open_dataset(tmp_path / "s.zarr")):
        lazy = blmm.scan(study, condition=OWN, chunks=chunks, **options)
        np.testing.assert_allclose(lazy.lod, expected.lod, atol=2e-6)
        np.testing.assert_allclose(lazy.se, expected.se, rtol=1e-5)
    store = tmp_path / "r.zarr"
    stored = blmm.scan(study, condition=OWN, chunks=chunks, store=store, **options)
    np.testing.assert_array_equal(stored.lod, lazy.lod)
    again = blmm.scan(ds, condition=OWN | {"trait3": []}, store=store, **options)
    np.testing.assert_array_equal(again.lod, lazy.lod)
    for other, what in (
        (OWN | {"trait3": [V[1]]}, "conditions"),
        (None, "conditions"),
        ([V[3]], "covariates, conditions"),
    ):
        with pytest.raises(blmm.StoreError, match=f"other inputs: {what} differ"):
            blmm.scan(ds, condition=other, store=store, **options)


def probabilities(ds: xr.Dataset) -> xr.DataArray:
    """Three genotypes, uncertain, with the dosages of the study as their mean."""
    share = 0.9 * ds.call_dosage.fillna(1.0).values / 2 + 0.05
    values = np.stack([(1 - share) ** 2, 2 * share * (1 - share), share**2], axis=2)
    return xr.DataArray(values, dims=("variants", "samples", "genotypes"))


def test_probabilities_condition_on_all_their_genotypes(ds):
    """Also where the study has dosages: what is tested is what joins the covariates."""
    probability = probabilities(ds)
    joint = ds.assign(call_genotype_probability=probability)
    columns = probability.values[[4, 19], :, 1:].transpose(0, 2, 1).reshape(4, -1).T
    matrix = np.concatenate([ds.sample_covariate.values, columns], axis=1)
    wider = joint.drop_dims("covariates").assign(
        sample_covariate=(("samples", "covariates"), matrix),
        covariate_id=("covariates", text(["age", *"abcd"])),
    )
    expected = blmm.scan(wider).compute()
    for study in (joint, joint.drop_vars("call_dosage")):
        result = blmm.scan(study, condition=[V[4], V[19]]).compute()
        np.testing.assert_allclose(result.lod, expected.lod, atol=1e-5)
        np.testing.assert_allclose(result.h2, expected.h2, atol=1e-6)
        assert (result.df.sel(variants=V[4]) == 0).all()
        assert (result.lod.sel(variants=V[4]) == 0).all()


@pytest.mark.parametrize(
    ("condition", "options", "message"),
    [
        ({"trait9": V[1]}, {}, r"names 1 traits .*'trait9'; give it by trait, such as max_lod"),
        (pd.Series([V[1], V[2]]), {}, r"names 2 traits .*'0', '1'"),
        ({"trait1": "rs1"}, {}, r"names 1 markers that the study has not: 'rs1'"),
        ({"trait1": 5}, {}, r"names 1 markers that the study has not: '5'"),
        (["rs1", V[1]], {}, r"names 1 markers that the study has not: 'rs1'"),
        (5, {}, r"names 1 markers that the study has not: '5'"),
        ({"trait1": []}, {}, r"names no marker for any trait; leave it out"),
        (pd.Series({"trait1": np.nan}), {}, r"names no marker for any trait"),
        ([], {}, r"names no marker; leave it out"),
        ({"trait1": V[1]}, {"method": "alt-exact"}, r"null methods take with dosages only"),
        ({"trait1": V[1]}, {"method": "alt-grid"}, r"name markers for all traits"),
        ({"trait1": V[1]}, {"interaction": "covariate1"}, r"name markers for all traits"),
    ],
)
def test_what_cannot_be(ds, condition, options, message):
    with pytest.raises(blmm.InputError, match=message):
        blmm.scan(ds, condition=condition, **options)


def test_genotypes_of_probabilities_only_cannot_be_by_trait(ds):
    bare = ds.assign(call_genotype_probability=probabilities(ds)).drop_vars("call_dosage")
    with pytest.raises(blmm.InputError, match="needs call_dosage"):
        blmm.scan(bare, condition={"trait1": V[1]})


def test_so_many_markers_that_no_sample_is_left(ds):
    few = ds.isel(samples=slice(0, 8), samples_0=slice(0, 8), samples_1=slice(0, 8))
    result = blmm.scan(few, condition={"trait1": V[:7]}).compute()
    assert result.trait_status.values[0] == "too-few-samples"
    assert np.isnan(result.lod[:, 0]).all()
