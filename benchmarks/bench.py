"""Speed as a ratio to the bare float64 matrix product of the same size, in the same run.

The machine's speed drifts, so the product is timed again before every run of a case; a ratio is
the median over such pairs.

Usage: python benchmarks/bench.py [--traits M] [--study bxd.zip] [--repeats R] [--threads T]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from dask import config
from threadpoolctl import threadpool_limits

import bulklmm_dask as blmm

N_SAMPLES, N_VARIANTS = 248, 7321
# Tests of several columns take long: no more traits than a block of a scan has.
JOINT_TRAITS = 8192
REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference" / "bxd" / "bxd.zip"


STUDIES = (
    (50, False, "248 samples of 50 strains: copies among samples and markers are scanned once"),
    (None, False, "248 distinct samples"),
    (None, True, "248 distinct samples, every marker different (genotype probabilities)"),
)


def blur(dosage: xr.DataArray) -> xr.DataArray:
    noise = np.random.default_rng(2).uniform(0, 1e-3, dosage.shape)
    return dosage.copy(data=np.abs(dosage.values - noise)).assign_attrs(dosage.attrs)


def seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


class Yardstick:
    """The bare product p x n x m, in float64 if nothing else is said, timed beside each case."""

    def __init__(
        self, n_traits: int, repeats: int, threads: int, dtype: type[np.floating] = np.float64
    ) -> None:
        rng = np.random.default_rng(0)
        self.left = rng.standard_normal((N_VARIANTS, N_SAMPLES)).astype(dtype)
        self.right = rng.standard_normal((N_SAMPLES, n_traits)).astype(dtype)
        self.out = np.empty((N_VARIANTS, n_traits), dtype)
        self.repeats, self.threads = repeats, threads
        self.product()  # touches its memory

    def product(self) -> float:
        with threadpool_limits(self.threads, user_api="blas"):
            return seconds(lambda: np.matmul(self.left, self.right, out=self.out))

    def case(
        self,
        name: str,
        action: Callable[[], object],
        most: float | None = None,
        products: int = 1,
    ) -> None:
        """Time `action` as a ratio to so many products."""
        action()  # imports, caches
        pairs = []
        for _ in range(self.repeats):
            product = products * min(self.product(), self.product())
            pairs.append((seconds(action), product))
        wall = np.median([pair[0] for pair in pairs])
        ratios = sorted(taken / product for taken, product in pairs)
        goal = "" if most is None else f"  at most {most}"
        print(
            f"{name:52s} {wall:6.2f} s  ratio {np.median(ratios):5.2f} "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f}){goal}",
            flush=True,
        )


def maxima(ds: xr.Dataset, **options: Any) -> np.ndarray:
    return blmm.scan(ds, **options).lod.max("variants").values


def null_cases() -> Iterator[tuple[str, dict[str, Any], float | None]]:
    single = {"precision": "single"}
    grid = {"method": "null-grid"}
    fine = {**grid, "h2_grid": np.arange(100) / 100}
    yield "null-exact, double", {}, 2.0
    yield "null-exact, single", single, 1.3
    yield "null-exact, REML, double", {"reml": True}, 2.0
    yield "null-grid 0.1, double", grid, 2.0
    yield "null-grid 0.1, single", grid | single, 1.3
    yield "null-grid 0.01, double", fine, 2.0
    yield "null-grid 0.01, single", fine | single, 1.3


def in_memory(ds: xr.Dataset, yardstick: Yardstick) -> None:
    """Scans of a study in memory, h2 estimation included, reduced to the maximum per trait."""
    for name, options, most in null_cases():
        yardstick.case(name, lambda options=options: maxima(ds, **options), most)
    hits(ds)
    part = ds.isel(traits=slice(0, 4096))
    double, single = (blmm.scan(part, precision=p).lod.values for p in ("double", "single"))
    gap = np.abs(single - double)[double < 100].max()
    print(f"largest difference of single from double precision: {gap:.1e}  at most 1e-4")


def hits(ds: xr.Dataset, repeats: int = 15) -> None:
    """What finding hits adds to a scan: the median over pairs of runs, side by side."""
    result = blmm.scan(ds)
    cases = {
        "hits at LOD 5": lambda: blmm.find_hits(result, threshold=5),
        "hits at a false discovery rate of 5%": lambda: blmm.find_hits(result, fdr=0.05),
        "p-values counted": lambda: blmm.pvalue_counts(result),
    }
    most = {"hits at LOD 5": 1.1}
    for name, action in cases.items():
        action()
        ratios = sorted(
            seconds(action) / seconds(lambda: result.lod.max("variants").values)
            for _ in range(repeats)
        )
        goal = f"  at most {most[name]}" if name in most else ""
        print(
            f"{name:52s} {np.median(ratios):5.2f} times the scan reduced to maxima "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f}){goal}",
            flush=True,
        )


def alternative(ds: xr.Dataset, yardstick: Yardstick) -> None:
    """The alt methods, refinement included, reduced to the maximum per trait."""
    single = {"precision": "single"}
    for name, options, most in (
        ("alt-exact, double", {"method": "alt-exact"}, 20),
        ("alt-exact, single", {"method": "alt-exact"} | single, 12),
        ("alt-grid of 10 values, double", {"method": "alt-grid"}, 13),
        ("alt-grid of 10 values, single", {"method": "alt-grid"} | single, None),
    ):
        yardstick.case(name, lambda options=options: maxima(ds, **options), most)
    result = blmm.scan(ds.isel(traits=slice(0, 4096)), method="alt-exact")
    share = float(result.refined.mean())
    print(f"alt-exact refined {share:.2%} of the pairs one by one")


def gemma(ds: xr.Dataset, n_traits: int) -> None:
    """Wall time per trait of GEMMA's likelihood ratio test, where GEMMA is installed."""
    program = shutil.which("gemma")
    if program is None:
        print("gemma is not installed: no time of it")
        return
    n_variants = ds.sizes["variants"]
    with tempfile.TemporaryDirectory() as folder:
        dosage = np.char.mod("%g", 2 * ds.call_dosage.values.astype(float))
        names = ds.variant_id.values
        rows = (f"{names[i]}, A, B, " + ", ".join(dosage[i]) for i in range(n_variants))
        Path(folder, "geno.txt").write_text("\n".join(rows) + "\n")
        np.savetxt(Path(folder, "kin.txt"), ds.kinship.values)
        np.savetxt(Path(folder, "pheno.txt"), ds.sample_trait.values[:, :n_traits])
        filters = ["-notsnp", "-miss", "1", "-maf", "0", "-r2", "1", "-hwe", "0"]
        command = [
            program,
            *["-g", "geno.txt", "-p", "pheno.txt", "-k", "kin.txt", "-lmm", "2"],
            *filters,
        ]
        times = [
            seconds(
                lambda trait=trait: subprocess.run(
                    [*command, "-n", str(trait + 1)], cwd=folder, check=True, capture_output=True
                )
            )
            for trait in range(n_traits)
        ]
    print(f"GEMMA -lmm 2: {np.median(times):.2f} s a trait, median of {n_traits}")


