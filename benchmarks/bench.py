"""Speed as a ratio to the bare float64 matrix product of the same size, in the same run.

Usage: python benchmarks/bench.py [--traits M] [--study bxd.zip] [--repeats R]
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr
from dask import config
from threadpoolctl import threadpool_limits

import bulklmm_dask as blmm

THREADS = 2
REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference" / "bxd" / "bxd.zip"


def best_of(repeats: int, action: Callable[[], object]) -> float:
    """Shortest wall time: what the machine can do, not what disturbed it."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return min(times)


def bare_product(n: int, p: int, m: int, repeats: int) -> float:
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((p, n)), rng.standard_normal((n, m))
    out = np.empty((p, m))
    with threadpool_limits(THREADS, user_api="blas"):
        return best_of(repeats + 1, lambda: np.matmul(left, right, out=out))


def study_of(n_traits: int, n_strains: int | None) -> xr.Dataset:
    ds = blmm.simulate_study(n_traits=n_traits, n_strains=n_strains, seed=1)
    ds["kinship"] = blmm.kinship(ds).compute()
    return ds


def maxima(ds: xr.Dataset, **options: object) -> np.ndarray:
    return blmm.scan(ds, **options).lod.max("variants").values


def report(name: str, seconds: float, product: float, most: float | None) -> None:
    goal = "" if most is None else f"  (at most {most})"
    print(f"{name:58s} {seconds:7.2f} s  ratio {seconds / product:5.2f}{goal}", flush=True)


def in_memory(ds: xr.Dataset, product: float, repeats: int, label: str) -> None:
    fine = np.arange(100) / 100
    cases = [
        ("null-exact, double", {}, 2.0),
        ("null-exact, single", {"precision": "single"}, 1.3),
        ("null-exact REML, double", {"reml": True}, None),
        ("null-grid 0.1, double", {"method": "null-grid"}, 2.0),
        ("null-grid 0.1, single", {"method": "null-grid", "precision": "single"}, 1.3),
        ("null-grid 0.01, double", {"method": "null-grid", "h2_grid": fine}, 2.0),
    ]
    for name, options, most in cases:
        seconds = best_of(repeats, lambda options=options: maxima(ds, **options))
        report(f"{label}: {name}, maximum per trait", seconds, product, most)
    double = blmm.scan(ds).lod.isel(traits=slice(0, 4096)).values
    single = blmm.scan(ds, precision="single").lod.isel(traits=slice(0, 4096)).values
    below = double < 100
    print(
        f"{label}: largest |single - double| of LODs under 100: "
        f"{np.abs(single - double)[below].max():.1e}"
    )


def from_zarr_to_zarr(ds: xr.Dataset, product: float, repeats: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "study.zarr"
        blmm.save(ds, source)
        for precision, most in (("double", 3.2), ("single", None)):
            count = iter(range(100))

            def run(precision: str = precision, count: object = count) -> None:
                target = Path(folder) / f"{precision}{next(count)}.zarr"
                blmm.scan(blmm.open_dataset(source), precision=precision, store=target)

            name = f"from Zarr study to Zarr LODs, {precision}"
            report(name, best_of(repeats, run), product, most)


def real_study(path: Path) -> None:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", blmm.StudyWarning)
        ds = blmm.read_rqtl2(path)
        read = time.perf_counter()
        ds["kinship"] = blmm.kinship(ds)
        result = blmm.scan(ds, store=Path(folder) / "lods.zarr")
        done = time.perf_counter()
    tests = result.sizes["variants"] * result.sizes["traits"]
    print(
        f"{path.name}: {result.sizes['traits']:,} traits, {tests:,} tests, zip file to finished "
        f"store {done - began:.1f} s (reading {read - began:.1f} s; at most 60 s)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traits", type=int, default=32445)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--study", type=Path, default=REFERENCE)
    options = parser.parse_args()
    config.set(scheduler="threads", num_workers=THREADS)
    n, p, m = 248, 7321, options.traits
    product = bare_product(n, p, m, options.repeats)
    print(
        f"bare float64 product {p} x {n} x {m}, {THREADS} threads: {product:.2f} s "
        f"({2e-9 * n * p * m / product:.0f} Gflop/s)"
    )
    replicated = study_of(m, 50)
    in_memory(replicated, product, options.repeats, "248 samples of 50 strains")
    from_zarr_to_zarr(replicated, product, options.repeats)
    in_memory(study_of(m, None), product, options.repeats, "248 distinct samples")
    if options.study.exists():
        real_study(options.study)
    else:
        print(f"no {options.study}: the real study is left out")


if __name__ == "__main__":
    main()
