"""p-values of markers without effect, where samples share a cage as well as ancestors."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import bulklmm_dask as blmm


def litters(n: int = 240, size: int = 10, m: int = 60, p: int = 400, apart: int = 40) -> xr.Dataset:
    """Samples in cages, which differ in the first markers only; markers have no effect.

    Of the variance 0.2 is additive, of all markers, and 0.4 that of the cage.
    """
    rng = np.random.default_rng(0)
    cage = np.arange(n) // size
    frequency = rng.uniform(0.2, 0.8, p)
    of_cage = np.tile(frequency, (cage.max() + 1, 1))
    drift = 0.3  # F_ST
    scale = (1 - drift) / drift
    of_cage[:, :apart] = rng.beta(
        frequency[:apart] * scale, (1 - frequency[:apart]) * scale, (len(of_cage), apart)
    )
    ds = blmm.create_dataset(rng.binomial(2, of_cage[cage]), np.zeros((n, m)), maximum=2)
    ds["sample_cage"] = ("samples", [f"cage{i}" for i in cage])
    kinship = blmm.kinship(ds, method="centered").values
    kinship /= np.diag(kinship).mean()
    root = np.linalg.cholesky(kinship + 1e-6 * np.eye(n))
    values = np.sqrt(0.2) * root @ rng.standard_normal((n, m))
    values += np.sqrt(0.4) * rng.standard_normal((len(of_cage), m))[cage]
    values += np.sqrt(0.4) * rng.standard_normal((n, m))
    ds["kinship"] = (("samples_0", "samples_1"), kinship)
    return ds.assign(sample_trait=(("samples", "traits"), values)).isel(variants=slice(0, apart))


@pytest.mark.slow
def test_a_cage_in_the_model_takes_the_inflation_of_the_kinship_alone(capsys):
    """Genomic inflation: median chi-square of all tests over that of one degree of freedom."""
    ds = litters()
    found = {}
    for name, kinship in (
        ("kinship", "kinship"),
        ("kinship and cage", {"additive": "kinship", "cage": "cage"}),
    ):
        chi2 = 2 * np.log(10) * blmm.scan(ds, kinship=kinship, reml=True).lod.values
        inflation = np.median(chi2) / stats.chi2.median(1)
        found[name] = inflation, np.mean(chi2 > stats.chi2.isf(0.05, 1))
        with capsys.disabled():
            print(f"\n{name}: inflation {inflation:.3f}, p < 0.05 in {found[name][1]:.1%}")
    inflation, rejected = found["kinship"]
    assert inflation > 1.6
    assert rejected > 0.1
    inflation, rejected = found["kinship and cage"]
    assert 0.85 < inflation < 1.15
    assert 0.04 < rejected < 0.065
