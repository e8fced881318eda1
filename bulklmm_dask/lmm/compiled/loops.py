"""Whether there are compiled loops, and for which instructions of the processor.

They are built with the package where there is a C compiler. Where there was none, and where the
environment has ``BULKLMM_DASK_KERNELS=numpy``, NumPy computes the same, more slowly. The variable
also takes the name of a set of instructions that the processor has: ``baseline``, ``avx2``,
``avx512``; without it the last that the processor has is taken.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

from bulklmm_dask._compiled import NUMPY, VARIABLE, wanted
from bulklmm_dask.errors import InputError

# In the order in which the module numbers them.
_INSTRUCTIONS = ("baseline", "avx2", "avx512")


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
    module = built()
    return (NUMPY, *(() if module is None else _INSTRUCTIONS[: module.best() + 1]))


def loops() -> int | None:
    """Number of the loops to use; None for NumPy.

    Raises
    ------
    InputError
        If the environment names loops that this machine does not have.
    """
    return _loops_of(wanted())


@cache
def _loops_of(name: str) -> int | None:
    known = available()
    if name and name not in known:
        raise InputError(
            f"the environment has {VARIABLE}={name!r}, but here are only {', '.join(known)}; "
            "correct or unset it"
        )
    place = known.index(name) if name else len(known) - 1
    return None if place == 0 else place - 1
