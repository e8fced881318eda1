"""Crosses of two founders, A and B: the genotypes of a call, and the dosage of B in each.

================  ====  ====  ====  =============================================================
cross             AA    AB    BB
================  ====  ====  ====  =============================================================
intercross        0     0.5   1
inbred lines      0     0.5   1     AB where a line is not yet inbred
backcross to A    0     1     1     one unit is the difference of the two genotypes that there are
================  ====  ====  ====  =============================================================

Males have one X, of A or of B (hemizygous): it counts as that of the homozygote, 0 or 1, in every
cross. In a backcross BB can only be such a male.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from bulklmm_dask.errors import InputError
from bulklmm_dask.study.contigs import spelling
from bulklmm_dask.study.warn import say
from bulklmm_dask.text import counted
from bulklmm_dask.typing import Flags, Single

# What a call says of a genotype.
NOTHING, AA, AB, BB, NOT_BB, NOT_AA = range(6)
PARTIAL = (NOT_BB, NOT_AA)

BACKCROSS = "bc"
INBRED = ("dh", "haploid", "riself", "risib")
INTERCROSS = ("f2", "f2pk", "bcsft", "ail")
CROSSES = (BACKCROSS, *INBRED, *INTERCROSS)

_NAN = float("nan")
_DOSAGE = np.array([_NAN, 0, 0.5, 1, _NAN, _NAN], np.float32)  # by genotype
_DOSAGE_OF_BACKCROSS = np.array([_NAN, 0, 1, 1, _NAN, _NAN], np.float32)


def on_x(contigs: Sequence[str], declared: Collection[str] = ()) -> Flags:
    """Which markers lie on the X: on a contig of these names, by default of the name X."""
    wanted = {spelling(name) for name in declared or ("X",)}
    is_x = {name: spelling(name) in wanted for name in set(contigs)}
    return np.array([is_x[name] for name in contigs], dtype=bool)


def dosages(
    genotypes: npt.NDArray[np.uint8],
    cross: str,
    x: Flags | None,
    sexes: Sequence[str],
    names: tuple[Sequence[str], Sequence[str]],
    label: str,
) -> Single:
    """Turn genotypes into dosages of B, in 0..1.

    Parameters
    ----------
    genotypes : array (variants, samples)
        NOTHING, AA, AB, BB, NOT_BB or NOT_AA.
    cross : str
        One of `CROSSES`.
    x : array (variants,) of bool, or None
        Markers on the X; None if that is not known.
    sexes : sequence (samples,)
        male, female, or empty where that is not known.
    names : (variants, samples)
        For messages.
    label : str
        The file, for messages.

    Returns
    -------
    array (variants, samples) of float32
        NaN where there is no call, or one that is impossible for the sex (said).

    Raises
    ------
    InputError
        If a backcross has the third genotype elsewhere than on the X.
    """
    known = np.asarray(sexes, dtype=object)
    rows = np.flatnonzero(x) if x is not None else np.empty(0, np.int64)
    backcross = cross == BACKCROSS
    if backcross:
        _refuse_third(genotypes, rows, names, label)
    out = (_DOSAGE_OF_BACKCROSS if backcross else _DOSAGE)[genotypes]
    impossible = [("male", AB, "heterozygous")]
    if backcross:
        impossible.append(("female", BB, "hemizygous"))
    for sex, genotype, what in impossible:
        wrong = (genotypes[rows] == genotype) & (known == sex)
        if wrong.any():
            say(
                f"{label}: {counted(int(wrong.sum()), 'call')} on the X of {sex}s "
                f"{'is' if wrong.sum() == 1 else 'are'} {what}, which no {sex} of this cross can "
                "be: taken as missing; correct them, or the sexes"
            )
            out[rows] = np.where(wrong, np.float32(_NAN), out[rows])
    return out


def with_placeholders(values: Single, genotypes: npt.NDArray[np.uint8]) -> Single:
    """Dosages (variants, samples) that keep markers of which all calls tell a genotype in part.

    Such calls become 0, for a study drops markers without a dosage; `study.cross.put_cross` makes
    them missing again.
    """
    partial = np.isin(genotypes, PARTIAL)
    rows: Flags = np.asarray(np.isnan(values).all(axis=1) & partial.any(axis=1))
    return np.where(partial & rows[:, None], np.float32(0), values) if rows.any() else values


def _refuse_third(
    genotypes: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64],
    names: tuple[Sequence[str], Sequence[str]],
    label: str,
) -> None:
    third = genotypes == BB
    third[rows] = False
    if third.any():
        i, j = np.argwhere(third)[0]
        raise InputError(
            f"{label}: {counted(int(third.sum()), 'call')} of the third genotype (code 3), which "
            "a backcross has only on the X of males, the first at marker "
            f"{names[0][i]!r}, sample {names[1][j]!r}; correct the calls or the kind of cross, or "
            "name the X chromosome"
        )
