"""Commands that make a study: import, simulate, kinship."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bulklmm_dask.cli._base import Command, compute_options, examples, require_new, say
from bulklmm_dask.cli._sources import open_source, table_or_columns
from bulklmm_dask.data.kinships import add_kinship, require_none, write_kinship
from bulklmm_dask.data.readers.csv import read_csv
from bulklmm_dask.data.readers.rqtl2 import read_rqtl2
from bulklmm_dask.data.study import save
from bulklmm_dask.describe import shape_of
from bulklmm_dask.engine.local import workers
from bulklmm_dask.kinship import kinship
from bulklmm_dask.lmm.kinship import METHODS
from bulklmm_dask.simulate import simulate_study
from bulklmm_dask.words import counted

_TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz")
_path = click.Path(path_type=Path)
_overwrite = click.option("--overwrite", is_flag=True, help="Replace what is there.")


@click.command(
    "import",
    cls=Command,
    short_help="Read files into a Zarr study.",
    epilog=examples(
        "bulklmm import bxd.zip bxd.zarr",
        "bulklmm import traits.csv mice.zarr --genotypes geno.csv --map map.csv",
        "bulklmm import traits.csv mice.zarr --genotypes strains.csv --strains strain",
    ),
)
@click.argument("source", type=_path)
@click.argument("study", type=_path)
@click.option(
    "--genotypes", type=_path, metavar="CSV", help="Genotypes, markers x samples or turned round."
)
@click.option(
    "--map", "variant_map", type=_path, metavar="CSV", help="Marker, chromosome and position."
)
@click.option(
    "--position-unit",
    type=click.Choice(["Mb", "bp", "cM"]),
    help="Unit of the map's positions, where their column does not say.",
)
@click.option(
    "--covariates",
    metavar="CSV|COLUMNS",
    help="Covariates of the samples: a table, or columns of SOURCE with commas between.",
)
@click.option(
    "--strains",
    metavar="CSV|COLUMN",
    help="Strain of every sample, when the genotypes are those of strains: a table, or the "
    "column of SOURCE that names it.",
)
@_overwrite
def import_command(
    source: Path,
    study: Path,
    genotypes: Path | None,
    variant_map: Path | None,
    position_unit: str | None,
    covariates: str | None,
    strains: str | None,
    overwrite: bool,
) -> None:
    """Read SOURCE and keep it as the Zarr study STUDY.

    SOURCE is an R/qtl2 zip, its control file (json or yaml) or folder; or, with --genotypes, a
    CSV table of traits. Samples are matched by name; what is dropped is said.
    """
    beside = {
        "--map": variant_map,
        "--position-unit": position_unit,
        "--covariates": covariates,
        "--strains": strains,
    }
    if genotypes is not None:
        ds = read_csv(
            source,
            genotypes,
            variant_map=variant_map,
            covariates=None if covariates is None else table_or_columns(covariates),
            sample_strain=strains,
            position_unit=position_unit,
        )
    elif given := [option for option, value in beside.items() if value is not None]:
        raise click.UsageError(f"{', '.join(given)} go with CSV tables: add --genotypes")
    elif source.name.endswith(_TABLES):
        raise click.UsageError(f"{source} is a table of traits: add --genotypes with theirs")
    else:
        ds = read_rqtl2(source)
    save(ds, study, overwrite=overwrite)
    say(f"{study}: {shape_of(ds)}; next: bulklmm kinship {study}")


@click.command(
    "simulate",
    cls=Command,
    short_help="Simulate a study with known truth.",
    epilog=examples(
        "bulklmm simulate study.zarr --traits 1000 --seed 7",
    ),
)
@click.argument("study", type=_path)
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
@_overwrite
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
    say(f"{study}: {shape_of(ds)}; next: bulklmm kinship {study}")


@click.command(
    "kinship",
    cls=Command,
    short_help="Compute the kinship of a study.",
    epilog=examples(
        "bulklmm kinship bxd.zarr --method rqtl2",
    ),
)
@click.argument("study", type=_path)
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="bulklmm",
    show_default=True,
    help="Which estimator; see above.",
)
@click.option("--out", type=_path, metavar="CSV", help="Write a CSV table instead.")
@_overwrite
@compute_options
def kinship_command(
    study: Path, method: str, out: Path | None, overwrite: bool, **compute: Any
) -> None:
    """Compute the kinship of the samples of STUDY and keep it there, as scans expect it.

    With dosages x in 0..1, the method bulklmm is the mean over markers of x x' + (1-x)(1-x)' with
    ones on the diagonal; rqtl2 is the same with the diagonal as it comes out (R/qtl2 itself uses
    twice this matrix); centered and standardized are GEMMA's -gk 1 and -gk 2.
    """
    require_new(out, overwrite=overwrite)
    with workers(**compute):
        ds = open_source(study)
        if out is None and not overwrite:
            require_none(ds, study)
        matrix = kinship(ds, method=method).load()
    if out is not None:
        write_kinship(matrix, ds["sample_id"].values, out)
        say(f"{method} kinship of {counted(ds.sizes['samples'], 'sample')} written to {out}")
    else:
        add_kinship(study, matrix, overwrite=overwrite)
        say(f"{study} has its {method} kinship; next: bulklmm scan {study} RESULT.zarr")
