"""The analysis `kinship`: the relationship of samples, from the markers of a study."""

from __future__ import annotations

import numpy as np
import xarray as xr

from bulklmm_dask.analyses.inputs.cross import founder_shares, is_raw_cross
from bulklmm_dask.analyses.inputs.genotypes import allele_shares, genotype_arrays, strains_of
from bulklmm_dask.analyses.options import KinshipMethod
from bulklmm_dask.analyses.package import package
from bulklmm_dask.analyses.probabilities import genotype_probabilities
from bulklmm_dask.engine.kinship import lazy_kinship
from bulklmm_dask.errors import InputError
from bulklmm_dask.lmm.kinship import METHODS
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.study.checks import require_choice
from bulklmm_dask.study.gaps import is_uncounted
from bulklmm_dask.study.schema import validate
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import either, function, option
from bulklmm_dask.typing import Array

# Methods that take genotype probabilities too.
_OF_PROBABILITIES = ("bulklmm", "rqtl2")


def kinship(
    ds: xr.Dataset, *, method: KinshipMethod = "bulklmm", loco: bool = False
) -> xr.DataArray:
    """Relationship of every pair of samples of a study, estimated from its markers.

    Parameters
    ----------
    ds : Dataset
        A study with ``call_dosage`` (variants, samples), or with ``call_genotype_probability``
        (variants, samples, genotypes). Its markers are read chunk by chunk and never all at once;
        missing genotypes take the mean of their marker.
    method : {"bulklmm", "rqtl2", "centered", "standardized"}
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
    loco : bool
        One kinship a contig, from the markers of all others (leave one chromosome out).

    Returns
    -------
    DataArray, shape (samples_0, samples_1) or (contigs, samples_0, samples_1)
        Lazy, in float64. Put it into the study: ``ds["kinship"] = kinship(ds)``.

    Raises
    ------
    InputError
        If the method is unknown, the study has no genotypes, or with `loco` no contigs or only
        one.

    Warns
    -----
    StudyWarning
        For missing calls of lazy genotypes that nobody has counted yet, when it is computed; for
        calls of a raw cross, of which ``"rqtl2"`` takes the genotype probabilities.

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
    """
    require_choice(method, "kinship method", METHODS)
    ds = validate(ds)
    if method == "rqtl2":
        ds = _as_in_rqtl2(ds)
    for dim, what in (("variants", "markers"), ("samples", "samples")):
        if not ds.sizes[dim]:
            raise InputError(
                f"the study has no {what}, from which a kinship is computed; select some"
            )
    calls, alleles = _calls(ds, method)
    if loco:
        _require_contigs(ds)
    samples = text(ds["sample_id"].values)
    matrix = lazy_kinship(
        genotype_arrays(ds, calls, by_contig=loco),
        samples,
        method,
        strains=strains_of(ds),
        alleles=alleles,
        relations=ds.sizes["contigs"] if loco else None,
        tell_gaps=is_uncounted(calls),
    )
    names = {"samples_0": samples, "samples_1": samples}
    if loco:
        names = {"contigs": ds["contig_id"].values, **names}
    attrs = {"method": method, "n_variants": ds.sizes["variants"]}
    columns = {"kinship": (tuple(names), matrix, attrs)}
    return package(xr.Dataset(coords=names), columns, {})["kinship"]


def _as_in_rqtl2(ds: xr.Dataset) -> xr.Dataset:
    """The study; a raw cross with its genotype probabilities, as R/qtl2's calc_kinship takes."""
    if not is_raw_cross(ds) or "call_genotype_probability" in ds:
        return ds
    name = ds.attrs["crosstype"]
    try:
        found = genotype_probabilities(ds)
    except InputError as error:
        say(
            f"the kinship is that of the calls of this {name}, because its genotype probabilities "
            f"cannot be computed: {error}"
        )
        return ds
    say(
        f"the kinship is that of the genotype probabilities of this {name} at its markers, by the "
        f"defaults of {function('genotype_probabilities')}; compute them beforehand for other "
        "options"
    )
    return found


def _calls(ds: xr.Dataset, method: str) -> tuple[xr.DataArray, Array | None]:
    """The genotypes to use, and for probabilities the shares of alleles (genotypes, alleles)."""
    if "call_dosage" in ds:
        return ds["call_dosage"], None
    if "call_genotype_probability" not in ds:
        raise InputError("the study has no genotypes to compute a kinship from")
    if method not in _OF_PROBABILITIES:
        raise InputError(
            f"method {method!r} needs dosages, but the study has genotype probabilities only; use "
            f"{' or '.join(_OF_PROBABILITIES)}{either(', or add call_dosage', '')}"
        )
    probability = ds["call_genotype_probability"]
    names = ds["genotype_id"].values if "genotype_id" in ds else None
    shares = founder_shares(ds)
    if shares is None:
        shares = allele_shares(names, probability.sizes["genotypes"])
    return probability, shares


def _require_contigs(ds: xr.Dataset) -> None:
    if "variant_contig" not in ds:
        raise InputError(
            "the study has no variant_contig, so no chromosome can be left out; give it a marker "
            f"map, or leave out {option('loco')}"
        )
    contigs = np.unique(ds["variant_contig"].values)
    if len(contigs) < 2:
        only = str(ds["contig_id"].values[contigs[0]])
        raise InputError(
            f"all markers lie on contig {only!r}: leaving it out "
            f"leaves none; leave out {option('loco')}"
        )
