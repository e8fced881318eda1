"""Guessing the format of a file or folder, by the registry of formats."""

from __future__ import annotations

import os

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.readers._sniff import Look
from bulklmm_dask.study.readers.registry import READERS

_VCF = (".vcf", ".vcf.gz", ".bcf")


def guess_format(source: str | os.PathLike[str]) -> str | None:
    """Tell the format of a source.

    Parameters
    ----------
    source : path
        A file, a folder, or the name that PLINK files share.

    Returns
    -------
    str or None
        Its name in `registry.READERS`; None where it cannot be told.

    Raises
    ------
    InputError
        If there is no such file or folder, or it is a VCF file.
    """
    path = Location.of(source)
    look = Look(path)
    if path.is_special():
        path.require_file()
    if path.is_file() and look.ends(*_VCF):
        raise InputError(
            f"{path} is a VCF file; convert it with vcf2zarr (of the package bio2zarr), and give "
            "the store that it writes"
        )
    found = next((name for name, reader in READERS.items() if reader.sniff(look)), None)
    if found is None and not path.exists():
        raise InputError(f"there is no file or folder {path}; check the path")
    if found is None and look.line == "" and look.trouble is not None:
        raise look.trouble
    return found
