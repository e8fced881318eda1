"""Pictures of all traits of a scan: plot eqtl, heatmap, qq, hotspots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from bulklmm_dask import plot
from bulklmm_dask.cli._base import PATH, SOURCE, compute_options, names, result_argument
from bulklmm_dask.cli._pictures import picture
from bulklmm_dask.cli._run import workers
from bulklmm_dask.cli._sources import open_source
from bulklmm_dask.cli._tables import read_table
from bulklmm_dask.results.checks import require_table
from bulklmm_dask.storage.results.result import open_result
from bulklmm_dask.text import named

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@picture(
    "eqtl",
    "Map of all loci: markers against traits.",
    "bulklmm plot eqtl peaks.csv bxd.zarr --out map.png",
    "bulklmm plot eqtl hits.csv bxd.zarr --threshold 6 --out map.pdf",
)
@click.argument("findings", type=PATH)
@click.argument("study", type=SOURCE)
@click.option("--threshold", type=float, default=5.0, show_default=True, help="Lowest LOD to draw.")
@click.option(
    "--cis-window",
    type=float,
    metavar="DISTANCE",
    help="Largest distance of a cis locus from its trait, in the unit of the positions.  "
    "[default: the column cis of FINDINGS, or 5 Mb or cM]",
)
def eqtl(findings: Path, study: str, threshold: float, cis_window: float | None) -> Axes:
    """Draw the loci of FINDINGS (from 'bulklmm peaks', 'hits' or 'maxima') against their traits.

    Traits are placed at their positions on the genome if STUDY has them, otherwise in their order.
    Cis and trans loci have their own colours where the positions are known.
    """
    table = read_table(findings)
    columns = ("trait", "contig", "position", "lod")
    remedy = "'bulklmm peaks' writes such a table"
    table = require_table(table, columns, f"{named(findings)} has", remedy, numbers=columns[2:])
    return plot.eqtl(table, open_source(study), threshold=threshold, cis_window=cis_window)


@picture(
    "heatmap",
    "Heatmap of the LODs of very many traits.",
    "bulklmm plot heatmap bxd-lod.zarr --out heatmap.png",
    "bulklmm plot heatmap bxd-lod.zarr --traits 10001,10002,10003 --order traits --out few.pdf",
)
@result_argument
@click.option("--traits", metavar="NAMES", help="Traits, with commas between.  [default: all]")
@click.option(
    "--order",
    type=click.Choice(["peak", "traits"]),
    default="peak",
    show_default=True,
    help="Sort rows by the position of the highest LOD, or keep the order of the traits.",
)
@compute_options
def heatmap(
    result: Path, traits: str | None, order: Literal["peak", "traits"], **compute: Any
) -> Axes:
    """Draw the LODs of the traits of RESULT along the genome as colours."""
    with workers(**compute):
        chosen = None if traits is None else names(traits)
        return plot.heatmap(open_result(result), traits=chosen, order=order)


@picture(
    "qq",
    "QQ plot of all p-values.",
    "bulklmm plot qq bxd-lod.zarr --out qq.png",
    "bulklmm plot qq bxd-lod.zarr --threads 8 --out qq.pdf",
)
@result_argument
@compute_options
def qq(result: Path, **compute: Any) -> Axes:
    """Draw observed against expected p-values of all tests of RESULT, counted block by block."""
    with workers(**compute):
        return plot.qq(open_result(result))


@picture(
    "hotspots",
    "Number of traits with a locus along the genome.",
    "bulklmm plot hotspots hotspots.csv bxd.zarr --out hotspots.png",
    "bulklmm plot hotspots hotspots.csv bxd.zarr --threshold 25 --out hotspots.pdf",
)
@click.argument("counts", type=PATH)
@click.argument("study", type=SOURCE)
@click.option(
    "--threshold",
    metavar="COUNT",
    type=float,
    help="Number of traits at which a dashed line is drawn.",
)
def hotspots(counts: Path, study: str, threshold: float | None) -> Axes:
    """Draw COUNTS, a table from 'bulklmm hotspots', along the genome of STUDY."""
    table = read_table(counts)
    if threshold is not None:
        table.attrs["threshold"] = threshold
    return plot.hotspots(table, open_source(study))
