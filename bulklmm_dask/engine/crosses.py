"""Genotype probabilities of a cross as a dask array, a task a contig and block of samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from dask.delayed import delayed

from bulklmm_dask.crosses.hmm import Chromosome, posterior
from bulklmm_dask.crosses.info import Info
from bulklmm_dask.crosses.types import cross_of
from bulklmm_dask.engine.arrays import in_one_chunk
from bulklmm_dask.engine.blas import one_blas_thread
from bulklmm_dask.typing import Index, Single

# Bytes of the forward probabilities that a task keeps.
_FORWARD = 2**27


@dataclass(frozen=True)
class Contig:
    """One contig of a cross.

    Attributes
    ----------
    chromosome : Chromosome
        Its positions.
    rows : array (markers,) of int
        Its markers in the study, in their order on the map.
    x : bool
        Whether it is an X chromosome.
    kinds : sequence of (cross_info, whether female)
        What its samples' chains depend on.
    which : array (samples,) of int
        The kind of each sample.
    columns : sequence of arrays of int
        For each kind the columns of its states among all genotypes.
    """

    chromosome: Chromosome
    rows: Index
    x: bool
    kinds: Sequence[tuple[Info, bool]]
    which: Index
    columns: Sequence[Index]


def lazy_probabilities(
    calls: Any, contigs: Sequence[Contig], cross: str, error: float, labels: int
) -> da.Array:
    """Make the graph of the genotype probabilities.

    Parameters
    ----------
    calls : array (variants, samples) of int
        Codes of calls, in memory or dask.
    contigs : sequence of Contig
    cross : str
        Type of the cross.
    error : float
        Probability that a call is wrong.
    labels : int
        Number of all genotypes.

    Returns
    -------
    dask array (positions, samples, labels) of float32
        A contig's positions and some of the samples are a chunk.
    """
    samples = calls.shape[1]
    largest = max(
        len(one.chromosome.marker) * max(map(len, one.columns), default=1) for one in contigs
    )
    block = max(1, min(samples, _FORWARD // (8 * largest)))
    rows = []
    for one in contigs:
        mine = calls[one.rows]
        blocks = []
        for start in range(0, samples, block):
            some = slice(start, min(start + block, samples))
            task = delayed(_probabilities)(
                in_one_chunk(mine[:, some]), one, one.which[some], cross, error, labels
            )
            shape = (len(one.chromosome.marker), some.stop - start, labels)
            blocks.append(da.from_delayed(task, shape=shape, dtype=np.float32))
        rows.append(da.concatenate(blocks, axis=1))
    return da.concatenate(rows, axis=0)


def _probabilities(
    calls: Any, contig: Contig, which: Index, cross: str, error: float, labels: int
) -> Single:
    kind_of = cross_of(cross)
    chains = [kind_of.chain(info, x=contig.x, female=female) for info, female in contig.kinds]
    with one_blas_thread():
        return posterior(
            contig.chromosome, chains, which, contig.columns, np.asarray(calls), error, labels
        )
