"""create_dataset: samples matched by name, every check once, lazy input left alone."""

import re
import warnings

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bulklmm_dask.errors import InputError, StudyWarning
from bulklmm_dask.study.create import create_dataset
from bulklmm_dask.study.schema import validate

CALLS = np.array([[0, 1, 2, 0], [1, 1, 0, 2], [2, 0, 1, 1.0]])
TRAITS = np.array([[1.5, -2], [0.25, 3], [4, 0.5]])


def named_calls(samples="abc"):
    return pd.DataFrame(CALLS.copy(), index=list(samples), columns=["m1", "m2", "m3", "m4"])


def named_traits(samples="abc"):
    return pd.DataFrame(TRAITS.copy(), index=list(samples), columns=["t1", "t2"])


def test_arrays_give_a_valid_study():
    ds = create_dataset(
        CALLS,
        TRAITS,
        contigs=["1", "1", "X", 2],
        positions=[1, 2, 3, 4],
        position_unit="cM",
        alleles=["B", "D"],
        covariates=[0, 1, 0],
    )
    validate(ds)
    assert ds["call_dosage"].dims == ("variants", "samples")
    assert ds["call_dosage"].attrs["maximum"] == 2
    np.testing.assert_array_equal(ds["call_dosage"], CALLS.T)
    np.testing.assert_array_equal(ds["sample_trait"], TRAITS)
    assert list(ds["contig_id"].values) == ["1", "X", "2"]
    assert list(ds["variant_contig"].values) == [0, 0, 1, 2]
    assert ds["variant_position"].attrs["units"] == "cM"
    assert list(ds["variant_allele"].values[3]) == ["B", "D"]
    assert list(ds.indexes["samples"]) == ["sample1", "sample2", "sample3"]
    assert list(ds.indexes["traits"]) == ["trait1", "trait2"]
    assert ds["sample_covariate"].shape == (3, 1)
    assert all(ds[name].dtype.kind == "U" for name in ("variant_id", "sample_id", "variants"))


@pytest.mark.parametrize(
    ("calls", "traits", "message"),
    [
        ([[0, 1], [1]], TRAITS, r"genotypes is no table .*rows of one length"),
        ("x.csv", TRAITS, r"genotypes is 'x\.csv', not numbers; read_csv"),
        (CALLS, TRAITS + 1j, r"traits holds values of dtype complex128.*not real"),
        (CALLS, pd.DataFrame({"t": pd.to_datetime(["2020"] * 3)}), r"dtype datetime64.*not real"),
        (named_calls(["a", np.nan, "c"]), TRAITS, r"genotypes lacks 1 name of 3, .* number 2"),
        (CALLS, named_traits(["a", "b", None]), r"traits lacks 1 name of 3, .* number 3"),
    ],
)
def test_what_is_no_table_of_numbers(calls, traits, message):
    with pytest.raises(InputError, match=message):
        create_dataset(calls, traits)


def test_samples_are_matched_by_name_in_the_order_of_the_traits():
    with pytest.warns(StudyWarning) as said:
        ds = create_dataset(named_calls("abc"), named_traits("cxa"))
    assert list(ds["sample_id"].values) == ["c", "a"]
    np.testing.assert_array_equal(ds["call_dosage"], CALLS[[2, 0]].T)
    np.testing.assert_array_equal(ds["sample_trait"], TRAITS[[0, 2]])
    messages = [str(one.message) for one in said]
    assert any(re.search(r"1 of 3 samples with traits .*'x'", text) for text in messages)
    assert any(re.search(r"1 of 3 samples with genotypes .*'b'", text) for text in messages)
    assert said[0].filename == __file__


def test_names_of_dataarrays_and_sample_ids_count_as_names():
    calls = xr.DataArray(CALLS.T, dims=("variants", "samples"), coords={"samples": ["a", "b", "c"]})
    ds = create_dataset(calls, TRAITS, sample_ids=["c", "b", "a"])
    np.testing.assert_array_equal(ds["call_dosage"], CALLS[::-1].T)
    assert list(ds["sample_id"].values) == ["c", "b", "a"]
    with pytest.raises(InputError, match="every table carries its own sample names"):
        create_dataset(named_calls("abc"), named_traits("abc"), sample_ids=["c", "b", "a"])


