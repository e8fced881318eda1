"""Tables of hits, from records of them: in memory, or in Parquet files, some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from bulklmm_dask.engine.blockwise import Block
from bulklmm_dask.results.cis import as_labels, is_cis
from bulklmm_dask.results.hit_sift import ranks
from bulklmm_dask.results.pairs import described, h2_of
from bulklmm_dask.results.rated import FDR
from bulklmm_dask.results.runs import Records, Run, merged
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.tables.frame import TEXT
from bulklmm_dask.typing import Index, Names

# Rows of a group of a Parquet file.
_GROUP = 1 << 17


@dataclass(frozen=True)
class Part:
    """Hits of one chunk of traits, in memory or in a Parquet file.

    Attributes
    ----------
    rows : int
        Number of hits.
    content : DataFrame or Location
        The hits, or the file that holds them.
    """

    rows: int
    content: pd.DataFrame | Location

    @property
    def table(self) -> pd.DataFrame:
        """The hits of a part in memory."""
        assert isinstance(self.content, pd.DataFrame)
        return self.content

    def change(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        """Put other tables in place of the row groups of a file, one after another."""
        from pyarrow.parquet import ParquetFile

        assert isinstance(self.content, Location)
        if not self.content.exists():  # dropped, for it was empty
            return
        with self.content.at_hand() as old, ParquetFile(old.path) as file:
            groups = (file.read_row_group(k).to_pandas() for k in range(file.num_row_groups))
            _in_file(map(change, groups), self.content)

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
class Tables:
    """How the hits of a chunk of traits become a table.

    Attributes
    ----------
    starts : array of int
        First variant of each block.
    contigs : array of str
        Their names.
    effect_unit : str or None
        What one unit of effects is; None for a result without effects.
    top : int or None
        Most hits of a trait.
    folder : Location or None
        Folder for the Parquet files; without it the hits stay in memory.
    """

    starts: Index
    contigs: Names
    effect_unit: str | None
    top: int | None
    folder: Location | None

    def part(self, runs: Sequence[Run], chunk: int, beside: Block) -> Part:
        """Merge the hits of the blocks of a chunk of traits, in the order of the variants."""
        batches = self._ordered(runs)
        empty = np.empty(0, runs[0].dtype)
        if self.folder is None:
            return _in_memory([self._table(one, beside) for one in list(batches) or [empty]])
        groups = (self._table(one, beside) for one in _in_groups(batches, empty))
        return _in_file(groups, self.folder / _part_name(chunk))

    def _ordered(self, runs: Sequence[Run]) -> Iterator[Records]:
        """Hits by trait and falling LOD, ``row`` among all variants; no more than `top` a trait."""
        last, before = -1, 0
        for records, which in merged(runs, lambda hits: (hits["column"], -hits["lod"])):
            records["row"] += self.starts[which]
            if self.top is None:
                yield records
                continue
            column = records["column"]
            rank = ranks(column)
            rank[column == last] += before
            last, before = column[-1], rank[-1] + 1
            yield records[rank < self.top]

    def _table(self, hits: Records, beside: Block) -> pd.DataFrame:
        assert hits.dtype.names is not None
        i, j = hits["row"], hits["column"]
        contig, position = beside["contig"].values[i], beside["position"].values[i]
        rest = {name: hits[name] for name in hits.dtype.names if name not in ("row", "column")}
        frequency = rest.pop("frequency", None)
        columns: dict[str, Any] = {
            "trait": _taken(beside["trait"].values, j),
            "variant": _taken(beside["variant"].values, i),
            "contig": _taken(self.contigs, contig),
            "position": position,
            "lod": rest.pop("lod"),
            "h2": h2_of(beside, i, j),
        }
        if FDR in rest:
            columns[FDR] = rest.pop(FDR)
        table = pd.DataFrame({**columns, **rest})
        for name, codes in is_cis(beside, contig, position, j).items():
            table[name] = as_labels(codes)
        for name, values in described(beside, i, j, frequency).items():
            table[name] = pd.array(values, dtype=TEXT) if values.dtype == object else values
        if self.effect_unit is not None:
            table["effect_unit"] = pd.Categorical([self.effect_unit] * i.size, [self.effect_unit])
        return table


def _in_memory(tables: Sequence[pd.DataFrame]) -> Part:
    table = tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)
    return Part(len(table), table)


def _in_groups(batches: Iterable[Records], empty: Records) -> Iterator[Records]:
    """Records in groups of `_GROUP`, whatever the batches; at least one group."""
    held, count, given = [empty], 0, False
    for batch in batches:
        held.append(batch)
        count += len(batch)
        if count < _GROUP:
            continue
        joined = np.concatenate(held)
        whole = count - count % _GROUP
        for start in range(0, whole, _GROUP):
            yield joined[start : start + _GROUP]
        held, count, given = [joined[whole:]], count - whole, True
    if count or not given:
        yield np.concatenate(held)


def _in_file(groups: Iterator[pd.DataFrame], path: Location) -> Part:
    """Write tables as the row groups of a Parquet file."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    first = next(groups)
    schema = pa.Table.from_pandas(first, preserve_index=False).schema
    rows = 0
    with path.appearing_file() as partial, ParquetWriter(partial.path, schema) as writer:
        for table in chain([first], groups):
            writer.write_table(pa.Table.from_pandas(table, schema, preserve_index=False))
            rows += len(table)
    return Part(rows, path)


def _taken(names: Names, index: Index) -> Any:
    """Names as a column of text; each name is converted once, however many rows have it."""
    distinct, where = np.unique(index, return_inverse=True)
    return pd.array(names[distinct], dtype=TEXT).take(where)
