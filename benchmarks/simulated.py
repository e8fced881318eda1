"""Studies that the cases of the benchmarks run on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

import bulklmm_dask as blmm

HERE = Path(__file__).resolve().parents[1]
REFERENCE = HERE.parent / "shared" / "reference" / "bxd" / "bxd.zip"
N_SAMPLES, N_VARIANTS = 248, 7321
# Tests of several columns take long: no more traits than a block of a scan has.
JOINT_TRAITS = 8192
# Samples and markers of a scan of few traits.
FEW_SAMPLES, FEW_MARKERS = 1000, 40_000


@dataclass(frozen=True)
class Study:
    """A study that cases run on: a title, and how to make it for a number of traits."""

    title: str
    make: Callable[[int], xr.Dataset]


def different(ds: xr.Dataset) -> xr.Dataset:
    """The study with dosages as uncertain as imputed ones: no marker is a copy of another."""
    noise = np.random.default_rng(2).uniform(0, 1e-3, ds.call_dosage.shape)
    return ds.assign(call_dosage=ds.call_dosage.copy(data=np.abs(ds.call_dosage.values - noise)))


def simulated(n_strains: int | None, *, blurred: bool = False) -> Callable[[int], xr.Dataset]:
    def make(n_traits: int) -> xr.Dataset:
        ds = blmm.simulate_study(n_traits=n_traits, n_strains=n_strains, seed=1)
        if blurred:
            ds = different(ds)
        ds["kinship"] = blmm.kinship(ds).compute()
        return ds

    return make


def founders(n_strains: int | None) -> Callable[[int], xr.Dataset]:
    """Studies with probabilities of 8 founder alleles: mosaics, none of them certain."""

    def make(n_traits: int) -> xr.Dataset:
        n_traits = min(n_traits, JOINT_TRAITS)
        rng = np.random.default_rng(3)
        strains = n_strains or N_SAMPLES
        changes = rng.random((N_VARIANTS, strains)) < 0.01
        changes[0] = True
        last = np.maximum.accumulate(np.where(changes, np.arange(N_VARIANTS)[:, None], 0), axis=0)
        origin = np.take_along_axis(rng.integers(8, size=changes.shape), last, axis=0)
        probability = rng.uniform(0, 0.1, (N_VARIANTS, strains, 8)) + np.eye(8)[origin]
        probability /= probability.sum(axis=2, keepdims=True)
        probability = probability[:, np.arange(N_SAMPLES) % strains]
        noise = rng.standard_normal((N_SAMPLES, n_traits))
        ds = blmm.create_dataset(probability.swapaxes(0, 1), noise)
        ds["kinship"] = 2 * blmm.kinship(ds, method="rqtl2").compute()
        root = np.linalg.cholesky(ds["kinship"].values + 1e-9 * np.eye(N_SAMPLES))
        h2 = rng.uniform(0, 1, n_traits)
        traits = np.sqrt(1 - h2) * noise + np.sqrt(h2) * (root @ rng.standard_normal(noise.shape))
        carried = probability[rng.integers(N_VARIANTS, size=n_traits), :, 0].T
        ds["sample_trait"] += traits - noise + carried * rng.uniform(0, 2, n_traits)
        return ds

    return make


def from_file() -> xr.Dataset:
    """Read the real study, and compute its kinship."""
    ds = blmm.read_rqtl2(REFERENCE)
    ds["kinship"] = blmm.kinship(ds)
    return ds


def many_markers(n_traits: int) -> xr.Dataset:
    """A study of 1,000 distinct samples and 40,000 markers."""
    ds = blmm.simulate_study(
        n_samples=FEW_SAMPLES,
        n_strains=None,
        n_variants=FEW_MARKERS,
        n_traits=10,
        cross="f2",
        seed=1,
    )
    ds["kinship"] = blmm.kinship(ds, method="centered").compute()
    return ds


STUDIES = {
    "strains": Study(
        "248 samples of 50 strains: copies among samples and markers are scanned once",
        simulated(50),
    ),
    "distinct": Study("248 distinct samples", simulated(None)),
    "different": Study(
        "248 distinct samples, every marker different (genotype probabilities)",
        simulated(None, blurred=True),
    ),
    "file": Study(f"A real study, {REFERENCE.name}", lambda n_traits: from_file()),
    "founders": Study("8 founder alleles, 248 samples of 50 strains", founders(50)),
    "founders-distinct": Study("8 founder alleles, 248 distinct samples", founders(None)),
    "question": Study(
        "One trait of an open study, 248 samples of 50 strains, beside the rotation of its markers",
        lambda n_traits: simulated(50)(200),
    ),
    "few": Study(
        "Few traits, 1,000 distinct samples, 40,000 markers, beside the rotation of its markers",
        many_markers,
    ),
}
