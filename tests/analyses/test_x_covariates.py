"""Covariates of markers on the X: which there are, where they count, what is said."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from intercross import intercross

import bulklmm_dask as blmm
from bulklmm_dask.analyses.inputs.x_covariates import x_columns
from bulklmm_dask.errors import InputError, StoreError, StudyWarning

pytestmark = pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")


@pytest.fixture(scope="module")
def f2(tmp_path_factory):
    """Genotype probabilities of an intercross, in memory."""
    with pytest.warns(StudyWarning):
        raw = intercross(tmp_path_factory.mktemp("f2"))
    return blmm.genotype_probabilities(raw).compute()


def ordinary_lods(ds, trait, covariates):
    """LODs by least squares, one marker after the other."""
    y = ds.sample_trait.sel(traits=trait).values
    null = np.column_stack([np.ones(len(y)), *covariates])
    out = []
    for x in ds.call_genotype_probability.values:
        rss = [
            np.square(y - design @ np.linalg.lstsq(design, y, rcond=1e-5)[0]).sum()
            for design in (null, np.column_stack([null, x]))
        ]
        out.append(len(y) / 2 * np.log10(rss[0] / rss[1]))
    return np.array(out)


def test_sex_and_direction_as_r_qtl2_codes_them(f2):
    found = blmm.x_covariates(f2)
    assert found.x_covariates.values.tolist() == ["sex", "direction"]
    assert found.attrs["x_contigs"] == ["X"]
    male = f2.sample_sex.values == "male"
    second = f2.sample_cross_number.values[:, 0] == 1
    np.testing.assert_array_equal(found[:, 0], male)
    np.testing.assert_array_equal(found[:, 1], ~male & second)


def test_only_what_differs_is_a_covariate(f2):
    females = f2.isel(samples=f2.sample_sex.values == "female")
    assert blmm.x_covariates(females).x_covariates.values.tolist() == ["direction"]
    males = f2.isel(samples=f2.sample_sex.values == "male")
    assert blmm.x_covariates(males).shape == (males.sizes["samples"], 0)
    one = f2.isel(samples=f2.sample_cross_number.values[:, 0] == 0)
    assert blmm.x_covariates(one).x_covariates.values.tolist() == ["sex"]
    # Males of a backcross are hemizygous; lines by selfing are alike in both sexes.
    for cross, names in (("bc", ["sex"]), ("riself", [])):
        other = f2.assign_attrs(crosstype=cross)
        assert blmm.x_covariates(other).x_covariates.values.tolist() == names


def test_x_by_name_or_by_option(f2):
    contigs = f2.contig_id.values.astype(object)
    for name, found in (("chrX", ["chrX"]), ("20", []), ("23", [])):
        contigs[2] = name
        renamed = f2.drop_vars("variant_contig_name")
        renamed = renamed.assign_coords(contigs=contigs, contig_id=("contigs", contigs))
        renamed.attrs.pop("x_chr")
        assert blmm.x_covariates(renamed).attrs["x_contigs"] == found
        assert blmm.x_covariates(renamed, x_contigs=name).attrs["x_contigs"] == [name]
    with pytest.raises(InputError, match="x_contigs names the contig '7'"):
        blmm.x_covariates(f2, x_contigs="7")


@pytest.mark.parametrize("given", [True, "sex, direction", ["sex", "direction"], "table", "array"])
def test_they_join_both_models_on_the_x_only(f2, given):
    table = blmm.x_covariates(f2)
    given = {"table": table.to_pandas()[::-1], "array": table}.get(str(given), given)
    found = blmm.scan(f2, kinship=None, x_covariates=given).lod.sel(traits="t1").values
    on_x = f2.variant_contig_name.values == "X"
    np.testing.assert_allclose(found[~on_x], ordinary_lods(f2, "t1", [])[~on_x], atol=1e-5)
    expected = ordinary_lods(f2, "t1", table.values.T)
    np.testing.assert_allclose(found[on_x], expected[on_x], atol=1e-5)
    without = blmm.scan(f2, kinship=None).lod.sel(traits="t1").values
    assert without[on_x].min() > 2 + found[on_x].max()  # the sex alone seems linked to the X


def test_degrees_of_freedom_are_those_of_the_chromosome(f2):
    result = blmm.scan(f2, kinship=None, x_covariates=True, statistics="neg_log10_p")
    df = result.df.isel(traits=0).to_series().groupby(f2.variant_contig_name.values).unique()
    assert {name: values.tolist() for name, values in df.items()} == {"1": [2], "2": [2], "X": [3]}


@pytest.mark.parametrize("loco", [False, True])
def test_h2_is_that_of_the_model_of_each_contig(f2, loco):
    ds = f2.assign(kinship=blmm.kinship(f2), kinship_loco=blmm.kinship(f2, loco=True)).compute()
    result = blmm.scan(ds, loco=loco, reml=True, x_covariates=True).compute()
    plain = blmm.scan(ds, loco=loco, reml=True).compute()
    assert result.h2.dims == ("contigs", "traits")
    everyone = blmm.scan(ds, loco=loco, reml=True, covariates=None, x_covariates=None)
    names = ["sex", "direction"]
    with_all = ds.assign(
        sample_covariate=(("samples", "covariates"), blmm.x_covariates(ds).values)
    ).assign_coords(covariate_id=("covariates", names), covariates=names)
    everyone = blmm.scan(with_all, loco=loco, reml=True).compute()
    on_x = ds.variant_contig_name.values == "X"
    np.testing.assert_allclose(result.lod[~on_x], plain.lod[~on_x], atol=1e-6)
    np.testing.assert_allclose(result.lod[on_x], everyone.lod[on_x], atol=1e-6)
    both = [one.h2 if loco else one.h2.expand_dims(contigs=3) for one in (plain, everyone)]
    np.testing.assert_allclose(result.h2[:2], both[0][:2], atol=1e-6)
    np.testing.assert_allclose(result.h2[2], both[1][2], atol=1e-6)


def test_neither_blocks_nor_stores_matter(f2, tmp_path):
    whole = blmm.scan(f2, kinship=None, x_covariates=True).compute()
    chunks = {"variants": 5, "traits": 1}
    stored = blmm.scan(
        f2, kinship=None, x_covariates=True, chunks=chunks, store=tmp_path / "r.zarr"
    )
    np.testing.assert_allclose(stored.lod, whole.lod, atol=1e-6)
    np.testing.assert_allclose(stored.h2, whole.h2)
    assert stored.attrs["x_covariates"] == "sex, direction"
    with pytest.raises(StoreError):
        blmm.scan(f2, kinship=None, x_covariates="sex", store=tmp_path / "r.zarr")


def test_permutations_have_them_too(f2):
    perm = blmm.permute(
        f2, n_permutations=100, kinship=None, x_covariates=True, by="contig", seed=1
    ).compute()
    assert perm.h2.dims == ("contigs", "traits")
    np.testing.assert_allclose(perm.contig_length, 45)
    assert perm.contig_on_x.values.tolist() == [False, False, True]
    levels = blmm.thresholds(perm, 0.2, by="x").threshold
    assert levels.sizes["contigs"] == 3
    # t1 depends on the sex: without the covariates its maxima on the X would all be as high.
    scanned = blmm.scan(f2, kinship=None).lod.sel(traits="t1").values
    assert perm.max_lod.sel(contigs="X", traits="t1").max() < scanned[-1]


def test_what_follows_from_other_covariates_is_left_out_and_said(f2):
    sex = blmm.x_covariates(f2).values[:, :1]
    ds = f2.assign(sample_covariate=(("samples", "covariates"), sex)).assign_coords(
        covariate_id=("covariates", ["sex"]), covariates=["sex"]
    )
    with pytest.warns(StudyWarning, match="'sex' among x_covariates follows from the other"):
        result = blmm.scan(ds, kinship=None, x_covariates=True)
    assert result.attrs["x_covariates"] == "sex, direction"
    expected = ordinary_lods(f2, "t1", blmm.x_covariates(f2).values.T)
    on_x = f2.variant_contig_name.values == "X"
    np.testing.assert_allclose(result.lod.sel(traits="t1").values[on_x], expected[on_x], atol=1e-5)


def test_what_cannot_be_used_is_refused(f2):
    table = blmm.x_covariates(f2).to_pandas()
    gap = table.copy()
    gap.iloc[2, 0] = np.nan
    cases = [
        (3, "x_covariates is 3; give True"),
        ("weight", "no covariate 'weight' in the study"),
        (table.iloc[:5], f"x_covariates lack {len(table) - 5} samples"),
        (gap, "x_covariates have no value for 'm2'"),
        (table.to_numpy(), "give True for those of the cross"),
        (pd.DataFrame({"a": ["x"] * len(table)}, index=table.index), "x_covariates 'a'"),
        (table * np.inf, "table of x_covariates"),
        (table.set_axis(["a"] * table.shape[1], axis=1), "columns of x_covariates must be unique"),
    ]
    for given, message in cases:
        with pytest.raises(InputError, match=message):
            blmm.scan(f2, kinship=None, x_covariates=given)
    with pytest.raises(InputError, match=r"sex of 60 samples is not known"):
        blmm.scan(f2.drop_vars("sample_sex"), kinship=None, x_covariates=True)
    with pytest.raises(InputError, match="x_covariates is no option of a hotspot baseline"):
        blmm.hotspot_baseline(f2, window=10, kinship=None, x_covariates=True)


def test_a_study_of_the_x_alone(f2, tmp_path):
    """The only contig has h2 by contig too, and they are as the covariates of a study."""
    ds = f2.isel(variants=f2.variant_contig_name == "X", contigs=f2.contig_id.values == "X")
    ds = ds.assign_coords(variant_contig=("variants", np.zeros(ds.sizes["variants"], int)))
    plain = ds.assign_coords({name: ("samples", x) for name, x in x_columns(ds).items()})
    expected = blmm.scan(plain, kinship=None, covariates=list(x_columns(ds)))
    options = {"kinship": None, "covariates": None, "x_covariates": True}
    for result in (
        blmm.scan(ds, **options),
        blmm.scan(ds, store=tmp_path / "x.zarr", **options),
    ):
        assert result.h2.dims == ("contigs", "traits")
        np.testing.assert_allclose(result.lod, expected.lod, atol=1e-6)
        np.testing.assert_array_equal(result.h2[0], expected.h2)
    one, by_contig = (
        blmm.permute(ds, n_permutations=20, by=by, **options).max_lod for by in (None, "contig")
    )
    np.testing.assert_array_equal(by_contig.isel(contigs=0), one)
    shared = blmm.permute(ds, n_permutations=200, method="shared", **options)
    assert np.isfinite(blmm.thresholds(shared, 0.2).threshold).all()


def test_a_covariate_may_be_called_as_those_of_a_cross():
    """Where the study has no sample_sex, the name is that of its own covariate."""
    rng = np.random.default_rng(1)
    own = pd.DataFrame({"sex": np.arange(40) % 2.0, "age": rng.normal(size=40)})
    ds = blmm.create_dataset(
        rng.integers(0, 2, (40, 4)),
        rng.normal(size=(40, 2)),
        covariates=own,
        contigs=["1", "1", "X", "X"],
        positions=range(4),
    )
    options = {"kinship": None, "covariates": ["age"]}
    found = blmm.scan(ds, x_covariates="sex", **options)
    table = own[["sex"]].set_axis(ds.sample_id.values)
    np.testing.assert_array_equal(found.lod, blmm.scan(ds, x_covariates=table, **options).lod)
    assert found.attrs["x_covariates"] == "sex"


def test_sizes_alone_have_no_table_of_them(f2):
    table = blmm.x_covariates(f2).to_pandas()
    with pytest.raises(InputError, match="x_covariates names a part of a study"):
        blmm.plan(n_samples=60, n_variants=9, n_traits=2, x_covariates=table)


def test_a_study_without_them_is_told_that_they_change_nothing(f2):
    males = f2.isel(samples=f2.sample_sex.values == "male")
    with pytest.warns(StudyWarning, match="x_covariates change nothing: there are none"):
        result = blmm.scan(males, kinship=None, x_covariates=True)
    assert result.h2.dims == ("traits",)
    assert "x_covariates" not in result.attrs


def test_a_scan_without_them_is_told_once_that_the_x_needs_them(f2, monkeypatch):
    def said(ds, **options):
        monkeypatch.setattr("bulklmm_dask.study.warn._said", set())
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            for _ in range(2):
                blmm.scan(ds, kinship=None, **options)
        return [str(one.message) for one in found if "be linked to the whole X" in str(one.message)]

    (words,) = said(f2)
    assert "depend on 'sex', 'direction'" in words
    assert "x_covariates=True" in words
    assert not said(f2, x_covariates=True)
    assert not said(f2, x_covariates=False)
    assert not said(f2.isel(variants=f2.variant_contig.values < 2))
    assert not said(f2.drop_vars("sample_sex"))
    assert not said(f2.isel(samples=f2.sample_sex.values == "male"))
    females = f2.isel(samples=f2.sample_sex.values == "female")
    direction = blmm.x_covariates(females).values
    with_direction = females.assign(
        sample_covariate=(("samples", "covariates"), direction)
    ).assign_coords(covariate_id=("covariates", ["direction"]), covariates=["direction"])
    assert said(females)
    assert not said(with_direction)
