"""Covariates by name: of the study, metadata of the samples, categories; what is left out."""

import warnings
from contextlib import nullcontext

import numpy as np
import pytest
import studies

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError, StudyWarning
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.study import warn

N = 40
CAGES = np.array(["n", "k", "w", "k"])[np.random.default_rng(5).integers(0, 4, N)]
SEXES = np.array(["male", "female"])[np.random.default_rng(6).integers(0, 2, N)]


@pytest.fixture
def ds():
    ds = studies.study(n=N, p=12, m=5, covariates=2)
    rng = np.random.default_rng(7)
    ds["sample_age"] = ("samples", rng.integers(3, 9, N))
    ds["sample_sex"] = ("samples", text(SEXES))
    ds["sample_cage"] = ("samples", text(CAGES))
    ds["sample_Body_weight"] = ("samples", rng.normal(size=N))
    return ds


def matrix(ds, *names):
    """Columns by name, as a person would write them."""
    by_name = {
        "covariate1": ds.sample_covariate.values[:, 0],
        "covariate2": ds.sample_covariate.values[:, 1],
        "age": ds.sample_age.values.astype(float),
        "weight": ds.sample_Body_weight.values,
        "sex": (SEXES == "male").astype(float),
        "cage[n]": (CAGES == "n").astype(float),
        "cage[w]": (CAGES == "w").astype(float),
    }
    return np.column_stack([by_name[name] for name in names]) if names else np.empty((N, 0))


def same(ds, columns, found):
    """The result is that of a study whose covariates are just these columns."""
    plain = ds.drop_dims("covariates")
    if columns.size:
        names = text(f"x{i}" for i in range(columns.shape[1]))
        plain["sample_covariate"] = (("samples", "covariates"), columns)
        plain["covariate_id"] = ("covariates", names)
    np.testing.assert_allclose(found.lod, blmm.scan(plain).lod, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("wanted", "columns"),
    [
        (True, ["covariate1", "covariate2"]),
        (False, []),
        (None, []),
        ("all", ["covariate1", "covariate2"]),
        ("age", ["age"]),
        ("sample_age", ["age"]),
        (["Body weight", "age"], ["weight", "age"]),
        (["all", "age"], ["covariate1", "covariate2", "age"]),
        (["all", "-covariate1"], ["covariate2"]),
        (["-covariate2"], ["covariate1"]),
        ("-covariate2", ["covariate1"]),
        (["-covariate2", "age"], ["covariate1", "age"]),
        (("covariate2", "covariate2"), ["covariate2"]),
        (["cage[w]", "age"], ["cage[w]", "age"]),
    ],
)
def test_names_and_what_is_left_out(ds, wanted, columns):
    found = blmm.scan(ds, covariates=wanted)
    same(ds, matrix(ds, *columns), found)
    assert found.attrs["covariates"] == ", ".join(
        "Body_weight" if name == "weight" else name for name in columns
    )


@pytest.mark.parametrize(
    ("wanted", "columns", "said"),
    [
        (["sex"], ["sex"], "'sex' is text: 'female' becomes 0 and 'male' 1"),
        (["cage"], ["cage[n]", "cage[w]"], r"'cage' has 3 texts .*'cage\[n\]', .* against 'k'"),
        (["all", "cage", "-cage[n]"], ["covariate1", "covariate2", "cage[w]"], "has 3 texts"),
    ],
)
def test_categories_are_indicators_which_is_said(ds, wanted, columns, said):
    with pytest.warns(StudyWarning, match=said):
        found = blmm.scan(ds, covariates=wanted)
    same(ds, matrix(ds, *columns), found)
    assert found.attrs["covariates"] == ", ".join(columns)
    # The attribute repeats the scan, and says nothing once the columns are named.
    if "sex" not in columns:
        again = blmm.scan(ds, covariates=found.attrs["covariates"])
        np.testing.assert_array_equal(again.lod, found.lod)


def test_categories_do_not_depend_on_how_they_are_kept(ds):
    """Text, objects with None, fixed-length text; the reference is the first in sorted order."""
    with pytest.warns(StudyWarning, match="against 'k'"):
        expected = blmm.scan(ds, covariates=["cage"]).lod.values
    for values in (CAGES.astype("<U4"), np.array([*CAGES], dtype=object)):
        ds["sample_cage"] = ("samples", values)
        with pytest.warns(StudyWarning, match="against 'k'"):
            np.testing.assert_array_equal(blmm.scan(ds, covariates=["cage"]).lod, expected)
    ds["sample_cage"] = ("samples", text(np.where(CAGES == "n", "", CAGES)))
    with (
        pytest.warns(StudyWarning, match="samples lack a covariate"),
        pytest.warns(StudyWarning, match="'k' becomes 0 and 'w' 1"),
    ):
        found = blmm.scan(ds, covariates=["cage"])
    assert found.n_samples.values.max() == (CAGES != "n").sum()


