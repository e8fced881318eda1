"""Commands that say what a scan has found: hits, peaks, hotspots."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pandas as pd

from bulklmm_dask.cli._base import (
    Command,
    compute_options,
    examples,
    model_options,
    require_new,
    say,
)
from bulklmm_dask.cli._sources import kinship_of, open_source
from bulklmm_dask.cli._weights import vector_of, weight_options
from bulklmm_dask.data.store import open_result
from bulklmm_dask.engine.local import workers
from bulklmm_dask.errors import InputError
from bulklmm_dask.hotspot_null import hotspot_baseline
from bulklmm_dask.results.hits import find_hits
from bulklmm_dask.results.hotspots import hotspots
from bulklmm_dask.results.peaks import DROP, find_peaks
from bulklmm_dask.words import counted

_PARQUET = ".parquet"


def _cis_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which loci are called cis."""
    for option in (
        click.option(
            "--cis-window",
            metavar="DISTANCE",
            type=float,
            help="Largest distance of a cis locus from its trait.  [default: 5 Mb or 5 cM]",
        ),
        click.option(
            "--trait-positions",
            metavar="CSV",
            type=click.Path(path_type=Path),
            help="Columns trait, contig, position: adds a column cis. By default what the study "
            "says of its traits.",
        ),
    ):
        function = option(function)
    return function


_out = click.option(
    "--out",
    metavar="CSV",
    type=click.Path(path_type=Path),
    help="Write a CSV table here instead of showing it.",
)


@click.command(
    "hits",
    cls=Command,
    short_help="Pairs of a marker and a trait with a high LOD.",
    epilog=examples(
        "bulklmm hits bxd-lod.zarr --threshold 5 --out hits.csv",
        "bulklmm hits bxd-lod.zarr --threshold 3 --top 10",
        "bulklmm hits bxd-lod.zarr --fdr 0.05 --out hits.csv",
        "bulklmm hits bxd-lod.zarr --threshold 2 --out hits.parquet",
    ),
)
@click.argument("result", type=click.Path(path_type=Path))
@click.option("--threshold", metavar="LOD", type=float, help="The lowest LOD of a hit.")
@click.option(
    "--fdr",
    metavar="RATE",
    type=float,
    help="Instead: the false discovery rate over all pairs (Benjamini and Hochberg).",
)
@click.option(
    "--top", metavar="N", type=click.IntRange(min=1), help="Only the N highest of each trait."
)
@click.option(
    "--out",
    metavar="CSV|PARQUET",
    type=click.Path(path_type=Path),
    help="Write a CSV table, or a folder of Parquet files (name it hits.parquet), which may be "
    "larger than memory.",
)
@click.option("--overwrite", is_flag=True, help="Replace a Parquet folder of that name.")
@_cis_options
@compute_options
def hits_command(
    result: Path,
    threshold: float | None,
    fdr: float | None,
    top: int | None,
    out: Path | None,
    overwrite: bool,
    trait_positions: Path | None,
    cis_window: float | None,
    **compute: Any,
) -> None:
    """Give every pair of RESULT whose LOD is high, by trait and falling LOD.

    Besides the LOD a row has the heritability, and the effects and p-values if the scan told them.
    """
    options: dict[str, Any] = {
        "threshold": threshold,
        "fdr": fdr,
        "top": top,
        "trait_positions": _places(trait_positions),
        "cis_window": cis_window,
    }
    if out is not None and out.suffix == _PARQUET:
        with workers(**compute):
            rows = find_hits(open_result(result), store=out, overwrite=overwrite, **options)
        say(f"{counted(rows, 'row')} written to {out}")
        return
    require_new(out, overwrite=True)
    with workers(**compute):
        table = find_hits(open_result(result), **options)
    _give(table, out)


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
@click.argument("result", type=click.Path(path_type=Path))
@click.option(
    "--threshold",
    metavar="LOD",
    type=float,
    default=3.0,
    show_default=True,
    help="A peak is higher.",
)
@click.option(
    "--peakdrop",
    metavar="LOD",
    type=float,
    help="How far the LOD falls between two peaks of a chromosome.  [default: one peak each]",
)
@click.option(
    "--drop",
    metavar="LOD",
    type=float,
    help=f"LOD support intervals with this drop.  [default: {DROP:g}]",
)
@click.option(
    "--prob", metavar="P", type=float, help="Bayes intervals of this probability instead."
)
@_out
@_cis_options
@compute_options
def peaks_command(
    result: Path,
    threshold: float,
    peakdrop: float | None,
    drop: float | None,
    prob: float | None,
    out: Path | None,
    trait_positions: Path | None,
    cis_window: float | None,
    **compute: Any,
) -> None:
    """Give the peaks of every trait of RESULT, as R/qtl2's find_peaks does.

    A row has the peak's place, its LOD and the ends of its interval, places and markers.
    """
    require_new(out, overwrite=True)
    if drop is not None and prob is not None:
        raise click.UsageError("--drop and --prob exclude each other: choose one interval")
    with workers(**compute):
        table = find_peaks(
            open_result(result),
            threshold=threshold,
            peakdrop=peakdrop,
            drop=DROP if drop is None else drop,
            prob=prob,
            trait_positions=_places(trait_positions),
            cis_window=cis_window,
        )
    _give(table, out)


