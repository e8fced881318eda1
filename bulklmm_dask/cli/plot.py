"""The commands that draw pictures: plot lod, plot eqtl and others."""

from __future__ import annotations

import click

from bulklmm_dask.cli._base import Group, examples
from bulklmm_dask.cli.plot_scans import eqtl, heatmap, hotspots, qq
from bulklmm_dask.cli.plot_shares import share_pairs, shares
from bulklmm_dask.cli.plot_studies import coefficients, effects, kinship, permutations
from bulklmm_dask.cli.plot_traits import lod, manhattan, miami
from bulklmm_dask.cli.profile import profile_command


@click.group(
    "plot",
    cls=Group,
    commands=[
        lod,
        eqtl,
        heatmap,
        manhattan,
        miami,
        qq,
        hotspots,
        kinship,
        profile_command,
        shares,
        share_pairs,
        effects,
        coefficients,
        permutations,
    ],
    short_help="Pictures of results and studies.",
    epilog=examples(
        "bulklmm plot lod bxd-lod.zarr 10001 --perm bxd-perm.zarr --out lod.png",
        "bulklmm plot eqtl peaks.csv bxd.zarr --out map.pdf",
        "bulklmm plot effects bxd.zarr 10001 rs3707673 --out effects.svg",
    ),
)
def plot_group() -> None:
    """Draw the findings of a scan for a screen (png), a paper (pdf, svg) or a browser (html).

    A page of html zooms, moves and says what is under the pointer; it is one file that needs no
    network.

    Every picture has its own --help. Colours suit colour-blind readers; very many points are stored
    as pixels. Needs matplotlib: pip install matplotlib.
    """
