"""False discovery rates of the hits in many runs, exact also where they do not fit into memory.

The hits of each run are brought into the order of their p-values and kept in a temporary file. A
merge of all runs then goes from the highest p-value to the lowest, so that the rate of Benjamini
and Hochberg (1995), a minimum over all higher p-values, is known when a hit is met.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO

import numpy as np

from bulklmm_dask.lmm.statistics import neg_log10_p
from bulklmm_dask.results.runs import Records, Run, Spill, merged
from bulklmm_dask.storage.places.location import explained
from bulklmm_dask.typing import Array, Index

# Column of the rates.
FDR = "fdr"
# -log10 p of a hit, later its rate; and the place of the hit in its run.
_SCORED = np.dtype([("value", np.float64), ("place", np.int32)])
# Bytes of all of them that stay in memory.
_IN_MEMORY = 1 << 24


def rated(runs: Sequence[Run], tests: int, rate: float, spill: Spill | None) -> list[Run]:
    """Keep the hits found at a false discovery rate, with their own rates.

    Parameters
    ----------
    runs : sequence of Run
        Hits, with ``lod`` and, unless all tests have one degree of freedom, ``df``: all those with
        the smallest p-values, as many as may be found at least.
    tests : int
        Number of all tests.
    rate : float
        False discovery rate.
    spill : Spill or None
        As for `Run.of`.

    Returns
    -------
    list of Run
        The hits of each run in the same order, with ``fdr`` besides: the lowest false discovery
        rate at which a hit is found.
    """
    with explained("the folder for temporary files"), SpooledTemporaryFile(_IN_MEMORY) as file:
        ends = np.cumsum([0, *(run.rows for run in runs)])
        scored = [
            _Scored(file, start, run.rows) for run, start in zip(runs, ends.tolist(), strict=False)
        ]
        for run, own in zip(runs, scored, strict=True):
            score = np.concatenate([_scores(part) for part in run.parts()] or [np.empty(0)])
            order = np.argsort(score, kind="stable")
            own.write(0, _as_scored(score[order], order))
        _rate(scored, tests)
        return [
            Run.of(_found(run, own, rate), _with_rate(run), spill)
            for run, own in zip(runs, scored, strict=True)
        ]


def _scores(hits: Records) -> Array:
    """-log10 p of hits."""
    assert hits.dtype.names is not None
    return neg_log10_p(hits["lod"], hits["df"] if "df" in hits.dtype.names else 1)


def _as_scored(value: Array, place: Index) -> Records:
    out = np.empty(value.size, _SCORED)
    out["value"], out["place"] = value, place
    return out


@dataclass(frozen=True)
class _Scored:
    """Hits of a run in the order of their scores, in a file that all runs share.

    Attributes
    ----------
    file : file
        Records of all runs.
    start, rows : int
        Which of them are those of this run.
    """

    file: IO[bytes]
    start: int
    rows: int
    is_held = False

    def read(self, start: int, stop: int) -> Records:
        """Read the records of a range."""
        self.file.seek((self.start + start) * _SCORED.itemsize)
        return np.frombuffer(self.file.read((stop - start) * _SCORED.itemsize), _SCORED)

    def write(self, start: int, records: Records) -> None:
        """Write records in place of those from `start` on."""
        self.file.seek((self.start + start) * _SCORED.itemsize)
        self.file.write(records.tobytes())


def _rate(scored: Sequence[_Scored], tests: int) -> None:
    """Put the rates in place of the scores; what has been merged is not read again."""
    rank = sum(one.rows for one in scored)
    written = np.zeros(len(scored), dtype=np.int64)
    lowest = 1.0
    for records, which in merged(scored, lambda records: (records["value"],)):
        p = 10.0 ** -records["value"]
        rates = p * (tests / np.arange(rank, rank - p.size, -1))
        rates[0] = min(rates[0], lowest)
        records["value"] = np.minimum.accumulate(rates)
        rank, lowest = rank - p.size, records["value"][-1]
        order = np.argsort(which, kind="stable")
        numbers, starts = np.unique(which[order], return_index=True)
        for number, own in zip(numbers, np.split(records[order], starts[1:]), strict=True):
            scored[number].write(int(written[number]), own)
            written[number] += len(own)


def _with_rate(run: Run) -> np.dtype[np.void]:
    return np.dtype([*run.dtype.descr, (FDR, np.float64)])


def _found(run: Run, scored: _Scored, rate: float) -> Iterator[Records]:
    """Hits of a run that are found at a rate, with their own rates."""
    own = scored.read(0, scored.rows)
    rates = np.empty(run.rows)
    rates[own["place"]] = own["value"]
    start = 0
    for part in run.parts():
        mine = rates[start : start + len(part)]
        start += len(part)
        found = mine <= rate
        out = np.empty(int(found.sum()), _with_rate(run))
        for name in run.dtype.names or ():
            out[name] = part[name][found]
        out[FDR] = mine[found]
        yield out
