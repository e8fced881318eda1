"""With --json every command prints one object, whatever its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import call_of, every_command, files_of_calls, run
from faults.machines import MAIN

from bulklmm_dask.cli import main

COMMANDS = {" ".join(names): command for names, command in every_command()}
OF_ALL = ("command", "files", "notes", "seconds")
# They only tell; all others write what the call names.
TELLING = {"maxima", "hits", "peaks", "hotspots", "thresholds", "heritability", "profile"}
TELLING |= {"plan", "info", "verify", "help", "completion", "blup"}

pytestmark = pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return files_of_calls(tmp_path_factory.mktemp("json"))


def told_by(shown):
    """The one object of a command's output."""
    (line,) = shown.splitlines()
    told = json.loads(line)
    assert set(OF_ALL) <= set(told)
    assert told["seconds"] >= 0
    assert all(isinstance(note, str) for note in told["notes"])
    return told


@pytest.mark.parametrize("name", COMMANDS)
def test_what_was_done(folder, tmp_path, monkeypatch, name):
    monkeypatch.chdir(folder)
    words = call_of(name, folder, tmp_path)
    more = ["--traits", "6"] if name == "demo" else []
    told = told_by(run(*words, *more, "--json").stdout)
    assert (told["command"], "error" in told) == (name, False)
    written = [tmp_path / one for one in os.listdir(tmp_path)]
    assert [Path(file) for file in told["files"]] == written
    assert bool(written) == (name not in TELLING)
    assert set(told) > set(OF_ALL)  # and what was done


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("wrong", ["--nonsense", "--quiet=much"])
def test_a_command_line_that_cannot_be_understood(name, wrong):
    for words in ([*name.split(), "--json", wrong], [*name.split(), wrong, "--json"]):
        found = run(*words, code=2)
        told = told_by(found.stdout)
        assert told["command"] == name
        assert found.stderr.splitlines()[-1] == f"Error: {told['error']}"


@pytest.mark.parametrize("words", ["nonsense --json", "--nonsense scan --json", "plot what --json"])
def test_what_is_no_command(words):
    found = run(*words.split(), code=2)
    assert found.stderr.splitlines()[-1] == f"Error: {told_by(found.stdout)['error']}"


def test_a_name_is_no_option(folder):
    assert not run("maxima", "--top", "0", "--", "--json", code=2).stdout


@pytest.mark.parametrize(
    "name", [one for one in COMMANDS if one not in ("help", "completion", "simulate")]
)
def test_something_is_wrong(folder, tmp_path, monkeypatch, name):
    """What each call reads first is not there."""
    monkeypatch.chdir(folder)
    call = call_of(name, folder, tmp_path)
    words = ["none.zarr" if (folder / word).exists() else word for word in call]
    found = CliRunner().invoke(main, [*words, "--json"])
    assert found.exit_code in (1, 2), found.output
    told = told_by(found.stdout)
    assert told["command"] == name
    assert found.stderr.splitlines()[-1].lower() == f"error: {told['error']}".lower()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("number", "code", "words"),
    [(signal.SIGINT, 130, "stopped; "), (signal.SIGTERM, 143, "stopped by SIGTERM; ")],
)
def test_a_command_that_was_stopped(tmp_path, number, code, words):
    """The object says so, and how it goes on, as standard error does."""
    study, result = tmp_path / "study.zarr", tmp_path / "lod.zarr"
    run("simulate", study, "--traits", 400, "--samples", 60, "--strains", 0, "--variants", 2000)
    run("kinship", study)
    call = ["scan", study, result, "--chunks", "20,20", "--method", "alt-exact", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *map(str, call)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if "400 traits x 2,000 markers" in line:
            break
    process.send_signal(number)
    shown, said = process.communicate(timeout=120)
    assert process.returncode == code, said
    told = told_by(shown)
    assert told["error"].startswith(words + f"what is finished is in {result}")
    assert said.splitlines()[-1] == told["error"]
    assert (told["command"], told["traits"], told["files"]) == ("scan", 400, [])
