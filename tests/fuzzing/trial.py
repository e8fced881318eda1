"""One try: mutate a valid input by a seed, use it, and tell how that ended."""

from __future__ import annotations

import shutil
import signal
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from types import FrameType

import bulklmm_dask as blmm
from fuzzing.subjects import SUBJECTS

OURS = (blmm.InputError, blmm.StoreError)
# Seconds until a try hangs: of processors, and of a clock, where a busy machine takes long.
_WORK, _PATIENCE = 60, 600
# Warnings of other libraries: labels larger than the picture, a coordinate's name with a blank.
_HARMLESS = ("constrained_layout not applied", "coordinate .* has a space in its name")


@dataclass(frozen=True)
class Outcome:
    """How a try ended.

    Attributes
    ----------
    subject, seed
        What to give to `attempt` for the same again.
    kind : str
        "ok", "InputError", "StoreError", or "foreign".
    names_file : bool
        Whether the message of the error names the input, or a file of it.
    what : str
        What was mutated, and the error.
    """

    subject: str
    seed: int
    kind: str
    names_file: bool
    what: str


class Hung(BaseException):
    """A try took too long; nothing may catch it."""


def attempt(subject: str, seed: int, keep: Path | None = None) -> Outcome:
    """Mutate the input of a subject and use it; `keep` gets the input if that ends badly."""
    rng = Random(f"{subject} {seed}")
    with tempfile.TemporaryDirectory(prefix="bulklmm-fuzz-") as name:
        folder = Path(name) / "study"
        shutil.copytree(_valid(subject), folder)
        done = SUBJECTS[subject].mutate(rng, folder)
        if keep is not None:
            shutil.copytree(folder, keep, dirs_exist_ok=True)
        files = {file.name for file in folder.rglob("*")} | {str(folder)}
        kind, error, trace = "ok", "", ""
        try:
            with _patience(), warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", blmm.StudyWarning)
                for words in _HARMLESS:
                    warnings.filterwarnings("ignore", words)
                SUBJECTS[subject].use(folder)
        except OURS as found:
            kind, error = type(found).__name__, str(found)
        except (Exception, Hung) as found:
            kind, error = "foreign", f"{type(found).__name__}: {found}"
            trace = "\n" + "".join(traceback.format_tb(found.__traceback__)[-6:])
    named = kind == "ok" or any(file in error for file in files)
    return Outcome(subject, seed, kind, named, f"{'; '.join(done)} -> {error[:500]}{trace}")


@cache
def _valid(subject: str) -> Path:
    """Folder with the valid input of a subject, written once."""
    folder = Path(tempfile.mkdtemp(prefix="bulklmm-fuzz-"))
    SUBJECTS[subject].write(folder)
    return folder


@contextmanager
def _patience() -> Iterator[None]:
    """Raise Hung in a try that takes too long."""

    def hang(number: int, frame: FrameType | None) -> None:
        raise Hung(f"no end after {_WORK} seconds of work, or {_PATIENCE} seconds")

    limits = {
        (signal.SIGPROF, signal.ITIMER_PROF): _WORK,
        (signal.SIGALRM, signal.ITIMER_REAL): _PATIENCE,
    }
    before = {number: signal.signal(number, hang) for number, _ in limits}
    for (_, timer), seconds in limits.items():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for _, timer in limits:
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