def test_one_unnamed_side_goes_by_position_and_needs_equal_lengths():
    ds = create_dataset(CALLS, named_traits("xyz"))
    assert list(ds["sample_id"].values) == ["x", "y", "z"]
    ds = create_dataset(named_calls("xyz"), TRAITS)
    assert list(ds["sample_id"].values) == ["x", "y", "z"]
    with pytest.raises(InputError, match="genotypes have 3 samples and the traits 2"):
        create_dataset(named_calls(), TRAITS[:2])


def test_no_sample_in_common():
    with pytest.raises(InputError, match=r"no sample in common: .*'a'.*'x'"):
        create_dataset(named_calls("abc"), named_traits("xyz"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"sample_ids": ["a", "a", "b"]}, "sample_ids must be unique.*'a'"),
        ({"variant_ids": ["m", "n", "m", "o"]}, "variant names .* unique.*'m'"),
        ({"trait_ids": ["t", "t"]}, "trait names .* unique.*'t'"),
        ({"covariates": np.eye(3), "covariate_ids": ["c", "d", "c"]}, "covariate names .*'c'"),
        ({"trait_ids": ["t"]}, "1 names were given for the 2 traits"),
        ({"sample_ids": ["a", "b"]}, "sample_ids has 2 names"),
        ({"contigs": ["1"]}, "contigs has 1 entries for 4 variants"),
        ({"positions": [1, 2, 3, np.nan]}, "1 variants have no position: 'variant4'"),
        ({"positions": [1, 2, 3, 4], "position_unit": "kb"}, "position_unit is 'kb'"),
        ({"contigs": ["1", None, "2", "2"]}, "1 variants have no contig: 'variant2'"),
        ({"maximum": 3}, "maximum is 3"),
        ({"covariates": np.ones((2, 1))}, "covariates has 2 rows for the 3 samples"),
        ({"alleles": ["A", "B", "C"]}, r"alleles has shape \(3,\)"),
    ],
)
def test_names_and_lengths_are_checked(names, message):
    with pytest.raises(InputError, match=message):
        create_dataset(CALLS, TRAITS, **names)


def test_double_samples_in_a_table():
    with pytest.raises(InputError, match=r"sample names of traits must be unique.*'a'"):
        create_dataset(named_calls(), named_traits("aab"))


@pytest.mark.parametrize(("value", "maximum"), [(2.5, None), (-0.1, None), (2, 1), (np.inf, None)])
def test_genotypes_outside_their_range_are_quoted(value, maximum):
    calls = named_calls()
    calls.loc["b", "m3"] = value
    calls = calls.clip(upper=1) if maximum == 1 else calls
    calls.loc["b", "m3"] = value
    with pytest.raises(InputError, match=f"{float(value)}.*'m3'.*'b'"):
        create_dataset(calls, named_traits(), maximum=maximum)


def test_rounding_may_pass_the_range_a_little():
    ds = create_dataset(np.array([[1 + 1e-8, 0], [-1e-8, 1]]), np.eye(2))
    assert ds["call_dosage"].attrs["maximum"] == 1


def test_maximum_is_guessed_from_the_largest_dosage():
    assert create_dataset(CALLS / 2, TRAITS)["call_dosage"].attrs["maximum"] == 1
    assert create_dataset(CALLS, TRAITS)["call_dosage"].attrs["maximum"] == 2
    assert create_dataset(CALLS / 2, TRAITS, maximum=2)["call_dosage"].attrs["maximum"] == 2


@pytest.mark.parametrize("what", ["traits", "covariates"])
def test_infinite_values_are_quoted(what):
    tables = {"traits": named_traits(), "covariates": named_traits().add_prefix("c")}
    tables[what].iloc[1, 0] = -np.inf
    with pytest.raises(InputError, match=rf"{what} holds 1 infinite .*-inf in sample 'b'.*t1'"):
        create_dataset(named_calls(), **tables)


