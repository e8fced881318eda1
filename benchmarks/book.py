"""The book: figures of the benchmarks in a file, each with what it was measured by.

A run is kept under the name of its compiled loops (numpy, baseline, avx2, avx512): machine,
instructions and versions at its head, then figures, each with the options it was measured with. A
later run of the same head renews the figures that it measures; one of another head takes the place
of the whole run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info
from timing import Spread

FORMAT = 1
BOOK = Path(__file__).with_name("results.json")
LIBRARIES = ("numpy", "scipy", "dask", "xarray", "zarr")
# What a run is made of besides its head, and what tells the figures of a part from each other.
PARTS = {
    "cases": ("study", "case"),
    "accuracy": ("what",),
    "peers": ("peer", "study"),
    "sizes": ("axis", "size", "case"),
}


def head() -> dict[str, Any]:
    """Machine, instructions and versions of a run."""
    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    # SciPy may have one of its own.
    blas = max(libraries, key=lambda library: "numpy" in library["filepath"])
    return {
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "instructions": {
            "loops": loops(),
            "blas": f"{blas['internal_api']} {blas['version']} {blas.get('architecture', '')}",
            "numpy": " ".join(sorted(name for name, has in _features().items() if has)),
        },
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("bulklmm-dask", *LIBRARIES)},
    }


def loops() -> str:
    """Name of the compiled loops that scans of this process use."""
    from bulklmm_dask.lmm.compiled import loops

    number = loops.loops()
    return loops.available()[0 if number is None else number + 1]


def _features() -> dict[str, bool]:
    from numpy._core._multiarray_umath import __cpu_features__

    return dict(__cpu_features__)


def _processor() -> str:
    """Name of the processor, with its family and model where the system tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = told.get("model name", platform.machine())
    return f"{name}, family {told.get('cpu family', '?')}, model {told.get('model', '?')}"


def add_option(parser: argparse.ArgumentParser) -> None:
    """The option that names the book."""
    parser.add_argument(
        "--book",
        type=Path,
        default=BOOK,
        metavar="JSON",
        help="file to keep the figures in; default: %(default)s",
    )


def read(path: Path) -> dict[str, Any]:
    """The runs of a book by name; none where there is no book yet."""
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text())
        number = found["format"]
        runs = found["runs"]
    except (ValueError, KeyError, TypeError) as error:
        raise SystemExit(
            f"{path} is no book of benchmarks ({error!r}); name another with --book"
        ) from None
    if number != FORMAT:
        raise SystemExit(
            f"{path} has format {number!r}, and this checkout reads {FORMAT}; "
            "name another book with --book"
        )
    return runs


def begin(path: Path, *, partly: bool) -> None:
    """Begin a run: that of the book goes on where its head is the same, else a new one.

    Where only a part is measured, the figures of another head are not given up.
    """
    before = read(path).get(loops(), {})
    new = head()
    other = [key for key, value in new.items() if before.get(key) != value]
    if not other:
        return
    if before and partly:
        raise SystemExit(
            f"{path} has a run {loops()!r} with other {' and '.join(other)}, of which a part would "
            "be left; name another book with --book, or measure all with bench.py"
        )
    _write(path, new)


def add(path: Path, part: str, figure: dict[str, Any]) -> None:
    """Put a figure into the run in place of the one of the same name; with the machine's load."""
    run = read(path)[loops()]
    figures = run.setdefault(part, [])
    figure = figure | {"load": round(os.getloadavg()[0], 1)}
    named = [figure[name] for name in PARTS[part]]
    same = [i for i, old in enumerate(figures) if [old[n] for n in PARTS[part]] == named]
    at = same[0] if same else len(figures)
    figures[at : at + 1] = [figure]
    run["date"] = date.today().isoformat()
    _write(path, run)


def _write(path: Path, run: dict[str, Any]) -> None:
    """Write a run beside those of other loops; the file is whole at every moment."""
    runs = read(path) | {run["instructions"]["loops"]: run}
    text = json.dumps({"format": FORMAT, "runs": dict(sorted(runs.items()))}, indent=1)
    new = path.with_suffix(".new")
    new.write_text(text + "\n")
    new.replace(path)


def rounded(number: float) -> float:
    """A figure as the book keeps it: four significant digits."""
    return float(f"{number:.4g}")


def spread(numbers: Spread) -> dict[str, float]:
    """A spread as the book keeps it."""
    return {key: rounded(value) for key, value in asdict(numbers).items()}
