"""How formats are recognised: by the name of a file, the content of a folder or a first line."""

from __future__ import annotations

import re
from functools import cached_property
from itertools import islice
from pathlib import Path

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.location import Location
from bulklmm_dask.study.readers._files import Folder, is_zip

# Arrays of a VCF Zarr store that dosages are taken from.
CALLS = ("call_dosage", "call_DS", "call_genotype")

_CONTROL = (".zip", ".yaml", ".yml", ".json")
_PLINK = (".bed", ".bim", ".fam")
_LINES = 10_000  # that are looked at for the first that tells
_ALLELE = re.compile(r"[A-Za-z*?-]+")
_DOSAGE = re.compile(r"NA|[0-9.]+(e-?[0-9]+)?")


class Look:
    """A file or folder whose format is to be guessed; its first line is read only if needed."""

    def __init__(self, path: str | Path | Location) -> None:
        self.path = Location.of(path)
        self.trouble: InputError | None = None  # why no line can be read

    def ends(self, *suffixes: str) -> bool:
        """Tell whether the name ends in one of these, whatever its case."""
        return self.path.name.lower().endswith(suffixes)

    @cached_property
    def line(self) -> str:
        """The first line that is neither empty nor a comment; empty if this is no text."""
        if not self.path.is_file():
            return ""
        try:
            with Folder(self.path.beside).open(self.path.name) as stream:
                lines = (line.strip() for line in islice(stream, _LINES))
                return next((line for line in lines if line and not line.startswith("#")), "")
        except InputError as error:  # no text, or damaged
            self.trouble = error
            return ""


def is_vcf_zarr(look: Look) -> bool:
    """Recognise a VCF Zarr store: an array of genotypes, but no trait_id."""
    return (
        any(
            (look.path / name / form).is_file()
            for name in CALLS
            for form in ("zarr.json", ".zarray")
        )
        and not (look.path / "trait_id").exists()
    )


def is_plink(look: Look) -> bool:
    """Recognise a file of a PLINK set, or the name that the files of a set share."""
    if look.path.is_folder():
        return False
    return look.ends(*_PLINK) or (look.path.beside / (look.path.name + ".bed")).is_file()


def is_rqtl2(look: Look) -> bool:
    """Recognise a zip file, a control file, or a folder that is no VCF Zarr store."""
    if look.path.is_folder():
        return not is_vcf_zarr(look)
    return look.ends(*_CONTROL) or is_zip(look.path)


def is_geno(look: Look) -> bool:
    """Recognise GeneNetwork's format by the lines above its calls."""
    return look.line.startswith("@") or look.line.split("\t")[:2] == ["Chr", "Locus"]


def is_probabilities(look: Look) -> bool:
    """Recognise columns called sample:genotype."""
    header = [cell.strip().strip('"') for cell in re.split(r"[,;\t]", look.line)]
    return len(header) > 1 and all(re.fullmatch(r".+:.+", cell) for cell in header[1:])


def is_bimbam(look: Look) -> bool:
    """Recognise a line of a variant, its two alleles and dosages."""
    fields = look.line.replace(",", " ").split()
    return (
        len(fields) > 3
        and all(map(_ALLELE.fullmatch, fields[1:3]))
        and all(map(_DOSAGE.fullmatch, fields[3:]))
    )


def is_unknown(look: Look) -> bool:
    """Recognise nothing: a table of traits looks like any other table."""
    return False
