"""Scans of raw crosses and additive models: what is tested, and that it is said."""

from __future__ import annotations

import numpy as np
import pytest
from intercross import intercross

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError, StudyWarning

quiet = pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    with pytest.warns(StudyWarning):
        return intercross(tmp_path_factory.mktemp("f2"), missing=0.3)


@quiet
def test_calls_of_a_cross_are_scanned_as_probabilities_which_is_said(raw):
    with pytest.warns(StudyWarning, match=r"calls of this f2 .*genotypes='call_dosage'"):
        found = blmm.scan(raw, kinship=None)
    expected = blmm.scan(blmm.genotype_probabilities(raw), kinship=None)
    np.testing.assert_array_equal(found.lod, expected.lod)
    np.testing.assert_array_equal(found.df, expected.df)
    # Without dominance the locus of t2, where the heterozygote is highest, is lost.
    calls = blmm.scan(raw, kinship=None, genotypes="call_dosage")
    assert found.lod.sel(traits="t2").max() > 2 + calls.lod.sel(traits="t2").max()


def test_calls_are_scanned_where_they_are_asked_for_without_a_warning(raw):
    found = blmm.scan(raw, kinship=None, genotypes="call_dosage")
    plain = blmm.scan(raw.drop_vars("call_code"), kinship=None)
    np.testing.assert_array_equal(found.lod, plain.lod)


@quiet
def test_the_kinship_of_r_qtl2_is_that_of_probabilities(raw):
    with pytest.warns(StudyWarning, match="genotype probabilities of this f2 at its markers"):
        found = blmm.kinship(raw, method="rqtl2")
    p = blmm.genotype_probabilities(raw).call_genotype_probability.values
    second = p @ [0, 0.5, 1, 0.5, 0, 1]  # SS, SB, BB, BS, SY, BY
    expected = (second.T @ second + (1 - second).T @ (1 - second)) / len(p)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    physical = raw.copy()
    physical["variant_position"].attrs["units"] = "Mb"
    with pytest.warns(StudyWarning, match="kinship is that of the calls of this f2, because"):
        found = blmm.kinship(physical, method="rqtl2")
    expected = blmm.kinship(raw.drop_vars("call_code"), method="rqtl2")
    np.testing.assert_array_equal(found, expected)


@quiet
def test_permutations_and_plans_take_them_too(raw):
    found = blmm.permute(raw, n_permutations=10, kinship=None, seed=2)
    expected = blmm.permute(
        blmm.genotype_probabilities(raw), n_permutations=10, kinship=None, seed=2
    )
    np.testing.assert_array_equal(found.max_lod, expected.max_lod)
    assert blmm.plan(raw, kinship=None).memory["block"] > 0
    baseline = blmm.hotspot_baseline(raw, window=10, n_permutations=2, kinship=None, threshold=1)
    assert len(baseline) == 2


@quiet
def test_what_has_no_genetic_map_is_scanned_by_its_calls(raw):
    physical = raw.copy()
    physical["variant_position"].attrs["units"] = "Mb"
    with pytest.warns(StudyWarning, match=r"scanned as dosages, because .*none in cM"):
        found = blmm.scan(physical, kinship=None)
    calls = blmm.scan(raw, kinship=None, genotypes="call_dosage")
    np.testing.assert_array_equal(found.lod, calls.lod)
    with pytest.raises(InputError, match="none in cM"):
        blmm.scan(physical, kinship=None, genotypes="call_genotype_probability")


@quiet
def test_methods_of_one_column_take_the_share_of_the_second_allele(raw):
    ds = raw.assign(kinship=blmm.kinship(raw)).compute()
    shares = blmm.allele_probabilities(blmm.genotype_probabilities(ds))
    found = blmm.scan(ds, method="alt-exact")
    np.testing.assert_allclose(found.lod, blmm.scan(shares, method="alt-exact").lod, atol=1e-9)
    given = {"t1": "a2", "t2": "b3"}
    found = blmm.scan(ds, condition=given)
    np.testing.assert_allclose(found.lod, blmm.scan(shares, condition=given).lod, atol=1e-6)


@quiet
def test_the_additive_model_tests_shares_of_alleles(raw):
    ds = blmm.genotype_probabilities(raw, step=5)
    found = blmm.scan(ds, kinship=None, model="additive")
    expected = blmm.scan(blmm.allele_probabilities(ds), kinship=None)
    np.testing.assert_array_equal(found.lod, expected.lod)
    assert found.attrs["model"] == "additive"
    # Steps over pseudomarkers round probabilities, in single precision, in another way.
    np.testing.assert_allclose(
        blmm.scan(raw, kinship=None, model="additive").lod.sel(variants="a2"),
        found.lod.sel(variants="a2"),
        rtol=1e-6,
    )
    # Of probabilities from elsewhere, names tell the alleles: here the dosage of B.
    p = np.random.default_rng(1).dirichlet(np.ones(3), size=(40, 6))
    y = np.random.default_rng(2).normal(size=(40, 2))
    other = blmm.create_dataset(p, y)
    with pytest.raises(InputError, match="needs the alleles of the 3 genotypes"):
        blmm.scan(other, kinship=None, model="additive")
    named = other.assign_coords(genotype_id=("genotypes", ["AA", "AB", "BB"]))
    dosage = blmm.create_dataset(p[:, :, 1] / 2 + p[:, :, 2], y, maximum=1)
    np.testing.assert_allclose(
        blmm.scan(named, kinship=None, model="additive").lod,
        blmm.scan(dosage, kinship=None).lod,
        atol=1e-6,
    )
    founders = other.assign_coords(genotype_id=("genotypes", ["A", "B", "C"]))
    np.testing.assert_array_equal(
        blmm.scan(founders, kinship=None, model="additive").lod, blmm.scan(other, kinship=None).lod
    )
    with pytest.raises(InputError, match="unknown model 'dominant'"):
        blmm.scan(named, kinship=None, model="dominant")


@quiet
def test_markers_of_partial_calls_only_stay_in_the_study(tmp_path):
    text = "t1,m1,m2,m3\n,1,1,1\n,0,10,20\n1,A,C,A\n2,H,D,B\n3,B,C,H\n4,A,D,-\n"
    (tmp_path / "f2.csv").write_text(text)
    ds = blmm.read_rqtl(tmp_path / "f2.csv", "f2")
    assert ds.variants.values.tolist() == ["m1", "m2", "m3"]
    assert np.isnan(ds.call_dosage.sel(variants="m2")).all()
    p = blmm.genotype_probabilities(ds).call_genotype_probability.sel(variants="m2")
    without = ds.copy(deep=True)
    without["call_code"].loc[{"variants": "m2"}] = 0
    q = blmm.genotype_probabilities(without).call_genotype_probability.sel(variants="m2")
    assert abs(p - q).max() > 0.05  # partial calls count
    assert blmm.scan(ds, kinship=None, genotypes="call_dosage").lod.sel(variants="m2").max() == 0
