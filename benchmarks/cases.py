"""What the benchmark times: each case on its studies, with the goal of its ratio."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from simulated import REFERENCE, from_file

import bulklmm_dask as blmm

NULL_EXACT, ALT_EXACT = "null-exact, double", "alt-exact, double"
SINGLE_TRAITS = 32_000  # of the product that permutations are compared with
NUMBER = count()


@dataclass(frozen=True)
class Case:
    """One thing that is timed.

    Attributes
    ----------
    name : str
    action : callable
        Takes the study and a folder for files.
    most : float, optional
        Goal: the largest ratio to its base.
    base : callable, optional
        Takes the study; what the action is compared with, instead of a matrix product.
    beside : str
        What that is, for readers.
    products : int
        How many matrix products the action is compared with.
    single : bool
        Whether these are products in single precision, of SINGLE_TRAITS traits.
    """

    name: str
    action: Callable[[xr.Dataset, Path], object]
    most: float | None = None
    base: Callable[[xr.Dataset], object] | None = None
    beside: str = "product"
    products: int = 1
    single: bool = False


def maxima(ds: xr.Dataset, **options: Any) -> np.ndarray:
    """Scan a study, h2 estimation included, and reduce it to the maximum of every trait."""
    return blmm.scan(ds, **options).lod.max("variants").values


def scan_case(name: str, most: float | None = None, **options: Any) -> Case:
    return Case(name, lambda ds, folder: maxima(ds, **options), most)


def store_case(precision: str, most: float | None) -> Case:
    def action(ds: xr.Dataset, folder: Path) -> object:
        source = folder / "study.zarr"
        if not source.exists():  # in the first run, which is not timed
            blmm.save(ds, source)
        target = folder / f"lods{next(NUMBER)}.zarr"
        return blmm.scan(blmm.open_dataset(source), precision=precision, store=target)

    return Case(f"Zarr study to Zarr LODs, {precision}", action, most)


def file_to_store(ds: xr.Dataset, folder: Path) -> object:
    ds = from_file().drop_vars("call_code", errors="ignore")  # dosages, as in versions before 0.2
    return blmm.scan(ds, store=folder / f"lods{next(NUMBER)}.zarr")


def result_case(name: str, find: Callable[[xr.Dataset], object], most: float | None = None) -> Case:
    """Time a search of a lazy result beside its reduction to maxima."""
    return Case(name, lambda ds, folder: find(blmm.scan(ds)), most, maxima, "scan to maxima")


def on_scaffolds(result: xr.Dataset) -> xr.Dataset:
    """The result as if its markers lay on 2,000 contigs."""
    size = result.sizes["variants"]
    names = np.array([f"scaffold{i}" for i in range(min(2000, size))], dtype=object)
    contig = np.arange(size) * names.size // size
    bare = result.drop_dims("contigs").drop_vars("variant_contig_name", errors="ignore")
    return bare.assign(variant_contig=("variants", contig), contig_id=("contigs", names))


def permute_some(ds: xr.Dataset, folder: Path) -> object:
    return blmm.permute(ds.isel(traits=slice(0, 256)), n_permutations=1000).max_lod.compute()


def permute_shared(ds: xr.Dataset, folder: Path) -> object:
    return blmm.thresholds(blmm.permute(ds, n_permutations=1000, method="shared"))


def rotated(ds: xr.Dataset) -> object:
    """The bare product of as many markers with an eigenbasis, 2,048 of them at a time."""
    n = ds.sizes["samples"]
    left, right = np.ones((2048, n)), np.ones((n, n))
    return [left @ right for _ in range(-(-ds.sizes["variants"] // 2048))]


def question(name: str, ask: Callable[[xr.Dataset], xr.DataArray]) -> Case:
    """One trait of a study in a store that was asked before."""

    def action(ds: xr.Dataset, folder: Path) -> object:
        source = folder / "study.zarr"
        if source not in OPENED:  # in the first run, which is not timed
            ds["kinship_loco"] = blmm.kinship(ds, loco=True).compute()
            blmm.save(ds, source)
            OPENED[source] = blmm.open_dataset(source)
        return ask(OPENED[source].isel(traits=[3])).values

    return Case(name, action, None, rotated, "rotation")


def few_case(count: int, most: float, **options: Any) -> Case:
    """The LODs of few traits against many markers."""
    name = f"{count} trait{'s' * (count > 1)}, {options.get('precision', 'double')}"
    if "method" in options:
        name += f", {options['method']}"

    def action(ds: xr.Dataset, folder: Path) -> object:
        return blmm.scan(ds.isel(traits=slice(count)), **options).lod.values

    return Case(name, action, most, rotated, "rotation")


# Studies in stores, once they are open.
OPENED: dict[Path, xr.Dataset] = {}
GRID = {"method": "null-grid"}
FINE = {"method": "null-grid", "h2_grid": np.arange(100) / 100}
SINGLE = {"precision": "single"}
ALL = (
    scan_case(NULL_EXACT, 2.0),
    scan_case("null-exact, single", 1.3, **SINGLE),
    scan_case("null-exact, REML, double", 2.0, reml=True),
    scan_case("null-grid 0.1, double", 2.0, **GRID),
    scan_case("null-grid 0.1, single", 1.3, **GRID, **SINGLE),
    scan_case("null-grid 0.01, double", 2.0, **FINE),
    scan_case("null-grid 0.01, single", 1.3, **FINE, **SINGLE),
    result_case("hits at LOD 5", lambda result: blmm.find_hits(result, threshold=5), 1.1),
    result_case("hits at FDR 5%", lambda result: blmm.find_hits(result, fdr=0.05)),
    result_case("peaks above LOD 5", lambda result: blmm.find_peaks(result, threshold=5)),
    result_case(
        "peaks on 2,000 scaffolds",
        lambda result: blmm.find_peaks(on_scaffolds(result), threshold=5),
    ),
    result_case(
        "maxima of 2,000 scaffolds",
        lambda result: blmm.max_lod(on_scaffolds(result).isel(traits=slice(0, 1000)), by="contig"),
    ),
    result_case("p-values counted", blmm.pvalue_counts),
    Case("heritability", lambda ds, folder: blmm.heritability(ds).load()),
    store_case("double", 3.2),
    store_case("single", None),
    Case(
        "maxima of 256 traits permuted",
        permute_some,
        1.3,
        products=256 * 1000 // SINGLE_TRAITS,
        single=True,
    ),
    Case("thresholds of all traits, shared", permute_shared, 1.5),
)
ALT = (
    scan_case(ALT_EXACT, 20, method="alt-exact"),
    scan_case("alt-exact, single", 12, method="alt-exact", **SINGLE),
    scan_case("alt-grid of 10 values, double", 13, method="alt-grid"),
    scan_case("alt-grid of 10 values, single", method="alt-grid", **SINGLE),
)
JOINT = (
    scan_case("7 degrees of freedom, double", 2.5 * 7),
    scan_case("7 degrees of freedom, single", 2.5 * 7, **SINGLE),
)
QUESTIONS = (
    question("null-exact", lambda ds: blmm.scan(ds).lod),
    question("null-exact, LOCO", lambda ds: blmm.scan(ds, loco=True).lod),
    question("alt-exact", lambda ds: blmm.scan(ds, method="alt-exact").lod),
    question("1,000 permutations", lambda ds: blmm.permute(ds, n_permutations=1000).max_lod),
)
FEW = (
    few_case(1, 0.75),
    few_case(1, 0.4, **SINGLE),
    few_case(2, 1.25),
    few_case(10, 1.25),
    few_case(10, 0.65, **SINGLE),
    few_case(1, 2.0, method="alt-exact"),
)
CASES = {
    "strains": ALL + ALT,
    "distinct": ALL + ALT,
    "different": ALL,
    "file": (
        Case("R/qtl2 zip read", lambda ds, folder: from_file()),
        Case("R/qtl2 zip to a finished store", file_to_store),
    ),
    "founders": JOINT,
    "founders-distinct": JOINT,
    "question": QUESTIONS,
    "few": FEW,
}


def chosen(only: str | None) -> Iterator[tuple[str, Case]]:
    """Cases where a regular expression is found in "study: name", as "strains: null-exact"."""
    for study, cases in CASES.items():
        for case in () if study == "file" and not REFERENCE.exists() else cases:
            if only is None or re.search(only, f"{study}: {case.name}"):
                yield study, case
