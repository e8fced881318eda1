import numpy as np
import numpy.typing as npt

from bulklmm_dask.typing import Index, Real

def summarise(
    lod: Real,
    rows: Index,
    edges: Index,
    highest: Real,
    place: npt.NDArray[np.int32],
    counts: npt.NDArray[np.uint32],
    shift: int,
    first: int,
) -> None: ...
