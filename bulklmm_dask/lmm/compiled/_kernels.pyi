from typing import Any

import numpy.typing as npt

from bulklmm_dask.typing import Index, Real, Single

def best() -> int: ...
def chains(arrays: tuple[npt.NDArray[Any], ...], sizes: tuple[int, ...], loops: int) -> None: ...
def lods(
    score: Real,
    inverse: Real,
    out: Single,
    again: Index,
    limit: float,
    scale: float,
    loops: int,
) -> int: ...
