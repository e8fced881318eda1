"""The control file of a study in R/qtl2's format: found, read and checked."""

from __future__ import annotations

import json
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.files import Archive, Folder, is_zip
from bulklmm_dask.study.schema import unknown_names
from bulklmm_dask.study.tables.dialects import Dialect
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import either
from bulklmm_dask.text import counted, listing

# Codes of the calls if the control file lists none: R/qtl2's letters, and the codes themselves.
_DEFAULT_CODES = {"A": 1, "H": 2, "B": 3, "D": 4, "C": 5} | {
    str(code): code for code in range(1, 6)
}

_LONGEST, _DEEPEST = 10**6, 20  # characters of a control file, and levels of its entries

_TABLES = ("geno", "founder_geno", "pheno", "covar", "phenocovar", "gmap", "pmap")
_KNOWN = {
    *_TABLES,
    *(f"{table}_transposed" for table in _TABLES),
    *("description", "comments", "crosstype", "sep", "na.strings", "comment.char", "genotypes"),
    *("alleles", "x_chr", "sex", "cross_info"),
}


@dataclass(frozen=True)
class Control:
    """The entries of a control file, with R/qtl2's defaults for those that are absent."""

    label: str
    entries: dict[str, Any]

    @property
    def dialect(self) -> Dialect:
        """The dialect of the tables: separator, missing values, comments."""
        sep = str(self.entries.get("sep", ",")).replace("\\t", "\t")  # quoted tabs are common
        if len(sep) != 1:
            raise InputError(
                f"{self.label}: sep is {sep!r}; it should be one character, such as ',' or a tab"
            )
        missing = frozenset(self.listed("na.strings") or ["NA"])
        return Dialect(sep, missing, str(self.entries.get("comment.char", "#") or ""))

    @property
    def crosstype(self) -> str:
        """The kind of cross."""
        if not self.entries.get("crosstype"):
            raise InputError(
                f"{self.label} has no crosstype; add it (riself, risib, dh, haploid, bc or f2)"
            )
        return str(self.entries["crosstype"])

    @property
    def codes(self) -> dict[str, int]:
        """The genotype code of each call."""
        codes = self.entries.get("genotypes") or _DEFAULT_CODES
        if not isinstance(codes, dict):
            raise InputError(
                f"{self.label}: genotypes is {codes!r}; it should map each call to its code, "
                "such as A: 1, H: 2, B: 3"
            )
        try:
            return {str(call).strip(): int(code) for call, code in codes.items()}
        except (TypeError, ValueError):
            raise InputError(
                f"{self.label}: genotypes is {codes!r}; every code should be a whole number"
            ) from None

    def listed(self, key: str) -> list[str]:
        """Give an entry as a list of texts, empty if it is absent."""
        entry = self.entries.get(key)
        if entry is None:
            return []
        return [str(item) for item in entry] if isinstance(entry, list) else [str(entry)]

    def is_transposed(self, table: str) -> bool:
        """Tell whether a table is transposed."""
        flag = str(self.entries.get(f"{table}_transposed", "false")).lower()
        if flag in ("true", "yes", "on", "1", "t", "y"):
            return True
        if flag in ("false", "no", "off", "0", "f", "n"):
            return False
        raise InputError(
            f"{self.label}: {table}_transposed is {flag!r}; it should be true or false"
        )

    def source_of(self, key: str) -> tuple[str | None, str | None, dict[str, str]]:
        """Source of sex or cross_info: a file or None, a covariate or None, and its codes."""
        entry = self.entries.get(key)
        if not isinstance(entry, dict):
            return (None if entry is None else str(entry)), None, {}
        codes = {str(k): str(v) for k, v in entry.items() if k not in ("file", "covar")}
        found = [None if entry.get(k) is None else str(entry[k]) for k in ("file", "covar")]
        return found[0], found[1], codes


def open_control(source: str | Path) -> tuple[Folder | Archive, Control]:
    """Find the control file in a zip file, a folder, or at a path of its own, and read it."""
    path = Location.of(source)
    if not path.exists():
        raise InputError(f"there is no file or folder {path}; check the path")
    files: Folder | Archive
    if path.is_folder():
        if path.is_store():
            raise InputError(
                f"{path} is a Zarr store already; "
                + either("open a study with open_dataset", "it need not be imported")
            )
        files = Folder(path, confined=True)
        name = _find(files.names(), str(path))
    elif path.suffix.lower() == ".zip" or is_zip(path):
        files = Archive(path)
        member = _find(files.names(), str(path))
        files.inside, name = posixpath.split(member)
    elif path.suffix.lower() in (".yaml", ".yml", ".json"):
        files, name = Folder(path.beside, confined=True), path.name
    else:
        path.require_file()
        raise InputError(
            f"{path} is neither a zip file nor a control file (.yaml or .json); give one of these, "
            "or the folder of a control file"
        )
    control = Control(files.label(name), _parse(files, name))
    unknown = unknown_names(_KNOWN, control.entries)
    if unknown:
        say(f"{control.label}: entries that mean nothing here are left aside: {listing(unknown)}")
    return files, control


def _find(names: list[str], where: str) -> str:
    """Pick the control file; YAML goes before JSON, as in R/qtl2."""
    for endings in ((".yaml", ".yml"), (".json",)):
        found = [name for name in names if name.lower().endswith(endings)]
        if len(found) > 1:
            raise InputError(
                f"{where} holds {len(found)} control files: {listing(found)}; keep one, or give "
                "the path of the one to read"
            )
        if found:
            return found[0]
    raise InputError(f"{where} holds no control file (.yaml or .json); add one")


def _parse(files: Folder | Archive, name: str) -> dict[str, Any]:
    label = files.label(name)
    with files.open(name) as stream:
        written = stream.read(_LONGEST + 1)
    if len(written) > _LONGEST:
        raise InputError(
            f"{label} has more than {counted(_LONGEST, 'character')}; it is no control file"
        )
    try:
        if name.lower().endswith(".json"):
            # Numbers stay text: those of very many digits cannot be converted.
            entries = json.loads(written, parse_int=str, parse_float=str)
        else:
            _require_flat(written, label)
            # Every scalar stays text: YAML itself would read the alleles N and Y as false and true.
            entries = yaml.load(written, Loader=yaml.BaseLoader)
    except RecursionError:
        raise InputError(f"{label} is no control file: its entries are nested too deep") from None
    except (ValueError, yaml.YAMLError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{label} is no valid control file: {error}") from None
    if not isinstance(entries, dict):
        raise InputError(
            f"{label} is no control file: it should name the tables, as in geno: geno.csv"
        )
    return entries


def _require_flat(written: str, label: str) -> None:
    """Raise InputError if YAML refers to its own parts, which may multiply, or is nested deep."""
    depth = 0
    for event in yaml.parse(written, Loader=yaml.BaseLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent):
            raise InputError(
                f"{label}, line {line}: the alias *{event.anchor} stands for "
                "another part of the file; write that part out"
            )
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise InputError(
                f"{label}, line {line}: entries are nested more than "
                f"{_DEEPEST} deep, which no control file needs"
            )
