"""The command line: ``bulklmm``, also as ``dask bulklmm``; parses and calls, nothing else."""

from __future__ import annotations

import click

from bulklmm_dask.cli._base import Group
from bulklmm_dask.cli.findings import hits_command, maxima_command, peaks_command
from bulklmm_dask.cli.heritability import heritability_command
from bulklmm_dask.cli.hotspots import hotspots_command
from bulklmm_dask.cli.permute import permute_command, thresholds_command
from bulklmm_dask.cli.plot import plot_group
from bulklmm_dask.cli.profile import profile_command
from bulklmm_dask.cli.report import report_command
from bulklmm_dask.cli.scan import scan_command
from bulklmm_dask.cli.study import import_command, kinship_command, simulate_command
from bulklmm_dask.cli.tour import demo_command, info_command


@click.group(
    "bulklmm",
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
From files to peaks:
  bulklmm import bxd.zip bxd.zarr        a study in Zarr
  bulklmm kinship bxd.zarr               the relationship of its samples
  bulklmm scan bxd.zarr bxd-lod.zarr     a LOD for every trait and marker
  bulklmm maxima bxd-lod.zarr --top 20   the highest of them
""",
)
@click.version_option(package_name="bulklmm-dask")
def main() -> None:
    """Scan very many traits against every marker with a linear mixed model.

    Every command has its own --help with examples. Exit codes: 0 done, 1 an input or a store that
    cannot be used, 2 a command line that cannot be understood, 130 stopped by Ctrl-C.
    """


for command in (
    import_command,
    simulate_command,
    kinship_command,
    scan_command,
    maxima_command,
    hits_command,
    peaks_command,
    hotspots_command,
    permute_command,
    thresholds_command,
    heritability_command,
    profile_command,
    plot_group,
    report_command,
    info_command,
    demo_command,
):
    main.add_command(command)