def founders(n_strains: int | None, n_traits: int) -> xr.Dataset:
    """A study with probabilities of 8 founder alleles: mosaics, none of them certain."""
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


def joint(n_strains: int | None, yardstick: Yardstick) -> None:
    """Tests of 7 degrees of freedom from 8 founder alleles, reduced to the maximum per trait."""
    ds = founders(n_strains, JOINT_TRAITS)
    for precision in ("double", "single"):
        yardstick.case(
            f"8 founder alleles, 7 df, {precision}",
            lambda precision=precision: maxima(ds, precision=precision),
            2.5 * 7,
        )


def permutations(ds: xr.Dataset, yardstick: Yardstick) -> None:
    """Maxima of 1,000 permutations: of some traits, each its own, and of all from a shared null."""
    single = Yardstick(32_000, yardstick.repeats, yardstick.threads, np.float32)
    some = ds.isel(traits=slice(0, 256))
    single.case(
        "maxima of 256 traits, to the single product",
        lambda: blmm.permute(some, n_permutations=1000).max_lod.compute(),
        1.3,
        products=256 * 1000 // 32_000,
    )
    yardstick.case(
        "thresholds of all traits, shared",
        lambda: blmm.thresholds(blmm.permute(ds, n_permutations=1000, method="shared")),
        1.5,
    )


def from_zarr_to_zarr(ds: xr.Dataset, yardstick: Yardstick) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "study.zarr"
        blmm.save(ds, source)
        names = (Path(folder) / f"lods{number}.zarr" for number in count())
        for precision, most in (("double", 3.2), ("single", None)):
            yardstick.case(
                f"Zarr study to Zarr LODs, {precision}",
                lambda precision=precision: blmm.scan(
                    blmm.open_dataset(source), precision=precision, store=next(names)
                ),
                most,
            )


def real_study(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", blmm.StudyWarning)
        began = time.perf_counter()
        ds = blmm.read_rqtl2(path)
        reading = time.perf_counter() - began
        ds["kinship"] = blmm.kinship(ds)
        result = blmm.scan(ds, store=Path(folder) / "lods.zarr")
        taken = time.perf_counter() - began
    tests = result.sizes["variants"] * result.sizes["traits"]
    print(
        f"{path.name}: {result.sizes['traits']:,} traits, {tests:,} tests, from the file to a "
        f"finished store {taken:.1f} s, reading {reading:.1f} s of it  at most 60 s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traits", type=int, default=32445)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--study", type=Path, default=REFERENCE)
    options = parser.parse_args()
    config.set(scheduler="threads", num_workers=options.threads)
    yardstick = Yardstick(options.traits, options.repeats, options.threads)
    product = yardstick.product()
    size = f"{N_VARIANTS} x {N_SAMPLES} x {options.traits}"
    print(
        f"bare float64 product {size}, {options.threads} threads: {product:.2f} s "
        f"({2e-9 * N_SAMPLES * N_VARIANTS * options.traits / product:.0f} Gflop/s)"
    )
    for strains, noise, words in STUDIES:
        print(f"\n{words}")
        ds = blmm.simulate_study(n_traits=options.traits, n_strains=strains, seed=1)
        if noise:
            ds["call_dosage"] = blur(ds.call_dosage)
        ds["kinship"] = blmm.kinship(ds).compute()
        in_memory(ds, yardstick)
        from_zarr_to_zarr(ds, yardstick)
        permutations(ds, yardstick)
        if strains is not None:
            alternative(ds, yardstick)
            gemma(ds, 3)
    print(f"\nSeveral columns at once, {JOINT_TRAITS} traits")
    few = Yardstick(JOINT_TRAITS, options.repeats, options.threads)
    for strains, _, words in STUDIES[:2]:
        print(words.partition(":")[0])
        joint(strains, few)
    print()
    if options.study.exists():
        real_study(options.study)
    else:
        print(f"no {options.study}: the real study is left out")


if __name__ == "__main__":
    main()
