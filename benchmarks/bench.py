"""Speed of the package: each case as a ratio to a bare matrix product, or to another checkout.

The speed of a machine drifts. So a matrix product of the same size is timed right before each run
of a case, and a ratio is the median over such pairs. With --against, each case runs in turn in this
checkout and in another one, each in a process of its own, and the ratios are those of the medians
of their times, by the clock and of the processor: above 1 this checkout is slower. Where other
programs run on the machine, the clock also measures these; processor time does so far less.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from dask import config
from threadpoolctl import threadpool_limits

import bulklmm_dask as blmm

HERE = Path(__file__).resolve().parents[1]
REFERENCE = HERE.parent / "shared" / "reference" / "bxd" / "bxd.zip"
N_SAMPLES, N_VARIANTS = 248, 7321
# Tests of several columns take long: no more traits than a block of a scan has.
JOINT_TRAITS = 8192
SINGLE_TRAITS = 32_000  # of the product that permutations are compared with
# Samples and markers of a scan of few traits.
FEW_SAMPLES, FEW_MARKERS = 1000, 40_000
NUMBER = count()


def seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


@dataclass(frozen=True)
class Study:
    """A study that cases run on: a title, and how to make it for a number of traits."""

    title: str
    make: Callable[[int], xr.Dataset]


def simulated(n_strains: int | None, *, blurred: bool = False) -> Callable[[int], xr.Dataset]:
    def make(n_traits: int) -> xr.Dataset:
        ds = blmm.simulate_study(n_traits=n_traits, n_strains=n_strains, seed=1)
        if blurred:
            noise = np.random.default_rng(2).uniform(0, 1e-3, ds.call_dosage.shape)
            ds["call_dosage"] = ds.call_dosage.copy(data=np.abs(ds.call_dosage.values - noise))
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
    products : int
        How many matrix products the action is compared with.
    single : bool
        Whether these are products in single precision, of SINGLE_TRAITS traits.
    """

    name: str
    action: Callable[[xr.Dataset, Path], object]
    most: float | None = None
    base: Callable[[xr.Dataset], object] | None = None
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
    return Case(name, lambda ds, folder: find(blmm.scan(ds)), most, base=maxima)


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

    return Case(name, action, base=rotated)


def few_case(count: int, most: float, **options: Any) -> Case:
    """The LODs of few traits against many markers."""
    name = f"{count} trait{'s' * (count > 1)}, {options.get('precision', 'double')}"
    if "method" in options:
        name += f", {options['method']}"

    def action(ds: xr.Dataset, folder: Path) -> object:
        return blmm.scan(ds.isel(traits=slice(count)), **options).lod.values

    return Case(name, action, most, base=rotated)


# Studies in stores, once they are open.
OPENED: dict[Path, xr.Dataset] = {}
GRID = {"method": "null-grid"}
FINE = {"method": "null-grid", "h2_grid": np.arange(100) / 100}
SINGLE = {"precision": "single"}
ALL = (
    scan_case("null-exact, double", 2.0),
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
    scan_case("alt-exact, double", 20, method="alt-exact"),
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
    "distinct": ALL,
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


class Bench:
    """Studies, one at a time, and runs of cases on them."""

    def __init__(self, n_traits: int, folder: Path) -> None:
        self.n_traits, self.folder = n_traits, folder
        self._name, self._ds = "", xr.Dataset()

    def study(self, name: str) -> xr.Dataset:
        if name != self._name:
            self._ds = xr.Dataset()  # free its memory first
            shutil.rmtree(self.folder / self._name, ignore_errors=True)
            (self.folder / name).mkdir(parents=True)
            self._name, self._ds = name, STUDIES[name].make(self.n_traits)
        return self._ds

    def run(self, study: str, case: Case) -> tuple[float, float]:
        """Seconds by the clock, and of the processor, that a case takes."""
        ds = self.study(study)
        folder = self.folder / study
        before = time.process_time()
        try:
            wall = seconds(lambda: case.action(ds, folder))
            return wall, time.process_time() - before
        finally:
            for store in folder.glob("lods*.zarr"):
                shutil.rmtree(store)


class Product:
    """The bare product (variants x samples) times (samples x traits)."""

    def __init__(self, n_traits: int, threads: int, dtype: type[np.floating]) -> None:
        rng = np.random.default_rng(0)
        self._left = rng.standard_normal((N_VARIANTS, N_SAMPLES)).astype(dtype)
        self._right = rng.standard_normal((N_SAMPLES, n_traits)).astype(dtype)
        self._out = np.empty((N_VARIANTS, n_traits), dtype)
        self._threads = threads
        self.run()  # touches its memory

    def run(self) -> float:
        with threadpool_limits(self._threads, user_api="blas"):
            return seconds(lambda: np.matmul(self._left, self._right, out=self._out))


def beside_products(bench: Bench, options: argparse.Namespace) -> None:
    """Print every case as a ratio to its base."""
    made: dict[tuple[int, type], Product] = {}

    def product(n_traits: int, dtype: type[np.floating]) -> Product:
        key = (n_traits, dtype)
        if key not in made:
            made.clear()
            made[key] = Product(n_traits, options.threads, dtype)
        return made[key]

    before = ""
    for study, case in chosen(options.only):
        ds = bench.study(study)
        if study != before:
            print(f"\n{STUDIES[study].title}, {ds.sizes['traits']} traits", flush=True)
            before = study
        size = (SINGLE_TRAITS, np.float32) if case.single else (ds.sizes["traits"], np.float64)
        bench.run(study, case)  # imports, caches
        pairs = []
        for _ in range(options.repeats):
            if case.base is None:
                base = case.products * min(product(*size).run() for _ in range(2))
            else:
                base = seconds(lambda case=case, ds=ds: case.base(ds))
            pairs.append((bench.run(study, case)[0], base))
        ratios = sorted(taken / base for taken, base in pairs)
        wall = np.median([taken for taken, _ in pairs])
        of = {None: "", maxima: " to the scan reduced to maxima"}.get(case.base, " to the rotation")
        goal = "" if case.most is None else f"  at most {case.most}"
        print(
            f"{case.name:34s} {wall:6.2f} s  ratio {np.median(ratios):5.2f} "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f}){of}{goal}",
            flush=True,
        )


