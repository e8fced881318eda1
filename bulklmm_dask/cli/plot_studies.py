"""Pictures of samples, effects and permutations: plot kinship, effects and others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import xarray as xr

from bulklmm_dask import plot
from bulklmm_dask.analyses.blup import blup
from bulklmm_dask.analyses.options import COVARIATES, KINSHIP, LOCO, MODEL, X_COVARIATES
from bulklmm_dask.cli._base import PATH, SOURCE, compute_options, conflict
from bulklmm_dask.cli._levels import alpha_option
from bulklmm_dask.cli._model_options import arguments_of, options_of, refuse_beside_result
from bulklmm_dask.cli._pictures import contig_option, picture
from bulklmm_dask.cli._run import compute_of, workers
from bulklmm_dask.cli._sources import kinship_of, open_source, open_source_or_result
from bulklmm_dask.errors import InputError
from bulklmm_dask.results.maxima import max_lod
from bulklmm_dask.storage.results.result import is_result, open_result
from bulklmm_dask.study.schema import select
from bulklmm_dask.text import named

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OF_BLUP = (KINSHIP, LOCO, COVARIATES, X_COVARIATES, MODEL)


@picture(
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
    help="A variable of the study; a method of 'bulklmm kinship' to compute it now; or a CSV "
    "table.",
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


@picture(
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


@picture(
    "coefficients",
    "Effects of genotypes or founders along the genome.",
    "bulklmm plot coefficients alleles.zarr weight --contig 2 --out chr2.png",
    "bulklmm plot coefficients lod-and-beta.zarr weight --out effects.pdf",
)
@click.argument("source", type=SOURCE)
@click.argument("trait")
@contig_option
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


@picture(
    "permutations",
    "Null distribution of the highest LOD of a trait.",
    "bulklmm plot permutations bxd-perm.zarr 10001 --result bxd-lod.zarr --out null.png",
    "bulklmm plot permutations bxd-perm.zarr 10001 --observed 4.2 --alpha 0.05 --out null.pdf",
)
@click.argument("perm", type=PATH)
@click.argument("trait")
@alpha_option
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
        raise conflict(f"--observed {observed:g}", f"--result {named(result)}", "choose one")
    if result is not None:
        scanned = select(open_result(result), "traits", [trait])
        highest = float(max_lod(scanned)["lod"].iloc[0])
        observed = None if highest != highest else highest  # NaN for a trait without LODs
    return plot.permutations(open_result(perm), trait, alpha=alpha, observed=observed)
