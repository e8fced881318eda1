"""Registry of the formats that can be read: guessing, commands and documentation derive from it.

Importing this module imports no reader; `Reader.read` imports the one that it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.readers import _sniff
from bulklmm_dask.study.readers._sniff import Look

if TYPE_CHECKING:
    import xarray as xr

_READERS = "bulklmm_dask.study.readers"
_MAP = {"--map": "variant_map", "--position-unit": "position_unit"}
_CODING = {"--maximum": "maximum", "--codes": "codes"}
_PLACES = {"--trait-positions": "trait_positions"}
_BY_NAME = {
    "--traits": "traits",
    "--covariates": "covariates",
    "--strains": "sample_strain",
    **_PLACES,
}


@dataclass(frozen=True)
class Reader:
    """One format.

    Attributes
    ----------
    title : str
        What its files are called.
    reads : str
        What the source is, for the help text.
    function : str
        Reader as "module:function"; the source is its first argument.
    sniff : callable
        Whether a source has this format; no two formats claim the same source.
    options : mapping of str to str
        Flag of ``bulklmm import`` -> argument of the function.
    needed : str, optional
        The flag without which there is no study, if any.
    covariates_by_column : bool
        Whether covariates may also be named as columns of the table of traits.
    """

    title: str
    reads: str
    function: str
    sniff: Callable[[Look], bool]
    options: Mapping[str, str] = field(default_factory=dict)
    needed: str | None = None
    covariates_by_column: bool = False

    def read(self, source: Any, **arguments: Any) -> xr.Dataset:
        """Call the function of the format."""
        module, name = self.function.split(":")
        found: xr.Dataset = getattr(import_module(f"{_READERS}.{module}"), name)(
            source, **arguments
        )
        return found

    @property
    def python(self) -> str:
        """Name of the public function."""
        return self.function.partition(":")[2]

    @property
    def description(self) -> str:
        """What the source is, and the flag that it needs."""
        return self.reads + (f", with {self.needed}" if self.needed else "")


READERS: dict[str, Reader] = {
    "rqtl2": Reader(
        "R/qtl2 files",
        "an R/qtl2 zip, its control file (json or yaml) or folder",
        "rqtl2:read_rqtl2",
        _sniff.is_rqtl2,
        {"--traits": "traits", "--covariates": "covariates", **_PLACES},
    ),
    "csv": Reader(
        "delimited tables",
        "a table of traits",
        "csv:read_csv",
        _sniff.is_unknown,
        {
            "--genotypes": "genotypes",
            **_MAP,
            "--covariates": "covariates",
            "--strains": "sample_strain",
            **_CODING,
            **_PLACES,
        },
        "--genotypes",
        covariates_by_column=True,
    ),
    "rqtl": Reader(
        "R/qtl files",
        "a cross of R/qtl (version 1): csv, csvr, or the genotypes of csvs or csvsr, with --traits "
        "the phenotypes",
        "rqtl:read_rqtl",
        _sniff.is_rqtl,
        {
            "--traits": "traits",
            "--covariates": "covariates",
            "--cross": "cross",
            "--calls": "calls",
            **_PLACES,
        },
        covariates_by_column=True,
    ),
    "plink": Reader(
        "PLINK files",
        "a .bed file, or the name it shares with .bim and .fam; .pheno and .covar beside it are "
        "read too",
        "plink:read_plink",
        _sniff.is_plink,
        {"--traits": "phenotypes", "--covariates": "covariates", **_PLACES},
    ),
    "bimbam": Reader(
        "BIMBAM mean genotypes",
        "mean genotypes, as GEMMA reads them",
        "bimbam:read_bimbam",
        _sniff.is_bimbam,
        {
            "--traits": "phenotypes",
            "--annotation": "annotation",
            "--covariates": "covariates",
            **_PLACES,
        },
        "--traits",
    ),
    "vcf-zarr": Reader(
        "a VCF Zarr store",
        "a store of vcf2zarr or sgkit",
        "vcf_zarr:open_vcf_zarr",
        _sniff.is_vcf_zarr,
        _BY_NAME | {"--field": "field"},
        "--traits",
        covariates_by_column=True,
    ),
    "probabilities": Reader(
        "genotype probabilities",
        "a CSV table of markers x sample:genotype",
        "probabilities:read_probabilities",
        _sniff.is_probabilities,
        _BY_NAME | _MAP,
        "--traits",
        covariates_by_column=True,
    ),
    "geno": Reader(
        "a GeneNetwork .geno file",
        "a GeneNetwork .geno file",
        "geno:read_geno",
        _sniff.is_geno,
        _BY_NAME,
        "--traits",
        covariates_by_column=True,
    ),
}


def with_option(flag: str) -> list[str]:
    """Names of the formats that have a flag."""
    return [name for name, reader in READERS.items() if flag in reader.options]


def read_alone(source: Any, name: str | None) -> xr.Dataset:
    """Read a source that needs no other files, in the format that was guessed.

    Raises
    ------
    InputError
        If the format is not known or needs further files; the error gives the import command.
    """
    place = Location.of(source)
    if name is None:
        raise InputError(
            f"the format of {place} cannot be told from it; read it with one of "
            f"{', '.join(READERS)}: bulklmm import FORMAT {place} STUDY"
        )
    reader = READERS[name]
    if reader.needed is not None:
        raise InputError(
            f"{place} is {reader.title}, and a study needs {reader.needed} beside it: "
            f"bulklmm import {name} {place} STUDY {reader.needed} FILE"
        )
    return reader.read(source)


def markdown_rows() -> list[str]:
    """The formats as a Markdown table, for the documentation."""
    rows = ["| format | reads | in Python | options |", "|---|---|---|---|"]
    for name, reader in READERS.items():
        options = " ".join(f"`{flag}`" for flag in reader.options) or "none"
        rows.append(f"| `{name}` | {reader.description} | `{reader.python}` | {options} |")
    return rows
