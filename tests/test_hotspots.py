"""Hotspots: traits counted in sliding windows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_peaks import result_of

import bulklmm_dask as blmm


def findings(rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["trait", "contig", "position"])


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]), st.sampled_from(["1", "X"]), st.integers(0, 40)
        ),
        min_size=1,
    ),
    window=st.sampled_from([1.0, 4.0, 7.0]),
    step=st.sampled_from([None, 1.0, 3.0]),
)
def test_counts_are_those_of_looking_into_every_window(rows, window, step):
    table = findings(rows)
    counts = blmm.hotspots(table, window=window, step=step)
    assert set(counts.contig) == set(table.contig)
    for row in counts.itertuples():
        near = (table.position - row.position).abs() <= window / 2
        inside = table[near & (table.contig == row.contig)]
        assert row.findings == len(inside)
        assert row.traits == inside.trait.nunique()
    for name, mine in counts.groupby("contig"):
        position = table.position[table.contig == name]
        assert mine.position.min() <= position.min() <= position.max() <= mine.position.max()
        np.testing.assert_allclose(np.diff(mine.position), step or window / 2)


def test_with_a_study_counts_are_at_its_markers():
    position = np.array([0.0, 5, 5, 10, 2, 4])
    study = result_of(np.zeros((6, 1)), contig=[0, 0, 0, 0, 1, 1], position=position)
    table = findings([("a", "c0", 4.0), ("b", "c0", 6.0), ("b", "c0", 7.5), ("c", "c0", 9.0)])
    counts = blmm.hotspots(table, study, window=5)
    assert counts.contig.tolist() == ["c0", "c0", "c0", "c1", "c1"]
    assert counts.position.tolist() == [0, 5, 10, 2, 4]
    assert counts.findings.tolist() == [0, 3, 2, 0, 0]
    assert counts.traits.tolist() == [0, 2, 2, 0, 0]
    steps = blmm.hotspots(table, study, window=5, step=4)
    assert steps.position.tolist() == [0, 4, 8, 12, 0, 4]
    with pytest.raises(blmm.InputError, match="not in the study: '7'"):
        blmm.hotspots(findings([("a", "7", 1.0)]), study, window=5)


def test_without_findings_there_are_no_hotspots():
    assert list(blmm.hotspots(findings([]), window=1)) == [
        "contig",
        "position",
        "traits",
        "findings",
    ]
    study = result_of(np.zeros((3, 1)))
    assert blmm.hotspots(findings([]), study, window=1).traits.tolist() == [0, 0, 0]


def test_what_makes_no_sense_is_refused():
    table = findings([("a", "1", 1.0)])
    for options, message in (
        ({"window": 0}, "window is 0; it should be positive"),
        ({"window": "wide"}, "window is 'wide'"),
        ({"window": 1, "step": -1}, "step is -1"),
    ):
        with pytest.raises(blmm.InputError, match=message):
            blmm.hotspots(table, **options)
    with pytest.raises(blmm.InputError, match="no column 'contig'"):
        blmm.hotspots(table.drop(columns="contig"), window=1)
    with pytest.raises(blmm.InputError, match="1 of the findings have no position"):
        blmm.hotspots(findings([("a", "", np.nan)]), window=1)