def test_text_in_a_table_is_quoted():
    traits = named_traits().astype(object)
    traits.loc["b", "t2"] = "high"
    with pytest.raises(InputError, match=r"holds 10{400} in row 0, .* that a double holds"):
        create_dataset(np.array([[10**400], [1], [2]], dtype=object), TRAITS)
    with pytest.raises(InputError, match="traits holds 'high' in row 'b', column 't2'"):
        create_dataset(named_calls(), traits)


def test_markers_without_calls_are_dropped_and_missing_calls_counted():
    calls = named_calls()
    calls["m2"] = np.nan
    calls.loc["a", "m4"] = np.nan
    with pytest.warns(StudyWarning) as said:
        ds = create_dataset(calls, named_traits(), contigs=["1", "1", "2", "2"])
    assert list(ds["variant_id"].values) == ["m1", "m3", "m4"]
    assert list(ds["variant_contig"].values) == [0, 1, 1]
    assert np.isnan(ds["call_dosage"].sel(variants="m4", samples="a"))
    messages = " ".join(str(one.message) for one in said)
    assert "1 of 4 variants have no call" in messages
    assert "'m2'" in messages
    assert "1 of 9 genotypes at 1 variants are missing" in messages
    with pytest.raises(InputError, match="none of the 4 variants has a call"):
        create_dataset(CALLS * np.nan, TRAITS)


def test_empty_traits_are_kept_and_said():
    traits = named_traits().assign(t1=np.nan)
    with pytest.warns(StudyWarning, match="1 of 2 traits have no value.*'t1'"):
        ds = create_dataset(named_calls(), traits)
    assert ds.sizes["traits"] == 2


def test_covariates_are_matched_by_name():
    covariates = pd.DataFrame({"age": [3.0, 1.0, 9.0]}, index=["c", "a", "z"])
    with pytest.warns(StudyWarning) as said:
        ds = create_dataset(named_calls(), named_traits(), covariates=covariates)
    np.testing.assert_array_equal(ds["sample_covariate"][:, 0], [1, np.nan, 3])
    messages = " ".join(str(one.message) for one in said)
    assert re.search("1 of 3 samples with covariates .*'z'", messages)
    assert re.search("1 of 3 samples lack a covariate.*'b'", messages)


def test_samples_take_the_genotypes_of_their_strain():
    traits = pd.DataFrame({"t": [1.0, 2, 3, 4]}, index=["i", "j", "k", "l"])
    strains = pd.Series({"l": "b", "k": "q", "j": "a", "i": "b"})
    with pytest.warns(StudyWarning) as said:
        ds = create_dataset(named_calls("abc"), traits, strains=strains)
    assert "1 of 4 samples with traits have no genotypes and are dropped: 'k'" in str(
        said[0].message
    )
    assert "1 of 3 strains with genotypes have no traits and are dropped: 'c'" in str(
        said[1].message
    )
    assert list(ds["sample_strain"].values) == ["b", "a", "b"]
    np.testing.assert_array_equal(ds["call_dosage"], CALLS[[1, 0, 1]].T)
    own = create_dataset(named_calls("abc"), named_traits("abc"), strains=["s", "s", "r"])
    np.testing.assert_array_equal(own["call_dosage"], CALLS.T)
    with pytest.raises(InputError, match="no strain was given for 1 sample: 'c'"):
        create_dataset(named_calls("abc"), named_traits("abc"), strains={"a": "s", "b": "s"})
    with pytest.raises(InputError, match="strains has 2 entries for 3 samples"):
        create_dataset(named_calls("abc"), named_traits("abc"), strains=["s", "r"])


def test_genotype_probabilities_are_kept_and_two_of_them_give_dosages():
    second = np.array([[0.0, 0.9], [1.0, 0.2]])
    ds = create_dataset(np.stack([1 - second, second], axis=2), np.eye(2))
    assert ds["call_genotype_probability"].dims == ("variants", "samples", "genotypes")
    np.testing.assert_array_equal(ds["call_dosage"], second.T)
    assert ds["call_dosage"].attrs["maximum"] == 1
    three = create_dataset(np.full((2, 5, 3), 1 / 3), np.eye(2))
    assert "call_dosage" not in three
    assert three["call_genotype_probability"].shape == (5, 2, 3)


