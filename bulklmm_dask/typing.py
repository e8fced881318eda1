"""Names of types that many modules share."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Real: TypeAlias = npt.NDArray[np.floating]
Index: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Names: TypeAlias = npt.NDArray[np.object_]
Single: TypeAlias = npt.NDArray[np.float32]
By: TypeAlias = Literal["contig"]
Columns: TypeAlias = dict[str, npt.NDArray[Any]]
