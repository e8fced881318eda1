"""The conda recipe says what pyproject.toml says."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from doc_pages import parse

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RECIPE = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text())

# Names of conda-forge, where they are others. dask-core is Dask without its collections' libraries.
CONDA = {"dask": "dask-core", "xxhash": "python-xxhash", "matplotlib": "matplotlib-base"}
EXTRAS = ("plot", "dashboard", "slurm", "kubernetes", "parquet", "objects")


def required(lines) -> dict[str, str]:
    """Bounds by name, as conda writes them."""
    found = {}
    for line in lines:
        name, bound = re.fullmatch(r"([\w.-]+)(?:\[\w+\])?\s*(\S*)", line).groups()
        found[CONDA.get(name, name)] = bound
    return found


def listed(lines) -> dict[str, str]:
    return {name: bound for name, _, bound in (line.partition(" ") for line in lines)}


def test_it_requires_what_the_package_requires():
    run = listed(RECIPE["requirements"]["run"])
    assert run.pop("python") == ">=${{ python_min }}"
    assert run == required(PROJECT["dependencies"])
    assert PROJECT["requires-python"] == f">={RECIPE['context']['python_min']}"


def test_it_bounds_what_the_extras_bring():
    extras = [line for name in EXTRAS for line in PROJECT["optional-dependencies"][name]]
    assert listed(RECIPE["requirements"]["run_constraints"]) == required(extras)
    assert set(PROJECT["optional-dependencies"]) - {"test", "docs"} == set(EXTRAS)


def test_it_is_built_as_the_package_is():
    assert RECIPE["context"]["version"] == PROJECT["version"]
    assert RECIPE["context"]["name"] == PROJECT["name"]
    assert RECIPE["about"]["license"] == PROJECT["license"]
    assert RECIPE["about"]["summary"] == PROJECT["description"]
    (script,) = PROJECT["scripts"].items()
    assert RECIPE["build"]["python"]["entry_points"] == [" = ".join(script)]
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    host = listed(RECIPE["requirements"]["host"])
    assert {name: host[name] for name in required(build)} == required(build)


@pytest.mark.parametrize("line", RECIPE["tests"][1]["script"])
def test_the_commands_that_it_tries_parse(line):
    parse(line)
