"""Type aliases shared by many modules."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
# float32 or float64: the precision of a scan.
Real: TypeAlias = npt.NDArray[np.floating]
Index: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]
# Names as Python strings.
Names: TypeAlias = npt.NDArray[np.object_]
Single: TypeAlias = npt.NDArray[np.float32]
# Checksums (crc32c).
Sums: TypeAlias = npt.NDArray[np.uint32]
# Groups of markers that have a maximum of their own.
By: TypeAlias = Literal["contig"]
# Codecs of stored scores.
CompressionName: TypeAlias = Literal["lz4", "zstd"]
# Arrays of a result under the names of their variables.
Columns: TypeAlias = dict[str, npt.NDArray[Any]]
