"""The analysis `kinship`: the relationship of samples, from the markers of a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from bulklmm_dask.analyses.inputs.covariates import CovariatesLike
from bulklmm_dask.analyses.inputs.kernel_columns import TraitsLike, kernel_columns
from bulklmm_dask.analyses.inputs.regions import RegionsLike, markers_in
from bulklmm_dask.analyses.marker_kernels import kernel_of_markers
from bulklmm_dask.analyses.options import KINSHIP_METHODS, KinshipMethod
from bulklmm_dask.analyses.package import package
from bulklmm_dask.engine.kinship import lazy_gaussian, lazy_kinship
from bulklmm_dask.errors import InputError, OptionError
from bulklmm_dask.lmm.derived import GAUSSIAN
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.storage.labels.portable import names_of, portable
from bulklmm_dask.study.checks import LARGEST, number, require_choice
from bulklmm_dask.study.kinship_store import ARGUMENTS
from bulklmm_dask.study.schema import validate
from bulklmm_dask.surface import option


def kinship(
    ds: xr.Dataset,
    *,
    method: KinshipMethod = "bulklmm",
    loco: bool = False,
    variants: RegionsLike | None = None,
    covariates: CovariatesLike = None,
    traits: TraitsLike = None,
    bandwidth: float | None = None,
) -> xr.DataArray:
    """Relationship of every pair of samples of a study, estimated from its markers.

    Parameters
    ----------
    ds : Dataset
        A study with ``call_dosage`` (variants, samples), or with ``call_genotype_probability``
        (variants, samples, genotypes). Its markers are read chunk by chunk and never all at once;
        missing genotypes take the mean of their marker.
    method : str
        With x the dosages scaled to 0..1 and d = 2x: ``"bulklmm"`` (Yu et al. 2023) is the mean
        over markers of x_i x_j + (1-x_i)(1-x_j) with ones on the diagonal (and between samples of
        one strain, where the study has ``sample_strain``); ``"rqtl2"`` (Broman et al. 2019) the
        same without touching the diagonal (R/qtl2 doubles it internally: scan with twice this
        kinship to get its h2). ``"centered"`` is the mean of (d_i - m)(d_j - m), m the mean of d
        over the samples, and ``"standardized"`` that of the same divided by the variance of d:
        ``-gk 1`` and ``-gk 2`` of GEMMA (Zhou and Stephens 2012). From genotype probabilities the
        first two are the mean over markers of sum_a p_ia p_ja, with p_ia the expected share of
        allele a in sample i, those of `genotype_probabilities` the founders'
        (``"rqtl2"`` computes them for a raw cross, and says so). Other genotypes named
        by two letters each, homozygotes among them (SS, SB, BB), have two alleles; others are
        alleles themselves (founders).

        Kernels of other random effects, for `heritability` with several:

        - ``"dominance"``: the sum over markers of w_i w_j, divided by the mean of its diagonal.
          w is what is left of h = 4x(1-x), 1 for heterozygotes, beside the intercept and the
          dosage of the marker: the code of Vitezica et al. 2017, in Hardy-Weinberg proportions
          -2p^2, 2pq, -2q^2. It needs both homozygotes and heterozygotes at a marker; others do not
          count. From genotype probabilities of two alleles, h is that of a heterozygote;
        - ``"epistasis"``, additive by additive: ``"centered"`` multiplied by itself entry by entry,
          and ``"epistasis-dominance"``, additive by dominance: ``"centered"`` by ``"dominance"``,
          both divided by the mean of their diagonal (Henderson 1985; Vitezica et al. 2017);
        - ``"gaussian"``: exp(-(d_ij / b)^2), with d_ij^2 the mean over markers of
          sum_a (p_ia - p_ja)^2; of two alleles, 2 (x_i - x_j)^2. With `covariates` or `traits`,
          the mean over these columns of (z_i - z_j)^2;
        - ``"linear"``: the mean of z_i z_j over columns z, the `covariates` or `traits`, each of
          mean 0 and variance 1 over the samples; a missing value is 0.
    loco : bool
        One kinship a contig, from the markers of all others (leave one chromosome out).
    variants : str or sequence of str, optional
        Only these markers: names of markers or of contigs, or windows such as ``"7:20-40"`` in the
        unit of ``variant_position``, ends included.
    covariates : bool, str or sequence of str, optional
        Columns of ``"linear"`` and ``"gaussian"``: names of covariates or of metadata of the
        samples, True for all covariates of the study; texts become indicators, as in `scan`.
    traits : bool, str or sequence of str, optional
        Traits in place of `covariates`: names, True for all. Lazy traits are read chunk by chunk.
    bandwidth : float, optional
        b of ``"gaussian"``, in the unit of d. By default the median d of the pairs of samples that
        differ, so that half of them have less than 1/e.

    Returns
    -------
    DataArray, shape (samples_0, samples_1) or (contigs, samples_0, samples_1)
        Lazy, in float64. Put it into the study: ``ds["kinship"] = kinship(ds)``.

    Raises
    ------
    InputError
        If the method is unknown or gets an argument of another, the study has no genotypes, a name
        is not in the study, or with `loco` no contigs or only one.

    Warns
    -----
    StudyWarning
        For missing calls of lazy genotypes that nobody has counted yet, when it is computed; for
        calls of a raw cross, of which ``"rqtl2"`` takes the genotype probabilities; for missing
        covariates of a kernel, and texts that become numbers.

    Examples
    --------
    It becomes a variable of the study, where every later step finds it:

    >>> ds["kinship"] = blmm.kinship(ds)
    >>> ds.kinship.shape
    (120, 120)
    >>> ds.kinship[:3, :3].values.round(2)
    array([[1.  , 0.55, 0.5 ],
           [0.55, 1.  , 0.35],
           [0.5 , 0.35, 1.  ]])

    One for each contig, from the markers of all others, for ``scan(ds, loco=True)``:

    >>> ds["kinship_loco"] = blmm.kinship(ds, loco=True)
    >>> ds.kinship_loco.dims
    ('contigs', 'samples_0', 'samples_1')

    The share of a chromosome beside that of all others:

    >>> kernels = {
    ...     "others": ds.kinship_loco.sel(contigs="2", drop=True),
    ...     "second": blmm.kinship(ds, variants="2"),
    ... }
    >>> shares = blmm.heritability(ds, kinship=kernels)
    >>> shares.h2.sel(components="second", traits="trait06").item() > 0.1
    True
    """
    require_choice(method, "kinship method", KINSHIP_METHODS)
    ds = validate(ds)
    if not ds.sizes["samples"]:
        raise InputError("the study has no samples, from which a kinship is computed; select some")
    if bandwidth is not None:
        _refuse("bandwidth", method, method == GAUSSIAN)
        bandwidth = number(bandwidth, option("bandwidth"), 1 / LARGEST, LARGEST)
    attrs: dict[str, Any] = {"method": method}
    columns = kernel_columns(ds, covariates, traits)
    if columns is None:
        if method == "linear":
            raise OptionError(
                f"method 'linear' is the kernel of columns; say which, with {option('covariates')} "
                f"or {option('traits')}"
            )
        if variants is not None:
            ds = ds.isel(variants=markers_in(ds, variants))
            attrs["variants"] = names_of(variants)
        matrix = kernel_of_markers(ds, method, loco=loco, bandwidth=bandwidth)
        attrs["n_variants"] = ds.sizes["variants"]
    else:
        which = next(iter(columns.attrs))
        _refuse(which, method, method in ("linear", GAUSSIAN))
        for name, given in (("loco", loco), ("variants", variants is not None)):
            if given:
                raise OptionError(
                    f"{option(name)} is of kernels of markers, and {option(which)} makes one of "
                    "other columns; leave one of them out"
                )
        matrix = lazy_kinship(columns.values, text(ds["sample_id"].values), "linear", strains=None)
        if method == GAUSSIAN:
            matrix = lazy_gaussian(matrix, bandwidth)
        attrs |= columns.attrs
    if bandwidth is not None:
        attrs["bandwidth"] = bandwidth
    samples = text(ds["sample_id"].values)
    names = {"samples_0": samples, "samples_1": samples}
    if loco:
        names = {"contigs": ds["contig_id"].values, **names}
    found = {"kinship": (tuple(names), matrix, portable(attrs))}
    return package(xr.Dataset(coords=names), found, {})["kinship"]


def kinship_arguments(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Arguments of `kinship` that gave a kernel with these attributes, but for `loco`."""
    return {name: attrs[name] for name in ARGUMENTS if name in attrs}


def _refuse(name: str, method: str, fits: bool) -> None:
    """Raise OptionError for an argument that the method does not take."""
    if not fits:
        raise OptionError(
            f"{option(name)} is given, but method {method!r} takes none; leave it out, or choose "
            "another method"
        )
