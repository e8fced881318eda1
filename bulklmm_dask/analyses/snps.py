"""SNP association in a multi-parent cross: probabilities of SNPs from those of the founders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.analyses.inputs.cross import is_raw_cross, letters_of
from bulklmm_dask.analyses.probabilities import (
    allele_probabilities,
    genotype_probabilities,
    without_markers,
)
from bulklmm_dask.crosses.emission import AA, BB
from bulklmm_dask.crosses.types import cross_of
from bulklmm_dask.engine.arrays import is_lazy
from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.labels.coordinates import arranged
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.study.contigs import locate_contigs
from bulklmm_dask.study.cross import FOUNDERS
from bulklmm_dask.study.schema import locate, require_unique, validate
from bulklmm_dask.study.tables.headers import find_column
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import function, option
from bulklmm_dask.text import counted, listing
from bulklmm_dask.typing import Array, Flags, Index

# Accepted names of the columns of a table of SNPs; case and punctuation are ignored.
_NAME = ("snp", "snpid", "variant", "marker", "id", "rs")
_CONTIG = ("chr", "contig", "chromosome", "chrom")
_POSITION = ("pos", "position", "bp", "mb")
_SDP = ("sdp",)
# Alleles that are not known; 0 is one where a table has only one other, as 0 and 1.
_ZERO = "0"
_UNKNOWN = ("", "-", "N", _ZERO)
# A SNP this near to a position of the study, in its unit, lies on it.
_AT = 1e-8
# SNPs at a time, of genotypes in memory.
_PIECE = 512


@dataclass(frozen=True)
class _Snps:
    """SNPs in the order of the study.

    Attributes
    ----------
    names : list of str
    contig : array (snps,) of int
    position : array (snps,)
    second : array (snps, founders) of bool
        Which founders have the second allele.
    """

    names: list[str]
    contig: Index
    position: Array
    second: Flags

    def take(self, rows: Index) -> _Snps:
        """Some of the SNPs."""
        return _Snps(
            [self.names[at] for at in rows],
            self.contig[rows],
            self.position[rows],
            self.second[rows],
        )


def snp_probabilities(ds: xr.Dataset, snps: pd.DataFrame | None = None) -> xr.Dataset:
    """Make a study of SNPs from the alleles of the founders, for SNP association.

    The founders' alleles at a SNP say who has which (its strain distribution pattern), and the
    shares of the founders in a sample, how much of the second allele it has. ``scan`` of the study
    is R/qtl2's scan1snps: one degree of freedom a SNP, also for SNPs that nobody has typed in the
    samples.

    Parameters
    ----------
    ds : Dataset
        A study of a cross of several founders, with probabilities (`genotype_probabilities`,
        `allele_probabilities`), or raw.
    snps : DataFrame, optional
        One row a SNP: its name (``snp``), ``chr`` and ``pos``, in the unit of the study's
        variant_position; and either ``sdp``, R/qtl2's number of the pattern (the sum of 2^i over
        the founders i = 0, 1, ... with the second allele), or a column for each founder's allele,
        named by its letter: text or numbers; empty, "-", "N" and 0 are unknown (0 is an allele in
        a table that has only one other, such as one of 0 and 1). Without it, the SNPs are the
        markers of the study.

    Returns
    -------
    Dataset
        A study with ``call_dosage`` (variants, samples) of the second allele, 0..1, lazy if `ds`
        was; between two positions of the study their mean, as in R/qtl2, beyond the last one that
        of the last. Samples, traits, covariates and kinships are those of `ds`.

    Raises
    ------
    InputError
        If the founders' alleles are not known, or the table lacks a column, names a contig that
        the study has not, or has other than two alleles at a SNP.

    Warns
    -----
    StudyWarning
        For SNPs left out because a founder's allele is unknown or all founders have one.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> founders = rng.dirichlet(np.ones(3), size=(40, 2))
    >>> study = blmm.create_dataset(
    ...     founders, rng.normal(size=(40, 1)), contigs=["1", "1"], positions=[3.0, 5.0]
    ... )
    >>> study = study.assign_coords(
    ...     genotypes=["A", "B", "C"], genotype_id=("genotypes", ["A", "B", "C"])
    ... )
    >>> table = pd.DataFrame({"snp": ["rs1"], "chr": ["1"], "pos": [4.0], "sdp": [5]})
    >>> snp = blmm.snp_probabilities(study, table).call_dosage.sel(variants="rs1")
    >>> bool(np.allclose(snp, 1 - founders[:, :, 1].mean(axis=1)))
    True
    """
    ds = validate(ds)
    if is_raw_cross(ds) and "call_genotype_probability" not in ds:
        ds = genotype_probabilities(ds)
    if isinstance(ds.attrs.get("crosstype"), str):
        ds = allele_probabilities(ds)
        letters = letters_of(ds, cross_of(ds.attrs["crosstype"]))
    elif "call_genotype_probability" in ds and "genotype_id" in ds:
        letters = list(map(str, ds["genotype_id"].values))
    else:
        raise InputError(
            "the study has no shares of founders; make them with "
            f"{function('allele_probabilities')}"
        )
    if "variant_contig" not in ds or "variant_position" not in ds:
        raise InputError("the study has no map, so SNPs cannot be placed; give it one")
    wanted = _markers(ds, letters) if snps is None else _of_table(ds, letters, snps)
    order = np.lexsort((wanted.position, wanted.contig))
    wanted = wanted.take(order)
    dosage = _dosages(ds["call_genotype_probability"].data, *_beside(ds, wanted), wanted.second)
    out = without_markers(ds)
    names = text(wanted.names)
    out = out.assign_coords(
        variants=names,
        variant_id=("variants", names),
        variant_contig=("variants", wanted.contig),
        variant_position=("variants", wanted.position, dict(ds["variant_position"].attrs)),
    ).assign(call_dosage=(("variants", "samples"), dosage.clip(0, 1), {"maximum": 1}))
    out.attrs = {name: value for name, value in out.attrs.items() if name != "crosstype"}
    return arranged(validate(out))


def _dosages(share: Any, left: Index, right: Index, second: Flags) -> Any:
    """Dosages (snps, samples) of the second allele from shares (positions, samples, founders).

    SNPs of one pattern at one place have the same, which are computed once.
    """
    key = np.column_stack([left, right, np.packbits(second, axis=1)])
    _, first, again = np.unique(key, axis=0, return_index=True, return_inverse=True)
    pattern = second[first].astype(np.float32)[:, None, :]
    left, right = left[first], right[first]

    def of(some: slice) -> Any:
        found = (share[left[some]] * pattern[some]).sum(axis=2)
        if (left[some] == right[some]).all():
            return found
        return (found + (share[right[some]] * pattern[some]).sum(axis=2)) / 2

    if is_lazy(share):
        return of(slice(None))[again.ravel()]
    starts = range(0, len(first), _PIECE)
    return np.concatenate([of(slice(start, start + _PIECE)) for start in starts])[again.ravel()]


def _markers(ds: xr.Dataset, letters: list[str]) -> _Snps:
    """The markers of the study whose founders' alleles are known."""
    if FOUNDERS not in ds:
        raise InputError(
            f"the study has no {FOUNDERS}, the founders' alleles at its markers; give a table "
            f"({option('snps')})"
        )
    codes = np.asarray(ds[FOUNDERS].values)[:, : len(letters)]
    known = np.isin(codes, (AA, BB)).all(axis=1)
    second = codes == BB
    return _informative(
        _Snps(
            list(map(str, ds["variant_id"].values)),
            np.asarray(ds["variant_contig"].values, dtype=np.int64),
            np.asarray(ds["variant_position"].values, dtype=np.float64),
            second,
        ),
        np.asarray(known),
        "markers",
    )


