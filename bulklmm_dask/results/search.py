"""A result searched for pairs of a high LOD: which are kept of each block, and put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bulklmm_dask.lmm.statistics import neg_log10_p
from bulklmm_dask.results.cis import as_labels, is_cis, with_trait_places
from bulklmm_dask.results.fdr import highest_p, least_lod, rates
from bulklmm_dask.results.pvalue_counts import added, count_lods
from bulklmm_dask.results.streams import Block, blocks, gathered, h2_of, joined
from bulklmm_dask.storage.encoding import text
from bulklmm_dask.storage.location import Location, explained
from bulklmm_dask.typing import Columns

# Variants of which the highest LOD is looked at first.
_SLAB = 16
# Pairs that are compared together: few enough to stay in the processor's cache.
_TOGETHER = 1 << 18
# No more than this share of all pairs is expected to be found at a false discovery rate.
_SHARE = 0.005


@dataclass(frozen=True)
class Part:
    """Hits of one chunk of traits, in memory or in a file."""

    rows: int
    content: pd.DataFrame | Location
    cells: Columns | None

    @classmethod
    def of(
        cls, table: pd.DataFrame, chunk: int, folder: Location | None, cells: Columns | None = None
    ) -> Self:
        """Keep a table, in a file if there is a folder for it."""
        if folder is None:
            return cls(len(table), table, cells)
        path = folder / f"part-{chunk:05d}.parquet"
        with explained(folder):
            table.to_parquet(path, engine="pyarrow", index=False)
        return cls(len(table), path, cells)

    def read(self, columns: list[str] | None = None) -> pd.DataFrame:
        """All of its columns, or some."""
        if isinstance(self.content, Location):
            return pd.read_parquet(self.content, engine="pyarrow", columns=columns)
        return self.content if columns is None else self.content[columns]

    def drop_if_empty(self) -> None:
        """Remove the file of a chunk without hits."""
        if not self.rows and isinstance(self.content, Location):
            self.content.remove()


@dataclass(frozen=True)
class Search:
    """A result taken apart for a search.

    Attributes
    ----------
    pairs : Dataset
        All arrays of pairs, and nothing else.
    beside : Dataset
        What names their variants and traits.
    names : dict
        Columns that each statistic of a pair takes, but the LOD.
    contigs : array of str
    folder : Path, optional
        Where the hits are written to.
    """

    pairs: xr.Dataset
    beside: xr.Dataset
    names: dict[str, list[str]]
    contigs: npt.NDArray[np.object_]
    folder: Location | None = None

    @classmethod
    def of(
        cls, result: xr.Dataset, trait_positions: pd.DataFrame | None, cis_window: float | None
    ) -> Self:
        """Take apart a result."""
        pairs = [
            str(name)
            for name, variable in result.data_vars.items()
            if {"variants", "traits"} <= set(variable.dims)
        ]
        whole = blocks(result, pairs)
        beside = whole.drop_vars([*pairs, "row", "column"])
        contigs = text(result["contig_id"].values) if "variant_contig" in result else text([""])
        return cls(
            whole[pairs],
            with_trait_places(beside, result, trait_positions, cis_window),
            {name: _names_of(result, name) for name in pairs if name != "lod"},
            contigs,
        )

    def run(self, lowest: xr.Variable, rate: float | None, top: int | None) -> list[Part]:
        """Hits of every chunk of traits: from some LOD on, or at a false discovery rate."""
        if rate is not None:
            return self._within(rate, top)
        if not lowest.ndim:
            return self._pass(self.pairs, lowest=float(lowest.values), top=top)
        pairs = self.pairs.assign(threshold=lowest)
        if "contigs" in lowest.dims:
            pairs = pairs.assign(contig=self.beside["contig"])
        return self._pass(pairs, top=top)

    def _pass(self, pairs: xr.Dataset, *, top: int | None = None, **how: Any) -> list[Part]:
        starts = np.cumsum([0, *self.pairs.chunksizes["variants"]])
        return gathered(
            pairs,
            _sift,
            _gather,
            sift_with={"top": top, "names": self.names, **how},
            gather_with={
                "top": top,
                "starts": starts,
                "contigs": self.contigs,
                "folder": self.folder,
            },
            beside=self.beside,
        )

    def _within(self, rate: float, top: int | None) -> list[Part]:
        """Hits at a false discovery rate.

        While all pairs are counted, those are kept that are hits unless there are very many. Where
        there are, the second pass keeps what the counts say may be hits.
        """
        score = -np.log10(rate * _SHARE)
        parts = self._pass(self.pairs, score=score, rate=rate)
        cells = added([part.cells for part in parts if part.cells is not None])
        highest = highest_p(cells, rate)
        if highest < score:
            parts = self._pass(self.pairs, score=highest)
        told = ["lod", "df"] if "df" in self.pairs else ["lod"]
        seen = [part.read(told) for part in parts]
        scores = [neg_log10_p(table["lod"], table.get("df", 1)) for table in seen]
        cuts = np.cumsum([part.rows for part in parts])[:-1]
        found = np.split(rates(np.concatenate(scores), int(cells["count"].sum())), cuts)
        return [
            Part.of(_at_rate(part.read(), own, rate, top), chunk, self.folder)
            for chunk, (part, own) in enumerate(zip(parts, found, strict=True))
        ]


def _at_rate(
    table: pd.DataFrame, own: npt.NDArray[Any], rate: float, top: int | None
) -> pd.DataFrame:
    """Rows found at a rate, each with its own, no more than `top` of a trait."""
    table = table.copy()
    table.insert(list(table).index("h2") + 1, "fdr", own)
    table = table[own <= rate]
    return table if top is None else table[table.groupby("trait").cumcount() < top]


def _names_of(result: xr.Dataset, name: str) -> list[str]:
    """Columns that a statistic of pairs takes: its own name, or one for each of several values."""
    others = [dim for dim in result[name].dims if dim not in ("variants", "traits")]
    if not others:
        return [name]
    (dim,) = others
    return [f"{name}_{label}" for label in result[dim].values]


def _sift(
    block: Block,
    *,
    names: dict[str, list[str]],
    top: int | None,
    lowest: float | None = None,
    score: float | None = None,
    rate: float | None = None,
) -> tuple[Columns, Columns | None]:
    """Hits of one block, by their rows and columns in it, and its counts.

    All pairs are counted if a rate is given, those of a p-value above it as one: at that rate they
    are not found, whatever the others are.
    """
    lod = block["lod"].values
    df = block["df"].values if "df" in block else np.array(1)
    if score is not None:
        level = least_lod(score, df)
    else:
        level = _threshold(block) if lowest is None else np.asarray(lowest)
    i, j = _chosen(lod, level.astype(lod.dtype, copy=False), top)
    out = {"_row": i, "_column": j, "lod": lod[i, j]}
    for name, columns in names.items():
        values = block[name].values[i, j].reshape(i.size, len(columns))
        out |= dict(zip(columns, values.T, strict=True))
    if rate is None:
        return out, None
    return out, count_lods(block, least_lod(-np.log10(rate), np.arange(1 + df.max())))


def _threshold(block: Block) -> npt.NDArray[Any]:
    """Threshold of the pairs of a block."""
    values = block["threshold"].values
    if "contigs" not in block["threshold"].dims:
        return values
    of_variant = values[block["contig"].values]
    return of_variant if of_variant.ndim == 2 else of_variant[:, None]


def _chosen(
    lod: npt.NDArray[np.floating], lowest: npt.NDArray[Any], top: int | None
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of the hits of a block."""
    if top is not None and top < len(lod) and np.isneginf(lowest).all():
        lowest = _bound(lod, top)
    i, j = _reaching(lod, lowest)
    if top is None:
        return i, j
    order = _highest(lod[i, j], j, top)
    return i[order], j[order]


