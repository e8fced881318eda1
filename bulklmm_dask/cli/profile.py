"""The command for the profile likelihood of h2 of one trait: profile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import xarray as xr

from bulklmm_dask import plot
from bulklmm_dask.analyses.options import COVARIATES, KINSHIP, REML, REPLICATES, WEIGHTS
from bulklmm_dask.analyses.profile import profile
from bulklmm_dask.cli._base import (
    PATH,
    SOURCE,
    Command,
    compute_options,
    did,
    examples,
    overwrite_option,
    say,
    show,
)
from bulklmm_dask.cli._model_options import arguments_of, options_of
from bulklmm_dask.cli._pictures import require_picture, write_picture
from bulklmm_dask.cli._run import compute_of, workers
from bulklmm_dask.cli._sources import open_source
from bulklmm_dask.cli._tables import give_table, is_stdout, require_table, table_option
from bulklmm_dask.text import counted


@click.command(
    "profile",
    cls=Command,
    short_help="Profile likelihood of h2 of one trait.",
    epilog=examples(
        "bulklmm profile bxd.zarr 10001 --out profile.png",
        "bulklmm profile bxd.zarr 10001 --variant rs3707673 --csv profile.csv",
        "bulklmm profile bxd.zip 10001 --kinship rqtl2 --reml",
        "bulklmm profile means.zarr 10001 --replicates counts.csv",
    ),
)
@click.argument("study", type=SOURCE)
@click.argument("trait")
@click.option("--variant", metavar="NAME", help="A marker to put into the model.")
@options_of((REML, KINSHIP, COVARIATES, WEIGHTS, REPLICATES))
@click.option("--out", type=PATH, metavar="PICTURE", help="Draw it: a png, pdf, svg or html file.")
@table_option("--csv", "table", text="Write the curves as a table here")
@overwrite_option
@compute_options
def profile_command(
    study: str,
    trait: str,
    variant: str | None,
    out: Path | None,
    table: Path | None,
    overwrite: bool,
    **given: Any,
) -> None:
    """Profile the likelihood of the heritability of TRAIT, without and with a marker.

    STUDY is a Zarr study, R/qtl2 files or PLINK files. Shown are the optimum of h2 over the whole
    admissible interval, its 95% likelihood interval and the log-likelihood at the optimum; with a
    marker also the LOD. A picture needs matplotlib: pip install matplotlib.
    """
    require_table(table, overwrite=overwrite)
    if out is not None:
        require_picture(out, overwrite=overwrite)
    with workers(**compute_of(given)):
        ds = open_source(study)
        found = profile(ds, trait, variant=variant, **arguments_of(ds, given))
    summary = "\n".join(_summary(found))
    (say if is_stdout(table) else show)(summary)
    did(**_facts(found))
    curves = found[[name for name in ("null", "alternative") if name in found]].to_dataframe()
    if table is not None:
        give_table(curves.reset_index(), table)
    if out is not None:
        write_picture(plot.profile(found), out)


def _facts(found: xr.Dataset) -> dict[str, Any]:
    """The optimum of each model and the LOD, as numbers."""
    facts: dict[str, Any] = {name: found.attrs[name] for name in ("trait", "n_samples")}
    for name in ("null", "alternative"):
        if name in found:
            facts[name] = {
                "h2": found[f"{name}_h2"].values,
                "interval": found[f"{name}_interval"].values,
                "log_likelihood": float(found[name].max()),
            }
    return facts | ({"lod": float(found["lod"])} if "lod" in found else {})


def _summary(found: xr.Dataset) -> list[str]:
    """One line for each model: optimum, interval and log-likelihood; then the LOD."""
    attrs = found.attrs
    kind = "REML" if attrs["reml"] else "ML"
    lines = [f"{attrs['trait']}: {kind} on {counted(attrs['n_samples'], 'sample')}"]
    models = {"null": "without a marker", "alternative": f"with {attrs.get('variant')}"}
    for name, words in models.items():
        if name in found:
            low, high = found[f"{name}_interval"].values
            best = float(found[f"{name}_h2"])
            height = float(found[name].sel(h2=best))
            lines.append(
                f"{words}: h2 {best:.4g} ({low:.4g} to {high:.4g}), log-likelihood {height:.6g}"
            )
    if "lod" in found:
        lines.append(f"LOD: {float(found['lod']):.4g}")
    return lines
