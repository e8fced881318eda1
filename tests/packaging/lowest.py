"""Constraints for pip: all dependencies at the lowest versions that pyproject.toml allows.

What only tests, builds or documents the package is left to pip.
"""

import re
import tomllib
from pathlib import Path

# What later versions of others have broken in the lowest ones.
OTHERS = ("pyparsing<3.3",)  # matplotlib 3.9 calls what it warns of
_BOUND = re.compile(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)")


def lowest(project: dict) -> dict[str, str]:
    """Lowest version of each dependency, by name; where tests need a later one, that."""
    extras = dict(project["optional-dependencies"])
    for_tests = _bounds(extras.pop("test"))
    del extras["docs"]
    found = _bounds(
        [*project["dependencies"], *(line for each in extras.values() for line in each)]
    )
    return {
        name: max(bound, for_tests.get(name, bound), key=_number) for name, bound in found.items()
    }


def _bounds(lines: list[str]) -> dict[str, str]:
    return dict(match.groups() for line in lines if (match := _BOUND.fullmatch(line)))


def _number(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


if __name__ == "__main__":
    file = Path(__file__).parents[2] / "pyproject.toml"
    of_all = lowest(tomllib.loads(file.read_text(encoding="utf-8"))["project"])
    print(*(f"{name}=={version}" for name, version in of_all.items()), *OTHERS, sep="\n")
