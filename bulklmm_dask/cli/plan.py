"""The command that says what a scan or permutations would take: plan."""

from __future__ import annotations

from typing import Any

import click

from bulklmm_dask.analyses.options import KINSHIP, PLAN
from bulklmm_dask.analyses.plan import plan
from bulklmm_dask.cli._base import Command, did, examples, show
from bulklmm_dask.cli._model_options import (
    arguments_of,
    kernel_names,
    kernel_option,
    options_of,
    refuse_beside_kernels,
)
from bulklmm_dask.cli._sources import open_source
from bulklmm_dask.storage.labels.variables import LOCO


@click.command(
    "plan",
    cls=Command,
    short_help="How large and how long a scan would be.",
    epilog=examples(
        "bulklmm plan bxd.zarr",
        "bulklmm plan bxd.zarr --method alt-exact --workers 8 --threads 4 --memory 16GB",
        "bulklmm plan bxd.zarr --method per-trait --permutations 1000 --json",
        "bulklmm plan --samples 1000 --markers 10_000_000 --traits 1_000_000 --workers 64",
        "bulklmm plan bxd.zarr --keep hits --threshold 6",
        "bulklmm plan bxd.zarr --kernel additive=kinship --kernel cage=@cage",
    ),
)
@click.argument("study", required=False)
@options_of(PLAN)
@kernel_option
def plan_command(study: str | None, **given: Any) -> None:
    """Say what a scan of STUDY would take: blocks, bytes, operations, memory and time.

    Nothing of the study is read but names, and nothing is written. Without STUDY, give the sizes of
    a study to come. A second goes into measuring the speed of this machine.
    """
    if study is None:
        kinship = None if given["kinship"] == "none" else given["kinship"]
        if kernels := given.pop("kernels"):
            refuse_beside_kernels(KINSHIP, kernels)
            kinship = kernel_names(kernels)
        wanted = ["lod", *given["statistics"]]
        found = plan(**{**given, "kinship": kinship, "statistics": wanted} | _absent(given))
    else:
        ds = open_source(study)
        absent = not {"kinship", LOCO} & set(ds.variables)
        names = kernel_names(given["kernels"])
        coming = {name: what for name, what in names.items() if absent and what == "kinship"}
        if coming:
            refuse_beside_kernels(KINSHIP, given["kernels"])
            others = [f"{name}={what}" for name, what in names.items() if name not in coming]
            arguments = arguments_of(ds, {**given, "kernels": others, "kinship": "none"})
            arguments["kinship"] = coming | (arguments["kinship"] or {})
        elif absent and given["kinship"] == "kinship" and not names:
            arguments = arguments_of(ds, {**given, "kinship": "none"}) | {"kinship": "kinship"}
        else:
            arguments = arguments_of(ds, given)
        found = plan(ds, **arguments)
    did(plan=found.to_dict())
    show(str(found))


def _absent(given: dict[str, Any]) -> dict[str, None]:
    """Options that are lists, of which the command gives none by an empty one."""
    return {} if given["interaction"] else {"interaction": None}
