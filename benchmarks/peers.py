"""Other programs on the same study: time of a test beside ours, by processor time.

GEMMA takes one trait a run, from its files to its table; the others have all traits in memory, and
only their scan is timed. Each run is followed by ours, from a study in memory to the maxima of all
traits. A genome scan of one trait is timed from files to a table, as a user runs both.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from bed_reader import to_bed
from book import rounded, spread
from cases import ALT_EXACT, CASES, NULL_EXACT
from ratios import Bench
from timing import SAID, Seconds, Spread, spent_by

import bulklmm_dask as blmm

HERE = Path(__file__).resolve().parent
STUDIES = ("strains", "distinct")
NO_GEMMA = "GEMMA, for no program gemma is on the path"
UNFILTERED = ("-notsnp", "-miss", "1", "-maf", "0", "-r2", "1", "-hwe", "0")
# A genome scan of one trait, whole commands: samples and markers.
GWAS_SAMPLES, GWAS_MARKERS = 1000, 20_000


class Peer(ABC):
    """A program, and the case of ours that asks the same.

    Attributes
    ----------
    name : str
    ours : str
        Name of the case.
    traits : int
        How many of the traits a run takes.
    goal : float
        At least so many times our time of a test.
    """

    name: str
    ours: str
    traits: int
    goal: float

    @abstractmethod
    def left_out(self) -> str | None:
        """Why it cannot be timed here."""

    @abstractmethod
    def version(self) -> str: ...

    @abstractmethod
    def prepare(self, ds: xr.Dataset, folder: Path) -> None:
        """Write the study into the folder."""

    @abstractmethod
    def run(self, folder: Path, threads: int) -> Seconds: ...


def gemma_version(program: str) -> str:
    said = subprocess.run([program], capture_output=True, text=True).stdout
    return next(word for line in said.splitlines() if "GEMMA" in line for word in line.split()[1:2])


@dataclass
class Gemma(Peer):
    """GEMMA on BIMBAM files: one trait a run, the whole command."""

    test: str
    name: str
    ours: str = ALT_EXACT
    traits: int = 1
    goal: float = 1000

    def __post_init__(self) -> None:
        self._program = shutil.which("gemma")

    def left_out(self) -> str | None:
        return None if self._program else NO_GEMMA

    def version(self) -> str:
        return gemma_version(self._program)

    def prepare(self, ds: xr.Dataset, folder: Path) -> None:
        dosage = np.char.mod("%g", 2 * ds.call_dosage.values.astype(float))
        rows = (f"m{i}, A, B, " + ", ".join(row) for i, row in enumerate(dosage))
        (folder / "geno.txt").write_text("\n".join(rows) + "\n")
        np.savetxt(folder / "kin.txt", ds.kinship.values, fmt="%.17g")
        np.savetxt(folder / "pheno.txt", ds.sample_trait.values[:, :1], fmt="%.17g")

    def run(self, folder: Path, threads: int) -> Seconds:
        files = ["-g", "geno.txt", "-p", "pheno.txt", "-k", "kin.txt"]
        return spent_by([self._program, *files, "-lmm", self.test, *UNFILTERED], folder, threads)


class InMemory(Peer):
    """A program that scans arrays that it has in memory: a script prints what that took.

    Attributes
    ----------
    script : str
        Beside this module; its last line has the version, and seconds by the clock and of the
        processor.
    flags : tuple of str
        Options of its interpreter.
    test : tuple of str
        Arguments that fail where the program is not there.
    absent : str
        Why it is left out if that fails.
    """

    ours, goal = NULL_EXACT, 500
    script: str
    flags: tuple[str, ...] = ()
    test: tuple[str, ...]
    absent: str

    def __init__(self, program: str | None) -> None:
        self._program, self._version = program, ""

    def left_out(self) -> str | None:
        if self._program is None:
            return self.absent
        try:
            tried = subprocess.run([self._program, *self.flags, *self.test], capture_output=True)
        except OSError:
            return self.absent
        return self.absent if tried.returncode else None

    def version(self) -> str:
        return self._version

    def prepare(self, ds: xr.Dataset, folder: Path) -> None:
        traits = ds.sample_trait.values[:, : self.traits]
        self._sizes = (ds.sizes["samples"], ds.sizes["variants"], traits.shape[1])
        # Columns one after another: samples x markers, samples x traits, samples x samples.
        dosage = ds.call_dosage.transpose("variants", "samples")
        for name, columns in (("dosage", dosage), ("traits", traits.T), ("kinship", ds.kinship)):
            np.asarray(columns, float).tofile(folder / f"{name}.bin")

    def run(self, folder: Path, threads: int) -> Seconds:
        script = [str(HERE / self.script), *map(str, self._sizes)]
        spent_by([self._program, *self.flags, *script], folder, threads)
        last = (folder / SAID).read_text().splitlines()[-1]
        self._version, clock, processor = last.split()
        return Seconds(float(clock), float(processor))


class FastLmm(InMemory):
    """FaST-LMM, in an environment of its own."""

    name, traits, script = "FaST-LMM single_snp", 20, "peer_fastlmm.py"
    flags = ("-I",)  # its own packages only
    test = ("-c", "from fastlmm.association import single_snp")
    absent = "FaST-LMM, for --fastlmm names no Python that can import fastlmm"


class Qtl2(InMemory):
    """R/qtl2, where R has it."""

    name, traits, script = "R/qtl2 scan1", 100, "peer_qtl2.R"
    test = ("-e", "library(qtl2)")
    absent = "R/qtl2, for there is no Rscript whose R has the package qtl2"


def known(options: argparse.Namespace) -> tuple[Peer, ...]:
    return (
        Gemma("2", "GEMMA -lmm 2"),
        Gemma("1", "GEMMA -lmm 1"),
        FastLmm(None if options.fastlmm is None else str(options.fastlmm)),
        Qtl2(shutil.which("Rscript")),
    )


def beside(bench: Bench, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Figures of every program that is here; of the others, why they are left out."""
    for peer in known(options):
        why = peer.left_out()
        if why is not None:
            yield {"peer": peer.name, "study": "", "left_out": why}
            continue
        for study in STUDIES:
            yield _timed(bench, peer, study, options)
    yield _genome_scan(bench.folder, options)


