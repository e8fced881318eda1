"""Blocks, commands, links and paths of a page in Markdown."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from bulklmm_dask.cli import main

ROOT = Path(__file__).resolve().parents[1]
_NOT_RUN = r"<!-- not run: [^>]+ -->\n\n?"


def blocks(text: str, language: str, *, to_run: bool = False) -> list[str]:
    """Code blocks of a language, in order; to run: without those that say why they are not run."""
    if to_run:
        text = re.sub(rf"{_NOT_RUN}```.*?```", "", text, flags=re.DOTALL)
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[str]:
    """Every ``bulklmm ...`` line of its shell blocks, and those in single backticks."""
    lines = [line.strip() for block in blocks(text, "bash") for line in block.splitlines()]
    inline = re.findall(r"`(bulklmm [a-z]+(?: [^`]+)?)`", text.replace("\n", " "))
    return [line for line in lines if line.startswith("bulklmm ")] + inline


def parse(line: str) -> None:
    """Let click parse a command line without running it; click.UsageError where it cannot."""
    words = shlex.split(line, comments=True)[1:]
    ends = [at for at, word in enumerate(words) if word in ("|", ">", ">>")]  # the shell's own
    words = words[: min(ends, default=None)]
    command, context = main, main.make_context("bulklmm", list(words), resilient_parsing=True)
    while words and hasattr(command, "get_command"):
        name, *words = words
        found = command.get_command(context, name)
        assert found is not None, f"{line}: there is no command {name}"
        command = found
        if "--help" in words:
            return
        if not hasattr(command, "get_command") and words:
            command.make_context(name, words, parent=context)


def links(text: str) -> list[str]:
    """Targets of its relative links, without their anchors."""
    return [
        target.split("#")[0]
        for target in re.findall(r"\]\(([^)\s]+)\)", text)
        if not re.match(r"[a-z]+:|#", target)
    ]


def paths(text: str) -> list[str]:
    """Files and folders of the repository that it names in backticks."""
    roots = "benchmarks|bulklmm_dask|cluster_configs|docs|notebooks|tests"
    found = re.findall(rf"`((?:{roots})/[\w./]*)`", text)
    return [path for path in found if "FORMAT" not in path and "_build" not in path]
