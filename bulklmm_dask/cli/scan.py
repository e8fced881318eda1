"""The command that tests every trait against every marker: scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bulklmm_dask.analyses.options import SCAN
from bulklmm_dask.analyses.scan import scan
from bulklmm_dask.cli._base import PATH, SOURCE, Command, compute_options, examples, say
from bulklmm_dask.cli._model_options import kernel_option, options_of
from bulklmm_dask.cli._run import is_complete, run_into
from bulklmm_dask.cli._sources import scan_in_words
from bulklmm_dask.storage.results.soundness import finished
from bulklmm_dask.text import counted, named


@click.command(
    "scan",
    cls=Command,
    short_help="Test every trait against every marker.",
    epilog=examples(
        "bulklmm scan bxd.zarr bxd-lod.zarr",
        "bulklmm scan bxd.zip bxd-lod.zarr --kinship rqtl2 --threads 4",
        "bulklmm scan bxd.zarr out.zarr --method null-grid --h2-grid 0:0.01:0.99 --reml",
        "bulklmm scan bxd.zarr alt.zarr --method alt-exact --precision single",
        "bulklmm scan bxd.zarr loco.zarr --loco --statistics beta,se,neg_log10_p",
        "bulklmm scan bxd.zarr cages.zarr --kernel additive=kinship --kernel cage=@cage",
        "bulklmm scan bxd.zarr out.zarr --scheduler tcp://10.0.0.5:8786",
        "bulklmm scan bxd.zarr out.zarr --share 3/10",
    ),
)
@click.argument("study", type=SOURCE)
@click.argument("result", type=PATH)
@options_of(SCAN)
@kernel_option
@compute_options
def scan_command(study: str, result: Path, **given: Any) -> None:
    """Scan every trait of STUDY against every marker into the Zarr store RESULT.

    STUDY is a Zarr study, R/qtl2 files or PLINK files. The LODs are written block by block; after a
    stop (Ctrl-C, a lost node, a full disk) the same command computes only what is left.

    With --kernel several random effects share the variance, as in 'bulklmm heritability'; with
    --loco a kernel that has a matrix for each chromosome leaves it out, and others stay.

    The tasks of a job array may write one store at the same time: each has a --share of the traits.
    """
    share = given["share"]
    run_into(scan, study, result, scan_in_words, given)
    name = named(result)
    if not (share is None or is_complete(result)):
        done, total = finished(result)
        say(
            f"share {share} of {name} is complete; {done} of {counted(total, 'block')} of all "
            f"shares are: bulklmm info --follow {name}"
        )
        return
    say(f"{name} is complete; its highest LODs: bulklmm maxima {name}")
