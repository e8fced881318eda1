"""Genotype probabilities of a cross as a dask array, a task a contig and block of samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize

from bulklmm_dask.crosses.hmm import posterior
from bulklmm_dask.crosses.info import Info
from bulklmm_dask.crosses.seen import Chromosome
from bulklmm_dask.crosses.types import cross_of
from bulklmm_dask.engine.arrays import as_dask, per_block
from bulklmm_dask.engine.blas import one_blas_thread
from bulklmm_dask.engine.held import held_array, held_objects
from bulklmm_dask.typing import Index, Single

# Bytes of the forward probabilities, in single precision, that a task keeps.
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
    positions = tuple(len(one.chromosome.marker) for one in contigs)
    largest = max(
        count * max(map(len, one.columns)) for count, one in zip(positions, contigs, strict=True)
    )
    markers = tuple(len(one.rows) for one in contigs)
    block = max(1, min(samples, _FORWARD // (4 * largest)))
    mine = as_dask(calls[np.concatenate([one.rows for one in contigs])], (markers, block), "calls")
    kinds = held_array(np.stack([one.which for one in contigs]), (1, block), "kinds")
    # Each block takes the kinds of its own samples only.
    known = [replace(one, which=np.empty(0, np.int64)) for one in contigs]
    held = held_objects("contigs", known, (markers,), known)
    options = {"cross": cross, "error": error, "labels": labels}
    token = tokenize(mine.name, kinds.name, held.name, options)
    return per_block(
        _probabilities,
        "vsg",
        *(mine, "vs", held, "v", kinds, "vs"),
        name=f"genotype-probabilities-{token}",
        dtype=np.float32,
        new_axes={"g": labels},
        adjust_chunks={"v": positions},
        **options,
    )


def _probabilities(
    calls: Any, contig: Contig, which: Any, *, cross: str, error: float, labels: int
) -> Single:
    kind_of = cross_of(cross)
    chains = [kind_of.chain(info, x=contig.x, female=female) for info, female in contig.kinds]
    with one_blas_thread():
        return posterior(
            contig.chromosome,
            chains,
            np.asarray(which)[0],
            contig.columns,
            np.asarray(calls),
            error,
            labels,
        )
