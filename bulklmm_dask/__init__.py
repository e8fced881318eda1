"""Linear-mixed-model genome scans of very many traits, exact and in bulk."""

from bulklmm_dask import plot
from bulklmm_dask.analyses.heritability import heritability
from bulklmm_dask.analyses.hotspot_baseline import hotspot_baseline
from bulklmm_dask.analyses.kinship import kinship
from bulklmm_dask.analyses.permute import permute
from bulklmm_dask.analyses.profile import profile
from bulklmm_dask.analyses.scan import scan
from bulklmm_dask.errors import InputError, StoreError, StudyWarning
from bulklmm_dask.reporting import report
from bulklmm_dask.results.hits import find_hits
from bulklmm_dask.results.hotspots import hotspots
from bulklmm_dask.results.maxima import max_lod
from bulklmm_dask.results.peaks import bayes_interval, find_peaks, lod_interval
from bulklmm_dask.results.pvalue_counts import pvalue_counts
from bulklmm_dask.results.thresholds import adjusted_p, thresholds, trait_fdr
from bulklmm_dask.simulate import simulate_study
from bulklmm_dask.storage.result import open_result
from bulklmm_dask.study.create import create_dataset
from bulklmm_dask.study.io import open_dataset, save
from bulklmm_dask.study.readers.bimbam import read_bimbam
from bulklmm_dask.study.readers.csv import read_csv
from bulklmm_dask.study.readers.geno import read_geno
from bulklmm_dask.study.readers.plink import read_plink
from bulklmm_dask.study.readers.probabilities import read_probabilities
from bulklmm_dask.study.readers.rqtl2 import read_rqtl2
from bulklmm_dask.study.readers.vcf_zarr import open_vcf_zarr

__all__ = [
    "InputError",
    "StoreError",
    "StudyWarning",
    "adjusted_p",
    "bayes_interval",
    "create_dataset",
    "find_hits",
    "find_peaks",
    "heritability",
    "hotspot_baseline",
    "hotspots",
    "kinship",
    "lod_interval",
    "max_lod",
    "open_dataset",
    "open_result",
    "open_vcf_zarr",
    "permute",
    "plot",
    "profile",
    "pvalue_counts",
    "read_bimbam",
    "read_csv",
    "read_geno",
    "read_plink",
    "read_probabilities",
    "read_rqtl2",
    "report",
    "save",
    "scan",
    "simulate_study",
    "thresholds",
    "trait_fdr",
]
