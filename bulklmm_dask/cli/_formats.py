"""The formats that `bulklmm import` reads, and which options go with each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import xarray as xr

from bulklmm_dask.cli._sources import table_or_columns
from bulklmm_dask.study.readers.bimbam import read_bimbam
from bulklmm_dask.study.readers.csv import read_csv
from bulklmm_dask.study.readers.geno import read_geno
from bulklmm_dask.study.readers.guess import guess_format
from bulklmm_dask.study.readers.plink import read_plink
from bulklmm_dask.study.readers.probabilities import read_probabilities
from bulklmm_dask.study.readers.rqtl2 import read_rqtl2
from bulklmm_dask.study.readers.vcf_zarr import open_vcf_zarr

_TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz")
_BY_NAME = {"--traits": "traits", "--covariates": "covariates", "--strains": "sample_strain"}
_MAP = {"--map": "variant_map", "--position-unit": "position_unit"}


@dataclass(frozen=True)
class Format:
    """A reader, its options with the arguments they become, and which of them it must have."""

    read: Callable[..., xr.Dataset]
    options: Mapping[str, str]
    needed: str | None = None
    by_name: bool = True  # samples have names, so that covariates may be columns of the traits


FORMATS = {
    "rqtl2": Format(read_rqtl2, {}),
    "csv": Format(
        read_csv,
        {
            "--genotypes": "genotypes",
            **_MAP,
            "--covariates": "covariates",
            "--strains": "sample_strain",
        },
        "--genotypes",
    ),
    "plink": Format(
        read_plink, {"--traits": "phenotypes", "--covariates": "covariates"}, by_name=False
    ),
    "bimbam": Format(
        read_bimbam,
        {"--traits": "phenotypes", "--annotation": "annotation", "--covariates": "covariates"},
        "--traits",
        by_name=False,
    ),
    "vcf-zarr": Format(open_vcf_zarr, _BY_NAME | {"--field": "field"}, "--traits"),
    "probabilities": Format(read_probabilities, _BY_NAME | _MAP, "--traits"),
    "geno": Format(read_geno, _BY_NAME, "--traits"),
}


def read(name: str | None, source: Path, given: Mapping[str, Any]) -> xr.Dataset:
    """Read `source` in the format `name`, or the one it seems to have; `given` are the options."""
    name = name or _guess(source, given)
    form = FORMATS[name]
    if wrong := [option for option in given if option not in form.options]:
        others = [one for one, other in FORMATS.items() if set(wrong) <= other.options.keys()]
        raise click.UsageError(
            f"{' and '.join(wrong)} go{'es' * (len(wrong) == 1)} with "
            f"{' or '.join(others) or 'different formats'}, not with {name}, as which {source} is "
            "read"
        )
    if form.needed is not None and form.needed not in given:
        raise click.UsageError(f"{source} is read as {name}: add {form.needed} with its table")
    values = {form.options[option]: value for option, value in given.items()}
    if form.by_name and "covariates" in values:
        values["covariates"] = table_or_columns(values["covariates"])
    return form.read(source, **values)


def _guess(source: Path, given: Mapping[str, Any]) -> str:
    if "--genotypes" in given:
        return "csv"
    found = guess_format(source)
    if found is not None:
        return found
    if source.name.endswith(_TABLES) and "--traits" not in given:
        raise click.UsageError(
            f"{source} looks like a table of traits: add --genotypes with theirs, or name its "
            f"format ({', '.join(FORMATS)}) before it"
        )
    raise click.UsageError(
        f"the format of {source} cannot be told; name it before the source, one of "
        f"{', '.join(FORMATS)}"
    )
