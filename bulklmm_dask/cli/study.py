"""Commands that make a study: import, simulate, kinship."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pandas as pd
import xarray as xr

from bulklmm_dask.analyses.kinship import kinship
from bulklmm_dask.analyses.kinship_store import is_kinship_of, save_kinship
from bulklmm_dask.analyses.options import COMPRESSION, KinshipMethod
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
from bulklmm_dask.cli._formats import format_lines, read
from bulklmm_dask.cli._model_options import options_of
from bulklmm_dask.cli._run import tell_study, workers
from bulklmm_dask.cli._sources import open_source
from bulklmm_dask.cli._table_files import TableFormat
from bulklmm_dask.cli._tables import is_stdout, require_table, write_table
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.kinship import METHODS
from bulklmm_dask.simulate import simulate_study
from bulklmm_dask.storage.labels.variables import LOCO
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.io import save
from bulklmm_dask.study.kinship_store import require_free_for_kinship
from bulklmm_dask.study.kinships import add_kinship, require_no_kinship
from bulklmm_dask.study.readers._crosses import CROSSES
from bulklmm_dask.study.readers.registry import READERS, with_option
from bulklmm_dask.text import counted, named
from bulklmm_dask.typing import CompressionName

_STORE = ".zarr"  # a name that ends so is that of a store
_DIGITS = 15  # of the entries of a kinship: all that are free of noise

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


@click.command(
    "simulate",
    cls=Command,
    short_help="Simulate a study with known truth.",
    epilog=examples(
        "bulklmm simulate study.zarr --traits 1000 --seed 7",
    ),
)
@click.argument("study", type=PATH)
@click.option("--traits", metavar="N", default=5000, show_default=True, help="Traits.")
@click.option("--samples", metavar="N", default=248, show_default=True, help="Samples.")
@click.option(
    "--strains",
    metavar="N",
    default=50,
    show_default=True,
    help="Distinct genotypes that the samples share; 0 makes every sample distinct.",
)
@click.option("--variants", metavar="N", default=7321, show_default=True, help="Markers.")
@click.option("--covariates", metavar="N", default=0, show_default=True, help="Covariates.")
@click.option(
    "--cross",
    type=click.Choice(["ril", "f2", "backcross"]),
    default="ril",
    show_default=True,
    help="Recombinant inbred lines, intercross or backcross.",
)
@click.option(
    "--missing",
    metavar="SHARE",
    default=0.0,
    show_default=True,
    help="Share of trait values that are missing.",
)
@click.option("--seed", metavar="N", default=0, show_default=True, help="Same seed, same study.")
@overwrite_option
def simulate_command(
    study: Path,
    traits: int,
    samples: int,
    strains: int,
    variants: int,
    covariates: int,
    cross: str,
    missing: float,
    seed: int,
    overwrite: bool,
) -> None:
    """Simulate a study with known loci as the Zarr study STUDY.

    By default it has the shape of a study of inbred mouse strains: 248 samples of 50 strains,
    7,321 markers on 20 chromosomes. The truth is inside: trait_true_variant, trait_true_h2.
    """
    ds = simulate_study(
        n_samples=samples,
        n_strains=strains or None,
        n_variants=variants,
        n_traits=traits,
        n_covariates=covariates,
        cross=cross,
        missing=missing,
        seed=seed,
    )
    save(ds, study, overwrite=overwrite)
    tell_study(ds, study, "kinship")


@click.command(
    "kinship",
    cls=Command,
    short_help="Compute the kinship of a study.",
    epilog=examples(
        "bulklmm kinship bxd.zarr --method rqtl2",
        "bulklmm kinship bxd.zarr --loco",
        "bulklmm kinship bxd.zarr --out K.zarr",
    ),
)
@click.argument("study", type=SOURCE)
@click.option(
    "--method",
    type=click.Choice(METHODS),
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
        if not overwrite and (out is None or stored) and _has_already(ds, out, method, loco=loco):
            did(computed=False)
            where = named(out if stored else study)
            say(f"{where} has its {which} already: nothing is computed, but with --overwrite")
            return
        if out is None and not overwrite:
            require_no_kinship(ds, study, loco=loco)
        if stored:
            require_free_for_kinship(_place(out), overwrite=overwrite)
        matrix = kinship(ds, method=method, loco=loco).load()
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


def _has_already(ds: xr.Dataset, store: Path | None, method: KinshipMethod, *, loco: bool) -> bool:
    """Tell whether a study, or a store, has just the kinship that is asked for."""
    if store is None:
        found = ds.get(LOCO if loco else "kinship")
        return found is not None and (
            found.attrs.get("method") == method
            and found.attrs.get("n_variants") == ds.sizes["variants"]
        )
    return Location.of(store).opened().exists() and is_kinship_of(
        ds, store, method=method, loco=loco
    )
