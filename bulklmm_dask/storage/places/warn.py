"""Warnings at the line of the user's call."""

from __future__ import annotations

import sys
import warnings

from bulklmm_dask.errors import StudyWarning
from bulklmm_dask.text import message


def say(words: str) -> None:
    """Issue a StudyWarning that points at the first caller outside this package."""
    package = __name__.partition(".")[0]
    frame, level = sys._getframe(0), 1
    while frame.f_back is not None and _is_inside(frame.f_globals.get("__name__"), package):
        frame, level = frame.f_back, level + 1
    warnings.warn(message(words), StudyWarning, stacklevel=level)


def _is_inside(module: object, package: str) -> bool:
    return isinstance(module, str) and module.partition(".")[0] == package
