"""The command report, and the calls and commands that a report says would make it again."""

from __future__ import annotations

import shlex
from types import SimpleNamespace

import click
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from pages import Page

import bulklmm_dask as blmm
from bulklmm_dask.cli import main
from bulklmm_dask.reporting.repeat import how_to_repeat
from bulklmm_dask.storage.labels.encoding import text

pytestmark = pytest.mark.slow  # whole commands


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a study, a result and permutations of it."""
    folder = tmp_path_factory.mktemp("report")
    ds = blmm.simulate_study(
        n_samples=80, n_strains=None, n_variants=150, n_traits=30, n_contigs=4, n_covariates=2
    )
    ds["kinship"] = blmm.kinship(ds).compute()
    ds["sample_n"] = ("samples", np.arange(80) % 3 + 1.0)
    blmm.save(ds, folder / "study.zarr")
    blmm.scan(ds, reml=True, statistics=("beta",), store=folder / "lod.zarr")
    blmm.permute(ds, n_permutations=50, seed=3, reml=True, store=folder / "perm.zarr")
    return folder


def run(*arguments):
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


def test_the_command_writes_the_page(folder, tmp_path):
    out = tmp_path / "report.html"
    options = ["--study", folder / "study.zarr", "--perm", folder / "perm.zarr"]
    done = run(folder / "lod.zarr", "--out", out, "--threshold", 2, "--top", 7, *options)
    assert done.exit_code == 0, done.output
    assert f"{out} is written" in done.output
    page = Page(out.read_text(encoding="utf-8"))
    assert len(page.table()) == 7
    assert "p adjusted" in page.said("th")
    assert "Samples" in page.said("dt")


@pytest.mark.slow
def test_a_page_is_not_replaced_without_being_asked(folder, tmp_path):
    out = tmp_path / "report.html"
    out.write_text("before")
    done = run(folder / "lod.zarr", "--out", out)
    assert done.exit_code == 1
    assert "--overwrite" in done.output
    assert out.read_text() == "before"
    assert run(folder / "lod.zarr", "--out", out, "--overwrite").exit_code == 0
    assert out.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.zarr"], "there is no result store"),
        (["study.zarr"], "not a result store"),
        (["perm.zarr"], "give a store of 'bulklmm scan'"),
        (["lod.zarr", "--perm", "lod.zarr"], "--perm holds no permutations"),
    ],
)
def test_other_inputs_are_told_in_a_line(folder, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(folder)
    done = run(*arguments, "--out", tmp_path / "report.html")
    assert done.exit_code == 1
    assert message in done.output
    lines = done.output.splitlines()
    assert len([line for line in lines if not line.startswith("computes on")]) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_what_a_page_says_makes_it_again(folder, tmp_path, monkeypatch):
    """The script and the commands, as they stand, beside the study alone."""
    options = ["--study", folder / "study.zarr", "--perm", folder / "perm.zarr"]
    run(folder / "lod.zarr", "--out", tmp_path / "report.html", "--threshold", 3, *options)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    python, shell = Page(page).said("code")
    for place in ("python", "shell"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "study.zarr").symlink_to(folder / "study.zarr")
    monkeypatch.chdir(tmp_path / "python")
    exec(compile(python, "page", "exec"), {})
    monkeypatch.chdir(tmp_path / "shell")
    for command in shell.replace("\\\n", "").splitlines():
        assert CliRunner().invoke(main, shlex.split(command)[1:]).exit_code == 0, command
    for place in ("python", "shell"):
        made = tmp_path / place
        xr.testing.assert_identical(
            blmm.open_result(made / "lod.zarr").compute(),
            blmm.open_result(folder / "lod.zarr").compute(),
        )
        assert (made / "report.html").read_text(encoding="utf-8") == page


ONE = {"method": "alt-grid", "h2_grid": [0.0, 0.25, 0.5], "reml": True}
TWO = {
    "prior": (0.5, 10.0),
    "interaction": ["covariate1"],
    "condition": ["1:2"],
    "replicates": "sample_n",
    "statistics": ["beta", "lod_interaction"],
}
THREE = {"method": "alt-exact", "refine_above": 4.0, "covariates": ["covariate2"]}
FOUR = {"kinship": None, "covariates": False, "precision": "single"}


@pytest.mark.parametrize("options", [ONE, TWO, THREE, FOUR, {"loco": True}])
def test_options_come_back_as_they_were_given(folder, options):
    ds = blmm.open_dataset(folder / "study.zarr")
    variants = text(ds.variants.values)
    variants[0] = "1:2"
    ds = ds.assign_coords(variants=variants, variant_id=("variants", variants))
    if "loco" in options:
        ds["kinship_loco"] = blmm.kinship(ds, loco=True)
    result = blmm.scan(ds, **options)
    told = how_to_repeat(result, None, study=False, threshold=5.0, n_top=10)
    given = captured(told.python)
    assert told.given == []
    for name, value in options.items():
        wanted = list(value) if name == "prior" else value
        assert given[name] == wanted, name
    again = blmm.scan(ds, **given | {"store": None})
    assert again.attrs == result.attrs
    parsed = parse(told.shell)
    for name in options.keys() & parsed.keys():
        expected = {"condition": "1:2", "kinship": "none"}.get(name, options[name])
        expected = parsed[name] if name == "kinship" and name not in options else expected
        assert parsed[name] == expected, name


def captured(python: str) -> dict:
    """Arguments of the call of scan in a script."""
    found = {}
    names = SimpleNamespace(
        open_dataset=lambda path: path,
        scan=lambda study, **given: found.update(given),
        report=lambda *_, **__: None,
    )
    script = python.replace("import bulklmm_dask as blmm", "")
    exec(compile(script, "page", "exec"), {"blmm": names})
    return found


def parse(shell: str) -> dict:
    """Values of the options of the first command, as click understands them."""
    first = shell.replace("\\\n", "").splitlines()[0]
    _, name, *arguments = shlex.split(first)
    command = main.get_command(click.Context(main), name)
    return command.make_context(name, arguments).params


def test_what_a_result_does_not_keep_is_said(folder):
    ds = blmm.open_dataset(folder / "study.zarr")
    weights = np.ones(ds.sizes["samples"])
    result = blmm.scan(ds, kinship=np.eye(ds.sizes["samples"]), weights=weights)
    told = how_to_repeat(result, None, study=False, threshold=5.0, n_top=10)
    assert told.given == ["kinship", "weights"]
    assert "kinship=kinship,\n" in told.python
    assert "--kinship kinship.csv" in told.shell
    assert "--weights weights.csv" in told.shell


def test_names_are_quoted_for_python_and_the_shell(folder):
    result = blmm.open_result(folder / "lod.zarr")
    result.attrs["covariates"] = ["a b", "$(rm -r x)", "q\"uo'te"]
    told = how_to_repeat(result, None, study=False, threshold=5.0, n_top=10)
    assert captured(told.python)["covariates"] == result.attrs["covariates"]
    assert parse(told.shell)["covariates"] == result.attrs["covariates"]
