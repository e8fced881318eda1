"""Lines and cells of the page on SLURM."""

from __future__ import annotations

import shlex
from pathlib import Path

from doc_pages import ROOT, blocks

PAGE = (ROOT / "docs" / "guide" / "slurm.md").read_text()
(CELL,) = (code for code in blocks(PAGE, "python") if "SLURMCluster" in code)


def shell_lines() -> list[str]:
    """Lines of its shell blocks, those that are only shown too."""
    shown = (block for kind in ("sh", "bash") for block in blocks(PAGE, kind))
    return [line for block in shown for line in block.splitlines() if line]


def line_with(word: str, folder: Path, study: Path) -> list[str]:
    """Words of the line that has this word, with a study and a folder in place of /data."""
    (line,) = (line for line in shell_lines() if word in line and "sbatch" in line)
    line = line.replace("/data/study.zarr", str(study))
    return shlex.split(line.replace("/data", str(folder)))
