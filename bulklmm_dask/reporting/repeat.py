"""The calls and commands that make a result again, from the options in its attributes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any

import xarray as xr

from bulklmm_dask.analyses.options import PERMUTE, SCAN, Option
from bulklmm_dask.analyses.recorded import recorded
from bulklmm_dask.lmm.statistics import STATISTICS
from bulklmm_dask.reporting.facts import in_words

_LIBRARIES = ("numpy", "scipy", "pandas", "xarray", "dask", "distributed", "zarr", "matplotlib")


@dataclass
class Repeat:
    """How to make a result again.

    Attributes
    ----------
    python, shell : str
        Calls in Python, and the same as shell commands.
    options : dict
        All attributes of the result as text.
    versions : dict
        Versions of Python, of the libraries in use now, and of this package at the scan.
    given : list of str
        Options whose values were arrays or tables, which a result does not keep.
    """

    python: str
    shell: str
    options: dict[str, str]
    versions: dict[str, str]
    given: list[str]


@dataclass
class _Call:
    """Arguments of one call in Python and of its shell command; and options given as tables."""

    python: list[str] = field(default_factory=list)
    shell: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)


def how_to_repeat(
    result: xr.Dataset, perm: xr.Dataset | None, *, study: bool, threshold: float, n_top: int
) -> Repeat:
    """Write the calls that lead from a study to a report like this one."""
    statistics = [name for name in STATISTICS if name in result] or None
    made = _call(SCAN, result.attrs | {"statistics": statistics})
    calls = [("result", "scan", made, "lod.zarr")]
    if perm is not None:
        calls.append(("perm", "permute", _call(PERMUTE, perm.attrs), "perm.zarr"))
    python = ["import bulklmm_dask as blmm", "", 'study = blmm.open_dataset("study.zarr")']
    shell = []
    for name, command, call, store in calls:
        arguments = ["study", *call.python, f'store="{store}"']
        python.append(f"{name} = blmm.{command}(\n    " + ",\n    ".join(arguments) + ",\n)")
        shell.append(_wrapped([f"bulklmm {command} study.zarr {store}", *call.shell]))
    values = {"study": "study"} if study else {}
    values |= {"threshold": f"{threshold:g}"} | ({} if perm is None else {"perm": "perm"})
    values |= {"n_top": str(n_top)}
    options = ", ".join(f"{name}={value}" for name, value in values.items())
    python.append(f'blmm.report(result, "report.html", {options})')
    words = ["--study study.zarr"] if study else []
    words += [f"--threshold {threshold:g}"] + ([] if perm is None else ["--perm perm.zarr"])
    shell.append(_wrapped(["bulklmm report lod.zarr --out report.html", *words, f"--top {n_top}"]))
    return Repeat(
        python="\n".join(python),
        shell="\n".join(shell),
        options={
            name: in_words(value) for name, value in result.attrs.items() if name != "version"
        },
        versions=_versions(result),
        given=sorted({option for _, _, call, _ in calls for option in call.given}),
    )


def _call(options: Sequence[Option], attrs: Mapping[str, Any]) -> _Call:
    """Arguments that give these attributes of a result, without those that were not given."""
    found = recorded(options, attrs)
    call = _Call(given=found.given)
    for option in options:
        name = option.name
        if name in found.given:
            call.python.append(f"{name}={name}")
            call.shell.append(f"{option.flag} {name}.csv")
        elif name in found.arguments:
            value = found.arguments[name]
            call.python.append(f"{name}={_python(value)}")
            if isinstance(value, dict):
                each = (f"{own}={kernel}" for own, kernel in value.items())
                call.shell += [f"--kernel {shlex.quote(one)}" for one in each]
                continue
            call.shell.append(option.flag if value is True else f"{option.flag} {_shell(value)}")
    return call


def _python(value: Any) -> str:
    """Write a value as Python does."""
    if value is None or isinstance(value, bool):
        return str(value)
    return json.dumps(value, ensure_ascii=False)  # the same for text, numbers and lists


def _shell(value: Any) -> str:
    """Write a value for a shell command, where none stands for nothing."""
    if value is None or value is False:
        return "none"
    if isinstance(value, list):
        return shlex.quote(",".join(map(str, value)))
    return shlex.quote(str(value))


def _wrapped(words: list[str]) -> str:
    """Write one command, each option on its own line."""
    return " \\\n    ".join(words)


def _versions(result: xr.Dataset) -> dict[str, str]:
    """Versions of Python, the libraries and this package."""
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
