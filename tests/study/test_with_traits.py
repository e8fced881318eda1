"""with_traits: other traits and covariates by name, on the same genotypes."""

from __future__ import annotations

import dask
import numpy as np
import pandas as pd
import pytest
import studies

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError, StudyWarning


@pytest.fixture
def ds():
    ds = studies.study()
    return ds.assign(kinship=blmm.kinship(ds).compute())


def table(ds, rows, **columns):
    names = ds.samples.values[rows]
    return pd.DataFrame(columns, index=names)


def test_samples_are_matched_by_name_in_the_order_of_the_traits(ds):
    rows = np.arange(ds.sizes["samples"])[::-1][:20]
    with pytest.warns(StudyWarning, match="have no traits and are dropped"):
        out = blmm.with_traits(ds, table(ds, rows, length=np.arange(20.0)))
    assert out.samples.values.tolist() == ds.samples.values[rows].tolist()
    assert out.trait_id.values.tolist() == ["length"]
    np.testing.assert_array_equal(out.sample_trait[:, 0], np.arange(20.0))
    np.testing.assert_array_equal(out.call_dosage, ds.call_dosage[:, rows])
    np.testing.assert_array_equal(out.kinship, ds.kinship.values[np.ix_(rows, rows)])


def test_it_is_the_study_that_has_these_traits_from_the_beginning(ds):
    every = np.arange(ds.sizes["samples"])
    values = {"one": np.sin(every), "two": np.cos(every)}
    out = blmm.with_traits(ds, table(ds, every, **values), table(ds, every, age=every * 1.0))
    direct = ds.copy(deep=True)
    expected = blmm.scan(
        direct.drop_dims(["traits", *({"covariates"} & set(direct.dims))])
        .assign_coords(traits=["one", "two"], trait_id=("traits", ["one", "two"]))
        .assign(
            sample_trait=(("samples", "traits"), np.stack([*values.values()], 1)),
            sample_covariate=(("samples", "covariates"), every[:, None] * 1.0),
        )
        .assign_coords(covariates=["age"], covariate_id=("covariates", ["age"]))
    )
    np.testing.assert_array_equal(blmm.scan(out).lod, expected.lod)


def test_a_file_and_lazy_genotypes(ds, tmp_path):
    every = np.arange(ds.sizes["samples"])
    table(ds, every, length=every * 0.5).to_csv(tmp_path / "traits.csv", index_label="id")
    lazy = ds.assign(call_dosage=ds.call_dosage.chunk(variants=5))
    out = blmm.with_traits(lazy, tmp_path / "traits.csv")
    assert dask.is_dask_collection(out.call_dosage.data)
    np.testing.assert_array_equal(out.sample_trait[:, 0], every * 0.5)


def test_covariates_are_kept_unless_others_are_given(ds):
    every = np.arange(ds.sizes["samples"])
    old = blmm.with_traits(ds, table(ds, every, a=every * 1.0), table(ds, every, age=every * 2.0))
    kept = blmm.with_traits(old, table(ds, every, b=every * 3.0))
    assert kept.covariate_id.values.tolist() == ["age"]
    other = blmm.with_traits(old, table(ds, every, b=every * 1.0), table(ds, every, n=every * 1.0))
    assert other.covariate_id.values.tolist() == ["n"]


def test_traits_of_nobody_are_refused(ds):
    with pytest.raises(InputError, match=r"no sample in common|of nobody"):
        blmm.with_traits(ds, pd.DataFrame({"a": [1.0]}, index=["nobody"]))
