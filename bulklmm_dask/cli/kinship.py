"""The command that computes a kinship, in the study or by itself: kinship."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pandas as pd
import xarray as xr

from bulklmm_dask.analyses.kinship import kinship
from bulklmm_dask.analyses.kinship_store import is_kinship_of, save_kinship
from bulklmm_dask.analyses.options import KINSHIP_METHODS, KinshipMethod
from bulklmm_dask.cli._base import (
    PATH,
    SOURCE,
    Command,
    compute_options,
    conflict,
    did,
    examples,
    names,
    overwrite_option,
    say,
    wrote,
)
from bulklmm_dask.cli._run import workers
from bulklmm_dask.cli._sources import open_source, table_or_columns
from bulklmm_dask.cli._table_files import TableFormat
from bulklmm_dask.cli._tables import is_stdout, require_table, write_table
from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.labels.variables import LOCO
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.kinship_store import OF_KINSHIPS, require_free_for_kinship
from bulklmm_dask.study.kinships import add_kinship, require_no_kinship
from bulklmm_dask.study.tables.read import read_names
from bulklmm_dask.study.tables.tablefile import open_table
from bulklmm_dask.text import counted, named


def _names_or_table(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> list[str] | None:
    if value is None:
        return None
    found = table_or_columns(value)
    return read_names(open_table(found)) if isinstance(found, Path) else found


def _names_or_all(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> bool | list[str] | None:
    return True if value == "all" else None if value is None else names(value)


_STORE = ".zarr"  # a name that ends so is that of a store
_DIGITS = 15  # of the entries of a kinship: all that are free of noise


@click.command(
    "kinship",
    cls=Command,
    short_help="Compute the kinship of a study.",
    epilog=examples(
        "bulklmm kinship bxd.zarr --method rqtl2",
        "bulklmm kinship bxd.zarr --loco",
        "bulklmm kinship bxd.zarr --out K.zarr",
        "bulklmm kinship f2.zarr --method dominance --out D.zarr",
        "bulklmm kinship bxd.zarr --region 7:20-40,chr9 --out local.zarr",
        "bulklmm kinship bxd.zarr --method linear --traits 10001,10002 --out expression.zarr",
    ),
)
@click.argument("study", type=SOURCE)
@click.option(
    "--method",
    type=click.Choice(KINSHIP_METHODS),
    default="bulklmm",
    show_default=True,
    help="Estimator, as described above.",
)
@click.option(
    "--loco",
    is_flag=True,
    help="One kinship per chromosome, from the markers of all others; stored as kinship_loco.",
)
@click.option(
    "--region",
    "variants",
    callback=_names_or_table,
    metavar="REGIONS|TABLE",
    help="Only these markers: chromosomes, windows such as 7:20-40 in the unit of the map, or "
    "names of markers, with commas between; or a table whose first column names markers.",
)
@click.option(
    "--covariates",
    callback=_names_or_all,
    metavar="all|NAMES",
    help="Columns of the methods linear and gaussian: covariates or metadata of the samples.",
)
@click.option(
    "--traits",
    callback=_names_or_all,
    metavar="all|NAMES",
    help="Traits in place of --covariates.",
)
@click.option(
    "--bandwidth",
    type=float,
    metavar="NUMBER",
    help="Distance b of gaussian, exp(-(d/b)^2).  [default: the median distance of samples]",
)
@click.option(
    "--out",
    type=PATH,
    metavar="STORE|TABLE",
    help="Leave STUDY as it is. A name that ends with .zarr makes a store of the kinship with its "
    "eigenvectors, for --kinship of other commands; other names a table: .csv or .tsv, also with "
    ".gz, .bz2, .xz or .zst behind; - is standard output.",
)
@overwrite_option
@compute_options
def kinship_command(
    study: str,
    method: KinshipMethod,
    loco: bool,
    variants: list[str] | None,
    covariates: bool | list[str] | None,
    traits: bool | list[str] | None,
    bandwidth: float | None,
    out: Path | None,
    overwrite: bool,
    **compute: Any,
) -> None:
    """Compute the kinship of the samples of STUDY and keep it there, as scans expect it.

    With --out it goes into a store of its own, or a table, and STUDY may be files that
    'bulklmm import' reads.

    With dosages x in 0..1, the method bulklmm is the mean over markers of x x' + (1-x)(1-x)' with
    ones on the diagonal; rqtl2 is the same with the diagonal unchanged (R/qtl2 itself uses
    twice this matrix); centered and standardized are GEMMA's -gk 1 and -gk 2.

    Kernels for --kernel of 'bulklmm heritability': dominance, from what heterozygotes differ from
    the middle of the homozygotes; epistasis, the product of centered with itself entry by entry,
    and epistasis-dominance, with dominance; linear, of covariates or traits; gaussian,
    exp(-(d/b)^2) of the distances d of markers, covariates or traits.
    """
    stored = out is not None and str(out).rstrip("/").endswith(_STORE)
    if stored:
        place = _place(out)
        if overwrite or not place.exists():
            require_free_for_kinship(place, overwrite=overwrite)
    elif out is not None:
        if loco:
            raise conflict(
                "--loco",
                f"--out {named(out)}",
                f"--out writes one table; give a name that ends with {_STORE}, or leave --loco out",
            )
        _require_matrix_table(out, overwrite=overwrite)
    did(method=method, loco=loco)
    which = f"{method} {'kinships by chromosome' if loco else 'kinship'}"
    with workers(**compute):
        ds = open_source(study)
        did(samples=ds.sizes["samples"], variants=ds.sizes["variants"])
        matrix = kinship(
            ds,
            method=method,
            loco=loco,
            variants=variants,
            covariates=covariates,
            traits=traits,
            bandwidth=bandwidth,
        )
        if not overwrite and (out is None or stored) and _has_already(ds, out, matrix):
            did(computed=False)
            where = named(out if stored else study)
            say(f"{where} has its {which} already: nothing is computed, but with --overwrite")
            return
        if out is None and not overwrite:
            require_no_kinship(ds, study, loco=loco)
        if stored:
            require_free_for_kinship(_place(out), overwrite=overwrite)
        matrix = matrix.load()
        if stored:
            assert out is not None
            save_kinship(matrix, out, ds, overwrite=overwrite)
    did(computed=True)
    option = " --loco" if loco else ""
    name = named(study)
    if out is None:
        add_kinship(study, matrix, overwrite=overwrite)
        wrote(study)
        say(f"{name} has its {which}; next: bulklmm scan {name} RESULT.zarr{option}")
        return
    if stored:
        wrote(out)
        say(
            f"{named(out)} has the {which} of {counted(ds.sizes['samples'], 'sample')}, with "
            f"eigenvectors; next: bulklmm scan {name} RESULT.zarr --kinship {named(out)}{option}"
        )
        return
    table = pd.DataFrame(matrix.values, columns=ds["sample_id"].values.astype(str))
    table.insert(0, "sample", table.columns.to_numpy())
    write_table(table, out, _DIGITS)
    say(f"{method} kinship of {counted(ds.sizes['samples'], 'sample')} written to {named(out)}")


def _place(out: Path | None) -> Location:
    """The store of a kinship."""
    assert out is not None
    return Location.of(out).opened(to_write=True)


def _require_matrix_table(out: Path, *, overwrite: bool) -> None:
    """Raise an error, before any work, unless a table of a kinship can be written there."""
    require_table(out, overwrite=overwrite)
    if not is_stdout(out) and TableFormat.of(out).separator is None:
        raise InputError(
            f"{named(out)} is no name of a kinship: --kinship reads text; end it with .csv or "
            f".tsv, or with {_STORE} for a store"
        )


def _has_already(ds: xr.Dataset, store: Path | None, matrix: xr.DataArray) -> bool:
    """Tell whether a study, or a store, has just the kinship that is asked for."""
    if store is not None:
        return Location.of(store).opened().exists() and is_kinship_of(ds, store, matrix)
    found = ds.get(LOCO if matrix.ndim == 3 else "kinship")
    return (
        found is not None
        and "n_variants" in matrix.attrs
        and all(found.attrs.get(name) == matrix.attrs.get(name) for name in OF_KINSHIPS)
    )
