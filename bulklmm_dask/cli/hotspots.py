"""The command that counts the traits with loci in a sliding window: hotspots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bulklmm_dask.analyses.hotspot_baseline import hotspot_baseline
from bulklmm_dask.analyses.options import (
    COVARIATES,
    KINSHIP,
    LOCO,
    REML,
    REPLICATES,
    SEED,
    WEIGHTS,
)
from bulklmm_dask.cli._base import (
    PATH,
    SOURCE,
    Command,
    compute_options,
    did,
    examples,
    say,
    wrote,
)
from bulklmm_dask.cli._model_options import arguments_of, options_of
from bulklmm_dask.cli._run import compute_of, goes_on_from, is_complete, progress_bar, workers
from bulklmm_dask.cli._sources import open_source
from bulklmm_dask.cli._tables import give_table, out_option, read_table, require_table
from bulklmm_dask.results.hotspots import hotspots
from bulklmm_dask.text import named


@click.command(
    "hotspots",
    cls=Command,
    short_help="Places where many traits have loci.",
    epilog=examples(
        "bulklmm hotspots peaks.csv --window 5 --out hotspots.csv",
        "bulklmm hotspots hits.parquet --window 4 --step 1",
        "bulklmm hotspots peaks.csv --window 2 --study bxd.zarr",
        "bulklmm hotspots peaks.csv --window 2 --study bxd.zarr --permutations 100 --threshold 4",
    ),
)
@click.argument("findings", type=PATH)
@click.option(
    "--window", metavar="WIDTH", type=float, required=True, help="Width, in the unit of positions."
)
@click.option(
    "--step",
    metavar="DISTANCE",
    type=float,
    help="Distance between windows.  [default: half a window; with --study every marker]",
)
@click.option(
    "--study", metavar="STUDY", type=SOURCE, help="Place windows on the whole genome of this study."
)
@click.option(
    "--permutations",
    metavar="N",
    type=click.IntRange(min=1),
    help="Compare with N data sets without loci, each of which takes as long as the scan. Needs "
    "--study, --threshold, and the options given to 'bulklmm scan' and 'bulklmm peaks'.",
)
@click.option(
    "--threshold",
    metavar="LOD",
    type=float,
    help="LOD that peaks of the baseline exceed, as for FINDINGS.",
)
@click.option(
    "--peakdrop", metavar="LOD", type=float, help="--peakdrop of the baseline, as for FINDINGS."
)
@click.option(
    "--alpha",
    type=float,
    default=0.05,
    show_default=True,
    metavar="P",
    help="Probability that chance alone gives a hotspot anywhere in the genome.",
)
@click.option(
    "--store",
    metavar="PATH",
    type=PATH,
    help="Keep the counts of finished data sets in this Zarr store: after a stop the same command "
    "goes on from there.",
)
@options_of((SEED, LOCO, REML, KINSHIP, COVARIATES, WEIGHTS, REPLICATES))
@out_option
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
    store: Path | None,
    out: Path | None,
    overwrite: bool,
    **given: Any,
) -> None:
    """Count the traits with a finding in a window sliding along each chromosome.

    FINDINGS is a table from 'bulklmm peaks' or 'bulklmm hits'. With --permutations it should be
    of peaks: these are counted in the data sets without loci.
    """
    require_table(out, overwrite=overwrite)
    table = read_table(findings)
    ds = None if study is None else open_source(study)
    if permutations is None:
        if store is not None:
            raise click.UsageError("--store keeps what --permutations makes: give both")
        give_table(hotspots(table, ds, window=window, step=step), out)
        return
    if ds is None or threshold is None:
        raise click.UsageError("--permutations needs --study and --threshold, as for the findings")
    if store is not None:
        goes_on_from(store)
    was_complete = store is not None and is_complete(store)
    with workers(**compute_of(given)), progress_bar() as bar:
        baseline = hotspot_baseline(
            ds,
            window=window,
            step=step,
            threshold=threshold,
            peakdrop=peakdrop,
            n_permutations=permutations,
            **arguments_of(ds, given),
            store=store,
            progress=bar,
        )
    if store is not None:
        wrote(store)
        if was_complete:
            say(f"{named(store)} was complete already: nothing is computed")
    counts = hotspots(table, ds, window=window, step=step, baseline=baseline, alpha=alpha)
    most = counts.attrs["threshold"]
    say(f"more than {most} traits in one window have a probability of {alpha:g} by chance")
    did(threshold=most, permutations=permutations)
    give_table(counts, out)
