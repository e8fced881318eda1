"""The compiled loops of the scanners: whether they were built, and which are used."""

from __future__ import annotations

from types import ModuleType

from bulklmm_dask import _compiled


def built() -> ModuleType | None:
    """The compiled module; None where it was not built."""
    return _compiled.built("lmm.compiled._kernels")


def loaded() -> ModuleType:
    """The compiled module, where it was built."""
    module = built()
    assert module is not None
    return module


def available() -> tuple[str, ...]:
    """What the variable of the environment may name on this machine, the fastest last."""
    return _compiled.choices(built())


def loops() -> int | None:
    """Number of the loops to use; None for NumPy."""
    return _compiled.chosen(built())
