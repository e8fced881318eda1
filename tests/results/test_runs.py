"""Runs of records: kept in memory or in files, and merged as one sort of all would do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulklmm_dask.results import rated as rates
from bulklmm_dask.results import runs as module
from bulklmm_dask.results.fdr import false_discovery_rates
from bulklmm_dask.results.rated import rated
from bulklmm_dask.results.runs import Run, Spill, merged
from bulklmm_dask.storage.places.location import Location

DTYPE = np.dtype([("column", "i4"), ("lod", "f4"), ("name", "i8")])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return Location(str(tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="module", autouse=True)
def few_together():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_TOGETHER", 6)
        patch.setattr(module, "_LEAST", 2)
        patch.setattr(rates, "_IN_MEMORY", 50)
        yield


def by_column(records):
    return records["column"], -records["lod"]


def records_of(pairs):
    records = np.array([(*pair, at) for at, pair in enumerate(pairs)], DTYPE)
    return records[np.lexsort(by_column(records)[::-1])]


def run_of(records, part, spill):
    return Run.of((records[at : at + part] for at in range(0, len(records), part)), DTYPE, spill)


@pytest.mark.parametrize("most", [None, 0, 60, 10_000])
def test_a_run_reads_any_range_of_its_records(folder, most):
    records = records_of([(at % 3, at) for at in range(40)])
    run = run_of(records, 7, None if most is None else Spill(folder, most))
    assert run.rows == 40
    assert run.is_held == (most in (None, 10_000))
    for start, stop in ((0, 40), (0, 0), (3, 4), (5, 23), (39, 40)):
        np.testing.assert_array_equal(run.read(start, stop), records[start:stop])
    np.testing.assert_array_equal(np.concatenate(list(run.parts())), records)
    none = run_of(records[:0], 7, None)
    assert none.rows == 0
    assert none.read(0, 0).dtype == DTYPE


pair = st.tuples(st.integers(0, 3), st.sampled_from([0.0, 1.0, 1.5, 2.0, np.inf]))


@settings(max_examples=40)
@given(
    lists=st.lists(st.lists(pair, max_size=25), min_size=1, max_size=6),
    most=st.sampled_from([None, 0, 100]),
)
def test_merged_runs_are_one_stable_sort_of_all(folder, lists, most):
    spill = None if most is None else Spill(folder, most)
    every = [records_of(pairs) for pairs in lists]
    runs = [run_of(records, 4, spill) for records in every]
    whole = np.concatenate(every)
    number = np.repeat(np.arange(len(every)), [len(records) for records in every])
    order = np.lexsort(by_column(whole)[::-1])
    batches = list(merged(runs, by_column))
    assert all(len(records) for records, _ in batches)
    empty = (whole[:0], number[:0])
    found, which = (np.concatenate(each) for each in zip(empty, *batches, strict=True))
    np.testing.assert_array_equal(found, whole[order])
    np.testing.assert_array_equal(which, number[order])


@settings(max_examples=40)
@given(
    lists=st.lists(
        st.lists(st.sampled_from([0.0, 1.0, 1.5, 3.0, 3.001, 500.0, 600.0]), max_size=25),
        min_size=1,
        max_size=5,
    ),
    more=st.integers(0, 100),
    rate=st.sampled_from([0.001, 0.3, 1.0]),
    most=st.sampled_from([None, 0]),
)
def test_rates_of_runs_are_those_of_all_p_values_together(folder, lists, more, rate, most):
    spill = None if most is None else Spill(folder, most)
    every = [records_of([(0, lod) for lod in lods]) for lods in lists]
    whole = np.concatenate(every)
    p = 10.0 ** -rates.neg_log10_p(whole["lod"], 1)
    expected = false_discovery_rates(p, whole.size + more)
    found = rated([run_of(one, 4, spill) for one in every], whole.size + more, rate, spill)
    ends = np.cumsum([len(one) for one in every])[:-1]
    for run, before, own in zip(found, every, np.split(expected, ends), strict=True):
        kept = np.concatenate(list(run.parts()) or [run.read(0, 0)])
        np.testing.assert_array_equal(kept["name"], before["name"][own <= rate])
        np.testing.assert_array_equal(kept["fdr"], own[own <= rate])
