"""How formats are recognised: by the name of a file, the content of a folder or a first line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice, pairwise, takewhile
from pathlib import Path

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.files import Folder, is_zip

# Arrays of a VCF Zarr store that dosages are taken from.
CALLS = ("call_dosage", "call_DS", "call_genotype")

_CONTROL = (".zip", ".yaml", ".yml", ".json")
_PLINK = (".bed", ".bim", ".fam")
_LINES, _CHARACTERS = 200, 1_000_000  # that are looked at, at most
_CHROMOSOME = re.compile(r"(?!-?\d*\.\d)[\w.:|-]{1,30}")
_CALL = re.compile(r"[A-Za-z][/|]?[A-Za-z]?|not [A-Za-z]{2}|[1-5]|-|NA|")
_ALLELE = re.compile(r"[A-Za-z*?-]+")
_DOSAGE = re.compile(r"NA|[0-9.]+(e-?[0-9]+)?")


class Look:
    """A file or folder whose format is to be guessed; its first lines are read only if needed."""

    def __init__(self, path: str | Path | Location) -> None:
        self.path = Location.of(path)
        self.trouble: InputError | None = None  # why no line can be read

    def ends(self, *suffixes: str) -> bool:
        """Tell whether the name ends in one of these, whatever its case."""
        return self.path.name.lower().endswith(suffixes)

    @property
    def line(self) -> str:
        """The first line that is neither empty nor a comment; empty if this is no text."""
        return self.lines[0] if self.lines else ""

    @cached_property
    def lines(self) -> list[str]:
        """The first lines that are neither empty nor comments; none if this is no text."""
        if not self.path.is_file():
            return []
        try:
            with Folder(self.path.beside).open(self.path.name) as stream:
                lines = (line.strip(" \r\n") for line in stream)
                found = (line for line in lines if line.strip() and not line.startswith("#"))
                return list(_some(found))
        except InputError as error:  # no text, or damaged
            self.trouble = error
            return []


def _some(lines: Iterable[str]) -> Iterator[str]:
    """Yield the first three lines, and more of them as long as they are short."""
    characters = 0
    for number, line in enumerate(islice(lines, _LINES)):
        characters += len(line)
        if number > 2 and characters > _CHARACTERS:
            return
        yield line


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


def is_rqtl(look: Look) -> bool:
    """Recognise R/qtl's format: phenotypes without a chromosome, then markers with one."""
    sep = max(",;\t", key=look.line.count)
    rows = [[cell.strip().strip('"') for cell in line.split(sep)] for line in look.lines]
    if len(rows) < 3 or min(map(len, rows)) < 2:
        return False
    if rows[0][1] and not rows[1][0]:  # individuals in rows
        return _is_cross(rows[0], rows[1], rows[-1])
    if rows[1][0] and not rows[0][1]:  # markers in rows
        names, contigs, *_ = zip(*rows, strict=False)
        return _is_cross(names, contigs, [row[-1] for row in rows])
    return False


def _is_cross(names: Sequence[str], contigs: Sequence[str], last: Sequence[str]) -> bool:
    """Tell a cross by its first two rows, and by the last that was read."""
    first = sum(1 for _ in takewhile(lambda cell: not cell, contigs))
    width = max((at for at, cell in enumerate(contigs, start=1) if cell), default=0)
    markers = contigs[first:width]
    runs = sum(one != two for one, two in pairwise(markers)) + 1
    return (
        bool(markers)
        and all(names[:first])
        and all(map(_CHROMOSOME.fullmatch, markers))
        and runs == len(set(markers))
        and all(map(_CALL.fullmatch, last[first:width]))
    )


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
