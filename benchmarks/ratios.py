"""Runs of cases, and their ratios to what they are compared with."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from cases import SINGLE_TRAITS, Case, chosen
from simulated import STUDIES
from timing import Product, Seconds, Spread, spent


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

    def run(self, study: str, case: Case) -> Seconds:
        ds = self.study(study)
        folder = self.folder / study
        try:
            return spent(lambda: case.action(ds, folder))
        finally:
            for store in folder.glob("lods*.zarr"):
                shutil.rmtree(store)


@dataclass(frozen=True)
class Ratio:
    """Times of a case beside those of its base, each pair measured in turn.

    Attributes
    ----------
    seconds : Seconds
        Medians of the times of the case.
    clock, processor : Spread
        Ratios to the base, by the clock and by processor time.
    """

    seconds: Seconds
    clock: Spread
    processor: Spread

    @classmethod
    def of(cls, pairs: list[tuple[Seconds, Seconds]]) -> Ratio:
        return cls(
            Seconds(
                Spread.of(run.clock for run, _ in pairs).median,
                Spread.of(run.processor for run, _ in pairs).median,
            ),
            Spread.of(run.clock / base.clock for run, base in pairs),
            Spread.of(run.processor / base.processor for run, base in pairs),
        )


def in_turn(
    run: Callable[[], Seconds], base: Callable[[], Seconds], repeats: int
) -> list[tuple[Seconds, Seconds]]:
    """The base right before each run: the speed of a machine drifts."""
    return [(run(), before) for before in (base() for _ in range(repeats))]


class Products:
    """Bare products, the last of which is kept."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._made: dict[object, Product] = {}

    def like(self, ds: xr.Dataset, case: Case) -> Product:
        traits, dtype = (
            (SINGLE_TRAITS, np.float32) if case.single else (ds.sizes["traits"], np.float64)
        )
        key = (ds.sizes["variants"], ds.sizes["samples"], traits), dtype
        if key not in self._made:
            self._made.clear()
            self._made[key] = Product(key[0], self._threads, dtype)
        return self._made[key]


def measured(
    bench: Bench, only: str | None, repeats: int, threads: int
) -> Iterator[tuple[str, Case, Ratio]]:
    """Every case with its ratio to its base."""
    products = Products(threads)
    for study, case in chosen(only):
        ds = bench.study(study)
        bench.run(study, case)  # imports, caches

        def base(ds: xr.Dataset = ds, case: Case = case) -> Seconds:
            if case.base is None:
                return products.like(ds, case).run() * case.products
            return spent(lambda: case.base(ds))

        pairs = in_turn(lambda study=study, case=case: bench.run(study, case), base, repeats)
        yield study, case, Ratio.of(pairs)
