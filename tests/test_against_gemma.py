"""GEMMA's own answers: its likelihood ratio test re-estimates h2 for every marker, as alt-exact.

GEMMA writes seven digits, keeps its variance ratio lambda = h2 / (1 - h2) within [1e-5, 1e5] and
centres the kinship on the samples with a phenotype.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import brute
import numpy as np
import pandas as pd
import pytest
import studies
import xarray as xr
from scipy.stats import chi2

import bulklmm_dask as blmm

TRAITS = ("trait1", "trait2", "trait3c", "trait4", "trait5", "trait6c", "trait7", "trait8")
DENSE_MEAN, DENSE_LARGEST = 2e-4, 5e-3
both = pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])


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


def full_log_likelihood(n: int, profile: np.ndarray) -> np.ndarray:
    """With the constant that profile likelihoods leave out."""
    return profile + n / 2 * (np.log(n / (2 * np.pi)) - 1)


@pytest.fixture(scope="module")
def longevity(reference):
    """The reference study: dosages 0..2, BulkLMM's kinship of strains given to their samples."""
    folder = reference / "bxd_longevity"
    strains = pd.read_csv(folder / "strain_genotypes.csv.gz", index_col=0)
    genotype = strains.to_numpy().T - 0.5
    kinship = 2 * genotype @ genotype.T / genotype.shape[1] + 0.5
    np.fill_diagonal(kinship, 1)
    where = strains.columns.get_indexer(pd.read_csv(folder / "samples.csv")["strain"])
    traits = pd.read_csv(reference / "gemma" / "traits.csv", index_col=0)
    return 2 * strains.to_numpy().T[where], kinship[np.ix_(where, where)], traits


@pytest.fixture(scope="module", params=TRAITS)
def analysis(request, reference, longevity):
    name = request.param
    dosage, kinship, traits = longevity
    covariate = traits["covariate"].to_numpy() if name.endswith("c") else None
    gemma = pd.read_csv(reference / "gemma" / f"{name}.csv.gz")
    found = Analysis.of(dosage, traits[name].to_numpy(), covariate, kinship, gemma)
    found.null = json.loads((reference / "gemma" / "null_models.json").read_text())[name]
    assert found.ds.sizes["samples"] == found.null["n"]
    assert found.ds.sizes["variants"] == 7321
    return found


def test_every_marker_refined(analysis):
    result = analysis.scan(refine_above=0)
    assert str(result.trait_status.values) == "ok"
    np.testing.assert_allclose(result.lod, analysis.lod, atol=1e-4, rtol=0)
    analysis.check_h2(result.h2_alt.values, reml=False)
    n, h2 = analysis.ds.sizes["samples"], result.h2.values[None]
    null = full_log_likelihood(n, analysis.pairs().likelihood(h2, None, False))
    # GEMMA's lambda of 1e-5 at least costs up to 3e-4 where h2 is 0.
    assert null == pytest.approx(analysis.null["mle_loglik"], abs=6e-4)
    alternative = null + result.lod.values * np.log(10)
    np.testing.assert_allclose(alternative, analysis.gemma["logl_H1"], atol=4e-4, rtol=0)


def test_default_threshold(analysis):
    result = analysis.scan()
    error = np.abs(result.lod.values - analysis.lod)
    assert error.mean() <= DENSE_MEAN
    assert error.max() <= DENSE_LARGEST
    assert error[analysis.lod >= 3].max(initial=0) <= 1e-4
    assert int(result.n_refined) >= (analysis.lod >= 3).sum()


def test_restricted_heritabilities(analysis):
    result = analysis.scan(reml=True, refine_above=0)
    analysis.check_h2(result.h2_alt.values, reml=True)
    variances = analysis.null
    h2 = variances["vg"] / (variances["vg"] + variances["ve"])
    assert float(result.h2) == pytest.approx(h2, abs=2e-5)


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


KINDS = {
    "plain": "ok",
    "covariate and missing values": "ok",
    "one strong locus": "ok",
    "no heritability": "ok",
    "nothing but heritability": "unbounded",  # its likelihood grows without end: no noise at all
    # Centred, their kinship has the intercept for its null space: ML has no maximum, and GEMMA
    # reports the bound of lambda just as the scan does.
    "distinct samples": "unbounded",
}


@pytest.mark.gemma
@pytest.mark.skipif(shutil.which("gemma") is None, reason="no program gemma on the PATH")
@pytest.mark.parametrize("kind", KINDS)
def test_gemma_run_now(kind, tmp_path):
    data = simulated(kind)
    live = Analysis.of(*data, run_gemma(tmp_path, *data))
    result = live.scan(refine_above=0)
    assert str(result.trait_status.values) == KINDS[kind]
    np.testing.assert_allclose(result.lod, live.lod, atol=1e-4, rtol=0)
    live.check_h2(result.h2_alt.values, reml=False)
    live.check_h2(live.scan(refine_above=0, reml=True).h2_alt.values, reml=True)


def test_effects_and_their_errors(analysis):
    """GEMMA's beta and se are those at the restricted estimate of each marker, per allele copy."""
    found = analysis.scan(reml=True, refine_above=0, statistics=("beta", "se"))
    beta, se = (analysis.gemma[name].to_numpy() for name in ("beta", "se"))
    # Its signs refer to the allele of its own file, the same for all markers.
    np.testing.assert_allclose(found.se, se, rtol=1e-4)
    np.testing.assert_allclose(found.beta, beta, rtol=1e-4, atol=1e-4 * se.min())
