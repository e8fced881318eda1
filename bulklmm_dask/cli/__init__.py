"""The command line: ``bulklmm``, also as ``dask bulklmm``; parses and calls, nothing else."""

from __future__ import annotations

import click

from bulklmm_dask.cli._lazy import LazyGroup
from bulklmm_dask.cli._voice import version_option

_CLI = "bulklmm_dask.cli"
# Section of the help -> name of a command -> its object and its line, in the order of use.
_COMMANDS = {
    "First": {
        "import": (f"{_CLI}.importing:import_command", "Read files into a Zarr study."),
        "kinship": (f"{_CLI}.kinship:kinship_command", "Compute the kinship of a study."),
        "scan": (f"{_CLI}.scan:scan_command", "Test every trait against every marker."),
    },
    "Findings": {
        "maxima": (f"{_CLI}.findings:maxima_command", "Highest LOD of each trait of a result."),
        "hits": (
            f"{_CLI}.findings:hits_command",
            "Pairs of a marker and a trait with a high LOD.",
        ),
        "peaks": (f"{_CLI}.findings:peaks_command", "Peaks of each trait with intervals."),
        "hotspots": (
            f"{_CLI}.hotspots:hotspots_command",
            "Places where many traits have loci.",
        ),
        "permute": (
            f"{_CLI}.permute:permute_command",
            "Highest LOD of every trait in data without loci.",
        ),
        "thresholds": (
            f"{_CLI}.permute:thresholds_command",
            "LOD that chance alone exceeds with probability alpha.",
        ),
        "heritability": (
            f"{_CLI}.heritability:heritability_command",
            "h2 of every trait, with standard error and test.",
        ),
        "blup": (
            f"{_CLI}.crosses:blup_command",
            "Effects of genotypes along the genome, shrunk towards their mean.",
        ),
        "profile": (
            f"{_CLI}.profile:profile_command",
            "Profile likelihood of h2 of one trait.",
        ),
    },
    "Pictures": {
        "plot": (f"{_CLI}.plot:plot_group", "Pictures of results and studies."),
        "report": (f"{_CLI}.report:report_command", "Report of a scan as one HTML page."),
    },
    "Studies": {
        "simulate": (f"{_CLI}.simulate:simulate_command", "Simulate a study with known truth."),
        "probabilities": (
            f"{_CLI}.probabilities:probabilities_command",
            "Genotype probabilities from the calls of a cross.",
        ),
        "snps": (
            f"{_CLI}.crosses:snps_command",
            "A study of SNPs from the alleles of a cross's founders.",
        ),
    },
    "Runs and stores": {
        "plan": (f"{_CLI}.plan:plan_command", "How large and how long a scan would be."),
        "info": (f"{_CLI}.tour:info_command", "Describe a study, a result or input files."),
        "verify": (
            f"{_CLI}.verify:verify_command",
            "Read stores and compare them with what was written; mend results.",
        ),
    },
    "Help": {
        "demo": (f"{_CLI}.tour:demo_command", "From a study to its peaks and pictures."),
        "help": (f"{_CLI}.completion:help_command", "Help on a command or a topic."),
        "completion": (
            f"{_CLI}.completion:completion_command",
            "Script that completes commands and options in a shell.",
        ),
    },
}


@click.group(
    "bulklmm",
    cls=LazyGroup,
    params=[version_option()],
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
def main() -> None:
    """Test very many traits against every marker with a linear mixed model.

    Every command has its own --help with examples, and --quiet, --json and --version; 'bulklmm
    help' lists topics. Exit codes: 0 done, 1 an input or a store that cannot be used, or a cluster
    that is lost, 2 a command line that cannot be understood, 130 stopped by Ctrl-C, 143 by SIGTERM.
    """
