import numpy as np
import numpy.typing as npt

from bulklmm_dask.typing import Index, Real

def pack(
    source: npt.NDArray[np.uint8], rows: Index, itemsize: int, out: npt.NDArray[np.uint8]
) -> int: ...
def summarise(
    lod: Real,
    where: Index,
    markers: Index,
    edges: Index,
    highest: Real,
    place: npt.NDArray[np.int32],
    counts: npt.NDArray[np.uint32],
    shift: int,
    first: int,
) -> None: ...
