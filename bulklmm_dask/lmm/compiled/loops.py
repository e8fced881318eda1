"""The compiled loops of the scanners: whether they were built, and which are used."""

from __future__ import annotations

from functools import cache
from types import ModuleType

from bulklmm_dask._compiled import choices, chosen


@cache
def built() -> ModuleType | None:
    """The compiled module; None where it was not built."""
    try:
        from bulklmm_dask.lmm.compiled import _kernels
    except ImportError:
        return None
    return _kernels


def available() -> tuple[str, ...]:
    """What the variable of the environment may name on this machine, the fastest last."""
    return choices(built())


def loops() -> int | None:
    """Number of the loops to use; None for NumPy."""
    return chosen(built())
