"""The versions that `make test-lowest` installs are the bounds of pyproject.toml."""

import runpy
import tomllib
from pathlib import Path

FILE = Path(__file__).with_name("lowest.py")
PROJECT = tomllib.loads(FILE.parents[2].joinpath("pyproject.toml").read_text())["project"]
lowest = runpy.run_path(str(FILE))["lowest"]


def test_every_bound_is_met_by_its_lowest_version():
    found = lowest(PROJECT)
    extras = {
        k: v for k, v in PROJECT["optional-dependencies"].items() if k not in ("test", "docs")
    }
    lines = [*PROJECT["dependencies"], *(line for each in extras.values() for line in each)]
    for line in lines:
        name, _, bound = line.replace("[array]", "").partition(">=")
        if name != "bed-reader":
            assert found.pop(name) == bound
    assert found == {"bed-reader": "1.1"}  # the tests need more than the package


def test_the_higher_of_two_bounds_is_taken():
    extras = {
        "test": ["a>=1.10", "b>=1", "c>=2", "us[plot]"],
        "docs": ["d>=4"],
        "plot": ["b>=2.0.1"],
    }
    project = {"dependencies": ["a[x]>=1.9"], "optional-dependencies": extras}
    assert lowest(project) == {"a": "1.10", "b": "2.0.1"}