def test_probabilities_of_a_call_sum_to_1():
    probability = np.full((2, 5, 2), 0.5)
    probability[1, 3] = [0.5, 0.2]
    with pytest.raises(
        InputError, match=r"in 1 call, the first to 0\.7 at variant 'variant4', .*'sample2'"
    ):
        create_dataset(probability, np.eye(2))
    probability[1, 3] = np.nan
    with pytest.warns(StudyWarning, match="1 of 10 genotypes"):
        create_dataset(probability, np.eye(2))


def test_positions_that_are_no_numbers_are_quoted():
    with pytest.raises(InputError, match=r"variant 'variant2' is 'far', which is not a number"):
        create_dataset(np.eye(2), np.eye(2), positions=[1, "far"])


@pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")
def test_a_study_without_samples_or_variants_is_refused():
    with pytest.raises(InputError, match="genotypes have 2 samples and 0 variants"):
        create_dataset(np.empty((2, 0)), np.eye(2))
    for size, found in (((0, 1), "0 samples and 1 trait;"), ((2, 0), "2 samples and 0 traits;")):
        with pytest.raises(InputError, match=f"traits has {found}"):
            create_dataset(np.ones((size[0], 3)), np.empty(size))


def test_whole_numbers_become_floats_and_floats_stay_as_they_are():
    assert create_dataset(CALLS.astype(np.int8), TRAITS)["call_dosage"].dtype == np.float32
    assert create_dataset(CALLS.astype(np.float32), TRAITS)["call_dosage"].dtype == np.float32
    ds = create_dataset(CALLS, TRAITS.astype(np.float32))
    assert ds["call_dosage"].dtype == ds["sample_trait"].dtype == np.float64


def _refuse(block):
    raise AssertionError("a lazy array was computed")


