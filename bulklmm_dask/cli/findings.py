"""Commands that search a result, or a study while it is scanned: maxima, hits, peaks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pandas as pd
import xarray as xr

from bulklmm_dask.analyses.options import PASSING_SCAN
from bulklmm_dask.analyses.scan import scan
from bulklmm_dask.cli._base import (
    PATH,
    SOURCE,
    Command,
    compute_options,
    conflict,
    did,
    examples,
    overwrite_option,
    result_argument,
    say,
    wrote,
)
from bulklmm_dask.cli._model_options import (
    arguments_of,
    kernel_option,
    options_of,
    refuse_beside_result,
)
from bulklmm_dask.cli._perms import level_of, perm_option, perm_options, with_p
from bulklmm_dask.cli._run import compute_of, say_ahead, work_in_words, workers
from bulklmm_dask.cli._sources import open_source_or_result, scan_in_words
from bulklmm_dask.cli._table_files import PARQUET
from bulklmm_dask.cli._tables import (
    give_table,
    out_option,
    read_table,
    require_table,
    table_option,
)
from bulklmm_dask.engine.local import Workers
from bulklmm_dask.results.hits import find_hits
from bulklmm_dask.results.maxima import max_lod
from bulklmm_dask.results.peaks import DROP, THRESHOLD, find_peaks
from bulklmm_dask.results.thresholds import trait_fdr
from bulklmm_dask.storage.results.result import is_result, open_result
from bulklmm_dask.study.readers._places import read_trait_places
from bulklmm_dask.text import counted, named
from bulklmm_dask.typing import By


def _cis_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for cis loci."""
    for option in (
        click.option(
            "--cis-window",
            metavar="DISTANCE",
            type=float,
            help="Largest distance between a trait and a cis locus.  [default: 5 Mb or 5 cM]",
        ),
        click.option(
            "--trait-positions",
            metavar="FILE",
            type=PATH,
            help="Positions of the traits, for the column cis: trait, contig and position, or a "
            "BED table.  [default: those of the study, if any]",
        ),
    ):
        function = option(function)
    return function


@click.command(
    "maxima",
    cls=Command,
    short_help="Highest LOD of each trait of a result.",
    epilog=examples(
        "bulklmm maxima bxd-lod.zarr --top 20",
        "bulklmm maxima bxd-lod.zarr --by contig --out maxima.csv",
        "bulklmm maxima bxd-lod.zarr --perm bxd-perm.zarr --out traits.csv",
    ),
)
@result_argument
@click.option("--by", type=click.Choice(["contig"]), help="One row for each trait and chromosome.")
@click.option("--top", metavar="N", type=click.IntRange(min=1), help="Only the N highest rows.")
@perm_option
@out_option
@compute_options
def maxima_command(
    result: Path,
    by: By | None,
    top: int | None,
    perm: Path | None,
    out: Path | None,
    overwrite: bool,
    **compute: Any,
) -> None:
    """Give the highest LOD of every trait of RESULT and its marker.

    With permutations also its genome-wide adjusted p and, unless by chromosome, the false discovery
    rate over traits.
    """
    require_table(out, overwrite=overwrite)
    with workers(**compute):
        table = max_lod(open_result(result), by=by)
    if perm is not None and by is None:
        table = trait_fdr(open_result(perm), table)
    else:
        table = with_p(table, perm)
    if top is not None:
        table = table.sort_values("lod", ascending=False, kind="stable").head(top)
    give_table(table, out)


