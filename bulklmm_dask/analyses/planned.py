"""The plan of a scan or of permutations, as people read it: a table, HTML, a dict."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from bulklmm_dask.text import counted, duration, storage


@dataclass(frozen=True)
class Plan:
    """What a scan or permutations would take, from `plan`; nothing of it has run.

    Attributes
    ----------
    method : str
        Method of the scan, or ``"per-trait"`` for permutations.
    n_samples, n_variants, n_traits : int
        Sizes of the study.
    n_permutations : int
        Number of permutations; 0 for a scan.
    chunks : dict
        Size of a block, as `scan` or `permute` takes it: "variants" or "permutations", and
        "traits".
    n_blocks, n_tasks : int
        Number of blocks, and of tasks for the scheduler: blocks, fits, statistics of traits and
        chunks that are read.
    n_bases : int
        Number of eigendecompositions: one a kinship, and one for each further pattern of missing
        values of a chunk of traits.
    read_bytes, written_bytes : int
        Bytes that are read from the study and written into the result, compressed.
    flops : dict
        Floating-point operations by step: "bases", "fits" and "blocks".
    memory : dict
        Bytes of a worker at its peak by part: "worker" (Python and its libraries), "basis"
        (kinships and eigenbases), "traits", "genotypes", "fits" (null models that are kept) and
        "block" (what the threads compute).
    memory_limit : int or None
        Bytes that each worker was said to have.
    workers, threads : int
        Number of workers, and threads of each.
    seconds : dict
        Seconds by step: "bases", "fits", "blocks" and "scheduler", which works beside the blocks.
    total_seconds : float
        Seconds of the whole run.
    notes : tuple of str
        What was assumed, and what should be changed.

    Examples
    --------
    >>> planned = blmm.plan(n_samples=1000, n_variants=10_000_000, n_traits=1_000_000, workers=64,
    ...                     threads=4, memory="16GB")
    >>> planned.n_blocks
    1196335
    >>> planned.chunks
    {'variants': 2048, 'traits': 4096}
    >>> 0.5e9 < planned.memory_bytes < 1.0e9
    True
    >>> sorted(planned.to_dict())[:3]
    ['chunks', 'flops', 'memory']
    """

    method: str
    n_samples: int
    n_variants: int
    n_traits: int
    n_permutations: int
    chunks: dict[str, int]
    n_blocks: int
    n_tasks: int
    n_bases: int
    read_bytes: int
    written_bytes: int
    flops: dict[str, float]
    memory: dict[str, int]
    memory_limit: int | None
    workers: int
    threads: int
    seconds: dict[str, float]
    total_seconds: float
    notes: tuple[str, ...] = ()

    @property
    def memory_bytes(self) -> int:
        """Peak memory of a worker in bytes."""
        return sum(self.memory.values())

    def to_dict(self) -> dict[str, Any]:
        """Give the plan as a dict that JSON can hold."""
        return asdict(self) | {"memory_bytes": self.memory_bytes, "notes": list(self.notes)}

    def __str__(self) -> str:
        rows = self._rows()
        width = max(len(name) for name, _ in rows)
        lines = [f"{name.ljust(width)}  {text}" for name, text in rows]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        rows = [*self._rows(), *(("note", note) for note in self.notes)]
        cells = (f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows)
        return f"<table>{''.join(cells)}</table>"

    def _rows(self) -> list[tuple[str, str]]:
        """Names and texts of the lines of the table."""
        size = " x ".join(f"{count:,} {name}" for name, count in self.chunks.items())
        study = (
            f"{counted(self.n_traits, 'trait')} x {counted(self.n_variants, 'marker')}, "
            f"{counted(self.n_samples, 'sample')}"
        )
        if self.n_permutations:
            study += f", {counted(self.n_permutations, 'permutation')}"
        workers = f"{counted(self.workers, 'worker')} of {counted(self.threads, 'thread')}"
        if self.memory_limit is not None:
            workers += f" and {storage(self.memory_limit)}"
        parts = ", ".join(f"{name} {storage(part)}" for name, part in self.memory.items() if part)
        steps = ", ".join(f"{name} {_time(taken)}" for name, taken in self.seconds.items())
        return [
            ("study", study),
            ("method", self.method),
            ("blocks", f"{self.n_blocks:,} of {size}"),
            ("tasks", f"{self.n_tasks:,}"),
            ("eigenbases", f"{self.n_bases:,}"),
            ("read", storage(self.read_bytes)),
            ("written", storage(self.written_bytes)),
            ("operations", _flop(sum(self.flops.values()))),
            ("workers", workers),
            ("memory each", f"{storage(self.memory_bytes)}: {parts}"),
            ("time", f"{_time(self.total_seconds)}: {steps}"),
        ]


def _flop(count: float) -> str:
    """Format a number of floating-point operations: 25.6 Pflop."""
    for prefix in ("", "k", "M", "G", "T", "P"):
        if count < 1000:
            return f"{count:.3g} {prefix}flop"
        count /= 1000
    return f"{count:,.3g} Eflop"


def _time(seconds: float) -> str:
    """Format a time: 0.42 s, 12:34, 1:23:45, 3.2 days."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 2 * 86400:
        return duration(seconds)
    days = seconds / 86400
    return f"{days:,.1f} days" if days < 1000 else f"{days / 365.25:,.1f} years"
