"""The reference data: files by their names, and studies made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

import bulklmm_dask as blmm


def find(path: Path) -> Path:
    """A file of the reference data, as it is or packed."""
    found = [packed for end in ("", ".gz", ".xz") if (packed := Path(f"{path}{end}")).is_file()]
    assert found, f"there is no file {path}, nor one packed"
    return found[0]


def grav2(reference: Path) -> xr.Dataset:
    """R/qtl2's example with its kinships, doubled as R/qtl2 does inside."""
    folder = reference / "grav2"
    ds = blmm.read_probabilities(
        folder / "probs.csv.gz",
        find(folder / "pheno.csv"),
        variant_map=find(folder / "map.csv"),
        position_unit="cM",
    )
    return ds.assign(kinship_loco=2 * blmm.kinship(ds, method="rqtl2", loco=True))


def iron(reference: Path) -> xr.Dataset:
    """R/qtl2's intercross, with kinships doubled as R/qtl2 does inside."""
    folder = reference / "iron"
    ds = blmm.read_probabilities(
        folder / "probs.csv.gz",
        find(folder / "pheno.csv"),
        variant_map=find(folder / "map.csv"),
        covariates=folder / "covar.csv",
        position_unit="cM",
    )
    kinship = pd.read_csv(find(folder / "kinship.csv"), index_col=0)
    ds["kinship"] = (("samples_0", "samples_1"), 2 * kinship.values)
    return ds


def longevity(reference: Path) -> xr.Dataset:
    """The strains whose livers were measured: 248 samples with one peptide, 7,321 markers."""
    folder = reference / "bxd_longevity"
    return blmm.read_csv(
        folder / "samples.csv",
        folder / "strain_genotypes.csv.gz",
        variant_map=find(folder / "map.csv"),
        sample_strain="strain",
    )


def longevity_arrays(reference: Path) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Genotypes 0 or 1 (samples, variants), the kinship BulkLMM gives strains, GEMMA's traits."""
    folder = reference / "bxd_longevity"
    strains = pd.read_csv(folder / "strain_genotypes.csv.gz", index_col=0)
    where = strains.columns.get_indexer(pd.read_csv(folder / "samples.csv")["strain"])
    genotype = strains.to_numpy().T - 0.5
    kinship = 2 * genotype @ genotype.T / genotype.shape[1] + 0.5
    np.fill_diagonal(kinship, 1)
    traits = pd.read_csv(find(reference / "gemma" / "traits.csv"), index_col=0)
    return strains.to_numpy().T[where], kinship[np.ix_(where, where)], traits


def reference_study(reference: Path, n_traits: int):
    """The reference genotypes with simulated traits; the first trait is the real peptide."""
    ds = longevity(reference)
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
