"""Command-line options of analyses, made from their declarations in analyses/options."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import click
import pandas as pd
import xarray as xr
from click.core import ParameterSource

from bulklmm_dask.analyses.inputs.kernels import GROUPS, is_of_region
from bulklmm_dask.analyses.inputs.vectors import SOURCE
from bulklmm_dask.analyses.options import KINSHIP, KINSHIP_METHODS, Option
from bulklmm_dask.cli._base import Function, conflict, names
from bulklmm_dask.cli._sources import kinship_of
from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.kinship_store import STORE
from bulklmm_dask.study.schema import require_unique
from bulklmm_dask.study.tables.read import read_columns, read_numbers, read_text
from bulklmm_dask.study.tables.tablefile import open_table
from bulklmm_dask.text import counted, named


def kernel_option(function: Function) -> Function:
    """Add the option of several random effects by name, in place of --kinship, to a command."""
    return click.option(
        "--kernel",
        "kernels",
        multiple=True,
        metavar="NAME=KINSHIP|NAME=@GROUPS|NAME=METHOD:REGION|METHOD",
        help="A random effect by a name of its own, instead of --kinship; may be given several "
        "times. What follows is as for --kinship, or @ and a sample variable, or a CSV table of "
        "samples and labels, whose groups share an effect: --kernel additive=kinship --kernel "
        "cage=@cage. A method of 'bulklmm kinship' alone is also the name: --kernel dominance; a "
        "method and a region, as of 'bulklmm kinship --region', are the kernel of the markers "
        "there: --kernel cis=centered:7:20-40.",
    )(function)


def options_of(rows: Iterable[Option]) -> Callable[[Function], Function]:
    """Add the options of these declarations to a command, in their order."""
    options = [_option(row) for row in rows]

    def add(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def _option(row: Option) -> Callable[[Function], Function]:
    if row.kind is bool:
        return click.option(row.flag, row.name, is_flag=True, help=row.help)
    kind: Any = click.Choice(row.choices) if row.choices else row.kind
    if row.least is not None:
        kind = click.IntRange(min=row.least)
    default = row.default if row.on_command_line is None else row.on_command_line
    return click.option(
        row.flag,
        *row.also,
        row.name,
        type=kind,
        default=default,
        show_default=default not in (None, ""),
        metavar=row.metavar,
        callback=_PARSERS.get(row.name),
        help=row.help,
    )


def arguments_of(ds: xr.Dataset, given: dict[str, Any]) -> dict[str, Any]:
    """Arguments of an analysis of `ds`, from the options given to its command."""
    found = dict(given)
    if kernels := found.pop("kernels", ()):
        refuse_beside_kernels(KINSHIP, kernels)
        return kernel_arguments(ds, kernels, found)
    relation = kinship_of(ds, given["kinship"], loco=given.get("loco", False))
    stored = isinstance(relation, xr.DataArray) and STORE in relation.attrs
    found["kinship"] = given["kinship"] if stored else relation  # the result keeps its path
    for name in {"weights", "replicates"} & set(given):
        found[name] = _vector(given[name])
    if "strata" in given:
        found["strata"] = _vector(given["strata"], text=True)
    if "condition" in given:
        found["condition"] = _condition(given["condition"])
    if "statistics" in given:
        found["statistics"] = ["lod", *given["statistics"]]
    return found


def kernel_arguments(
    ds: xr.Dataset, kernels: Sequence[str], given: dict[str, Any]
) -> dict[str, Any]:
    """As `arguments_of`, with kernels in place of the kinship.

    A kernel is NAME=KINSHIP, NAME=@GROUPS or NAME=METHOD:REGION, or a method of `kinship`, which is
    its name as well.
    """
    found: dict[str, Any] = {}
    loco = bool(given.get("loco"))
    for name, what in kernel_names(kernels).items():
        if what.startswith(GROUPS):
            groups = _vector(what.removeprefix(GROUPS), text=True)
            found[name] = GROUPS + groups if isinstance(groups, str) else groups
        else:
            # A method stands for what is computed now, with `loco` for each chromosome.
            is_made = what in KINSHIP_METHODS or is_of_region(what)
            found[name] = what if is_made else kinship_of(ds, what)
    without = given | {"kinship": "none"} | ({"loco": False} if loco else {})
    return arguments_of(ds, without) | {"kinship": found} | ({"loco": True} if loco else {})


def kernel_names(kernels: Sequence[str]) -> dict[str, str]:
    """What each kernel by name was given as."""
    found: dict[str, str] = {}
    for one in kernels:
        name, between, what = one.partition("=")
        if one in KINSHIP_METHODS:
            name, between, what = one, "=", one
        if not between or not name.strip() or not what.removeprefix(GROUPS).strip():
            raise click.BadParameter(
                f"{one!r} should be a name and a kinship with = between them, a name and groups "
                f"with =@ between them, or a method ({', '.join(KINSHIP_METHODS)}); a method and "
                "a region, such as centered:7:20-40, need a name too",
                param_hint="--kernel",
            )
        if name in found:
            raise click.BadParameter(
                f"there are two kernels {name!r}; give each a name of its own",
                param_hint="--kernel",
            )
        found[name] = what
    return found


def refuse_beside_kernels(row: Option, kernels: Sequence[str]) -> None:
    """Refuse the kinship beside kernels by name, which take its place."""
    context = click.get_current_context()
    if context.get_parameter_source(row.name) != ParameterSource.DEFAULT:
        given = f"{row.flag} {context.params[row.name]}"
        raise conflict(given, f"--kernel {kernels[0]}", "leave one of them out")


def refuse_beside_result(rows: Iterable[Option], source: str) -> None:
    """Refuse options of a scan that are given to a command whose source is a result."""
    context = click.get_current_context()
    for row in rows:
        if context.get_parameter_source(row.name) != ParameterSource.DEFAULT:
            _refuse_of_scan(row.flag, source)
    if context.params.get("kernels"):
        _refuse_of_scan("--kernel", source)


def _refuse_of_scan(flag: str, source: str) -> NoReturn:
    raise click.UsageError(
        f"{flag} is of a scan, and {named(source)} is the result of one: leave it out, or give the "
        "study"
    )


def _covariates(ctx: click.Context, param: click.Parameter, value: str) -> bool | list[str]:
    """Parse all, none or names."""
    known = {"all": True, "none": False}
    if value not in known and not names(value):
        raise click.BadParameter(f"{value!r} names no covariate; give all, none or names")
    return known.get(value, names(value))


def _x_covariates(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> bool | list[str] | None:
    return None if value is None else _covariates(ctx, param, value)


def _grid(ctx: click.Context, param: click.Parameter, value: str | None) -> list[float] | None:
    """Parse 0,0.1,0.2 or START:STEP:STOP with STOP included."""
    if value is None:
        return None
    try:
        if ":" in value:
            return _steps(*(float(part) for part in value.split(":")))
        return [float(part) for part in value.split(",")]
    except (ValueError, TypeError):
        raise click.BadParameter(
            f"{value!r} is neither numbers such as 0,0.1,0.2 nor START:STEP:STOP"
        ) from None


def _steps(start: float, step: float, stop: float) -> list[float]:
    if not (step > 0 and stop >= start):
        raise ValueError
    count = int((stop - start) / step + 1e-9) + 1
    return [round(start + number * step, 12) for number in range(count)]


def _block(ctx: click.Context, param: click.Parameter, value: str) -> str | dict[str, int]:
    """Parse auto or VARIANTS,TRAITS."""
    if value == "auto":
        return value
    try:
        variants, traits = (int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is neither auto nor two whole numbers such as 2048,4096"
        ) from None
    return {"variants": variants, "traits": traits}


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str]:
    return [] if value is None else names(value)


def _prior(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[float, float] | None:
    if value is None:
        return None
    try:
        variance, size = (float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not two numbers with a comma between") from None
    return variance, size


_PARSERS = {
    "chunks": _block,
    "covariates": _covariates,
    "x_covariates": _x_covariates,
    "h2_grid": _grid,
    "interaction": _names,
    "prior": _prior,
    "statistics": _names,
}


def _condition(value: str | None) -> list[str] | dict[str, list[str]] | None:
    """Names of markers, or trait -> markers from a CSV table."""
    if value is None:
        return None
    file = Location.of(value)
    if not file.is_file():
        if file.suffix.lower() == ".csv":
            raise InputError(f"there is no file {file}; check the path")
        return names(value)
    columns = read_text(open_table(file)).by_column(names=True)
    if not {"trait", "variant"} <= set(columns):
        raise InputError(
            f"{file} has the columns {', '.join(columns)}; a table of conditions needs trait and "
            "variant"
        )
    markers: dict[str, list[str]] = {}
    for trait, variant in zip(columns["trait"], columns["variant"], strict=True):
        markers.setdefault(trait, []).append(variant)
    return markers


def _vector(value: str | None, *, text: bool = False) -> str | pd.Series | None:
    """The name of a sample variable of the study, or values from a table: numbers, or texts."""
    if value is None or not Location.of(value).is_file():
        return value
    file = open_table(value)
    columns = read_columns(file)
    if len(columns) != 2:
        raise InputError(
            f"{file.label} has {counted(len(columns), 'column')}; it should have two, samples and "
            f"{'labels' if text else 'numbers'}"
        )
    table = read_text(file) if text else read_numbers(file)
    require_unique(table.rows, f"the samples of {file.label}", "give one value for each")
    values = pd.Series(table.values[:, 0], index=table.rows)
    values.attrs[SOURCE] = value
    return values
