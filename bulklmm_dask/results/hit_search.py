"""The search for hits: passes over the blocks of a result, and what becomes of the hits found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self, TypeVar

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.engine.blockwise import Block, gathered
from bulklmm_dask.results.cis import with_trait_places
from bulklmm_dask.results.fdr import highest_p, least_lod
from bulklmm_dask.results.hit_sift import sift
from bulklmm_dask.results.hit_tables import Part, Tables, is_part
from bulklmm_dask.results.pairs import blocks, column_names, pair_arrays
from bulklmm_dask.results.pvalue_counts import added
from bulklmm_dask.results.rated import rated
from bulklmm_dask.results.runs import Run, Spill
from bulklmm_dask.results.summarised import chosen, known_counts, narrowed
from bulklmm_dask.storage.labels.coordinates import PAIR
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.proof.chosen import Choice
from bulklmm_dask.typing import Columns, Names

# Share of all pairs that may be found at a false discovery rate without a second pass.
_SHARE = 0.005
# Bytes of hits of all blocks that stay in memory where the table goes into files.
_IN_MEMORY = 1 << 24
# Folder for hits that do not, in that of the files.
_RUNS = "runs"

T = TypeVar("T")


@dataclass(frozen=True)
class _Found:
    """Hits of a chunk of traits, block by block, before they become a table.

    Attributes
    ----------
    runs : list of Run
        Those of each block, in the order of the variants.
    counts : dict or None
        All LODs of the chunk as counted by `count_lods`.
    beside : dict
        The variables that name the traits of the chunk; with the first chunk also those of the
        variants.
    """

    runs: list[Run]
    counts: Columns | None
    beside: Block


@dataclass(frozen=True)
class Search:
    """A result prepared for a search.

    Attributes
    ----------
    pairs : Dataset
        Its arrays of pairs (variants, traits, ...), and nothing else.
    beside : Dataset
        The variables that name variants and traits, from `blocks`.
    names : dict
        Columns of the table for each array of pairs, except the LOD.
    contigs : array of str
        Their names; one empty name without a marker map.
    effect_unit : str or None
        What one unit of effects is; None for a result without effects.
    result : Dataset
        The result itself.
    folder : Path, optional
        Folder for the Parquet files; without it the hits stay in memory.
    """

    pairs: xr.Dataset
    beside: xr.Dataset
    names: dict[str, list[str]]
    contigs: Names
    effect_unit: str | None
    result: xr.Dataset
    folder: Location | None = None

    @classmethod
    def of(
        cls, result: xr.Dataset, trait_positions: pd.DataFrame | None, cis_window: float | None
    ) -> Self:
        """Prepare a result; the places of traits are those of `find_peaks`."""
        pairs = pair_arrays(result)
        names = {name: column_names(result, name) for name in pairs if name != "lod"}
        whole = blocks(result, pairs)
        if whole["frequency"].ndim == 2:
            pairs.append("frequency")
            names["frequency"] = ["frequency"]
        beside = whole.drop_vars([*pairs, "row", "column"])
        contigs = text(result["contig_id"].values) if "variant_contig" in result else text([""])
        with_effects = {"beta", "se"} & set(pairs)
        return cls(
            whole[pairs],
            with_trait_places(beside, result, trait_positions, cis_window),
            names,
            contigs,
            result.attrs.get("effect_unit") if with_effects else None,
            result,
        )

    def run(self, lowest: xr.Variable, rate: float | None, top: int | None) -> list[Part]:
        """Find the hits of every chunk of traits.

        Parameters
        ----------
        lowest : Variable
            The lowest LOD of a hit, from `lowest_lod`; not used with a rate.
        rate : float or None
            False discovery rate of the hits.
        top : int or None
            Most hits of a trait.
        """
        if self.folder is None:
            return self._parts(lowest, rate, top, None)
        runs = (self.folder / _RUNS).fixed  # by itself, for workers write there too
        runs.make_folder()
        n_blocks = int(np.prod([len(self.pairs.chunksizes[dim]) for dim in PAIR]))
        parts = self._parts(lowest, rate, top, Spill(runs, _IN_MEMORY // n_blocks))
        runs.remove()
        if any(part.rows for part in parts):
            for part in parts:
                part.drop_if_empty()
        for name in self.folder.names():
            if not is_part(name):  # what a killed worker was writing
                (self.folder / name).remove()
        return parts

    def _parts(
        self, lowest: xr.Variable, rate: float | None, top: int | None, spill: Spill | None
    ) -> list[Part]:
        starts = np.cumsum([0, *self.pairs.chunksizes["variants"]])[:-1]
        tables = Tables(starts, self.contigs, self.effect_unit, top, self.folder)
        if rate is not None:
            return self._within(rate, tables, spill)
        choice, pairs = chosen(self.result, lowest), self.pairs
        how: dict[str, Any] = {"top": top, "spill": spill}
        if not lowest.ndim:
            how["lowest"] = float(lowest.values)
        else:
            pairs = pairs.assign(threshold=lowest)
            if "contigs" in lowest.dims:
                pairs = pairs.assign(contig=self.beside["contig"])
        return self._pass(pairs, choice, _write, {"tables": tables}, **how)

    def _pass(
        self,
        pairs: xr.Dataset,
        choice: Choice | None,
        gather: Callable[..., T],
        gather_with: dict[str, Any],
        **how: Any,
    ) -> list[T]:
        """Go through all blocks once, or what is chosen of them; `how` is for `sift`."""
        beside = self.beside
        if choice is not None:
            pairs, beside = (narrowed(part, self.result, choice) for part in (pairs, beside))
        how["names"] = self.names
        return gathered(pairs, sift, gather, sift_with=how, gather_with=gather_with, beside=beside)

    def _within(self, rate: float, tables: Tables, spill: Spill | None) -> list[Part]:
        """Find hits at a false discovery rate.

        If all LODs are counted already, one pass keeps the pairs up to the bound that follows from
        the counts. Else the first pass counts all LODs and keeps the pairs with p below ``rate *
        _SHARE``, which are all that can be found unless more than this share of all pairs is. If
        the counts show that more may be found, a second pass keeps the pairs up to the bound.
        """
        counts = known_counts(self.result)
        if counts is not None:
            found = self._up_to(highest_p(counts, rate), spill)
        else:
            score = -np.log10(rate * _SHARE)
            found = self._listed(None, spill, score=score, rate=rate)
            counts = added([one.counts for one in found if one.counts is not None])
            highest = highest_p(counts, rate)
            if highest < score:
                if spill is not None:
                    spill.folder.remove()
                    spill.folder.make_folder()
                found = self._up_to(highest, spill)
        every = [run for one in found for run in one.runs]
        hits = iter(rated(every, int(counts["count"].sum()), rate, spill))
        return [
            tables.part(list(islice(hits, len(one.runs))), chunk, found[0].beside | one.beside)
            for chunk, one in enumerate(found)
        ]

    def _up_to(self, score: float, spill: Spill | None) -> list[_Found]:
        """Find the pairs with -log10 p of at least `score`."""
        choice = None
        if "df" not in self.pairs:
            choice = chosen(self.result, xr.Variable((), least_lod(score, 1)))
        return self._listed(choice, spill, score=score)

    def _listed(self, choice: Choice | None, spill: Spill | None, **how: Any) -> list[_Found]:
        """Find hits, and leave it at that: no trait has too many."""
        return self._pass(self.pairs, choice, _list, {}, top=None, spill=spill, **how)


def _write(
    parts: list[tuple[Run, Columns | None]], chunk: int, *, beside: Block, tables: Tables
) -> Part:
    """Make the table of a chunk of traits."""
    return tables.part([run for run, _ in parts], chunk, beside)


def _list(parts: list[tuple[Run, Columns | None]], chunk: int, *, beside: Block) -> _Found:
    """List the hits of a chunk of traits."""
    counts = [counted for _, counted in parts if counted is not None]
    own = {name: each for name, each in beside.items() if not chunk or "traits" in each.dims}
    return _Found([run for run, _ in parts], added(counts) if counts else None, own)