@click.command(
    "hits",
    cls=Command,
    short_help="Pairs of a marker and a trait with a high LOD.",
    epilog=examples(
        "bulklmm hits bxd-lod.zarr --threshold 5 --out hits.csv",
        "bulklmm hits bxd-lod.zarr --threshold 3 --top 10",
        "bulklmm hits bxd-lod.zarr --fdr 0.05 --out hits.csv",
        "bulklmm hits bxd-lod.zarr --perm bxd-perm.zarr --alpha 0.05 --out hits.csv",
        "bulklmm hits bxd.zarr --threshold 5 --out hits.parquet",
        "bulklmm hits bxd.zarr --fdr 0.05 --loco --statistics beta,se --out hits.parquet",
    ),
)
@click.argument("source", metavar="STUDY|RESULT", type=SOURCE)
@click.option("--threshold", metavar="LOD", type=float, help="Lowest LOD of a hit.")
@click.option(
    "--fdr",
    metavar="RATE",
    type=float,
    help="Instead of --threshold: false discovery rate over all pairs (Benjamini and Hochberg).",
)
@click.option(
    "--top", metavar="N", type=click.IntRange(min=1), help="Only the N highest hits of each trait."
)
@table_option(
    "--out",
    text="Write the table here instead of showing it; with .parquet a folder of Parquet files, "
    "which may be larger than memory",
)
@overwrite_option
@perm_options
@_cis_options
@options_of(PASSING_SCAN)
@kernel_option
@compute_options
def hits_command(
    source: str,
    threshold: float | None,
    fdr: float | None,
    top: int | None,
    out: Path | None,
    overwrite: bool,
    perm: Path | None,
    alpha: float | None,
    trait_positions: Path | None,
    cis_window: float | None,
    **given: Any,
) -> None:
    """Give every pair of a STUDY or a RESULT with a high LOD, by trait and falling LOD.

    A STUDY is scanned now, with the options of 'bulklmm scan'; of its LODs only the hits are kept,
    so that it needs neither room for them nor memory. A RESULT of 'bulklmm scan' is searched.

    Besides the LOD a row has the heritability, and the effects and p-values if the scan computed
    them; with permutations also its genome-wide adjusted p.
    """
    folder = out if out is not None and out.suffix == PARQUET else None
    if folder is None:
        require_table(out, overwrite=overwrite)
    level = level_of(threshold, perm, alpha)
    with workers(**compute_of(given)) as where:
        result = _scanned(source, given, where)
        options: dict[str, Any] = {
            "threshold": level,
            "fdr": fdr,
            "top": top,
            "trait_positions": _positions(trait_positions, result),
            "cis_window": cis_window,
            "perm": None if perm is None else open_result(perm),
        }
        if folder is not None:
            rows = find_hits(result, store=folder, overwrite=overwrite, **options)
            did(rows=rows)
            wrote(folder)
            say(f"{counted(rows, 'row')} written to {named(folder)}")
            return
        table = find_hits(result, **options)
    give_table(table, out)


def _scanned(source: str, given: dict[str, Any], where: Workers) -> xr.Dataset:
    """A result, or the lazy scan of a study with the options given."""
    found = open_source_or_result(source)
    if not is_result(found):
        arguments = arguments_of(found, given)
        size = work_in_words(scan_in_words(found), where)
        say(f"{size}; of the LODs only the hits are kept")
        say_ahead(found, arguments)
        return scan(found, **arguments)
    refuse_beside_result(PASSING_SCAN, source)
    return found


@click.command(
    "peaks",
    cls=Command,
    short_help="Peaks of each trait with intervals.",
    epilog=examples(
        "bulklmm peaks bxd-lod.zarr --threshold 4",
        "bulklmm peaks bxd-lod.zarr --peakdrop 1.8 --out peaks.csv",
        "bulklmm peaks bxd-lod.zarr --prob 0.95 --trait-positions genes.csv --cis-window 2",
    ),
)
@result_argument
@click.option(
    "--threshold",
    metavar="LOD",
    type=float,
    help=f"LOD that peaks exceed.  [default: {THRESHOLD:g}]",
)
@click.option(
    "--peakdrop",
    metavar="LOD",
    type=float,
    help="Find several peaks on a chromosome, between which the LOD falls by this much.  [default: "
    "one peak on each]",
)
@click.option(
    "--drop",
    metavar="LOD",
    type=float,
    help=f"Drop of LOD support intervals.  [default: {DROP:g}]",
)
@click.option(
    "--prob", metavar="P", type=float, help="Bayes intervals of this probability instead."
)
@perm_options
@out_option
@_cis_options
@compute_options
def peaks_command(
    result: Path,
    threshold: float | None,
    peakdrop: float | None,
    drop: float | None,
    prob: float | None,
    perm: Path | None,
    alpha: float | None,
    out: Path | None,
    overwrite: bool,
    trait_positions: Path | None,
    cis_window: float | None,
    **compute: Any,
) -> None:
    """Give the peaks of every trait of RESULT, by the rules of R/qtl2's find_peaks.

    A row has the position of the peak, its LOD, and the ends of its interval with their markers.
    """
    require_table(out, overwrite=overwrite)
    if drop is not None and prob is not None:
        raise conflict(f"--drop {drop:g}", f"--prob {prob:g}", "choose one interval")
    level = level_of(threshold, perm, alpha)
    with workers(**compute):
        found = open_result(result)
        table = find_peaks(
            found,
            threshold=THRESHOLD if level is None else level,
            peakdrop=peakdrop,
            drop=DROP if drop is None else drop,
            prob=prob,
            trait_positions=_positions(trait_positions, found),
            cis_window=cis_window,
        )
    give_table(with_p(table, perm), out)


def _positions(path: Path | None, result: xr.Dataset) -> pd.DataFrame | None:
    """Read the places of traits, if there is a table of them, in the unit of the markers."""
    if path is None:
        return None
    places = read_trait_places(read_table(path) if path.suffix == PARQUET else path)
    markers = result.get("variant_position")
    return places.as_table(None if markers is None else markers.attrs.get("units"))
