"""Kinships against their formulas written out, whatever the chunks and the gaps."""

from __future__ import annotations

import warnings

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import studies
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from references import longevity

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError, StudyWarning

METHODS = ("bulklmm", "rqtl2", "centered", "standardized")


def written_out(x: np.ndarray, method: str) -> np.ndarray:
    """One pair at a time; x (variants, samples) scaled to 0..1."""
    p, n = x.shape
    out = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            if method in ("bulklmm", "rqtl2"):
                out[i, j] = (
                    sum(a * b + (1 - a) * (1 - b) for a, b in zip(x[:, i], x[:, j], strict=True))
                    / p
                )
                if method == "bulklmm" and i == j:
                    out[i, j] = 1
                continue
            total = 0.0
            for row in 2 * x:
                product = (row[i] - row.mean()) * (row[j] - row.mean())
                if method == "standardized":
                    product = product / row.var() if row.var() > 0 else 0.0
                total += product
            out[i, j] = total / p
    return out


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("maximum", [1, 2])
def test_formulas(method, maximum):
    dosage, traits = studies.arrays(n=8, p=25, m=2)
    dosage[:, 5] = 1.0
    ds = blmm.create_dataset(dosage * maximum / 2, traits, maximum=maximum)
    np.testing.assert_allclose(
        blmm.kinship(ds, method=method), written_out(dosage.T / 2, method), atol=1e-12
    )


@pytest.mark.parametrize("method", METHODS)
def test_missing_dosages_take_the_mean_of_their_marker(method):
    dosage, traits = studies.arrays(n=10, p=12, m=2)
    holes = dosage.copy()
    holes[::3, ::4] = np.nan
    filled = np.where(np.isnan(holes), np.nanmean(holes, axis=0), holes)
    with pytest.warns(blmm.StudyWarning, match="missing"):
        gappy = blmm.create_dataset(holes, traits)
    whole = blmm.create_dataset(filled, traits, maximum=2)
    np.testing.assert_allclose(
        blmm.kinship(gappy, method=method), blmm.kinship(whole, method=method), atol=1e-12
    )


@pytest.mark.slow
@settings(max_examples=15)
@given(chunk=st.integers(1, 40), method=st.sampled_from(METHODS))
def test_any_chunks_give_the_same_kinship(chunk, method):
    ds = studies.study(n=12, p=40)
    expected = blmm.kinship(ds, method=method).values
    lazy = blmm.kinship(ds.chunk(variants=chunk), method=method)
    assert lazy.chunks is not None
    np.testing.assert_allclose(lazy.values, expected, atol=1e-12)


def test_nothing_is_computed_until_asked_and_never_all_at_once():
    largest = []

    def block(block_info=None):
        shape = block_info[None]["chunk-shape"]
        largest.append(shape[0])
        return np.random.default_rng(0).binomial(2, 0.5, shape).astype(np.float32)

    lazy = da.map_blocks(block, chunks=((100,) * 50, (9,)), dtype=np.float32, meta=np.empty((0, 0)))
    ds = blmm.create_dataset(lazy.T, np.random.default_rng(1).random((9, 2)), maximum=2)
    matrix = blmm.kinship(ds)
    assert not largest
    assert matrix.shape == (9, 9)
    matrix.compute()
    assert len(largest) == 50
    assert max(largest) == 100


def test_clones_of_a_strain_are_fully_related():
    ds = blmm.simulate_study(n_samples=12, n_strains=4, n_variants=30, n_traits=2, n_contigs=2)
    matrix = blmm.kinship(ds).values
    same = ds.sample_strain.values[:, None] == ds.sample_strain.values[None, :]
    assert (matrix[same] == 1).all()
    assert (matrix[~same] < 1).all()


def test_the_reference_kinship_is_that_of_the_strains(reference):
    ds = longevity(reference)
    matrix = blmm.kinship(ds).values
    _, first, of = np.unique(ds.sample_strain.values, return_index=True, return_inverse=True)
    x = ds.call_dosage.values[:, first].astype(float)
    strains = (x.T @ x + (1 - x).T @ (1 - x)) / len(x)
    np.fill_diagonal(strains, 1.0)
    np.testing.assert_allclose(matrix, strains[np.ix_(of, of)], atol=1e-12)


def test_a_description_with_one_dimension_more_changes_nothing():
    ds = studies.study(n=10, p=12, m=2)
    wide = ds.drop_vars("contig_id").assign(contig_id=(("x", "contigs"), [["1", "2"]]))
    for loco in (False, True):
        xr.testing.assert_equal(blmm.kinship(wide, loco=loco), blmm.kinship(ds, loco=loco))


@pytest.mark.parametrize("loco", [False, True])
def test_a_study_without_markers_has_no_kinship(loco):
    with pytest.raises(InputError, match="the study has no markers"):
        blmm.kinship(studies.study().isel(variants=[]), loco=loco)


