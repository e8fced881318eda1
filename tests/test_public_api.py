"""The public names: none of 0.1.0 is lost or changed, none is shadowed, each is imported late."""

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import bulklmm_dask as blmm
from bulklmm_dask import plot

# Parameters of every public function, and of the methods of public classes, as 0.1.0 had them.
RELEASED = json.loads((Path(__file__).parent / "api-0.1.0.json").read_text())


def parameters(function) -> list[dict[str, str]]:
    """Name, kind and default of every parameter."""
    return [
        {"name": each.name, "kind": each.kind.name}
        | ({} if each.default is each.empty else {"default": repr(each.default)})
        for each in inspect.signature(function).parameters.values()
    ]


def described(thing) -> dict:
    """What a caller of a function, or a user of a class, can rely on."""
    if not inspect.isclass(thing):
        return {"parameters": parameters(thing)}
    members = {name: each for name, each in vars(thing).items() if not name.startswith("_")}
    methods = {
        name: parameters(getattr(thing, name))
        for name, each in members.items()
        if inspect.isroutine(each) or isinstance(each, classmethod | staticmethod)
    }
    values = [name for name in members if name not in methods]
    return {
        "bases": [base.__name__ for base in thing.__mro__[1:-1]],
        "parameters": [] if issubclass(thing, Exception) else parameters(thing),
        "methods": methods,
        "attributes": sorted({*values, *getattr(thing, "__annotations__", {})}),
    }


def found(name: str):
    thing = blmm
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing


def same_parameters(now: list[dict[str, str]], then: list[dict[str, str]]) -> bool:
    """All that there were, in their order; new ones have defaults and do not come between them."""
    names = {each["name"] for each in then}
    added = [each for each in now if each["name"] not in names]
    places = [k for k, each in enumerate(now) if each["kind"] != "KEYWORD_ONLY"]
    positional = [now[k] for k in places][: sum(e["kind"] != "KEYWORD_ONLY" for e in then)]
    return (
        [each for each in now if each["name"] in names] == then
        and all("default" in each for each in added)
        and not [each for each in positional if each in added]
    )


@pytest.mark.parametrize("name", RELEASED)
def test_what_was_released_is_still_so(name):
    now, then = described(found(name)), RELEASED[name]
    assert same_parameters(now["parameters"], then["parameters"]), now["parameters"]
    assert set(then.get("bases", [])) <= set(now.get("bases", []))
    assert set(then.get("attributes", [])) <= set(now.get("attributes", []))
    for method, expected in then.get("methods", {}).items():
        assert same_parameters(now["methods"][method], expected), method


def test_added_and_changed_parameters_are_told_apart():
    def one(name, kind="KEYWORD_ONLY", **default):
        return {"name": name, "kind": kind, **default}

    x, y = one("x", "POSITIONAL_OR_KEYWORD"), one("y", default="1")
    added = one("z", default="None")
    between = one("w", "POSITIONAL_OR_KEYWORD", default="0")
    assert same_parameters([x, y], [x, y])
    assert same_parameters([x, y, added], [x, y])
    assert same_parameters([x, added, y], [x, y])
    assert not same_parameters([x, y, one("z")], [x, y])  # without a default
    assert not same_parameters([between, x, y], [x, y])
    assert not same_parameters([x], [x, y])
    assert not same_parameters([x, one("y", default="2")], [x, y])
    assert not same_parameters([one("x"), y], [x, y])


@pytest.mark.parametrize("package", [blmm, plot], ids=lambda package: package.__name__)
class TestPackages:
    def test_every_name_is_where_the_table_says(self, package):
        assert package.__all__ == [name for name in package._HOMES if name[0] != "_"]
        assert package.__all__ == sorted(package.__all__)
        assert set(package.__all__) <= set(dir(package))
        for name in package._HOMES:
            assert getattr(package, name) is not None

    def test_type_checkers_read_the_same_table(self, package):
        source = Path(package.__file__).read_text()
        block = source.partition("if TYPE_CHECKING:")[2].partition("\nelse:")[0]
        said = {}
        for line in block.splitlines()[1:]:
            module, _, names = line.strip().removeprefix("from ").partition(" import ")
            for name in names.split(", "):
                name = name.partition(" as ")[0]
                said[name] = f"{module}.{name}" if name == "plot" else module
        assert said == package._HOMES

    def test_no_module_takes_the_place_of_a_name(self, package):
        """Importing a module sets it as an attribute of its package."""
        modules = {each.name for each in pkgutil.iter_modules(package.__path__)}
        homes = package._HOMES
        for name in modules & homes.keys():
            assert homes[name] == f"{package.__name__}.{name}"

    def test_unknown_names_are_refused(self, package):
        with pytest.raises(AttributeError, match=f"{package.__name__}.*has no attribute 'scam'"):
            package.scam  # noqa: B018