def _timed(bench: Bench, peer: Peer, study: str, options: argparse.Namespace) -> dict[str, Any]:
    ds = bench.study(study)
    (case,) = (case for case in CASES[study] if case.name == peer.ours)
    folder = bench.folder / study / "peer"
    folder.mkdir()
    peer.prepare(ds, folder)
    bench.run(study, case)  # imports, caches
    pairs = [
        (peer.run(folder, options.threads), bench.run(study, case)) for _ in range(options.repeats)
    ]
    shutil.rmtree(folder)
    markers = ds.sizes["variants"]
    traits = min(peer.traits, ds.sizes["traits"])
    tests = (markers * traits, markers * ds.sizes["traits"])
    named = {"peer": peer.name, "version": peer.version(), "study": study, "ours": peer.ours}
    return named | {"traits": traits} | _figures(pairs, tests, peer.goal)


def _figures(
    pairs: list[tuple[Seconds, Seconds]], tests: tuple[int, int], goal: float | None
) -> dict[str, Any]:
    """Nanoseconds a test of both, of so many tests each, and how many times theirs is of ours."""
    theirs = [run.processor / tests[0] * 1e9 for run, _ in pairs]
    ours = [run.processor / tests[1] * 1e9 for _, run in pairs]
    return {
        "ns": rounded(Spread.of(theirs).median),
        "ours_ns": rounded(Spread.of(ours).median),
        "times": spread(Spread.of(np.divide(theirs, ours))),
        "goal": goal,
    }


def _plink(folder: Path) -> None:
    """An F2 of one trait in PLINK files, the trait in the .fam file."""
    ds = blmm.simulate_study(
        n_samples=GWAS_SAMPLES,
        n_strains=None,
        n_variants=GWAS_MARKERS,
        n_traits=1,
        cross="f2",
        seed=1,
    )
    count = np.rint(2 * ds.call_dosage.transpose("samples", "variants").values.astype(float))
    names = ds.variant_id.values.astype(str)
    to_bed(
        folder / "study.bed",
        count,
        {
            "fid": ds.sample_id.values.astype(str),
            "iid": ds.sample_id.values.astype(str),
            "pheno": [repr(float(value)) for value in ds.sample_trait.values[:, 0]],
            "sid": names,
            "chromosome": (ds.variant_contig.values + 1).astype(str),
            "bp_position": np.arange(1, names.size + 1),
            "allele_1": ["A"] * names.size,
            "allele_2": ["G"] * names.size,
        },
        num_threads=1,
    )


def _genome_scan(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One trait from PLINK files to a table of alt-exact LODs: kinship and scan, whole commands."""
    name = "GEMMA -gk 1 and -lmm 2"
    program = shutil.which("gemma")
    if program is None:
        return {"peer": name, "study": "", "left_out": NO_GEMMA}
    folder = folder / "gwas"
    folder.mkdir()
    _plink(folder)
    gemma = [program, "-bfile", "study"]
    kinship = ["output/result.cXX.txt", "-lmm", "2"]
    ours = [sys.executable, "-m", "bulklmm_dask", "hits", "study.bed", "--kinship", "centered"]
    ours += ["--method", "alt-exact", "--threshold", "0"]
    ours += ["--out", "hits.csv", "--overwrite"]

    def theirs() -> Seconds:
        first = spent_by([*gemma, "-gk", "1", *UNFILTERED[1:]], folder, options.threads)
        return first + spent_by([*gemma, "-k", *kinship, *UNFILTERED[1:]], folder, options.threads)

    pairs = [(theirs(), spent_by(ours, folder, options.threads)) for _ in range(options.repeats)]
    shutil.rmtree(folder)
    named = {"peer": name, "version": gemma_version(program), "study": "gwas"}
    figures = _figures(pairs, (GWAS_MARKERS, GWAS_MARKERS), None)
    return named | {"ours": "bulklmm hits --method alt-exact", "traits": 1} | figures
