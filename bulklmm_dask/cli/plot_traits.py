"""Pictures of single traits along the genome: plot lod, manhattan, miami."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bulklmm_dask import plot
from bulklmm_dask.cli._base import PATH, names, result_argument
from bulklmm_dask.cli._levels import Levels, level_options
from bulklmm_dask.cli._pictures import contig_option, picture
from bulklmm_dask.cli._tables import read_table
from bulklmm_dask.storage.results.result import open_result

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@picture(
    "lod",
    "LOD curves of some traits.",
    "bulklmm plot lod bxd-lod.zarr 10001 --threshold 3.5,4 --out lod.png",
    "bulklmm plot lod bxd-lod.zarr 10001 10002 --perm perm.zarr --intervals peaks.csv --out l.pdf",
    "bulklmm plot lod bxd-lod.zarr 10001 --contig 7 --out chr7.png",
)
@result_argument
@click.argument("traits", nargs=-1, required=True)
@level_options("LODS", "LODs at which dashed lines are drawn.")
@click.option(
    "--intervals",
    type=PATH,
    metavar="CSV",
    help="Table from 'bulklmm peaks'; draws its intervals.",
)
@contig_option
def lod(
    result: Path,
    traits: tuple[str, ...],
    levels: Levels,
    intervals: Path | None,
    contig: str | None,
) -> Axes:
    """Draw the LOD curves of TRAITS of RESULT along the genome or one chromosome."""
    table = None if intervals is None else read_table(intervals)
    found = open_result(result)
    return plot.lod(found, traits, threshold=levels.of(traits), intervals=table, contig=contig)


@picture(
    "manhattan",
    "p-values of one trait along the genome.",
    "bulklmm plot manhattan bxd-lod.zarr 10001 --threshold 5 --out manhattan.png",
    "bulklmm plot manhattan bxd-lod.zarr 10001 --contig X --out x.pdf",
)
@result_argument
@click.argument("trait")
@level_options("VALUES", "Values of -log10 p at which dashed lines are drawn.")
@contig_option
def manhattan(
    result: Path,
    trait: str,
    levels: Levels,
    contig: str | None,
) -> Axes:
    """Draw -log10 p of TRAIT at every marker of RESULT."""
    return plot.manhattan(open_result(result), trait, threshold=levels.of([trait]), contig=contig)


@picture(
    "miami",
    "p-values of two scans, one upwards and one downwards.",
    "bulklmm plot miami null-lod.zarr alt-lod.zarr 10001 --labels null,alt --out miami.png",
    "bulklmm plot miami liver.zarr lung.zarr 10001 --perm perm.zarr --out miami.html",
    "bulklmm plot miami lod.zarr lod.zarr 10001 --lower-trait 10002 --contig 7 --out two.pdf",
)
@click.argument("upper", type=PATH)
@click.argument("lower", type=PATH)
@click.argument("trait")
@click.option("--lower-trait", metavar="NAME", help="Trait of LOWER, if it is another one.")
@click.option(
    "--labels",
    metavar="NAMES",
    help="Names of the two halves, with a comma between.  [default: the traits, or the results]",
)
@level_options("VALUES", "Values of -log10 p at which dashed lines are drawn in both halves.")
@contig_option
def miami(
    upper: Path,
    lower: Path,
    trait: str,
    lower_trait: str | None,
    labels: str | None,
    levels: Levels,
    contig: str | None,
) -> Axes:
    """Draw -log10 p of TRAIT in the results UPPER and LOWER, which have the same markers."""
    traits = list(dict.fromkeys((trait, lower_trait or trait)))
    halves: Any = tuple(names(labels)) if labels is not None else None
    if halves is None and len(traits) == 1:
        halves = names_of(upper, lower)
    return plot.miami(
        open_result(upper),
        open_result(lower),
        trait,
        lower_trait=lower_trait,
        labels=halves,
        threshold=levels.of(traits),
        contig=contig,
    )


def names_of(upper: Path, lower: Path) -> tuple[str, str] | None:
    """Names of two results, with as much of their paths as tells them apart."""
    if upper == lower:
        return None
    for words in ((upper.stem, lower.stem), (upper.name, lower.name), (str(upper), str(lower))):
        if words[0] != words[1]:
            return words
    return None