def test_unknown_method():
    with pytest.raises(blmm.InputError, match=r"'gemma'.*centered"):
        blmm.kinship(studies.study(), method="gemma")


def test_founders_with_names_of_two_letters_are_alleles():
    """B6 and AJ are strains, not heterozygotes; SS, SB and BB are two alleles."""
    probability = np.random.default_rng(0).dirichlet(np.ones(3), size=(12, 9))

    def of(names):
        ds = blmm.create_dataset(probability, np.ones((12, 1)))
        ds = ds.assign(genotype_id=("genotypes", np.array(names, dtype=object)))
        return blmm.kinship(ds, method="rqtl2").values

    expected = np.einsum("ivg,jvg->ij", probability, probability) / 9
    for names in (["B6", "D2", "C3"], ["AJ", "NZ", "WS"], ["A", "B", "C"]):
        np.testing.assert_allclose(of(names), expected, atol=1e-12)
    first = probability @ [1, 0.5, 0]
    two = (first @ first.T + (1 - first) @ (1 - first).T) / 9
    np.testing.assert_allclose(of(["SS", "SB", "BB"]), two, atol=1e-12)


@pytest.mark.parametrize("method", ["bulklmm", "rqtl2", "centered", "standardized"])
def test_markers_without_a_call_do_not_count(method):
    """Dropped with a warning from arrays, left out of the sum where they are lazy."""
    ds = studies.study(n=20, p=30, m=1)
    expected = blmm.kinship(ds.isel(variants=slice(0, 24)), method=method)
    calls = ds.call_dosage.copy(data=ds.call_dosage.values.astype(float))
    calls[24:] = np.nan
    lazy = ds.assign(call_dosage=calls.chunk(variants=7))
    np.testing.assert_allclose(blmm.kinship(lazy, method=method), expected, atol=1e-12)


def test_frames_without_names_go_by_order_and_say_so():
    ds = studies.study(n=30, p=20, m=2, seed=1)
    matrix, names = ds["kinship"].values, ds["sample_id"].values
    expected = blmm.scan(ds).lod.values
    shuffled = pd.DataFrame(matrix, names, names).sample(frac=1, random_state=1)
    for frame in (
        pd.DataFrame(matrix, names, names),
        shuffled[shuffled.index],
        pd.DataFrame(matrix, index=names),  # the columns are only counted
        pd.DataFrame(matrix, columns=names),
    ):
        np.testing.assert_allclose(blmm.scan(ds, kinship=frame).lod, expected, atol=1e-6)
    with pytest.warns(StudyWarning, match="rows of the kinship carry no sample names"):
        found = blmm.scan(ds, kinship=pd.DataFrame(matrix))
    np.testing.assert_array_equal(found.lod, expected)
    with pytest.raises(InputError, match="the kinship lacks 30 of the 30 samples"):
        blmm.scan(ds, kinship=pd.DataFrame(matrix).sample(frac=1, random_state=1))


def test_a_frame_that_is_not_square_has_names_at_both_sides():
    ds = studies.study(n=10, p=12, m=2)
    names = ds.samples.values
    frame = pd.DataFrame(ds.kinship.values, columns=names)
    xr.testing.assert_equal(blmm.scan(ds, kinship=frame).lod, blmm.scan(ds).lod)
    for odd in (frame.iloc[:9], frame.iloc[:, :9], frame.iloc[:, :0], frame.iloc[:0]):
        with pytest.raises(InputError, match=r"has \d+ rows? and \d+ columns?, and only one side"):
            blmm.scan(ds, kinship=odd)
    wide = frame.set_axis(names, axis=0).assign(somebody=0.5)
    xr.testing.assert_equal(blmm.scan(ds, kinship=wide).lod, blmm.scan(ds).lod)


def test_frames_of_samples_that_are_numbers():
    dosage, traits = studies.arrays(n=20, p=20, m=2)
    ds = blmm.create_dataset(dosage, traits, sample_ids=range(20))
    matrix = blmm.kinship(ds).values
    with warnings.catch_warnings():
        warnings.simplefilter("error", StudyWarning)
        found = blmm.scan(ds, kinship=pd.DataFrame(matrix)).lod
    np.testing.assert_array_equal(found, blmm.scan(ds, kinship=matrix).lod)


@pytest.mark.parametrize("dim", ["samples", "variants"])
def test_a_kinship_of_nothing(dim):
    ds = blmm.simulate_study(n_samples=20, n_strains=None, n_variants=30, n_traits=2, n_contigs=2)
    what = {"samples": "samples", "variants": "markers"}[dim]
    with pytest.raises(blmm.InputError, match=f"no {what}, from which a kinship is computed"):
        blmm.kinship(ds.isel({dim: []}).chunk())
