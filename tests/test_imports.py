"""Imports point down only: statistics and storage below engine below the analyses."""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

import bulklmm_dask

ROOT = Path(bulklmm_dask.__file__).parent
NAME = ROOT.name

# Part (a subpackage or a module) -> the libraries and the parts of this package it may import.
LIBRARIES = {
    "__main__": set(),
    "_compiled": set(),
    "_lazy": set(),
    "_version": set(),
    "errors": set(),
    "surface": set(),
    "text": set(),
    "typing": {"numpy"},
    "storage": {
        "boto3",
        "botocore",
        "google_crc32c",
        "numcodecs",
        "numpy",
        "obstore",
        "xarray",
        "zarr",
    },
    "study": {"bed_reader", "numpy", "pandas", "xarray", "yaml", "zarr"},
    "crosses": {"numpy"},
    "lmm": {"numpy", "scipy"},
    "engine": {"dask", "distributed", "numpy", "threadpoolctl", "xarray", "zarr"},
    "analyses": {"numpy", "pandas", "xarray"},
    "results": {"numpy", "pandas", "pyarrow", "scipy", "xarray"},
    "plot": {"matplotlib", "numpy", "pandas", "scipy", "xarray"},
    "reporting": {"jinja2", "matplotlib", "numpy", "pandas", "xarray"},
    "progress": set(),
    "simulate": {"numpy", "xarray"},
    "describe": {"xarray", "zarr"},
    "verification": {"pandas", "xarray"},
    "demo": {"numpy", "pandas", "xarray"},
    "cli": {"click", "matplotlib", "numpy", "pandas", "xarray"},
}
_BASE = {"errors", "surface", "text", "typing"}
_DATA = _BASE | {"storage", "study"}
BELOW = {
    "__main__": {"cli"},
    "_compiled": {"errors"},
    "_lazy": set(),
    "_version": set(),
    "errors": {"text"},
    "surface": set(),
    "text": set(),
    "typing": set(),
    "storage": _BASE | {"_compiled", "_version"},
    "crosses": _BASE | {"_compiled"},
    "study": _BASE | {"crosses", "storage"},
    "lmm": _BASE | {"_compiled"},
    "engine": _DATA | {"crosses", "lmm"},
    "results": _DATA | {"lmm", "engine"},
    "analyses": _DATA | {"_version", "crosses", "lmm", "engine", "results"},
    "plot": _DATA | {"_lazy", "lmm", "results"},
    "reporting": _DATA | {"lmm", "analyses", "results", "plot"},
    "progress": _BASE | {"engine"},
    "simulate": _DATA,
    "describe": _DATA,
    "verification": _DATA | {"analyses", "engine"},
    "demo": _DATA
    | {"analyses", "describe", "plot", "progress", "reporting", "results", "simulate"},
}
BELOW["cli"] = BELOW["demo"] | {"_version", "crosses", "demo", "engine", "lmm", "verification"}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = (NAME, *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imported(path: Path, *, at_run_time: bool = False) -> frozenset[str]:
    """Dotted names that a module imports; at_run_time leaves out those for type checkers."""
    tree = parsed(path)
    typing_only = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    names = set()
    for node in ast.walk(tree):
        if at_run_time and node in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            # "from package import module" imports the module, "from module import name" the module
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= (inner & MODULES.keys()) or {node.module}
    return frozenset(names)


def part(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
    here = part(module)
    if here == "":
        return  # the package itself gathers the public names
    assert here in BELOW, f"{module}: a new part; give it its place in this test"
    for name in imported(MODULES[module]):
        top = name.split(".")[0]
        if top == NAME:
            there = part(name)
            assert there == here or there in BELOW[here], f"{module} imports {name}"
        elif top not in sys.stdlib_module_names:
            assert top in LIBRARIES[here], f"{module} imports {name}"


def test_only_the_engine_imports_dask():
    users = {
        part(module)
        for module, path in MODULES.items()
        if {name.split(".")[0] for name in imported(path)} & {"dask", "distributed"}
    }
    assert users <= {"engine"}


def test_tables_of_text_know_no_format():
    tables = {name: path for name, path in MODULES.items() if ".study.tables" in name}
    assert tables
    for module, path in tables.items():
        assert not any(".study.readers" in name for name in imported(path)), module


def test_no_import_goes_in_a_circle():
    edges = {
        module: {name for name in imported(path, at_run_time=True) if name in MODULES}
        for module, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module not in done:
            for name in sorted(edges[module]):
                visit(name, (*trail, module))
            done.add(module)

    for module in edges:
        visit(module, ())


def test_nothing_is_made_at_import():
    """Importing a module only defines: no calls at its top level that set global state."""
    allowed = {"set", "dict", "frozenset", "tuple", "np.array", "version", "TypeVar"}
    for module, path in MODULES.items():
        for node in parsed(path).body:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                name = ast.unparse(node.value.func)
                assert name in allowed, f"{module}: {ast.unparse(node)}"


def test_rooms_of_storage_import_only_those_before():
    rooms = ("codecs", "compiled", "labels", "places", "arrays")
    rooms += ("proof", "summaries", "results", "health")
    inside = {name: path for name, path in MODULES.items() if name.startswith(f"{NAME}.storage.")}
    assert {name.split(".")[2] for name in inside} == set(rooms)
    for module, path in inside.items():
        here = rooms.index(module.split(".")[2])
        for name in imported(path) & MODULES.keys():
            if part(name) == "storage":
                assert rooms.index(name.split(".")[2]) <= here, f"{module} imports {name}"