@click.command(
    "hotspots",
    cls=Command,
    short_help="Places that many traits have loci at.",
    epilog=examples(
        "bulklmm hotspots peaks.csv --window 5 --out hotspots.csv",
        "bulklmm hotspots hits.parquet --window 4 --step 1",
        "bulklmm hotspots peaks.csv --window 2 --study bxd.zarr",
        "bulklmm hotspots peaks.csv --window 2 --study bxd.zarr --permutations 100 --threshold 4",
    ),
)
@click.argument("findings", type=click.Path(path_type=Path))
@click.option(
    "--window", metavar="WIDTH", type=float, required=True, help="Width, in the unit of positions."
)
@click.option(
    "--step",
    metavar="DISTANCE",
    type=float,
    help="Distance between windows.  [default: half a window; with --study every marker]",
)
@click.option("--study", metavar="STUDY", help="Cover all of the genome of this study.")
@click.option(
    "--permutations",
    metavar="N",
    type=click.IntRange(min=1),
    help="Compare with N data sets without loci, each of which takes as long as the scan. Give "
    "--study, and the options of the scan and of 'bulklmm peaks'.",
)
@click.option(
    "--threshold", metavar="LOD", type=float, help="A peak is higher; as for the findings."
)
@click.option("--peakdrop", metavar="LOD", type=float, help="As for the findings.")
@click.option(
    "--alpha",
    type=float,
    default=0.05,
    show_default=True,
    metavar="P",
    help="Probability of a hotspot anywhere by chance.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="NUMBER",
    help="The same seed gives the same data sets.",
)
@click.option("--loco", is_flag=True, help="As in the scan: needs 'bulklmm kinship --loco'.")
@model_options
@weight_options
@_out
@compute_options
def hotspots_command(
    findings: Path,
    window: float,
    step: float | None,
    study: str | None,
    permutations: int | None,
    threshold: float | None,
    peakdrop: float | None,
    alpha: float,
    seed: int,
    loco: bool,
    reml: bool,
    covariates: bool | list[str],
    kinship_name: str,
    weights: str | None,
    replicates: str | None,
    out: Path | None,
    **compute: Any,
) -> None:
    """Count the traits with a finding in a window sliding along each chromosome.

    FINDINGS is what bulklmm peaks or bulklmm hits wrote. A baseline is of peaks.
    """
    require_new(out, overwrite=True)
    table = _read(findings)
    ds = None if study is None else open_source(study)
    if permutations is None:
        _give(hotspots(table, ds, window=window, step=step), out)
        return
    if ds is None or threshold is None:
        raise click.UsageError("--permutations needs --study and --threshold, as for the findings")
    with workers(**compute), click.progressbar(length=permutations, file=sys.stderr) as bar:
        baseline = hotspot_baseline(
            ds,
            window=window,
            step=step,
            threshold=threshold,
            peakdrop=peakdrop,
            n_permutations=permutations,
            seed=seed,
            kinship=kinship_of(ds, kinship_name, loco=loco),
            loco=loco,
            covariates=covariates,
            weights=vector_of(ds, weights),
            replicates=vector_of(ds, replicates),
            reml=reml,
            progress=lambda done, total: bar.update(1),
        )
    counts = hotspots(table, ds, window=window, step=step, baseline=baseline, alpha=alpha)
    most = counts.attrs["threshold"]
    say(f"more than {most} traits in one window have a probability of {alpha:g} by chance")
    _give(counts, out)


def _read(path: Path) -> pd.DataFrame:
    """Read a table of hits or peaks, with names as they are."""
    if not path.exists():
        raise InputError(f"there is no {path}; bulklmm peaks or bulklmm hits writes one")
    try:
        if path.suffix == _PARQUET:
            return pd.read_parquet(path)
        names = dict.fromkeys(("trait", "contig", "variant"), str)
        return pd.read_csv(path, dtype=names, keep_default_na=False, na_values={"position": [""]})
    except (ValueError, ImportError) as error:
        raise InputError(f"{path} cannot be read as a table ({error})") from error


def _places(path: Path | None) -> pd.DataFrame | None:
    return None if path is None else _read(path)


def _give(table: pd.DataFrame, out: Path | None) -> None:
    """Write a table as CSV, to a file or to standard output; for people where they look."""
    if out is not None:
        table.to_csv(out, index=False)
        say(f"{counted(len(table), 'row')} written to {out}")
    elif sys.stdout.isatty():
        click.echo(table.to_string(index=False, float_format="{:.4g}".format))
    else:
        click.echo(table.to_csv(index=False), nl=False)