def _of_table(ds: xr.Dataset, letters: list[str], snps: pd.DataFrame) -> _Snps:
    if not isinstance(snps, pd.DataFrame):
        raise InputError(f"{option('snps')} is a {type(snps).__name__}; give a DataFrame")
    columns = {str(name): at for at, name in enumerate(snps.columns)}
    require_unique(map(str, snps.columns), f"the columns of {option('snps')}", "keep one of each")
    found = {}
    for what, accepted in (("snp", _NAME), ("chr", _CONTIG), ("pos", _POSITION)):
        name = find_column(list(columns), accepted)
        if name is None:
            raise InputError(
                f"{option('snps')} has the columns {listing(columns)}; it needs snp, chr, pos, and "
                "sdp or the founders' alleles"
            )
        found[what] = snps.iloc[:, columns[name]]
    names = [str(name) for name in found["snp"]]
    require_unique(names, f"the names of {option('snps')}", "keep one row of each")
    contig = locate_contigs(
        ds["contig_id"].values, found["chr"], f"{option('snps')} names the contig {{}}"
    )
    position = pd.to_numeric(found["pos"], errors="coerce").to_numpy(dtype=np.float64)
    absent = ~np.isfinite(position)
    if absent.any():
        who = listing(np.array(names, dtype=object)[absent])
        raise InputError(
            f"pos of {option('snps')} is missing, or no number, for {who}; give it, or leave these "
            "SNPs out"
        )
    pattern = find_column(list(columns), _SDP)
    if pattern is not None:
        second = _of_sdp(snps.iloc[:, columns[pattern]], names, len(letters))
        known = np.ones(len(names), dtype=bool)
    else:
        what = f"{option('snps')} lacks the founders {{}}"
        locate(columns, letters, what, "give a column for each, by its letter, or sdp")
        second, known = _of_alleles(snps.iloc[:, [columns[one] for one in letters]], names)
    return _informative(_Snps(names, contig, position, second), known, "SNPs")


