"""Damaged stores of studies, scans, permutations and counts: opened, searched and resumed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import xarray as xr

import bulklmm_dask as blmm
from bulklmm_dask.describe import describe
from bulklmm_dask.errors import InputError, StoreError
from fuzzing.kept import copy_of, study
from fuzzing.subject import Subject


def tried(*calls: Callable[[], object]) -> None:
    """Make every call, also after an error of our own; raise the first of these."""
    first: Exception | None = None
    for call in calls:
        try:
            call()
        except (InputError, StoreError) as error:
            first = first or error
    if first is not None:
        raise first


def _use_study(folder: Path) -> None:
    path = folder / "study.zarr"

    def scan() -> None:
        ds = blmm.open_dataset(path)
        blmm.scan(ds, kinship=None).lod.load()
        blmm.scan(ds.load()).lod.load()
        blmm.scan(ds, loco=True).lod.load()

    tried(lambda: describe(path), lambda: blmm.verify(path), scan)


def _use_result(name: str, search: Callable[[xr.Dataset], object]) -> Callable[[Path], None]:
    def use(folder: Path) -> None:
        path = folder / name
        tried(
            lambda: describe(path),
            lambda: blmm.verify(path),
            lambda: search(blmm.open_result(path)),
        )

    return use


def _search(result: xr.Dataset) -> None:
    tried(
        lambda: blmm.max_lod(result),
        lambda: blmm.find_hits(result, threshold=1),
        lambda: blmm.find_peaks(result, threshold=1),
        lambda: blmm.pvalue_counts(result),
        result.load,
    )


def _level(perm: xr.Dataset) -> None:
    maxima = pd.DataFrame({"trait": ["trait1", "trait2"], "lod": [2.0, 3.0]})
    tried(
        lambda: blmm.thresholds(perm, 0.2),
        lambda: blmm.adjusted_p(perm, maxima),
        lambda: blmm.trait_fdr(perm, maxima),
        perm.load,
    )


def _scan_again(store: Path) -> None:
    blmm.scan(study(), store=store, statistics=("lod", "beta", "neg_log10_p")).load()


def _permute_again(store: Path) -> None:
    blmm.permute(study(), n_permutations=20, store=store).load()


def _count_again(store: Path) -> None:
    blmm.hotspot_baseline(study(), window=2, threshold=1, n_permutations=3, store=store)


def _resume(name: str, again: Callable[[Path], object]) -> Subject:
    return Subject(copy_of(name), lambda folder: again(folder / name))


STORES: dict[str, Subject] = {
    "store study": Subject(copy_of("study.zarr"), _use_study),
    "store scan": Subject(copy_of("scan.zarr"), _use_result("scan.zarr", _search)),
    "store alt": Subject(copy_of("alt.zarr"), _use_result("alt.zarr", _search)),
    "store perm": Subject(copy_of("perm.zarr"), _use_result("perm.zarr", _level)),
    "store shared": Subject(copy_of("shared.zarr"), _use_result("shared.zarr", _level)),
    "resume scan": _resume("scan.zarr", _scan_again),
    "resume permute": _resume("perm.zarr", _permute_again),
    "resume hotspots": _resume("counts.zarr", _count_again),
}
