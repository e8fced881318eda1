"""GEMMA: what it answers for a trait, its program, and studies to give it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import brute
import numpy as np
import pandas as pd
import studies
import xarray as xr
from scipy.stats import chi2

import bulklmm_dask as blmm


@dataclass
class Analysis:
    """A trait on its samples with their centred kinship, and what GEMMA says of every marker."""

    ds: xr.Dataset
    gemma: pd.DataFrame

    @classmethod
    def of(cls, dosage, y, covariate, kinship, gemma: pd.DataFrame) -> Analysis:
        """Leave out the samples without a value, as GEMMA does: dosage (samples, variants)."""
        has = np.flatnonzero(~np.isnan(y))
        centre = np.eye(len(has)) - 1 / len(has)
        ds = blmm.create_dataset(
            dosage[has],
            y[has, None],
            covariates=None if covariate is None else covariate[has, None],
            variant_ids=list(gemma["rs"]),
            maximum=2,
        )
        centred = centre @ kinship[np.ix_(has, has)] @ centre
        ds["kinship"] = (("samples_0", "samples_1"), (centred + centred.T) / 2)
        return cls(ds, gemma)

    def scan(self, **options) -> xr.Dataset:
        return blmm.scan(self.ds, method="alt-exact", **options).compute().isel(traits=0)

    @property
    def lod(self) -> np.ndarray:
        return chi2.isf(self.gemma["p_lrt"].to_numpy(), 1) / (2 * np.log(10))

    def h2(self, reml: bool) -> np.ndarray:
        ratio = self.gemma["l_remle" if reml else "l_mle"].to_numpy()
        return ratio / (1 + ratio)

    def pairs(self) -> brute.Pairs:
        """Likelihoods of the same data by brute force."""
        ds, n = self.ds, self.ds.sizes["samples"]
        covariates = np.ones((n, 1))
        if "sample_covariate" in ds:
            covariates = np.column_stack([covariates, ds.sample_covariate.values])
        dosage = ds.call_dosage.transpose("variants", "samples").values.astype(float)
        return brute.Pairs(dosage, ds.sample_trait.values[:, 0], covariates, ds.kinship.values)

    def check_h2(self, h2_alt: np.ndarray, reml: bool) -> None:
        """Equal to GEMMA's, or at least as likely where the likelihood is flat."""
        theirs, pairs = self.h2(reml), self.pairs()
        apart = np.flatnonzero(np.abs(h2_alt - theirs) > 1e-4)
        if len(apart):
            ours = pairs.likelihood(np.minimum(h2_alt[apart], pairs.top), apart, reml)
            assert (ours >= pairs.likelihood(theirs[apart], apart, reml) - 1e-7).all()
        assert len(apart) <= 0.01 * len(h2_alt)


def run_gemma(folder: Path, dosage, y, covariate, kinship) -> pd.DataFrame:
    """`gemma -lmm 4` without any filter, on arrays written as BIMBAM files."""
    names = [f"m{i}" for i in range(dosage.shape[1])]
    rows = [
        f"{name}, A, G, " + ", ".join(map(repr, row.tolist()))
        for name, row in zip(names, dosage.T, strict=True)
    ]
    (folder / "dosage.txt").write_text("\n".join(rows) + "\n")
    (folder / "trait.txt").write_text(
        "".join("NA\n" if np.isnan(v) else f"{v!r}\n" for v in y.tolist())
    )
    np.savetxt(folder / "kinship.txt", kinship, fmt="%.17g")
    files = ["-g", "dosage.txt", "-p", "trait.txt", "-k", "kinship.txt"]
    if covariate is not None:
        np.savetxt(folder / "covariates.txt", np.column_stack([np.ones(len(y)), covariate]))
        files += ["-c", "covariates.txt"]
    unfiltered = ["-notsnp", "-miss", "1", "-maf", "0", "-r2", "1", "-hwe", "0"]
    command = ["gemma", *files, "-lmm", "4", *unfiltered, "-outdir", ".", "-o", "found"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
    found = pd.read_csv(folder / "found.assoc.txt", sep="\t")
    assert list(found["rs"]) == names
    return found


def simulated(kind: str):
    """Dosages, trait, covariate and kinship that GEMMA has not seen before."""
    rng = np.random.default_rng(30)
    n, strains = 90, 90 if kind == "distinct samples" else 45
    where = np.arange(n) % strains
    dosage, _ = studies.arrays(n=strains, p=80, m=1, seed=31)
    kinship = blmm.kinship(blmm.create_dataset(dosage, rng.random((strains, 1)), maximum=2)).values
    polygenic = np.linalg.cholesky(kinship) @ rng.standard_normal(strains)
    dosage, kinship = dosage[where], kinship[np.ix_(where, where)]
    noise = rng.standard_normal(n)
    h2 = {"no heritability": 0.0, "nothing but heritability": 1.0}.get(kind, 0.5)
    y, covariate = np.sqrt(h2) * polygenic[where] + np.sqrt(1 - h2) * noise, None
    if kind == "one strong locus":
        y = y + 5 * dosage[:, 5]
    if kind == "covariate and missing values":
        covariate = rng.standard_normal(n)
        y = y + 0.8 * dosage[:, 5] + covariate
        y[rng.random(n) < 0.2] = np.nan
    return dosage, y, covariate, kinship