class Worker:
    """A process that runs cases in one checkout."""

    def __init__(self, tree: Path, options: argparse.Namespace) -> None:
        arguments = ["--traits", str(options.traits), "--threads", str(options.threads), "--serve"]
        self._process = subprocess.Popen(
            [sys.executable, __file__, *arguments],
            env=os.environ | {"PYTHONPATH": str(tree)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        package = Path(self._answer())
        if not package.is_relative_to(tree):
            raise SystemExit(f"{tree} holds no package bulklmm_dask: {package} was imported")

    def _answer(self) -> str:
        line = self._process.stdout.readline().strip()
        if not line:
            raise SystemExit("a benchmark process has ended: see its error above")
        return line

    def run(self, study: str, case: Case) -> tuple[float, float]:
        self._process.stdin.write(f"{study}\t{case.name}\n")
        self._process.stdin.flush()
        wall, processor = self._answer().split()
        return float(wall), float(processor)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def serve(bench: Bench) -> None:
    """Run the cases named on standard input; answer with their seconds."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed must not pass for an answer
    print(Path(blmm.__file__).resolve().parent, file=answers, flush=True)
    for line in sys.stdin:
        study, name = line.rstrip("\n").split("\t")
        (case,) = (case for case in CASES[study] if case.name == name)
        print(*bench.run(study, case), file=answers, flush=True)


def beside_checkout(tree: Path, options: argparse.Namespace) -> None:
    """Print every case in this checkout as a ratio to another one, which runs in turn with it."""
    trees = (HERE, tree.resolve())
    workers = [Worker(one, options) for one in trees]
    print(f"{trees[0]} beside {trees[1]}, medians of {options.repeats} runs in turn", flush=True)
    before, slower = "", []
    for study, case in chosen(options.only):
        if study != before:
            print(f"\n{STUDIES[study].title}", flush=True)
            before = study
        for worker in workers:
            worker.run(study, case)  # makes the study; imports, caches
        runs = np.empty((options.repeats, 2, 2))  # of each checkout, by the clock and the processor
        for repeat in range(options.repeats):
            for i in (0, 1) if repeat % 2 else (1, 0):
                runs[repeat, i] = workers[i].run(study, case)
        new, old = np.median(runs, axis=0)
        wall, processor = new / old
        best, least = runs[:, 0].min(axis=0) / runs[:, 1].min(axis=0)
        slower += [f"{study}: {case.name}"] if processor > 1.05 else []
        print(
            f"{case.name:34s} {new[0]:7.3f} s beside {old[0]:7.3f} s  ratio {wall:5.3f} "
            f"(of the fastest runs {best:5.3f})  processor {processor:5.3f} ({least:5.3f})",
            flush=True,
        )
    for worker in workers:
        worker.close()
    print(f"\nslower by more than 5% of processor time: {', '.join(slower) or 'none'}")


def accuracy(bench: Bench) -> None:
    """Print how far single precision is off, and how many pairs alt-exact refines."""
    part = bench.study("strains").isel(traits=slice(0, 4096))
    double, single = (blmm.scan(part, precision=p).lod.values for p in ("double", "single"))
    gap = np.abs(single - double)[double < 100].max()
    print(f"\nlargest difference of single from double precision: {gap:.1e}  at most 1e-4")
    share = float(blmm.scan(part, method="alt-exact").refined.mean())
    print(f"alt-exact refined {share:.2%} of the pairs one by one")


def gemma(ds: xr.Dataset, n_traits: int) -> None:
    """Print the time per trait of GEMMA's likelihood ratio test, where GEMMA is installed."""
    program = shutil.which("gemma")
    if program is None:
        print("gemma is not installed: it is left out")
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="CHECKOUT",
        help="compare with the package in this folder, another checkout, instead of with products",
    )
    parser.add_argument(
        "--only", metavar="REGEX", help='only cases whose "STUDY: NAME" it is found in; see --list'
    )
    parser.add_argument("--list", action="store_true", help="list the cases and stop")
    parser.add_argument("--traits", type=int, default=32445, help="default: %(default)s")
    parser.add_argument("--repeats", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{study}: {case.name}" for study, case in chosen(options.only)))
        return
    config.set(scheduler="threads", num_workers=options.threads)
    warnings.simplefilter("ignore", blmm.StudyWarning)
    if options.against is not None:
        beside_checkout(options.against, options)
        return
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options.traits, Path(folder))
        if options.serve:
            serve(bench)
            return
        beside_products(bench, options)
        if options.only is None:
            accuracy(bench)
            gemma(bench.study("strains"), 3)


if __name__ == "__main__":
    main()
