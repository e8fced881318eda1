"""The raw cross of a study as arrays: founders, and how each sample was bred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from bulklmm_dask.crosses.info import Info
from bulklmm_dask.crosses.states import State
from bulklmm_dask.crosses.types import Cross, cross_of
from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.labels.portable import names_of
from bulklmm_dask.study.contigs import locate_contigs
from bulklmm_dask.study.cross import CODES, FOUNDERS, NUMBERS
from bulklmm_dask.study.readers._crosses import on_x
from bulklmm_dask.study.schema import locate, require_unique
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import function, option
from bulklmm_dask.text import counted, listing
from bulklmm_dask.typing import Array, Flags, Index

SEX = "sample_sex"


@dataclass(frozen=True)
class RawCross:
    """A cross and its individuals.

    Attributes
    ----------
    type : Cross
    letters : list of str
        Letters of the founders.
    founders : array (variants, founders) of int
        Their alleles: 1, 3, or 0 where unknown.
    on_x : array (contigs,) of bool
        Which contigs are X chromosomes.
    infos : list of tuple of int
        cross_info of each sample.
    female : array (samples,) of bool
    """

    type: Cross
    letters: list[str]
    founders: npt.NDArray[np.integer]
    on_x: Flags
    infos: list[Info]
    female: Flags

    def kinds(self, *, x: bool) -> tuple[list[tuple[Info, bool]], Index]:
        """Kinds of samples on a contig, and the number of the kind of each sample."""
        each = [
            self.type.kind(info, x=x, female=bool(female))
            for info, female in zip(self.infos, self.female, strict=True)
        ]
        kinds = list(dict.fromkeys(each))
        number = {kind: at for at, kind in enumerate(kinds)}
        return kinds, np.array([number[kind] for kind in each], dtype=np.int64)


def raw_cross(ds: xr.Dataset) -> RawCross:
    """Find the raw cross of a study, or raise InputError that says what it lacks."""
    name = ds.attrs.get("crosstype")
    if CODES not in ds or not isinstance(name, str):
        lacking = CODES if CODES not in ds else "attribute crosstype"
        raise InputError(
            f"the study has no {lacking}, so its calls cannot be read as those of a cross; read "
            f"the cross with {function('read_rqtl2')}"
        )
    for dim in ("variants", "samples"):
        if not ds.sizes[dim]:
            raise InputError(f"the study has no {dim}, so it has no genotypes; select some")
    cross = cross_of(name)
    x = contigs_on_x(ds)
    any_x = bool(x.any())
    every = np.ones(ds.sizes["samples"], dtype=bool)
    return RawCross(
        cross,
        letters_of(ds, cross),
        _founders(ds, cross),
        x,
        _infos(ds, cross, any_x),
        sexes(ds) if any_x and cross.sexed else every,
    )


def contig_names(ds: xr.Dataset) -> list[str]:
    """Names of the contigs; none of a study without a map."""
    return list(map(str, ds["contig_id"].values)) if "contig_id" in ds else []


def contigs_on_x(ds: xr.Dataset) -> Flags:
    """Which contigs are X chromosomes: those of the attribute x_chr, or of the name X."""
    declared = ds.attrs.get("x_chr", ())
    declared = [declared] if isinstance(declared, str) else list(map(str, declared))
    return on_x(contig_names(ds), declared)


def with_x(ds: xr.Dataset, names: str | Sequence[str] | None) -> xr.Dataset:
    """The study with these contigs as its X chromosomes; those it had, if None."""
    if names is None:
        return ds
    wanted = names_of(names)
    if not wanted:
        raise InputError(f"{option('x_contigs')} names no contig; leave it out")
    known = contig_names(ds)
    at = locate_contigs(known, wanted, f"{option('x_contigs')} names the contig {{}}")
    found = [known[i] for i in at]
    return ds.assign_attrs(x_chr=found[0] if len(found) == 1 else found)


def second_direction(ds: xr.Dataset, cross: Cross) -> Flags:
    """Whether each sample (samples,) is of a direction that gives females other genotypes on X."""
    if len(cross.info.samples) < 2:
        return np.zeros(ds.sizes["samples"], dtype=bool)
    infos = _infos(ds, cross, any_x=True)
    first, *_ = (cross.chain(info, x=True, female=True).states for info in cross.info.samples)
    return np.array([cross.chain(info, x=True, female=True).states != first for info in infos])


def letters_of(ds: xr.Dataset, cross: Cross) -> list[str]:
    """Letters of the founders of a study."""
    if "founder_id" in ds:
        found = list(map(str, ds["founder_id"].values))
    elif "variant_allele" in ds:
        found = list(map(str, ds["variant_allele"].values[0]))
    else:
        found = ["A", "B"]
    if len(found) < cross.founders:
        raise InputError(
            f"founder_id names {counted(len(found), 'founder')}, but a {cross.name} has "
            f"{cross.founders}; name each of them"
        )
    return found[: cross.founders]


def is_raw_cross(ds: xr.Dataset) -> bool:
    """Whether a study has the calls of a cross."""
    return CODES in ds and isinstance(ds.attrs.get("crosstype"), str)


def founder_shares(ds: xr.Dataset) -> Array | None:
    """Share of each founder's alleles in each genotype, (genotypes, founders), of a cross.

    None if the study has no genotypes of a cross, or has shares of alleles already.

    Raises
    ------
    InputError
        If a genotype is none of the cross.
    """
    name = ds.attrs.get("crosstype")
    if not isinstance(name, str) or "genotype_id" not in ds or "founder_id" not in ds:
        return None
    cross = cross_of(name)
    letters = letters_of(ds, cross)
    labels = list(map(str, ds["genotype_id"].values))
    if labels == letters:
        return None
    share_of = {}
    for state in cross.states(x=True):
        founders = [allele for allele in state.alleles if allele < len(letters)]
        share_of[state.label(letters)] = np.bincount(founders, minlength=len(letters)) / len(
            founders
        )
    what = f"genotypes of a {name} of {listing(letters, 8)} are not {{}}"
    locate(share_of, labels, what, f"make them with {function('genotype_probabilities')}")
    return np.stack([share_of[label] for label in labels])


def labels_of(states: Sequence[State], letters: Sequence[str]) -> list[str]:
    """Names of genotypes, each once, in order."""
    require_unique(letters, "the letters of the founders", "give each another one")
    own = {(state.alleles[0], state.alleles[-1], state.shown != "hemizygous") for state in states}
    labels = list(dict.fromkeys(state.label(letters) for state in states))
    if len(labels) != len(own):
        raise InputError(
            f"the letters of the founders, {listing(letters, 8)}, give several genotypes one name; "
            "choose others, of one letter each and none of them Y"
        )
    return labels


def _founders(ds: xr.Dataset, cross: Cross) -> npt.NDArray[np.integer]:
    if cross.two_way:
        return np.tile(np.array([1, 3], dtype=np.uint8), (ds.sizes["variants"], 1))
    wanted = cross.founders + cross.tester
    if FOUNDERS not in ds or ds.sizes["founders"] != wanted:
        have = f"{ds.sizes['founders']} founders in" if FOUNDERS in ds else "no"
        raise InputError(
            f"the study has {have} {FOUNDERS}, but a {cross.name} has {counted(wanted, 'founder')} "
            f"whose alleles tell what its calls mean; read the cross with {function('read_rqtl2')}"
        )
    return np.asarray(ds[FOUNDERS].values)


def _infos(ds: xr.Dataset, cross: Cross, any_x: bool) -> list[Info]:
    """cross_info of each sample, as far as its type has one."""
    form, size = cross.info, ds.sizes["samples"]
    if not form.default or (form.only_x and not any_x):
        return [form.default] * size
    if NUMBERS not in ds:
        if form.only_x:
            say(
                f"the study has no {NUMBERS} (cross_info), which has {form.words}: 0 is taken for "
                f"all samples, which matters on the X"
            )
            return [form.default] * size
        raise InputError(
            f"the study has no {NUMBERS}, which has {form.words}; give cross_info in the control "
            "file"
        )
    given: list[list[int]] = np.asarray(ds[NUMBERS].values).tolist()
    infos = [tuple(numbers[: len(form.default)]) for numbers in given]
    wrong = [at for at, info in enumerate(infos) if not form.fits(info)]
    if wrong:
        names = ds["sample_id"].values[wrong]
        raise InputError(
            f"cross_info of {counted(len(wrong), 'sample')} cannot be that of a {cross.name}: "
            f"{given[wrong[0]]} of {str(names[0])!r} should be {form.words}; correct it for "
            f"{listing(names)}"
        )
    return infos


def sexes(ds: xr.Dataset) -> Flags:
    """Whether each sample (samples,) is female; InputError if that is not known of all."""
    known: Any = ds[SEX].values if SEX in ds else np.full(ds.sizes["samples"], "")
    unknown = ~np.isin(known, ("female", "male"))
    if unknown.any():
        raise InputError(
            f"the sex of {counted(int(unknown.sum()), 'sample')} is not known "
            f"({listing(ds['sample_id'].values[unknown])}), and genotypes on the X depend on it; "
            f"set {SEX} to female or male, or leave the markers of the X out"
        )
    return np.asarray(known == "female")