def test_numbers_are_one_column_and_their_levels_can_be_named(ds):
    found = blmm.scan(ds, covariates=["age[4]", "age[5]"])
    ages = ds.sample_age.values
    same(ds, np.column_stack([ages == 4, ages == 5]).astype(float), found)
    assert found.attrs["covariates"] == "age[4], age[5]"
    ds["sample_some"] = ("samples", np.array([None, *ages[1:].tolist()], dtype=object))
    with pytest.warns(StudyWarning, match="1 of 40 samples lack a covariate"):
        assert blmm.scan(ds, covariates=["some"]).attrs["covariates"] == "some"
    ds["sample_flag"] = ("samples", ages > 5)
    same(ds, (ages > 5).astype(float)[:, None], blmm.scan(ds, covariates=["flag"]))


@pytest.mark.filterwarnings("ignore:covariate 'sex' is text")
@pytest.mark.filterwarnings("ignore:covariate 'cage' has 3 texts")
def test_every_door_finds_metadata_by_name(ds):
    sex = {"covariates": ["sex"]}
    column = ds.drop_dims("covariates")
    column["sample_covariate"] = (("samples", "covariates"), matrix(ds, "sex"))
    column["covariate_id"] = ("covariates", text(["sex"]))
    column = column.drop_vars("sample_sex")
    for door in (
        lambda ds: blmm.heritability(ds, **sex).h2,
        lambda ds: blmm.profile(ds, "trait1", **sex).null,
        lambda ds: blmm.permute(ds, n_permutations=3, **sex).max_lod,
        lambda ds: blmm.permute(ds, n_permutations=3, strata="sex", **sex).max_lod,
        lambda ds: (
            blmm.hotspot_baseline(ds, window=3, threshold=0.5, n_permutations=2, **sex).traits
        ),
        lambda ds: blmm.scan(ds, interaction="sex", **sex).lod,
        lambda ds: blmm.scan(ds, interaction="sex", **sex).df,
    ):
        np.testing.assert_array_equal(door(ds), door(column))


@pytest.mark.filterwarnings("ignore:covariate 'sex' is text")
@pytest.mark.filterwarnings("ignore:covariate 'cage' has 3 texts")
def test_metadata_that_interact_join_the_covariates(ds):
    """As R/qtl2 forces intcovar into addcovar; not where the covariates are named without it."""
    found = blmm.scan(ds, interaction=["cage", "sex"], statistics=["beta", "lod_interaction"])
    columns = ["cage[n]", "cage[w]", "sex"]
    assert found.attrs["covariates"] == ", ".join(["covariate1", "covariate2", *columns])
    assert found.attrs["interaction"] == ", ".join(columns)
    assert list(found.effects.values) == ["dosage", *(f"dosage:{name}" for name in columns)]
    assert int(found.df.max()) == 4
    again = blmm.scan(
        ds, covariates=found.attrs["covariates"], interaction=found.attrs["interaction"]
    )
    np.testing.assert_array_equal(again.lod, found.lod)
    with pytest.raises(InputError, match="interaction is 3; it should be names"):
        blmm.scan(ds, interaction=3)
    for wanted in (False, ["age"], ["all"]):
        with pytest.raises(InputError, match=r"interaction names 'sex', .*must also be additive"):
            blmm.scan(ds, covariates=wanted, interaction="sex")
    baseline = blmm.hotspot_baseline(
        ds, window=3, threshold=0.5, n_permutations=2, interaction="cage"
    )
    assert len(baseline) == 2


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["shoe"], "no covariate 'shoe' in the study; it has 'covariate1', .*knows 'age', 'sex'"),
        (["all", "-shoe"], "leave out 'shoe' by '-shoe', but it is not among them"),
        (["age", "-sex"], "leave out 'sex' by '-sex', but it is not among them; these are 'age'"),
        (["cage[z]"], r"samples whose cage is 'z', but sample_cage holds 'k', 'n', 'w'"),
        (["shoe[a]"], r"no covariate 'shoe\[a\]'"),
        (["when"], "sample_when holds values of dtype datetime64.*turn dates into days"),
        (3, "covariates is 3; it should be names"),
        (["typo"], "sample_typo holds numbers but for 1 sample, the first '2O' of 'sample4'"),
        (["note"], "sample_note has 40 different texts in 40 samples, such as .* no categories"),
        (["one"], "collinear: 'one' is the same in all 40 samples"),
        (["gone"], "covariate 'gone' has no value in any sample"),
        (["age", "older"], "collinear: 'older' follow from"),
        (["age", "constant"], "collinear: 'constant' is the same in all 40 samples"),
    ],
)
def test_covariates_that_cannot_be_used(ds, wanted, message):
    ds["sample_when"] = ("samples", np.datetime64("2024-01-31", "ns") + np.arange(N))
    ds["sample_typo"] = ("samples", text([3, 4, 5, "2O", *range(N - 4)]))
    ds["sample_note"] = ("samples", text(f"note {i}" for i in range(N)))
    ds["sample_one"] = ("samples", text(["same"] * N))
    ds["sample_gone"] = ("samples", text([""] * N))
    ds["sample_older"] = ("samples", ds.sample_age.values + 0.5)
    ds["sample_constant"] = ("samples", np.full(N, 20240131))
    for door in (blmm.scan, blmm.heritability, lambda ds, **o: blmm.profile(ds, "trait1", **o)):
        with pytest.raises(InputError, match=message):
            door(ds, covariates=wanted)


