"""Cost against size: time of a test by null-exact as one size of a study grows, others as they are.

A scan goes from a study in memory to the maxima of all traits, decompositions included. Sizes of an
axis go up, and none is begun once the axis has used its time; what is left out is said. A ratio is
that to the bare matrix product (variants x samples) times (samples x traits), timed right before
each run. Of LOCO with 20 chromosomes it is that to a scan with one kinship, and the decompositions
of the kinships beyond the first are taken off its time.
"""

from __future__ import annotations

import argparse
import os
import re
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import book
import numpy as np
import tables
import xarray as xr
from cases import NULL_EXACT, maxima
from dask import config
from ratios import Ratio, in_turn
from simulated import different
from timing import Product, Seconds, limit_blas, short, spent

import bulklmm_dask as blmm

CHROMOSOMES = 20
LOCO = f"{NULL_EXACT}, LOCO of {CHROMOSOMES} beside one kinship"
RUNS = count(1)


@dataclass(frozen=True)
class Size:
    """A study: samples, markers, traits, patterns of missing values; threads of its scan."""

    samples: int = 250
    markers: int = 4096
    traits: int = 4096
    patterns: int = 1
    threads: int = 1

    def study(self) -> xr.Dataset:
        """Distinct samples and markers of an F2, with a kinship of their markers."""
        missing = {"missing": 0.02, "n_patterns": self.patterns} if self.patterns > 1 else {}
        ds = blmm.simulate_study(
            n_samples=self.samples,
            n_strains=None,
            n_variants=self.markers,
            n_traits=self.traits,
            n_contigs=CHROMOSOMES,
            cross="f2",
            seed=1,
            **missing,
        )
        ds = different(ds)
        return ds.assign(kinship=blmm.kinship(ds).compute())

    @property
    def tests(self) -> int:
        return self.markers * self.traits


@dataclass(frozen=True)
class Axis:
    """One size that grows: a field of Size, its values, and the goal of the ratio at each."""

    field: str
    sizes: tuple[int, ...]
    goals: tuple[float | None, ...] = ()

    def points(self) -> Iterator[tuple[Size, float | None]]:
        goals = self.goals + (None,) * (len(self.sizes) - len(self.goals))
        for value, goal in zip(self.sizes, goals, strict=True):
            yield replace(Size(), **{self.field: value}), goal


def axes(cores: int) -> tuple[Axis, ...]:
    powers = tuple(2**i for i in range(cores.bit_length()) if 2**i < cores)
    return (
        Axis("samples", (100, 250, 500, 1000, 2000, 4000, 5000), (2, 1.6, 1.6, 1.9, 4, 8.5)),
        Axis("markers", (256, 1024, 4096, 16_384, 32_768)),
        Axis("traits", (1, 10, 100, 1000, 10_000, 30_000)),
        Axis("patterns", (1, 10, 100, 1000)),
        Axis("threads", (*powers, cores)),
    )


def unknown(ds: xr.Dataset, name: str) -> xr.Dataset:
    """The study with a kinship of other bits: a process keeps decompositions of those it knows."""
    return ds.assign({name: ds[name] * (1 + next(RUNS) * 2.0**-40)})


def scanned(ds: xr.Dataset, threads: int) -> Seconds:
    fresh = unknown(ds, "kinship")
    with config.set(num_workers=threads):
        return spent(lambda: maxima(fresh))


def point(size: Size, ds: xr.Dataset, repeats: int) -> Ratio:
    """A scan beside the bare product."""
    product = Product((size.markers, size.samples, size.traits), size.threads)
    return Ratio.of(in_turn(lambda: scanned(ds, size.threads), product.run, repeats))


def loco(ds: xr.Dataset, repeats: int) -> Ratio:
    """A scan with LOCO, less the decompositions beyond the first, beside a scan without."""
    ds = ds.assign(kinship_loco=blmm.kinship(ds, loco=True).compute())

    def left_out() -> Seconds:
        fresh = unknown(ds, "kinship_loco")
        whole = spent(lambda: maxima(fresh, loco=True))
        kinships = fresh.kinship_loco.values[1:]
        apart = spent(lambda: [np.linalg.eigh(one) for one in kinships])
        return whole + apart * -1

    return Ratio.of(in_turn(left_out, lambda: scanned(ds, 1), repeats))


def figure(axis: str, size: Size, case: str, ratio: Ratio, goal: float | None) -> dict[str, Any]:
    """What the book keeps of a point: nanoseconds a test, and the ratio."""
    return {
        "axis": axis,
        "size": getattr(size, axis),
        "case": case,
        "ns": book.rounded(ratio.seconds.processor / size.tests * 1e9),
        "clock_ns": book.rounded(ratio.seconds.clock / size.tests * 1e9),
        "processor": book.spread(ratio.processor),
        "clock": book.spread(ratio.clock),
        "goal": goal,
    }


def along(axis: Axis, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Figures of the sizes of an axis; none but the first is begun after its seconds."""
    chosen = [
        (size, goal)
        for size, goal in axis.points()
        if re.search(options.only or "", f"{axis.field} {getattr(size, axis.field)}")
    ]
    began = time.monotonic()
    for number, (size, goal) in enumerate(chosen):
        value, limit = getattr(size, axis.field), options.limit
        if number and time.monotonic() - began > limit:
            print(f"{value:,} {axis.field} and more: left out, for --limit is {limit:g} seconds")
            return
        ds = size.study()
        yield figure(axis.field, size, NULL_EXACT, point(size, ds, options.repeats), goal)
        if axis.field == "markers" and value >= 4096:
            yield figure(axis.field, size, LOCO, loco(ds, options.repeats), 1.2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    book.add_option(parser)
    parser.add_argument(
        "--only", metavar="REGEX", help="only sizes where it is found, such as 'samples 4000'"
    )
    parser.add_argument(
        "--limit", type=float, default=300, help="seconds for each axis; default: %(default)g"
    )
    parser.add_argument("--repeats", type=int, default=3, help="default: %(default)s")
    options = parser.parse_args()
    config.set(scheduler="threads", num_workers=1)
    limit_blas(1)
    warnings.simplefilter("ignore", blmm.StudyWarning)
    book.begin(options.book, partly=True)
    maxima(Size(samples=100, markers=256, traits=256).study())  # imports
    for axis in axes(os.cpu_count() or 1):
        for one in along(axis, options):
            book.add(options.book, "sizes", one | {"repeats": options.repeats})
            print(
                f"{axis.field:9s} {one['size']:7,} {one['case']:34s} {short(one['ns']):>9s} ns, "
                f"by the clock {short(one['clock_ns']):>9s}, ratio {tables.cell(one['processor'])}"
                + ("" if one["goal"] is None else f"  at most {one['goal']:g}"),
                flush=True,
            )
    run = {book.loops(): book.read(options.book)[book.loops()]}
    print(f"\n{tables.marked(run, 'sizes')}")


if __name__ == "__main__":
    main()
