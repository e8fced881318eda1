"""Genome-wide thresholds and adjusted p-values of LODs, from the maxima that `permute` gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from bulklmm_dask.errors import InputError, OptionError
from bulklmm_dask.results.checks import require_table
from bulklmm_dask.results.fdr import false_discovery_rates
from bulklmm_dask.results.null_maxima import NullMaxima
from bulklmm_dask.storage.labels.coordinates import arranged
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.study.contigs import match_contigs
from bulklmm_dask.surface import either, option
from bulklmm_dask.text import counted, listing
from bulklmm_dask.typing import Array, By, Flags, Index, Names

# Coordinates of permutations by contig: length, and whether it is an X chromosome.
LENGTH, ON_X = "contig_length", "contig_on_x"
# A tail is fitted to this share of the maxima, if these are at least so many.
_TAIL, _LEAST = 0.1, 20

COUNTED, FITTED = "counted", "tail"


def thresholds(
    perm: xr.Dataset,
    alpha: float | Sequence[float] = (0.10, 0.05),
    *,
    by: By | Literal["x"] | None = None,
) -> xr.Dataset:
    """LOD that chance alone exceeds anywhere on the genome with probability alpha, for each trait.

    It is a quantile of the highest LODs of permuted traits (Churchill and Doerge 1994).

    Parameters
    ----------
    perm : Dataset
        What `permute` returns, or `open_result` of its store.
    alpha : float or sequence of float
        Between 0 and 1, no smaller than 1/(1 + number of permutations).
    by : None, "contig" or "x"
        One threshold for the whole genome; one for each contig by itself; or one for all autosomes
        and one for the X (Broman et al. 2006), such that alpha is the probability of a false
        finding on either: with L the lengths of the two and of both, the autosomes have the level
        1 - (1 - alpha)^(L_A / L) and the X 1 - (1 - alpha)^(L_X / L), as R/qtl2's perm_Xsp. These
        need maxima kept by contig: ``permute(..., by="contig")``.

    Returns
    -------
    Dataset
        ``threshold`` (traits, alpha[, contigs]), a LOD: the quantile 1 - alpha of the maxima,
        interpolated linearly between two of them (the default of R and NumPy); NaN for a trait
        without a null model. With ``by="x"`` all autosomes have one threshold, and all X another.

    Raises
    ------
    InputError
        If `perm` holds no maxima, `alpha` is out of range for their number, or `by` is given and
        they were not kept by contig; with ``by="x"`` if lengths of contigs are unknown.
    StoreError
        If maxima are missing from a store.

    Examples
    --------
    >>> perm = blmm.permute(ds, n_permutations=200, seed=1)
    >>> levels = blmm.thresholds(perm, alpha=[0.1, 0.05])
    >>> levels.threshold.to_pandas().head(3).round(2)
    alpha    0.10  0.05
    traits
    trait01  2.05  2.34
    trait02  2.02  2.25
    trait03  2.18  2.51
    """
    maxima = NullMaxima.of(perm, "contig" if by == "x" else by)
    perm = maxima.perm
    levels = _levels(alpha, maxima.count)
    quantiles = _quantiles if by != "x" else _x_specific(perm, levels, maxima.count)
    parts = [
        np.moveaxis(quantiles(values, levels), 0, 1)[null]
        for _, null, values in maxima.chunks(np.arange(perm.sizes["traits"]))
    ]
    found = np.concatenate(parts)
    dims: tuple[str, ...] = ("traits", "alpha", "contigs")
    if by is None:
        dims, found = dims[:2], found[:, :, 0]
    names: dict[str, Any] = {"traits": perm["traits"].values}
    if by:
        names["contigs"] = maxima.contigs
    names["alpha"] = ("alpha", levels, {"long_name": "significance level"})
    columns = {"threshold": (dims, found, {"long_name": "threshold of the LOD score"})}
    return arranged(xr.Dataset(columns, names)).assign_attrs(perm.attrs)


def _quantiles(values: Array, levels: Array) -> Array:
    """Quantiles (levels, nulls, contigs) of maxima (permutations, nulls, contigs)."""
    return np.asarray(np.quantile(values, 1.0 - levels, axis=0))


def _x_specific(perm: xr.Dataset, levels: Array, count: int) -> Callable[[Array, Array], Array]:
    """Quantiles of the maxima over all autosomes and over the X, each at its part of a level."""
    absent = [name for name in (LENGTH, ON_X) if name not in perm]
    if absent:
        raise InputError(
            f"the permutations have no {' and no '.join(absent)} by contig; permute a study with "
            "positions of its markers"
        )
    on_x = np.asarray(perm[ON_X].values, dtype=bool)
    length = np.asarray(perm[LENGTH].values, dtype=np.float64)
    if on_x.all() or not on_x.any():
        raise InputError(
            f"{ON_X} says that {'all' if on_x.any() else 'none'} of the contigs are X chromosomes, "
            f"so there is one threshold; leave {option('by', 'x')} out"
        )
    parts = {is_x: length[on_x == is_x].sum() for is_x in (False, True)}
    if not min(parts.values()) > 0.0:
        what = "autosomes" if parts[True] > 0.0 else "X"
        raise InputError(
            f"{LENGTH} of the {what} is 0, because none of its contigs has markers at two places, "
            f"so its part of {option('alpha')} is not known; leave {option('by', 'x')} out, or "
            f"assign {LENGTH}"
        )
    parts = {is_x: part / length.sum() for is_x, part in parts.items()}
    own = {is_x: 1.0 - (1.0 - levels) ** share for is_x, share in parts.items()}
    least = min(float(each.min()) for each in own.values())
    if least < 1.0 / (1.0 + count):
        raise InputError(
            f"the X is {parts[True]:.1%} of the genome, so the lowest level of {option('alpha')} "
            f"becomes {least:.3g}, for which {count:,} permutations are too few; take at least "
            f"{int(np.ceil(1.0 / least)):,}"
        )

    def quantiles(values: Array, levels: Array) -> Array:
        out = np.empty((len(levels), *values.shape[1:]))
        for is_x, each in own.items():
            highest = np.fmax.reduce(values[:, :, on_x == is_x], axis=2)
            out[:, :, on_x == is_x] = _quantiles(highest, each)[:, :, None]
        return out

    return quantiles


def _levels(alpha: float | Sequence[float], count: int) -> Array:
    """Levels as an array, or InputError where so many permutations do not give them."""
    least = 1.0 / (1.0 + count)
    try:
        levels = np.atleast_1d(np.asarray(alpha, dtype=np.float64))
    except (TypeError, ValueError, OverflowError):
        levels = np.empty(0)
    fit = (levels >= least) & (levels < 1.0)
    if not fit.all() or levels.ndim != 1 or len(np.unique(levels)) != levels.size or not fit.size:
        raise OptionError(
            f"{option('alpha', alpha)} cannot be had: {count:,} permutations give levels from "
            f"{least:.3g} to below 1, one or several different ones"
        )
    return levels


def adjusted_p(perm: xr.Dataset, hits: pd.DataFrame, *, by: By | None = None) -> pd.DataFrame:
    """Adjusted p of LODs: the probability that chance gives the trait as high a LOD anywhere.

    Parameters
    ----------
    perm : Dataset
        What `permute` returns, or `open_result` of its store.
    hits : DataFrame
        With columns ``trait`` and ``lod`` (with `by` also ``contig``), such as the tables of
        `max_lod` and `find_hits`.
    by : None or "contig"
        As high a LOD anywhere on the genome, or anywhere on the contig of the hit.

    Returns
    -------
    DataFrame
        `hits` with two more columns. ``p_adjusted`` is (1 + b) / (1 + N), where b of the N maxima
        are at least as high (Phipson and Smyth 2010), and ``p_source`` is "counted". Where no
        maximum is as high, and N is at least 200, a generalised Pareto tail is fitted to the
        highest tenth of the maxima by their probability-weighted moments (Hosking and Wallis 1987;
        Knijnenburg et al. 2009), with a shape of at least 0, because a LOD has no upper bound;
        ``p_source`` is then "tail", and p an extrapolation of which only the order of magnitude
        counts. NaN where there is no null model or no LOD.

    Raises
    ------
    InputError
        If a column is absent, or a trait or contig of the hits is not among the permutations.
    StoreError
        If maxima are missing from a store.

    Examples
    --------
    >>> result = blmm.scan(ds)
    >>> perm = blmm.permute(ds, n_permutations=200, seed=1)
    >>> best = blmm.max_lod(result)
    >>> table = blmm.adjusted_p(perm, best)
    >>> table[["trait", "variant", "lod", "p_adjusted", "p_source"]].round(3).head(4)
         trait      variant    lod  p_adjusted p_source
    0  trait01  2:121710674  1.393       0.522  counted
    1  trait02  1:185512253  3.929       0.010  counted
    2  trait03  3:103135830  1.645       0.308  counted
    3  trait04    2:8558070  2.218       0.109  counted
    """
    maxima = NullMaxima.of(perm, by)
    perm = maxima.perm
    remedy = "give a table such as that of max_lod or find_hits, in parts if it is too large"
    columns = ("trait", "lod", *(("contig",) if by else ()))
    checked = require_table(hits, columns, "the hits have", remedy, numbers=("lod",), finite=False)
    trait = _positions(perm["traits"].values, hits["trait"], "trait")
    contig = np.zeros(len(hits), dtype=np.int64)
    if by:
        contig = _positions(maxima.contigs, hits["contig"], "contig")
    lod = checked["lod"].to_numpy()
    p, tail = np.full(len(hits), np.nan), np.zeros(len(hits), dtype=bool)
    for traits, null, values in maxima.chunks(np.unique(trait)):
        mine = np.flatnonzero((trait >= traits[0]) & (trait <= traits[-1]) & ~np.isnan(lod))
        if not len(mine):
            continue
        column = null[np.searchsorted(traits, trait[mine])]
        p[mine], tail[mine] = _exceeded(np.sort(values, axis=0), lod[mine], column, contig[mine])
    source = np.where(np.isnan(p), "", np.where(tail, FITTED, COUNTED))
    return hits.assign(p_adjusted=p, p_source=text(source))


def trait_fdr(perm: xr.Dataset, maxima: pd.DataFrame) -> pd.DataFrame:
    """False discovery rate over traits: which of them have a locus anywhere.

    Parameters
    ----------
    perm : Dataset
        What `permute` returns, or `open_result` of its store.
    maxima : DataFrame
        The highest LOD of every trait, from `max_lod`.

    Returns
    -------
    DataFrame
        `maxima` with ``p_adjusted`` and ``p_source`` from `adjusted_p`, one test for each trait,
        and ``fdr``: the lowest false discovery rate at which the trait is found (Benjamini and
        Hochberg 1995); NaN for a trait without a null model. `find_hits` has a rate over all pairs
        instead, which counts every marker of a locus.

    Raises
    ------
    InputError
        As `adjusted_p`, or if a trait has several rows.

    Examples
    --------
    >>> best = blmm.max_lod(blmm.scan(ds))
    >>> perm = blmm.permute(ds, n_permutations=200, seed=1)
    >>> table = blmm.trait_fdr(perm, best)
    >>> found = table[table.fdr <= 0.05]
    >>> found[["trait", "variant", "lod", "p_adjusted", "fdr"]].round(4)
          trait      variant     lod  p_adjusted     fdr
    1   trait02  1:185512253  3.9292      0.0100  0.0199
    5   trait06   2:54233555  6.3488      0.0000  0.0000
    7   trait08     3:112488  6.3379      0.0000  0.0000
    9   trait10   2:54233555  5.9596      0.0003  0.0009
    10  trait11   3:33374396  4.2868      0.0001  0.0003
    11  trait12  1:184344272  4.2687      0.0012  0.0030
    """
    found = adjusted_p(perm, maxima)
    twice = found["trait"][found["trait"].duplicated()]
    if len(twice):
        raise InputError(
            f"the trait {twice.iloc[0]!r} has several rows; the rate over traits takes the highest "
            "LOD of each, as max_lod(result) gives it"
        )
    fdr = found["p_adjusted"].to_numpy(copy=True)
    tested = np.flatnonzero(~np.isnan(fdr))
    fdr[tested] = false_discovery_rates(fdr[tested])
    return found.assign(fdr=fdr)


def _positions(known: Names, wanted: pd.Series, what: str) -> Index:
    """Index of each trait or contig of the hits among the names of the permutations."""
    codes, distinct = pd.factorize(wanted.astype(str), use_na_sentinel=False)
    if what == "contig":
        at = match_contigs(known, distinct, "the permutations")
    else:
        at = pd.Index(text(known)).get_indexer(distinct)
    if absent := [name for name, position in zip(distinct, at, strict=True) if position < 0]:
        raise InputError(
            f"{counted(len(absent), what)} of the hits not among the permutations: "
            f"{listing(absent)}; permute the same study"
            + either(f", or read the names as text: dtype={{{what!r}: str}}", "")
        )
    return np.asarray(at[codes])


def _exceeded(ordered: Array, lod: Array, column: Index, contig: Index) -> tuple[Array, Flags]:
    """Adjusted p of LODs, and whether each comes from a fitted tail.

    `ordered` (N, nulls, contigs) are ascending maxima; `column` and `contig` say which of them each
    LOD is compared with.
    """
    count, _, contigs = ordered.shape
    distinct, null = np.unique(column * contigs + contig, return_inverse=True)
    own = ordered.reshape(count, -1)[:, distinct]
    no_lower = np.empty(len(lod))
    for values, mine in zip(own.T, _members(null), strict=True):
        no_lower[mine] = count - np.searchsorted(values, lod[mine])
    p = (1.0 + no_lower) / (1.0 + count)
    p[np.isnan(own[-1])[null]] = np.nan
    size = int(_TAIL * count)
    if size < _LEAST:
        return p, np.zeros(len(lod), dtype=bool)
    highest = own[count - size - 1 :]
    wide = highest[-1] > highest[0]  # a tail of equal maxima has no width
    beyond = (no_lower == 0) & wide[null]
    level, shape, scale = (values[null[beyond]] for values in _tails(highest))
    excess = (lod[beyond] - level) / scale
    with np.errstate(divide="ignore", invalid="ignore"):
        log_tail = np.where(shape > 0.0, -np.log1p(shape * excess) / shape, -excess)
    fitted = size / count * np.exp(log_tail)
    lower = fitted < p[beyond]
    beyond[beyond] = lower
    p[beyond] = np.maximum(fitted[lower], np.finfo(np.float64).tiny)
    return p, beyond


def _members(group: Index) -> list[Index]:
    """Indices of the members of each group; groups are numbered from 0 on without gaps."""
    return np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])


def _tails(highest: Array) -> tuple[Array, Array, Array]:
    """Level, shape and scale of generalised Pareto tails, one for each null.

    `highest` (1 + k, nulls) are ascending maxima: the first is the level, the others exceed it.
    With b0 the mean of the k excesses and b1 the mean of excesses times the share of higher ones,
    the shape is 2 - b0 / (b0 - 2 b1) and the scale 2 b0 b1 / (b0 - 2 b1).
    """
    level, excess = highest[0], highest[1:] - highest[0]
    k = len(excess)
    higher = (k - np.arange(1, k + 1) + 0.35) / k
    b0, b1 = excess.mean(axis=0), (higher[:, None] * excess).mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        shape = 2.0 - b0 / (b0 - 2.0 * b1)
        scale = 2.0 * b0 * b1 / (b0 - 2.0 * b1)
    bounded = ~(shape > 0.0)
    return level, np.where(bounded, 0.0, shape), np.where(bounded, b0, scale)
