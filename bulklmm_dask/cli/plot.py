"""Commands that draw: plot lod, plot eqtl and so on."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pandas as pd
import xarray as xr

from bulklmm_dask import plot
from bulklmm_dask.cli._base import Command, Group, compute_options, examples, names, numbers
from bulklmm_dask.cli._pictures import out_options, require_picture, write_picture
from bulklmm_dask.cli._sources import kinship_of, open_source
from bulklmm_dask.cli._tables import read_table
from bulklmm_dask.cli.profile import profile_command
from bulklmm_dask.engine.local import workers
from bulklmm_dask.errors import InputError
from bulklmm_dask.results.maxima import max_lod
from bulklmm_dask.results.thresholds import thresholds
from bulklmm_dask.storage.result import open_result
from bulklmm_dask.study.schema import require_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_path = click.Path(path_type=Path)
_result = click.argument("result", type=_path)
_contig = click.option("--contig", metavar="NAME", help="Draw this chromosome only.")
_alpha = click.option(
    "--alpha",
    callback=numbers,
    default="0.1,0.05",
    show_default=True,
    metavar="LEVELS",
    help="Probabilities whose thresholds are drawn, with commas between.",
)


def _kind(name: str, short_help: str, *lines: str) -> Callable[[Callable[..., Axes]], Any]:
    """Make a command of a function that draws: its axes are written to --out."""

    def make(draw: Callable[..., Axes]) -> click.Command:
        @wraps(draw)
        def command(*, out: Path, dpi: int, **options: Any) -> None:
            require_picture(out)
            write_picture(draw(**options), out, dpi)

        add = click.command(name, cls=Command, short_help=short_help, epilog=examples(*lines))
        return add(out_options(command))

    return make


@_kind(
    "lod",
    "LOD curves of some traits.",
    "bulklmm plot lod bxd-lod.zarr 10001 --threshold 3.5,4 --out lod.png",
    "bulklmm plot lod bxd-lod.zarr 10001 10002 --perm perm.zarr --intervals peaks.csv --out l.pdf",
    "bulklmm plot lod bxd-lod.zarr 10001 --contig 7 --out chr7.png",
)
@_result
@click.argument("traits", nargs=-1, required=True)
@click.option("--threshold", callback=numbers, metavar="LODS", help="Draw lines at these.")
@click.option(
    "--perm", type=_path, metavar="PERM", help="Of bulklmm permute: draw each trait's thresholds."
)
@_alpha
@click.option(
    "--intervals", type=_path, metavar="CSV", help="Of bulklmm peaks: draw the traits' intervals."
)
@_contig
def lod(
    result: Path,
    traits: tuple[str, ...],
    threshold: list[float] | None,
    perm: Path | None,
    alpha: list[float],
    intervals: Path | None,
    contig: str | None,
) -> Axes:
    """Draw the LOD curves of TRAITS of RESULT along the genome or one chromosome."""
    if threshold is not None and perm is not None:
        raise click.UsageError("--threshold and --perm exclude each other: choose one")
    levels: list[float] | xr.Dataset | None = threshold
    if perm is not None:
        levels = _thresholds(open_result(perm), list(traits), alpha)
    table = None if intervals is None else read_table(intervals)
    return plot.lod(open_result(result), traits, threshold=levels, intervals=table, contig=contig)


def _thresholds(perm: xr.Dataset, traits: list[str], alpha: list[float]) -> xr.Dataset:
    require_names(perm, "traits", traits)
    return thresholds(perm.sel(traits=traits), alpha)


@_kind(
    "eqtl",
    "Map of all loci: markers against traits.",
    "bulklmm plot eqtl peaks.csv bxd.zarr --out map.png",
    "bulklmm plot eqtl hits.csv bxd.zarr --threshold 6 --out map.pdf",
)
@click.argument("findings", type=_path)
@click.argument("study")
@click.option(
    "--threshold", type=float, default=5.0, show_default=True, help="The lowest LOD to draw."
)
def eqtl(findings: Path, study: str, threshold: float) -> Axes:
    """Draw the loci of FINDINGS, of bulklmm peaks, hits or maxima, against the traits of STUDY.

    Traits stand where the study says that they lie on the genome, or else in their order.
    """
    table = read_table(findings)
    _require_columns(table, findings, ("trait", "contig", "position", "lod"))
    table = table.assign(lod=pd.to_numeric(table["lod"]))  # empty where a trait has none
    return plot.eqtl(table, open_source(study), threshold=threshold)


@_kind(
    "heatmap",
    "LODs of very many traits as colours.",
    "bulklmm plot heatmap bxd-lod.zarr --out heatmap.png",
    "bulklmm plot heatmap bxd-lod.zarr --traits 10001,10002,10003 --order traits --out few.pdf",
)
@_result
@click.option("--traits", metavar="NAMES", help="With commas between.  [default: all]")
@click.option(
    "--order",
    type=click.Choice(["peak", "traits"]),
    default="peak",
    show_default=True,
    help="Rows by the place of the highest LOD of each trait, or in their order.",
)
@compute_options
def heatmap(result: Path, traits: str | None, order: str, **compute: Any) -> Axes:
    """Draw the LODs of the traits of RESULT along the genome, the highest in every field."""
    with workers(**compute):
        chosen = None if traits is None else names(traits)
        return plot.heatmap(open_result(result), traits=chosen, order=order)


@_kind(
    "manhattan",
    "p-values of one trait along the genome.",
    "bulklmm plot manhattan bxd-lod.zarr 10001 --threshold 5 --out manhattan.png",
    "bulklmm plot manhattan bxd-lod.zarr 10001 --contig X --out x.pdf",
)
@_result
@click.argument("trait")
@click.option(
    "--threshold", callback=numbers, metavar="VALUES", help="Draw lines at these -log10 p."
)
@_contig
def manhattan(result: Path, trait: str, threshold: list[float] | None, contig: str | None) -> Axes:
    """Draw -log10 p of TRAIT at every marker of RESULT."""
    return plot.manhattan(open_result(result), trait, threshold=threshold, contig=contig)


@_kind(
    "qq",
    "All p-values against those expected by chance.",
    "bulklmm plot qq bxd-lod.zarr --out qq.png",
    "bulklmm plot qq bxd-lod.zarr --threads 8 --out qq.pdf",
)
@_result
@compute_options
def qq(result: Path, **compute: Any) -> Axes:
    """Draw observed against expected p-values of all tests of RESULT, counted block by block."""
    with workers(**compute):
        return plot.qq(open_result(result))


@_kind(
    "hotspots",
    "Numbers of traits with loci along the genome.",
    "bulklmm plot hotspots hotspots.csv bxd.zarr --out hotspots.png",
    "bulklmm plot hotspots hotspots.csv bxd.zarr --threshold 25 --out hotspots.pdf",
)
@click.argument("counts", type=_path)
@click.argument("study")
@click.option("--threshold", metavar="COUNT", type=float, help="Draw a line at this number.")
def hotspots(counts: Path, study: str, threshold: float | None) -> Axes:
    """Draw COUNTS, of bulklmm hotspots, along the genome of STUDY."""
    table = read_table(counts)
    if threshold is not None:
        table.attrs["threshold"] = threshold
    return plot.hotspots(table, open_source(study))


@_kind(
    "kinship",
    "How related the samples are, as colours.",
    "bulklmm plot kinship bxd.zarr --out kinship.png",
    "bulklmm plot kinship bxd.zip --kinship centered --in-order --out kinship.pdf",
)
@click.argument("study")
@click.option(
    "--kinship",
    "name",
    default="kinship",
    show_default=True,
    metavar="NAME|FILE",
    help="A variable of the study; a method (bulklmm, rqtl2, centered, standardized) to compute it "
    "now; or a CSV table.",
)
@click.option("--in-order", is_flag=True, help="Leave the samples in order, without clustering.")
def kinship(study: str, name: str, in_order: bool) -> Axes:
    """Draw the kinship of the samples of STUDY, related ones beside each other."""
    ds = open_source(study)
    found = kinship_of(ds, name)
    if found is None:
        raise InputError("there is no picture of no kinship; name one, or a method")
    if isinstance(found, xr.DataArray) and found.coords:
        return plot.kinship(found, order=not in_order)
    matrix = ds[found] if isinstance(found, str) else found
    return plot.kinship(ds.assign(kinship=matrix), order=not in_order)


@_kind(
    "effects",
    "A trait by the genotype at a marker.",
    "bulklmm plot effects bxd.zarr 10001 rs3707673 --out effects.png",
    "bulklmm plot effects bxd.zip 10001 rs3707673 --out effects.pdf",
)
@click.argument("study")
@click.argument("trait")
@click.argument("variant", metavar="MARKER")
def effects(study: str, trait: str, variant: str) -> Axes:
    """Draw TRAIT of all samples of STUDY by their genotype at MARKER, means with 95% intervals."""
    return plot.effects(open_source(study), trait, variant)


@_kind(
    "permutations",
    "Highest LODs of a trait by chance alone.",
    "bulklmm plot permutations bxd-perm.zarr 10001 --result bxd-lod.zarr --out null.png",
    "bulklmm plot permutations bxd-perm.zarr 10001 --observed 4.2 --alpha 0.05 --out null.pdf",
)
@click.argument("perm", type=_path)
@click.argument("trait")
@_alpha
@click.option("--observed", metavar="LOD", type=float, help="Mark this LOD.")
@click.option("--result", type=_path, metavar="RESULT", help="Mark the trait's highest LOD of it.")
def permutations(
    perm: Path, trait: str, alpha: list[float], observed: float | None, result: Path | None
) -> Axes:
    """Draw the highest LODs of the permutations of TRAIT, of bulklmm permute, as a histogram."""
    if observed is not None and result is not None:
        raise click.UsageError("--observed and --result exclude each other: choose one")
    if result is not None:
        scanned = open_result(result)
        require_names(scanned, "traits", [trait])
        highest = float(max_lod(scanned.sel(traits=[trait]))["lod"].iloc[0])
        observed = None if highest != highest else highest  # NaN for a trait without LODs
    return plot.permutations(open_result(perm), trait, alpha=alpha, observed=observed)


def _require_columns(table: pd.DataFrame, path: Path, columns: tuple[str, ...]) -> None:
    absent = [name for name in columns if name not in table]
    if absent:
        raise InputError(f"{path} has no column {absent[0]!r}; bulklmm peaks writes such a table")


@click.group(
    "plot",
    cls=Group,
    commands=[
        lod,
        eqtl,
        heatmap,
        manhattan,
        qq,
        hotspots,
        kinship,
        profile_command,
        effects,
        permutations,
    ],
    short_help="Pictures of results and studies.",
    epilog=examples(
        "bulklmm plot lod bxd-lod.zarr 10001 --perm bxd-perm.zarr --out lod.png",
        "bulklmm plot eqtl peaks.csv bxd.zarr --out map.pdf",
        "bulklmm plot effects bxd.zarr 10001 rs3707673 --out effects.svg",
    ),
)
def plot_group() -> None:
    """Draw what a scan has found, for a screen (png) or a paper (pdf, svg).

    Every picture has its own --help. Colours can be told apart by everyone; very many points are
    kept as pixels. Needs matplotlib: pip install 'bulklmm-dask[plot]'.
    """