def test_lazy_arrays_are_not_computed():
    calls = da.zeros((3, 40), chunks=(2, 10)).map_blocks(_refuse, meta=np.empty((0, 0)))
    traits = da.zeros((3, 6), chunks=(3, 2)).map_blocks(_refuse, meta=np.empty((0, 0)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ds = create_dataset(calls, traits, maximum=1)
    assert ds["call_dosage"].chunks == ((10, 10, 10, 10), (3,))
    assert ds["sample_trait"].chunks == ((3,), (2, 2, 2))
    with pytest.warns(StudyWarning, match="pass maximum=1"):
        assert create_dataset(calls, traits)["call_dosage"].attrs["maximum"] == 2


def test_lazy_arrays_are_matched_by_name_too():
    calls = da.from_array(CALLS, chunks=2)
    calls = xr.DataArray(calls, dims=("samples", "variants"), coords={"samples": list("abc")})
    with pytest.warns(StudyWarning):
        ds = create_dataset(calls, named_traits("cax"), maximum=2)
    assert ds["call_dosage"].chunks is not None
    np.testing.assert_array_equal(ds["call_dosage"], CALLS[[2, 0]].T)


def test_shapes_are_named():
    with pytest.raises(InputError, match=r"genotypes has shape \(3,\)"):
        create_dataset(CALLS[:, 0], TRAITS)
    with pytest.raises(InputError, match=r"traits has shape \(3, 2, 1\)"):
        create_dataset(CALLS, TRAITS[:, :, None])


# Frames whose rows are told apart by the numbers that pandas gave them, by names, or not at all.
GENO = pd.DataFrame({"m": [0.0, 1, 2, 1, 0, 2]})
VALUES = pd.DataFrame({"t": [3.0, 1, 2, 0, 5, 4]})


def pairs(ds):
    """Genotype and trait value of every sample."""
    return sorted(
        zip(ds["call_dosage"].values[0], ds["sample_trait"].values[:, 0], strict=True), key=str
    )


RIGHT = pairs(create_dataset(GENO, VALUES))


@pytest.mark.parametrize("sort", [{"by": "t"}, {"by": "t", "ascending": False}])
@pytest.mark.parametrize("form", [lambda x: x, lambda x: x["t"], lambda x: x.to_xarray()["t"]])
def test_a_sorted_frame_is_matched_by_the_numbers_of_its_rows(sort, form):
    traits = form(VALUES.sort_values(**sort))
    if isinstance(traits, xr.DataArray):
        traits = traits.rename(index="samples").expand_dims(traits=["t"])
    assert pairs(create_dataset(GENO, traits)) == RIGHT


def test_sorted_genotypes_covariates_and_strains_too():
    assert pairs(create_dataset(GENO.sort_values("m"), VALUES)) == RIGHT
    both = create_dataset(GENO.sort_values("m"), VALUES.sort_values("t"))
    assert pairs(both) == RIGHT
    age = pd.Series([10.0, 11, 12, 13, 14, 15])
    sex = age.sort_values(ascending=False)
    for traits in (VALUES, VALUES.sort_values("t")):
        ds = create_dataset(GENO, traits, covariates=sex)
        numbers = traits.index if traits is not VALUES else range(6)
        np.testing.assert_array_equal(ds["sample_covariate"][:, 0], age[list(numbers)])
    lines = pd.Series(list("ABCABC"))
    for given_ in (lines, lines.sort_values()):
        ds = create_dataset(GENO, VALUES.sort_values("t"), strains=given_)
        np.testing.assert_array_equal(ds["sample_strain"], lines[VALUES.sort_values("t").index])


@pytest.mark.parametrize(
    "traits",
    [VALUES.drop(index=0), VALUES.set_axis(range(1, 7)), VALUES.iloc[[0, 1, 2, 4, 5, 5]]],
)
def test_other_numbers_of_rows_are_refused(traits):
    with pytest.raises(InputError, match=r"only the numbers that pandas|must be unique"):
        create_dataset(GENO, traits)
    with pytest.raises(InputError, match=r"only the numbers that pandas|must be unique"):
        create_dataset(traits.to_numpy(), GENO["m"].rename("t"), strains=traits["t"])


@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(1, 7, name="id"),
        pd.RangeIndex(6, name="id"),
        pd.RangeIndex(1, 7),
        pd.Index([11, 12, 13, 14, 15, 16]),
        pd.Index(list("abcdef")),
    ],
)
def test_a_named_or_set_index_is_names(index):
    geno, traits = GENO.set_axis(index), VALUES.set_axis(index)
    ds = create_dataset(geno.iloc[::-1], traits)
    assert list(ds["sample_id"].values) == [str(name) for name in index]
    assert pairs(ds) == RIGHT


def test_numbers_against_names_are_matched_by_order_aloud():
    named = VALUES.set_axis(list("abcdef"))
    with pytest.warns(StudyWarning, match="genotypes carry no sample names, only the numbers"):
        ds = create_dataset(GENO, named)
    assert pairs(ds) == RIGHT
    assert pairs(create_dataset(GENO.to_numpy(), named)) == RIGHT


def test_maps_of_pandas_go_by_the_names_of_the_variants():
    chart = pd.DataFrame({"chr": list("1223"), "Mb": [5.0, 6, 7, 1]}, ["m1", "m2", "m3", "m4"])
    turned = chart.iloc[::-1]
    ds = create_dataset(
        named_calls(), named_traits(), contigs=turned["chr"], positions=turned["Mb"]
    )
    np.testing.assert_array_equal(ds["variant_position"], chart["Mb"])
    np.testing.assert_array_equal(ds["contig_id"].values[ds["variant_contig"]], chart["chr"])
    other = chart.set_axis(list("wxyz"))  # names of something else
    ds = create_dataset(named_calls(), named_traits(), positions=other["Mb"])
    np.testing.assert_array_equal(ds["variant_position"], chart["Mb"])
    with pytest.raises(InputError, match="positions has names, but lacks 1 of 4 variants: 'm1'"):
        create_dataset(named_calls(), named_traits(), positions=chart["Mb"].iloc[1:])