def test_all_names_come_with_a_star():
    names: dict[str, object] = {}
    exec("from bulklmm_dask import *", names)
    assert names.keys() - {"__builtins__"} == set(blmm.__all__)


def test_the_version_is_the_installed_one():
    assert blmm.__version__ == importlib.metadata.version("bulklmm-dask")


@pytest.mark.slow
def test_modules_that_are_imported_leave_the_names_alone():
    """In any order: here every module of the package first, then the names."""
    code = """
import importlib, pkgutil, bulklmm_dask
for each in pkgutil.walk_packages(bulklmm_dask.__path__, "bulklmm_dask."):
    importlib.import_module(each.name)
for package in (bulklmm_dask, bulklmm_dask.plot):
    for name, home in package._HOMES.items():
        value = getattr(package, name)
        module = importlib.import_module(home)
        assert value is (module if name == "plot" else getattr(module, name)), name
"""
    run(code)


# Libraries that take from a tenth of a second to two, and what must do without them. What is in one
# tuple runs in one process: together they do without what each must do without.
HEAVY = ("dask", "distributed", "matplotlib", "numpy", "pandas", "scipy", "xarray", "zarr")
LATER = {
    (
        "import bulklmm_dask",
        "dir(bulklmm_dask); bulklmm_dask.__version__",
        "import bulklmm_dask.plot",
        "import bulklmm_dask.lmm",
        "import bulklmm_dask.cli",
        "bulklmm_dask.cli.main(['--help'], standalone_mode=False)",
        "bulklmm_dask.cli.main(['--version'], standalone_mode=False)",
        "from bulklmm_dask import Progress, ProgressBar",
    ): HEAVY,
    (
        "from bulklmm_dask import create_dataset",
        "from bulklmm_dask import find_peaks, max_lod",
        "from bulklmm_dask.plot import lod, eqtl",
    ): ("dask", "matplotlib", "scipy", "zarr"),
    (
        "from bulklmm_dask import open_dataset, open_result",
        "from bulklmm_dask import read_csv, read_rqtl2",
    ): ("dask", "bed_reader", "matplotlib", "scipy"),
    (
        "from bulklmm_dask import scan, permute",
        "from bulklmm_dask import report, simulate_study",
    ): ("distributed", "matplotlib", "scipy.stats"),
    ("from bulklmm_dask import find_hits, hotspots, thresholds",): ("matplotlib", "scipy.stats"),
}
LMM = ("dask", "distributed", "matplotlib", "pandas", "scipy.stats", "xarray", "zarr")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded(*codes: str) -> list[set[str]]:
    """Names of all modules that a process has after each of several lines of code."""
    lines = [line for code in codes for line in (code, r"print('\n=>', *sys.modules)")]
    said = run("\n".join(["import sys", *lines]))
    return [set(line.split()[1:]) for line in said.splitlines() if line.startswith("=>")]


@pytest.mark.parametrize("codes", LATER, ids=lambda codes: codes[0])
def test_what_is_not_needed_is_not_imported(codes):
    for code, modules in zip(codes, loaded(*codes), strict=True):
        assert not modules & set(LATER[codes]), code


def test_the_statistics_need_numpy_and_a_part_of_scipy():
    package = importlib.import_module("bulklmm_dask.lmm")
    modules = [each.name for each in pkgutil.walk_packages(package.__path__, "bulklmm_dask.lmm.")]
    assert len(modules) > 20
    (needed,) = loaded(f"import {', '.join(modules)}")
    assert not needed & set(LMM)
