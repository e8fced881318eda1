"""The command that writes the findings of a scan as one page: report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bulklmm_dask.cli._base import (
    PATH,
    SOURCE,
    Command,
    compute_options,
    examples,
    overwrite_option,
    require_new,
    say,
    wrote,
)
from bulklmm_dask.cli._perms import perm_option
from bulklmm_dask.cli._run import workers
from bulklmm_dask.cli._sources import open_source
from bulklmm_dask.cli._tables import is_stdout
from bulklmm_dask.reporting import report
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.storage.results.result import open_result
from bulklmm_dask.text import named, storage


@click.command(
    "report",
    cls=Command,
    short_help="Report of a scan as one HTML page.",
    epilog=examples(
        "bulklmm report bxd-lod.zarr --out report.html",
        "bulklmm report bxd-lod.zarr --out report.html --study bxd.zarr --perm bxd-perm.zarr",
        "bulklmm report bxd-lod.zarr --out report.html --threshold 4 --top 500 --overwrite",
    ),
)
@click.argument("result", type=PATH)
@click.option(
    "--out", type=PATH, metavar="HTML", required=True, help="File to write, such as report.html."
)
@click.option(
    "--study",
    metavar="STUDY",
    type=SOURCE,
    help="The study that was scanned; adds its samples and missing values.",
)
@perm_option
@click.option(
    "--threshold",
    type=float,
    metavar="LOD",
    default=5.0,
    show_default=True,
    help="LOD that peaks exceed.",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    metavar="N",
    default=100,
    show_default=True,
    help="Largest number of rows in the table of peaks.",
)
@overwrite_option
@compute_options
def report_command(
    result: Path,
    out: Path,
    study: str | None,
    perm: Path | None,
    threshold: float,
    top: int,
    overwrite: bool,
    **compute: Any,
) -> None:
    """Write the findings of the scan RESULT as one page that opens in any browser.

    The page has the facts of the study, heritabilities, the highest peaks in a table to sort and
    search, the map of all peaks, hotspots, p-values, LOD curves, and the calls and versions to
    repeat the scan. It is one file, and needs no network. It needs matplotlib: pip install
    matplotlib.
    """
    if is_stdout(out):
        raise click.UsageError(
            f"--out {out} is for tables: give the page a name, such as report.html"
        )
    require_new(out, overwrite=overwrite)
    with workers(**compute):
        report(
            open_result(result),
            out,
            study=None if study is None else open_source(study),
            perm=None if perm is None else open_result(perm),
            threshold=threshold,
            n_top=top,
            overwrite=overwrite,
        )
    wrote(out)
    say(f"{named(out)} is written, {storage(Location.of(out).size())}: open it in a browser")
