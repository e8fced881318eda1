"""The search for hits: which pairs of a block are kept, and how they become a table of hits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.engine.blockwise import Block, gathered
from bulklmm_dask.lmm.statistics import neg_log10_p
from bulklmm_dask.results.cis import as_labels, is_cis, with_trait_places
from bulklmm_dask.results.fdr import false_discovery_rates, highest_p, least_lod
from bulklmm_dask.results.pairs import (
    blocks,
    column_names,
    described,
    h2_of,
    joined,
    pair_arrays,
)
from bulklmm_dask.results.pvalue_counts import added, count_lods
from bulklmm_dask.results.summarised import chosen, known_counts, narrowed
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.places.location import Location, explained
from bulklmm_dask.storage.proof.chosen import Choice
from bulklmm_dask.storage.summaries.highest import highest_of_runs
from bulklmm_dask.typing import Array, Columns, Index, Names, Real

# Rows of a block that are first reduced to their maximum.
_SLAB = 16
# Pairs that are compared together: few enough to stay in the processor's cache.
_TOGETHER = 1 << 18
# Share of all pairs that may be found at a false discovery rate without a second pass.
_SHARE = 0.005


@dataclass(frozen=True)
class Part:
    """Hits of one chunk of traits, in memory or in a Parquet file.

    Attributes
    ----------
    rows : int
        Number of hits.
    content : DataFrame or path
        The hits, or the file that holds them.
    counts : dict, optional
        All LODs of the chunk as counted by `count_lods`; only for a false discovery rate.
    """

    rows: int
    content: pd.DataFrame | Location
    counts: Columns | None

    @classmethod
    def of(
        cls, table: pd.DataFrame, chunk: int, folder: Location | None, counts: Columns | None = None
    ) -> Self:
        """Keep a table, in a file if there is a folder for it."""
        if folder is None:
            return cls(len(table), table, counts)
        path = folder / _part_name(chunk)
        with explained(folder), path.replacing() as stream:
            table.to_parquet(stream, engine="pyarrow", index=False)
        return cls(len(table), path, counts)

    def read(self, columns: list[str] | None = None) -> pd.DataFrame:
        """Give all of the columns, or some."""
        if isinstance(self.content, Location):
            with self.content.open() as stream:
                return pd.read_parquet(stream, engine="pyarrow", columns=columns)
        return self.content if columns is None else self.content[columns]

    def drop_if_empty(self) -> None:
        """Remove the file of a chunk without hits."""
        if not self.rows and isinstance(self.content, Location):
            self.content.remove()


def _part_name(chunk: int) -> str:
    return f"part-{chunk:05d}.parquet"


def is_part(name: str) -> bool:
    """Tell whether a file of this name can be one of a search."""
    digits = name.removeprefix("part-").removesuffix(".parquet")
    return digits.isdecimal() and name == _part_name(int(digits))


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
        if rate is not None:
            return self._within(rate, top)
        choice = chosen(self.result, lowest)
        if not lowest.ndim:
            return self._pass(self.pairs, choice, lowest=float(lowest.values), top=top)
        pairs = self.pairs.assign(threshold=lowest)
        if "contigs" in lowest.dims:
            pairs = pairs.assign(contig=self.beside["contig"])
        return self._pass(pairs, choice, top=top)

    def _pass(
        self, pairs: xr.Dataset, choice: Choice | None, *, top: int | None = None, **how: Any
    ) -> list[Part]:
        """Go through all blocks once, or what is chosen of them; `how` is for `_sift`."""
        starts, beside = np.cumsum([0, *self.pairs.chunksizes["variants"]]), self.beside
        if choice is not None:
            pairs, beside = (narrowed(part, self.result, choice) for part in (pairs, beside))
        return gathered(
            pairs,
            _sift,
            _gather,
            sift_with={"top": top, "names": self.names, **how},
            gather_with={
                "top": top,
                "starts": starts,
                "contigs": self.contigs,
                "effect_unit": self.effect_unit,
                "folder": self.folder,
            },
            beside=beside,
        )

    def _within(self, rate: float, top: int | None) -> list[Part]:
        """Find hits at a false discovery rate.

        If all LODs are counted already, one pass keeps the pairs up to the bound that follows from
        the counts. Else the first pass counts all LODs and keeps the pairs with p below ``rate *
        _SHARE``, which are all that can be found unless more than this share of all pairs is. If
        the counts show that more may be found, a second pass keeps the pairs up to the bound.
        """
        counts = known_counts(self.result, rate)
        if counts is not None:
            parts = self._up_to(highest_p(counts, rate))
        else:
            score = -np.log10(rate * _SHARE)
            parts = self._pass(self.pairs, None, score=score, rate=rate)
            counts = added([part.counts for part in parts if part.counts is not None])
            highest = highest_p(counts, rate)
            if highest < score:
                parts = self._up_to(highest)
        tested = ["lod", "df"] if "df" in self.pairs else ["lod"]
        tables = [part.read(tested) for part in parts]
        scores = [neg_log10_p(table["lod"], table.get("df", 1)) for table in tables]
        p = 10.0 ** -np.concatenate(scores)
        cuts = np.cumsum([part.rows for part in parts])[:-1]
        found = np.split(false_discovery_rates(p, int(counts["count"].sum())), cuts)
        return [
            Part.of(_at_rate(part.read(), own, rate, top), chunk, self.folder)
            for chunk, (part, own) in enumerate(zip(parts, found, strict=True))
        ]

    def _up_to(self, score: float) -> list[Part]:
        """Find the pairs with -log10 p of at least `score`."""
        choice = None
        if "df" not in self.pairs:
            choice = chosen(self.result, xr.Variable((), least_lod(score, 1)))
        return self._pass(self.pairs, choice, score=score)


def _at_rate(table: pd.DataFrame, own: Array, rate: float, top: int | None) -> pd.DataFrame:
    """Rows found at a false discovery rate, with their own rates; no more than `top` a trait."""
    table = table.copy()
    table.insert(list(table).index("h2") + 1, "fdr", own)
    table = table[own <= rate]
    return table if top is None else table[table.groupby("trait").cumcount() < top]


def _sift(
    block: Block,
    *,
    names: dict[str, list[str]],
    top: int | None,
    lowest: float | None = None,
    score: float | None = None,
    rate: float | None = None,
) -> tuple[Columns, Columns | None]:
    """Hits of one block with their row and column in it; and the counts of its LODs.

    Hits have a LOD of at least `lowest`, or at least the threshold in the block, or -log10 p of at
    least `score`. LODs are counted only for a false discovery rate; all those with p above the rate
    are counted as one cell, for they cannot be found at it.
    """
    lod = block["lod"].values
    df = block["df"].values if "df" in block else np.array(1)
    if score is not None:
        level = least_lod(score, df)
    else:
        level = _threshold(block) if lowest is None else np.asarray(lowest)
    with np.errstate(over="ignore"):  # above the numbers of float32 is infinity: no LOD is as high
        level = level.astype(lod.dtype, copy=False)
    i, j = _chosen(lod, level, top)
    out = {"_row": i, "_column": j, "lod": lod[i, j]}
    for name, columns in names.items():
        values = block[name].values[i, j].reshape(i.size, len(columns))
        out |= dict(zip(columns, values.T, strict=True))
    if rate is None:
        return out, None
    return out, count_lods(block, least_lod(-np.log10(rate), np.arange(1 + df.max())))


def _threshold(block: Block) -> Array:
    """Threshold of the pairs of a block, to be broadcast against them."""
    values: Array = block["threshold"].values
    if "contigs" not in block["threshold"].dims:
        return values
    of_variant = values[block["contig"].values]
    return of_variant if of_variant.ndim == 2 else of_variant[:, None]


def _chosen(lod: Real, lowest: Real, top: int | None) -> tuple[Index, Index]:
    """Rows and columns of the hits of a block, no more than `top` a trait."""
    if top is not None and top < len(lod) and np.isneginf(lowest).all():
        lowest = _bound(lod, top)
    i, j = _reaching(lod, lowest)
    if top is None:
        return i, j
    order = _highest(lod[i, j], j, top)
    return i[order], j[order]


def _reaching(lod: Real, lowest: Real) -> tuple[Index, Index]:
    """Rows and columns of all pairs with a LOD of at least `lowest`, row by row.

    Some rows at a time, because the mask of a whole block would not stay in the cache.
    """
    lowest = np.broadcast_to(lowest, lod.shape)
    width = lod.shape[1]
    height = max(1, _TOGETHER // width)
    mask = np.empty((min(height, len(lod)), width), dtype=bool)
    found = []
    for start in range(0, len(lod), height):
        rows = slice(start, start + height)
        some = mask[: len(lod) - start]
        np.greater_equal(lod[rows], lowest[rows], out=some)
        found.append(np.flatnonzero(some) + start * width)
    i, j = np.divmod(np.concatenate(found), width)
    return i, j


def _bound(lod: Real, top: int) -> Real:
    """LOD of each trait that at least `top` of its variants reach, and not many more.

    It is the `top` highest among the maxima of slabs of variants, which are cheaper to find than
    every column is to sort.
    """
    width = max(1, min(_SLAB, len(lod) // (2 * top)))
    maxima = highest_of_runs(lod, np.arange(0, len(lod), width))
    maxima[np.isnan(maxima)] = -np.inf
    bound: Real = np.partition(maxima, len(maxima) - top, axis=0)[len(maxima) - top]
    return bound


def _highest(lod: Real, column: Index, top: int | None) -> Index:
    """Order by trait and falling LOD, no more than `top` a trait; equal LODs stay in order."""
    order = np.lexsort((-lod, column))
    if top is None:
        return order
    sorted_column = column[order]
    rank = np.arange(order.size) - np.searchsorted(sorted_column, sorted_column)
    return order[rank < top]


def _gather(
    parts: list[tuple[Columns, Columns | None]],
    chunk: int,
    *,
    beside: Any,
    top: int | None,
    starts: Index,
    contigs: Names,
    effect_unit: str | None,
    folder: Location | None,
) -> Part:
    """Table of the hits of a chunk of traits; `starts` are the first variants of its blocks."""
    hits = [
        {**part, "_row": part["_row"] + at}
        for (part, _), at in zip(parts, starts[:-1], strict=True)
    ]
    found = joined(hits)
    order = _highest(found["lod"], found["_column"], top)
    ordered = {name: values[order] for name, values in found.items()}
    i, j = ordered.pop("_row"), ordered.pop("_column")
    frequency = ordered.pop("frequency", None)
    contig, position = beside["contig"].values[i], beside["position"].values[i]
    table = pd.DataFrame(
        {
            "trait": _taken(beside["trait"].values, j),
            "variant": _taken(beside["variant"].values, i),
            "contig": _taken(contigs, contig),
            "position": position,
            "lod": ordered.pop("lod"),
            "h2": h2_of(beside, i, j),
            **ordered,
        }
    )
    for name, codes in is_cis(beside, contig, position, j).items():
        table[name] = as_labels(codes)
    for name, values in described(beside, i, j, frequency).items():
        table[name] = pd.array(values, dtype="str") if values.dtype == object else values
    if effect_unit is not None:
        table["effect_unit"] = pd.Categorical([effect_unit] * i.size, [effect_unit])
    counts = [counted for _, counted in parts if counted is not None]
    return Part.of(table, chunk, folder, added(counts) if counts else None)


def _taken(names: Names, index: Index) -> Any:
    """Names as a column of text; each name is converted once, however many rows have it."""
    distinct, where = np.unique(index, return_inverse=True)
    return pd.array(names[distinct], dtype="str").take(where)
