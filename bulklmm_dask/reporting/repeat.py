"""The calls and commands that make a result again, from what it says of its options."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any

import xarray as xr

from bulklmm_dask.lmm.statistics import STATISTICS

# Option of scan or permute -> option of the command, in the order they are written in.
_FLAGS = {
    "method": "--method",
    "n_permutations": "--permutations",
    "seed": "--seed",
    "strata": "--strata",
    "by": "--by",
    "h2_grid": "--h2-grid",
    "refine_above": "--refine-above",
    "reml": "--reml",
    "kinship": "--kinship",
    "loco": "--loco",
    "covariates": "--covariates",
    "interaction": "--interaction",
    "condition": "--condition",
    "weights": "--weights",
    "replicates": "--replicates",
    "prior": "--prior",
    "genotypes": "--genotypes",
    "statistics": "--statistics",
    "precision": "--precision",
}
# What a result says of an option that was an array or a table.
_GIVEN = ("given", "given as a matrix", "by trait")
_SWITCHES = ("reml", "loco")
# Where "none" or an empty list says that the option was not given.
_ABSENT = ("strata", "by", "interaction", "condition", "statistics")
_LIBRARIES = ("numpy", "scipy", "pandas", "xarray", "dask", "distributed", "zarr", "matplotlib")


@dataclass
class Repeat:
    """How to make a result again.

    Attributes
    ----------
    python, shell : str
        A script and the same commands.
    options : dict
        All that the result says of its scan, in words.
    versions : dict
        Of the interpreter and the libraries in use now, and of this package at the scan.
    given : list of str
        Options whose values are arrays or tables that a result does not keep.
    """

    python: str
    shell: str
    options: dict[str, str]
    versions: dict[str, str]
    given: list[str]


@dataclass
class _Call:
    """Arguments of one call and of its command."""

    python: list[str] = field(default_factory=list)
    shell: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)


def how_to_repeat(
    result: xr.Dataset, perm: xr.Dataset | None, *, study: bool, threshold: float, n_top: int
) -> Repeat:
    """Tell the calls that lead from a study to a report like this one."""
    made = _call(result.attrs | {"statistics": [s for s in STATISTICS if s in result]})
    calls = [("result", "scan", made, "lod.zarr")]
    if perm is not None:
        calls.append(("perm", "permute", _call(perm.attrs), "perm.zarr"))
    python = ["import bulklmm_dask as blmm", "", 'study = blmm.open_dataset("study.zarr")']
    shell = []
    for name, command, call, store in calls:
        arguments = ["study", *call.python, f'store="{store}"']
        python.append(f"{name} = blmm.{command}(\n    " + ",\n    ".join(arguments) + ",\n)")
        shell.append(_wrapped([f"bulklmm {command} study.zarr {store}", *call.shell]))
    told = {"study": "study"} if study else {}
    told |= {"threshold": f"{threshold:g}"} | ({} if perm is None else {"perm": "perm"})
    told |= {"n_top": str(n_top)}
    options = ", ".join(f"{name}={value}" for name, value in told.items())
    python.append(f'blmm.report(result, "report.html", {options})')
    words = ["--study study.zarr"] if study else []
    words += [f"--threshold {threshold:g}"] + ([] if perm is None else ["--perm perm.zarr"])
    shell.append(_wrapped(["bulklmm report lod.zarr --out report.html", *words, f"--top {n_top}"]))
    return Repeat(
        python="\n".join(python),
        shell="\n".join(shell),
        options={name: _words(value) for name, value in result.attrs.items() if name != "version"},
        versions=_versions(result),
        given=sorted({option for _, _, call, _ in calls for option in call.given}),
    )


def _call(attrs: Mapping[str, Any]) -> _Call:
    """Arguments that attributes of a result stand for."""
    call = _Call()
    for name, flag in _FLAGS.items():
        told = attrs.get(name)
        absent = name in _ABSENT and (told == "none" or told == [])
        if told is None or absent or (name in _SWITCHES and not told):
            continue
        if name in _SWITCHES:
            call.python.append(f"{name}=True")
            call.shell.append(flag)
        elif told in _GIVEN:
            call.given.append(name)
            call.python.append(f"{name}={name}")
            call.shell.append(f"{flag} {name}.csv")
        else:
            call.python.append(f"{name}={_python(name, told)}")
            call.shell.append(f"{flag} {_shell(told)}")
    return call


def _python(name: str, told: Any) -> str:
    if name == "kinship" and told == "none":
        return "None"
    if name == "covariates" and told == []:
        return "False"
    return json.dumps(told, ensure_ascii=False)  # of text, numbers and lists: Python's own form


def _shell(told: Any) -> str:
    if isinstance(told, list):
        return shlex.quote(",".join(map(str, told)) or "none")
    return shlex.quote(str(told))


def _wrapped(words: list[str]) -> str:
    """One command, an option a line."""
    return " \\\n    ".join(words)


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value == "" else str(value)


def _versions(result: xr.Dataset) -> dict[str, str]:
    out = {"Python": python_version()}
    if "version" in result.attrs:
        out["bulklmm-dask, of the scan"] = str(result.attrs["version"])
    out["bulklmm-dask, of this page"] = version("bulklmm-dask")
    for name in _LIBRARIES:
        try:
            out[name] = version(name)
        except PackageNotFoundError:  # installed without its metadata
            continue
    return out
