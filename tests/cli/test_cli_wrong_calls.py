"""Wrong calls of every command are told in the words of the shell, and leave nothing behind."""

from __future__ import annotations

import inspect
import re

import click
import pytest
from click.testing import CliRunner
from commands import CALLS, call_of, every_command, files_of_calls

import bulklmm_dask as blmm
from bulklmm_dask.cli import main

COMMANDS = {" ".join(names): command for names, command in every_command()}

# Told by click, or waited for; tried elsewhere.
NOT_TRIED = {"scheduler", "processes", "threads", "memory", "dashboard", "performance_report"}
SLOW = ("plot", "report", "demo", "hotspots", "plan")  # they draw, or measure the machine


@pytest.fixture(autouse=True)
def figures():
    """Pictures of a backend without windows, which are closed after a test."""
    pytest.importorskip("matplotlib").use("Agg")
    yield
    plt = pytest.importorskip("matplotlib.pyplot")
    left = plt.get_fignums()
    plt.close("all")
    assert not left


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return files_of_calls(tmp_path_factory.mktemp("wrong"))


def python_names():
    """Arguments of public functions that no user of the shell knows: those with an underscore."""
    functions = [getattr(blmm, name) for name in blmm.__all__]
    found = {
        name
        for function in functions
        if inspect.isroutine(function)
        for name in inspect.signature(function).parameters
        if "_" in name.strip("_")
    }
    return found - set(blmm.plan(n_samples=9, n_variants=9, n_traits=9).to_dict())


WORDS = re.compile(
    rf"\b(?:{'|'.join(sorted(python_names()))})\b|\b[A-Za-z_]\w*=[\w'\[(]|=True|bulklmm_dask\.|\bds\["
    r"|\bNone\b|Dataset|DataArray|Traceback|dtype|array\(|attrs\["
)


# That no option of numbers takes, but a few: a LOD may be negative.
NUMBERS = ("-1", "nan")


def wrong_values(param):
    """Values that an option hardly means, of its kind."""
    kind = param.type
    if isinstance(kind, click.Choice) or param.is_flag:
        return []
    if isinstance(kind, click.types.IntParamType):
        return ["-1"]
    if isinstance(kind, click.types.FloatParamType):
        return list(NUMBERS)
    return ["no such thing"]


def options_of(command):
    return [
        param
        for param in command.params
        if isinstance(param, click.Option) and param.name not in NOT_TRIED
    ]


def check(words, result):
    assert result.exit_code in (0, 1, 2), (words, result.output, result.exception)
    told = result.stderr if result.exit_code else ""
    for line in told.splitlines():
        assert not WORDS.search(line), f"{' '.join(words)}: {line}"


def test_every_command_has_a_call():
    assert set(COMMANDS) <= set(CALLS)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(one, marks=pytest.mark.slow if one.split()[0] in SLOW else ())
        for one in CALLS
        if one in COMMANDS and one != "demo"
    ],
)
def test_wrong_values_are_told_in_the_words_of_the_shell(folder, tmp_path, monkeypatch, name):
    monkeypatch.chdir(folder)
    tried = 0
    for param in options_of(COMMANDS[name]):
        for value in wrong_values(param):
            new = tmp_path / str(tried)
            new.mkdir()
            words = [*call_of(name, folder, new), param.opts[0], value]
            result = CliRunner().invoke(main, words)
            check(words, result)
            if result.exit_code:
                assert list(new.iterdir()) == [], words
            if value in NUMBERS:
                assert result.exit_code in (0, 2), (words, result.output)
            tried += 1
    left = {path.name for path in folder.iterdir()}
    assert {"study.zarr", "scan.zarr"} <= left
    if (folder / "no such thing").is_file():  # an output by this name
        (folder / "no such thing").unlink()


@pytest.mark.parametrize(
    "name", [one for one in CALLS if one in COMMANDS and one not in ("help", "completion", "demo")]
)
def test_other_files_are_told_in_the_words_of_the_shell(folder, tmp_path, monkeypatch, name):
    """Each path of a call is put in the place of each other, and is missing once."""
    monkeypatch.chdir(folder)
    words = call_of(name, folder, tmp_path)
    places = [at for at, word in enumerate(words) if (folder / word).exists()]
    for at in places:
        for other in ("study.zarr", "scan.zarr", "perm.zarr", "peaks.csv", "t.csv", "none.zarr"):
            if other == words[at] or (other in ("t.csv", "peaks.csv") and name == "info"):
                continue
            wrong = [*words[:at], other, *words[at + 1 :]]
            check(wrong, CliRunner().invoke(main, wrong))
            for file in tmp_path.glob("*"):
                if file.is_file():
                    file.unlink()
