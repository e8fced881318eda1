"""What a user's project looks like to mypy; lines that end with a remark hold an error."""

from pathlib import Path

import pandas as pd
import xarray as xr

import bulklmm_dask as blmm


def peaks_of(path: Path, threshold: float) -> pd.DataFrame:
    ds: xr.Dataset = blmm.open_dataset(path)
    ds["kinship"] = blmm.kinship(ds, method="bulklmm")
    result: xr.Dataset = blmm.scan(ds, method="null-exact", statistics=("beta", "se"))
    blmm.plot.save(blmm.plot.lod(result, "trait1", threshold=[3.0, threshold]), path / "p.png")
    found: pd.DataFrame = blmm.find_peaks(result, threshold=threshold, drop=1.5)
    return found


def mistakes(ds: xr.Dataset) -> None:
    blmm.scan(ds, method="fast")  # wrong
    blmm.scan(ds, traits=3)  # wrong
    n: int = blmm.max_lod(ds)  # wrong
    blmm.plot.miami(ds, ds)  # wrong
    print(n, blmm.no_such_name)  # wrong
