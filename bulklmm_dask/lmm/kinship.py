r"""Kinship of every pair of samples, accumulated over blocks of markers.

With ``X`` (variants, samples) the dosages scaled to 0..1 and ``p`` markers:

========================  ==========================================================  =============
method                    K_ij                                                        source
========================  ==========================================================  =============
``"bulklmm"``             mean of x_i x_j + (1-x_i)(1-x_j), and 1 for i = j           BulkLMM.jl
``"rqtl2"``               mean of x_i x_j + (1-x_i)(1-x_j)                            R/qtl2
``"centered"``            mean of (d_i - mean d)(d_j - mean d), d = 2x                GEMMA -gk 1
``"standardized"``        the same, each marker divided by its variance over samples  GEMMA -gk 2
``"dominance"``           sum of w_i w_j, w of `dominance`; mean diagonal 1           `dominance`
``"linear"``              mean of z_i z_j, z columns of mean 0 and variance 1
========================  ==========================================================  =============

For genotype probabilities, the first two methods use the share of each allele in a sample:
x_i x_j + (1-x_i)(1-x_j) becomes the sum over alleles of the product of the two shares. Missing
genotypes are filled with the mean of their marker. Any numbers, such as covariates, stand for
dosages in ``"linear"``. `derived` has kernels that are made of these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.dominance import deviations, heterozygosity
from bulklmm_dask.lmm.whole import whole_products
from bulklmm_dask.typing import Array

METHODS = ("bulklmm", "rqtl2", "centered", "standardized", "dominance", "linear")
# Those that sum products of dosages, less 1/2 or the mean of the marker.
_SUMMED = ("bulklmm", "rqtl2", "centered")

# Samples of a strip of rows of partial sums: few make small products, many keep more than half.
_STRIP = 256

# Of a column of numbers, a standard deviation up to this share of its largest one is rounding.
_NO_SPREAD = 1e-13

_NO_CALLS = "a kinship needs at least one marker with calls, but there are none"
_NONE = {
    "dominance": "dominance needs markers with both homozygotes and heterozygotes, but there is "
    "none; leave it out",
    "linear": "a linear kernel needs a column that varies, but all are the same in all samples; "
    "give others",
}


def impute(dosage: npt.ArrayLike) -> Array:
    """Genotypes (variants, samples, ...) as float64, missing ones replaced by their marker's mean.

    A marker without any call becomes 0 for all samples and is then treated as one without
    variation.
    """
    x = np.array(dosage, dtype=np.float64, order="C")
    some = np.flatnonzero(np.isnan(x.sum(axis=tuple(range(1, x.ndim)))))
    if not len(some):
        return x
    part = x if len(some) == len(x) else x[some]
    flat, genotypes = part.reshape(-1), int(np.prod(x.shape[2:]))
    gaps = np.flatnonzero(np.isnan(flat))
    flat[gaps] = 0.0
    # A marker and a genotype of it, whose mean is that over the samples.
    column = gaps // (flat.size // len(part)) * genotypes + gaps % genotypes
    calls = x.shape[1] - np.bincount(column, minlength=len(part) * genotypes)
    means = part.sum(axis=1).reshape(-1) / np.maximum(calls, 1)
    flat[gaps] = means[column]
    if part is not x:
        x[some] = part
    return x


@dataclass(frozen=True)
class Products:
    """Partial sum of a kinship over markers.

    The products are symmetric, so that half of them is kept, added and sent to other workers.

    Attributes
    ----------
    rows : tuple of array (k, samples up to the last of them)
        Sums over markers of the products of k samples with those up to the last of the k, which
        follow each other.
    count : int
        Number of markers.
    """

    rows: tuple[Array, ...]
    count: int

    @classmethod
    def none(cls, n_samples: int) -> Products:
        """Sum over no markers."""
        return cls(tuple(np.zeros((end - start, end)) for start, end in _strips(n_samples)), 0)

    @classmethod
    def of(cls, x: Array) -> Products:
        """Sum over the rows of x (markers, samples)."""
        return cls(tuple(x[:, i:k].T @ x[:, :k] for i, k in _strips(x.shape[1])), len(x))

    @classmethod
    def half(cls, total: Array, count: int) -> Products:
        """From the sums of all pairs of samples, (samples, samples)."""
        return cls(tuple(total[i:k, :k].copy() for i, k in _strips(len(total))), count)

    @property
    def total(self) -> Array:
        """Sum over markers of the products of two samples, (samples, samples)."""
        n = sum(map(len, self.rows))
        out = np.empty((n, n))
        for (start, end), rows in zip(_strips(n), self.rows, strict=True):
            out[start:end, :start] = rows[:, :start]
            out[:start, start:end] = rows[:, :start].T
            square = np.tril(rows[:, start:])
            out[start:end, start:end] = square + np.tril(square, -1).T
        return out

    def __sizeof__(self) -> int:
        """Bytes, so that dask adds sums where most of them are."""
        return sum(rows.nbytes for rows in self.rows)

    def __add__(self, other: Products) -> Products:
        return Products(tuple(map(np.add, self.rows, other.rows)), self.count + other.count)

    def __sub__(self, other: Products) -> Products:
        return Products(tuple(map(np.subtract, self.rows, other.rows)), self.count - other.count)


def _strips(n_samples: int) -> list[tuple[int, int]]:
    """First sample of each strip of rows, and that behind its last."""
    return [(start, min(start + _STRIP, n_samples)) for start in range(0, n_samples, _STRIP)]


def added(parts: Iterable[Products]) -> Products:
    """Add up partial sums, of which there is at least one; none of them is changed."""
    left = iter(parts)
    total, few = next(left), True
    for part in left:
        if few:  # new arrays, to which the others are added in place
            total, few = total + part, False
        else:
            for rows, more in zip(total.rows, part.rows, strict=True):
                np.add(rows, more, out=rows)
            total = Products(total.rows, total.count + part.count)
    return total


def cross_products(
    genotypes: npt.ArrayLike, method: str, maximum: float, alleles: Array | None = None
) -> Products:
    """Sum over a block of markers of the products that `finish` turns into a kinship.

    Markers without any call are left out and not counted; under ``"dominance"`` also those without
    deviations, under ``"linear"`` columns without variance.

    Parameters
    ----------
    genotypes : array (variants, samples) or (variants, samples, genotypes)
        Dosages 0..`maximum`, or genotype probabilities; NaN where missing.
    method : str
        One of the table above; with probabilities ``"bulklmm"`` or ``"rqtl2"``, and for two alleles
        ``"dominance"``.
    maximum : float
        1 or 2, the dosage of a homozygote for the counted allele.
    alleles : array (genotypes, alleles), optional
        Share of each allele in each genotype; for genotype probabilities only.
    """
    given = np.asarray(genotypes)
    if given.ndim == 2 and method in _SUMMED and given.size and given.dtype.kind == "f":
        # Those of whole numbers of copies take half the time.
        centred = method == "centered"
        total, whole = whole_products(given, maximum, centred=centred)
        found = Products.half(total if centred else total / 4.0, int(whole.sum()))
        return found if whole.all() else found + _products(given[~whole], method, maximum, alleles)
    return _products(given, method, maximum, alleles)


def _products(
    genotypes: npt.NDArray[np.generic], method: str, maximum: float, alleles: Array | None
) -> Products:
    """`cross_products` of any numbers, in double precision."""
    given = np.asarray(genotypes, dtype=np.float64)
    called = ~np.isnan(given).all(axis=tuple(range(1, given.ndim)))
    if method == "linear":
        z = _standardized(given[called])
        return Products.of(z)
    x = impute(given if called.all() else given[called])
    if method == "dominance":
        w = _deviations(given[called], x, maximum, alleles)
        return Products.of(w)
    if alleles is not None:
        share = (x @ alleles).transpose(1, 0, 2)
        flat = share.reshape(len(share), -1)
        products = Products.of(flat.T)
        for rows in products.rows:  # `finish` doubles the mean product and adds 1/2
            rows -= 0.5 * len(x)
            rows /= 2.0
        return Products(products.rows, len(x))
    x /= maximum
    if method in ("bulklmm", "rqtl2"):
        x -= 0.5
    else:
        x -= x.mean(axis=1, keepdims=True)
        x *= 2.0
        if method == "standardized":
            variance = np.mean(x * x, axis=1, keepdims=True)
            x /= np.sqrt(np.where(variance > 0, variance, 1.0))
    return Products.of(x)


def _deviations(given: Array, filled: Array, maximum: float, alleles: Array | None) -> Array:
    """Dominance deviations (markers, samples); missing genotypes have none."""
    if alleles is None:
        return deviations(filled, impute(heterozygosity(given / maximum)))
    share = alleles[:, 1]
    return deviations(filled @ share, filled @ heterozygosity(share))


def _standardized(columns: Array) -> Array:
    """Columns (columns, samples) of mean 0 and variance 1; those that do not vary are left out.

    Missing values, of which no column consists, become 0.
    """
    largest = np.nanmax(np.abs(columns), axis=1, initial=0.0)
    x = impute(columns / np.where(largest > 0.0, largest, 1.0)[:, None])  # sums are finite
    x -= x.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.mean(x * x, axis=1))
    some = spread > _NO_SPREAD
    return x[some] / spread[some, None]


def finish(products: Products, method: str, strains: npt.NDArray[np.int64] | None = None) -> Array:
    """Kinship (samples, samples) from the summed products of all markers.

    `strains` (samples,) holds the number of each sample's inbred strain. Under ``"bulklmm"`` the
    diagonal is 1 by definition, and so is the kinship of two samples of one strain (clones).
    """
    if method not in METHODS:
        raise InputError(f"unknown kinship method {method!r}; choose one of {', '.join(METHODS)}")
    if products.count == 0:
        raise InputError(_NONE.get(method, _NO_CALLS))
    kinship = products.total
    if method == "dominance":
        kinship *= len(kinship) / np.trace(kinship)
        return kinship
    if method not in ("bulklmm", "rqtl2"):
        kinship /= products.count
        return kinship
    kinship *= 2.0
    kinship /= products.count
    kinship += 0.5
    if method == "bulklmm":
        if strains is None:
            np.fill_diagonal(kinship, 1.0)
        else:
            kinship[strains[:, None] == strains[None, :]] = 1.0
    return kinship
