"""Which format a file or folder is written in, from its name and its first line."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.location import Location
from bulklmm_dask.study.readers._files import Folder
from bulklmm_dask.study.readers.vcf_zarr import is_vcf_zarr

_CONTROL = (".zip", ".yaml", ".yml", ".json")
_PLINK = (".bed", ".bim", ".fam")
_VCF = (".vcf", ".vcf.gz", ".bcf")
_ALLELE = re.compile(r"[A-Za-z*?-]+")
_DOSAGE = re.compile(r"NA|[0-9.]+(e-?[0-9]+)?")


def guess_format(source: str | Path) -> str | None:
    """Tell the format of a source.

    Parameters
    ----------
    source : path
        A file, a folder, or the name that PLINK files share.

    Returns
    -------
    str or None
        rqtl2, plink, vcf-zarr, bimbam, probabilities or geno; None where it cannot be told.

    Raises
    ------
    InputError
        If there is no such file or folder, or it is a VCF file.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return "vcf-zarr" if is_vcf_zarr(Location(str(path))) else "rqtl2"
    if path.name.lower().endswith(_PLINK) or path.with_name(path.name + ".bed").is_file():
        return "plink"
    if path.name.lower().endswith(_CONTROL):
        return "rqtl2"
    if not path.is_file():
        raise InputError(f"there is no file or folder {path}; check the path")
    if path.name.lower().endswith(_VCF):
        raise InputError(
            f"{path} is a VCF file; convert it with vcf2zarr (of the package bio2zarr), and give "
            "the store that it writes"
        )
    return "rqtl2" if zipfile.is_zipfile(path) else _by_first_line(path)


def _by_first_line(path: Path) -> str | None:
    try:
        with Folder(path.parent).open(path.name) as stream:
            lines = (line.strip() for line in stream)
            line = next((line for line in lines if line and not line.startswith("#")), "")
    except InputError:  # no text, or damaged
        return None
    if line.startswith("@") or line.split("\t")[:2] == ["Chr", "Locus"]:
        return "geno"
    header = [cell.strip().strip('"') for cell in re.split(r"[,;\t]", line)]
    if len(header) > 1 and all(re.fullmatch(r".+:.+", cell) for cell in header[1:]):
        return "probabilities"
    fields = line.replace(",", " ").split()
    if (
        len(fields) > 3
        and all(map(_ALLELE.fullmatch, fields[1:3]))
        and all(map(_DOSAGE.fullmatch, fields[3:]))
    ):
        return "bimbam"
    return None
