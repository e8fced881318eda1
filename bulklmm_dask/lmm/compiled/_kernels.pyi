from bulklmm_dask.typing import Index, Real, Single

def best() -> int: ...
def lods(
    score: Real,
    inverse: Real,
    out: Single,
    again: Index,
    limit: float,
    scale: float,
    loops: int,
) -> int: ...
