"""Commands for crosses of several founders: blup, snps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pandas as pd
import xarray as xr

from bulklmm_dask.analyses.blup import blup
from bulklmm_dask.analyses.options import (
    COMPRESSION,
    COVARIATES,
    KINSHIP,
    LOCO,
    MODEL,
    REPLICATES,
    WEIGHTS,
    X_COVARIATES,
)
from bulklmm_dask.analyses.snps import snp_probabilities
from bulklmm_dask.cli._base import (
    PATH,
    SOURCE,
    Command,
    compute_options,
    examples,
    overwrite_option,
)
from bulklmm_dask.cli._model_options import arguments_of, options_of
from bulklmm_dask.cli._run import compute_of, tell_study, workers
from bulklmm_dask.cli._sources import open_source
from bulklmm_dask.cli._tables import give_table, out_option, require_table
from bulklmm_dask.study.io import save
from bulklmm_dask.study.tables.read import read_text
from bulklmm_dask.study.tables.tablefile import open_table
from bulklmm_dask.typing import CompressionName

# Columns of a marker in the table of effects, and the names of their variables.
_PLACES = {"contig": "variant_contig_name", "position": "variant_position"}


@click.command(
    "blup",
    cls=Command,
    short_help="Effects of genotypes along the genome, shrunk towards their mean.",
    epilog=examples(
        "bulklmm blup alleles.zarr weight --contig 2 --loco --out chr2.csv",
        "bulklmm blup iron.zip liver spleen --kinship none",
    ),
)
@click.argument("study", type=SOURCE)
@click.argument("traits", nargs=-1, required=True)
@click.option("--contig", metavar="NAME", help="Markers of this chromosome only.")
@click.option("--reml/--ml", default=True, show_default=True, help="Likelihood to maximise for h2.")
@options_of((KINSHIP, LOCO, COVARIATES, X_COVARIATES, WEIGHTS, REPLICATES, MODEL))
@out_option
@compute_options
def blup_command(
    study: str,
    traits: tuple[str, ...],
    contig: str | None,
    reml: bool,
    out: Path | None,
    overwrite: bool,
    **given: Any,
) -> None:
    """Predict the effects of the genotypes of STUDY at each marker on TRAITS (BLUPs).

    STUDY has genotype probabilities, or is a raw cross. One row a marker, trait and genotype: the
    effect as deviation from the mean of all genotypes, and its conditional standard deviation.
    """
    require_table(out, overwrite=overwrite)
    with workers(**compute_of(given)):
        ds = open_source(study)
        found = blup(ds, traits, contig=contig, reml=reml, **arguments_of(ds, given))
    give_table(_table(found), out)


def _table(found: xr.Dataset) -> pd.DataFrame:
    """One row a marker, trait and genotype, without genotypes that a contig does not have."""
    order = ["variants", "traits", "genotypes"]
    frame = found[["beta", "se"]].reset_coords(drop=True).to_dataframe(dim_order=order)
    table = frame.reset_index().dropna(subset=["beta"])
    table = table.rename(
        columns={"variants": "variant", "traits": "trait", "genotypes": "genotype"}
    )
    for column, name in reversed(_PLACES.items()):
        if name in found:
            table.insert(1, column, found[name].to_series()[table["variant"]].to_numpy())
    return table


@click.command(
    "snps",
    cls=Command,
    short_help="A study of SNPs from the alleles of a cross's founders.",
    epilog=examples(
        "bulklmm snps DOex.zip snps.zarr",
        "bulklmm snps alleles.zarr snps.zarr --snps chr2.csv",
    ),
)
@click.argument("study", type=SOURCE)
@click.argument("out", type=PATH)
@click.option(
    "--snps",
    type=PATH,
    metavar="CSV",
    help="Table of SNPs: snp, chr, pos, and sdp or the allele of each founder.  [default: the "
    "markers]",
)
@options_of([COMPRESSION])
@overwrite_option
@compute_options
def snps_command(
    study: str,
    out: Path,
    snps: Path | None,
    compression: CompressionName | None,
    overwrite: bool,
    **compute: Any,
) -> None:
    """Compute how much of each SNP's second allele the samples of STUDY have, into the study OUT.

    STUDY is a cross of several founders, raw or with probabilities; a scan of OUT is SNP
    association (R/qtl2's scan1snps).
    """
    with workers(**compute):
        table = None
        if snps is not None:
            table = pd.DataFrame(read_text(open_table(snps)).by_column(names=True))
        ds = snp_probabilities(open_source(study), table)
        save(ds, out, overwrite=overwrite, compression=compression)
    tell_study(ds, out, "scan")