def _of_sdp(given: pd.Series, names: list[str], founders: int) -> Flags:
    """Founders with the second allele, by the numbers of patterns."""
    number = pd.to_numeric(given, errors="coerce").to_numpy(dtype=np.float64)
    highest = 2**founders - 2
    wrong = ~((number >= 1) & (number <= highest) & (number == np.floor(number)))
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"sdp of {names[at]!r} is {str(given.iloc[at])!r}; patterns of {founders} founders are "
            f"whole numbers from 1 to {highest}"
        )
    return (number.astype(np.int64)[:, None] >> np.arange(founders)) & 1 == 1


def _of_alleles(given: pd.DataFrame, names: list[str]) -> tuple[Flags, Flags]:
    """Founders whose allele is not that of the first founder, and where all alleles are known."""
    cells = given.map(_allele).to_numpy(dtype=object)
    used = np.unique(cells.astype(str))
    unknown = list(_UNKNOWN)
    if _ZERO in used and np.isin(used, unknown, invert=True).sum() == 1:
        unknown.remove(_ZERO)
    known = ~np.isin(cells.astype(str), unknown).any(axis=1)
    second = np.zeros(cells.shape, dtype=bool)
    for at in np.flatnonzero(known):
        alleles = list(dict.fromkeys(cells[at]))
        if len(alleles) > 2:
            raise InputError(
                f"the founders have {len(alleles)} alleles at {names[at]!r}: {listing(alleles)}; a "
                "SNP has two"
            )
        second[at] = [cell != alleles[0] for cell in cells[at]]
    return second, np.asarray(known)


def _allele(cell: Any) -> str:
    """An allele as text; a column of whole numbers with gaps has 3.0 for 3."""
    if pd.isna(cell):
        return ""
    is_whole = isinstance(cell, float) and cell.is_integer()
    return str(int(cell) if is_whole else cell).strip()


def _informative(snps: _Snps, known: Flags, what: str) -> _Snps:
    """SNPs whose alleles are all known and at which the founders differ."""
    count = snps.second.sum(axis=1)
    alike = known & ((count == 0) | (count == snps.second.shape[1]))
    for lost, why in ((~known, "a founder's allele is unknown"), (alike, "all founders are alike")):
        if lost.any():
            names = np.array(snps.names, dtype=object)[lost]
            say(
                f"{counted(int(lost.sum()), what.removesuffix('s'))} of {len(lost)} left out, "
                f"because {why}: {listing(names)}"
            )
    rows = np.flatnonzero(known & ~alike)
    if not len(rows):
        raise InputError(f"at none of the {len(known)} {what} the founders differ")
    return snps.take(rows)


def _beside(ds: xr.Dataset, snps: _Snps) -> tuple[Index, Index]:
    """Positions of the study to the left and to the right of each SNP, or twice the one at it."""
    contig = ds["variant_contig"].values
    position = ds["variant_position"].values
    left, right = np.empty((2, len(snps.names)), dtype=np.int64)
    for number in np.unique(snps.contig):
        rows = np.flatnonzero(contig == number)
        mine = np.flatnonzero(snps.contig == number)
        if not len(rows):
            raise InputError(
                f"contig {str(ds['contig_id'].values[number])!r} has SNPs, but no position in the "
                "study"
            )
        rows = rows[np.argsort(position[rows], kind="stable")]
        at, wanted = position[rows], snps.position[mine]
        after = np.searchsorted(at, wanted - _AT)
        there = (after < len(rows)) & (at[np.minimum(after, len(rows) - 1)] <= wanted + _AT)
        low = np.where(there, after, after - 1)
        left[mine] = rows[np.clip(low, 0, len(rows) - 1)]
        right[mine] = rows[np.clip(after, 0, len(rows) - 1)]
    return left, right
