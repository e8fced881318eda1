"""The command line: ``bulklmm``, also as ``dask bulklmm``; parses and calls, nothing else."""

from __future__ import annotations

import click

from bulklmm_dask.cli._lazy import LazyGroup

# Name of a command -> its object and its line in the help, in the order of use.
_COMMANDS = {
    "import": ("bulklmm_dask.cli.study:import_command", "Read files into a Zarr study."),
    "simulate": ("bulklmm_dask.cli.study:simulate_command", "Simulate a study with known truth."),
    "probabilities": (
        "bulklmm_dask.cli.probabilities:probabilities_command",
        "Genotype probabilities from the calls of a cross.",
    ),
    "snps": (
        "bulklmm_dask.cli.crosses:snps_command",
        "A study of SNPs from the alleles of a cross's founders.",
    ),
    "kinship": ("bulklmm_dask.cli.study:kinship_command", "Compute the kinship of a study."),
    "plan": ("bulklmm_dask.cli.plan:plan_command", "How large and how long a scan would be."),
    "scan": ("bulklmm_dask.cli.scan:scan_command", "Test every trait against every marker."),
    "maxima": (
        "bulklmm_dask.cli.findings:maxima_command",
        "Highest LOD of each trait of a result.",
    ),
    "hits": (
        "bulklmm_dask.cli.findings:hits_command",
        "Pairs of a marker and a trait with a high LOD.",
    ),
    "peaks": ("bulklmm_dask.cli.findings:peaks_command", "Peaks of each trait with intervals."),
    "hotspots": (
        "bulklmm_dask.cli.hotspots:hotspots_command",
        "Places where many traits have loci.",
    ),
    "permute": (
        "bulklmm_dask.cli.permute:permute_command",
        "Highest LOD of every trait in data without loci.",
    ),
    "thresholds": (
        "bulklmm_dask.cli.permute:thresholds_command",
        "LOD that chance alone exceeds with probability alpha.",
    ),
    "heritability": (
        "bulklmm_dask.cli.heritability:heritability_command",
        "h2 of every trait, with standard error and test.",
    ),
    "blup": (
        "bulklmm_dask.cli.crosses:blup_command",
        "Effects of genotypes along the genome, shrunk towards their mean.",
    ),
    "profile": (
        "bulklmm_dask.cli.profile:profile_command",
        "Profile likelihood of h2 of one trait.",
    ),
    "plot": ("bulklmm_dask.cli.plot:plot_group", "Pictures of results and studies."),
    "report": ("bulklmm_dask.cli.report:report_command", "Report of a scan as one HTML page."),
    "verify": (
        "bulklmm_dask.cli.verify:verify_command",
        "Read stores and compare them with what was written; mend results.",
    ),
    "info": ("bulklmm_dask.cli.tour:info_command", "Describe a study, a result or input files."),
    "demo": ("bulklmm_dask.cli.tour:demo_command", "From a study to its peaks and pictures."),
}


@click.group(
    "bulklmm",
    cls=LazyGroup,
    lazy=_COMMANDS,
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
    """Test very many traits against every marker with a linear mixed model.

    Every command has its own --help with examples. Exit codes: 0 done, 1 an input or a store that
    cannot be used, or a cluster that is lost, 2 a command line that cannot be understood, 130
    stopped by Ctrl-C, 143 by SIGTERM.
    """