def test_a_covariate_that_is_constant_where_others_are_known(ds):
    values = ds.sample_age.values.astype(float)
    values[SEXES == "male"] = np.nan
    ds["sample_late"] = ("samples", values)
    with (
        pytest.warns(StudyWarning, match="lack a covariate|is text"),
        pytest.raises(InputError, match=r"'sex' is the same in all .* that have every covariate"),
    ):
        blmm.scan(ds, covariates=["late", "sex"])


def test_strata_of_metadata_need_a_label_for_every_sample(ds):
    ds["sample_cage"] = ("samples", text(np.where(CAGES == "n", "", CAGES)))
    with pytest.raises(InputError, match="strata lacks a label for"):
        blmm.permute(ds, n_permutations=2, strata="cage")
    with pytest.raises(InputError, match=r"strata is 'shoe', .*there are 'age', 'sex'"):
        blmm.permute(ds, n_permutations=2, strata="shoe")


@pytest.mark.parametrize(("n", "c", "few"), [(5, 0, True), (6, 0, False), (8, 3, True), (9, 3, 0)])
def test_few_samples_more_than_covariates_are_said(n, c, few):
    dosage, traits = studies.arrays(n, 8, 3)
    covariates = np.random.default_rng(1).normal(size=(n, c)) if c else None
    ds = blmm.create_dataset(dosage, traits, covariates=covariates)
    ds["kinship"] = blmm.kinship(ds)
    for door in (blmm.scan, blmm.heritability, lambda ds: blmm.permute(ds, n_permutations=2)):
        with pytest.warns(StudyWarning) if few else nullcontext():
            door(ds)
    if few:
        words = f"3 of 3 traits have fewer than 5 samples more than the {c + 1} columns"
        with pytest.warns(StudyWarning, match=words):
            blmm.scan(ds)


def test_few_samples_of_a_lazy_trait_are_said_once_they_are_counted(tmp_path):
    dosage, traits = studies.arrays(20, 8, 3)
    traits[:16, 1] = np.nan
    ds = blmm.create_dataset(dosage, traits)
    ds["kinship"] = blmm.kinship(ds)
    with pytest.warns(StudyWarning, match="1 of 3 traits .* fewest 4: .* leave out 'trait2'"):
        blmm.scan(ds)
    blmm.save(ds, tmp_path / "s.zarr")
    lazy = blmm.open_dataset(tmp_path / "s.zarr")
    for name, door in (
        ("scan", lambda: blmm.scan(lazy, store=tmp_path / "r.zarr")),
        ("permute", lambda: blmm.permute(lazy, n_permutations=2, store=tmp_path / "p.zarr")),
        ("heritability", lambda: blmm.heritability(lazy)),
    ):
        with pytest.warns(StudyWarning, match="1 of 3 traits have fewer than 5") as caught:
            door()
        assert len(caught) == 1, name


@pytest.mark.filterwarnings("always:the kinship is of the whole genome")
def test_leaving_one_chromosome_out_is_advised_once(ds, monkeypatch):
    monkeypatch.setattr(warn, "_said", set())
    with pytest.warns(StudyWarning, match=r"40 samples .*costs power.*loco=True"):
        blmm.scan(ds)
    with warnings.catch_warnings(action="error"):
        assert blmm.scan(ds, reml=True).lod.size


@pytest.mark.filterwarnings("error:the kinship is of the whole genome")
def test_no_such_advice_where_it_does_not_help(ds, monkeypatch):
    monkeypatch.setattr(warn, "_said", set())
    one = ds.isel(variants=ds.variant_contig.values == 0)
    ds["kinship_loco"] = blmm.kinship(ds, loco=True).compute()
    assert blmm.scan(ds, loco=True).h2.dims == ("contigs", "traits")
    assert blmm.scan(ds, kinship=None).lod.size
    assert blmm.scan(ds, kinship=ds.kinship.values).lod.size  # perhaps of a pedigree
    assert blmm.scan(one).lod.size  # nothing to leave out
    many = studies.study(n=500, p=6, m=1)
    assert blmm.scan(many).lod.size


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"covariates": ["one"]}, "leave it out of covariates"),
        ({"covariates": ["all", "one"]}, "leave it out of covariates"),
        ({"interaction": "one"}, "leave it out of interaction"),
    ],
)
def test_a_constant_covariate_is_left_out_as_it_was_asked_for(ds, options, remedy):
    ds["sample_one"] = ("samples", np.ones(ds.sizes["samples"]))
    with pytest.raises(InputError, match=f"'one' is the same in all .*; {remedy}$"):
        blmm.scan(ds, **options)
