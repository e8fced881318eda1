"""The README: short, and its two examples run as they stand. `test_docs` checks its names."""

import shlex

import pytest
from click.testing import CliRunner
from doc_pages import ROOT, blocks

import bulklmm_dask as blmm
from bulklmm_dask.cli import main

README = (ROOT / "README.md").read_text()


def block(language: str, word: str) -> str:
    """The one code block of a language that holds a word."""
    (found,) = (text for text in blocks(README, language) if word in text)
    return found


def test_it_is_short():
    assert len(README.splitlines()) <= 100


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
