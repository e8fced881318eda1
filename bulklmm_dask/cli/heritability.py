"""The command that estimates h2 of all traits: heritability."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click
import pandas as pd
import xarray as xr

from bulklmm_dask.analyses.heritability import heritability
from bulklmm_dask.analyses.options import COVARIATES, KINSHIP, REPLICATES, WEIGHTS
from bulklmm_dask.cli._base import (
    SOURCE,
    Command,
    compute_options,
    did,
    examples,
    overwrite_option,
    say,
    show,
)
from bulklmm_dask.cli._model_options import arguments_of, kernel_option, options_of
from bulklmm_dask.cli._run import compute_of, workers
from bulklmm_dask.cli._sources import open_source
from bulklmm_dask.cli._tables import give_table, is_stdout, require_table, table_option
from bulklmm_dask.results.fdr import false_discovery_rates
from bulklmm_dask.text import counted

_LEVEL = 0.05


@click.command(
    "heritability",
    cls=Command,
    short_help="h2 of every trait, with standard error and test.",
    epilog=examples(
        "bulklmm heritability bxd.zarr --out h2.csv",
        "bulklmm heritability bxd.zip --kinship rqtl2 --covariates none --ml",
        "bulklmm heritability means.zarr --replicates counts.csv",
        "bulklmm heritability bxd.zarr --kernel additive=kinship --kernel cage=@cage",
        "bulklmm heritability f2.zarr --kernel additive=centered --kernel dominance",
    ),
)
@click.argument("study", type=SOURCE)
@click.option("--reml/--ml", default=True, show_default=True, help="Likelihood to maximise.")
@options_of((KINSHIP, COVARIATES, WEIGHTS, REPLICATES))
@kernel_option
@table_option("--out", text="Write the table here, one row a trait")
@overwrite_option
@compute_options
def heritability_command(
    study: str,
    reml: bool,
    out: Path | None,
    overwrite: bool,
    **given: Any,
) -> None:
    """Estimate the heritability of every trait of STUDY, without a marker.

    STUDY is a Zarr study, R/qtl2 files or PLINK files. Shown are the distribution of h2, and how
    many traits are heritable by the likelihood-ratio test of h2 = 0. The table has h2 with its
    standard error, the total variance, both log-likelihoods, the test, the number of samples and
    the status.

    With --kernel several random effects share the variance. The table then has a row for every
    component of every trait: its share with its standard error, its variance, and the test that it
    is not there; the component called residual comes last.
    """
    require_table(out, overwrite=overwrite)
    with workers(**compute_of(given)):
        ds = open_source(study)
        found = heritability(ds, reml=reml, **arguments_of(ds, given))
    summary = "\n".join(_summary(found))
    (say if is_stdout(out) else show)(summary)
    did(traits=found.sizes["traits"], status=Counter(found["trait_status"].values.tolist()))
    if out is not None:
        give_table(_table(found), out)


def _table(found: xr.Dataset) -> pd.DataFrame:
    """One row a trait; of several components, one row for each of every trait."""
    status = found["trait_status"].variable
    kept = found.reset_coords(drop=True).assign(trait_status=status)
    keys = ["traits", "components"] if "components" in found.dims else ["traits"]
    table = kept.to_dataframe(dim_order=keys)
    return table.rename_axis([key.removesuffix("s") for key in keys]).reset_index()


def _summary(found: xr.Dataset) -> list[str]:
    """Traits and samples, the distribution of h2, and how many are heritable.

    Of several components, the distribution and the tests of each.
    """
    kind = "REML" if found.attrs["reml"] else "ML"
    status = Counter(found["trait_status"].values.tolist())
    lines = [
        f"{counted(found.sizes['traits'], 'trait')}, {kind}: "
        + ", ".join(f"{n:,} {name}" for name, n in status.most_common())
    ]
    if "components" not in found.dims:
        return lines + _of_one("h2", found)
    for name in found["components"].values:
        lines += _of_one(f"share of {name}", found.sel(components=name))
    return lines


def _of_one(what: str, found: xr.Dataset) -> list[str]:
    """The distribution of a share, and how many of it are not 0."""
    lines = []
    h2, p_value = found["h2"].dropna("traits"), found["p_value"].dropna("traits")
    if h2.size:
        low, lower, middle, upper, high = h2.quantile([0, 0.25, 0.5, 0.75, 1]).values
        lines.append(
            f"{what}: median {middle:.3g}, quartiles {lower:.3g} and {upper:.3g}, "
            f"from {low:.3g} to {high:.3g}; {int((h2 == 0).sum()):,} at 0"
        )
    if p_value.size:
        found_at = int((false_discovery_rates(p_value.values) <= _LEVEL).sum())
        lines.append(
            f"{what} = 0 rejected for {int((p_value < _LEVEL).sum()):,} with p < {_LEVEL:g}, "
            f"{found_at:,} at a false discovery rate of {_LEVEL:g}"
        )
    return lines
