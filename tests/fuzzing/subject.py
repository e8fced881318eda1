"""What is fuzzed: a small valid input, how it is mutated, and the call that must stand it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fuzzing.mutations import mutate_folder


@dataclass(frozen=True)
class Subject:
    """A small valid input, and the call that is tried on what mutation makes of it.

    Attributes
    ----------
    write : callable
        Writes the input into a folder.
    use : callable
        Takes the folder; may only raise InputError or StoreError.
    mutate : callable
        Mutates the input in its folder by random numbers; what was done, for a report.
    """

    write: Callable[[Path], None]
    use: Callable[[Path], object]
    mutate: Callable[[Random, Path], list[str]] = mutate_folder
