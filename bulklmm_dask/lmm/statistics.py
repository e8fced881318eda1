"""Table of the statistics that a result may hold for a pair, a trait or a permutation.

Store fields, outputs of graphs, labels of pictures and attributes of variables are read from the
rows of `TABLE`. To add a statistic of pairs, add a row here, and either compute it in the scanners
or give a function that derives it from the LOD.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from bulklmm_dask.lmm.lod import largest_lod
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
        LOD scores; negative ones count as 0, NaN stays NaN.
    df : array of int
        Degrees of freedom, broadcast against `lod`; where 0, nothing is tested and p is 1.
    """
    from scipy.special import gammaln, log_ndtr  # imported here: the table needs no SciPy

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

    1 - RSS1/RSS0 = 1 - 10^(-2 LOD / n), as R/qtl2 users compute it; negative where the LOD is, as
    it may be with an h2 of its own for every pair under REML.
    """
    score = np.asarray(lod, np.float64)
    return np.asarray(-np.expm1(score * (-2.0 * np.log(10.0) / n_samples)))


# A LOD of at least this share of the largest is that of a perfect fit: single precision rounds it.
_ALMOST = 1.0 - 1e-6

# Derives a statistic from LOD, degrees of freedom (of the same shape) and number of samples.
Follows: TypeAlias = Callable[[Real, Index, int], npt.NDArray[Any]]
# Gives the dtype of a statistic from the options and whether the precision is single.
DtypeRule: TypeAlias = Callable[[ModelOptions, bool], np.dtype[Any]]
# Dimensions that a statistic may have besides those of pairs, traits or permutations.
Extra: TypeAlias = Literal["effects", "contigs", "components"]


@dataclass(frozen=True)
class Kind:
    """Dtype of a variable of a result, with names and sizes of its extra dimensions."""

    dtype: np.dtype[Any]
    dims: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()

    @property
    def itemsize(self) -> int:
        """Bytes per pair or trait."""
        return self.dtype.itemsize * math.prod(self.shape)


def _is(dtype: npt.DTypeLike) -> DtypeRule:
    return lambda options, single: np.dtype(dtype)


def _score(options: ModelOptions, single: bool) -> np.dtype[Any]:
    """float64 for exactly optimised pairs, whose digits float32 cannot hold; otherwise float32."""
    return np.dtype(np.float64 if options.alternative and not single else np.float32)


def _always(options: ModelOptions) -> bool:
    return True


@dataclass(frozen=True)
class Statistic:
    """One row of the table.

    Attributes
    ----------
    name : str
        Name of the variable in a result.
    label : str
        Label of axes and column headings.
    meaning : str
        Short description, the variable's ``long_name``.
    per : "pair", "variant", "trait", "component" or "permutation"
        One value per marker and trait, per marker, per trait, per component and trait, or per
        permutation and trait.
    dtype : callable
        Gives the dtype from the options and whether the precision is single.
    unit : str
        Unit; empty for a pure number.
    extra : tuple of str
        More dimensions: "effects" (columns or genotypes of a marker), "contigs" (one kinship each),
        "components" (kernels by name and the residual).
    present : callable
        Gives from the options whether a result has the statistic; ignored if `asked`.
    asked : bool
        Whether the statistic has to be requested by name.
    follows : callable, optional
        Derives the statistic from the LOD, the degrees of freedom and the number of samples.
    """

    name: str
    label: str
    meaning: str
    per: Literal["pair", "variant", "trait", "component", "permutation"]
    dtype: DtypeRule
    unit: str = ""
    extra: tuple[Extra, ...] = ()
    present: Callable[[ModelOptions], bool] = _always
    asked: bool = False
    follows: Follows | None = None

    def present_in(self, options: ModelOptions) -> bool:
        """Whether a result made with these options has the statistic."""
        return self.name in options.wanted if self.asked else self.present(options)

    def attrs(self) -> dict[str, str]:
        """Attributes of the variable in a result: ``long_name`` and, if there is one, ``units``."""
        return {"long_name": self.meaning} | ({"units": self.unit} if self.unit else {})


_FLOAT, _SHORT, _COUNT, _WORD = _is(np.float64), _is(np.float32), _is(np.int64), _is(object)

# Scans: one value per pair of a marker and a trait.
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
        _FLOAT,
        unit="trait unit",
        extra=("effects",),
        asked=True,
    ),
    Statistic(
        "se",
        "s.e.",
        "standard error of the effect",
        "pair",
        _FLOAT,
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
        "perfect_fit",
        "perfect fit",
        "whether the marker explains the trait up to rounding, so that the LOD is a lower bound",
        "pair",
        _is(np.bool_),
        asked=True,
        follows=lambda lod, df, n_samples: lod >= _ALMOST * largest_lod(n_samples),
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

# Scans: one value per marker, or per pair where traits were measured on different samples.
OF_VARIANTS = (
    Statistic(
        "variant_frequency",
        "frequency",
        "frequency of the effect allele among the samples scanned",
        "variant",
        _SHORT,
        present=lambda options: options.genotypes is None,
    ),
)

# Scans: one value per trait.
OF_TRAITS = (
    Statistic(
        "h2",
        "h\u00b2",
        "heritability without a marker",
        "trait",
        _FLOAT,
        extra=("contigs", "components"),
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
    Statistic(
        "n_samples",
        "samples",
        "samples with a value and all covariates",
        "trait",
        _COUNT,
        unit="samples",
    ),
    Statistic("trait_status", "status", "whether the trait could be fitted", "trait", _WORD),
)

# Results of `heritability`, per trait, besides those of scans.
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

# Results of `heritability` with several kernels: one value per component and trait.
OF_COMPONENTS = (
    Statistic(
        "h2",
        "share",
        "share of the mean variance of the samples that a component explains",
        "component",
        _FLOAT,
    ),
    Statistic("h2_se", "s.e. of share", "standard error of the share", "component", _FLOAT),
    Statistic(
        "variance",
        "variance",
        "variance of a component, for kernels of mean diagonal one",
        "component",
        _FLOAT,
        unit="trait unit squared",
    ),
    Statistic(
        "log_likelihood_0",
        "log-likelihood without",
        "largest log-likelihood without the component, with all constants",
        "component",
        _FLOAT,
        unit="nats",
    ),
    Statistic(
        "lr_statistic",
        "likelihood ratio",
        "twice the difference of the log-likelihoods with and without the component",
        "component",
        _FLOAT,
    ),
    Statistic("p_value", "p", "p-value of no such component", "component", _FLOAT),
    Statistic(
        "neg_log10_p",
        "\u2212log\u2081\u2080 p",
        "-log10 of the p-value of no such component",
        "component",
        _FLOAT,
    ),
)

# Results of `permute`: one value per permutation and trait.
OF_PERMUTATIONS = (
    Statistic(
        "max_lod",
        "highest LOD score",
        "highest LOD over the markers, with nothing to find",
        "permutation",
        _SHORT,
    ),
)

TABLE = OF_PAIRS + OF_VARIANTS + OF_TRAITS + OF_HERITABILITIES + OF_COMPONENTS + OF_PERMUTATIONS
# Statistics of pairs that have to be requested by name.
STATISTICS = tuple(row.name for row in OF_PAIRS if row.asked)


def row_of(name: str) -> Statistic | None:
    """Row of a statistic in the result of a scan; None if the name is not in the table."""
    return next((row for row in OF_PAIRS + OF_VARIANTS + OF_TRAITS if row.name == name), None)


def pair_statistics(options: ModelOptions) -> tuple[Statistic, ...]:
    """Rows of the statistics of pairs that a scan with these options gives."""
    return tuple(row for row in OF_PAIRS if row.present_in(options))


def statistics(options: ModelOptions, *, single: bool) -> dict[str, Kind]:
    """Dtype and extra dimensions of each statistic of pairs that `scan_block` gives, by name."""
    along = ("effects" if options.interactions else "genotypes",) if options.effects else ()
    return {
        row.name: Kind(
            row.dtype(options, single),
            *((along, options.effects) if "effects" in row.extra else ()),
        )
        for row in pair_statistics(options)
    }


def trait_statistics(relations: int | None, components: int = 0) -> dict[str, Kind]:
    """Dtype and extra dimensions of each statistic of traits that a scan gives, by name.

    Parameters
    ----------
    relations : int or None
        Number of kinships, one per contig; None where one serves all markers.
    components : int
        Number of components that have a share each; 0 for a kinship.
    """
    sizes = {"contigs": relations, "components": components or None}
    found = {}
    for row in OF_TRAITS:
        more = {dim: size for dim, size in sizes.items() if size is not None and dim in row.extra}
        found[row.name] = Kind(row.dtype(ModelOptions(), False), tuple(more), tuple(more.values()))
    return found
