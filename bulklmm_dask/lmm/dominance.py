r"""Dominance deviations of a marker, orthogonal to its dosages in the samples.

With d the number of counted alleles of a sample and h = 1 for heterozygotes, else 0, the deviation
w is what is left of h beside the intercept and d. For genotypes AA, AB, BB of frequencies P, H, Q
(P + H + Q = 1, B is counted) and s = P + Q - (P - Q)^2 that is

    w(AA) = -2 H Q / s,    w(AB) = 4 P Q / s,    w(BB) = -2 P H / s,

the code of natural and orthogonal interactions (Vitezica et al. 2017), and in Hardy-Weinberg
proportions that of Vitezica et al. 2013: -2 p^2, 2 p q, -2 q^2, with p the frequency of B.
A marker with two of the three genotypes has none.
"""

from __future__ import annotations

import numpy as np

from bulklmm_dask.typing import Array

# Mean squares of deviations up to this are rounding.
_NOTHING = 1e-12


def heterozygosity(share: Array) -> Array:
    """Heterozygosity of a dosage scaled to 0..1: 0 for homozygotes, 1 for heterozygotes."""
    return 4.0 * share * (1.0 - share)


def deviations(dosage: Array, heterozygous: Array) -> Array:
    """Dominance deviations (markers, samples) of the markers that have them.

    Parameters
    ----------
    dosage, heterozygous : array (variants, samples)
        Dosages, and probabilities of a heterozygote; without NaN.
    """
    d = dosage - dosage.mean(axis=1, keepdims=True)
    w = heterozygous - heterozygous.mean(axis=1, keepdims=True)
    variance = np.einsum("vi,vi->v", d, d)
    slope = np.einsum("vi,vi->v", d, w) / np.where(variance > 0.0, variance, 1.0)
    w -= slope[:, None] * d
    return w[np.einsum("vi,vi->v", w, w) > _NOTHING * w.shape[1]]
