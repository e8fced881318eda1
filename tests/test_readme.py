"""The README: its two examples run as they stand, its other commands and names exist."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

import bulklmm_dask as blmm
from bulklmm_dask.cli import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def block(language: str, word: str) -> str:
    """The one code block of a language that holds a word."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    (found,) = (text for text in blocks if word in text)
    return found


@pytest.mark.slow
def test_the_library_example_runs(capsys):
    names = {}
    exec(compile(block("python", "import bulklmm_dask"), "README.md", "exec"), names)
    peaks = names["peaks"].set_index("trait")
    assert len(capsys.readouterr().out.splitlines()) == 6
    assert names["curve"].max() == peaks.lod.iloc[0]
    truth = names["ds"].trait_true_variant.to_series()
    best = peaks.nlargest(10, "lod").index
    contig = [name.split(":")[0] for name in truth[best]]
    assert list(peaks.contig[best]) == contig


@pytest.mark.slow
def test_the_command_line_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in block("bash", "bulklmm scan").splitlines():
        program, *arguments = shlex.split(line, comments=True)
        assert program == "bulklmm"
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 6
    assert blmm.open_result("lod.zarr").sizes["traits"] == 200


@pytest.mark.parametrize("line", re.findall(r"`(bulklmm \w+ .*?)`", README))
def test_other_commands_parse(line):
    group = main.make_context("bulklmm", shlex.split(line)[1:], resilient_parsing=True)
    name, *rest = shlex.split(line)[1:]
    if "--help" not in rest:
        main.commands[name].make_context(name, rest, parent=group)


def test_targets_names_and_paths_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?:^|`)make (\w+)", README, flags=re.MULTILINE))
    assert targets == {"bench", "demo", "test"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    before, peers = README.split("## For users of R/qtl2\n")
    ours = before + re.sub(r"^\|[^|]*\|", "|", peers, flags=re.MULTILINE)  # not R's own names
    for name in re.findall(r"blmm\.(\w+)|`(?=\w+\()(\w+)", ours):
        assert hasattr(blmm, name[0] or name[1]), name
    for path in re.findall(r"`((?:notebooks|cluster_configs)/[\w./]*)`", README):
        assert (ROOT / path).exists(), path
