"""LODs reduced to the resolution of a picture: the highest of each trait in stretches of genome."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from bulklmm_dask.engine.blockwise import Block, gathered
from bulklmm_dask.results.pairs import blocks
from bulklmm_dask.storage.summaries.highest import highest_of_runs
from bulklmm_dask.typing import Columns, Index

_HIGHEST = 6e4  # that half precision holds; LODs beyond are drawn as this


def highest_lods(result: xr.Dataset, stretch: Index, n_stretches: int) -> npt.NDArray[np.float16]:
    """Highest LOD of every trait in each stretch of the genome.

    Parameters
    ----------
    result : Dataset
        A result; each of its blocks is computed once.
    stretch : array (variants,)
        Index of the stretch that each marker lies in; -1 for none.
    n_stretches : int
        Number of stretches.

    Returns
    -------
    array (traits, stretches)
        In half precision; NaN where a stretch has no LOD.
    """
    whole = blocks(result, ["lod"])
    whole["stretch"] = ("variants", stretch)
    options = {"n_stretches": n_stretches}
    return np.concatenate(gathered(whole, _sift, _gather, sift_with={}, gather_with=options))


def _sift(block: Block) -> Columns:
    """Highest LOD of every trait of a block in each stretch that the block reaches."""
    stretch = block["stretch"].values
    order = np.argsort(stretch, kind="stable")
    starts = np.flatnonzero(np.diff(stretch[order], prepend=-2))
    lods = np.clip(highest_of_runs(block["lod"].values[order], starts), -_HIGHEST, _HIGHEST)
    return {"stretch": stretch[order][starts], "lod": lods}


def _gather(parts: list[Columns], chunk: int, *, n_stretches: int) -> npt.NDArray[np.float16]:
    """Put the blocks of a chunk of traits together."""
    out = np.full((n_stretches, parts[0]["lod"].shape[1]), np.nan, dtype=np.float32)
    for part in parts:
        known = part["stretch"] >= 0
        stretch = part["stretch"][known]
        out[stretch] = np.fmax(out[stretch], part["lod"][known])
    return out.T.astype(np.float16)
