"""Cost of several random effects: scans in bulk beside a bare product, and single traits.

All times are of the processor. Scans of many traits are ratios to a double product of as many
markers and traits. Single traits, which grow with the cube of the samples, are in ms, beside
`gemma -vc 2` on the same kernels, where that program is installed; its time includes reading.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import numpy as np
import xarray as xr

import bulklmm_dask as blmm

N_SAMPLES, N_VARIANTS, TOGETHER = 248, 7321, 4096
GROUPS = {"cage": 20, "batch": 8, "room": 13, "diet": 5}


def busy(action: Callable[[], object]) -> float:
    """Processor time of an action, in seconds."""
    began = time.process_time()
    action()
    return time.process_time() - began


def study(n: int, strains: int | None, traits: int) -> xr.Dataset:
    """Traits with effects of a genome and of groups."""
    ds = blmm.simulate_study(
        n_samples=n, n_strains=strains, n_variants=N_VARIANTS, n_traits=traits, seed=1
    )
    ds["kinship"] = blmm.kinship(ds).compute()
    rng = np.random.default_rng(1)
    for name, count in GROUPS.items():
        label = rng.integers(count, size=n)
        ds[f"sample_{name}"] = ("samples", [f"{name}{one}" for one in label])
        effect = rng.uniform(0, 0.8, traits) * rng.standard_normal((count, traits))
        ds["sample_trait"] = ds.sample_trait + effect[label]
    return ds


def kernels(count: int) -> dict[str, Any]:
    """The kinship and groups, so many in all."""
    return {"additive": "kinship", **{name: name for name in list(GROUPS)[: count - 1]}}


def in_bulk(strains: int | None, traits: int) -> None:
    """Ratios of scans, reduced to maxima, to the bare product."""
    ds = study(N_SAMPLES, strains, traits)
    left, right = np.ones((N_VARIANTS, N_SAMPLES)), np.ones((N_SAMPLES, TOGETHER))
    for count in (1, 2, 3):
        bare = min(busy(lambda: left @ right) for _ in range(3)) * traits / TOGETHER
        took = busy(
            lambda count=count: blmm.scan(ds, kinship=kernels(count)).lod.max("variants").compute()
        )
        kind = "distinct samples" if strains is None else f"{strains} strains"
        print(f"{kind}, {count} kernels, {traits} traits: {took / bare:.1f} products", flush=True)


def alone() -> None:
    """One trait by itself, by samples and by kernels."""
    for n in (248, 500, 1000, 2000):
        ds = study(n, None, 2).isel(traits=[0])
        for count in range(1, 6) if n == N_SAMPLES else (2, 3):
            blmm.heritability(ds, kinship=kernels(count)).load()
            fit = busy(lambda ds=ds, k=count: blmm.heritability(ds, kinship=kernels(k)).load())
            scan = busy(lambda ds=ds, k=count: blmm.scan(ds, kinship=kernels(k)).lod.load())
            print(
                f"{n} samples, {count} kernels, one trait: shares {1e3 * fit:.0f} ms, "
                f"scan of {N_VARIANTS} markers {1e3 * scan:.0f} ms",
                flush=True,
            )


def gemma() -> None:
    """Shares of one trait by `gemma -vc 2`."""
    program = shutil.which("gemma")
    if program is None:
        print("gemma is not installed")
        return
    ds = study(N_SAMPLES, None, 2)
    matrices = [ds.kinship.values]
    for name in list(GROUPS)[:2]:
        label = ds[f"sample_{name}"].values
        matrices.append(np.equal.outer(label, label).astype(float))
    for count in (2, 3):
        with tempfile.TemporaryDirectory() as folder:
            where = Path(folder)
            np.savetxt(where / "y.txt", ds.sample_trait.values[:, 0])
            names = [str(where / f"k{k}.txt") for k in range(count)]
            for name, matrix in zip(names, matrices, strict=False):
                np.savetxt(name, matrix)
            (where / "kernels.txt").write_text("\n".join(names) + "\n")
            command = [program, "-p", "y.txt", "-mk", "kernels.txt", "-vc", "2", "-o", "out"]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, cwd=where, capture_output=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"gemma -vc 2, {N_SAMPLES} samples, {count} kernels: {1e3 * took:.0f} ms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traits", type=int, default=8192, help="traits of scans in bulk")
    parser.add_argument("--only", choices=["bulk", "alone", "gemma"], help="one part")
    options = parser.parse_args()
    with dask.config.set(scheduler="synchronous"):
        if options.only in (None, "bulk"):
            in_bulk(50, options.traits)
            in_bulk(None, options.traits)
        if options.only in (None, "alone"):
            alone()
        if options.only in (None, "gemma"):
            gemma()


if __name__ == "__main__":
    main()
