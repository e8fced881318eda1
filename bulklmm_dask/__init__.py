"""Linear-mixed-model genome scans of very many traits, exact and in bulk."""

from typing import TYPE_CHECKING

from bulklmm_dask._lazy import lazy_names

# Public name -> the module that defines it, which is imported when the name is first used.
_HOMES = {
    "Certificates": "bulklmm_dask.engine.security",
    "ClusterError": "bulklmm_dask.errors",
    "InputError": "bulklmm_dask.errors",
    "Plan": "bulklmm_dask.analyses.planned",
    "Prior": "bulklmm_dask.lmm.prior",
    "Progress": "bulklmm_dask.engine.progress",
    "ProgressBar": "bulklmm_dask.progress",
    "RunStatus": "bulklmm_dask.storage.results.follow",
    "StoreError": "bulklmm_dask.errors",
    "StudyWarning": "bulklmm_dask.errors",
    "__version__": "bulklmm_dask._version",
    "adjusted_p": "bulklmm_dask.results.thresholds",
    "allele_probabilities": "bulklmm_dask.analyses.probabilities",
    "bayes_interval": "bulklmm_dask.results.peaks",
    "blup": "bulklmm_dask.analyses.blup",
    "create_dataset": "bulklmm_dask.study.create",
    "find_hits": "bulklmm_dask.results.hits",
    "find_peaks": "bulklmm_dask.results.peaks",
    "follow": "bulklmm_dask.storage.results.follow",
    "genotype_probabilities": "bulklmm_dask.analyses.probabilities",
    "heritability": "bulklmm_dask.analyses.heritability",
    "hotspot_baseline": "bulklmm_dask.analyses.hotspot_baseline",
    "hotspots": "bulklmm_dask.results.hotspots",
    "kinship": "bulklmm_dask.analyses.kinship",
    "lod_interval": "bulklmm_dask.results.peaks",
    "max_lod": "bulklmm_dask.results.maxima",
    "open_dataset": "bulklmm_dask.study.io",
    "open_kinship": "bulklmm_dask.study.kinship_store",
    "open_result": "bulklmm_dask.storage.results.result",
    "open_vcf_zarr": "bulklmm_dask.study.readers.vcf_zarr",
    "permute": "bulklmm_dask.analyses.permute",
    "plan": "bulklmm_dask.analyses.plan",
    "plot": "bulklmm_dask.plot",
    "profile": "bulklmm_dask.analyses.profile",
    "pvalue_counts": "bulklmm_dask.results.pvalue_counts",
    "read_bimbam": "bulklmm_dask.study.readers.bimbam",
    "read_csv": "bulklmm_dask.study.readers.csv",
    "read_geno": "bulklmm_dask.study.readers.geno",
    "read_kinship": "bulklmm_dask.study.kinships",
    "read_plink": "bulklmm_dask.study.readers.plink",
    "read_probabilities": "bulklmm_dask.study.readers.probabilities",
    "read_rqtl": "bulklmm_dask.study.readers.rqtl",
    "read_rqtl2": "bulklmm_dask.study.readers.rqtl2",
    "report": "bulklmm_dask.reporting",
    "save": "bulklmm_dask.study.io",
    "save_kinship": "bulklmm_dask.analyses.kinship_store",
    "scan": "bulklmm_dask.analyses.scan",
    "simulate_study": "bulklmm_dask.simulate",
    "snp_probabilities": "bulklmm_dask.analyses.snps",
    "thresholds": "bulklmm_dask.results.thresholds",
    "trait_fdr": "bulklmm_dask.results.thresholds",
    "verify": "bulklmm_dask.verification",
    "with_traits": "bulklmm_dask.study.with_traits",
    "workers": "bulklmm_dask.engine.local",
    "x_covariates": "bulklmm_dask.analyses.x_covariates",
}
__all__ = [
    "Certificates",
    "ClusterError",
    "InputError",
    "Plan",
    "Prior",
    "Progress",
    "ProgressBar",
    "RunStatus",
    "StoreError",
    "StudyWarning",
    "adjusted_p",
    "allele_probabilities",
    "bayes_interval",
    "blup",
    "create_dataset",
    "find_hits",
    "find_peaks",
    "follow",
    "genotype_probabilities",
    "heritability",
    "hotspot_baseline",
    "hotspots",
    "kinship",
    "lod_interval",
    "max_lod",
    "open_dataset",
    "open_kinship",
    "open_result",
    "open_vcf_zarr",
    "permute",
    "plan",
    "plot",
    "profile",
    "pvalue_counts",
    "read_bimbam",
    "read_csv",
    "read_geno",
    "read_kinship",
    "read_plink",
    "read_probabilities",
    "read_rqtl",
    "read_rqtl2",
    "report",
    "save",
    "save_kinship",
    "scan",
    "simulate_study",
    "snp_probabilities",
    "thresholds",
    "trait_fdr",
    "verify",
    "with_traits",
    "workers",
    "x_covariates",
]

