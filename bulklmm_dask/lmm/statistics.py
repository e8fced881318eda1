"""The table of statistics: what a result may hold of a pair, a trait or a permutation.

Fields of stores, parts of graphs, labels of pictures and attributes of variables are read from the
rows of `TABLE`. A new statistic of a pair is a new row here, and a scanner that computes it or a
function that derives it from the LOD.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.options import ModelOptions
from bulklmm_dask.typing import Array, Index, Real


def neg_log10_p(lod: npt.ArrayLike, df: npt.ArrayLike) -> Array:
    r"""-log10 P(chi2_df >= 2 ln(10) LOD), finite for any LOD.

    With x = 2 ln(10) LOD the tail is 2 Phi(-sqrt x) for one degree of freedom and exp(-x/2) for
    two; two more add (x/2)^(df/2) exp(-x/2) / Gamma(df/2 + 1). All terms are positive, so their
    logarithms are added.

    Parameters
    ----------
    lod : array
        Scores; negative ones count as 0, NaN stays NaN.
    df : array of int
        Degrees of freedom, broadcast against `lod`; where it is 0 nothing is tested and p is 1.
    """
    from scipy.special import gammaln, log_ndtr  # here, for the table alone needs no SciPy

    score, freedom = np.broadcast_arrays(np.asarray(lod, np.float64), np.asarray(df))
    out = np.zeros(score.shape)
    for k in np.unique(freedom[freedom > 0]):
        where = freedom == k
        half = np.maximum(score[where], 0.0) * np.log(10.0)
        log_p = np.log(2.0) + log_ndtr(-np.sqrt(2.0 * half)) if k % 2 else -half
        known = ~np.isnan(half)
        half, log_p = half[known], log_p[known]
        log_half = np.log(np.maximum(half, 1e-300))
        for order in np.arange(1.0 if k % 2 == 0 else 0.5, k / 2):
            log_p = np.logaddexp(log_p, order * log_half - half - gammaln(order + 1.0))
        values = np.full(known.shape, np.nan)
        values[known] = np.maximum(-log_p / np.log(10.0), 0.0)
        out[where] = values
    return out


def explained(lod: npt.ArrayLike, n_samples: int) -> Array:
    """Share of the trait's variance, in the metric of the model, that a marker explains.

    1 - RSS1/RSS0 = 1 - 10^(-2 LOD / n), as R/qtl2 users compute it; 0 where the LOD is negative.
    """
    score = np.maximum(np.asarray(lod, np.float64), 0.0)
    return np.asarray(-np.expm1(score * (-2.0 * np.log(10.0) / n_samples)))


# Values of pairs from their LOD, degrees of freedom (broadcast alike) and number of samples.
Follows: TypeAlias = Callable[[Real, Index, int], Array]
# Dtype of a statistic under some options, and in single precision or not.
DtypeRule: TypeAlias = Callable[[ModelOptions, bool], np.dtype[Any]]
Extra: TypeAlias = Literal["effects", "contigs"]


@dataclass(frozen=True)
class Kind:
    """Dtype of an array of a result, and its dimensions besides the usual ones with their sizes."""

    dtype: np.dtype[Any]
    dims: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()

    @property
    def itemsize(self) -> int:
        """Bytes of one pair or trait."""
        return self.dtype.itemsize * math.prod(self.shape)


def _is(dtype: npt.DTypeLike) -> DtypeRule:
    return lambda options, single: np.dtype(dtype)


def _score(options: ModelOptions, single: bool) -> np.dtype[Any]:
    """Scores of single pairs that are optimised exactly deserve more digits than float32 holds."""
    return np.dtype(np.float64 if options.alternative and not single else np.float32)


def _effect(options: ModelOptions, single: bool) -> np.dtype[Any]:
    """Differences between genotypes are small beside their means: they need the digits too."""
    return np.dtype(np.float64) if options.joint else _score(options, single)


def _always(options: ModelOptions) -> bool:
    return True


@dataclass(frozen=True)
class Statistic:
    """One row of the table.

    Attributes
    ----------
    name : str
        Of the variable in a result.
    label : str
        For axes and headings of columns.
    meaning : str
        What it is, in a few words.
    per : "pair", "trait" or "permutation"
        What there is one of it for: a marker and a trait, a trait, or a permutation and a trait.
    dtype : callable
        Its dtype, from the options and whether the precision is single.
    unit : str
        Empty for a pure number.
    extra : tuple of str
        More dimensions: "effects" (columns or genotypes of a marker), "contigs" (one kinship each).
    present : callable
        Whether a result has it, from the options.
    asked : bool
        Whether it has to be asked for by name.
    follows : callable, optional
        How it follows from the LOD, the degrees of freedom and the number of samples.
    """

    name: str
    label: str
    meaning: str
    per: Literal["pair", "trait", "permutation"]
    dtype: DtypeRule
    unit: str = ""
    extra: tuple[Extra, ...] = ()
    present: Callable[[ModelOptions], bool] = _always
    asked: bool = False
    follows: Follows | None = None

    def present_in(self, options: ModelOptions) -> bool:
        """Whether a result of these options has it."""
        return self.name in options.wanted if self.asked else self.present(options)

    def attrs(self) -> dict[str, str]:
        """Attributes of the variable in a result: ``long_name`` and, if there is one, ``units``."""
        return {"long_name": self.meaning} | ({"units": self.unit} if self.unit else {})


_FLOAT, _SHORT, _COUNT, _WORD = _is(np.float64), _is(np.float32), _is(np.int64), _is(object)

# Of every pair of a marker and a trait in a scan.
OF_PAIRS = (
    Statistic("lod", "LOD score", "log10 of the likelihood ratio", "pair", _score),
    Statistic(
        "h2_alt",
        "h\u00b2 with marker",
        "heritability with the marker in the model",
        "pair",
        _SHORT,
        present=lambda options: options.alternative,
    ),
    Statistic(
        "refined",
        "refined",
        "whether the pair was optimised on its full likelihood",
        "pair",
        _is(np.bool_),
        present=lambda options: options.alternative and options.grid is None,
    ),
    Statistic(
        "df",
        "df",
        "degrees of freedom of the test",
        "pair",
        _is(np.int16),
        present=lambda options: options.joint,
    ),
    Statistic(
        "beta",
        "effect",
        "effect of the marker",
        "pair",
        _effect,
        unit="trait unit",
        extra=("effects",),
        asked=True,
    ),
    Statistic(
        "se",
        "s.e.",
        "standard error of the effect",
        "pair",
        _effect,
        unit="trait unit",
        extra=("effects",),
        asked=True,
    ),
    Statistic(
        "neg_log10_p",
        "\u2212log\u2081\u2080 p",
        "-log10 of the p-value of this single test",
        "pair",
        _score,
        asked=True,
        follows=lambda lod, df, n_samples: neg_log10_p(lod, df),
    ),
    Statistic(
        "explained",
        "explained",
        "share of the trait's variance that the marker explains",
        "pair",
        _score,
        asked=True,
        follows=lambda lod, df, n_samples: explained(lod, n_samples),
    ),
    Statistic(
        "lod_interaction",
        "LOD of interaction",
        "log10 of the likelihood ratio of the interaction beside the marker",
        "pair",
        _score,
        asked=True,
    ),
)

# Of every trait in a scan.
OF_TRAITS = (
    Statistic(
        "h2", "h\u00b2", "heritability without a marker", "trait", _FLOAT, extra=("contigs",)
    ),
    Statistic(
        "sigma2",
        "\u03c3\u00b2",
        "total variance s2 of the model without a marker",
        "trait",
        _FLOAT,
        unit="trait unit squared",
        extra=("contigs",),
    ),
    Statistic("n_samples", "samples", "samples with a value and all covariates", "trait", _COUNT),
    Statistic("trait_status", "status", "whether the trait could be fitted", "trait", _WORD),
)

# What heritabilities have more of every trait.
OF_HERITABILITIES = (
    Statistic("h2_se", "s.e. of h\u00b2", "standard error of the heritability", "trait", _FLOAT),
    Statistic(
        "log_likelihood",
        "log-likelihood",
        "log-likelihood at the heritability, with all constants",
        "trait",
        _FLOAT,
        unit="nats",
    ),
    Statistic(
        "log_likelihood_0",
        "log-likelihood at 0",
        "log-likelihood without heritability, with all constants",
        "trait",
        _FLOAT,
        unit="nats",
    ),
    Statistic(
        "lr_statistic",
        "likelihood ratio",
        "twice the difference of the log-likelihoods",
        "trait",
        _FLOAT,
    ),
    Statistic("p_value", "p", "p-value of no heritability", "trait", _FLOAT),
    Statistic(
        "neg_log10_p",
        "\u2212log\u2081\u2080 p",
        "-log10 of the p-value of no heritability",
        "trait",
        _FLOAT,
    ),
)

# Of every permutation and trait.
OF_PERMUTATIONS = (
    Statistic(
        "max_lod",
        "highest LOD score",
        "highest LOD over the markers, with nothing to find",
        "permutation",
        _SHORT,
    ),
)

TABLE = OF_PAIRS + OF_TRAITS + OF_HERITABILITIES + OF_PERMUTATIONS
# What may be asked of every pair besides its LOD.
STATISTICS = tuple(row.name for row in OF_PAIRS if row.asked)


def row_of(name: str) -> Statistic | None:
    """The row of a statistic of pairs or traits in the result of a scan; None for other names."""
    return next((row for row in OF_PAIRS + OF_TRAITS if row.name == name), None)


def pair_statistics(options: ModelOptions) -> tuple[Statistic, ...]:
    """Rows of what a scan of these options gives of every pair."""
    return tuple(row for row in OF_PAIRS if row.present_in(options))


def statistics(options: ModelOptions, *, single: bool) -> dict[str, Kind]:
    """What `scan_block` gives of every pair, besides the dimensions variants and traits."""
    along = ("effects" if options.interactions else "genotypes",) if options.effects else ()
    return {
        row.name: Kind(
            row.dtype(options, single),
            *((along, options.effects) if "effects" in row.extra else ()),
        )
        for row in pair_statistics(options)
    }


def trait_statistics(relations: int | None) -> dict[str, Kind]:
    """What a scan gives of every trait, besides the dimension traits.

    Parameters
    ----------
    relations : int or None
        Number of kinships, one a contig; None where one serves all markers.
    """
    each = () if relations is None else (("contigs",), (relations,))
    return {
        row.name: Kind(row.dtype(ModelOptions(), False), *(each if "contigs" in row.extra else ()))
        for row in OF_TRAITS
    }
