"""Which loops compiled in C the environment asks for, where they were built."""

from __future__ import annotations

import os

# Takes `NUMPY`, or a set of instructions for the loops that are compiled for several.
VARIABLE = "BULKLMM_DASK_KERNELS"
NUMPY = "numpy"


def wanted() -> str:
    """What the environment names, in lower case; nothing for the fastest loops that there are."""
    return os.environ.get(VARIABLE, "").strip().lower()
