"""Cases in this checkout beside the same in another one."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from cases import CASES, Case, chosen
from ratios import Bench
from simulated import HERE, STUDIES

import bulklmm_dask as blmm

BENCH = Path(__file__).with_name("bench.py")


class Worker:
    """A process that runs cases in one checkout."""

    def __init__(self, tree: Path, options: argparse.Namespace) -> None:
        arguments = ["--traits", str(options.traits), "--threads", str(options.threads), "--serve"]
        self._process = subprocess.Popen(
            [sys.executable, BENCH, *arguments],
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
        """Seconds by the clock, and of the processor."""
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
        taken = bench.run(study, case)
        print(taken.clock, taken.processor, file=answers, flush=True)


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