def test_a_sorted_frame_beside_an_array_is_matched_by_order_and_said():
    calls, traits = (pd.DataFrame(values).iloc[[2, 0, 1]] for values in (CALLS, TRAITS))
    with pytest.warns(StudyWarning, match=r"genotypes carry only numbers \('2', '0', '1'\)"):
        ds = create_dataset(calls, TRAITS)
    np.testing.assert_array_equal(ds["call_dosage"].T, CALLS[[2, 0, 1]])
    np.testing.assert_array_equal(ds["sample_trait"], TRAITS)
    with pytest.warns(StudyWarning, match="row i of the genotypes; if the frame"):
        create_dataset(CALLS, traits)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create_dataset(pd.DataFrame(CALLS), TRAITS)  # in the order of an array, as it seems


@pytest.mark.parametrize(
    ("start", "step"), [(2**53, 1), (2**57, 1), (2**62, 1), (1e17, 100.0), (0.0, 1e-322)]
)
def test_digits_that_doubles_do_not_hold_are_said(start, step):
    traits = np.array([[start + i * step, i] for i in range(3)], dtype=object)
    with pytest.warns(StudyWarning, match="1 of 2 traits differ .* are lost: 'trait1' runs"):
        create_dataset(CALLS, traits)
    with pytest.warns(StudyWarning, match="1 of 1 covariates differ .* digits are lost"):
        create_dataset(CALLS, TRAITS, covariates=traits[:, 0].astype(np.float64))


@pytest.mark.parametrize("values", [[1e12, 1e12 + 1, 1e12 + 2], [0, 0, 1e300], [7, 7, 7]])
def test_numbers_that_doubles_hold_need_no_word(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create_dataset(CALLS, np.array([values, [1, 2, 3]]).T)


def test_codes_are_not_seen_in_lazy_genotypes_which_is_said():
    codes = da.from_array(np.array([[1, 2, 1.0], [2, 1, 2], [2, 2, 1]]))
    with pytest.warns(StudyWarning, match="for two homozygotes, are not recognised in lazy"):
        ds = create_dataset(codes, TRAITS)
    assert ds["call_dosage"].attrs["maximum"] == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"maximum": np.zeros(0)}, "maximum is array"),
        ({"maximum": pd.Series([1, 2])}, "it should be 1"),
        ({"positions": 3.0}, "positions is a float; give a list"),
        ({"positions": pd.Timestamp("2020-01-01")}, "positions is a Timestamp; give a list"),
        ({"positions": [[1.0, 2], [3, 4], [5, 6]]}, r"'variant1' is \[1.0, 2\], which is not a n"),
        ({"positions": [1.0, 1j, 3]}, r"'variant2' is 1j, which is not a number"),
        ({"positions": pd.to_datetime(["2020", "2021", "2022"])}, "'variant1' is .*not a number"),
        ({"positions": np.arange(3.0), "position_unit": pd.Series(["Mb"])}, "position_unit is"),
        ({"contigs": "111"}, "contigs is a str; give a list"),
        ({"contigs": ["1", None, "2"]}, "1 variants have no contig"),
        ({"alleles": [["A", "G"], "T", 3]}, "alleles is a list that makes no array"),
        ({"strains": pd.DataFrame(index=list("abcd"))}, "strains is a DataFrame; give a list"),
        ({"variant_ids": len}, "names of genotypes is a builtin_function_or_method; give a list"),
    ],
)
def test_arguments_of_another_kind(given, message):
    genotypes = np.array([[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1]])
    traits = pd.DataFrame({"t": [1.0, 2, 4, 3]}, index=list("abcd"))
    with pytest.raises(InputError, match=message):
        create_dataset(genotypes, traits, **given)


def test_entries_of_any_sequence_are_the_same():
    genotypes = np.array([[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1]])
    traits = pd.DataFrame({"t": [1.0, 2, 4, 3]}, index=list("abcd"))

    def made(form):
        return create_dataset(
            genotypes,
            traits,
            contigs=form(["1", "1", "X"]),
            positions=form([1.0, 2.0, 3.0]),
            strains=form(["s", "s", "t", "t"]),
        )

    expected = made(list)
    for form in (tuple, np.array, pd.Index, lambda x: xr.DataArray(x, dims="x"), iter):
        xr.testing.assert_identical(made(form), expected)
