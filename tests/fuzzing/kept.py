"""Valid stores and Datasets that subjects are made from."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

import bulklmm_dask as blmm


@cache
def study() -> xr.Dataset:
    """A study of 20 samples, 10 markers on two contigs, 4 traits, a covariate and kinships."""
    rng = np.random.default_rng(1)
    dosage = rng.binomial(2, 0.4, (20, 10)).astype(float)
    ds = blmm.create_dataset(
        dosage,
        dosage[:, :4] + rng.standard_normal((20, 4)),
        covariates=rng.standard_normal((20, 1)),
        contigs=["1"] * 5 + ["2"] * 5,
        positions=np.tile(np.arange(5.0), 2),
        alleles=["A", "G"],
        strains=[f"s{i}" for i in range(20)],
    )
    ds["kinship"] = blmm.kinship(ds).compute()
    ds["kinship_loco"] = blmm.kinship(ds, loco=True).compute()
    return ds


@cache
def result() -> xr.Dataset:
    """A scan of the study, in memory."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", blmm.StudyWarning)
        return blmm.scan(study(), statistics=("lod", "beta", "se", "neg_log10_p")).compute()


@cache
def permuted(by: str | None = None) -> xr.Dataset:
    """Permutations of the study, in memory."""
    return blmm.permute(study(), n_permutations=20, by=by).compute()


@cache
def peaks() -> pd.DataFrame:
    """Peaks of the scan."""
    return blmm.find_peaks(result(), threshold=0.3)


@cache
def kept() -> Path:
    """A folder of stores: study, scan, alt, perm, shared, counts; and a table of hits."""
    folder = Path(tempfile.mkdtemp(prefix="bulklmm-fuzz-"))
    ds = study()
    blmm.save(ds, folder / "study.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", blmm.StudyWarning)
        blmm.scan(ds, store=folder / "scan.zarr", statistics=("lod", "beta", "neg_log10_p"))
        blmm.scan(ds, store=folder / "alt.zarr", method="alt-exact")
        blmm.permute(ds, n_permutations=20, store=folder / "perm.zarr")
        blmm.permute(ds, n_permutations=20, method="shared", store=folder / "shared.zarr")
        blmm.hotspot_baseline(
            ds, window=2, threshold=1, n_permutations=3, store=folder / "counts.zarr"
        )
    return folder


def copy_of(name: str) -> Callable[[Path], None]:
    """Writer of a copy of a store."""

    def write(folder: Path) -> None:
        shutil.copytree(kept() / name, folder / name)

    return write
