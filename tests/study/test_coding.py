"""Genotypes coded by numbers that are no dosages are recoded aloud, or refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from studies import told

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError
from bulklmm_dask.study.coding import as_dosages

# Four lines, three markers: the homozygote, 0 or 1.
LINES = np.array([[0, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 1]], dtype=float)
TRAITS = np.arange(4.0)[:, None]


def dosages(genotypes, **options):
    ds, said = told(blmm.create_dataset, genotypes, TRAITS, **options)
    return ds["call_dosage"].values.T, ds["call_dosage"].attrs["maximum"], said


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0, 1, ""), (1, 2, "1 becomes 0 and 2 becomes 1"), (-1, 1, "-1 becomes 0, and 1 stays")],
)
@pytest.mark.parametrize("gap", [False, True])
@pytest.mark.parametrize("kind", [np.array, pd.DataFrame, lambda x: x.astype(np.float32)])
def test_two_homozygotes_become_0_and_1(low, high, said, gap, kind):
    expected = LINES.copy()
    if gap:
        expected[2, 1] = np.nan
    found, maximum, told_ = dosages(kind(low + (high - low) * expected))
    np.testing.assert_array_equal(found, expected)
    assert maximum == 1
    assert said in told_
    assert bool(said) == ("taken as codes of two homozygotes" in told_)


def test_heterozygous_calls_of_lines_lie_between():
    genotypes = LINES + 1
    genotypes[0, 0] = 1.5
    found, maximum, said = dosages(genotypes)
    assert found[0, 0] == 0.5
    assert maximum == 1
    assert "genotypes are 1, 1.5, 2, taken as codes" in said


def test_the_kinship_and_h2_are_those_of_dosages():
    rng = np.random.default_rng(1)
    lines = rng.integers(0, 2, (30, 40)).astype(float)
    traits = rng.normal(size=(30, 2))
    right = blmm.create_dataset(lines, traits)
    coded, _ = told(blmm.create_dataset, lines + 1, traits)
    np.testing.assert_array_equal(blmm.kinship(coded), blmm.kinship(right))


@pytest.mark.parametrize("genotypes", [LINES * 2, LINES + np.eye(4, 3), LINES + 1])
def test_dosages_stay_as_they_are(genotypes):
    found, maximum, said = dosages(genotypes, maximum=2)
    np.testing.assert_array_equal(found, genotypes)
    assert (maximum, said) == (2, "")


def test_0_and_2_are_dosages():
    found, maximum, said = dosages(LINES * 2)
    np.testing.assert_array_equal(found, LINES * 2)
    assert (maximum, said) == (2, "")


def test_dosages_that_only_look_odd_are_kept_aloud():
    genotypes = LINES + 1
    genotypes[0, 0] = 1.25
    found, maximum, said = dosages(genotypes)
    np.testing.assert_array_equal(found, genotypes)
    assert maximum == 2
    assert "no genotype is below 1" in said


def test_codes_say_what_numbers_stand_for():
    found, maximum, said = dosages(1 + 2 * LINES, codes={1: 0, 3: 1, 9: None})
    np.testing.assert_array_equal(found, LINES)
    assert (maximum, said) == (1, "")
    genotypes = LINES - np.eye(4, 3)
    genotypes[genotypes == 0] = 9
    found, maximum, _ = dosages(genotypes, codes={-1: 0, 9: 1, 1: 2})
    np.testing.assert_array_equal(found, LINES - np.eye(4, 3) + 1)
    assert maximum == 2
    found, _, said = dosages(np.where(LINES == 1, 1, -9), codes={-9: None, 1: 1})
    assert np.isnan(found[LINES == 0]).all()
    assert "genotypes at" in said


@pytest.mark.parametrize(
    ("genotypes", "options", "message"),
    [
        (LINES - np.eye(4, 3), {}, r"-1, 0 and 1, where -1 may .*codes=\{-1: 0, 0: 1, 1: 2\}"),
        (1 + 2 * LINES, {}, r"outside 0\.\.2, the first 3.0 .* values are 1, 3: codes can"),
        (LINES * 9, {}, r"outside 0\.\.2.* values are 0, 9: codes can"),
        (1 + 2 * LINES, {"codes": {1: 0}}, "1 value not among the codes 1, such as 3"),
        (LINES, {"codes": {"AA": 0}}, "codes holds 'AA': 0"),
        (LINES, {"codes": {0: "x", 1: 1}}, "codes holds 0: 'x'"),
        (LINES, {"codes": {0: 10**400, 1: 1}}, "codes holds 0: 10"),
        (LINES, {"codes": [0, 1]}, r"codes is \[0, 1\]; it should be a mapping"),
        (LINES, {"codes": {0: 0, 1: 5}}, r"outside 0\.\.2"),
        (np.stack([LINES, 1 - LINES], axis=2), {"codes": {0: 0, 1: 1}}, "are probabilities"),
    ],
)
def test_what_cannot_be_told_is_refused(genotypes, options, message):
    with pytest.raises(InputError, match=message):
        dosages(genotypes, **options)


@given(
    arrays(
        np.float64,
        st.tuples(st.integers(1, 4), st.integers(1, 4)),
        elements=st.sampled_from([0.0, 0.5, 1.0, 2.0, np.nan]),
    )
)
def test_whatever_holds_a_0_is_kept(values):
    values[0, 0] = 0
    found, _ = as_dosages(values, None, None, "x")
    np.testing.assert_array_equal(found, values)