if TYPE_CHECKING:  # the same, for type checkers and editors
    from bulklmm_dask import plot
    from bulklmm_dask._version import __version__ as __version__
    from bulklmm_dask.analyses.blup import blup
    from bulklmm_dask.analyses.heritability import heritability
    from bulklmm_dask.analyses.hotspot_baseline import hotspot_baseline
    from bulklmm_dask.analyses.kinship import kinship
    from bulklmm_dask.analyses.kinship_store import save_kinship
    from bulklmm_dask.analyses.permute import permute
    from bulklmm_dask.analyses.plan import plan
    from bulklmm_dask.analyses.planned import Plan
    from bulklmm_dask.analyses.probabilities import allele_probabilities, genotype_probabilities
    from bulklmm_dask.analyses.profile import profile
    from bulklmm_dask.analyses.scan import scan
    from bulklmm_dask.analyses.snps import snp_probabilities
    from bulklmm_dask.analyses.x_covariates import x_covariates
    from bulklmm_dask.engine.local import workers
    from bulklmm_dask.engine.progress import Progress
    from bulklmm_dask.engine.security import Certificates
    from bulklmm_dask.errors import ClusterError, InputError, StoreError, StudyWarning
    from bulklmm_dask.lmm.prior import Prior
    from bulklmm_dask.progress import ProgressBar
    from bulklmm_dask.reporting import report
    from bulklmm_dask.results.hits import find_hits
    from bulklmm_dask.results.hotspots import hotspots
    from bulklmm_dask.results.maxima import max_lod
    from bulklmm_dask.results.peaks import bayes_interval, find_peaks, lod_interval
    from bulklmm_dask.results.pvalue_counts import pvalue_counts
    from bulklmm_dask.results.thresholds import adjusted_p, thresholds, trait_fdr
    from bulklmm_dask.simulate import simulate_study
    from bulklmm_dask.storage.results.follow import RunStatus, follow
    from bulklmm_dask.storage.results.result import open_result
    from bulklmm_dask.study.create import create_dataset
    from bulklmm_dask.study.io import open_dataset, save
    from bulklmm_dask.study.kinship_store import open_kinship
    from bulklmm_dask.study.kinships import read_kinship
    from bulklmm_dask.study.readers.bimbam import read_bimbam
    from bulklmm_dask.study.readers.csv import read_csv
    from bulklmm_dask.study.readers.geno import read_geno
    from bulklmm_dask.study.readers.plink import read_plink
    from bulklmm_dask.study.readers.probabilities import read_probabilities
    from bulklmm_dask.study.readers.rqtl import read_rqtl
    from bulklmm_dask.study.readers.rqtl2 import read_rqtl2
    from bulklmm_dask.study.readers.vcf_zarr import open_vcf_zarr
    from bulklmm_dask.study.with_traits import with_traits
    from bulklmm_dask.verification import verify
else:
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