def _reaching(
    lod: npt.NDArray[np.floating], lowest: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of all pairs whose LOD is no lower, row by row.

    Some rows at a time: a mask of a whole block would go to memory and back.
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


def _bound(lod: npt.NDArray[np.floating], top: int) -> npt.NDArray[Any]:
    """LOD of each trait that at least `top` of its variants reach, and few more than those.

    The maxima of slabs of variants are all of different variants; to find them is cheaper than to
    sort every column.
    """
    width = max(1, min(_SLAB, len(lod) // (2 * top)))
    maxima = np.fmax.reduceat(lod, np.arange(0, len(lod), width), axis=0)
    maxima[np.isnan(maxima)] = -np.inf
    return np.partition(maxima, len(maxima) - top, axis=0)[len(maxima) - top]


def _highest(
    lod: npt.NDArray[Any], column: npt.NDArray[Any], top: int | None
) -> npt.NDArray[np.intp]:
    """Order by trait and falling LOD, no more than `top` of a trait; equal ones stay in order."""
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
    starts: npt.NDArray[np.int64],
    contigs: npt.NDArray[np.object_],
    folder: Location | None,
) -> Part:
    """Hits of a chunk of traits; `starts` are the first variants of its blocks."""
    hits = [
        {**part, "_row": part["_row"] + at}
        for (part, _), at in zip(parts, starts[:-1], strict=True)
    ]
    found = joined(hits)
    order = _highest(found["lod"], found["_column"], top)
    ordered = {name: values[order] for name, values in found.items()}
    i, j = ordered.pop("_row"), ordered.pop("_column")
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
    counts = [cells for _, cells in parts if cells is not None]
    return Part.of(table, chunk, folder, added(counts) if counts else None)


def _taken(names: npt.NDArray[np.object_], index: npt.NDArray[np.intp]) -> Any:
    """Names as a column of text, each made once however many rows have it."""
    distinct, where = np.unique(index, return_inverse=True)
    return pd.array(names[distinct], dtype="str").take(where)
