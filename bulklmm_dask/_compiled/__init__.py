"""Which loops compiled in C are used; the headers of this folder have what their modules share.

They are built with the package where there is a C compiler. Where there was none, and where the
environment has ``BULKLMM_DASK_KERNELS=numpy``, NumPy computes the same, more slowly. Of a module
whose loops are compiled for several sets of instructions, the variable also takes the name of one
that the processor has: ``baseline``, ``avx2``, ``avx512``; without it the last is taken.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from types import ModuleType

from bulklmm_dask.errors import InputError

VARIABLE = "BULKLMM_DASK_KERNELS"
NUMPY = "numpy"
# In the order in which modules number them.
_INSTRUCTIONS = ("baseline", "avx2", "avx512")


@cache
def built(name: str) -> ModuleType | None:
    """The compiled module of a dotted name below this package; None where it was not built."""
    try:
        return import_module(f"bulklmm_dask.{name}")
    except ImportError:
        return None


def wanted() -> str:
    """What the environment names, in lower case; nothing for the fastest loops that there are."""
    return os.environ.get(VARIABLE, "").strip().lower()


def choices(module: ModuleType | None) -> tuple[str, ...]:
    """What the environment may name for a module (None: not built), the fastest last."""
    return (NUMPY, *(() if module is None else _INSTRUCTIONS[: module.best() + 1]))


def chosen(module: ModuleType | None) -> int | None:
    """Number of the loops of a module to use; None for NumPy.

    Raises
    ------
    InputError
        If the environment names loops that this machine does not have.
    """
    return _place(wanted(), choices(module))


@cache
def _place(name: str, known: tuple[str, ...]) -> int | None:
    if name and name not in known:
        raise InputError(
            f"the environment has {VARIABLE}={name!r}, but here are only {', '.join(known)}; "
            "correct or unset it"
        )
    place = known.index(name) if name else len(known) - 1
    return None if place == 0 else place - 1
