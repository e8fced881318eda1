"""The command that reads files into a study: import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bulklmm_dask.analyses.options import COMPRESSION
from bulklmm_dask.cli._base import (
    PATH,
    Command,
    compute_options,
    did,
    examples,
    names,
    overwrite_option,
)
from bulklmm_dask.cli._formats import format_lines, read
from bulklmm_dask.cli._model_options import options_of
from bulklmm_dask.cli._run import tell_study, workers
from bulklmm_dask.study.io import save
from bulklmm_dask.study.readers._crosses import CROSSES
from bulklmm_dask.study.readers.registry import READERS, with_option
from bulklmm_dask.typing import CompressionName

_IMPORT_HELP = f"""Read SOURCE and keep it as the Zarr study STUDY.

\b
{format_lines()}

FORMAT is guessed if it is left out. Samples are matched by name (in BIMBAM files by order); notes
say what is dropped. Genotypes pass through memory a part at a time.
"""


def _codes(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> dict[float, float | None] | None:
    """Parse 1=0,2=1,9=NA."""
    if value is None:
        return None
    try:
        pairs = [pair.split("=") for pair in value.split(",")]
        return {
            float(code): None if dosage.strip() == "NA" else float(dosage) for code, dosage in pairs
        }
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is not codes and dosages such as 1=0,2=1,9=NA"
        ) from None


@click.command(
    "import",
    cls=Command,
    help=_IMPORT_HELP,
    short_help="Read files into a Zarr study.",
    epilog=examples(
        "bulklmm import bxd.zip bxd.zarr",
        "bulklmm import listeria.csv listeria.zarr --cross f2",
        "bulklmm import plink mice.bed mice.zarr",
        "bulklmm import calls.vcz mice.zarr --traits expression.csv",
        "bulklmm import plink mice.bed mice.zarr --traits expression.bed.gz",
        "bulklmm import traits.csv mice.zarr --genotypes geno.csv --map map.csv",
        "bulklmm import traits.csv mice.zarr --genotypes strains.csv --strains strain",
    ),
)
@click.argument("words", nargs=-1, metavar="[FORMAT] SOURCE STUDY")
@click.option(
    "--traits",
    "--phenotypes",
    type=PATH,
    metavar="FILE",
    help="Traits, or phenotypes: samples x traits, traits x samples, or a BED table of expression "
    f"({', '.join(with_option('--traits'))}).",
)
@click.option(
    "--genotypes",
    type=PATH,
    metavar="CSV",
    help="Genotypes, markers x samples or samples x markers.",
)
@click.option(
    "--map", "variant_map", type=PATH, metavar="CSV", help="Marker, chromosome and position."
)
@click.option(
    "--position-unit",
    type=click.Choice(["Mb", "bp", "cM"]),
    help="Unit of the positions in the map, if the name of their column does not tell.",
)
@click.option(
    "--annotation",
    type=PATH,
    metavar="FILE",
    help="BIMBAM annotation: variant, position in bp, chromosome.",
)
@click.option(
    "--covariates",
    metavar="FILE|COLUMNS",
    help="Covariates of the samples: a table, or columns of the traits with commas between.",
)
@click.option(
    "--strains",
    metavar="CSV|COLUMN",
    help="Strain of every sample, if the genotypes are those of strains: a table, or the "
    "column of the traits that names it.",
)
@click.option(
    "--field",
    type=click.Choice(["call_dosage", "call_DS", "call_genotype"]),
    help="Array of a VCF Zarr store to take dosages from.  [default: the first it has]",
)
@click.option(
    "--cross",
    metavar="KIND",
    help=f"Kind of cross of an R/qtl file: {', '.join(CROSSES)}.  [default: told from the calls]",
)
@click.option(
    "--calls",
    metavar="CALLS",
    callback=lambda ctx, param, value: None if value is None else names(value),
    help="Calls of AA, AB, BB, not BB, not AA in an R/qtl file, with commas between.  [default: "
    "told from those that occur]",
)
@click.option(
    "--maximum",
    type=click.IntRange(1, 2),
    help="Dosage of two counted alleles in a CSV table.  [default: 2 if any exceeds 1, else 1]",
)
@click.option(
    "--codes",
    metavar="CODE=DOSAGE,...",
    callback=_codes,
    help="What the numbers of a CSV table of genotypes stand for, such as 1=0,2=1,9=NA.",
)
@click.option(
    "--trait-positions",
    type=PATH,
    metavar="FILE",
    help="Where the traits lie: trait, contig and position, or a BED table. Peaks are then told "
    "to be cis or trans.",
)
@options_of([COMPRESSION])
@overwrite_option
@compute_options
def import_command(
    words: tuple[str, ...],
    traits: Path | None,
    genotypes: Path | None,
    variant_map: Path | None,
    position_unit: str | None,
    annotation: Path | None,
    covariates: str | None,
    strains: str | None,
    field: str | None,
    cross: str | None,
    calls: list[str] | None,
    maximum: int | None,
    codes: dict[float, float | None] | None,
    trait_positions: Path | None,
    compression: CompressionName | None,
    overwrite: bool,
    **compute: Any,
) -> None:
    """Read SOURCE and keep it as the Zarr study STUDY."""
    name, source, study = _positions(words)
    given = {
        "--traits": traits,
        "--genotypes": genotypes,
        "--map": variant_map,
        "--position-unit": position_unit,
        "--annotation": annotation,
        "--covariates": covariates,
        "--strains": strains,
        "--field": field,
        "--cross": cross,
        "--calls": calls,
        "--maximum": maximum,
        "--codes": codes,
        "--trait-positions": trait_positions,
    }
    with workers(**compute):
        ds = read(name, source, {key: value for key, value in given.items() if value is not None})
        save(ds, study, overwrite=overwrite, compression=compression)
    did(format=name)
    tell_study(ds, study, "kinship")


def _positions(words: tuple[str, ...]) -> tuple[str | None, Path, Path]:
    """Tell FORMAT, which may be left out, from SOURCE and STUDY."""
    if len(words) not in (2, 3):
        found = "Missing" if len(words) < 2 else f"{len(words)} words where there should be"
        raise click.UsageError(f"{found} [FORMAT] SOURCE STUDY.")
    if len(words) == 3 and words[0] not in READERS:
        raise click.UsageError(
            f"{words[0]!r} is no format; choose one of {', '.join(READERS)}, or leave it out"
        )
    return words[0] if len(words) == 3 else None, Path(words[-2]), Path(words[-1])
