from typing import Any

import numpy.typing as npt

def chains(arrays: tuple[npt.NDArray[Any], ...], sizes: tuple[int, ...], loops: int) -> None: ...
