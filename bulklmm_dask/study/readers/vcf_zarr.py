"""VCF Zarr stores, as vcf2zarr and sgkit write them."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
import zarr

from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.storage.arrays.chunks import file_shape, files, grid, is_whole
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.checks import refuse_outside
from bulklmm_dask.study.ranges import lazy
from bulklmm_dask.study.readers._markers import map_frame, name_variants
from bulklmm_dask.study.readers._samples import Covariates, Strains, read_samples
from bulklmm_dask.study.readers._sniff import CALLS
from bulklmm_dask.study.readers._traits import Source
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import option
from bulklmm_dask.text import counted, listing

_GENOTYPE = "call_genotype"
_EMPTY = "holds no value"
_NAMES = ("sample_id", "variant_contig", "variant_position", "contig_id", "variant_allele")
# Dimensions and kinds of values of the small arrays; texts are of several dtypes.
_FORMS = {
    "sample_id": (1, "OUST", "texts (samples,)"),
    "contig_id": (1, "OUST", "texts (contigs,)"),
    "variant_contig": (1, "iu", "whole numbers (variants,)"),
    "variant_position": (1, "iuf", "numbers (variants,)"),
    "variant_allele": (2, "OUST", "texts (variants, alleles)"),
    "variant_id": (1, "OUST", "texts (variants,)"),
}
# Chunks that an array can have files of, and one that is read whole; each takes a look.
_MOST_CHUNKS, _MOST_READ = 10**7, 10**5


def open_vcf_zarr(
    path: str | os.PathLike[str],
    *,
    traits: Source,
    covariates: Covariates = None,
    sample_strain: Strains = None,
    field: str | None = None,
    trait_positions: Source | None = None,
) -> xr.Dataset:
    """Open a VCF Zarr store as a study; its genotypes stay there until they are used.

    Stores of vcf2zarr (bio2zarr) and sgkit are read, in Zarr format 2 and 3.

    Parameters
    ----------
    path : path
        The folder of the store.
    traits : path or DataFrame
        Samples x traits, by the sample names of the store.
    covariates : path, DataFrame or sequence of str, optional
        Samples x covariates, or names of columns of the traits, as in `read_csv`.
    sample_strain : path, str or DataFrame, optional
        The strain of every sample, where the samples of the store are strains, as in `read_csv`.
    field : {"call_dosage", "call_DS", "call_genotype"}, optional
        What the dosages are taken from; by default the first of these that the store has and that
        holds values: an array that is declared but empty, missing or 0 throughout is passed over.
    trait_positions : path or DataFrame, optional
        Trait, contig and position, as in `read_csv`.

    Returns
    -------
    Dataset
        The study, with dosages 0..2 of the alternate allele: the copies of it among the alleles
        called (2 for a haploid call of it, as on the X of males; 0..1 where all samples are
        haploid), NaN where any allele is missing. Where a variant has several alternate alleles,
        the copies of all of them are counted. variant_allele holds the reference and the
        alternate alleles, joined by commas.

    Raises
    ------
    InputError
        If the store lacks an array or has another form, or a chunk is damaged, with the array
        and the variants.

    Warns
    -----
    StudyWarning
        For variants of several alternate alleles, variants that had to be named, chunks that
        are absent, and a choice between dosages and genotypes. Missing calls are counted, and
        said, when the study is saved or its kinship computed.

    Examples
    --------
    ``vcf2zarr convert mice.vcf.gz mice.vcz`` makes such a store of a VCF file. A small one is

    >>> calls = xr.Dataset({
    ...     "call_genotype": (
    ...         ("variants", "samples", "ploidy"),
    ...         np.array([[[0, 0], [0, 1], [1, 1]], [[0, 1], [0, 0], [1, 1]]], dtype="int8"),
    ...     ),
    ...     "sample_id": ("samples", ["a", "b", "c"]),
    ...     "contig_id": ("contigs", ["1", "X"]),
    ...     "variant_contig": ("variants", [0, 0]),
    ...     "variant_position": ("variants", [3500000, 20000000]),
    ...     "variant_id": ("variants", ["rs1", "rs2"]),
    ...     "variant_allele": (("variants", "alleles"), [["A", "G"], ["C", "T"]]),
    ... })
    >>> _ = calls.to_zarr("mice.vcz", zarr_format=2)
    >>> weights = pd.DataFrame({"weight": [20.1, 22.5, 19.8]}, index=["a", "b", "c"])
    >>> study = blmm.open_vcf_zarr("mice.vcz", traits=weights)
    >>> study.call_dosage.to_pandas()
    samples     a    b    c
    variants
    rs1       0.0  1.0  2.0
    rs2       1.0  0.0  2.0
    """
    folder = Location.of(path)
    group = _open(folder)
    source = _calls(folder, group, field)
    samples = [str(name) for name in _read(folder, group, "sample_id")]
    placed, alleles = _variants(folder, group)
    if source.shape != (len(placed), len(samples)):
        raise InputError(
            f"{folder}: {source.name} is of {source.shape[0]} variants and {source.shape[1]} "
            f"samples, but variant_position of {len(placed)} and sample_id of {len(samples)}; "
            "make the store again"
        )
    genotypes = lazy(source, list(placed.index), samples)
    tables = read_samples(traits, covariates, sample_strain, samples, trait_positions)
    ds = tables.study(genotypes, placed, "bp", alleles=alleles, maximum=source.maximum)
    return ds.assign_attrs(source=folder.name)


@dataclass(frozen=True)
class Calls:
    """Dosages of the alternate alleles, from one array of a store, called `label` in messages."""

    label: str
    folder: str
    name: str
    shape: tuple[int, int]
    step: int
    maximum: int

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Read a range of variants."""
        dosage = self.unchecked(start, stop)
        if self.name == _GENOTYPE:
            return dosage
        variants = [f"number {i + 1}" for i in range(start, stop)]
        samples = [f"number {i + 1}" for i in range(self.shape[1])]
        try:
            refuse_outside(dosage, self.maximum, variants, samples)
        except InputError as error:
            raise InputError(f"{self._where(start, stop)}: {error}") from None
        return dosage

    def unchecked(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Read a range of variants, whose dosages may lie outside their range."""
        try:
            array = Location(self.folder).open_array(self.name, zarr_format=None)
            values = np.asarray(array[start:stop])
            if values.dtype.kind not in "iuf":
                raise TypeError(f"dtype {values.dtype}")
        except Exception as error:  # every codec fails in its own way
            raise InputError(
                f"{self._where(start, stop)} cannot be read ({error}); fetch or make it again"
            ) from error
        if self.name == _GENOTYPE:
            return _count(values, self.maximum)
        dosage = values.astype(np.float32, copy=False)
        if values.dtype.kind == "i":  # VCF Zarr's whole numbers: -1 missing, -2 not there
            dosage = np.where(values < 0, np.float32(np.nan), dosage)
        if dosage.ndim == 3:  # one for each alternate allele; those that a variant lacks are NaN
            dosage = np.where(np.isnan(dosage).all(axis=2), np.nan, np.nansum(dosage, axis=2))
        return dosage

    def _where(self, start: int, stop: int) -> str:
        return f"{self.label}: {self.name}, variants {start + 1} to {stop}"

    def lack(self) -> str:
        """What speaks against taking this array: it holds no value, or zeros only; else empty.

        Reads no further than the first dosage above 0, which is nearly always in the first chunk.
        """
        lack = _EMPTY
        for start in range(0, self.shape[0], self.step):
            largest = np.fmax.reduce(
                self.unchecked(start, min(start + self.step, self.shape[0])), axis=None, initial=-1
            )
            if largest > 0:
                return ""
            if largest == 0:
                lack = "is 0 throughout"
        return lack


def _count(alleles: npt.NDArray[np.integer], maximum: int) -> npt.NDArray[np.float32]:
    """Share of alternate alleles among those called, times `maximum`; NaN where any is missing.

    Alleles (variants, samples, ploidy): 0 reference, 1 and more alternate, -1 missing, less where
    a sample has fewer copies than others.
    """
    out = np.zeros(alleles.shape[:2], dtype=np.float32)
    copies = np.zeros(alleles.shape[:2], dtype=np.int8)
    missing = np.zeros(alleles.shape[:2], dtype=bool)
    for copy in np.moveaxis(alleles, 2, 0):
        out += copy > 0
        copies += copy >= 0
        missing |= copy == -1
    missing |= copies == 0
    copies[missing] = 1
    out *= maximum / copies
    out[missing] = np.nan
    return out


def _open(folder: Location) -> zarr.Group:
    if not folder.is_folder():
        raise InputError(f"there is no store {folder}; check the path")
    try:
        return folder.open_group(zarr_format=None)
    except StoreError:
        raise
    except Exception as error:  # whatever the damaged metadata lead to
        raise InputError(
            f"{folder} is no Zarr store, or damaged ({error}); give the folder that vcf2zarr wrote"
        ) from error


def _has(folder: Location, group: zarr.Group, name: str) -> bool:
    """Tell whether the store has an array or group of this name."""
    try:
        return name in group
    except Exception as error:  # whatever the damaged metadata lead to
        raise InputError(f"{folder}: {name} is damaged ({error}); make it again") from error


def _array(
    folder: Location, group: zarr.Group, name: str, most: int = _MOST_CHUNKS
) -> zarr.Array[Any]:
    """Find an array of the store."""
    try:
        array = group[name]
    except KeyError:
        raise InputError(
            f"{folder} has no {name}; a VCF Zarr store has {listing(_NAMES, len(_NAMES))} and one "
            f"of {', '.join(CALLS)}"
        ) from None
    except Exception as error:  # whatever the damaged metadata lead to
        raise InputError(f"{folder}: {name} is damaged ({error}); make it again") from error
    if not isinstance(array, zarr.Array):
        raise InputError(f"{folder}: {name} is no array, but a group; give a VCF Zarr store")
    if math.prod(grid(array)) > most:
        raise InputError(
            f"{folder}: {name} is damaged: shape {array.shape} in chunks of {file_shape(array)}; "
            "make it again"
        )
    for index, file in files(folder, name, array):
        if file.is_file() and not is_whole(file, array, index):
            raise InputError(f"{file} is cut short; fetch or make it again")
    return array


def _lacks(folder: Location, name: str, array: zarr.Array[Any]) -> str:
    """Message that chunks are absent; empty if all are there."""
    absent = array.nchunks - array.nchunks_initialized
    return (
        f"{folder}: {name} lacks {absent} of its {counted(array.nchunks, 'chunk')}"
        if absent
        else ""
    )


def _read(folder: Location, group: zarr.Group, name: str) -> npt.NDArray[Any]:
    """Read a small array whole.

    Zarr need not write a chunk of zeros, so variant_contig of a store with one contig may have no
    chunk. In other arrays zeros or empty names are no values, and in variant_contig they cannot
    follow another contig: an absent chunk is an error there. Names and alleles of which no chunk
    was written are not known: variants are then named by their place.
    """
    array = _array(folder, group, name, _MOST_READ)
    ndim, kinds, form = _FORMS[name]
    if array.ndim != ndim or array.dtype.kind not in kinds:
        raise InputError(
            f"{folder}: {name} has shape {array.shape} and dtype {array.dtype}; it should be {form}"
        )
    lacks = _lacks(folder, name, array)
    unknown = name in ("variant_id", "variant_allele") and not array.nchunks_initialized
    if lacks and not unknown and name != "variant_contig":
        raise InputError(_incomplete(lacks))
    try:
        values = np.asarray(array[...])
    except Exception as error:  # every codec fails in its own way
        raise InputError(
            f"{folder}: {name} cannot be read ({error}); fetch or make it again"
        ) from error
    if values.dtype.kind == "S":  # as sgkit simulates alleles
        values = np.char.decode(values, "utf-8", "replace")
    if lacks and name == "variant_contig" and (np.diff(values.astype(np.int64)) < 0).any():
        raise InputError(_incomplete(lacks))
    return values


def _incomplete(lacks: str) -> str:
    return f"{lacks}; it was not copied or written in full: fetch or make it again"


def _calls(folder: Location, group: zarr.Group, field: str | None) -> Calls:
    """Choose the array that dosages are taken from."""
    present = [name for name in CALLS if _has(folder, group, name)]
    if field is not None and field not in CALLS:
        raise InputError(f"{option('field')} is {field!r}; it should be one of {', '.join(CALLS)}")
    if not present or field not in (None, *present):
        raise InputError(
            f"{folder} has no {field or ' or '.join(CALLS)}; "
            + (_choose(present) if present else "give a VCF Zarr store")
        )
    if field is not None or len(present) == 1:
        name = field or present[0]
        calls, lack = _look(folder, group, name)
        if calls is None or lack == _EMPTY:
            others = [one for one in present if one != name]
            raise InputError(
                f"{folder}: {name} {lack}; "
                + (_choose(others) if others else "make the store again")
            )
    else:
        calls = _first_with_values(folder, group, present)
    array = _array(folder, group, calls.name)
    if lacks := _lacks(folder, calls.name, array):
        say(
            f"{lacks}, which Zarr takes for {array.fill_value or 0} throughout; if that cannot be, "
            "the store was not copied in full: fetch or make it again"
        )
    if calls.name == _GENOTYPE and array.shape[2] > 2:
        say(f"{folder}: dosages of {array.shape[2]} copies are scaled to 0..2")
    return calls


def _choose(names: list[str]) -> str:
    return f"choose {option('field')} among {', '.join(names)}"


def _first_with_values(folder: Location, group: zarr.Group, present: list[str]) -> Calls:
    """Choose the first of several arrays in which nothing is wanting, or wants least; say which."""
    looks = {name: _look(folder, group, name) for name in present}
    usable = {name: (one, lack) for name, (one, lack) in looks.items() if one and lack != _EMPTY}
    if not usable:
        wanting = "; ".join(f"{name} {lack}" for name, (_, lack) in looks.items())
        raise InputError(f"{folder} has no genotypes: {wanting}; make the store again")
    chosen = min(usable, key=lambda name: bool(usable[name][1]))
    before = present[: present.index(chosen)]
    why = "".join(f"{name} {looks[name][1]}, so " for name in before)
    say(
        f"{folder} has {' and '.join(present)}: {why}dosages are those of {chosen}; choose with "
        f"{option('field')}"
    )
    return usable[chosen][0]


def _look(folder: Location, group: zarr.Group, name: str) -> tuple[Calls | None, str]:
    """Look at an array of genotypes: how it is read, None if it cannot be, and what it lacks."""
    array = _array(folder, group, name)
    if array.ndim not in (3,) if name == _GENOTYPE else array.ndim not in (2, 3):
        ploidy = ", ploidy" if name == _GENOTYPE else ""
        return None, f"has shape {array.shape}; it should be (variants, samples{ploidy})"
    if array.dtype.kind not in ("iu" if name == _GENOTYPE else "iuf"):
        return None, f"has dtype {array.dtype}, not numbers"
    ploidy_of = array.shape[2] if name == _GENOTYPE else 2
    shape = (array.shape[0], array.shape[1])
    path, rows = folder.fixed.path, max(array.chunks[0], 1)
    calls = Calls(str(folder), path, name, shape, rows, min(ploidy_of, 2))
    return calls, calls.lack() if array.nchunks_initialized else _EMPTY


def _variants(folder: Location, group: zarr.Group) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Contig and position by variant, and reference and alternate alleles."""
    contig_id = [str(name) for name in _read(folder, group, "contig_id")]
    index = _read(folder, group, "variant_contig")
    position = _read(folder, group, "variant_position")
    table = _read(folder, group, "variant_allele")
    ids: Any = ["."] * len(position)
    if _has(folder, group, "variant_id"):
        ids = _read(folder, group, "variant_id")
    for name, values in (("variant_contig", index), ("variant_allele", table), ("variant_id", ids)):
        if len(values) != len(position):
            raise InputError(
                f"{folder}: {name} has {len(values)} entries for {len(position)} variants; make "
                "the store again"
            )
    wrong = np.flatnonzero((index < 0) | (index >= len(contig_id)))
    if wrong.size:
        raise InputError(
            f"{folder}: variant_contig is {index[wrong[0]]} at variant {wrong[0] + 1}, outside the "
            f"{len(contig_id)} entries of contig_id; make the store again"
        )
    contigs = [contig_id[i] for i in index]
    alleles = [_pair(row) for row in table]
    several = [i for i, (_, alternate) in enumerate(alleles) if "," in alternate]
    names = name_variants([str(i) for i in ids], contigs, position, alleles, str(folder))
    if several:
        say(
            f"{folder}: {len(several)} of {len(names)} variants have more than one alternate "
            "allele; their dosage counts the copies of all of them: "
            f"{listing(names[i] for i in several[:6])}"
        )
    return map_frame(names, contigs, position), alleles


def _pair(alleles: npt.NDArray[Any]) -> tuple[str, str]:
    """Reference, and alternate alleles joined by commas; a dot where there is none."""
    reference, *others = [str(allele) for allele in alleles] or [""]
    return reference or ".", ",".join(name for name in others if name) or "."
