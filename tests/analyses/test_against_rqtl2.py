"""R/qtl2's own answers on its example data: LOD within 1e-4, h2 within 1e-4."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from references import find

import bulklmm_dask as blmm


@pytest.fixture(scope="module")
def grav2(reference):
    """162 lines, 234 markers, 121 traits; R/qtl2's kinship doubled, as it does internally."""
    folder = reference / "grav2"
    probs = pd.read_csv(folder / "probs.csv.gz", index_col=0)
    pheno = pd.read_csv(find(folder / "pheno.csv"), index_col=0)
    genotypes = probs[[f"{sample}:CC" for sample in pheno.index]].T
    genotypes.index = pheno.index
    ds = blmm.create_dataset(genotypes, pheno, maximum=1)
    kinship = pd.read_csv(find(folder / "kinship.csv"), index_col=0)
    kinship.columns = kinship.index
    ds["kinship"] = xr.DataArray(2 * kinship.to_numpy(), dims=("samples_0", "samples_1"))
    return folder, ds, kinship


@pytest.mark.parametrize(("reml", "name"), [(False, "scan1_ml"), (True, "scan1_reml")])
@pytest.mark.parametrize("precision", ["double", "single"])
def test_grav2_scores_and_heritabilities(grav2, reml, name, precision):
    folder, ds, _ = grav2
    result = blmm.scan(ds, reml=reml, precision=precision).compute()
    expected = pd.read_csv(find(folder / f"{name}.csv"), index_col=0)
    hsq = pd.read_csv(folder / f"{name}.hsq.csv", index_col=0)
    assert result.lod.shape == expected.shape == (234, 121)
    assert list(result.variants.values) == list(expected.index)
    assert list(result.traits.values) == list(expected.columns)
    np.testing.assert_allclose(result.lod, expected, atol=1e-4, rtol=0)
    np.testing.assert_allclose(result.h2, hsq.to_numpy()[0], atol=1e-4, rtol=0)


def test_grav2_kinship(grav2):
    _, ds, kinship = grav2
    np.testing.assert_allclose(blmm.kinship(ds, method="rqtl2"), kinship, atol=1e-9)


def test_a_labelled_kinship_is_matched_by_name(grav2):
    folder, ds, kinship = grav2
    shuffled = 2 * kinship.sample(frac=1, random_state=0)
    shuffled = shuffled[shuffled.columns[::-1]]
    lod = blmm.scan(ds, kinship=shuffled).lod
    expected = pd.read_csv(find(folder / "scan1_ml.csv"), index_col=0)
    np.testing.assert_allclose(lod, expected, atol=1e-4, rtol=0)


def test_iron_kinship_from_dosages(reference):
    folder = reference / "iron"
    probs = pd.read_csv(folder / "probs.csv.gz", index_col=0)
    samples = list(dict.fromkeys(name.split(":")[0] for name in probs.columns))
    dosage = np.array([probs[f"{s}:BB"] + probs[f"{s}:SB"] / 2 for s in samples])
    ds = blmm.create_dataset(dosage, np.random.default_rng(0).random((len(samples), 1)), maximum=1)
    expected = pd.read_csv(find(folder / "kinship.csv"), index_col=0)
    np.testing.assert_allclose(blmm.kinship(ds, method="rqtl2"), expected, atol=1e-9)
