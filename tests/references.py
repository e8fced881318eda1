"""Studies made of the reference data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

import bulklmm_dask as blmm


def grav2(reference: Path) -> xr.Dataset:
    """R/qtl2's example with its kinships, doubled as R/qtl2 does inside."""
    folder = reference / "grav2"
    ds = blmm.read_probabilities(
        folder / "probs.csv.gz",
        folder / "pheno.csv",
        variant_map=folder / "map.csv",
        position_unit="cM",
    )
    return ds.assign(kinship_loco=2 * blmm.kinship(ds, method="rqtl2", loco=True))


def reference_study(reference: Path, n_traits: int):
    """The reference genotypes with simulated traits; the first trait is the real peptide."""
    folder = reference / "bxd_longevity"
    ds = blmm.read_csv(
        folder / "samples.csv",
        folder / "strain_genotypes.csv.gz",
        variant_map=folder / "map.csv",
        sample_strain="strain",
    )
    ds["kinship"] = blmm.kinship(ds).compute()
    rng = np.random.default_rng(2)
    n = ds.sizes["samples"]
    root = np.linalg.cholesky(ds.kinship.values + 1e-9 * np.eye(n))
    h2 = rng.uniform(0, 1, n_traits - 1)
    noise = rng.standard_normal((n, n_traits - 1))
    locus = ds.call_dosage.values[rng.integers(ds.sizes["variants"], size=n_traits - 1)].T
    traits = np.sqrt(h2) * (root @ rng.standard_normal(noise.shape)) + np.sqrt(1 - h2) * noise
    traits += locus * rng.uniform(0, 2, n_traits - 1)
    peptide = ds.sample_trait.values[:, :1]
    genotypes = ds.call_dosage.transpose("samples", "variants").values
    out = blmm.create_dataset(genotypes, np.concatenate([peptide, traits], axis=1), maximum=1)
    out["kinship"] = (("samples_0", "samples_1"), ds.kinship.values)
    return out
