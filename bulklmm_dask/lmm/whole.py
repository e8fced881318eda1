r"""Products of samples over markers whose calls are whole numbers, exactly in single precision.

With 0, 1 or 2 copies of an allele, t is the number of copies less 1. Sums of products of such
numbers are whole numbers: up to 2^24 single precision adds them without error, in half the time of
double precision. Around the means m_k of the markers k over the n samples,

sum_k (t_ki - m_k) (t_kj - m_k) = sum_k t_ki t_kj - a_i - a_j + sum_k m_k^2,  a_i = sum_k m_k t_ki,

where n m_k and n a_i are whole numbers too.
"""

from __future__ import annotations

import numpy as np

from bulklmm_dask.typing import Array, Flags, Real

# Numbers that are multiplied at a time, few enough for sums of whole numbers up to 2^24.
_CELLS = 2**22


def whole_products(dosage: Real, maximum: float, *, centred: bool) -> tuple[Array, Flags]:
    """Sum over markers of t_ki t_kj, or of the same around the means of the markers.

    Parameters
    ----------
    dosage : array (variants, samples)
        Dosages 0..`maximum` of at least one sample, float32 or float64; NaN where missing.
    maximum : float
        1 or 2, the dosage of a homozygote for the counted allele.
    centred : bool
        Whether the means are subtracted.

    Returns
    -------
    total : array (samples, samples)
        The sum over the markers whose calls are whole numbers of copies in all samples.
    whole : array (variants,) of bool
        Which markers these are.
    """
    n = dosage.shape[1]
    total, whole = np.zeros((n, n)), np.zeros(len(dosage), np.bool_)
    step = max(1, _CELLS // n)
    for start in range(0, len(dosage), step):
        copies = dosage[start : start + step]
        if maximum != 2.0:
            copies = copies * np.asarray(2.0 / maximum, copies.dtype)
        mine = (np.rint(copies) == copies).all(axis=1)
        whole[start : start + step] = mine
        if not mine.any():
            continue
        t = (copies if mine.all() else copies[mine]).astype(np.float32)
        t -= 1.0
        total += t.T @ t
        if centred:
            sums = t.sum(axis=1)
            across = (sums @ t).astype(np.float64) / n
            mean = sums.astype(np.float64) / n
            total -= across[:, None] + across - mean @ mean
    return total, whole
