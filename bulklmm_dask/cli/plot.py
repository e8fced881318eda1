"""Commands that draw pictures: plot lod, plot eqtl and others."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import xarray as xr

from bulklmm_dask import plot
from bulklmm_dask.analyses.blup import blup
from bulklmm_dask.analyses.options import COVARIATES, KINSHIP, LOCO, MODEL, X_COVARIATES
from bulklmm_dask.cli._base import (
    PATH,
    SOURCE,
    Command,
    Group,
    compute_options,
    examples,
    names,
    numbers,
)
from bulklmm_dask.cli._model_options import arguments_of, options_of, refuse_beside_result
from bulklmm_dask.cli._pictures import out_options, require_picture, write_picture
from bulklmm_dask.cli._run import compute_of, workers
from bulklmm_dask.cli._sources import kinship_of, open_source, open_source_or_result
from bulklmm_dask.cli._tables import read_table
from bulklmm_dask.cli.profile import profile_command
from bulklmm_dask.errors import InputError
from bulklmm_dask.results.checks import require_table
from bulklmm_dask.results.maxima import max_lod
from bulklmm_dask.results.thresholds import thresholds
from bulklmm_dask.storage.results.result import is_result, open_result
from bulklmm_dask.study.schema import select
from bulklmm_dask.text import named

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OF_BLUP = (KINSHIP, LOCO, COVARIATES, X_COVARIATES, MODEL)
_result = click.argument("result", type=PATH)
_contig = click.option("--contig", metavar="NAME", help="Draw this chromosome only.")
_perm = click.option(
    "--perm",
    type=PATH,
    metavar="PERM",
    help="Permutation store from 'bulklmm permute'; draws thresholds.",
)
_alpha = click.option(
    "--alpha",
    callback=numbers,
    default="0.1,0.05",
    show_default=True,
    metavar="LEVELS",
    help="Levels of the thresholds to draw, with commas between.",
)


def _kind(name: str, short_help: str, *lines: str) -> Callable[[Callable[..., Axes]], Any]:
    """Turn a drawing function into a command that writes the axes it returns to --out."""

    def make(draw: Callable[..., Axes]) -> click.Command:
        @wraps(draw)
        def command(*, out: Path, dpi: int, overwrite: bool, **options: Any) -> None:
            require_picture(out, overwrite=overwrite)
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
@click.option(
    "--threshold", callback=numbers, metavar="LODS", help="LODs at which dashed lines are drawn."
)
@_perm
@_alpha
@click.option(
    "--intervals",
    type=PATH,
    metavar="CSV",
    help="Table from 'bulklmm peaks'; draws its intervals.",
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
    levels = _levels(threshold, perm, list(traits), alpha)
    table = None if intervals is None else read_table(intervals)
    return plot.lod(open_result(result), traits, threshold=levels, intervals=table, contig=contig)


def _levels(
    threshold: list[float] | None, perm: Path | None, traits: list[str], alpha: list[float]
) -> list[float] | xr.Dataset | None:
    """Thresholds of some traits: numbers, or those of their permutations."""
    if threshold is not None and perm is not None:
        raise click.UsageError(
            f"--threshold {','.join(f'{level:g}' for level in threshold)} and --perm {named(perm)} "
            "exclude each other: choose one"
        )
    if perm is None:
        return threshold
    return thresholds(select(open_result(perm), "traits", traits), alpha)


@_kind(
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


@_kind(
    "heatmap",
    "Heatmap of the LODs of very many traits.",
    "bulklmm plot heatmap bxd-lod.zarr --out heatmap.png",
    "bulklmm plot heatmap bxd-lod.zarr --traits 10001,10002,10003 --order traits --out few.pdf",
)
@_result
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


@_kind(
    "manhattan",
    "p-values of one trait along the genome.",
    "bulklmm plot manhattan bxd-lod.zarr 10001 --threshold 5 --out manhattan.png",
    "bulklmm plot manhattan bxd-lod.zarr 10001 --contig X --out x.pdf",
)
@_result
@click.argument("trait")
@click.option(
    "--threshold",
    callback=numbers,
    metavar="VALUES",
    help="Values of -log10 p at which dashed lines are drawn.",
)
@_perm
@_alpha
@_contig
def manhattan(
    result: Path,
    trait: str,
    threshold: list[float] | None,
    perm: Path | None,
    alpha: list[float],
    contig: str | None,
) -> Axes:
    """Draw -log10 p of TRAIT at every marker of RESULT."""
    levels = _levels(threshold, perm, [trait], alpha)
    return plot.manhattan(open_result(result), trait, threshold=levels, contig=contig)


@_kind(
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
    help="Names of the two halves, with a comma between.  [default: the traits, or upper,lower]",
)
@click.option(
    "--threshold",
    callback=numbers,
    metavar="VALUES",
    help="Values of -log10 p at which dashed lines are drawn in both halves.",
)
@_perm
@_alpha
@_contig
def miami(
    upper: Path,
    lower: Path,
    trait: str,
    lower_trait: str | None,
    labels: str | None,
    threshold: list[float] | None,
    perm: Path | None,
    alpha: list[float],
    contig: str | None,
) -> Axes:
    """Draw -log10 p of TRAIT in the results UPPER and LOWER, which have the same markers."""
    traits = list(dict.fromkeys((trait, lower_trait or trait)))
    halves: Any = None if labels is None else tuple(names(labels))
    return plot.miami(
        open_result(upper),
        open_result(lower),
        trait,
        lower_trait=lower_trait,
        labels=halves,
        threshold=_levels(threshold, perm, traits, alpha),
        contig=contig,
    )


@_kind(
    "qq",
    "QQ plot of all p-values.",
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


@_kind(
    "kinship",
    "Kinship of the samples as colours.",
    "bulklmm plot kinship bxd.zarr --out kinship.png",
    "bulklmm plot kinship bxd.zip --kinship centered --in-order --out kinship.pdf",
)
@click.argument("study", type=SOURCE)
@click.option(
    "--kinship",
    "name",
    default="kinship",
    show_default=True,
    metavar="NAME|FILE",
    help="A variable of the study; a method (bulklmm, rqtl2, centered, standardized) to compute it "
    "now; or a CSV table.",
)
@click.option("--in-order", is_flag=True, help="Keep the order of the samples, without clustering.")
def kinship(study: str, name: str, in_order: bool) -> Axes:
    """Draw the kinship of the samples of STUDY, related ones next to each other."""
    ds = open_source(study)
    found = kinship_of(ds, name)
    if found is None:
        raise InputError("--kinship none cannot be drawn; name a kinship, or a method")
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
@click.argument("study", type=SOURCE)
@click.argument("trait")
@click.argument("variant", metavar="MARKER")
def effects(study: str, trait: str, variant: str) -> Axes:
    """Draw TRAIT of all samples of STUDY by genotype at MARKER, with means and 95% intervals."""
    return plot.effects(open_source(study), trait, variant)


@_kind(
    "coefficients",
    "Effects of genotypes or founders along the genome.",
    "bulklmm plot coefficients alleles.zarr weight --contig 2 --out chr2.png",
    "bulklmm plot coefficients lod-and-beta.zarr weight --out effects.pdf",
)
@click.argument("source", type=SOURCE)
@click.argument("trait")
@_contig
@options_of(_OF_BLUP)
@compute_options
def coefficients(source: str, trait: str, contig: str | None, **given: Any) -> Axes:
    """Draw the effects on TRAIT of the genotypes at each marker, a line for each.

    SOURCE is a study with genotype probabilities, whose BLUPs are computed (the options of the
    model are for that), or a result with effects (scan --statistics beta).
    """
    with workers(**compute_of(given)):
        found = open_source_or_result(source)
        if is_result(found):
            refuse_beside_result(_OF_BLUP, source)
        else:
            found = blup(found, trait, contig=contig, **arguments_of(found, given))
        return plot.coefficients(found, trait, contig=contig)


@_kind(
    "permutations",
    "Null distribution of the highest LOD of a trait.",
    "bulklmm plot permutations bxd-perm.zarr 10001 --result bxd-lod.zarr --out null.png",
    "bulklmm plot permutations bxd-perm.zarr 10001 --observed 4.2 --alpha 0.05 --out null.pdf",
)
@click.argument("perm", type=PATH)
@click.argument("trait")
@_alpha
@click.option("--observed", metavar="LOD", type=float, help="LOD to mark.")
@click.option(
    "--result",
    type=PATH,
    metavar="RESULT",
    help="Mark the highest LOD of the trait in RESULT.",
)
def permutations(
    perm: Path, trait: str, alpha: list[float], observed: float | None, result: Path | None
) -> Axes:
    """Draw a histogram of the highest LODs of TRAIT in PERM, from 'bulklmm permute'."""
    if observed is not None and result is not None:
        raise click.UsageError(
            f"--observed {observed:g} and --result {named(result)} exclude each other: choose one"
        )
    if result is not None:
        scanned = select(open_result(result), "traits", [trait])
        highest = float(max_lod(scanned)["lod"].iloc[0])
        observed = None if highest != highest else highest  # NaN for a trait without LODs
    return plot.permutations(open_result(perm), trait, alpha=alpha, observed=observed)


@click.group(
    "plot",
    cls=Group,
    commands=[
        lod,
        eqtl,
        heatmap,
        manhattan,
        miami,
        qq,
        hotspots,
        kinship,
        profile_command,
        effects,
        coefficients,
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
    """Draw the findings of a scan for a screen (png), a paper (pdf, svg) or a browser (html).

    A page of html zooms, moves and says what is under the pointer; it is one file that needs no
    network.

    Every picture has its own --help. Colours suit colour-blind readers; very many points are stored
    as pixels. Needs matplotlib: pip install 'bulklmm-dask[plot]'.
    """
